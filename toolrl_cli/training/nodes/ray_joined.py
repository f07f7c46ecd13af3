"""Waits until a Ray has all its nodes: `python -m toolrl_cli.training.nodes.ray_joined ADDRESS NODES SECONDS`.

By asking Ray's store of nodes, and not by joining: the driver has to be the Ray's first job (`cpu.forked`).
"""

from __future__ import annotations

import sys
import time

from ray._raylet import GcsClient  # type: ignore[attr-defined]


def main(address: str, wanted: int, seconds: float) -> int:
    """0 once they are there; 1 where they are not in time."""
    client = GcsClient(address=address)
    deadline = time.monotonic() + seconds
    while (there := _alive(client)) < wanted:
        if time.monotonic() > deadline:
            print(
                f"toolrl: {there} of {wanted} nodes have joined Ray at {address} within {seconds:.0f} s",
                flush=True,
            )
            return 1
        time.sleep(0.2)
    return 0


def _alive(client: GcsClient) -> int:
    nodes = client.get_all_node_info(timeout=30.0)
    return sum(info.state == 0 for info in nodes.values())  # GcsNodeInfo.ALIVE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
