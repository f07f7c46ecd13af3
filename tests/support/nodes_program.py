"""A Ray driver with an actor on each node, as verl is one: says when they are up, then works on.

Arguments as Hydra's: `up=FILE nodes=N seconds=S`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote(num_cpus=0, num_gpus=1)
class Worker:
    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def main(up: str, nodes: str, seconds: str) -> None:
    ray.init()
    there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes()]
    workers = [Worker.options(scheduling_strategy=place).remote() for place in there]
    assert len(set(ray.get([worker.node.remote() for worker in workers]))) == int(nodes)
    Path(up).write_text("up")
    time.sleep(float(seconds))


if __name__ == "__main__":
    main(**dict(argument.split("=", 1) for argument in sys.argv[1:]))
