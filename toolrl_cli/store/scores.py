"""`scores.json` and `items.jsonl`: what an `evaluate` stage says of its model; written whole, read with doubt."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.store.documents import number, read_document
from toolrl_cli.store.files import explained, make_folder, open_to_read, write_json, write_text
from toolrl_cli.store.schemas import SCORES

ITEMS = "items.jsonl"
ANSWERS = "answers.jsonl"
"""In an `evaluate` stage's folder: a line for each item that was answered, so that a restart asks only what is owed."""

OWED = "owed.json"
"""In its `output/`: the items to be asked again; not there where none is."""

CONDITIONS = ("protocol", "version", "data_fingerprint", "prompt_format", "sampling")
"""Fields of `scores.json` that must agree before two scores may be averaged or compared."""


@dataclass(frozen=True)
class Score:
    """One metric of one evaluation.

    Attributes:
        value: as in `scores.json` (a share in [0, 1] unless the benchmark counts something), or None.
        correct, total: counts behind a share; None for a mean of means.
        why: why there is no value.
        fault: why its file's value was not taken: counts that are no whole numbers, or one without the other.
    """

    value: float | None
    correct: int | None = None
    total: int | None = None
    why: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Scores:
    """The content of one `scores.json`; `problem` says why none of it can be used.

    Attributes:
        cut: category → answers that were cut at the limit, of how many; nothing where none was.
    """

    conditions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Score] = field(default_factory=dict)
    problem: str = ""
    cut: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def write_scores(
    output: Path,
    scores: Mapping[str, Any],
    items: Iterable[Mapping[str, Any]],
    owed: Mapping[str, str] | None = None,
) -> None:
    """Write both files, `scores.json` last: where it is, the items are whole.

    Args:
        output: the stage's `output/`; made where missing.
        scores: the content of `scores.json` but for its schema.
        items: the lines of `items.jsonl`.
        owed: id → why, of items that were not answered and may be another time, for `owed.json`.

    Raises:
        LedgerError: the file system refuses.
    """
    make_folder(output)
    with explained(output):
        (output / OWED).unlink(missing_ok=True)  # of an attempt that was killed between its files
    if owed:
        write_json(output / OWED, {"items": dict(owed)})
    write_text(output / ITEMS, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
    write_json(output / SCORES.name, SCORES.stamped(scores))


def owed_items(output: Path) -> str:
    """What `owed.json` says, in one clause."""
    data, fault = read_document(output / OWED)
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, dict) or not items:
        return fault or f"{OWED} names no items"
    number, why = len(items), next(iter(items.values()))
    return f"{number} item{' has' if number == 1 else 's have'} no answer ({' '.join(str(why).split())})"


def read_scores(path: Path, benchmark: str) -> Scores:
    """Read the scores of a finished evaluation of `benchmark`."""
    data, fault = read_document(path)
    if data is None:
        return Scores(problem=fault or "scores.json is missing")
    try:
        data = SCORES.current(data)
    except LedgerError as error:
        return Scores(problem=error.what)
    except (KeyError, TypeError, ValueError):
        return Scores(problem="scores.json names no schema")
    problem = _fault(data, benchmark) or _disagreement(data, path.parent / ITEMS)
    if problem:
        return Scores(problem=problem)
    return Scores(
        conditions={key: _as_text(data.get(key)) for key in CONDITIONS},
        metrics={str(name): _score(entry) for name, entry in data["metrics"].items()},
        cut=_cut(data.get("cut")),
    )


def _fault(data: Mapping[str, Any], benchmark: str) -> str:
    if not isinstance(data.get("metrics"), dict):
        return "scores.json has no metrics"
    named = data.get("benchmark", benchmark)
    if benchmark and named != benchmark:
        return f"scores.json is of benchmark {named!r}, and {benchmark!r} was planned"
    return ""


def _cut(entries: Any) -> dict[str, tuple[int, int]]:
    found = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        cut, total = (
            (whole_number(entry.get(key)) for key in ("cut", "total"))
            if isinstance(entry, dict)
            else (None, None)
        )
        if cut is not None and total is not None:
            found[str(name)] = (cut, total)
    return found


_VERDICT = re.compile(
    rb'\{"id": ("(?:[^"\\]|\\.)*"), "category": ("(?:[^"\\]|\\.)*"), "correct": (true|false|null)\b'
)
"""The beginning of a line of `items.jsonl` as it is written; the rest is prompts, which need not be parsed."""


OVERALL = "overall"
WHOLES = (OVERALL, "accuracy")
"""Names of metrics that are of all items."""


def _of_all(metric: str, categories: Collection[str]) -> bool:
    """Whether a metric is of all items; a category may have the name."""
    return metric == OVERALL or (metric in WHOLES and metric not in categories)


def categories_behind(metric: str, categories: Collection[str]) -> frozenset[str]:
    """The categories whose items a metric is of; none where it is no share of items.

    Args:
        categories: those that the items have. Items of `overall`, which are of none, count for the total alone.
    """
    if _of_all(metric, categories):
        return frozenset(categories)
    return frozenset({metric}.intersection(categories))


MOST = 10**12
"""Most items of a benchmark that are believed."""

ROUNDED = 1e-3
"""Largest accepted difference between a share and what it is of, because the share may have been rounded."""


class _Unfit(ValueError):
    """What is wrong with a line of `items.jsonl`."""


def _disagreement(data: Mapping[str, Any], items: Path) -> str:
    """Where `scores.json` is not what the items say; empty where it is.

    A command's scores have no items, and those of earlier versions do not say how many they are of.
    """
    wanted = whole_number(data.get("items"))
    metrics = {str(name): entry for name, entry in data["metrics"].items() if isinstance(entry, dict)}
    try:
        found = _counts(items)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{ITEMS} cannot be read: {error.strerror}"
    except _Unfit as error:
        return f"{ITEMS} {error}"
    lines = sum(total for _, total, _ in found.values())
    if wanted is not None and lines != wanted:
        return f"scores.json is of {wanted} items, and {ITEMS} has {lines}"
    if not lines:
        return ""
    return next((told for name, entry in metrics.items() if (told := _unlike(name, entry, found))), "")


def _unlike(name: str, entry: Mapping[str, Any], found: Mapping[str, list[int]]) -> str:
    """Where one metric is not what the items of its category, or all of them, say."""
    kept = categories_behind(name, found)
    if not kept:
        return ""
    counts = [sum(column) for column in zip(*(found[category] for category in kept), strict=True)]
    correct, total = whole_number(entry.get("correct")), whole_number(entry.get("total"))
    if correct is not None and total is not None:
        if [correct, total] == counts[:2]:
            return ""
        return f"scores.json has {correct} of {total} right in {name}, and {ITEMS} {counts[0]} of {counts[1]}"
    value = number(entry.get("value"))
    shares = [right / of for right, of, _ in found.values()]
    if not _of_all(name, found) or value is None or any(unknown for *_, unknown in found.values()):
        return ""
    if min(shares) - ROUNDED <= value <= max(shares) + ROUNDED:
        return ""  # some mean of the categories
    return (
        f"scores.json has {value} in {name}, and the categories of {ITEMS} are from {min(shares):.3f}"
        f" to {max(shares):.3f}"
    )


def _counts(items: Path) -> dict[str, list[int]]:
    """Category → items that are right, all, and those without a verdict.

    Raises:
        _Unfit: a line is torn or no item, or an item stands twice.
    """
    found: dict[str, list[int]] = {}
    seen: set[bytes] = set()
    with open_to_read(items) as lines:
        for place, line in enumerate(lines, start=1):
            match = _VERDICT.match(line)
            if match and line.endswith(b"}\n"):
                name, category, verdict = match[1], json.loads(match[2]), match[3]
            else:
                name, category, verdict = _parsed(line, place)
            if name in seen:
                raise _Unfit(f"has the item {name.decode('utf-8', 'replace')} twice, in line {place}")
            seen.add(name)
            counts = found.setdefault(category, [0, 0, 0])
            counts[0] += verdict == b"true"
            counts[1] += 1
            counts[2] += verdict not in (b"true", b"false")
    return found


def _parsed(line: bytes, place: int) -> tuple[bytes, str, bytes]:
    """Id, category and verdict of a line that is written otherwise than by `write_scores`."""
    try:
        row = json.loads(line)
        return json.dumps(str(row["id"])).encode(), str(row["category"]), json.dumps(row["correct"]).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _Unfit(f"has a line that is torn or no item: line {place}") from None


def _score(entry: Any) -> Score:
    if not isinstance(entry, dict):
        return Score(None, why="its entry in scores.json is not readable")
    value = number(entry.get("value"))
    why = entry.get("why") or ("not available" if entry.get("value") is None else "its value is not a number")
    given = [entry.get(key) for key in ("correct", "total")]
    correct, total = map(whole_number, given)
    fault = ""
    if [None if v is None else whole_number(v) for v in given] != given or any(
        abs(v or 0) > MOST for v in (correct, total)
    ):
        fault = f"counts that are no whole numbers: {_short(given[0])} of {_short(given[1])}"
    elif value is not None and total is None and correct is not None:  # a total alone is of a mean of means
        fault = f"one count without the other: {given[0]} of {given[1]}"
    if fault:
        return Score(None, why=fault, fault=fault)
    return Score(value, correct, total, "" if value is not None else str(why), fault)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 20 else f"{text[:20]}…"


def whole_number(value: Any) -> int | None:
    """The value, where it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_as_text(value[k])}" for k in sorted(value, key=str))
    return "" if value is None else str(value)
