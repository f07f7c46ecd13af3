"""A Ray driver with an actor on each node, as verl is one: says when they are up, and of which nodes, then works on.

Arguments as Hydra's: `up=FILE nodes=N seconds=S`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

NAME = "TOOLRL_TEST_NODE"
"""Variable that each node of a cluster may have a value of its own of."""


@ray.remote(num_cpus=0, num_gpus=1)
class Worker:
    def node(self) -> tuple[str, str]:
        return ray.get_runtime_context().get_node_id(), os.environ.get(NAME, "?")


def main(up: str, nodes: str, seconds: str) -> None:
    ray.init()
    there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes()]
    workers = [Worker.options(scheduling_strategy=place).remote() for place in there]
    names = dict(ray.get([worker.node.remote() for worker in workers]))
    assert len(names) == int(nodes)
    whole = Path(up).with_suffix(".new")
    whole.write_text(" ".join(sorted(names.values())))
    whole.rename(up)
    time.sleep(float(seconds))


if __name__ == "__main__":
    main(**dict(argument.split("=", 1) for argument in sys.argv[1:]))
