"""Runs a program on the other nodes of a job, as `srun` does: `python -m toolrl_cli.harness.ray.there COMMAND…`.

It ends when all have ended, or as soon as one has failed, with that one's status. What they run ends by itself when
this program does (`training.nodes.part`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Client
from pathlib import Path

from toolrl_cli.processes.nodes import Nodes

ADDRESS = "TOOLRL_RAY_PLACES"
"""Variable with whom to ask: `host:port:key`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; its exit status."""
    command = list(sys.argv[1:] if argv is None else argv)
    host, port, key = os.environ[ADDRESS].rsplit(":", 2)
    environment = {name: value for name, value in os.environ.items() if name != ADDRESS}
    left = Nodes.given().count - 1
    with Client((host, int(port)), authkey=key.encode()) as places:
        places.send((command, environment, str(Path.cwd())))
        while left:
            try:
                said = places.recv()
            except EOFError:
                print("toolrl: the job over several nodes has ended", file=sys.stderr, flush=True)
                return 1
            if isinstance(said, int):
                left -= 1
                if said:
                    return said if said > 0 else 128 - said
            else:
                sys.stdout.buffer.write(said)
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
