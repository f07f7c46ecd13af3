"""Per-item verdicts of a table's rows, small enough to be embedded in a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from toolrl_cli.report.comparability import not_comparable
from toolrl_cli.report.comparisons.paired import Verdicts, compare_items, in_points
from toolrl_cli.report.model import Head, Row, Source, Table, digits, rounded
from toolrl_cli.report.page_data.excerpts import excerpt, text_of, weight
from toolrl_cli.store.jsonl import read_jsonl

READ_BYTES = 100_000_000
"""Most bytes of items.jsonl files read for one table; `pairs` and the files themselves have the rest."""

TEXT_BYTES = 4_000_000
"""Most bytes of prompts, tools, gold answers and outputs in a page."""

ANSWERED = ("output", "reason", "stop")
MAX_PAIRED_ROWS = 40


def table_items(table: Table, results: Path, room: int) -> list[dict[str, Any]]:
    """Verdicts by row and item, with what was asked and answered; one entry for each benchmark of the table.

    Args:
        room: most bytes of the texts of one benchmark.

    Returns:
        `benchmark`; `ids` and `categories` of all items; `right` and `asked`: row position → for each item how many
        of the row's evaluations got it right, of how many; `texts` (item → `asked`, `tools`, `gold`)
        and `answers` (row → item → `output`, `reason`, `stop` of one evaluation of the row, a wrong one where there
        is one), of as many items as there is room for;
        `pairs`: "row,row" → the comparison as `--pair` makes it over all items (`difference`, `low`, `high` in
        points, `p`, `sign_p`, `n`), or `why` the two may not be compared; `why`: why there are no verdicts.
    """
    benchmarks = dict.fromkeys(head.benchmark for head in table.columns)
    return [_of_benchmark(table, benchmark, results, room) for benchmark in benchmarks]


def without_items(table: dict[str, Any], size: int) -> None:
    """Leave the verdicts of a table's items in their files, and say so; `size` is what they take in bytes."""
    empty: dict[str, Any] = {"ids": [], "categories": []}
    empty |= {name: {} for name in ("right", "asked", "texts", "answers")}
    for found in table["items"]:
        told = (
            f"{size / 1e6:.1f} MB of verdicts are more than this page can hold; the items' files have them."
        )
        found.update(empty | {"why": told})


def text_room(tables: Sequence[Table]) -> int:
    """Bytes of texts that each benchmark of each table may take, all together no more than a page can hold."""
    entries = sum(len({head.benchmark for head in table.columns}) for table in tables)
    return TEXT_BYTES // max(1, entries)


def _of_benchmark(table: Table, benchmark: str, results: Path, room: int) -> dict[str, Any]:
    heads = [head for head in table.columns if head.benchmark == benchmark]
    files = {i: [results / s.items for s in _sources(row, heads)] for i, row in enumerate(table.rows)}
    size = sum(path.stat().st_size for paths in files.values() for path in paths)
    found: dict[str, Any] = {"benchmark": benchmark, "ids": [], "categories": [], "why": ""}
    found |= {name: {} for name in ("right", "asked", "texts", "answers", "pairs")}
    if size > READ_BYTES:
        why = f"{size / 1e6:.0f} MB of per-item files are more than a page can hold; `toolrl report --pair` reads them."
        return found | {"why": why}
    verdicts: dict[int, dict[str, list[bool]]] = {}
    seen: dict[str, dict[str, Any]] = {}
    shown: dict[int, dict[str, dict[str, Any]]] = {}
    for position, paths in files.items():
        for path in paths:
            for item in _verdicts(path):
                name = str(item["id"])
                seen.setdefault(name, item)
                earlier = verdicts.setdefault(position, {}).setdefault(name, [])
                # of several seeds one answer is shown: the first that is wrong, as it is what has a reason
                if not earlier or (all(earlier) and not item["correct"]):
                    shown.setdefault(position, {})[name] = {key: item.get(key) for key in ANSWERED}
                earlier.append(item["correct"])
    ids = sorted(seen)
    texts, answers = _texts(ids, verdicts, seen, shown, room)
    return found | {
        "ids": ids,
        "categories": [str(seen[name].get("category", "")) for name in ids],
        "right": {i: [sum(rows.get(name, ())) for name in ids] for i, rows in verdicts.items()},
        "asked": {i: [len(rows.get(name, ())) for name in ids] for i, rows in verdicts.items()},
        "texts": texts,
        "answers": answers,
        "pairs": _pairs(table, heads, verdicts),
    }


def _sources(row: Row, heads: Sequence[Head]) -> list[Source]:
    """The distinct evaluations of a row in these columns that have items."""
    cells = [row.cells[head.name] for head in heads]
    found = {s.items: s for cell in cells for s in cell.sources if s.items and s.value is not None}
    return list(found.values())


def _verdicts(path: Path) -> Iterator[dict[str, Any]]:
    return (row for row in read_jsonl(path) if "id" in row and isinstance(row.get("correct"), bool))


def _texts(
    ids: list[str],
    verdicts: Mapping[int, Verdicts],
    seen: Mapping[str, Mapping[str, Any]],
    shown: Mapping[int, Mapping[str, Mapping[str, Any]]],
    room: int,
) -> tuple[dict[int, dict[str, str]], dict[int, dict[int, dict[str, str]]]]:
    """What was asked and answered: items on which rows disagree first, then wrong ones, up to the size limit."""
    texts: dict[int, dict[str, str]] = {}
    answers: dict[int, dict[int, dict[str, str]]] = {}

    def worth(place: int) -> tuple[bool, bool, int]:
        found = [rows[ids[place]] for rows in verdicts.values() if ids[place] in rows]
        agreed = len({sum(right) / len(right) for right in found}) < 2
        return agreed, all(map(all, found)), place

    for place in sorted(range(len(ids)), key=worth):
        name = ids[place]
        told = _kept(seen[name], ("tools", "gold")) | {"asked": _asked(seen[name].get("prompt"))}
        said = {row: _kept(found[name], ANSWERED) for row, found in shown.items() if name in found}
        room -= sum(weight(text) for kept in (told, *said.values()) for text in kept.values())
        if room < 0:
            break
        texts[place] = told
        for row, kept in said.items():
            answers.setdefault(row, {})[place] = kept
    return texts, answers


def _kept(item: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {name: excerpt(item[name]) for name in names if item.get(name) not in (None, "", [])}


def _asked(prompt: Any) -> str:
    """The whole dialogue, each message after its role; earlier versions wrote the last message alone."""
    if not isinstance(prompt, list):
        return excerpt(prompt)
    told = (message for message in prompt if isinstance(message, Mapping))
    return excerpt(
        "\n\n".join(f"{message.get('role')}: {text_of(message.get('content'))}" for message in told)
    )


def _pairs(table: Table, heads: Sequence[Head], right: Mapping[int, Verdicts]) -> dict[str, dict[str, Any]]:
    """The comparison of each two rows by "row,row", or the reason why they are not compared."""
    if len(right) > MAX_PAIRED_ROWS:
        return {}
    return {f"{a},{b}": _pair(table, heads, a, b, right) for a, b in combinations(sorted(right), 2)}


def _pair(
    table: Table, heads: Sequence[Head], a: int, b: int, right: Mapping[int, Verdicts]
) -> dict[str, Any]:
    cells = [(table.rows[a].cells[head.name], table.rows[b].cells[head.name]) for head in heads]
    why = next((told for pair in cells if (told := not_comparable(*pair))), "")
    if why:
        return {"why": why}
    found = compare_items(right[a], right[b])
    if found.difference is None:
        return {"why": "fewer than two items in common"}
    points = in_points(found.difference)
    ends = {name: rounded(getattr(points, name), 1) for name in ("difference", "low", "high")}
    return {**ends, "n": points.n, "p": digits(points.p), "sign_p": digits(found.mcnemar_p)}
