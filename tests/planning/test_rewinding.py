"""Setting stages back, with what real attempts of the trainer's double left."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.support.stages import FUNCTIONS, Stages
from tests.support.trainer_double import save
from toolrl_cli.attempt import setting_back
from toolrl_cli.attempt.beginning import cleared
from toolrl_cli.attempt.classify import classify
from toolrl_cli.attempt.divergence import diverged
from toolrl_cli.attempt.setting_back import START, steps_of
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.planning.rewinding import set_back
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.state import StageState

STEPS = 5


class Chain:
    """sft → rl → export → evaluate, and a second rl over the same sft."""

    def __init__(self, ledger: Ledger, launcher: LocalLauncher, stages: Stages) -> None:
        self.ledger = ledger
        self.launcher = launcher
        self.sft = stages("sft", "sft", total_steps=STEPS)
        self.rl = stages("rl", "rl", after=(self.sft,), total_steps=STEPS)
        self.export = stages("export", "export", after=(self.rl,))
        self.evaluate = stages("evaluate", "evaluate", after=(self.export,))
        self.other = stages("other", "rl", after=(self.sft,), total_steps=STEPS)
        self.specs = [self.sft, self.rl, self.export, self.evaluate, self.other]

    def run(self) -> int:
        work = {"sft": "train", "rl": "train", "export": "finish", "evaluate": "finish"}
        options = Options(functions={k: f"{FUNCTIONS}:{f}" for k, f in work.items()}, heartbeat=0.2)
        return Scheduler(self.specs, self.ledger, self.launcher, options=options).run().exit_code

    def standing(self) -> dict[str, str]:
        return {spec.id.partition("-")[0]: self.ledger.read(spec).status for spec in self.specs}

    def path(self, spec: StageSpec) -> Path:
        return self.ledger.folder(spec).path

    def steps(self, spec: StageSpec) -> list[int]:
        return [row["step"] for row in merge_metrics(self.path(spec))]


@pytest.fixture
def chain(ledger: Ledger, launcher: LocalLauncher, stages: Stages) -> Chain:
    made = Chain(ledger, launcher, stages)
    assert made.run() == 0
    return made


def files(chain: Chain) -> dict[str, int]:
    root = chain.ledger.results
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def trained(ledger: Ledger, stages: Stages, *attempts: list[tuple[int, float | None]]) -> StageFolder:
    """A training whose attempts logged these losses of steps, and saved each."""
    spec = stages("rl", "rl", total_steps=STEPS)
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    for n, losses in enumerate(attempts, 1):
        folder.attempt(n).mkdir(parents=True)
        rows = [{"step": step, "data": {"actor/pg_loss": loss}} for step, loss in losses]
        (folder.attempt(n) / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for step, _ in losses:  # the last step's would be taken for the result
            save(folder.path / "checkpoints", step)
    return folder


def next_attempt(folder: StageFolder) -> StageState:
    """What it begins from."""
    with take(folder.path, purpose="launch") as lease:
        return cleared(folder, lease, folder.state())


@pytest.mark.parametrize("ended", ["diverged", "killed", "stopped"])
@pytest.mark.parametrize(("since", "kept"), [(4, [1, 2, 3]), (1, [])])
def test_a_training_that_diverged_goes_on_from_before_that_whatever_ended_it(
    ledger: Ledger, stages: Stages, since: int, kept: list[int], ended: str
) -> None:
    folder = trained(ledger, stages, [(n, 0.1 if n < since else None) for n in range(1, STEPS + 1)])
    failure = diverged(folder.attempt(1) / "metrics.jsonl")
    assert failure is not None
    if ended == "killed":  # before the monitor had seen it
        failure = classify(folder.attempt(1), returncode=-9)
    with take(folder.path, purpose="launch") as lease:
        begun = folder.state().begun(1, None)
        over = begun.over("stopped") if ended == "stopped" else begun.over("failed", failure)
        folder.write_state(over, lease)
    state = next_attempt(folder)
    assert (state.status, steps_of(folder)) == ("pending", kept)
    assert [row["step"] for row in merge_metrics(folder.path)] == kept
    assert f"actor/pg_loss was not a finite number since step {since}" in state.note


def test_a_loss_that_went_in_one_attempt_and_stayed_away_in_the_next_was_lost_in_the_first(
    ledger: Ledger, stages: Stages
) -> None:
    folder = trained(ledger, stages, [(1, 0.1), (2, 0.1), (3, None)], [(4, None), (5, None)])
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(folder.state().begun(2, None).over("stopped"), lease)
    assert "since step 3" in next_attempt(folder).note
    assert steps_of(folder) == [1, 2]


@pytest.mark.parametrize("step", [START, 2])
@pytest.mark.parametrize("at", ["_note_rewind", "_supersede", "rename"])
def test_a_set_back_that_was_cut_short_is_finished_by_the_next_attempt(
    ledger: Ledger, stages: Stages, at: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(ledger, stages, [(n, 0.1) for n in range(1, STEPS + 1)])
    (folder.path / "output").mkdir()
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(folder.state().begun(1, None).over("succeeded"), lease)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        moves = iter([Path.rename])  # the first is made

        def cut(*arguments: Path) -> None:
            if at != "rename":
                raise KeyboardInterrupt
            next(moves, _cut_short)(*arguments)

        patched.setattr(*((Path, "rename") if at == "rename" else (setting_back, at)), cut)
        set_back(ledger, {folder.id: step}, "asked")
    state = next_attempt(folder)
    where = "step 2" if step else "the start"
    assert (state.status, state.note) == ("pending", f"set back to {where} (asked)")
    assert state.going_back is None
    left = list(range(1, step + 1))
    assert steps_of(folder) == [row["step"] for row in merge_metrics(folder.path)] == left
    assert (folder.path / "output").exists() == bool(step)


def test_a_set_back_of_what_never_ran_here_is_finished_too(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(ledger, stages, [(1, 0.1)])  # copied here without its state
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(setting_back, "_supersede", _cut_short)
        set_back(ledger, {folder.id: START}, "asked")
    (folder.path / "checkpoints").rename(folder.path / "moved")  # or by hand since
    assert next_attempt(folder).going_back is None  # else the next but one would undo what this one trains


def _cut_short(*_: Path) -> None:
    raise KeyboardInterrupt


def test_a_stage_set_back_to_a_step_goes_on_from_there_and_its_readers_are_redone(chain: Chain) -> None:
    changed = [
        stage_id.partition("-")[0] for stage_id, _ in set_back(chain.ledger, {chain.rl.id: 2}, "asked")
    ]
    assert changed == ["evaluate", "export", "rl"]
    assert chain.standing() == {
        **{"sft": "succeeded", "other": "succeeded"},
        **{"rl": "pending", "export": "pending", "evaluate": "pending"},
    }
    assert chain.steps(chain.rl) == [1, 2]  # what was logged beyond is of a model that is gone
    assert steps_of(chain.ledger.folder(chain.rl)) == [1, 2]
    kept = chain.path(chain.rl) / "superseded" / "1" / "checkpoints"
    assert sorted(path.name for path in kept.iterdir()) == [f"global_step_{n}" for n in (3, 4, 5)]
    assert chain.run() == 0
    log = (chain.path(chain.rl) / "attempts" / "2" / "log.txt").read_text()
    assert "going on from step 2" in log
    assert chain.steps(chain.rl) == [1, 2, 3, 4, 5]
    assert len(chain.ledger.read(chain.export).attempts) == 2
    assert len(chain.ledger.read(chain.other).attempts) == 1


def test_a_fresh_start_of_the_first_stage_sets_everything_back(chain: Chain) -> None:
    answers = chain.path(chain.evaluate) / "answers.jsonl"
    answers.write_text("of the model that is gone")
    set_back(chain.ledger, {chain.sft.id: START}, "asked")
    assert set(chain.standing().values()) == {"pending"}
    assert not answers.exists()
    assert chain.steps(chain.sft) == chain.steps(chain.rl) == []
    assert chain.ledger.read(chain.sft).note == "set back to the start (asked)"
    assert chain.ledger.read(chain.rl).note == "set back to the start (asked: what it reads was set back)"
    assert not (chain.path(chain.rl) / "checkpoints").exists()
    assert chain.run() == 0
    assert [a.n for a in chain.ledger.read(chain.rl).attempts] == [1, 2]


def test_setting_back_twice_keeps_both_futures(chain: Chain) -> None:
    set_back(chain.ledger, {chain.rl.id: 2}, "asked")
    assert chain.run() == 0
    set_back(chain.ledger, {chain.rl.id: 4}, "asked")
    place = chain.path(chain.rl) / "superseded"
    assert sorted(path.name for path in place.iterdir()) == ["1", "2"]
    assert [path.name for path in (place / "2" / "checkpoints").iterdir()] == ["global_step_5"]
    assert chain.steps(chain.rl) == [1, 2, 3, 4]


def test_a_stage_at_work_is_not_set_back_and_nothing_is_changed(chain: Chain) -> None:
    with take(chain.path(chain.export), purpose="attempt", attempt=1):
        before = files(chain)
        with pytest.raises(LedgerError, match=f"stage {chain.export.id}: is at work"):
            set_back(chain.ledger, {chain.rl.id: START}, "asked")
        assert files(chain) == before


def test_a_step_without_a_whole_checkpoint_is_refused_and_nothing_is_changed(chain: Chain) -> None:
    shard = chain.path(chain.rl) / "checkpoints/global_step_3/actor/model_world_size_1_rank_0.pt"
    shard.write_bytes(b"")
    before = files(chain)
    with pytest.raises(SpecError, match=r"no whole checkpoint of step 3: it has those of 1, 2, 4, 5"):
        set_back(chain.ledger, {chain.rl.id: 3, chain.other.id: 3}, "asked")
    assert files(chain) == before


def test_a_kill_between_two_stages_leaves_no_result_without_its_origin(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = setting_back._supersede

    def die(folder, *rest):  # type: ignore[no-untyped-def]
        if folder.id == chain.export.id:
            raise KeyboardInterrupt
        real(folder, *rest)

    monkeypatch.setattr(setting_back, "_supersede", die)
    with pytest.raises(KeyboardInterrupt):
        set_back(chain.ledger, {chain.rl.id: 2}, "asked")
    assert chain.standing()["evaluate"] == chain.standing()["export"] == "pending"
    assert chain.standing()["rl"] == "succeeded"
    assert all(chain.ledger.folder(spec).lease() is None for spec in chain.specs)
    monkeypatch.undo()
    set_back(chain.ledger, {chain.rl.id: 2}, "asked")
    assert (chain.path(chain.export) / "superseded" / "1" / "output").is_dir()
    assert chain.run() == 0
    assert chain.steps(chain.rl) == [1, 2, 3, 4, 5]


def test_an_attempt_that_died_without_a_word_is_written_down_before(chain: Chain) -> None:
    folder = chain.ledger.folder(chain.rl)
    state = folder.state()
    with take(folder.path, purpose="attempt", attempt=1) as lease:
        folder.write_state(dataclasses.replace(state, status="running"), lease)
    set_back(chain.ledger, {chain.rl.id: START}, "asked")
    (attempt,) = folder.state().attempts
    assert (attempt.status, folder.state().status) == ("failed", "pending")


def test_a_stage_that_never_ran_is_left_alone(ledger: Ledger, stages: Stages) -> None:
    assert set_back(ledger, {stages("rl", "rl").id: START}, "asked") == []
    assert not ledger.results.exists()


def test_a_fresh_start_has_the_micro_batch_that_was_asked_for(chain: Chain) -> None:
    folder = chain.ledger.folder(chain.rl)
    adjust = {"rl.micro_batch": {"asked": 8, "used": 4}}
    for step, left in [(2, adjust), (START, {})]:
        with take(folder.path, purpose="launch") as lease:
            folder.write_state(dataclasses.replace(folder.state(), adjust=adjust), lease)
        set_back(chain.ledger, {chain.rl.id: step}, "asked")
        assert folder.state().adjust == left


def test_the_best_of_a_future_that_is_gone_is_set_aside_with_it(chain: Chain) -> None:
    checkpoints = chain.path(chain.rl) / "checkpoints"
    for step in ("1", "4", "mine"):  # the last is a copy that somebody made
        (checkpoints / f"best_step_{step}" / "actor").mkdir(parents=True)
    set_back(chain.ledger, {chain.rl.id: 2}, "asked")
    assert (checkpoints / "best_step_1").is_dir()
    assert (checkpoints / "best_step_mine").is_dir()
    assert not (checkpoints / "best_step_4").exists()
    assert (chain.path(chain.rl) / "superseded/1/checkpoints/best_step_4").is_dir()


@pytest.mark.parametrize(("step", "told"), [(2, "of step 1, is gone"), (4, ""), (START, "")])
def test_a_set_back_to_after_a_best_that_is_gone_says_so(
    ledger: Ledger, stages: Stages, step: int, told: str
) -> None:
    folder = trained(ledger, stages, [(n, 0.1) for n in range(1, STEPS + 1)])
    checkpoints = folder.path / "checkpoints"
    (checkpoints / "global_step_1").rename(folder.path / "gone")
    judged = {1: 0.5, 2: 0.4, 3: 0.6, 4: 0.3, 5: 0.7}
    (checkpoints / "best.json").write_text(json.dumps({"schema": 1, "judged": judged, "step": 5}))
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(folder.state().begun(1, None).over("succeeded"), lease)
    ((_, how),) = set_back(ledger, {folder.id: step}, "asked")
    assert told in how and ("best" in how) == bool(told)
