"""Size of a model on the hub: of its files where they are cached, else by its configuration, cached or fetched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolrl_cli.training.models.model_folder import object_of

PATIENCE = 3.0
"""Seconds that a plan waits for the hub."""
DENSE = ("qwen2", "qwen3", "llama", "mistral")
"""Model types whose parameters follow from the configuration as `parameters_of` says."""


@lru_cache(maxsize=64)
def hub_config(name: str, revision: str | None) -> tuple[Path | None, Mapping[str, Any]] | None:
    """The folder of a model's snapshot, None where it is not cached, and its `config.json`.

    None where neither the cache nor the hub has it, or the hub does not answer.

    Args:
        name: `owner/name`.
        revision: commit, tag or branch; None for `main`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(hf_hub_download(name, "config.json", revision=revision, local_files_only=True))
        return path.parent, object_of(path.read_bytes())
    except LocalEntryNotFoundError:
        config = _fetched(name, revision)
        return (None, config) if config else None
    except (HFValidationError, OSError):  # no name that the hub could have
        return None


def _fetched(name: str, revision: str | None) -> Mapping[str, Any]:
    import httpx
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    try:  # not by hf_hub_download, which tries for half a minute where there is no network
        answer = get_session().get(
            hf_hub_url(name, "config.json", revision=revision),
            headers=build_hf_headers(),
            timeout=PATIENCE,
            follow_redirects=True,
        )
        return object_of(answer.content) if answer.is_success else {}
    except (httpx.HTTPError, OSError):  # OSError: offline mode
        return {}


def parameters_of(config: Mapping[str, Any]) -> int | None:
    """Parameters of a dense decoder by its configuration; None for another kind, or where a dimension is missing."""
    if config.get("model_type") not in DENSE:
        return None
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    found = [config.get(name) for name in names]
    if not all(isinstance(value, int) and value > 0 for value in found):
        return None
    hidden, intermediate, layers, heads, vocabulary = (int(value) for value in found if value is not None)
    head = int(config.get("head_dim") or hidden // heads)
    kv = int(config.get("num_key_value_heads") or heads) * head
    q = heads * head
    qwen2 = config["model_type"] == "qwen2"
    biases = (q + 2 * kv if qwen2 or config.get("attention_bias") else 0) + (
        hidden if config.get("attention_bias") and not qwen2 else 0
    )
    norms = 2 * hidden + (2 * head if config["model_type"] == "qwen3" else 0)
    layer = 2 * hidden * q + 2 * hidden * kv + biases + 3 * hidden * intermediate + norms
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return embeddings + layers * layer + hidden
