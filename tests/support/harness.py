"""A harness as a program of its own, so that tests can kill it: `python -m tests.support.harness RESULTS GRAPH`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from tests.support.stages import FUNCTIONS
from toolrl_cli.harness.launcher import Launcher
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.ray.launcher import RayLauncher
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.scheduling.retries import Policy, Retry
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.processes.slot_locks import SlotLocks
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder

WORK = {"sft": "train", "rl": "train", "export": "finish", "evaluate": "finish"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("slots", type=int)
    parser.add_argument("--locks", type=Path, help="folder of slots shared with other harnesses")
    parser.add_argument("--sweep", help="a sweep under the results root that this harness works on")
    parser.add_argument("--function", default="train", help="what stages that train do")
    parser.add_argument("--grace", type=float, default=60.0)
    parser.add_argument("--slurm", help="settings of the Slurm launcher, which then takes the place of slots")
    parser.add_argument("--ray", help="the same of the Ray launcher")
    given = parser.parse_args()
    work = {**WORK, "sft": given.function, "rl": given.function}
    specs = [StageSpec.from_json(spec) for spec in json.loads(given.graph.read_text())]
    scheduler = Scheduler(
        specs,
        Ledger(given.results),
        _launcher(given),
        policy=Policy(retries={"killed": Retry(times=2, wait=0.05)}),
        options=Options(
            functions={kind: f"{FUNCTIONS}:{function}" for kind, function in work.items()},
            heartbeat=0.2,
            stop_grace=given.grace,
        ),
        observe=lambda event: print(event.what, event.stage, event.message, flush=True),
    )
    attended = SweepFolder(given.results, given.sweep).attended() if given.sweep else contextlib.nullcontext()
    with attended:
        return scheduler.run().exit_code


def _launcher(given: argparse.Namespace) -> Launcher:
    if given.slurm:
        return SlurmLauncher(SlurmSettings.model_validate_json(given.slurm))
    if given.ray:
        return RayLauncher(RaySettings.model_validate_json(given.ray))
    return LocalLauncher(
        [f"cpu{number}" for number in range(given.slots)],
        locks=SlotLocks(f"sweep {given.sweep}", given.locks) if given.locks else None,
    )


if __name__ == "__main__":
    sys.exit(main())
