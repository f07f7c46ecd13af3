"""Per-item verdicts of a table's rows, small enough to be embedded in a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from toolrl_cli.report.comparisons.paired import Verdicts, compare_items
from toolrl_cli.report.model import Row, Table, rounded
from toolrl_cli.store.jsonl import read_jsonl

READ_BYTES = 100_000_000
"""Most bytes of items.jsonl files read for one table; `pairs` and the files themselves have the rest."""

TEXT_CHARACTERS = 2_000_000
"""Most characters of prompts and outputs in one table."""

EXCERPT = 240
MAX_PAIRED_ROWS = 40


def table_items(table: Table, results: Path) -> dict[str, Any]:
    """Verdicts by row and item, with excerpts where rows disagree.

    Returns:
        `ids` and `categories` of all items; `verdicts`: row position → one sign an item (`1` right by the majority of
        its seeds, `0` wrong, `-` no verdict); `prompts` and `outputs` (row → item → excerpt) of items on which rows
        disagree; `p`: exact McNemar p by "row,row"; `bootstrap`: difference over all items with its
        95 % interval, in points, by "row,row"; `why`: why there are no verdicts, if there are none.
    """
    files = {i: [results / s.items for s in _sources(row)] for i, row in enumerate(table.rows)}
    size = sum(path.stat().st_size for paths in files.values() for path in paths)
    if size > READ_BYTES:
        why = f"{size / 1e6:.0f} MB of per-item files are more than a page can hold; `toolrl report --pair` reads them."
        maps = ("verdicts", "prompts", "outputs", "p", "bootstrap")
        return {"ids": [], "categories": [], **{name: {} for name in maps}, "why": why}
    right: dict[int, dict[str, list[bool]]] = {}
    seen: dict[str, dict[str, Any]] = {}
    first: dict[int, dict[str, str]] = {}
    for position, paths in files.items():
        for path in paths:
            for item in _verdicts(path):
                name = str(item["id"])
                seen.setdefault(name, item)
                right.setdefault(position, {}).setdefault(name, []).append(item["correct"])
                first.setdefault(position, {}).setdefault(name, _excerpt(item.get("output")))
    ids = sorted(seen)
    verdicts = {i: "".join(_sign(found.get(name, [])) for name in ids) for i, found in right.items()}
    prompts, outputs = _texts(ids, verdicts, seen, first)
    p_values, intervals = _pairs(right)
    return {
        "ids": ids,
        "categories": [str(seen[name].get("category", "")) for name in ids],
        "verdicts": verdicts,
        "prompts": prompts,
        "outputs": outputs,
        "p": p_values,
        "bootstrap": intervals,
        "why": "",
    }


def _sources(row: Row) -> list[Any]:
    """The distinct evaluations of a row that have items."""
    found = {
        s.items: s for cell in row.cells.values() for s in cell.sources if s.items and s.value is not None
    }
    return list(found.values())


def _verdicts(path: Path) -> Iterator[dict[str, Any]]:
    return (row for row in read_jsonl(path) if "id" in row and isinstance(row.get("correct"), bool))


def _sign(verdicts: list[bool]) -> str:
    if not verdicts:
        return "-"
    return "1" if 2 * sum(verdicts) > len(verdicts) else "0"


def _texts(
    ids: list[str],
    verdicts: dict[int, str],
    seen: dict[str, dict[str, Any]],
    first: dict[int, dict[str, str]],
) -> tuple[dict[int, str], dict[int, dict[int, str]]]:
    """Excerpts for the items on which rows disagree, up to the size limit."""
    prompts: dict[int, str] = {}
    outputs: dict[int, dict[int, str]] = {}
    room = TEXT_CHARACTERS
    for place, name in enumerate(ids):
        if len({line[place] for line in verdicts.values()} - {"-"}) < 2:
            continue
        prompt = _excerpt(_question(seen[name].get("prompt")), tail=True)
        texts = {row: found[name] for row, found in first.items() if name in found}
        room -= len(prompt) + sum(map(len, texts.values()))
        if room < 0:
            break
        prompts[place] = prompt
        for row, text in texts.items():
            outputs.setdefault(row, {})[place] = text
    return prompts, outputs


def _question(prompt: Any) -> Any:
    """The last message of a dialogue; earlier versions wrote that alone."""
    last = prompt[-1] if isinstance(prompt, list) and prompt else prompt
    return last.get("content") if isinstance(last, dict) else last


def _excerpt(value: Any, tail: bool = False) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    if len(text) <= EXCERPT:
        return text
    return f"…{text[-EXCERPT:]}" if tail else f"{text[:EXCERPT]}…"


def _pairs(right: Mapping[int, Verdicts]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """McNemar's p and the bootstrap's difference, low and high in points, by "row,row"."""
    if len(right) > MAX_PAIRED_ROWS:
        return {}, {}
    p_values, intervals = {}, {}
    for a, b in combinations(sorted(right), 2):
        found = compare_items(right[a], right[b])
        p_values[f"{a},{b}"] = float(f"{found.mcnemar_p:.3g}")
        if found.bootstrap is not None:
            ends = (found.bootstrap.difference, found.bootstrap.low, found.bootstrap.high)
            intervals[f"{a},{b}"] = [rounded(100 * v, 1) for v in ends]
    return p_values, intervals
