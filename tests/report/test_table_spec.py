from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.report.table_spec import BestRule, StepRule, load_table, shipped_tables

MINE = """\
name: mine
title: My table
benchmark: toolworld
rows:
  - {name: a, label: A, where: {reward: original}}
columns:
  - {name: overall, label: Overall}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", shipped_tables())
def test_every_shipped_table_loads_under_its_own_name(name: str) -> None:
    assert load_table(name).name == name


def test_the_papers_tables_come_first_and_in_its_order() -> None:
    assert shipped_tables()[:4] == ["T1", "T2", "T3", "T5"]
    assert shipped_tables()[-1] == "toolworld"


def test_case_does_not_matter_in_the_name_of_a_shipped_table() -> None:
    assert load_table("t6").name == "T6"


def test_a_users_table_is_read_from_its_path(tmp_path: Path) -> None:
    assert load_table(write(tmp_path, MINE)).title == "My table"


@pytest.mark.parametrize(
    ("name", "hint"), [("toolwrld", "did you mean 'toolworld'"), ("zzzz", "valid tables: CR5")]
)
def test_an_unknown_table_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(SpecError, match=f"unknown table '{name}'.*{hint}"):
        load_table(name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.yaml"):
        load_table(str(tmp_path / "nowhere.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title:", "titel:", r"mine\.yaml:2.*unknown key 'titel'.*did you mean 'title'"),
        ("label: Overall", "lable: Overall", r"columns\[0\].lable.*did you mean 'label'"),
        ("where:", "when:", r"rows\[0\].*'when'.*did you mean 'where'"),
        ("title: My table", "title: My table\nprecision: 99", "precision: 99"),
        ("title: My table", "title: My table\nprecision: true", "precision: true"),
        ("title: My table", "title: My table\nbaseline: b", "baseline 'b' is no row"),
        ("title: My table", "title: My table\nprimary: over", "primary 'over' is no column"),
        ("title: My table", "title: My table\ndirection: up", "direction"),
        ("title: My table", "title: My table\ncheckpoint: first", "checkpoint"),
        ("name: mine", "name: claims", "taken by another file"),
        ("benchmark: toolworld\n", "", "names no benchmark"),
        ("  - {name: overall, label: Overall}", "  []", "columns"),
        (
            "  - {name: overall, label: Overall}",
            "  - {name: overall, label: A}\n  - {name: overall, label: B}",
            "two columns are named 'overall'",
        ),
        (
            "columns:",
            "  - {name: b, label: A, where: {reward: coarse}}\ncolumns:",
            "two rows are labelled 'A'",
        ),
    ],
)
def test_a_faulty_table_is_refused_with_place_and_nearest_name(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        load_table(write(tmp_path, MINE.replace(old, new)))
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_checkpoint_rules_have_three_forms(tmp_path: Path) -> None:
    assert load_table(write(tmp_path, MINE)).checkpoint == "last"
    by_step = load_table(write(tmp_path, MINE + "checkpoint: {step: 90}\n"))
    assert by_step.checkpoint == StepRule(step=90)
    by_metric = load_table(write(tmp_path, MINE + "checkpoint: {best: val-reward/total/mean}\n"))
    assert by_metric.checkpoint == BestRule(best="val-reward/total/mean", direction="higher")
