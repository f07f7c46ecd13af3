"""The nearest valid name, for messages about a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from toolrl_cli.wording import listed


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name most like `name`, or None when nothing is close."""
    candidates = {v.lower(): v for v in valid}
    found = difflib.get_close_matches(name.lower(), list(candidates), n=1, cutoff=0.5)
    return candidates[found[0]] if found else None


def hint_for(name: str, valid: Iterable[str], kind: str = "names") -> str:
    """A hint for a message: the nearest valid name, or the whole list when nothing is close."""
    names = sorted(valid)
    close = nearest(name, names)
    if close is not None:
        return f"did you mean {close!r}?"
    if not names:
        return f"there are no {kind}"
    return f"valid {kind}: {listed(names, 12)}"
