"""Succeeded stages that have lost what they left: which are owed again, and what is set back for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.results_tree import finish, plan_of, stage
from tests.support.trainer_double import save
from toolrl_cli.errors import LedgerError
from toolrl_cli.planning.checking import lost_points
from toolrl_cli.planning.plan import Plan
from toolrl_cli.planning.rewinding import renew
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.outputs import recorded, what_is_gone
from toolrl_cli.store.state import StageState

STEPS = 4


class Chain:
    """rl → export → evaluate, all done, and a second evaluation of the same model that never ran."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.rl = stage("rl", "r", steps=STEPS)
        self.export = stage("export", "e", after=[self.rl])
        self.evaluate = stage("evaluate", "v", after=[self.export])
        self.later = stage("evaluate", "w", after=[self.export])
        for spec in (self.rl, self.export, self.evaluate):
            finish(ledger, spec)
        for step in range(1, STEPS + 1):
            save(self.path(self.rl) / "checkpoints", step)

    def path(self, spec: StageSpec) -> Path:
        return self.ledger.folder(spec).path

    def plan(self, *, later: bool = False) -> Plan:
        more = [[self.rl, self.export, self.later]] if later else []
        return plan_of(self.ledger, [self.rl, self.export, self.evaluate], *more)

    def owed(self, *, later: bool = False) -> dict[str, str]:
        return {s.spec.id: s.reason for s in self.plan(later=later).stages.values() if s.owed}

    def status(self, spec: StageSpec) -> str:
        return self.ledger.read(spec).status


@pytest.fixture
def chain(ledger: Ledger) -> Chain:
    return Chain(ledger)


def test_nothing_is_owed_where_nothing_is_gone(chain: Chain) -> None:
    assert chain.owed() == {}


def test_an_evaluation_without_its_scores_is_owed_and_nothing_else(chain: Chain) -> None:
    shutil.rmtree(chain.path(chain.evaluate) / "output")
    assert chain.owed() == {chain.evaluate.id: "its output/scores.json is gone"}


def test_a_model_that_nothing_owed_reads_stays_done_and_the_plan_says_so(chain: Chain) -> None:
    shutil.rmtree(chain.path(chain.export) / "output")
    assert chain.owed() == {}
    told = chain.plan().stages[chain.export.id].reason
    assert told == "done; its output/model/config.json is gone, and nothing that is owed needs it"


def test_a_model_that_an_owed_stage_reads_is_exported_again_from_the_same_checkpoint(chain: Chain) -> None:
    shutil.rmtree(chain.path(chain.export) / "output")
    owed = chain.owed(later=True)
    assert set(owed) == {chain.export.id, chain.later.id}
    assert owed[chain.export.id].startswith(
        f"its output/model/config.json is gone, and {chain.later.id} needs it"
    )
    changed = renew(chain.ledger, chain.plan(later=True).losses)
    assert [stage_id for stage_id, _ in changed] == [chain.export.id]
    assert [chain.status(s) for s in (chain.rl, chain.evaluate)] == ["succeeded", "succeeded"]


def test_checkpoints_that_were_exported_may_go(chain: Chain) -> None:
    shutil.rmtree(chain.path(chain.rl) / "checkpoints")
    assert chain.owed() == {}
    assert chain.plan().stages[chain.rl.id].reason == "done"


def test_a_training_is_owed_with_all_that_reads_it_once_an_export_misses_its_checkpoint(chain: Chain) -> None:
    shutil.rmtree(chain.path(chain.rl) / "checkpoints" / f"global_step_{STEPS}")
    shutil.rmtree(chain.path(chain.export) / "output")
    owed = chain.owed(later=True)
    assert owed[chain.rl.id].startswith(
        f"its last checkpoint, of step {STEPS}, is gone, and {chain.export.id} needs it"
    )
    assert owed[chain.evaluate.id] == f"what it reads, {chain.export.id}, is made again"
    renew(chain.ledger, chain.plan(later=True).losses)
    assert {chain.status(s) for s in (chain.rl, chain.export, chain.evaluate)} == {"pending"}
    # it goes on from the newest checkpoint that is left, and what was made of the old one is set aside
    assert chain.ledger.read(chain.rl).note.startswith(f"set back to step {STEPS - 1} (its last checkpoint")
    assert (chain.path(chain.evaluate) / "superseded" / "1" / "output" / "scores.json").exists()
    assert renew(chain.ledger, chain.plan(later=True).losses) == []


def test_what_another_harness_has_set_back_already_is_left_alone(chain: Chain) -> None:
    shutil.rmtree(chain.path(chain.evaluate) / "output")
    losses = chain.plan().losses
    folder = chain.ledger.folder(chain.evaluate)
    with take(folder.path, purpose="launch") as lease:
        with pytest.raises(LedgerError, match="is at work"):  # and still as it was
            renew(chain.ledger, losses)
        folder.write_state(folder.state().set_back("by the other"), lease)
        assert renew(chain.ledger, losses) == []
    assert folder.state().note == "by the other"


def test_a_stage_records_what_it_leaves_and_misses_what_is_gone_or_cut_short(ledger: Ledger) -> None:
    folder = ledger.folder(stage("export"))
    model = folder.path / "output" / "model"
    model.mkdir(parents=True)
    (model / "weights").write_bytes(bytes(100))
    (model / ".half.tmp").write_bytes(bytes(9))
    (folder.path / "output" / "checkpoint.json").write_text("{}")
    output = recorded(folder.path)
    assert output == {"model/weights": 100, "checkpoint.json": 2}
    state = StageState(folder.id, "export", "succeeded", output=output)
    assert StageState.from_json(state.to_json()) == state
    assert what_is_gone(folder, state) == ""
    (model / "weights").write_bytes(bytes(101))  # somebody's edit is not a loss
    (model / "more").write_bytes(b"")
    assert what_is_gone(folder, state) == ""
    (model / "weights").write_bytes(bytes(99))
    assert what_is_gone(folder, state) == "its output/model/weights is cut short"
    shutil.rmtree(model)
    assert what_is_gone(folder, state) == "its output/model/weights is gone"
    assert what_is_gone(folder, StageState(folder.id, "export", "succeeded", output={})) == ""


def test_a_model_that_is_lost_while_its_reader_runs_is_not_made_again(chain: Chain) -> None:
    folder = chain.ledger.folder(chain.later)
    folder.path.mkdir(parents=True)
    handle = {"kind": "local", "slots": [], **ProcessId.current().to_json()}
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(StageState(chain.later.id, "evaluate").begun(1, handle).running(handle), lease)
    shutil.rmtree(chain.path(chain.export) / "output")
    assert set(chain.owed(later=True)) == {chain.later.id}
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(folder.state().over("stopped"), lease)
    assert set(chain.owed(later=True)) == {chain.later.id, chain.export.id}


def test_a_training_is_not_made_again_for_a_point_of_a_curve_and_the_plan_says_what_is_lacking(
    chain: Chain,
) -> None:
    config = {"checkpoint": "step", "step": 2}
    point = StageSpec("p", "export", {**config, "format": "huggingface"}, {"checkpoint": chain.rl.id}, config)
    plan = plan_of(chain.ledger, [chain.rl, chain.export, chain.evaluate, point])
    assert lost_points(plan, chain.ledger.results) == []
    shutil.rmtree(chain.path(chain.rl) / "checkpoints" / "global_step_2")
    plan = plan_of(chain.ledger, [chain.rl, chain.export, chain.evaluate, point])
    assert [stage.id for stage in plan.owed] == [point.id]
    (line,) = lost_points(plan, chain.ledger.results)
    assert line.startswith(f"{chain.rl.id} has passed the checkpoints of step 2 without keeping them")
    assert f"--stage {chain.rl.id} --fresh` trains it again" in line
