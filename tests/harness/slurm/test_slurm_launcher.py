"""The Slurm launcher over a stand-in for the cluster; tests/e2e has the real one."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.harness.slurm.conftest import Cluster
from tests.support.stages import eventually
from toolrl_cli.attempt.environment import describe_environment
from toolrl_cli.attempt.execution import NOT_MINE
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchLater, LaunchRequest
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling import scheduler as scheduler_module
from toolrl_cli.harness.slurm import forgotten, job, states
from toolrl_cli.harness.slurm.bad_nodes import BadNodes
from toolrl_cli.harness.slurm.programs import ask
from toolrl_cli.harness.slurm.settings import Asked, SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions, Busy, start_attempt
from toolrl_cli.harness.stopping import Stopping
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import kill
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import make_folder, write_json
from toolrl_cli.store.lease import LeaseInfo, take
from toolrl_cli.store.state import StageState


def running(cluster: Cluster, spec: StageSpec, attempt: int = 1) -> None:
    def so_far() -> bool:
        state = cluster.ledger.read(spec)
        return (state.attempt, state.status) == (attempt, "running")

    eventually(so_far)


def test_a_chain_runs_as_jobs_with_names_and_comments_that_read_well(cluster: Cluster) -> None:
    a = cluster.stages("a", kind="sft")
    b = cluster.stages("b", after=(a,))
    outcome, _ = cluster.run([a, b])
    assert outcome.exit_code == 0
    first, second = cluster.calls("sbatch")
    assert f"--job-name=sft:{a.id}" in first and f"--comment={a.id}.1." in first
    assert f"--job-name=export:{b.id}" in second
    assert len(cluster.calls("scontrol")) == 1  # the cluster's name, once


def test_a_submission_whose_answer_was_lost_is_found_and_not_made_again(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    cluster.switch("hold")
    cluster.switch("lost")
    with pytest.raises(LaunchLater, match="Socket timed out"):
        start_attempt(cluster.ledger.folder(spec), spec, cluster.launcher(), ())
    cluster.switch("lost", on=False)
    cluster.start(spec, "finish")
    assert len(cluster.calls("sbatch")) == 1
    cluster.switch("hold", on=False)
    eventually(lambda: not cluster.stages.processes())


def test_one_that_ran_before_its_answer_was_missed_is_made_again(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    cluster.switch("lost")
    with pytest.raises(LaunchLater):
        start_attempt(cluster.ledger.folder(spec), spec, cluster.launcher(), ())
    cluster.switch("lost", on=False)
    # unnamed by the stage's state, it has nothing to do
    eventually(
        lambda: (
            "PENDING" not in (rows := ask("squeue", "--states=all", "-O", "State:|")) and "RUN" not in rows
        )
    )
    cluster.start(spec, "finish")
    assert len(cluster.calls("sbatch")) == 2
    eventually(lambda: cluster.ledger.read(spec).status == "succeeded")
    ended = states.seen("FAILED", str(NOT_MINE << 8), "NonZeroExitCode", "job 1")
    assert ended.failure is not None and ended.failure.kind == "preempted"  # which is tried again


def test_stop_reaches_a_job_that_put_itself_back_into_the_queue(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    handle = cluster.start(spec, "sleep")
    running(cluster, spec)
    cluster.switch("hold")
    ask("scancel", "--signal=USR1", "--batch", str(handle["job"]))
    folder = cluster.ledger.folder(spec)
    eventually(
        lambda: folder.state().status == "stopped" and cluster.launcher().poll([handle])[0].phase == "queued"
    )
    reach = Reach(cluster.launcher())
    alone = start_attempt(folder, spec, cluster.launcher(), (), AttemptOptions(alone=True))
    assert isinstance(alone, Busy) and alone.alive  # and no second job
    stopping = Stopping((), (folder,), {}, reach)
    assert stopping.settle() == [folder]
    eventually(lambda: stopping.settle() == [])
    assert cluster.launcher().poll([handle])[0].phase == "ended"
    cluster.switch("hold", on=False)
    assert folder.state().attempt == 1


@pytest.mark.parametrize(("signal", "within"), [("USR1", "75"), ("TERM", "none")])
def test_who_is_warned_of_its_end_has_the_time_to_save_and_who_is_stopped_has_not(
    cluster: Cluster, signal: str, within: str
) -> None:
    spec = cluster.stages("a")
    handle = cluster.start(spec, "tell_time_to_save")
    folder = cluster.ledger.folder(spec).attempt(1)
    eventually((folder / "up").exists)
    ask("scancel", f"--signal={signal}", "--batch", str(handle["job"]))
    told = folder / "within"
    eventually(lambda: told.exists() and told.read_text() == within)


def test_nothing_is_started_twice_while_the_controller_is_down(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "LATER", 0.05)
    spec, held = cluster.stages("a"), cluster.stages("b")
    handle = cluster.start(held, "sleep")
    cluster.switch("down")
    done: list[int] = []
    work = threading.Thread(target=lambda: done.append(cluster.run([spec, held])[0].exit_code))
    work.start()
    eventually(lambda: len(cluster.calls("squeue")) + len(cluster.calls("scontrol")) > 6)
    assert cluster.ledger.read(held).attempt == 1 and cluster.ledger.read(spec).attempt == 0
    cluster.switch("down", on=False)
    eventually(lambda: cluster.ledger.read(spec).status == "succeeded")
    Reach(cluster.launcher()).cancel(handle)
    work.join(30)
    assert len(cluster.calls("sbatch")) <= 2 + len(done) * 20
    assert cluster.ledger.read(held).attempt == 1 and cluster.ledger.read(spec).attempt == 1


def test_a_job_whose_stage_names_another_one_does_nothing(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    cluster.switch("hold")
    handle = cluster.start(spec, "finish")
    folder = cluster.ledger.folder(spec)
    request = LaunchRequest(folder.path, spec, 2, (), ProcessId.current())
    folder.attempt(2).mkdir()
    other = cluster.launcher().submit(request)
    cluster.switch("hold", on=False)
    launcher = cluster.launcher()
    eventually(lambda: all(seen.phase == "ended" for seen in launcher.poll([handle, other])))
    ends = [seen.returncode for seen in launcher.poll([handle, other])]
    assert ends in ([0, NOT_MINE], [0, 0])  # as it finds the stage at work, or done
    assert [(a.n, a.status) for a in cluster.ledger.read(spec).attempts] == [(1, "succeeded")]


def test_a_job_that_never_starts_is_told_of_and_ends_with_stop(cluster: Cluster) -> None:
    assert states.seen("PENDING", "0", "Priority", "job 1").told == ""
    assert (
        states.seen("PENDING", "0", "PartitionTimeLimit", "job 1").told == "job 1 waits: PartitionTimeLimit"
    )
    spec = cluster.stages("a")
    cluster.switch("hold")
    handle = cluster.start(spec, "finish")
    assert Reach().cancel(handle)
    (seen,) = cluster.launcher().poll([handle])
    assert seen.phase == "ended" and seen.failure is not None and seen.failure.kind == "killed"


def test_a_job_that_slurm_starts_anew_goes_on_as_the_next_attempt(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    handle = cluster.start(spec, "sleep")
    eventually(lambda: cluster.ledger.read(spec).status == "running")
    Reach().poll([handle])
    ask("scontrol", "requeue", str(handle["job"]))
    eventually(
        lambda: cluster.ledger.read(spec).attempt == 2 and cluster.ledger.read(spec).status == "running"
    )
    state = cluster.ledger.read(spec)
    assert [(a.n, a.status) for a in state.attempts] == [(1, "stopped"), (2, "running")]
    assert state.launcher == handle
    assert Reach().cancel(handle)
    eventually(lambda: cluster.ledger.read(spec).status == "stopped")


def test_the_end_of_its_time_stops_a_job_in_good_order_and_it_goes_on_later(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    handle = cluster.start(spec, "sleep")
    eventually(lambda: cluster.ledger.read(spec).status == "running")
    ask("scancel", "--signal=USR1", "--batch", str(handle["job"]))
    eventually(
        lambda: cluster.ledger.read(spec).attempt == 2 and cluster.ledger.read(spec).status == "running"
    )
    (seen,) = cluster.launcher().poll([handle])
    assert seen.alive
    assert Reach().cancel(handle)
    eventually(lambda: cluster.ledger.read(spec).status == "stopped")
    log = (cluster.ledger.folder(spec).attempt(1) / "log.txt").read_text()
    assert "its time is up: job 1 goes on later" in log


def test_a_job_that_may_not_go_on_by_itself_says_that_it_was_taken_back() -> None:
    assert job._requeued("1", restarts=20, most=20) == states.TAKEN_BACK
    seen = states.seen("FAILED", str(states.TAKEN_BACK << 8), "NonZeroExitCode", "job 1")
    assert seen.failure is not None and seen.failure.kind == "preempted"


@pytest.mark.parametrize(
    ("state", "status", "phase", "kind", "code"),
    [
        ("COMPLETED", "0", "ended", None, 0),
        ("FAILED", "1280", "ended", None, 5),
        ("FAILED", "9", "ended", None, -9),
        ("TIMEOUT", "0:15", "ended", "preempted", -15),
        ("NODE_FAIL", "0", "ended", "infra", 0),
        ("OUT_OF_MEMORY", "0:125", "ended", "oom", -125),
        ("CANCELLED by 1000", "0:15", "ended", "killed", -15),
        ("COMPLETING", "0", "running", None, None),
        ("REQUEUE_HOLD", "0", "queued", None, None),
        ("A_NEW_WORD", "0", "unknown", None, None),
        ("", "", "unknown", None, None),
    ],
)
def test_slurms_words_become_ours_and_a_new_one_is_no_end(
    state: str, status: str, phase: str, kind: str | None, code: int | None
) -> None:
    seen = states.seen(state, status, "", "job 1")
    assert (seen.phase, seen.failure.kind if seen.failure else None) == (phase, kind)
    assert phase != "ended" or seen.returncode == code


def test_what_sbatch_refuses_is_one_line_with_where_to_mend_it(cluster: Cluster) -> None:
    cluster.settings = SlurmSettings(partition="nowhere", poll=0.05)
    with pytest.raises(
        LaunchError, match=r"sbatch refuses: Batch job.*Invalid partition .*launchers/slurm.yaml"
    ):
        cluster.run([cluster.stages("a")])


def test_a_full_queue_is_waited_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "LATER", 0.05)
    cluster.switch("full")

    def make_room() -> None:
        eventually(lambda: (cluster.folder / "calls").exists() and len(cluster.calls("sbatch")) > 2)
        cluster.switch("full", on=False)

    room = threading.Thread(target=make_room)
    room.start()
    outcome, events = cluster.run([cluster.stages("a")])
    room.join()
    assert outcome.exit_code == 0
    assert [event.message for event in events if event.what == "waiting"] == [
        "slurm launcher: the queue is full: Batch job submission failed: policy"
    ]


def test_without_slurms_programs_it_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LaunchError, match="there is no program 'scontrol' here"):
        cluster.run([cluster.stages("a")])


def test_a_node_on_which_stages_fail_for_no_fault_of_theirs_is_left_out(cluster: Cluster) -> None:
    cluster.switch("hold")
    cluster.settings = cluster.settings.model_copy(update={"kinds": {"sft": Asked(exclude="n1")}})
    launcher = cluster.launcher()
    waiting = [cluster.stages("w", kind=kind) for kind in ("export", "sft")]
    for spec in waiting:
        start_attempt(cluster.ledger.folder(spec), spec, launcher, ())
    launcher.poll([cluster.ledger.read(spec).launcher or {} for spec in waiting])
    infra, config = Failure.of("infra", "ECC error"), Failure.of("config", "no such key")
    elsewhere = Failure.of("infra", "node n5: its part of the training is gone without a word")
    for name, failure, node, nodes in (
        ("a", infra, "n7", 1),
        ("b", config, "n8", 1),
        ("c", infra, "n7", 1),
        ("d", infra, "n9", 1),
        ("e", elsewhere, "n9", 2),
        ("f", elsewhere, "n9", 2),
        ("g", infra, "n9", 2),  # on which of them, nobody knows
    ):
        spec = cluster.stages(name, nodes=nodes, slots=nodes)
        folder = cluster.ledger.folder(spec)
        make_folder(folder.attempt(1))
        with take(folder.path, purpose="launch") as lease:
            state = StageState(spec.id, spec.kind).begun(1, None).running({}).over("failed", failure)
            folder.write_state(state, lease)
        named = {**describe_environment({}), "environment": {"SLURMD_NODENAME": node}}
        write_json(folder.attempt(1) / "environment.json", named)
        start_attempt(folder, spec, launcher, ())
    excluded = [call.partition("--exclude=")[2].partition(" ")[0] for call in cluster.calls("sbatch")]
    assert excluded == ["", "n1", "", "", "n7", "n7", "n7", "n5,n7", "n5,n7"]
    updates = [call for call in cluster.calls("scontrol") if "update" in call]
    assert updates == [  # what waits since before keeps off too
        f"scontrol update JobId={job} ExcNodeList={nodes}"
        for job, nodes in (("1", "n7"), ("2", "n1,n7"), ("1", "n5,n7"), ("2", "n1,n5,n7"))
    ]


def test_a_node_on_which_more_ends_well_than_fails_is_not_left_out(cluster: Cluster) -> None:
    spec = cluster.stages("a")
    folder = cluster.ledger.folder(spec)
    bad = BadNodes(2)
    for attempt in (1, 2):
        make_folder(folder.attempt(attempt))
        named = {**describe_environment({}), "environment": {"SLURMD_NODENAME": "n1"}}
        write_json(folder.attempt(attempt) / "environment.json", named)
        with take(folder.path, purpose="launch") as lease:
            state = folder.state() if attempt > 1 else StageState(spec.id, spec.kind)
            state = state.begun(attempt, None).running({}).over("failed", Failure.of("infra", "ECC error"))
            folder.write_state(state, lease)
    bad.note(LaunchRequest(folder.path, spec, 3, (), ProcessId.current()))
    assert bad.excluded() == ("n1",)
    for number in ("7", "7", "8"):
        bad.well("n1", number)
    assert bad.excluded() == ()
    # the launcher hears of it by its polls
    launcher = cluster.launcher()
    outcome, _ = cluster.run([other := cluster.stages("b")])
    assert outcome.exit_code == 0
    launcher.poll([cluster.ledger.read(other).launcher or {}])
    assert launcher._bad._well == {"n1": {"1"}}


def test_a_training_whose_jobs_end_before_their_first_checkpoint_is_not_run_for_ever(
    cluster: Cluster,
) -> None:
    spec = cluster.stages("a", kind="rl", total_steps=50)
    handle = cluster.start(spec, "sleep")
    for attempt in (1, 2):
        running(cluster, spec, attempt)
        ask("scancel", "--signal=USR1", "--batch", str(handle["job"]))
    eventually(lambda: cluster.ledger.read(spec).status == "failed")
    failure = cluster.ledger.read(spec).failure
    assert (
        failure is not None
        and failure.kind == "config"
        and "before they saved a checkpoint" in failure.message
    )
    eventually(lambda: cluster.launcher().poll([handle])[0].phase == "ended")


def test_a_prologue_that_fails_is_told_with_its_last_word(cluster: Cluster) -> None:
    cluster.settings = SlurmSettings(
        prologue=["module() { echo no such module >&2; return 3; }", "module x"], poll=0.05
    )
    spec = cluster.stages("a")
    outcome, _ = cluster.run([spec])
    assert outcome.exit_code == 1
    failure = cluster.ledger.read(spec).failure
    assert failure is not None and failure.kind == "config"
    assert failure.message == "its script ended with status 3 before the attempt began: no such module"
    assert "slurm.txt" in failure.hint


def test_a_job_started_anew_on_another_node_takes_the_stage_from_its_own_dead_past_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = cluster.stages("a")
    cluster.switch("hold")
    handle = cluster.start(spec, "finish")
    folder = cluster.ledger.folder(spec)
    elsewhere = dataclasses.replace(ProcessId.current(), host="n9", boot="b", namespace="n")
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(folder.state().running(handle), lease)
    monkeypatch.setenv("SLURM_JOB_ID", str(handle["job"]))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    argv = [sys.executable, "-m", "toolrl_cli.harness.slurm.job", str(folder.path), "--attempt", "1"]
    argv += ["--function", "tests.support.stage_functions:finish"]
    other = LeaseInfo(elsewhere, "attempt", 1, {**handle, "job": "99"}, "t", 1.0, 1.0)
    (folder.path / "lease").write_bytes(other.encode())
    assert subprocess.run(argv, check=False).returncode == NOT_MINE
    own = dataclasses.replace(other, launcher=handle)
    (folder.path / "lease").write_bytes(own.encode())
    assert subprocess.run(argv, check=False).returncode == 0
    assert [a.status for a in folder.state().attempts] == ["failed", "succeeded"]


def test_a_job_that_the_controller_lost_has_ended_only_once_its_heartbeat_stands_still(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = cluster.stages("a")
    handle = cluster.start(spec, "sleep")
    running(cluster, spec)
    other = {"1": {"options": {"comment": "somebody.else"}, "state": "PENDING", "status": 0}}
    kept = cluster.remembers(json.dumps(other))  # its number is another's by now
    launcher = cluster.launcher()
    monkeypatch.setattr(forgotten, "SILENT", 1.0)
    looks = time.monotonic() + 2.0
    while time.monotonic() < looks:
        (seen,) = launcher.poll([handle])
        assert seen.phase == "unknown" and "Slurm does not know job 1" in seen.told
        time.sleep(0.1)
    kill(cluster.stages.processes())
    eventually(lambda: launcher.poll([handle])[0].phase == "ended")
    cluster.remembers(kept)
    waiting = cluster.stages("b")
    cluster.switch("hold")
    lost = cluster.start(waiting, "finish")
    cluster.remembers("{}")
    (seen,) = cluster.launcher().poll([lost])
    assert seen.phase == "ended", seen  # nothing of it runs


def test_the_heartbeat_of_another_job_keeps_no_forgotten_one_alive(tmp_path: Path) -> None:
    theirs = LeaseInfo(ProcessId.current(), "attempt", 1, {"id": "theirs"}, "t", 1.0, 1.0)
    (tmp_path / "lease").write_bytes(theirs.encode())
    handle = {"log": str(tmp_path / "attempts" / "1" / "slurm.txt"), "job": "1"}
    looks = {name: forgotten.Forgotten().seen({**handle, "id": name}).phase for name in ("ours", "theirs")}
    assert looks == {"ours": "ended", "theirs": "unknown"}
