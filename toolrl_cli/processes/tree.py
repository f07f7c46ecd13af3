"""Descendants of a process: find them by parent or by mark, and signal them by identity, never by name."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from toolrl_cli.processes.process_id import LINUX, ProcessId, stat_fields

MARK_VARIABLE = "TOOLRL_ATTEMPT"
"""Environment variable that every process of an attempt inherits, by which it is found."""


def descendants(pid: int) -> list[ProcessId]:
    """All living processes below `pid` (not itself), parents before children."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent in _parents().items():
        children[parent].append(child)
    found: list[ProcessId] = []
    queue = [pid]
    while queue:
        for child in children.pop(queue.pop(0), ()):
            process = ProcessId.of(child)
            if process is not None:
                found.append(process)
            queue.append(child)
    return found


def marked(mark: str) -> list[ProcessId]:
    """All living processes that started with `MARK_VARIABLE=mark`, whatever their parent is now.

    Unlike a list of descendants, this finds a process that started after the list was written and whose parents
    have died since.
    """
    wanted = f"{MARK_VARIABLE}={mark}"
    found = []
    for pid in _parents():
        if _has_variable(pid, wanted):
            process = ProcessId.of(pid)
            if process is not None:
                found.append(process)
    return found


def kill(processes: Iterable[ProcessId], *, grace: float = 0.0, wait: float = 5.0) -> list[ProcessId]:
    """End these processes: SIGTERM, up to `grace` seconds, then SIGKILL. This process is left out.

    Returns:
        Those that still run `wait` seconds after SIGKILL (in uninterruptible sleep, or of another user).
    """
    left = [process for process in processes if process.alive() and process.pid != os.getpid()]
    if grace > 0 and left:
        left = _signal_and_wait(left, signal.SIGTERM, grace)
    return _signal_and_wait(left, signal.SIGKILL, wait) if left else []


def send(process: ProcessId, signum: int) -> bool:
    """Signal this process; False when it is gone or another process has its pid now.

    SIGTERM is followed by SIGCONT, because a suspended process (Ctrl-Z) would not handle it.
    """
    signums = (signum, signal.SIGCONT) if signum == signal.SIGTERM else (signum,)
    if not hasattr(os, "pidfd_open"):
        return _send_by_pid(process, signums)
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel or sandbox without pidfd
        return _send_by_pid(process, signums)
    try:
        # a pidfd always means the same process, so the process checked now is the one that is signalled
        if not process.alive():
            return False
        for each in signums:
            signal.pidfd_send_signal(fd, each)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


def _send_by_pid(process: ProcessId, signums: Iterable[int]) -> bool:
    if not process.alive():
        return False
    try:
        for each in signums:
            os.kill(process.pid, each)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_and_wait(processes: list[ProcessId], signum: int, seconds: float) -> list[ProcessId]:
    for process in processes:
        send(process, signum)
    deadline = time.monotonic() + seconds
    pause = 0.002
    while True:
        processes = [process for process in processes if process.alive()]
        if not processes or time.monotonic() >= deadline:
            return processes
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _parents() -> dict[int, int]:
    """pid → parent pid of every process of this machine."""
    if not LINUX:
        import psutil

        return {process.pid: process.info["ppid"] or 0 for process in psutil.process_iter(["ppid"])}
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = stat_fields(int(entry.name))
            if fields is not None:
                parents[int(entry.name)] = int(fields[1])
    return parents


def _has_variable(pid: int, wanted: str) -> bool:
    if LINUX:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # gone, or somebody else's
            return False
        return wanted.encode() in environment.split(b"\0")
    import psutil

    name, _, value = wanted.partition("=")
    try:
        return psutil.Process(pid).environ().get(name) == value
    except psutil.Error:
        return False
