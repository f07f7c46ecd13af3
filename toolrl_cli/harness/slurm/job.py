"""What a job does on its node: `python -m toolrl_cli.harness.slurm.job STAGE_DIR …`, as `attempt.execution` takes it.

Slurm starts a job anew by itself (a failed node, pre-emption, `scontrol requeue`), under the same id; then the next
attempt of the stage begins here, without a harness. Before the end of its time a job gets SIGUSR1; the attempt stops
in good order, and the job puts itself back into the queue.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from toolrl_cli.attempt import execution
from toolrl_cli.attempt.adjusting import next_change
from toolrl_cli.errors import LaunchError, LedgerError
from toolrl_cli.harness.scheduling.retries import Policy
from toolrl_cli.harness.slurm.programs import ask
from toolrl_cli.harness.slurm.settings import seconds_of
from toolrl_cli.harness.slurm.states import TAKEN_BACK
from toolrl_cli.log import LOG, on_stderr
from toolrl_cli.processes.nodes import Nodes
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store import lease as leases
from toolrl_cli.store.failures import Failure, FailureClass
from toolrl_cli.store.lease import LeaseHeld
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.state import AttemptRecord
from toolrl_cli.training.checkpointing.checkpoints import saved_steps
from toolrl_cli.training.checkpointing.last_save import WITHIN

CLOCKS = 5.0
"""Seconds by which the file server's clock may differ from a node's."""

EARLY = 75.0
"""Seconds by which Slurm may send its warning too early; it looks once a minute."""

ENDING = 45.0
"""Seconds of the warning that are kept for the trainer's end (twice, with parts on other nodes) and the requeue."""

INPUTS_PATIENCE = 90.0
"""Seconds for what another node has written to be seen here: NFS keeps attributes for up to 60."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; the exit status of its attempt, or `TAKEN_BACK`."""
    parser = argparse.ArgumentParser(prog="python -m toolrl_cli.harness.slurm.job", add_help=False)
    parser.add_argument("stage_dir", type=Path)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--warn", type=float, default=120.0)
    parser.add_argument("--container", action="append", default=[])
    own, rest = parser.parse_known_args(argv)
    folder = StageFolder(own.stage_dir.absolute())
    taken: list[int] = []
    job, restarts = job_id(os.environ), int(os.environ.get("SLURM_RESTART_COUNT", "0"))

    def on_warning(signum: int, frame: FrameType | None) -> None:
        taken.append(signum)
        if _out_of_time(job, own.warn):  # on pre-emption nobody knows how long is left
            nodes = Nodes.given(os.environ).count
            os.environ[WITHIN] = f"{max(0.0, own.warn - ENDING * min(nodes, 2)):g}"
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGUSR1, on_warning)
    with on_stderr("toolrl: ", may_fail=True):
        again = None
        try:
            os.environ |= nodes_of_job(folder.spec().nodes, own.container, os.environ)
            if restarts:
                handle = folder.state().launcher
                again = handle if handle and handle.get("job") == job else None
            _wait_for_inputs(folder)
        except LedgerError as error:
            LOG.error("%s", error)
            return execution.LEDGER_FAILED
        if restarts and again is None:
            LOG.info("stage %s is not this job's any more; nothing to do here", folder.id)
            return execution.NOT_MINE
    arguments, saved = [str(own.stage_dir), *rest], _newest(folder)
    status = execution.main(arguments, again=again)
    if own.alone:
        status = _tried_again(folder, arguments, status, lambda: bool(taken))
    if status == execution.STOPPED and taken:
        with on_stderr("toolrl: ", may_fail=True):
            idle = restarts and saved == _newest(folder)
            if idle and _out_of_time(job, own.warn) and _in_vain(folder):
                return execution.FAILED
            return _requeued(job, restarts, own.restarts)
    return status


def job_id(environment: Mapping[str, str]) -> str:
    """What Slurm's programs and our handles call this job; of an array's task `123_4`."""
    array, task = (environment.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "")


def nodes_of_job(wanted: int, container: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """What tells the attempt how it runs a program on the other nodes of its job; nothing where it has this one alone.

    Args:
        wanted: nodes of the stage.
        container: what programs on the nodes are run with.
        environment: that of the batch step, which runs on the job's first node.
    """
    if wanted == 1:
        return {}
    count = int(environment.get("SLURM_JOB_NUM_NODES", "1"))
    others = str(count - 1)
    cores = environment.get("SLURM_CPUS_PER_TASK")  # which `srun` does not take from a batch job
    srun = [
        "srun",
        "--overlap",
        "--relative=1",
        f"--nodes={others}",
        f"--ntasks={others}",
        "--ntasks-per-node=1",
    ]
    srun += [
        "--export=ALL",
        "--input=none",
        "--mpi=none",
        "--cpu-bind=none",
        "--kill-on-bad-exit=1",
        "--quiet",
    ]
    srun += [f"--cpus-per-task={cores}"] if cores else []
    return Nodes(count, (*srun, *container)).variable()


def _wait_for_inputs(folder: StageFolder) -> None:
    """Return once the inputs are seen to have succeeded; what has not by then the attempt refuses itself."""
    ledger, inputs = Ledger(folder.results), list(folder.spec().inputs.values())
    deadline = time.monotonic() + INPUTS_PATIENCE
    while time.monotonic() < deadline:
        found = [ledger.find(stage_id) for stage_id in inputs]
        states = [stage.state() if stage else None for stage in found]
        if not any(state is None or state.active for state in states):
            return
        time.sleep(1.0)


def _tried_again(
    folder: StageFolder, arguments: Sequence[str], status: int, stopped: Callable[[], bool]
) -> int:
    """Do what a harness would do about a failure, for a job that has none; the last attempt's status."""
    policy, retried = Policy(), Counter[FailureClass]()
    while status == execution.FAILED and not stopped():
        state = folder.state()
        failure, handle = state.failure, state.launcher
        if failure is None or handle is None or retried[failure.kind] >= policy.retry(failure.kind).times:
            break
        if failure.kind == "oom" and next_change(folder.spec(), state) is None:
            break  # the same would happen again
        wait = policy.retry(failure.kind).delay(retried[failure.kind])
        retried[failure.kind] += 1
        with on_stderr("toolrl: ", may_fail=True):
            LOG.info("%s: again in %.0f s", failure.kind, wait)
        if _told_to_stop_within(wait):
            break
        status = execution.main(arguments, again=handle)
    return status


def _told_to_stop_within(seconds: float) -> bool:
    """Wait, unless somebody asks to stop; nothing else listens between two attempts."""
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        return told.wait(seconds)
    finally:
        signal.signal(signal.SIGTERM, before)


def _newest(folder: StageFolder) -> int:
    return max((step for step, _ in saved_steps(folder.path / "checkpoints")), default=0)


def _out_of_time(job: str, warn: float) -> bool:
    """Whether the job was told to stop for its own limit, and not to make room for another one."""
    try:
        left = ask("squeue", "--noheader", f"--jobs={job}", "-O", "TimeLeft:").strip()
        return (seconds_of(left) or 0.0) < warn + EARLY
    except (LaunchError, ValueError):  # nobody answers, or there is no limit
        return False


def _in_vain(folder: StageFolder) -> bool:
    """Whether a training has ended twice in a row without a checkpoint; it would for ever, so it is written down."""
    state = folder.state()
    before = [attempt for attempt in state.attempts if attempt.n == state.attempt - 1]
    if not trains(folder.kind) or not before or before[0].status != "stopped" or _saved_in(folder, before[0]):
        return False
    why = "two jobs in a row ended before they saved a checkpoint: what they did is lost"
    failure = Failure.of("config", why, "save more often (save_every), or give the jobs more time (time)")
    try:
        with leases.take(folder.path, purpose="launch") as lease:
            folder.write_state(state.over("failed", failure), lease)
    except LeaseHeld:  # somebody else goes on with it
        return False
    LOG.error("%s", why)
    return True


def _saved_in(folder: StageFolder, attempt: AttemptRecord) -> bool:
    """Whether an attempt has left a checkpoint, by the times of its start and end."""
    begun, ended = attempt.started or 0.0, attempt.ended or 0.0
    times = [path.stat().st_mtime for _, path in saved_steps(folder.path / "checkpoints")]
    return any(begun <= time <= ended + CLOCKS for time in times)


def _requeued(job: str, restarts: int, most: int) -> int:
    """Put the job back into the queue; a harness that follows it may submit the stage anew where that fails."""
    if restarts >= most:
        LOG.error("job %s was started %d times, and does not go on by itself any more", job, restarts + 1)
        return TAKEN_BACK
    try:
        ask("scontrol", "requeue", job)
    except LaunchError as error:
        LOG.error("job %s cannot be requeued: %s", job, error)
        return TAKEN_BACK
    LOG.info("its time is up: job %s goes on later", job)
    return execution.STOPPED


if __name__ == "__main__":
    sys.exit(main())
