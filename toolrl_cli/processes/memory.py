"""Memory of this machine, or of the container that this process is in if that is less."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes:
        total: that processes here may use.
        free: of it, now.
        container: whether a container's limit (control group, version 2) is what is the least free.
    """

    total: int
    free: int
    container: bool = False


def memory(group: Path = GROUP) -> Memory:
    """The memory of this machine.

    Args:
        group: folder of the control group.
    """
    import psutil

    machine = psutil.virtual_memory()
    try:
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        most = used = ""
    if not (most.isdecimal() and used.isdecimal()):
        return Memory(machine.total, machine.available)
    left = max(0, int(most) - int(used))
    return Memory(min(machine.total, int(most)), min(machine.available, left), left < machine.available)
