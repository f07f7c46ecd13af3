"""What a job does on its node: `python -m toolrl_cli.harness.ray.job STAGE_DIR …`, as `attempt.execution` takes it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, MutableMapping, Sequence
from pathlib import Path

from toolrl_cli.attempt import execution
from toolrl_cli.attempt.environment import HARMLESS
from toolrl_cli.harness.ray.stopping import asked_to_stop, heed
from toolrl_cli.log import LOG, on_stderr
from toolrl_cli.processes.gpus import DEVICES

SLOWEST = 5.0
"""Most seconds between two looks whether it is asked to stop."""

SET_BY_RAY = ("OMP_NUM_THREADS", "PYTHONBREAKPOINT")
"""What Ray sets for a job's driver, besides its own variables."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage; the exit status of its attempt."""
    parser = argparse.ArgumentParser(prog="python -m toolrl_cli.harness.ray.job", add_help=False)
    parser.add_argument("stage_dir", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--heartbeat", type=float, default=2.0)
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--places", type=json.loads, help="nodes, and what it takes of each")
    own, rest = parser.parse_known_args(argv)
    attempt_dir = own.stage_dir.absolute() / "attempts" / str(own.attempt)
    if asked_to_stop(attempt_dir):
        with on_stderr("toolrl: ", may_fail=True):
            LOG.info("stage %s was cancelled while its job waited; nothing to do", own.stage_dir.name)
        return execution.STOPPED
    again = [str(own.stage_dir), "--attempt", str(own.attempt), "--heartbeat", f"{own.heartbeat:g}", *rest]
    if own.places is not None:
        from toolrl_cli.harness.ray.places import run_over  # imports ray

        here = [
            sys.executable,
            "-m",
            "toolrl_cli.harness.ray.job",
            *again,
            *(f"--keep={n}" for n in own.keep),
        ]
        with on_stderr("toolrl: ", may_fail=True):
            return run_over(**own.places, attempt_dir=attempt_dir, command=here)
    leave_cluster(os.environ, own.keep)
    heed(attempt_dir, min(own.heartbeat, SLOWEST))
    return execution.main(again)


def leave_cluster(environment: MutableMapping[str, str], keep: Iterable[str]) -> None:
    """Take out what would have verl's own Ray join the cluster, or do with one thread.

    What a site says of Ray on its nodes (folders, memory) stays.

    Args:
        environment: changed.
        keep: variables that the user has set.
    """
    kept = set(keep)
    for name in list(environment):
        of_cluster = name in SET_BY_RAY or (name.startswith("RAY_") and not HARMLESS.fullmatch(name))
        if of_cluster and name not in kept:
            del environment[name]
    if environment.get(DEVICES) == "":  # a CPU: Ray refuses the logical GPUs that verl asks for there
        del environment[DEVICES]


if __name__ == "__main__":
    sys.exit(main())
