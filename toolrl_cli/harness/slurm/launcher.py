"""The launcher: attempts as jobs, found again by name and comment, seen with one `squeue` for all."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchLater, LaunchRequest, Seen, SlotPool
from toolrl_cli.harness.slurm import states
from toolrl_cli.harness.slurm.bad_nodes import BadNodes
from toolrl_cli.harness.slurm.forgotten import Forgotten
from toolrl_cli.harness.slurm.programs import NoAnswer, Refused, ask, me, split
from toolrl_cli.harness.slurm.script import LOG, fixed, job_name, options, script
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.store.state import Handle

FIELDS = ("JobID", "JobArrayID", "State", "exit_code", "Reason", "Comment")
FRESH = 1.0
"""Seconds for which an answer of `squeue` serves those who ask again."""

DOWN = 15.0
"""The same of no answer, which takes the programs ten seconds to find out."""


class SlurmLauncher:
    """Submits attempts to Slurm and says how their jobs stand.

    Args:
        settings: the user's; only those about looking count where nothing is submitted.
    """

    kind = "slurm"
    pool: SlotPool | None = None

    def __init__(self, settings: SlurmSettings | None = None) -> None:
        self._settings = settings or SlurmSettings()
        self.delay = self._settings.delay
        self._cluster = ""
        self._watched = 0
        self._jobs: dict[str, Mapping[str, str]] = {}
        self._listed: tuple[float, frozenset[str]] = (-1e9, frozenset())
        self._down: tuple[float, str] = (-1e9, "")
        self._accounting = True
        self._forgotten = Forgotten()
        self._bad = BadNodes(self._settings.exclude_after)

    @property
    def interval(self) -> float:
        """See `Launcher.interval`."""
        return self._settings.poll or 2.0 + self._watched / 100

    def submit(self, request: LaunchRequest) -> Handle:
        """See `Launcher.submit`."""
        try:
            cluster = self._cluster_name()
            job = self._submitted(request) if request.again else None
            if job is None:
                self._bad.note(request)
                asked = options(request.spec, self._settings, self._bad.excluded())
                argv = [*fixed(request, self._settings), *asked]
                job = ask("sbatch", *argv, script=script(request, self._settings)).strip().partition(";")[0]
        except NoAnswer as error:
            raise LaunchLater(f"Slurm does not answer: {error.what}", "slurm launcher") from error
        except Refused as error:
            if error.full:
                raise LaunchLater(f"the queue is full: {error.what}", "slurm launcher") from error
            hint = "see `launchers: {slurm: …}` of the sweep, or launchers/slurm.yaml"
            raise LaunchError(f"sbatch refuses: {error.what}", f"stage {request.spec.id}", hint) from error
        return {
            "kind": self.kind,
            "job": job,
            "cluster": cluster,
            "user": me(),
            "id": request.id,
            "log": str(request.attempt_dir / LOG),
            "slots": [],
            **({} if request.alone else {"harness": request.harness.to_json()}),
        }

    def poll(self, handles: Sequence[Handle]) -> list[Seen]:
        """See `Launcher.poll`."""
        if not handles:
            return []
        try:
            cluster = self._cluster_name()
            here = [handle for handle in handles if handle.get("cluster") == cluster]
            self._list(here)
            gone = [str(handle["job"]) for handle in here if str(handle["job"]) not in self._jobs]
            accounted = self._accounted(gone) if gone else {}
        except LaunchError as error:
            return [Seen("unknown", told=f"Slurm does not answer: {error.what}")] * len(handles)
        return [self._seen(handle, cluster, accounted) for handle in handles]

    def _seen(self, handle: Handle, cluster: str, accounted: Mapping[str, Seen]) -> Seen:
        if handle.get("cluster") != cluster:
            told = f"it was submitted to the cluster {handle.get('cluster')!r}, and this is {cluster!r}"
            return Seen("unknown", told=told)
        job = str(handle["job"])
        row = self._jobs.get(job)
        if row is None or row["Comment"] != handle.get("id"):
            return accounted.get(job) or self._forgotten.seen(handle)
        seen = states.seen(row["State"], row["exit_code"], row["Reason"], f"job {job}")
        return states.never_began(seen, self.log(handle)) or seen

    def cancel(self, handle: Handle, *, kill: bool = False) -> None:
        """See `Launcher.cancel`."""
        job = str(handle["job"])
        if handle.get("cluster") != self._cluster_name():
            raise LaunchError(f"job {job} is of the cluster {handle.get('cluster')!r}", "slurm launcher")
        self._listed = (-1e9, frozenset())
        for arguments in (
            ("--state=PENDING", job),
            ("--signal=KILL", "--full", job) if kill else ("--signal=TERM", "--batch", job),
        ):
            try:
                ask("scancel", *arguments)
            except Refused as error:  # it has ended by now, or is in the other state
                if "permission denied" in error.what.lower():
                    raise

    def log(self, handle: Handle) -> Path | None:
        """See `Launcher.log`."""
        return Path(str(handle["log"])) if handle.get("log") else None

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        """See `Launcher.wait`."""
        self._watched = len(handles)
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        poller.poll(1000 * min(timeout, self.interval))

    def _list(self, handles: Sequence[Handle]) -> None:
        """Know the jobs of these handles: from the last answer, if it is fresh and has them all."""
        now = time.monotonic()
        if now - self._down[0] < DOWN:
            raise NoAnswer(self._down[1])
        users = frozenset(str(handle.get("user", me())) for handle in handles)
        at, listed = self._listed
        if now - at < FRESH and users <= listed and all(str(h["job"]) in self._jobs for h in handles):
            return
        if not users:
            return
        shown = ",".join(f"{name}:|" for name in FIELDS[:-1]) + f",{FIELDS[-1]}:"
        try:
            text = ask(
                "squeue", "--noheader", "--array", "--states=all", f"--user={','.join(users)}", "-O", shown
            )
        except NoAnswer as error:
            self._down = (time.monotonic(), error.what)
            raise
        self._jobs = {}
        for row in split(text, FIELDS):
            self._jobs[row["JobID"]] = self._jobs[row["JobArrayID"]] = row
        self._listed = (time.monotonic(), users)

    def _accounted(self, jobs: Sequence[str]) -> dict[str, Seen]:
        """How jobs ended that the controller has forgotten, where accounts are kept."""
        if not self._accounting:
            return {}
        fields = ("JobID", "State", "ExitCode")
        try:
            text = ask("sacct", "-X", "-n", "-P", f"--jobs={','.join(jobs)}", f"--format={','.join(fields)}")
        except LaunchError:  # not installed, disabled, or its database is down: the attempt's own files tell
            self._accounting = False
            return {}
        rows = {row["JobID"]: row for row in split(text, fields)}
        found = {
            job: states.seen(row["State"], row["ExitCode"], "", f"job {job}") for job, row in rows.items()
        }
        return {job: seen for job, seen in found.items() if seen.phase == "ended"}  # accounts lag behind

    def _submitted(self, request: LaunchRequest) -> str | None:
        """The job of an attempt that was submitted before; None where there is none."""
        name = job_name(request.spec)
        fields = ("JobID", "State", "Comment")
        shown = f"{fields[0]}:|,{fields[1]}:|,{fields[2]}:"
        text = ask("squeue", "--noheader", "--array", "--states=all", f"--name={name}", "-O", shown)
        # one that has ended found itself unnamed, and did nothing
        theirs = [row for row in split(text, fields) if row["Comment"] == request.id]
        return next((row["JobID"] for row in reversed(theirs) if states.goes_on(row["State"])), None)

    def _cluster_name(self) -> str:
        """Which cluster answers here.

        Raises:
            NoAnswer: none.
        """
        if not self._cluster:
            if time.monotonic() - self._down[0] < DOWN:
                raise NoAnswer(self._down[1])
            try:
                text = ask("scontrol", "show", "config")
            except NoAnswer as error:
                self._down = (time.monotonic(), error.what)
                raise
            names = [
                line.partition("=")[2].strip() for line in text.splitlines() if line.startswith("ClusterName")
            ]
            self._cluster = names[0] if names else "unnamed"
        return self._cluster
