"""Bounds of a process in which a model's text is executed.

Names and arguments are checked before anything is executed (`reading`). This is the second wall: whatever gets through
finds no network, cannot start a program, change a file or load one, and is ended when it takes too much.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
PR_SET_PDEATHSIG = 1
CPU_SECONDS = 5
"""Of one item while it is checked, and of one conversation: a thousand times what they take."""
EXTRA_BYTES = 1 << 30
"""Address space beside what the process has when it is confined."""

FILE_BYTES = 1 << 20
"""The log, in which a fault of this program is told, is the only file that is written."""

REFUSED_EVENTS = (
    *("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "signal.", "pty.", "fcntl.", "resource."),
    *("_posixsubprocess.", "_winapi.", "webbrowser.", "urllib.", "http.", "ftplib.", "smtplib.", "tempfile."),
    *("code.", "marshal.", "pickle.", "syslog.", "mmap.", "glob.", "pathlib."),
)
"""Beginnings of the names of Python's audit events that are refused; `open` and `import` have rules of their own."""


def without_network() -> str:
    """Take the network from this process; how: `namespace`, or `python` where the kernel permits no namespace."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for flags in (CLONE_NEWNET, CLONE_NEWNET | CLONE_NEWUSER):
            if libc.unshare(flags) == 0:
                return "namespace"
    return "python"


def end_with_parent() -> None:
    """Be killed when the process that started this one ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit() -> None:
    """Bound memory, files and processes of this process; processor time is `more_time`'s."""
    if sys.platform == "linux":
        own = _address_space() + EXTRA_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (own, own))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    more_time()


def more_time() -> None:
    """Allow `CPU_SECONDS` of processor time from now on; beyond them the kernel ends the process (SIGPROF)."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)


def refuse_deeds() -> None:
    """Refuse, from now on and for ever, what reaches beyond this process; modules must have been imported before."""
    loaded = frozenset(sys.modules)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            refused = not _only_reads(arguments)
        elif event == "import":
            refused = arguments[0] not in loaded and not str(arguments[0]).startswith("encodings.")
        else:
            refused = event.startswith(REFUSED_EVENTS)
        if refused:
            raise PermissionError(f"{event} is refused while a model's calls are executed")

    sys.addaudithook(hook)


def _only_reads(arguments: tuple[object, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    if isinstance(mode, str):
        return not set(mode) & set("wax+")
    return isinstance(flags, int) and not flags & writing


def _address_space() -> int:
    with open("/proc/self/statm") as status:  # noqa: PTH123 (no pathlib before the process is confined)
        return int(status.read().split()[0]) * resource.getpagesize()
