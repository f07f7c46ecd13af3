"""A harness as a program of its own, so that tests can kill it: `python -m tests.engine.harness RESULTS GRAPH`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.engine.conftest import FUNCTIONS
from toolrl_cli.engine.failures import Policy, Retry
from toolrl_cli.engine.launchers.local import LocalLauncher
from toolrl_cli.engine.ledger import Ledger
from toolrl_cli.engine.scheduler import Options, Scheduler
from toolrl_cli.spec.stage import StageSpec

WORK = {"sft": "train", "rl": "train", "export": "finish", "evaluate": "finish"}


def main() -> int:
    results, graph = Path(sys.argv[1]), Path(sys.argv[2])
    specs = [StageSpec.from_json(spec) for spec in json.loads(graph.read_text())]
    outcome = Scheduler(
        specs,
        Ledger(results),
        LocalLauncher([f"cpu{number}" for number in range(int(sys.argv[3]))]),
        policy=Policy(retries={"killed": Retry(times=2, wait=0.05)}),
        options=Options(
            functions={kind: f"{FUNCTIONS}:{function}" for kind, function in WORK.items()}, heartbeat=0.2
        ),
        observe=lambda event: print(event.what, event.stage, event.message, flush=True),
    ).run()
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
