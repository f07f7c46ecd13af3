"""`scores.json` and `items.jsonl`: what an `evaluate` stage says of its model; written whole, read with doubt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.store.documents import number, read_document
from toolrl_cli.store.files import make_folder, write_json, write_text
from toolrl_cli.store.schemas import SCORES

ITEMS = "items.jsonl"

CONDITIONS = ("protocol", "version", "data_fingerprint", "prompt_format", "sampling")
"""Fields of `scores.json` that must agree before two scores may be averaged or compared."""


@dataclass(frozen=True)
class Score:
    """One metric of one evaluation.

    Attributes:
        value: as in `scores.json` (a share in [0, 1] unless the benchmark counts something), or None.
        correct, total: counts behind a share; None for a mean of means.
        why: why there is no value.
    """

    value: float | None
    correct: int | None = None
    total: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Scores:
    """The content of one `scores.json`; `problem` says why none of it can be used."""

    conditions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Score] = field(default_factory=dict)
    problem: str = ""


def write_scores(output: Path, scores: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> None:
    """Write both files, `scores.json` last: where it is, the items are whole.

    Args:
        output: the stage's `output/`; made where missing.
        scores: the content of `scores.json` but for its schema.
        items: the lines of `items.jsonl`.

    Raises:
        LedgerError: the file system refuses.
    """
    make_folder(output)
    write_text(output / ITEMS, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
    write_json(output / SCORES.name, SCORES.stamped(scores))


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
    problem = _fault(data, benchmark)
    if problem:
        return Scores(problem=problem)
    return Scores(
        conditions={key: _as_text(data.get(key)) for key in CONDITIONS},
        metrics={str(name): _score(entry) for name, entry in data["metrics"].items()},
    )


def _fault(data: Mapping[str, Any], benchmark: str) -> str:
    if not isinstance(data.get("metrics"), dict):
        return "scores.json has no metrics"
    named = data.get("benchmark", benchmark)
    if benchmark and named != benchmark:
        return f"scores.json is of benchmark {named!r}, and {benchmark!r} was planned"
    return ""


def _score(entry: Any) -> Score:
    if not isinstance(entry, dict):
        return Score(None, why="its entry in scores.json is not readable")
    value = number(entry.get("value"))
    why = entry.get("why") or ("not available" if entry.get("value") is None else "its value is not a number")
    correct, total = _whole(entry.get("correct")), _whole(entry.get("total"))
    return Score(value, correct, total, "" if value is not None else str(why))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_as_text(value[k])}" for k in sorted(value, key=str))
    return "" if value is None else str(value)
