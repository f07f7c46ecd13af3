"""`--detach`: the cluster runs the whole graph, and no harness lives."""

from __future__ import annotations

import pytest

from tests.harness.slurm.conftest import Cluster
from tests.support.stages import FUNCTIONS, eventually
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.detaching import check_detachable, detach
from toolrl_cli.harness.launcher import LAUNCHERS
from toolrl_cli.harness.starting import AttemptOptions
from toolrl_cli.harness.stopping import stop_sweep
from toolrl_cli.planning.sweep_status import sweep_status
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder


def options(**functions: str) -> AttemptOptions:
    named = {kind: f"{FUNCTIONS}:{function}" for kind, function in functions.items()}
    return AttemptOptions(named, heartbeat=0.1, alone=True)


def chain(cluster: Cluster) -> tuple[StageSpec, StageSpec, StageSpec]:
    a = cluster.stages("a", kind="sft")
    b = cluster.stages("b", after=(a,))
    return a, b, cluster.stages("c", after=(a, b))


def test_each_job_waits_for_its_inputs_and_a_later_harness_finds_all_of_them(cluster: Cluster) -> None:
    a, b, c = chain(cluster)
    cluster.switch("hold")
    done = detach([c, b, a], cluster.ledger, cluster.launcher(), options(sft="finish", export="finish"))
    assert (done.submitted, done.at_work, done.left) == ([a.id, b.id, c.id], [], {})
    first, second, third = cluster.calls("sbatch")
    assert "--dependency" not in first and "--dependency=afterok:1 " in second
    assert "--dependency=afterok:1:2 --kill-on-invalid-dep=yes" in third
    again = detach([a, b, c], cluster.ledger, cluster.launcher(), options())
    assert (again.submitted, again.at_work) == ([], [a.id, b.id, c.id])
    cluster.switch("hold", on=False)
    outcome, events = cluster.run([a, b, c])
    assert outcome.exit_code == 0
    assert len(cluster.calls("sbatch")) == 3
    assert "started" not in {event.what for event in events}


def test_what_reads_a_failed_stage_does_not_run_and_is_owed_to_the_next_command(cluster: Cluster) -> None:
    a, b, _ = chain(cluster)
    detach([a, b], cluster.ledger, cluster.launcher(), options(sft="raise_value_error", export="finish"))
    launcher = cluster.launcher()
    handles = [cluster.ledger.read(spec).launcher or {} for spec in (a, b)]
    eventually(lambda: all(seen.phase == "ended" for seen in launcher.poll(handles)))
    assert cluster.ledger.read(a).status == "failed"
    done = detach([a, b], cluster.ledger, cluster.launcher(), options(sft="finish", export="finish"))
    assert done.submitted == [a.id, b.id]
    eventually(lambda: cluster.ledger.read(b).status == "succeeded")
    assert cluster.ledger.read(b).attempt == 2


def test_a_job_without_a_harness_tries_again_what_one_would(cluster: Cluster) -> None:
    (spec,) = (
        cluster.stages("a", kind="sft", config={"steps": 3, "fault": "kill", "at": 2, "fault_in": [1]}),
    )
    detach([spec], cluster.ledger, cluster.launcher(), options(sft="train"))
    eventually(lambda: cluster.ledger.read(spec).status == "succeeded")
    assert [a.status for a in cluster.ledger.read(spec).attempts] == ["failed", "succeeded"]
    assert len(cluster.calls("sbatch")) == 1


def test_a_full_queue_leaves_the_rest_and_says_so(cluster: Cluster) -> None:
    a, b, c = chain(cluster)
    cluster.switch("full")
    done = detach([a, b, c], cluster.ledger, cluster.launcher(), options())
    assert done.submitted == [] and set(done.left) == {a.id, b.id, c.id}
    assert all("queue is full" in why for why in done.left.values())


def test_what_only_a_harness_could_keep_is_refused() -> None:
    with pytest.raises(SpecError, match=r"the local launcher needs a harness \(those that do not: slurm\)"):
        check_detachable(LAUNCHERS.get("local"), max_parallel=None, fail_fast=False)
    with pytest.raises(SpecError, match="nobody would keep to --max-parallel"):
        check_detachable(LAUNCHERS.get("slurm"), max_parallel=2, fail_fast=False)
    check_detachable(LAUNCHERS.get("slurm"), max_parallel=None, fail_fast=False)


def test_stop_cancels_what_waits_and_stops_what_runs_where_no_harness_is(cluster: Cluster) -> None:
    a = cluster.stages("a", kind="sft")
    b = cluster.stages("b", after=(a,))
    detach([a, b], cluster.ledger, cluster.launcher(), options(sft="sleep", export="finish"))
    eventually(lambda: cluster.ledger.read(a).status == "running")
    run = PlannedRun("small", "r", "r", 1, {}, (a, b))
    stopping = stop_sweep(SweepFolder(cluster.ledger.results, "small"), SavedSweep("small", (run,), ()))
    assert (stopping.harnesses, {folder.id for folder in stopping.asked}, stopping.others) == (
        (),
        {a.id, b.id},
        {},
    )
    assert stopping.wait(30) == []
    assert [cluster.ledger.read(spec).status for spec in (a, b)] == ["stopped", "stopped"]


def test_what_slurm_cannot_say_is_left_alone_by_stop(cluster: Cluster) -> None:
    a = cluster.stages("a", kind="sft")
    cluster.switch("hold")
    detach([a], cluster.ledger, cluster.launcher(), options(sft="finish"))
    cluster.switch("down")
    run = PlannedRun("small", "r", "r", 1, {}, (a,))
    stopping = stop_sweep(SweepFolder(cluster.ledger.results, "small"), SavedSweep("small", (run,), ()))
    assert stopping.asked == () and "Unable to contact slurm controller" in stopping.others[a.id]
    assert cluster.ledger.read(a).status == "queued"


def test_status_tells_which_job_waits_and_when_nobody_answers(cluster: Cluster) -> None:
    a = cluster.stages("a", kind="sft")
    cluster.switch("hold")
    detach([a], cluster.ledger, cluster.launcher(), options(sft="finish"))
    saved = SavedSweep("small", (PlannedRun("small", "r", "r", 1, {}, (a,)),), ())
    (run,) = sweep_status(saved, cluster.ledger).runs
    assert (run.status, run.what) == ("queued", "waits in slurm: 1")
    cluster.switch("down")
    (run,) = sweep_status(saved, cluster.ledger).runs
    assert run.status == "queued" and run.what.startswith("Slurm does not answer: Unable to contact")
