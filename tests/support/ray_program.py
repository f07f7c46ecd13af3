"""A Ray driver with two actors, as verl is one: says when it is up, then works on until it is told otherwise."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ray


@ray.remote(num_cpus=0)
class Worker:
    def work(self) -> int:
        return 1


def main() -> None:
    ray.init(num_cpus=2, include_dashboard=False)
    workers = [Worker.remote() for _ in range(2)]
    assert sum(ray.get([worker.work.remote() for worker in workers])) == 2
    Path(sys.argv[1]).write_text("up")
    time.sleep(float(sys.argv[2]))


if __name__ == "__main__":
    main()
