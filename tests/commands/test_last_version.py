"""What an earlier version left is read as it was, with the same numbers; what would come out otherwise is new."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl

FIXTURE = Path(__file__).parents[1] / "fixtures" / "results_0_1_0"
SMOKE = Path(__file__).parents[2] / "sweeps" / "smoke.yaml"
PRETRAINED = "tiny-base-s0-14f10df6b3"
REPLACED = {
    "tiny-base-s0-952a460b66",
    "toolworld-tiny-base-s0-3c51004173",
    "grpo-tiny-original-s1-50ac47ff21",
    "grpo-tiny-original-s1-88d6f74238",
    "toolworld-grpo-tiny-original-s1-d1ee613890",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "results", symlinks=True))


def test_what_the_last_version_rounded_is_made_anew_and_the_plan_says_why(toolrl: Toolrl, root: Path) -> None:
    """It exported in bf16 what was trained in fp32, as this sweep is; its pretraining is as good as ever."""
    answer = toolrl("plan", str(SMOKE), "--json", "--explain")
    assert answer.code == 0, answer.err
    stages = {stage["id"]: stage for stage in answer.json["stages"]}
    assert [stage_id for stage_id, stage in stages.items() if not stage["owed"]] == [PRETRAINED]
    assert {s["drift"]["earlier"] for s in stages.values() if s["owed"] and s["drift"]["new"]} == REPLACED
    short, told = toolrl("plan", str(SMOKE)).out, toolrl("plan", str(SMOKE), "--explain").out
    assert "5 owed stages are new: earlier results are of another identity (exported precision)" in short
    assert (
        "exported precision (what trained in fp32 is exported in fp32 now; before, it was rounded to bf16)"
        in told
    )


def test_a_sweep_of_the_last_version_is_shown_as_done(toolrl: Toolrl, root: Path) -> None:
    document = toolrl("status", "smoke", "--json").json
    assert {stage["status"] for stage in document["stages"]} == {"succeeded"}
    shown = toolrl("show", "grpo-seed1")
    assert shown.code == 0 and "grpo-tiny-original-s1-50ac47ff21" in shown.out


def test_the_report_of_the_last_version_has_the_same_numbers(toolrl: Toolrl, root: Path) -> None:
    answer = toolrl("report", "smoke", "--json")
    (table,) = answer.json["tables"]
    means = {row["arm"]: [cell["mean"] for cell in row["cells"].values()] for row in table["rows"]}
    assert means == {"raw": [0.0, 0.0, 0.0, 0.0, 0.0], "grpo": [25.0, 0.0, 25.0, 0.0, 12.5]}


def test_resuming_a_sweep_of_the_last_version_as_it_was_runs_nothing_and_keeps_its_files(
    toolrl: Toolrl, root: Path
) -> None:
    before = {p: p.read_bytes() for p in root.glob("stages/**/*") if p.is_file()}
    answer = toolrl("resume", "smoke")
    assert answer.code == 0, answer.err
    assert "nothing to do" in answer.err
    assert {p: p.read_bytes() for p in root.glob("stages/**/*") if p.is_file()} == before
