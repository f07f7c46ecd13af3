"""Whether an answer holds the gold answer: without a model that judges, so that anybody can check it."""

from __future__ import annotations

import re
import unicodedata

_MONTHS = frozenset({
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
})  # fmt: skip
_ARTICLES = frozenset({"a", "an", "the"})
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
LONGEST = 20_000
"""Characters of an answer that are read."""


def words_of(text: str) -> list[str]:
    """The words that are compared: lower case, without accents, articles, punctuation, ordinal endings."""
    plain = unicodedata.normalize("NFKD", text[:LONGEST]).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = _ORDINAL.sub(r"\1", _THOUSANDS.sub("", plain))
    return [word for word in re.findall(r"\w+", plain) if word not in _ARTICLES]


def holds(answer: str, gold: str) -> bool:
    """Whether the words of the gold answer stand in an answer, one after the other; of a date in any order."""
    wanted, given = words_of(gold), words_of(answer)
    if not wanted:
        return False
    if _MONTHS.intersection(wanted):
        wanted = sorted(w for w in wanted if w != "of")
        given = [w for w in given if w != "of"]
        return any(sorted(given[at : at + len(wanted)]) == wanted for at in range(len(given)))
    return any(given[at : at + len(wanted)] == wanted for at in range(len(given)))


def same(answer: str, gold: str) -> bool:
    """Whether an answer is the gold answer and nothing else."""
    return len(words_of(answer)) == len(words_of(gold)) and holds(answer, gold)
