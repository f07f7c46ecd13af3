"""Pieces of messages: a count with its noun, names and texts that are cut, an error in one line."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str, form: str = "") -> str:
    """`1 stage`, `2 stages`, `2 harnesses`; `form` is the number's, as in a format string."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:{form}} {noun}{'' if number == 1 else ending}"


def listed(things: Sequence[object], most: int, between: str = ", ") -> str:
    """The first `most` of them, and `…` for the rest: `a, b, …`."""
    told = between.join(map(str, things[:most]))
    return f"{told}{between}…" if len(things) > most else told


def cut(text: str, limit: int) -> str:
    """The text in at most `limit` characters, of which the last is `…` where it is longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, and its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip()
