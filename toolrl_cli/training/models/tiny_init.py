"""Initial weights with which a few hundred SFT steps are enough.

Copying from the prompt needs pairs of attention heads that work together (Olsson et al. 2022, arXiv 2209.11895),
and a small model takes most of its training to find them. As in mimetic initialisation (Trockman and Kolter 2023,
arXiv 2305.09828), the weights start near what training would find, and all remain trainable:

- first layer, head 0: attends to the previous token (query and key biases under RoPE) and writes it into its own
  subspace;
- second layer, head 0: finds an earlier occurrence of the current token and copies the token after it;
- second layer, head 1: finds an earlier occurrence of the previous token and copies the token after it;
- later layers: every head copies what it attends to.

Training learns everything else.
"""

from __future__ import annotations

from typing import Any

POSITION_SHARPNESS = 4.0
POSITION_FREQUENCIES = 3
MATCH_STRENGTH = 1.0


def start_from_copying_heads(model: Any) -> None:
    """Set the attention weights of a freshly initialised `Qwen2ForCausalLM` in place.

    Draws from torch's global random state. Needs at least two layers and two heads, and as many key-value heads.
    """
    import torch

    layers = [_Attention(layer.self_attn) for layer in model.model.layers]
    with torch.no_grad():
        layers[0].look_back(0, model.model.rotary_emb.inv_freq)
        read, write = layers[0].copy(0, into_own_subspace=True)
        layers[1].match(0, query=read, key=write)
        layers[1].match(1, query=write, key=write)
        for layer in layers[1:]:
            for head in range(layer.heads):
                layer.copy(head)


class _Attention:
    """Head-wise access to the weights of one attention layer; `hidden` by `head_dim` bases are orthonormal."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._dim: int = module.head_dim
        self.heads: int = module.o_proj.weight.shape[1] // module.head_dim

    def _rows(self, head: int) -> slice:
        return slice(head * self._dim, (head + 1) * self._dim)

    def look_back(self, head: int, frequencies: Any) -> None:
        """Set biases whose rotated product is highest where the key is one token before the query."""
        import torch

        rows = self._rows(head)
        query, key = torch.zeros(self._dim), torch.zeros(self._dim)
        fast = frequencies[:POSITION_FREQUENCIES]
        key[: len(fast)] = POSITION_SHARPNESS
        query[: len(fast)] = POSITION_SHARPNESS * torch.cos(fast)
        query[self._dim // 2 : self._dim // 2 + len(fast)] = -POSITION_SHARPNESS * torch.sin(fast)
        self._module.q_proj.bias[rows] = query
        self._module.k_proj.bias[rows] = key
        for projection in (self._module.q_proj, self._module.k_proj):
            projection.weight[rows] *= 0.2  # position counts more than content

    def copy(self, head: int, *, into_own_subspace: bool = False) -> tuple[Any, Any]:
        """Make the head output the token that it attends to, projected on a random subspace.

        Returns:
            The bases that are read and written; they are the same unless `into_own_subspace`.
        """
        import torch

        rows = self._rows(head)
        hidden = self._module.v_proj.weight.shape[1]
        read = torch.linalg.qr(torch.randn(hidden, self._dim))[0]
        write = torch.linalg.qr(torch.randn(hidden, self._dim))[0] if into_own_subspace else read
        self._module.v_proj.weight[rows] = read.T
        self._module.o_proj.weight[:, rows] = write
        return read, write

    def match(self, head: int, *, query: Any, key: Any) -> None:
        """Attend to tokens whose projection on `key` equals the current token's projection on `query`."""
        rows = self._rows(head)
        scale = MATCH_STRENGTH**0.5
        self._module.q_proj.weight[rows] = query.T * scale
        self._module.k_proj.weight[rows] = key.T * scale
