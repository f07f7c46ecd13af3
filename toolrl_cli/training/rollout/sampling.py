"""Sampling parameters of one request, and sampling of one token for many rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

#: Keys of verl's agent loops that do not change the result here.
_IGNORED_KEYS = frozenset({"logprobs"})
#: Keys for features that this engine does not have, with the value that leaves the distribution unchanged.
_NEUTRAL_VALUES: dict[str, float] = {
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "min_p": 0.0,
    "n": 1,
}
_LENGTH_KEYS = ("max_tokens", "max_new_tokens")


@dataclass(frozen=True)
class SamplingParams:
    """The sampling parameters of one request.

    Attributes:
        max_tokens: most tokens to generate, ≥ 1.
        temperature: logits are divided by it; 0 means greedy.
        top_p: probability mass of the nucleus in (0, 1]; 1 keeps every token.
        top_k: number of candidates, or -1 (or 0) for all.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative: {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken instead of a sample."""
        return self.temperature == 0

    @property
    def truncated(self) -> bool:
        """Whether the distribution is cut before sampling (top-p or top-k)."""
        return not self.greedy and (self.top_p < 1.0 or self.top_k > 0)

    @classmethod
    def from_request(cls, params: Mapping[str, Any], default_max_tokens: int) -> SamplingParams:
        """Read the sampling parameters that verl's agent loops send with a request.

        Args:
            params: vLLM-style names; `max_tokens` and `max_new_tokens` mean the same.
            default_max_tokens: limit if the request has none, and otherwise its upper bound.

        Raises:
            ValueError: a parameter is out of range, or asks for a feature that the engine does not have.
        """
        for key, value in params.items():
            if key in _IGNORED_KEYS or key in cls.__dataclass_fields__ or key in _LENGTH_KEYS:
                continue
            if key not in _NEUTRAL_VALUES:
                raise ValueError(f"sampling parameter {key!r} is not supported by the transformers rollout")
            if value is not None and value != _NEUTRAL_VALUES[key]:
                raise ValueError(
                    f"{key}={value!r} is not supported by the transformers rollout (only {_NEUTRAL_VALUES[key]})"
                )
        limits = [params[key] for key in _LENGTH_KEYS if params.get(key) is not None]
        return cls(
            max_tokens=min([int(limit) for limit in limits] + [default_max_tokens]),
            temperature=float(params.get("temperature", 1.0)),
            top_p=float(params.get("top_p", 1.0)),
            top_k=int(params.get("top_k", -1)),
        )


def sample_rows(
    logits: torch.Tensor,
    temperature: torch.Tensor,
    uniforms: torch.Tensor,
    *,
    greedy: torch.Tensor | None = None,
    top_p: torch.Tensor | None = None,
    top_k: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose one token per row by inverting the cumulative distribution at a given uniform number.

    One uniform number decides a token, so that a request's tokens depend on its own random stream and not on the
    other rows of its batch.

    Args:
        logits: (rows, vocabulary), any floating type.
        temperature: (rows,) float32; the divisor, 1 for greedy rows.
        uniforms: (rows,) in [0, 1).
        greedy: (rows,) bool, or None where no row is greedy.
        top_p: (rows,) float32, or None where no row is truncated.
        top_k: (rows,) int64 with the vocabulary size for "all"; None together with `top_p`.

    Returns:
        Token ids (rows,) int64, and log-probabilities (rows,) float32 of these tokens under the
        temperature-scaled, **untruncated** distribution, which is the one the trainer recomputes.
    """
    scaled = logits.float() / temperature.unsqueeze(1)
    log_probs = torch.log_softmax(scaled, dim=-1)
    if greedy is not None and bool(greedy.all()):
        # as in an evaluation: a distribution that nothing is drawn from
        tokens = scaled.argmax(dim=-1)
        return tokens, log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1)
    probs = log_probs.exp()
    if top_p is None or top_k is None:
        tokens = _invert(probs, uniforms)
    else:
        # compare logits: two different ones can round to the same probability, and the cut must distinguish them
        order = scaled.sort(dim=-1, descending=True, stable=True).indices
        ordered = probs.gather(1, order)
        before = ordered.cumsum(dim=-1) - ordered
        rank = torch.arange(ordered.shape[1], device=ordered.device)
        # a token is kept if the mass before it is below top_p, so the first one is always kept
        kept = (before < top_p.unsqueeze(1)) & (rank < top_k.unsqueeze(1))
        tokens = order.gather(1, _invert(ordered * kept, uniforms).unsqueeze(1)).squeeze(1)
    if greedy is not None:
        tokens = torch.where(greedy, scaled.argmax(dim=-1), tokens)
    return tokens, log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1)


def _invert(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Index of the token whose interval of the cumulative weight contains `uniform`; never one of weight 0."""
    # float64: single precision loses the tail of a 150,000-token vocabulary
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    target = uniforms.to(torch.float64) * cumulative[:, -1]
    index = torch.searchsorted(cumulative, target.unsqueeze(1), right=True).squeeze(1)
    return index.clamp_(max=weights.shape[1] - 1)
