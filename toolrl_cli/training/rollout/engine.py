"""A batched generator over a Transformers model: requests join and leave the running batch at every token.

Pure torch, synchronous and single-threaded; `server.py` feeds it from a Ray actor.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from toolrl_cli.training.rollout.attention import ATTENTION_NAME, Decode, KVSlots, Prefill
from toolrl_cli.training.rollout.rows import Row, RowState
from toolrl_cli.training.rollout.sampling import SamplingParams, sample_rows

StopReason = Literal["completed", "length", "aborted"]
_CAPACITY_STEP = 64


@dataclass(frozen=True)
class Completion:
    """What a request came to.

    Attributes:
        request_id: as given to `add`.
        tokens: generated ids; the stop token, if one was generated, is the last.
        log_probs: of each token under the temperature-scaled distribution.
        stop_reason: `completed` at a stop token, `length` at the limit, `aborted` by `abort`.
        version: weights version the last token was generated with.
    """

    request_id: str
    tokens: list[int]
    log_probs: list[float]
    stop_reason: StopReason
    version: int


@dataclass(frozen=True)
class EngineLimits:
    """How much the engine may hold at once.

    Attributes:
        rows: live rows at most.
        cache_bytes: size of the key-value cache at most; one row always fits.
        prefill_tokens: prompt tokens, padding included, of one prefill pass.
    """

    rows: int = 1024
    cache_bytes: int = 1 << 30
    prefill_tokens: int = 8192


class GenerationEngine:
    """Generates for many requests at once.

    Every `step` admits waiting requests while slots are free and adds one token to every live row. Equal
    prompts are run through the model once as long as one of their rows lives. A request's samples follow
    from (seed, weights version, prompt, how many equal prompts came before it), not from its neighbours.

    Args:
        model: a causal language model in evaluation mode; its attention implementation is replaced.
        stop_tokens: ids that end a response; empty to always generate up to the limit.
        limits: see `EngineLimits`.
        seed: of the sampling streams.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        stop_tokens: Iterable[int],
        limits: EngineLimits | None = None,
        seed: int = 0,
    ) -> None:
        model.set_attn_implementation(ATTENTION_NAME)
        self.model = model
        self.limits = limits or EngineLimits()
        self.seed = seed
        self.version = 0
        self.device = next(model.parameters()).device
        self._stop = torch.tensor(sorted(set(stop_tokens)), dtype=torch.int64, device=self.device)
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._cache = KVSlots(0, 0)
        self._state = RowState(0, 0, self.device)
        self._bytes_per_position = _cache_bytes_per_position(model)

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._rows or self._waiting)

    def add(self, request_id: str, prompt: Sequence[int], params: SamplingParams) -> None:
        """Queue a request.

        Raises:
            ValueError: the prompt is empty.
        """
        if not len(prompt):
            raise ValueError(f"request {request_id} has an empty prompt")
        key = tuple(prompt)
        occurrence = self._seen[key]
        self._seen[key] += 1
        seed = (self.seed, self.version & 0xFFFFFFFF, zlib.crc32(array("q", key).tobytes()), occurrence)
        # multiples of 2^-24, so that the product with a sum of probabilities stays below that sum
        uniforms = np.random.default_rng(seed).random(params.max_tokens, dtype=np.float32)
        self._waiting.append(Row(request_id, key, params, uniforms))

    def abort(self) -> list[Completion]:
        """End every request where it is; waiting ones come back without tokens."""
        finished = self._take(list(range(len(self._rows))), ["aborted"] * len(self._rows))
        finished += [Completion(row.request_id, [], [], "aborted", self.version) for row in self._waiting]
        self._waiting.clear()
        return finished

    def set_version(self, version: int) -> None:
        """Name the weights that are now loaded; later requests draw from new random streams."""
        self.version = version
        self._seen.clear()

    def release_cache(self) -> None:
        """Free the key-value cache; allowed only while no row is live.

        Raises:
            RuntimeError: rows are live.
        """
        if self._rows:
            raise RuntimeError(f"{len(self._rows)} rows still use the key-value cache")
        self._cache = KVSlots(0, 0)
        self._state = RowState(0, 0, self.device)

    @torch.inference_mode()
    def step(self) -> list[Completion]:
        """Admit what fits, add one token to every live row, and return what ended.

        Rows admitted in this step get their first token from the prompt's own pass.
        """
        finished: list[Completion] = []
        joined = self._admit()
        if joined:
            first = len(self._rows) - len(joined)
            logits = torch.stack([row.first_logits for row in joined])  # type: ignore[misc]
            finished += self._append(slice(first, len(self._rows)), logits)
        if self._rows:
            finished += self._append(slice(0, len(self._rows)), self._decode())
        return finished

    # --- one pass of the model -------------------------------------------------------------------------

    def _decode(self) -> torch.Tensor:
        rows = len(self._rows)
        state = self._state
        lengths = state.lengths[:rows].clone()
        # tokens are written one step late: a row's newest token enters the cache when its successor is sought
        span = int(lengths.max()) + 1
        logits = self.model(
            input_ids=state.newest[:rows].unsqueeze(1),
            position_ids=lengths.unsqueeze(1),
            use_cache=False,
            toolrl_pass=Decode(self._cache, lengths, span),
        ).logits[:, -1]
        state.lengths[:rows] += 1
        return logits

    def _prefill(self, rows: list[Row]) -> None:
        """Run prompts through the model, shortest first so that passes carry little padding."""
        rows = sorted(rows, key=lambda row: len(row.prompt))
        while rows:
            count = 1
            while count < len(rows) and len(rows[count].prompt) * (count + 1) <= self.limits.prefill_tokens:
                count += 1
            batch, rows = rows[:count], rows[count:]
            width = len(batch[-1].prompt)
            ids = torch.zeros((count, width), dtype=torch.int64)
            for index, row in enumerate(batch):
                ids[index, : len(row.prompt)] = torch.tensor(row.prompt)
            last = torch.tensor([len(row.prompt) - 1 for row in batch])
            slots = torch.tensor([row.slot for row in batch], device=self.device)
            keep = last.unique()
            logits = self.model(
                input_ids=ids.to(self.device),
                position_ids=torch.arange(width, device=self.device).expand(count, width),
                use_cache=False,
                logits_to_keep=keep.to(self.device),
                toolrl_pass=Prefill(self._cache, slots),
            ).logits
            places = torch.searchsorted(keep, last).tolist()
            for index, row in enumerate(batch):
                row.first_logits = logits[index, places[index]]

    # --- rows coming and going -------------------------------------------------------------------------

    def _admit(self) -> list[Row]:
        if not self._waiting:
            return []
        room = self._make_room()
        if not room:
            return []
        joined = [self._waiting.popleft() for _ in range(room)]
        living = {row.prompt: row for row in self._rows}
        new: list[Row] = []
        shared: list[tuple[Row, Row]] = []
        for row in joined:
            row.slot = len(self._rows)
            self._rows.append(row)
            if row.prompt in living:
                shared.append((row, living[row.prompt]))
            else:
                living[row.prompt] = row
                new.append(row)
        if new:
            self._prefill(new)
        if shared:
            for row, source in shared:
                row.first_logits = source.first_logits
            self._cache.move(
                torch.tensor([source.slot for _, source in shared], device=self.device),
                torch.tensor([row.slot for row, _ in shared], device=self.device),
                max(len(row.prompt) for row, _ in shared),
            )
        self._state.enter(joined)
        return joined

    def _make_room(self) -> int:
        """Grow the cache for the waiting rows as far as the limits allow; return how many can join."""
        live, waiting = len(self._rows), len(self._waiting)
        needs = [len(row.prompt) + row.params.max_tokens for row in self._waiting]
        capacity = max(needs)
        capacity = max(self._cache.capacity, -(-capacity // _CAPACITY_STEP) * _CAPACITY_STEP)
        affordable = self.limits.cache_bytes // (self._bytes_per_position * capacity)
        slots = max(1, min(self.limits.rows, affordable, live + waiting))
        if capacity > self._cache.capacity and live > slots:
            return 0  # longer slots would not hold the live rows; wait until some leave
        if capacity > self._cache.capacity or slots > self._cache.slots:
            slots = max(slots, live)
            used = max((len(row.prompt) + row.params.max_tokens for row in self._rows), default=0)
            self._cache = self._cache.resized(slots, capacity, live, min(used, self._cache.capacity))
            self._state = self._state.resized(slots, capacity, live)
        return min(waiting, self._cache.slots - live)

    def _append(self, rows: slice, logits: torch.Tensor) -> list[Completion]:
        """Sample a token for the given rows, record it, and let the rows go that ended with it."""
        state = self._state
        params = [row.params for row in self._rows[rows]]
        generated = state.generated[rows]
        uniforms = state.uniforms[rows].gather(1, generated.unsqueeze(1)).squeeze(1)
        truncated = any(param.truncated for param in params)
        tokens, log_probs = sample_rows(
            logits,
            state.temperature[rows],
            uniforms,
            greedy=state.greedy[rows] if any(param.greedy for param in params) else None,
            top_p=state.top_p[rows] if truncated else None,
            top_k=state.top_k[rows].clamp(max=logits.shape[1]) if truncated else None,
        )
        at = generated.unsqueeze(1)
        state.tokens[rows].scatter_(1, at, tokens.unsqueeze(1))
        state.log_probs[rows].scatter_(1, at, log_probs.unsqueeze(1))
        state.newest[rows] = tokens
        generated += 1
        stopped = (
            torch.isin(tokens, self._stop) if len(self._stop) else torch.zeros_like(tokens, dtype=torch.bool)
        )
        ended = stopped | (generated >= state.limit[rows])
        if not bool(ended.any()):
            return []
        places = ended.nonzero().squeeze(1)
        reasons: list[StopReason] = ["completed" if hit else "length" for hit in stopped[places].tolist()]
        return self._take([rows.start + place for place in places.tolist()], reasons)

    def _take(self, slots: list[int], reasons: Sequence[StopReason]) -> list[Completion]:
        """Remove rows and close the gaps they leave with rows from the end."""
        if not slots:
            return []
        state = self._state
        counts = state.generated[slots].tolist()
        tokens, log_probs = state.tokens[slots].tolist(), state.log_probs[slots].tolist()
        finished = [
            Completion(self._rows[slot].request_id, ids[:count], logs[:count], reason, self.version)
            for slot, count, ids, logs, reason in zip(slots, counts, tokens, log_probs, reasons, strict=True)
        ]
        remaining = len(self._rows) - len(slots)
        gone = set(slots)
        holes = [slot for slot in slots if slot < remaining]
        movers = [slot for slot in range(remaining, len(self._rows)) if slot not in gone]
        if holes:
            span = int(state.lengths[movers].max())
            source, target = torch.tensor(movers, device=self.device), torch.tensor(holes, device=self.device)
            self._cache.move(source, target, span)
            state.move(source, target)
            for hole, mover in zip(holes, movers, strict=True):
                self._rows[hole] = self._rows[mover]
                self._rows[hole].slot = hole
        del self._rows[remaining:]
        return finished


def _cache_bytes_per_position(model: torch.nn.Module) -> int:
    """Bytes that one token of one row takes in the key-value cache."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * size * next(model.parameters()).element_size()
