"""What makes two stages the same stage.

A stage's id is `<slug>-<10 hex>`: the SHA-256 of the canonical JSON of {schema version, kind, identity fields,
ids of the input stages}. `VERSION` changes when the function does; ids are literal in the tests, so that they
cannot drift unseen.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

VERSION = 1
HEX = 10

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_UNSAFE = re.compile(r"[^a-z0-9.]+")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no white space and no non-finite numbers; integral floats stay floats.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no JSON form.
    """
    return _ENCODER.encode(value)


def digest(value: Any, length: int = HEX) -> str:
    """The first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def stage_id(
    kind: str,
    slug: str,
    identity: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> str:
    """The id of a stage.

    Args:
        kind: what the stage does.
        slug: for people; not hashed.
        identity: field → value.
        inputs: role → id of a stage.
    """
    whole = {"version": VERSION, "kind": kind, "identity": dict(identity), "inputs": dict(inputs)}
    return f"{slugify(slug)}-{digest(whole)}"


@lru_cache(maxsize=4096)
def slugify(text: str, limit: int = 48) -> str:
    """Lower-case letters, digits, dots and dashes: safe in a path, a URL and a Slurm job name."""
    slug = _UNSAFE.sub("-", text.lower()).strip("-.")
    return slug[:limit].rstrip("-.") or "x"


def value_slug(value: Any) -> str:
    """A short readable form of a setting's value, for arm names."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return slugify(f"{value:g}" if math.isfinite(value) else str(value))
    if isinstance(value, Mapping):
        return slugify(str(value["name"])) if "name" in value else digest(value, 6)
    if isinstance(value, (list, tuple)):
        return slugify("-".join(value_slug(v) for v in value)) if value else "none"
    return slugify(str(value))
