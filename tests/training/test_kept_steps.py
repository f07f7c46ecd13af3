"""Models of single steps are kept for their exports, while verl keeps only the newest checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.results_tree import plan_of, stage
from tests.training.test_checkpoints import write_rl
from toolrl_cli.errors import StageError
from toolrl_cli.spec.kind_configs import ExportConfig
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.training.checkpointing.checkpoints import torn_model
from toolrl_cli.training.checkpointing.chosen_checkpoint import lost_checkpoint, step_to_export
from toolrl_cli.training.checkpointing.kept_steps import StepKeeper, kept_folder, wanted_steps

TRAINED = stage("rl", "r", steps=6)


def export_of(step: int) -> StageSpec:
    config = {"checkpoint": "step", "step": step}
    return StageSpec(
        f"e{step}", "export", {**config, "format": "huggingface"}, {"checkpoint": TRAINED.id}, config
    )


def trained_to(checkpoints: Path, keeper: StepKeeper, last: int) -> None:
    """Saves every step and keeps one, as verl does with `keep_checkpoints: 1`."""
    for step in range(1, last + 1):
        write_rl(checkpoints, step, critic=True)
        keeper.look()
        shutil.rmtree(checkpoints / f"global_step_{step - 1}", ignore_errors=True)


def test_what_is_wanted_stays_and_nothing_else(tmp_path: Path) -> None:
    trained_to(tmp_path, StepKeeper(tmp_path, lambda: {2, 4}), 6)
    assert sorted(p.name for p in tmp_path.glob("*_step_*")) == [
        "global_step_6",
        "kept_step_2",
        "kept_step_4",
    ]
    assert torn_model(kept_folder(tmp_path, 2) / "actor") is None
    assert not list(tmp_path.rglob("kept_step_*/**/optim_*")) and not list(
        tmp_path.rglob("kept_step_*/critic")
    )


def test_what_is_being_written_is_kept_once_it_is_whole(tmp_path: Path) -> None:
    keeper = StepKeeper(tmp_path, lambda: {1})
    position = write_rl(tmp_path, 1) / "data.pt"
    whole = position.read_bytes()
    position.unlink()
    keeper.look()
    assert not kept_folder(tmp_path, 1).exists()
    position.write_bytes(whole)
    keeper.look()
    assert kept_folder(tmp_path, 1).is_dir()


def test_training_that_goes_on_from_an_earlier_step_forgets_the_later_ones(tmp_path: Path) -> None:
    keeper = StepKeeper(tmp_path, lambda: {1, 2, 3})
    trained_to(tmp_path, keeper, 3)
    keeper.go_on_from(2)
    assert sorted(p.name for p in tmp_path.glob("kept_*")) == ["kept_step_1", "kept_step_2"]


def test_the_steps_of_all_saved_sweeps_are_wanted(ledger: Ledger) -> None:
    for name, step in (("a", 2), ("b", 3)):
        plan = plan_of(ledger, [TRAINED, export_of(step)])
        SweepFolder(ledger.results, name).save(plan, "")
    (ledger.results / "sweeps" / "torn").mkdir()
    (ledger.results / "sweeps" / "torn" / "plan.json").write_text("{")
    assert wanted_steps(ledger.results, TRAINED.id) == {2, 3}
    assert wanted_steps(ledger.results, "other") == set()


def test_a_step_is_exported_from_where_it_is_or_missed_in_a_line(tmp_path: Path) -> None:
    trained_to(tmp_path, StepKeeper(tmp_path, lambda: {2}), 4)
    assert step_to_export(tmp_path, TRAINED, 2).model == kept_folder(tmp_path, 2) / "actor"
    assert step_to_export(tmp_path, TRAINED, 4).model == tmp_path / "global_step_4" / "actor"
    assert lost_checkpoint(tmp_path, TRAINED, ExportConfig(checkpoint="step", step=2)) is None
    lost = lost_checkpoint(tmp_path, TRAINED, ExportConfig(checkpoint="step", step=3))
    assert lost is not None and lost.what == "its checkpoint of step 3 was not kept"
    with pytest.raises(StageError, match="the checkpoint of step 3 was not kept") as missed:
        step_to_export(tmp_path, TRAINED, 3)
    assert f"toolrl resume SWEEP --stage {TRAINED.id} --fresh" in missed.value.hint
