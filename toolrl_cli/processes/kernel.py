"""The two Linux process attributes that keep a tree of processes together; no-ops on other systems."""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent dies; False where that does not exist.

    Without it such a process becomes a child of init, and its origin is lost.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def signal_on_parent_death(signum: int) -> bool:
    """Have the kernel send `signum` to this process when the thread that forked it ends.

    Set after the fork, so the parent may be gone already: compare `os.getppid()` afterwards. It survives
    exec and is not inherited by children.
    """
    return _prctl(_PR_SET_PDEATHSIG, signum)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
    return True
