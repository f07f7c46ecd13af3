"""Where the stages of a plan stand, and why."""

from __future__ import annotations

from tests.support.results_tree import finish, plan_of, stage
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger


def test_stages_after_a_failed_one_are_blocked_and_say_by_what(ledger: Ledger) -> None:
    base = stage("sft", "base")
    rl = stage("rl", "r", after=[base])
    export = stage("export", "e", after=[rl])
    evaluation = stage("evaluate", "v", after=[export])
    other = stage("evaluate", "w", after=[base])
    finish(ledger, base)
    finish(ledger, rl, status="failed", failure=Failure.of("config", "the rate is too high"))
    plan = plan_of(ledger, [base, rl, export, evaluation], [base, other])
    assert {i: (s.status, s.owed) for i, s in plan.stages.items()} == {
        base.id: ("succeeded", False),
        rl.id: ("failed", True),
        export.id: ("blocked", True),
        evaluation.id: ("blocked", True),
        other.id: ("pending", True),
    }
    reasons = {i: s.reason for i, s in plan.stages.items()}
    assert reasons[export.id] == f"its input {rl.id} failed (config: the rate is too high)"
    assert reasons[evaluation.id] == f"its input {export.id} is blocked"
    assert reasons[base.id] == "done; shared by 2 runs"


def test_a_stage_after_a_stopped_one_waits_for_it(ledger: Ledger) -> None:
    rl = stage("rl")
    export = stage("export", after=[rl])
    finish(ledger, rl, status="stopped", step=7)
    plan = plan_of(ledger, [rl, export])
    assert plan.stages[rl.id].reason == "attempt 1 stopped, can go on"
    assert (plan.stages[export.id].status, plan.stages[export.id].reason) == ("pending", f"waits for {rl.id}")


def test_a_done_stage_is_done_whatever_became_of_its_input_since(ledger: Ledger) -> None:
    rl = stage("rl")
    export = stage("export", after=[rl])
    finish(ledger, rl, status="failed", failure=Failure.of("infra", "state.json cannot be read"))
    finish(ledger, export)
    assert not plan_of(ledger, [rl, export]).stages[export.id].owed
