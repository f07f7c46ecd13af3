"""Numbers that others published, and whether ours may be compared with them.

The CSV files under `data/` have one cell a line, percentages as printed. A number belongs to a *protocol*: the
paper's BFCL Overall includes the "exec" categories (`bfcl_v3_exec`), which no released evaluator scores any more
(`bfcl_v3`: bfcl-eval 2025.6.8), and V4 changes data and formulas (`bfcl_v4`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.source import read_yaml

DATA = Path(__file__).parent / "data"
FILES = ("paper_v1.csv", "camera_ready.csv", "reproductions.csv")

PAPER = "paper"
"""The source whose tables toolrl reproduces."""

EXEC_METRICS = frozenset({"overall", "non_live_exec"})
"""BFCL V3 columns that include the exec categories; all others are the same with and without them."""

EXEC_FREE_ERROR = 0.05
"""Error of the derived Overall: 0.013 from the rounding of four printed cells, and a margin."""


@dataclass(frozen=True)
class PublishedCell:
    """One printed number.

    Attributes:
        source: key of `sources.yaml`.
        table: the paper's table that it is in or reproduces.
        protocol: how the benchmark was scored; commit: the benchmark's code, where known.
        setting: row key; label: the row as printed.
        value, text: the number and its digits as stored.
        corrected: the correct value, for a misprint that arithmetic reveals.
        mark: what a reader must know about it; starts with `impossible` if it cannot be a target.
    """

    source: str
    table: str
    benchmark: str
    protocol: str
    commit: str
    model: str
    setting: str
    label: str
    metric: str
    value: float
    text: str
    corrected: float | None
    mark: str

    @property
    def impossible(self) -> bool:
        return self.mark.startswith("impossible")

    @property
    def target(self) -> float:
        """The value to compare with: the number, or its corrected value."""
        return self.value if self.corrected is None else self.corrected


@dataclass(frozen=True)
class Published:
    """All printed numbers of one source, found by table, model, setting and metric."""

    source: str
    cells: tuple[PublishedCell, ...]
    index: Mapping[tuple[str, str, str, str], PublishedCell]

    def find(self, table: str, model: str, setting: str, metric: str) -> PublishedCell | None:
        """The printed number, or None; the model's name is not case-sensitive."""
        return self.index.get((table, model.lower(), setting, metric))

    def models(self, table: str) -> list[str]:
        """Models of a table, in printed order."""
        return list(dict.fromkeys(c.model for c in self.cells if c.table == table))


@lru_cache(maxsize=1)
def sources() -> dict[str, str]:
    """Source key → author and publication, in one line."""
    entries = read_yaml(DATA / "sources.yaml").data
    return {key: f"{entry['by']} ({entry['where']})" for key, entry in entries.items()}


@lru_cache(maxsize=8)
def load_published(source: str) -> Published:
    """The printed numbers of one source.

    Raises:
        SpecError: the source is unknown.
    """
    if source not in sources():
        known = sources()
        raise SpecError(f"nothing published by {source!r}", "--against", hint_for(source, known, "sources"))
    cells = tuple(c for c in all_published() if c.source == source)
    index = {(c.table, c.model.lower(), c.setting, c.metric): c for c in cells}
    return Published(source, cells, index)


@lru_cache(maxsize=1)
def all_published() -> tuple[PublishedCell, ...]:
    """All packaged numbers, in file order."""
    cells: list[PublishedCell] = []
    for name in FILES:
        with (DATA / name).open(encoding="utf-8", newline="") as lines:
            cells.extend(_cell(row) for row in csv.DictReader(lines))
    return tuple(cells)


def comparable(metric: str, theirs: str, ours: str) -> bool:
    """Whether a metric is the same quantity under two protocols."""
    if theirs == ours:
        return True
    return {theirs, ours} == {"bfcl_v3_exec", "bfcl_v3"} and metric not in EXEC_METRICS


def exec_free_overall(published: Published, cell: PublishedCell) -> float | None:
    """BFCL V3 Overall without exec, derived from the printed row of `cell`; see `EXEC_FREE_ERROR`.

    Solves the V3 formula (gorilla 4d05b53f: Overall = mean(Non-Live, Live, Multi-Turn), Non-Live the mean of
    four AST parts, four exec parts and irrelevance) for irrelevance, and inserts it in the formula of
    bfcl-eval 2025.6.8, which has no exec. None if the row is incomplete or cannot be right.
    """
    if cell.protocol != "bfcl_v3_exec" or cell.impossible:
        return None
    row: dict[str, float] = {}
    for metric in ("overall", "non_live_ast", "non_live_exec", "live", "multi_turn"):
        found = published.find(cell.table, cell.model, cell.setting, metric)
        if found is None:
            return None
        row[metric] = found.value
    sums = row["live"] + row["multi_turn"]
    irrelevance = 9 * (3 * row["overall"] - sums) - 4 * row["non_live_ast"] - 4 * row["non_live_exec"]
    return (sums + (4 * row["non_live_ast"] + irrelevance) / 5) / 3


def _cell(row: Mapping[str, str]) -> PublishedCell:
    fields = {k: row[k] for k in row if k not in ("value", "corrected")}
    corrected = float(row["corrected"]) if row["corrected"] else None
    return PublishedCell(**fields, value=float(row["value"]), text=row["value"], corrected=corrected)
