"""Identity of a process, so that a reused pid is never taken for the process that had it before."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True)
class ProcessId:
    """One process, distinguishable from every other that ever had its pid.

    Attributes:
        pid: the process number, meaningful within `namespace`.
        start_time: when it started; clock ticks since boot on Linux (a clock set back does not move them),
            seconds since the epoch elsewhere. Only compared for equality.
        host: name of the machine, for people and for owners that cannot be seen from here.
        boot: id of the machine's current boot, empty where the system gives none.
        namespace: id of the pid namespace (a container has its own), empty where there is none.
    """

    pid: int
    start_time: float
    host: str
    boot: str = ""
    namespace: str = ""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has `pid` now on this machine; None when there is none."""
        started = start_time(pid)
        return None if started is None else cls(pid, started, host_name(), boot_id(), pid_namespace())

    @classmethod
    def current(cls) -> ProcessId:
        """This process."""
        me = cls.of(os.getpid())
        if me is None:
            raise ProcessLookupError(f"process {os.getpid()} cannot see itself; is /proc mounted?")
        return me

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProcessId:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            int(data["pid"]),
            float(data["start_time"]),
            str(data["host"]),
            str(data.get("boot", "")),
            str(data.get("namespace", "")),
        )

    def to_json(self) -> dict[str, Any]:
        """All attributes as a JSON object."""
        return {
            "pid": self.pid,
            "start_time": self.start_time,
            "host": self.host,
            "boot": self.boot,
            "namespace": self.namespace,
        }

    def alive(self) -> bool | None:
        """Whether the process runs; None when that cannot be known from here.

        With the same boot id, the process belongs to this running kernel even if the host was renamed; in the same
        pid namespace, pid and start time then decide; so they do from the machine's own namespace for a container's
        processes. The same host with another boot id has restarted, so the process is gone. In all other cases the
        process cannot be seen from here.
        """
        same_boot = self.boot == boot_id() if self.boot else self.host == host_name()
        if same_boot:
            if self.namespace != pid_namespace():
                return _alive_in_container(self) if pid_namespace() == MACHINE else None
            return start_time(self.pid) == self.start_time
        return False if self.host == host_name() else None

    def age(self) -> float | None:
        """Seconds since the process started, gone or not, by the clock since boot, which nobody sets.

        None where that clock does not tell: another boot, another machine, or not Linux.
        """
        if not LINUX or not self.boot or self.boot != boot_id():
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_time / os.sysconf("SC_CLK_TCK")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


MACHINE = "pid:[4026531836]"
"""The pid namespace that Linux starts with (`PROC_PID_INIT_INO`): from there all processes can be seen."""


def _alive_in_container(process: ProcessId) -> bool | None:
    """Whether a process of another namespace runs, looked for from the machine's own; None where some are hidden."""
    if not Path("/proc/1/status").exists():  # mounted with hidepid
        return None
    for entry in Path("/proc").glob("[0-9]*"):
        inside = _pid_in_container(entry)
        if inside == process.pid and start_time(int(entry.name)) == process.start_time:
            return True
    return False


def _pid_in_container(entry: Path) -> int | None:
    """The pid by which the innermost namespace of a process knows it; None in the machine's own, or when gone."""
    try:
        status = (entry / "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    pids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return int(pids[-1]) if len(pids) > 1 else None


def start_time(pid: int) -> float | None:
    """When the process with this pid started (see `ProcessId`), or None when it is gone or a zombie."""
    if not LINUX:
        return _start_time_elsewhere(pid)
    fields = stat_fields(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return float(fields[19])


def stat_fields(pid: int) -> list[str] | None:
    """`/proc/<pid>/stat` from the state field on (state, ppid, pgrp, session, …), None when gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # the command name is in parentheses and may itself hold spaces and parentheses
    return text[text.rindex(")") + 2 :].split()


def _start_time_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


@lru_cache(maxsize=1)
def host_name() -> str:
    """The machine's name."""
    return socket.gethostname()


@lru_cache(maxsize=1)
def boot_id() -> str:
    """An id that changes with every boot of this machine; empty where the system gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@lru_cache(maxsize=1)
def pid_namespace() -> str:
    """The pid namespace this process lives in, such as `pid:[4026531836]`; empty where there is none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
