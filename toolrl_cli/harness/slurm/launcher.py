"""The launcher: attempts as jobs, found again by name and comment, seen with one `squeue` for all."""

from __future__ import annotations

import contextlib
import select
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchLater, LaunchRequest, Seen, SlotPool
from toolrl_cli.harness.slurm import states
from toolrl_cli.harness.slurm.arrays import Place, Task, dependency, grouped, numbers, written
from toolrl_cli.harness.slurm.bad_nodes import BadNodes
from toolrl_cli.harness.slurm.forgotten import Forgotten
from toolrl_cli.harness.slurm.programs import NoAnswer, Refused, ask, me, split
from toolrl_cli.harness.slurm.script import (
    LOG,
    array_script,
    fixed,
    fixed_of_array,
    job_name,
    off,
    options,
    script,
)
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.store.state import Handle

FIELDS = ("JobID", "JobArrayID", "State", "exit_code", "Reason", "Name", "NodeList", "Comment")
FRESH = 1.0
"""Seconds for which an answer of `squeue` serves those who ask again."""

DOWN = 15.0
"""The same of no answer, which takes the programs ten seconds to find out."""

AT_ONCE = 1000
"""Jobs that one command names."""

MOST = 500
"""Tasks of an array; sites have a limit of their own (`MaxArraySize`), of 1000 by default."""

Submitted = tuple[LaunchRequest, Handle | LaunchError]


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
        self._cluster, self._most_tasks = "", 0
        self._followed: list[str] = []
        self._kept_off: tuple[str, ...] = ()
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
        ((_, answer),) = self.submit_many([request])
        if isinstance(answer, LaunchError):
            raise answer
        return answer

    def submit_many(self, requests: Sequence[LaunchRequest]) -> Iterator[Submitted]:
        """See `TakesMany.submit_many`; those that ask alike become arrays."""
        left = {request.id: request for request in requests}
        try:
            self._cluster_name()
            new = []
            for request in requests:
                there = self._submitted(request) if request.again else None
                if there is None:
                    self._bad.note(request)
                    new.append(request)
                else:
                    del left[request.id]
                    yield request, self._handle(request, *there)
            self._keep_off(self._bad.excluded())
            most = min(MOST, self._most_tasks)
            for tasks in grouped(new, self._asks, max(1, most)):
                alone = len(tasks) < max(2, self._settings.array or MOST + 1) or most < 2
                for request, handle in self._each(tasks) if alone else self._together(tasks):
                    del left[request.id]
                    yield request, handle
        except LaunchError as error:
            # whoever is refused for himself is told so; what nobody was asked for waits as long as the rest
            for request in left.values():
                yield request, _told(error, request)

    def _keep_off(self, nodes: tuple[str, ...]) -> None:
        """Have the jobs that wait keep off nodes too that have failed since they were submitted."""
        if nodes == self._kept_off:
            return
        wishes: dict[str, list[str]] = {}
        for job in self._followed:
            row = self._jobs.get(job)
            if row is not None and states.waits(row["State"]):
                kind = row["Name"].partition(":")[0]
                wishes.setdefault(off(kind, self._settings, nodes), []).append(job)
        for wish, jobs in wishes.items():
            for begin in range(0, len(jobs), AT_ONCE):
                some = ",".join(jobs[begin : begin + AT_ONCE])
                with contextlib.suppress(Refused):
                    # of those that have started meanwhile; the others keep off
                    ask("scontrol", "update", f"JobId={some}", f"ExcNodeList={wish}")
        self._kept_off = nodes

    def _each(self, tasks: list[Task]) -> Iterator[tuple[LaunchRequest, Handle]]:
        """Submit jobs of their own.

        Raises:
            LaunchError: as `ask`.
        """
        for task in tasks:
            yield task.request, self._handle(task.request, *self._alone(task.request))

    def _together(self, tasks: list[Task]) -> Iterator[tuple[LaunchRequest, Handle]]:
        """Submit an array; halves of it where the queue has no room for all.

        Raises:
            LaunchError: as `ask`.
        """
        folder, place = written(tasks, self._settings)
        own = fixed_of_array(place.name, place.array, folder, dependency(tasks), self._settings)
        argv = [*own, f"--array={numbers(tasks)}", *self._asks(tasks[0].request)]
        try:
            job = _number(ask("sbatch", *argv, script=array_script(place.array, folder, self._settings)))
        except Refused as error:
            shutil.rmtree(folder, ignore_errors=True)
            if not error.full or len(tasks) == 1:
                raise
            middle = len(tasks) // 2
            yield from self._together(tasks[:middle])
            yield from self._together(tasks[middle:])
            return
        for task in tasks:
            yield task.request, self._handle(task.request, f"{job}_{task.index}", place.array)

    def _alone(self, request: LaunchRequest) -> tuple[str, str]:
        """Submit one job; its number and its comment.

        Raises:
            LaunchError: as `ask`.
        """
        argv = [*fixed(request, self._settings), *self._asks(request)]
        return _number(ask("sbatch", *argv, script=script(request, self._settings))), request.id

    def _asks(self, request: LaunchRequest) -> tuple[str, ...]:
        return tuple(options(request.spec, self._settings, self._bad.excluded()))

    def _handle(self, request: LaunchRequest, job: str, comment: str) -> Handle:
        return {
            "kind": self.kind,
            "job": job,
            "cluster": self._cluster,
            "user": me(),
            "id": request.id,
            **({} if comment == request.id else {"array": comment}),
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
            self._followed = [str(handle["job"]) for handle in here]
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
        row = self._jobs.get(job) or self._whole(job)
        if row is None or row["Comment"] != handle.get("array", handle.get("id")):
            return accounted.get(job) or self._forgotten.seen(handle)
        seen = states.seen(row["State"], row["exit_code"], row["Reason"], f"job {job}")
        if seen.phase != "ended":
            return seen
        if seen.returncode == 0:
            self._bad.well(row["NodeList"], job)
        return states.never_began(seen, self.log(handle)) or seen

    def _whole(self, job: str) -> Mapping[str, str] | None:
        """The row of a whole array that was cancelled before this task of it began; None for anything else."""
        array, sign, _ = job.partition("_")
        row = self._jobs.get(array) if sign else None
        return row if row is not None and row["JobArrayID"] == array else None

    def cancel(self, handle: Handle, *, kill: bool = False) -> None:
        """See `Launcher.cancel`."""
        job = str(handle["job"])
        if handle.get("cluster") != self._cluster_name():
            raise LaunchError(f"job {job} is of the cluster {handle.get('cluster')!r}", "slurm launcher")
        self._listed = (-1e9, frozenset())
        # a task that waits is one with its array, which Slurm 22.05 would cancel as a whole; held, it stands alone
        apart = [("scontrol", "hold", job)] if "array" in handle else []
        end = ("--signal=KILL", "--full") if kill else ("--signal=TERM", "--batch")
        for program, *arguments in (*apart, ("scancel", "--state=PENDING", job), ("scancel", *end, job)):
            try:
                ask(program, *arguments)
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

    def _submitted(self, request: LaunchRequest) -> tuple[str, str] | None:
        """The job of an attempt that was submitted before, and its comment; None where there is none."""
        wanted = {job_name(request.spec): (request.id, "")}
        if place := Place.of(request.attempt_dir):
            wanted[place.name] = (place.array, f"_{place.index}")
        fields = ("JobArrayID", "State", "Name", "Comment")
        shown = ",".join(f"{name}:|" for name in fields[:-1]) + f",{fields[-1]}:"
        text = ask(
            "squeue", "--noheader", "--array", "--states=all", f"--name={','.join(wanted)}", "-O", shown
        )
        for row in reversed(split(text, fields)):
            comment, number = wanted.get(row["Name"], ("", ""))
            # one that has ended found itself unnamed, and did nothing
            if (
                row["Comment"] == comment
                and row["JobArrayID"].endswith(number)
                and states.goes_on(row["State"])
            ):
                return row["JobArrayID"], comment
        return None

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
            pairs = (line.partition("=") for line in text.splitlines())
            said = {name.strip(): value.strip() for name, _, value in pairs}
            self._cluster = said.get("ClusterName", "unnamed")
            most = said.get("MaxArraySize", "")
            self._most_tasks = int(most) if most.isdigit() else 0
        return self._cluster


def _number(answer: str) -> str:
    """The job's number in what `sbatch --parsable` says."""
    return answer.strip().partition(";")[0]


def _told(error: LaunchError, request: LaunchRequest) -> LaunchError:
    """Why an attempt could not be submitted."""
    if isinstance(error, NoAnswer):
        return LaunchLater(f"Slurm does not answer: {error.what}", "slurm launcher")
    if isinstance(error, Refused) and error.full:
        return LaunchLater(f"the queue is full: {error.what}", "slurm launcher")
    if isinstance(error, Refused):
        hint = "see `launchers: {slurm: …}` of the sweep, or launchers/slurm.yaml"
        return LaunchError(f"sbatch refuses: {error.what}", f"stage {request.spec.id}", hint)
    return error
