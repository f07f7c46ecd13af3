"""A small parent process that ends a tree of processes when the process that started it dies.

`python -m toolrl_cli.processes.guard PARENT_PID COMMAND…` runs the command and stays as its parent. The tree
below (a torchrun with its ranks, a verl driver with Ray's daemons and workers) is killed when

- the parent dies for any reason: the kernel sends the guard a signal;
- the command ends and leaves processes behind: they become children of the guard, which waits a moment for them;
- the guard itself is killed: the kernel kills the command, and Ray ends with its driver.

SIGTERM is passed on to the command alone. The guard ends as the command did, with the same exit status
or signal. It costs one idle interpreter of about 10 MB.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from functools import partial
from types import FrameType

from toolrl_cli.processes.kernel import adopt_orphans, signal_on_parent_death
from toolrl_cli.processes.process_id import LINUX
from toolrl_cli.processes.tree import descendants, kill

PARENT_DIED = signal.SIGUSR1
LEFTOVERS_GRACE = 2.0  # seconds for Ray's daemons to notice that their driver has ended
POLL = 0.5  # seconds between looks at the parent where the kernel sends no signal


def main(argv: list[str]) -> int:
    """Run `argv[1:]` for the parent whose pid is `argv[0]`."""
    parent, command = int(argv[0]), argv[1:]
    adopt_orphans()
    signal.signal(PARENT_DIED, partial(_on_parent_death, parent))
    signal_on_parent_death(PARENT_DIED)
    if os.getppid() != parent:  # the parent died before the signal was requested
        return 1
    child = _start(command)
    signal.signal(signal.SIGTERM, partial(_pass_on, child))
    status = _wait(child, parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_leftovers()
    return _end_like(status)


def _start(command: list[str]) -> int:
    """Fork and exec; safe without `subprocess` because the guard has one thread."""
    me = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for signum in (PARENT_DIED, signal.SIGPIPE):  # Python ignores SIGPIPE, and an exec keeps that
            signal.signal(signum, signal.SIG_DFL)
        signal_on_parent_death(signal.SIGKILL)
        if os.getppid() == me:
            os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _wait(child: int, parent: int) -> int:
    """Reap all children until the command ends; returns its wait status."""
    while True:
        pid, status = os.waitpid(-1, 0 if LINUX else os.WNOHANG)
        if pid == child:
            return status
        if pid == 0:
            if os.getppid() != parent:
                _kill_everything()
            time.sleep(POLL)


def _end_leftovers() -> None:
    deadline = time.monotonic() + LEFTOVERS_GRACE
    while _reap() and descendants(os.getpid()):
        if time.monotonic() > deadline:
            kill(descendants(os.getpid()))
        time.sleep(0.02)


def _reap() -> bool:
    """Reap ended children; returns whether others still run."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True


def _end_like(status: int) -> int:
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    # a core file of the guard would replace that of the command
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signum = os.WTERMSIG(status)
    if signum != signal.SIGKILL:
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    return 128 + signum


def _pass_on(child: int, signum: int, _: FrameType | None) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
        os.kill(child, signum)


def _on_parent_death(parent: int, signum: int, _: FrameType | None) -> None:
    if os.getppid() != parent:
        _kill_everything()


def _kill_everything() -> None:
    while left := descendants(os.getpid()):
        kill(left)
        _reap()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
