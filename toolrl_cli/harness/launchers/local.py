"""Attempts as processes of this machine, each in a session of its own so that it survives the harness."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LauncherKind, LaunchPlan, LaunchRequest, Seen
from toolrl_cli.processes.child import importable
from toolrl_cli.processes.gpus import DEVICES, lock_names, visible_gpus
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.slot_locks import SlotLocks, handed_over
from toolrl_cli.processes.tree import send
from toolrl_cli.store.state import Handle

POLL = 0.05  # seconds between looks where the kernel does not tell of an ended process


class LocalLauncher:
    """Runs attempts here, each on slots of its own.

    Args:
        slots: names of the slots; of GPUs, what `CUDA_VISIBLE_DEVICES` calls them.
        gpus: whether the slots are GPUs.
        environment: environment of the attempts; None for this process's own.
        locks: keeps other harnesses of this machine from the slots in use; None where there are none.
    """

    kind = "local"
    delay = 0.0
    interval = 1.0

    def __init__(
        self,
        slots: Sequence[str] = ("cpu0",),
        *,
        gpus: bool = False,
        environment: Mapping[str, str] | None = None,
        locks: SlotLocks | None = None,
    ) -> None:
        self.slots = tuple(slots)
        self._gpus = gpus
        self._locks = locks
        self._keys = lock_names(self.slots) if gpus and locks else {slot: slot for slot in self.slots}
        self._reserved: dict[str, int] = {}
        self._environment = importable(environment)
        self._children: dict[ProcessId, subprocess.Popen[bytes]] = {}
        self._descriptors: dict[tuple[int, float], int] = {}

    @classmethod
    def detect(cls, *, cpu_slots: int = 1, locks: SlotLocks | None = None) -> LocalLauncher:
        """One slot per visible GPU, or `cpu_slots` where there is none."""
        gpus = visible_gpus()
        if gpus:
            return cls(gpus, gpus=True, locks=locks)
        return cls([f"cpu{number}" for number in range(cpu_slots)], locks=locks)

    @property
    def pool(self) -> LocalLauncher:
        """See `Launcher.pool`."""
        return self

    def elsewhere(self, slots: Iterable[str]) -> dict[str, str]:
        """See `SlotPool.elsewhere`."""
        if self._locks is None:
            return {}
        by_key = {self._keys[slot]: slot for slot in slots}
        return {by_key[key]: who for key, who in self._locks.elsewhere(by_key).items()}

    @contextlib.contextmanager
    def reserved(self, slots: Sequence[str]) -> Iterator[bool]:
        """See `SlotPool.reserved`."""
        taken = self._locks.take([self._keys[slot] for slot in slots]) if self._locks else {}
        with handed_over(taken or {}):
            self._reserved = taken or {}
            try:
                yield taken is not None
            finally:
                self._reserved = {}

    def submit(self, request: LaunchRequest) -> Handle:
        """See `Launcher.submit`."""
        locks = [self._reserved[key] for slot in request.slots if (key := self._keys[slot]) in self._reserved]
        argv = request.argv()
        if locks:
            argv += ["--locks", ",".join(map(str, locks))]
        try:
            with (request.attempt_dir / "log.txt").open("ab") as log:
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=locks,
                    env=self._environment_for(request.slots),
                )
        except OSError as error:
            raise LaunchError(
                f"attempt cannot be started: {error.strerror}",
                str(request.stage_dir),
                "check free memory and the limits on processes and open files (`ulimit -a`)",
            ) from error
        # a process that has ended already has no start time any more, and is not alive under any
        process = ProcessId.of(child.pid) or ProcessId(child.pid, 0.0, request.harness.host)
        self._children[process] = child
        return {
            "kind": self.kind,
            **process.to_json(),
            "slots": list(request.slots),
            "harness": request.harness.to_json(),
        }

    def poll(self, handles: Sequence[Handle]) -> list[Seen]:
        """See `Launcher.poll`."""
        return [self._seen(handle) for handle in handles]

    def _seen(self, handle: Handle) -> Seen:
        try:
            process = ProcessId.from_json(handle)
        except (KeyError, ValueError, TypeError):
            return Seen("unknown", told="its process is written down in a way that cannot be read")
        child = self._children.get(process)
        if child is not None:
            if child.poll() is None:
                return Seen("running")
            del self._children[process]
            self._forget(handle)
            return Seen("ended", child.returncode)
        alive = process.alive()
        if alive is None:
            return Seen("unknown", told="its process cannot be seen from here")
        if alive:
            return Seen("running")
        self._forget(handle)
        return Seen("ended")

    def cancel(self, handle: Handle, *, kill: bool = False) -> None:
        """See `Launcher.cancel`; a killed attempt takes its whole tree with it."""
        send(ProcessId.from_json(handle), signal.SIGKILL if kill else signal.SIGTERM)

    def log(self, handle: Handle) -> Path | None:
        """See `Launcher.log`."""
        return None

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        """See `Launcher.wait`."""
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        unseen = False
        for handle in handles:
            descriptor = self._descriptor(handle)
            if descriptor is None:
                unseen = True
            else:
                poller.register(descriptor, select.POLLIN)
        poller.poll(1000 * (min(timeout, POLL) if unseen else timeout))

    def _environment_for(self, slots: Sequence[str]) -> dict[str, str]:
        environment = dict(self._environment)
        # an empty value would make Ray refuse the logical GPUs that verl asks for on a CPU
        environment.pop(DEVICES, None)
        if self._gpus:
            environment[DEVICES] = ",".join(slots)
        return environment

    def _descriptor(self, handle: Handle) -> int | None:
        """A file descriptor that can be read once the attempt's process ends; None where there is no such."""
        process = ProcessId.from_json(handle)
        key = (process.pid, process.start_time)
        if key not in self._descriptors:
            if not hasattr(os, "pidfd_open"):
                return None
            try:
                descriptor = os.pidfd_open(process.pid)
            except OSError:  # ended, or a sandbox without pidfd: looking again is right for both
                return None
            if process not in self._children and process.alive() is not True:
                os.close(descriptor)
                return None
            self._descriptors[key] = descriptor
        return self._descriptors[key]

    def _forget(self, handle: Handle) -> None:
        descriptor = self._descriptors.pop((handle["pid"], float(handle["start_time"])), None)
        if descriptor is not None:
            os.close(descriptor)


def open_here(plan: LaunchPlan) -> LocalLauncher:
    """GPU slots where there are GPUs and the plan may use them, CPU slots otherwise.

    Raises:
        LaunchError: slots cannot be locked.
    """
    wanted = max(plan.max_parallel or plan.side_by_side, *(stage.slots for stage in plan.stages))
    locks = SlotLocks(plan.by)
    if {stage.resources.get("device", "auto") for stage in plan.stages} <= {"cpu"}:
        return LocalLauncher([f"cpu{n}" for n in range(wanted)], locks=locks)
    return LocalLauncher.detect(cpu_slots=wanted, locks=locks)


LOCAL = LauncherKind("local", open_here, reach=lambda: LocalLauncher(()))
