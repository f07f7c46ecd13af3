"""Which commit a model's name on the hub stands for."""

from __future__ import annotations

import re
from pathlib import Path

TIMEOUT = 10.0  # seconds
_COMMIT = re.compile(r"[0-9a-f]{40}")


def commit_of(name: str, revision: str | None) -> str | None:
    """The commit that a branch or tag of a model stands for: by the local cache, else by the hub; None: neither tells.

    Args:
        name: `organisation/model`.
        revision: branch, tag or commit; None for `main`.
    """
    wanted = revision or "main"
    if _COMMIT.fullmatch(wanted):
        return wanted
    from httpx import HTTPError  # what the hub's client raises where there is no network
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError

    cached = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}", "refs", wanted)
    if cached.is_file():
        return cached.read_text(encoding="ascii").strip()
    try:
        found = HfApi().model_info(name, revision=wanted, timeout=TIMEOUT).sha
    except (HTTPError, OSError, HFValidationError):  # its own errors are `OSError`s too
        return None
    return str(found) if found else None
