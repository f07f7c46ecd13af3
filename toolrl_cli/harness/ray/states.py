"""From Ray's words for a job to ours: what is no word about the attempt is left to the attempt's own files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolrl_cli.harness.launcher import Seen
from toolrl_cli.store.failures import Failure, FailureClass

NODE_LOST = 79
"""Exit status of a job over several nodes whose attempt's node is gone."""

CANCELLED = Failure.of("killed", "its job was cancelled before it started")

NEVER_STARTED: Mapping[str, tuple[FailureClass, str]] = {
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE": ("config", "no node of the cluster can run it"),
    "RUNTIME_ENV_SETUP_FAILURE": ("infra", "its node could not set its environment up"),
    "JOB_ENTRYPOINT_COMMAND_START_ERROR": ("infra", "its command could not be started"),
}
"""Type of error → class of failure, and what to say."""


def waited_too_long(job: Mapping[str, Any]) -> bool:
    """Whether Ray gave up a job that only waited: no failure, it is to be submitted again."""
    return job["status"] == "FAILED" and _type(job) == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"


def seen(job: Mapping[str, Any], *, began: bool, said: str = "") -> Seen | None:
    """What a job's row says; None where it says nothing of the attempt, which may run on without its supervisor.

    Args:
        job: as `/api/jobs/` lists it; not one that `waited_too_long`.
        began: whether the attempt has begun to write its log.
        said: the last of what its shell said; empty for nothing.
    """
    status, called = job["status"], f"job {job['submission_id']}"
    if status == "PENDING":
        return Seen("queued")
    if status == "RUNNING":
        return Seen("running")
    if status == "SUCCEEDED":
        return Seen("ended", 0)
    if status == "STOPPED":
        return Seen("ended", failure=Failure.of("killed", f"its job was stopped (Ray {called})"))
    if status != "FAILED":
        return Seen("unknown", told=f"{called} is {status!r}, which this version of toolrl does not know")
    kind = _type(job)
    if kind in NEVER_STARTED:
        name, why = NEVER_STARTED[kind]
        return Seen("ended", failure=Failure.of(name, f"{why} (Ray {called}): {last_line(job)}"))
    if kind != "JOB_ENTRYPOINT_COMMAND_ERROR":
        return None
    code = job.get("driver_exit_code")
    code = 128 - code if isinstance(code, int) and code > 128 else code
    if began and code == NODE_LOST:
        return Seen("ended", code, Failure.of("infra", f"the first of its nodes is gone (Ray {called})"))
    if began:
        return Seen("ended", code)
    why = f"it did not begin on its node (status {code})"
    hint = "see ray.txt in the attempt's folder; `toolrl doctor --launcher ray` says what is missing"
    return Seen("ended", code, Failure.of("infra", f"{why} (Ray {called}): {said or last_line(job)}", hint))


def last_line(job: Mapping[str, Any]) -> str:
    """The end of what Ray says of a job, in one line."""
    lines = [line.strip() for line in str(job.get("message") or "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing was said"


def _type(job: Mapping[str, Any]) -> str:
    return str(job.get("error_type") or "").rpartition(".")[2]
