from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.report.sources.published import (
    EXEC_FREE_ERROR,
    all_published,
    comparable,
    exec_free_overall,
    load_published,
    sources,
)
from toolrl_cli.report.table_spec import load_table, shipped_tables

PRINTED = Path(__file__).parents[3] / "shared" / "paper" / "tables.csv"
PAPER = [c for c in all_published() if c.source == "paper" and c.table.startswith("T")]


def test_all_855_cells_of_the_paper_are_packaged_and_unchanged() -> None:
    assert len(PAPER) == 855
    text = "\n".join(f"{c.table} {c.model} {c.setting} {c.metric} {c.text}" for c in PAPER)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "721770c710be73c8"


@pytest.mark.skipif(not PRINTED.exists(), reason="the printed tables are not beside this checkout")
def test_the_packaged_cells_are_the_printed_ones_in_their_order() -> None:
    with PRINTED.open(encoding="utf-8", newline="") as lines:
        printed = list(csv.DictReader(lines))
    keys = ("table", "model", "setting", "value")
    assert [(c.table, c.model, c.label, c.text) for c in PAPER] == [
        tuple(r[k] for k in keys) for r in printed
    ]
    # Our names of metrics, benchmarks and protocols stand for one printed name each, and no two of ours for one.
    for ours, theirs in (("metric", "metric"), ("protocol", "benchmark")):
        pairs = {(getattr(c, ours), r[theirs]) for c, r in zip(PAPER, printed, strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    words = {c.metric: r["metric"] for c, r in zip(PAPER, printed, strict=True)}
    assert all(
        "".join(filter(str.isalnum, w.lower())).startswith(m.replace("_", "")[:3]) for m, w in words.items()
    )


def test_every_number_names_source_table_protocol_and_where_known_the_benchmarks_commit() -> None:
    assert all(c.source in sources() and c.table and c.protocol and c.setting for c in all_published())
    assert all(c.commit for c in PAPER)


@pytest.mark.parametrize("name", [n for n in shipped_tables() if load_table(n).published])
def test_a_shipped_table_shows_every_cell_that_was_printed_of_it(name: str) -> None:
    spec = load_table(name)
    assert not isinstance(spec.rows, str)
    shown = {(r.name, c.metric or c.name) for r in spec.rows for c in spec.columns}
    printed = {(c.setting, c.metric) for c in load_published("paper").cells if c.table == spec.published}
    assert printed == shown


@pytest.mark.parametrize(
    ("setting", "values"),
    [("grpo_cold", (45.84, 53.51, 59.41, 43.80)), ("raw", (21.94, 33.94, 41.45, 24.18))],
)
def test_the_derived_overall_without_exec_is_the_known_one(setting: str, values: tuple[float, ...]) -> None:
    paper = load_published("paper")
    for model, value in zip(paper.models("T1"), values, strict=True):
        cell = paper.find("T1", model, setting, "overall")
        assert cell is not None
        assert exec_free_overall(paper, cell) == pytest.approx(value, abs=EXEC_FREE_ERROR)


def test_nothing_is_derived_from_a_row_that_cannot_be_right_or_is_not_whole() -> None:
    paper = load_published("paper")
    for setting in ("sft400", "sft4k"):
        cell = paper.find("T1", "qwen2.5-3b-instruct", setting, "overall")
        assert cell is not None and cell.impossible
        assert exec_free_overall(paper, cell) is None
    alone = paper.find("CR6", "qwen2.5-3b-instruct", "data_4k", "overall")
    assert alone is not None and exec_free_overall(paper, alone) is None
    other = paper.find("T2", "qwen2.5-3b-instruct", "raw", "overall")
    assert other is not None and exec_free_overall(paper, other) is None


def test_exactly_two_printed_rows_are_marked_impossible() -> None:
    marked = {(c.table, c.model, c.setting) for c in PAPER if c.impossible}
    assert marked == {("T1", "Qwen2.5-3B-Instruct", "sft400"), ("T1", "Qwen2.5-3B-Instruct", "sft4k")}
    assert sum(c.impossible for c in PAPER) == 14


def test_misprints_of_api_bank_carry_the_number_that_the_counts_give() -> None:
    known = {"level_1": (254, 399), "level_3": (81, 131)}
    corrected = [c for c in PAPER if c.corrected is not None]
    assert {c.text for c in corrected} == {"63.6", "61.6", "59.3"}
    for cell in corrected:
        if cell.metric in known:
            correct, total = known[cell.metric]
            assert cell.corrected == round(100 * correct / total, 2)


@pytest.mark.parametrize(
    ("metric", "theirs", "ours", "may"),
    [
        ("overall", "bfcl_v3_exec", "bfcl_v3_exec", True),
        ("overall", "bfcl_v3_exec", "bfcl_v3", False),
        ("non_live_exec", "bfcl_v3_exec", "bfcl_v3", False),
        ("live", "bfcl_v3_exec", "bfcl_v3", True),
        ("live", "bfcl_v3_exec", "bfcl_v4", False),
        ("irrelevance", "bfcl_v4", "bfcl_v3", False),
        ("overall", "api_bank", "api_bank", True),
        ("overall", "api_bank", "", False),
    ],
)
def test_numbers_are_compared_only_where_both_protocols_give_the_same_one(
    metric: str, theirs: str, ours: str, may: bool
) -> None:
    assert comparable(metric, theirs, ours) is may


def test_reproductions_are_found_under_the_table_that_they_reproduce() -> None:
    cell = load_published("nyu").find("T2", "QWEN2.5-1.5B-instruct", "grpo_cold", "overall")
    assert cell is not None and cell.value == 58.96


def test_an_unknown_source_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'paper'"):
        load_published("papre")
