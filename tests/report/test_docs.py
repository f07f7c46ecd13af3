"""What docs/report.md shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.comparisons.claims import load_claims
from toolrl_cli.report.table_spec import ColumnSpec, TableSpec, load_table, shipped_tables

TEXT = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def block(language: str, start: str, folder: Path, name: str) -> Path:
    found = next(b for b in re.findall(rf"```{language}\n(.*?)```", TEXT, re.S) if b.startswith(start))
    (folder / name).write_text(found, encoding="utf-8")
    return folder / name


def test_the_table_of_the_manual_is_a_table(tree: Tree, tmp_path: Path) -> None:
    path = block("yaml", "name: mine", tmp_path, "mine.yaml")
    for reward in ("original", "coarse"):
        tree.sweep().run(reward, reward=reward).done(toolworld_scores(0.5))
    (table,) = build_report(tree.write(), ["demo"], [str(path)]).tables
    assert [(r.label, r.cells["overall"].mean) for r in table.rows] == [("Original", 50.0), ("Coarse", 50.0)]


def test_the_claim_and_the_import_of_the_manual_are_read(tmp_path: Path) -> None:
    assert load_claims(block("yaml", "claims:", tmp_path, "c.yaml"))[0].name == "coarse_is_enough"
    runs = block("csv", "arm,seed", tmp_path, "runs.csv")
    cell = (
        build_report(tmp_path, tables=["T6"], imports=[runs], against="paper").tables[0].rows[0].cells["live"]
    )
    assert (cell.mean, cell.n) == (70.01, 2) and cell.printed is not None and cell.printed.difference == -3.77


@pytest.mark.parametrize("key", sorted(TableSpec.model_fields.keys() | ColumnSpec.model_fields.keys()))
def test_every_key_of_a_table_is_in_the_manual(key: str) -> None:
    assert re.search(rf"\b{key}\b", TEXT)


def test_every_shipped_table_is_in_the_manual() -> None:
    told = TEXT.replace("CR5 to CR8", "CR5, CR6, CR7, CR8")
    assert all(re.search(rf"\b{name}\b", told) for name in shipped_tables() if load_table(name))
