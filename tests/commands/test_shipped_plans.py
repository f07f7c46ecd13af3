"""The paper's sweeps are planned by the command, and verl itself accepts what they would run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli.datasets.verl_rows import rl_row, write_parquet

SWEEPS = Path(__file__).parents[2] / "sweeps"
NAMES = ("table1_2_3", "camera_ready")
"""Between them every preset, algorithm, kind of KL and split; the others are resolved in tests/spec."""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder with files as the authors released them, of a few rows."""
    folder = tmp_path / "rlla"
    folder.mkdir()
    row = {"instruction": "s", "input": "u", "output": "a"}
    (folder / "rlla_sft.json").write_text(json.dumps([row] * 3), encoding="utf-8")
    gold = "<think> t </think>\n<response> r </response>"
    write_parquet([rl_row("s", "u", gold, data_source="rlla", index=0, extra={})], folder / "test.parquet")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_sweep_is_planned_as_it_is(toolrl: Toolrl, released: Path, name: str) -> None:
    answer = toolrl("plan", str(SWEEPS / f"{name}.yaml"), "--json", "--set", f"data.path={released}")
    # whatever the disk here holds: verl is asked before that is looked at
    assert answer.code == 0 or (answer.code == 2 and "of disk" in answer.err), answer.err
    told = [line for line in answer.err.splitlines() if "tokens are not counted" in line]
    assert len(told) <= 1  # one line for all models of the hub, where neither cache nor hub has them
    stages = answer.json["stages"]
    assert {s["status"] for s in stages} <= {"pending", "blocked"}
    assert all(
        s["id"].split("-")[0] in ("bfcl", "api", "bamboogle") for s in stages if s["status"] == "blocked"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_sweep_is_planned_in_small(toolrl: Toolrl, name: str) -> None:
    answer = toolrl("plan", str(SWEEPS / f"{name}.yaml"), "--json", "--profile", "cpu")
    assert answer.code == 0, answer.err
    assert answer.json["sweep"] == f"{name}-cpu"
    assert {s["status"] for s in answer.json["stages"]} == {"pending"}


def test_a_folder_with_too_few_rows_is_told_before_anything_is_spent(toolrl: Toolrl, released: Path) -> None:
    sets = ("--set", f"data.path={released}")
    told = toolrl("plan", str(SWEEPS / "camera_ready.yaml"), "--only", "data-*", *sets).err
    assert "the held-out rows serve as train and as val" in told
    assert "1 train rows, too few for a step of 512 prompts (rl.prompts): 6 stages" in told
    assert "1 train rows, and data.at_least.train asks for 9800: 1 stage will refuse" in told


def test_the_largest_model_fits_the_gpus_that_the_presets_are_meant_for(
    toolrl: Toolrl, released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    sweep = (str(SWEEPS / "table1_2_3.yaml"), "--only", "qwen2.5-7b-*", "--set", f"data.path={released}")
    assert "will not fit" not in toolrl("plan", *sweep).out
    told = toolrl("plan", *sweep, "--set", "resources.offload=idle").out
    (warning,) = [line for line in told.splitlines() if "will not fit" in line]
    assert (
        warning.startswith("warning: rl grpo-qwen2.5-7b-instruct-")
        and "--set resources.offload=always" in warning
    )
    assert " rl → export → evaluate" in told  # until the last of the benchmarks that have a runner
