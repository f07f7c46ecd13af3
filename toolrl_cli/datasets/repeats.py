"""Rows that come twice: in one split, with two gold answers, or in the test set and in what is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Triple = tuple[str, str, str]
"""System message, user message, gold answer; or an empty text, all messages of the prompt as JSON, gold answer."""


@dataclass(frozen=True)
class Repeats:
    """What is to be said of the rows of one split; positions from 0.

    Attributes:
        rows: how many the split has.
        double: rows that are equal to an earlier one.
        disputed: rows whose prompt an earlier row answers otherwise.
        tested: rows whose prompt is one of the test set.
        crlf: rows whose gold answer has the line ends of Windows.
    """

    rows: int
    double: Sequence[int] = ()
    disputed: Sequence[int] = ()
    tested: Sequence[int] = ()
    crlf: Sequence[int] = ()


def find_repeats(splits: Mapping[str, Sequence[Triple]], test: str | None) -> dict[str, Repeats]:
    """Look through every split.

    Args:
        splits: split → its rows.
        test: the split that must share no prompt with the others; None where one serves as the other on purpose.
    """
    held_out = {triple[:2] for triple in splits.get(test or "", ())}
    return {split: _repeats(rows, held_out if split != test else ()) for split, rows in splits.items()}


def _repeats(rows: Sequence[Triple], held_out: Iterable[tuple[str, ...]]) -> Repeats:
    answers: dict[tuple[str, ...], set[str]] = {}
    double, disputed = [], []
    for position, (*prompt, answer) in enumerate(rows):
        known = answers.setdefault(tuple(prompt), set())
        if answer in known:
            double.append(position)
        elif known:
            disputed.append(position)
        known.add(answer)
    tested = [position for position, row in enumerate(rows) if row[:2] in held_out]
    crlf = [position for position, row in enumerate(rows) if "\r\n" in row[2]]
    return Repeats(len(rows), double, disputed, tested, crlf)
