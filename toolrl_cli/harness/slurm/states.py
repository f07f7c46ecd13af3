"""From Slurm's words for a job to ours: what it does not say is unknown, and what is unknown has not ended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from toolrl_cli.attempt.execution import NOT_MINE
from toolrl_cli.harness.launcher import Seen
from toolrl_cli.store.failures import Failure, FailureClass

TAKEN_BACK = 4
"""Exit status of a job that stopped in good order because its time was up, and could not be requeued."""

QUEUED = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)
RUNNING = frozenset({"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "COMPLETING"})
ENDED: Mapping[str, tuple[FailureClass | None, str]] = {
    "COMPLETED": (None, ""),
    "FAILED": (None, ""),
    "TIMEOUT": ("preempted", "it reached the time limit of its job"),
    "PREEMPTED": ("preempted", "another job took its place"),
    "NODE_FAIL": ("infra", "its node failed"),
    "BOOT_FAIL": ("infra", "its node did not start"),
    "LAUNCH_FAILED": ("infra", "Slurm could not start it on its node"),
    "RECONFIG_FAIL": ("infra", "Slurm could not set its node up"),
    "OUT_OF_MEMORY": ("oom", "it went over the memory of its job"),
    "CANCELLED": ("killed", "its job was cancelled"),
    "DEADLINE": ("killed", "its job's deadline passed"),
    "REVOKED": ("killed", "another cluster took its job"),
}
"""State → class of failure (None: the attempt's own files and exit status tell), and what to say."""

ORDINARY = frozenset({"", "None", "Priority", "Resources", "Dependency", "BeginTime", "Cleaning", "Prolog"})
"""Reasons for waiting that a user need not hear of."""


def waits(state: str) -> bool:
    """Whether a job of this state waits."""
    return state.partition(" ")[0].rstrip("+") in QUEUED


def goes_on(state: str) -> bool:
    """Whether a job of this state waits or runs."""
    return state.partition(" ")[0].rstrip("+") in QUEUED | RUNNING


def seen(state: str, status: str, reason: str, where: str) -> Seen:
    """What a row of `squeue` says.

    Args:
        state: Slurm's word, such as `PENDING`, or `CANCELLED by 1000`.
        status: of an ended job, its wait status as `squeue` prints it, or `code:signal` as `sacct` does.
        reason: why it waits, or ended.
        where: what the job is called, such as `job 12`.
    """
    word = state.partition(" ")[0].rstrip("+")
    if word in QUEUED:
        return Seen("queued", told="" if reason in ORDINARY else f"{where} waits: {reason}")
    if word in RUNNING:
        return Seen("running")
    if word not in ENDED:
        return Seen("unknown", told=f"{where} is {state!r}, which this version of toolrl does not know")
    kind, why = ENDED[word]
    code = returncode(status)
    if code == TAKEN_BACK:
        kind, why = "preempted", "its time was up"
    elif code == NOT_MINE:
        kind, why = "preempted", "it began before it was written down as the stage's job, and did nothing"
    failure = Failure.of(kind, f"{why} (Slurm {where}: {word})") if kind else None
    return Seen("ended", code, failure)


def never_began(seen: Seen, log: Path | None) -> Seen | None:
    """The end of a job whose attempt never wrote a word, with the last one of its script; None for any other.

    Args:
        seen: what Slurm says.
        log: the job's own log, beside which the attempt's would be.
    """
    if seen.phase != "ended" or not seen.returncode or seen.failure or log is None:
        return None
    if log.with_name("log.txt").exists() or not log.exists():
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if lines and lines[-1].startswith("toolrl: "):  # it began, and had nothing to do
        return None
    last = f": {lines[-1]}" if lines else ""
    hint = f"see prologue, container and python of the slurm launcher; its log is {log}"
    message = f"its script ended with status {seen.returncode} before the attempt began{last}"
    return replace(seen, failure=Failure.of("config", message, hint))


def returncode(status: str) -> int | None:
    """The exit status, or minus the signal; None where it is not told."""
    code, _, signum = status.partition(":")
    try:
        if signum:
            return -int(signum) if int(signum) else int(code)
        return os.waitstatus_to_exitcode(int(code))
    except ValueError:
        return None
