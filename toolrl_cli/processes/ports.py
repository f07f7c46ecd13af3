"""Chooses a TCP port that another process will listen on, seconds or minutes later."""

from __future__ import annotations

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
CHOSEN = range(20_000, 65_536)
"""Above those that Ray gives its workers (10002 to 19999)."""
TRIES = 100


def free_port(kernels: Path = RANGE) -> int:
    """A port that nobody has now, and that the kernel gives nobody who asks it for any.

    One that the kernel chose is free again at once, and on a busy machine it is taken by a connection before the
    process which was told of it has begun.

    Args:
        kernels: file with the first and the last port that the kernel chooses from.
    """
    taken = _kernels(kernels)
    left = [port for port in CHOSEN if port not in taken]
    chance = random.SystemRandom()  # the seed of a run must not lead two of them to one port
    for port in [*chance.choices(left, k=TRIES if left else 0), 0]:
        try:
            with socket.create_server(("", port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise OSError("no port is free")


def _kernels(file: Path) -> range:
    try:
        first, last = map(int, file.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return range(49_152, 65_536)  # what IANA leaves to it
    return range(first, last + 1)
