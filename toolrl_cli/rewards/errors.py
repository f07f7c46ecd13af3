"""The one exception of this room, and the nearest-name hint its messages carry."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any


class RewardError(Exception):
    """A reward cannot be built, or a completion cannot be scored.

    A fault in scoring is an error, not a low score: training on a low score would teach the fault.

    Args:
        what: the fault in one clause, with the bad value.
        where: the key path, component, file or row that has the fault; may be empty.
        hint: what the user can do about it; may be empty.
        completion: the completion that was being scored, so that it can be saved for `explain`.
        ground_truth: its ground truth.
        step: verl's global step at which it was scored.
        tokens, row: what else it was scored with.
    """

    def __init__(
        self,
        what: str,
        where: str = "",
        hint: str = "",
        *,
        completion: str | None = None,
        ground_truth: str | None = None,
        step: int | None = None,
        tokens: int | None = None,
        row: Mapping[str, Any] | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        self.completion = completion
        self.ground_truth = ground_truth
        self.step = step
        self.tokens = tokens
        self.row = row
        super().__init__(str(self))

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line} ({self.hint})" if self.hint else line


def nearest(word: str, valid: Iterable[str]) -> str:
    """Hint that names the valid word closest to `word`, or all of them when none is close."""
    import difflib  # only a message needs it

    options = sorted(valid)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(options)}"


def shown(value: object, limit: int = 60) -> str:
    """`value` as it is quoted in a message: its repr on one line, cut at `limit` characters."""
    try:
        text = repr(value)
    except BaseException as fault:  # of a user's class, or a number of too many digits
        text = f"<{type(value).__name__}, whose repr raises {type(fault).__name__}>"
    return one_line(text, limit)


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line that can be written as UTF-8, cut at `limit` characters."""
    line = " ".join(text[: 4 * limit].split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def one_of(value: Any, valid: tuple[str, ...], where: str) -> str:
    """`value`, if it is one of these words.

    Raises:
        RewardError: it is none of them; the message names the nearest.
    """
    if isinstance(value, str) and value in valid:
        return value
    raise RewardError(f"{shown(value)} is not valid", where, nearest(str(value), valid))


def no_others(raw: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse keys that are none of these.

    Raises:
        RewardError: with the first of them; the message names the nearest.
    """
    for key in raw:
        if key not in known:
            raise RewardError(f"{shown(key)} is not known here", f"{where}.{key}", nearest(str(key), known))
