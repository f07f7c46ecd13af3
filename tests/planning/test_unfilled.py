"""A sweep whose report would be empty is told so when it is planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.planning.layout import make_plan
from toolrl_cli.planning.unfilled import unfilled_warnings
from toolrl_cli.spec.sweeps.reading.shipped import shipped_sweeps
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.store.ledger import Ledger


def told(path: Path, tables: list[str] | None = None) -> list[str]:
    document = read_sweep(path)
    ledger = Ledger(Path("/nowhere"))
    plan = make_plan(document.sweep.name, resolve_sweep(document).runs, FixedFacts(), ledger)
    return unfilled_warnings(plan, document.sweep.tables if tables is None else tables, ledger)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\nbase: {preset: tiny_grpo}\naxes: {reward: [original, coarse]}\nevaluate: [toolworld]\n"
    )
    return path


def test_a_sweep_that_evaluates_nothing_is_told_so(sweep: Path) -> None:
    sweep.write_text("name: s\nbase: {preset: tiny_grpo, reward: original}\n")
    (line,) = told(sweep)
    assert line.startswith("nothing is evaluated") and "evaluate: [toolworld]" in line


def test_a_table_of_another_benchmark_is_named(sweep: Path) -> None:
    (line,) = told(sweep, ["toolworld", "T6"])
    assert "table T6 will be empty: it reads bfcl, and the runs are evaluated on toolworld" in line


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "filter: {algorithm: ppo}\n",
            ": the filter fits no arm: none has algorithm ppo (did you mean 'grpo'?)",
        ),
        (
            "rows: [{name: a, label: A, where: {reward: finegrained}}]\n",
            ": row 'a' fits no arm: none has reward finegrained (valid values: coarse, original)",
        ),
        (
            "rows: [{name: a, label: A, where: {rl.stesp: 5}}]\n",
            "row 'a' fits no arm: rl.stesp: unknown key 'stesp'",
        ),
        ("rows: [{name: a, label: A, where: {reward: coarse}}]\n", ""),
    ],
)
def test_a_table_that_no_arm_fits_is_named(sweep: Path, rows: str, said: str) -> None:
    table = sweep.with_name("t.yaml")
    table.write_text(
        f"name: t\ntitle: T\nbenchmark: toolworld\ncolumns: [{{name: overall, label: O}}]\n{rows}"
    )
    assert [said in line for line in told(sweep, [str(table)])] == ([True] if said else [])


@pytest.mark.parametrize("name", shipped_sweeps())
def test_no_shipped_sweep_leaves_a_table_empty(name: str) -> None:
    lines = told(Path(name))
    assert lines == [] or (name == "tiny_base" and lines[0].startswith("nothing is evaluated"))
