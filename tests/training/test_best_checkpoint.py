from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.support.configs import whole_config
from tests.support.stages import eventually
from tests.training.test_checkpoints import write_rl
from toolrl_cli.errors import StageError
from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.kind_configs import ExportConfig, RlConfig
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store import jsonl
from toolrl_cli.training.checkpointing import best_checkpoint
from toolrl_cli.training.checkpointing.best_checkpoint import (
    BestKeeper,
    CheckpointWatch,
    best_folder,
    read_best,
    validation_judge,
)
from toolrl_cli.training.checkpointing.checkpoints import TRACKER, newest_whole, prepare_resume, torn_model
from toolrl_cli.training.checkpointing.chosen_checkpoint import (
    best_to_export,
    candidates,
    last_to_export,
    lost_checkpoint,
)
from toolrl_cli.training.checkpointing.kept_steps import StepKeeper
from toolrl_cli.training.stage_functions import _best_keeper


def metrics(value: float) -> dict[str, float]:
    """A step's row as verl logs it with validation."""
    return {"critic/score/mean": 9.0, "val-aux/toolworld/total/mean@1": value}


def keeper(checkpoints: Path, steps: Collection[int]) -> BestKeeper:
    return BestKeeper(checkpoints, lambda step, data: data.get("val-aux/toolworld/total/mean@1"), steps)


class Training:
    """Saves, validates and logs as verl does, and removes what it saved before as verl does."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.checkpoints = folder / "checkpoints"
        self.checkpoints.mkdir(exist_ok=True)
        self.keep = keep
        self.saved: list[Path] = []
        self.keeper = keeper(self.checkpoints, range(100))

    def step(self, step: int, value: float | None, *, save: bool = True) -> None:
        if save:
            self.saved.append(write_rl(self.checkpoints, step, critic=True))
            for old in self.saved[: -self.keep]:
                shutil.rmtree(old / "actor", ignore_errors=True)
                shutil.rmtree(old / "critic", ignore_errors=True)
        self.keeper.take(step, {} if value is None else metrics(value))

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.checkpoints.iterdir() if path.is_dir())


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def test_the_best_step_is_kept_after_verl_has_removed_it(training: Training) -> None:
    for step, value in [(1, 0.1), (2, 0.9), (3, 0.2), (4, 0.3), (5, 0.4)]:
        training.step(step, value)
    assert read_best(training.checkpoints).step == 2
    assert not (training.checkpoints / "global_step_2" / "actor").exists()
    best = best_folder(training.checkpoints, 2)
    assert torn_model(best / "actor") is None
    assert [name for name in training.folders() if name.startswith("best")] == ["best_step_2"]


def test_a_checkpoint_that_a_stop_left_on_the_way_takes_no_candidate_s_place(tmp_path: Path) -> None:
    training = Training(tmp_path, keep=1)
    training.keeper = keeper(training.checkpoints, {2, 4, 5})
    for step, value in [(2, 0.5), (3, 0.9), (4, 0.3), (5, 0.4)]:
        training.step(step, value)
    best = read_best(training.checkpoints)
    assert (best.step, sorted(best.judged)) == (2, [2, 4, 5])
    assert torn_model(best_folder(training.checkpoints, 2) / "actor") is None


def test_the_validation_of_the_step_that_a_training_goes_on_from_judges_nothing_anew(tmp_path: Path) -> None:
    training = Training(tmp_path, keep=1)
    for step, value in [(2, 0.50), (4, 0.51)]:
        training.step(step, value)
    training.keeper.go_on_from(4)
    training.keeper.take(4, metrics(0.49))  # the same model, in another order of floating-point sums
    best = read_best(training.checkpoints)
    assert (best.step, dict(best.judged)) == (4, {2: 0.50, 4: 0.51})


def test_only_steps_that_are_saved_and_validated_are_candidates(tmp_path: Path) -> None:
    settings = {"rl": {"steps": 8, "save_every": 2, "validate_every": 4}}
    config = StageSpec("rl-x", "rl", {}, {}, whole_config("rl", settings), total_steps=8).settings(RlConfig)
    training = Training(tmp_path)
    training.step(2, 0.9)  # as an earlier version judged the step that it had gone on from
    training.keeper = _best_keeper(config, training.checkpoints)
    for step in (4, 6, 8):
        training.step(step, 1 / step)
    assert [*read_best(training.checkpoints).judged] == [4, 8]
    assert "best_step_4" in training.folders()


def test_keeping_the_best_takes_no_disk_while_verl_keeps_it_too(training: Training) -> None:
    training.step(1, 0.1)
    name = "actor/model_world_size_1_rank_0.pt"
    kept = best_folder(training.checkpoints, 1) / name
    assert kept.samefile(training.checkpoints / "global_step_1" / name)


def test_of_the_best_step_only_what_an_export_needs_is_kept(training: Training) -> None:
    training.step(1, 0.1)
    best = best_folder(training.checkpoints, 1)
    assert sorted(path.relative_to(best).as_posix() for path in best.rglob("*") if path.is_file()) == [
        "actor/fsdp_config.json",
        "actor/huggingface/config.json",
        "actor/model_world_size_1_rank_0.pt",
    ]


def test_of_equally_good_steps_the_earliest_is_kept(training: Training) -> None:
    for step in (1, 2, 3):
        training.step(step, 0.5)
    assert read_best(training.checkpoints).step == 1


def test_a_step_that_was_not_saved_or_not_validated_is_not_judged(training: Training) -> None:
    training.step(1, 0.9, save=False)
    training.step(2, None)
    training.step(3, 0.1)
    assert dict(read_best(training.checkpoints).judged) == {3: 0.1}


def test_a_torn_step_is_not_judged(training: Training) -> None:
    (write_rl(training.checkpoints, 1) / "data.pt").write_bytes(b"")
    training.keeper.take(1, metrics(0.9))
    assert read_best(training.checkpoints).step is None


def test_a_resumed_training_knows_what_was_best_before(training: Training, tmp_path: Path) -> None:
    training.step(1, 0.9)
    training.step(2, 0.1)
    again = Training(tmp_path)
    again.keeper.go_on_from(2)
    again.step(3, 0.5)
    assert read_best(training.checkpoints).step == 1
    assert "best_step_1" in again.folders()


def test_what_was_best_in_a_future_that_is_gone_is_forgotten(training: Training, tmp_path: Path) -> None:
    training.step(1, 0.1)
    training.step(2, 0.3)
    training.step(3, 0.9)
    shutil.rmtree(training.checkpoints / "global_step_3")
    again = Training(tmp_path)
    again.keeper.go_on_from(2)
    assert read_best(training.checkpoints).step == 2
    assert [name for name in again.folders() if name.startswith("best")] == ["best_step_2"]


def test_a_best_step_that_cannot_be_had_any_more_is_told(
    training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training.step(1, 0.5)
    training.step(2, 0.9)
    training.step(3, 0.1)
    shutil.rmtree(best_folder(training.checkpoints, 2))
    shutil.rmtree(training.checkpoints / "global_step_2")
    shutil.rmtree(training.checkpoints / "global_step_1")
    Training(tmp_path).keeper.go_on_from(3)
    assert "step 2 is best by validation, but its checkpoint is gone" in caplog.text
    assert read_best(training.checkpoints).step == 3


def test_a_step_that_an_attempt_did_not_live_to_judge_is_judged_by_the_next(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.step(1, 0.1)

    def die(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BestKeeper, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            training.step(2, 0.9)
    assert read_best(training.checkpoints).step == 1
    again = Training(tmp_path)
    again.keeper.go_on_from(2)
    again.keeper.catch_up([{"step": n, "data": metrics(v)} for n, v in [(0, 0.0), (1, 0.1), (2, 0.9)]])
    assert read_best(training.checkpoints).step == 2
    assert [name for name in again.folders() if name.startswith("best")] == ["best_step_2"]


def test_resuming_and_exporting_the_last_pay_no_heed_to_the_best(training: Training) -> None:
    training.step(1, 0.9)
    training.step(2, 0.1)
    shutil.rmtree(training.checkpoints / "global_step_2")
    assert prepare_resume(training.checkpoints).step == 1
    shutil.rmtree(training.checkpoints / "global_step_1")
    assert newest_whole(training.checkpoints) is None
    assert prepare_resume(training.checkpoints).step == 0
    assert not (training.checkpoints / TRACKER).exists()


def test_where_there_are_no_hard_links_the_best_is_copied(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    training.step(1, 0.1)
    kept = best_folder(training.checkpoints, 1) / "actor" / "model_world_size_1_rank_0.pt"
    source = training.checkpoints / "global_step_1" / "actor" / "model_world_size_1_rank_0.pt"
    assert kept.read_bytes() == source.read_bytes()
    assert not kept.samefile(source)


def test_a_full_disk_is_told_once_and_leaves_nothing_half_made(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", refuse)
    write_rl(training.checkpoints, 1)
    write_rl(training.checkpoints, 2)
    watch = CheckpointWatch(training.checkpoints, tmp_path, training.keeper, keep=2)
    for step in (1, 2):
        with (tmp_path / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({"step": step, "data": metrics(0.5)}) + "\n")
        watch.finish()
    assert caplog.text.count("No space left on device") == 1
    assert training.folders() == ["global_step_1", "global_step_2"]


@pytest.mark.parametrize("refused", ["best.json", "a link", "the metrics"])
def test_what_the_disk_refused_for_a_moment_is_made_up_for(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = tmp_path / "metrics.jsonl"
    watch = CheckpointWatch(
        training.checkpoints, tmp_path, training.keeper, 1, StepKeeper(training.checkpoints, lambda: {1})
    )
    monkeypatch.setattr(best_checkpoint, "LOOK", 0.01)
    monkeypatch.setattr(best_checkpoint, "AGAIN", 0.01)
    with monkeypatch.context() as patched:
        write_rl(training.checkpoints, 1)
        log.write_text(json.dumps({"step": 1, "data": metrics(0.9)}) + "\n")
        where = {"best.json": (os, "fsync"), "a link": (os, "link"), "the metrics": (jsonl, "open_to_read")}
        patched.setattr(*where[refused], refuse)
        watch.start()
        eventually(lambda: watch._complained)
    eventually(lambda: read_best(training.checkpoints).step == 1)
    write_rl(training.checkpoints, 2)
    with log.open("a") as more:
        more.write(json.dumps({"step": 2, "data": metrics(0.1)}) + "\n")
    eventually(lambda: len(read_best(training.checkpoints).judged) == 2)
    watch.finish()
    assert read_best(training.checkpoints).step == 1
    assert training.folders() == ["best_step_1", "global_step_2", "kept_step_1"]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_over_all_attempts_no_more_is_kept_than_the_newest_and_the_best(tmp_path: Path, keep: int) -> None:
    step = 0
    for n in range(1, 4):
        attempt = tmp_path / "attempts" / str(n)
        attempt.mkdir(parents=True)
        training = Training(tmp_path, keep)
        resume = prepare_resume(training.checkpoints, keep=keep, read=True)
        assert resume.step == step
        training.keeper.go_on_from(resume.step)
        watch = CheckpointWatch(training.checkpoints, attempt, training.keeper, keep)
        for _ in range(4):
            step += 1
            training.saved.append(write_rl(training.checkpoints, step))
            for old in training.saved[:-keep]:
                shutil.rmtree(old / "actor", ignore_errors=True)
            with (attempt / "metrics.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, "data": metrics(1.0 if step == 2 else 0.1)}) + "\n")
            watch.finish()
            newest = [f"global_step_{n}" for n in range(max(1, step - keep + 1), step + 1)]
            assert training.folders() == sorted([f"best_step_{2 if step > 1 else 1}", *newest])


def test_a_schedule_does_not_decide_which_step_is_best() -> None:
    reward = get_reward("dynamic")
    judge = validation_judge(reward, 100)
    (low_first, high_first), (low_last, high_last) = reward.total_range(1, 100), reward.total_range(100, 100)
    assert (low_first, high_first) != (low_last, high_last)
    early = judge(1, metrics(low_first + 0.8 * (high_first - low_first)))
    late = judge(100, metrics(low_last + 0.7 * (high_last - low_last)))
    assert (early, late) == (pytest.approx(0.8), pytest.approx(0.7))


def test_a_row_without_validation_has_no_value() -> None:
    judge = validation_judge(get_reward("original"), 100)
    assert judge(3, {"critic/score/mean": 1.0, "val-aux/num_turns/mean": 2.0}) is None
    assert judge(3, metrics(float("nan"))) is None


def trained(steps: int, validate_every: int = 1) -> StageSpec:
    rl = {"steps": steps, "validate_every": validate_every}
    return StageSpec("rl-1", "rl", {}, config=whole_config("rl", {"rl": rl}), total_steps=steps)


def test_an_export_without_a_checkpoint_says_which_command_trains_again(tmp_path: Path) -> None:
    with pytest.raises(
        StageError, match=r"`toolrl resume SWEEP --stage rl-1 --fresh` trains it again"
    ) as caught:
        last_to_export(tmp_path, trained(5))
    assert caught.value.failure_class == "config"  # a second look would find the same


def test_an_export_of_the_last_does_not_take_an_earlier_one_for_it(training: Training) -> None:
    for step in (1, 2):
        training.step(step, 0.5)
    with pytest.raises(StageError, match=r"of step 3, is not whole .*--stage rl-1 --from-step 2` trains on"):
        last_to_export(training.checkpoints, trained(3))


LAST: dict[str, Any] = {"checkpoint": "last"}
BEST = {"checkpoint": "best", "save_every": 1}


@pytest.mark.parametrize(
    ("config", "removed", "lost"),
    [
        (LAST, [], None),
        (LAST, ["global_step_2", "best_step_1"], None),
        (LAST, ["global_step_3"], "its last checkpoint, of step 3, is gone"),
        (BEST, ["global_step_1", "global_step_2", "global_step_3"], None),
        (BEST, ["best_step_1"], None),  # the step itself is still there
        (BEST, ["best_step_1", "global_step_1"], "its best checkpoint, of step 1, is gone"),
        (BEST, ["best.json"], None),  # the export itself says what is wrong with it
        (
            BEST,
            ["best.json", "best_step_1", *(f"global_step_{n}" for n in (1, 2, 3))],
            "its checkpoints are gone",
        ),
    ],
)
def test_what_an_export_will_miss_is_told_from_names(
    training: Training, config: dict[str, Any], removed: list[str], lost: str | None
) -> None:
    for step, value in [(1, 0.9), (2, 0.2), (3, 0.3)]:
        training.step(step, value)
    for name in removed:
        path = training.checkpoints / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = lost_checkpoint(training.checkpoints, trained(3), ExportConfig.model_validate(config))
    assert (found and found.what) == lost


def test_the_export_of_the_best_takes_it_from_the_steps_that_its_identity_names(training: Training) -> None:
    for step, value in [(1, 0.95), (2, 0.9), (3, 0.2), (4, 0.3), (5, 0.4)]:
        training.step(step, value)
    with pytest.raises(StageError, match="of step 2, is gone"):
        best_to_export(training.checkpoints, trained(5, 1), ExportConfig(checkpoint="best", save_every=2))
    chosen = best_to_export(
        training.checkpoints, trained(5, 1), ExportConfig(checkpoint="best", save_every=1)
    )
    assert (chosen.step, chosen.model) == (1, best_folder(training.checkpoints, 1) / "actor")
    assert str(chosen) == "step 1, the best by validation of 1, 2, 3, 4, 5"
    assert chosen.to_json()["value"] == 0.95
    assert last_to_export(training.checkpoints, trained(5)).step == 5


def test_the_export_of_the_best_refuses_a_training_that_did_not_save_and_validate_those_steps(
    training: Training,
) -> None:
    for step, value in [(2, 0.9), (4, 0.2)]:
        training.step(step, value)
    with pytest.raises(StageError, match="no checkpoint of step 1 was validated") as caught:
        best_to_export(training.checkpoints, trained(4, 1), ExportConfig(checkpoint="best", save_every=1))
    assert caught.value.failure_class == "config"
    assert "toolrl resume SWEEP --stage rl-1 --fresh" in caught.value.hint


@pytest.mark.parametrize(
    ("steps", "save_every", "validate_every", "expected"),
    [
        (105, 15, 5, [15, 30, 45, 60, 75, 90, 105]),
        (10, 4, 4, [4, 8, 10]),
        (12, 4, 6, [12]),
        (3, 15, 5, [3]),
    ],
)
def test_the_steps_to_choose_from_are_both_saved_and_validated(
    steps: int, save_every: int, validate_every: int, expected: list[int]
) -> None:
    assert candidates(trained(steps, validate_every), ExportConfig(save_every=save_every)) == expected
