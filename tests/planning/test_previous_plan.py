"""A sweep as it was when it was last started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.results_tree import finish, plan_of, stage
from toolrl_cli.planning.changes.previous_plan import read_earlier
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder

KEPT, BEFORE, AFTER = stage("sft"), stage("rl", "grpo"), stage("rl", "grpo", settings={"lr": 5e-4})


def frozen(ledger: Ledger) -> Path:
    SweepFolder(ledger.results, "demo").save(plan_of(ledger, [KEPT], [KEPT, BEFORE]), "name: demo")
    return ledger.results / "sweeps" / "demo" / "plan.json"


@pytest.mark.parametrize("written", ["as it is", "edited"])
def test_what_is_gone_is_told_however_the_plan_is_written(ledger: Ledger, written: str) -> None:
    path = frozen(ledger)
    if written == "edited":
        path.write_text(json.dumps(json.loads(path.read_text()), indent=1) + "\n")
    now = plan_of(ledger, [KEPT], [KEPT, AFTER])
    earlier = read_earlier(ledger, now, now)
    assert earlier.gone == {BEFORE.id: "rl"}
    assert list(earlier.runs.values()) == [[KEPT.id, BEFORE.id]]
    assert not earlier.finished(BEFORE.id, "rl")


def test_nothing_is_kept_of_a_sweep_that_is_as_it_was(ledger: Ledger) -> None:
    frozen(ledger)
    now = plan_of(ledger, [KEPT], [KEPT, BEFORE])
    earlier = read_earlier(ledger, now, now)
    assert (earlier.runs, earlier.gone) == ({}, {})


@pytest.mark.parametrize("size", [0, 1, 40, 300, -2])
def test_a_torn_plan_tells_nothing(ledger: Ledger, size: int) -> None:
    path = frozen(ledger)
    path.write_text(path.read_text()[:size])
    now = plan_of(ledger, [KEPT, AFTER])
    earlier = read_earlier(ledger, now, now)
    assert (earlier.runs, earlier.gone) == ({}, {})


def test_a_stage_that_finished_is_found_by_the_ledger(ledger: Ledger) -> None:
    frozen(ledger)
    finish(ledger, BEFORE)
    now = plan_of(ledger, [KEPT, AFTER])
    assert read_earlier(ledger, now, now).finished(BEFORE.id, "rl")


def test_a_run_s_links_lead_to_the_stages_of_the_plan_that_holds(ledger: Ledger) -> None:
    frozen(ledger)
    sweep = SweepFolder(ledger.results, "demo")
    sweep.save(plan_of(ledger, [KEPT], [KEPT, AFTER]), None)
    (link,) = (ledger.results / "sweeps" / "demo" / "runs").glob("*/2-*")
    assert link.readlink().name == AFTER.id
    sweep.save(plan_of(ledger, [KEPT], [KEPT]), None)
    assert not list((ledger.results / "sweeps" / "demo" / "runs").glob("*/2-*"))


def chain(settings: dict[str, float]) -> list[StageSpec]:
    """A run of a shared first model, with its score at step 0 and that of its end."""
    rl = stage("rl", "grpo", after=[KEPT], settings=settings)
    ends = (stage("evaluate", f"e{n}", after=[model]) for n, model in enumerate((KEPT, rl)))
    return [KEPT, rl, *ends]


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        (
            chain({"lr": 5e-4}),
            ["arm0-seed1 as it was"],
        ),  # another file of this name, or this one with another setting
        ([KEPT, stage("rl", "grpo", settings={"lr": 5e-4})], ["arm0-seed1 as it was"]),
        (chain({})[:-1], []),
        ([*chain({}), stage("evaluate", "more", after=[KEPT])], []),
    ],
    ids=["other settings", "no evaluation", "fewer evaluations", "more evaluations"],
)
def test_a_run_that_is_now_of_other_stages_is_lost_under_its_own_name_too(
    ledger: Ledger, now: list[StageSpec], lost: list[str]
) -> None:
    SweepFolder(ledger.results, "demo").save(plan_of(ledger, chain({})), "name: demo")
    for spec in chain({}):
        finish(ledger, spec)
    plan = plan_of(ledger, now)
    assert read_earlier(ledger, plan, plan).lost == lost
