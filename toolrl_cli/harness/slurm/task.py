"""What a task of an array does on its node: `python -m toolrl_cli.harness.slurm.task FOLDER`; see `arrays`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.attempt.execution import LEDGER_FAILED
from toolrl_cli.harness.slurm import job
from toolrl_cli.harness.slurm.arrays import TASKS
from toolrl_cli.log import LOG, on_stderr
from toolrl_cli.store.files import read_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run the attempt that has this task's number; its exit status."""
    folder = Path((sys.argv[1:] if argv is None else argv)[0])
    number = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    deadline = time.monotonic() + job.INPUTS_PATIENCE
    while (listed := read_json(folder / TASKS)) is None and time.monotonic() < deadline:
        time.sleep(1.0)  # it was written on another machine
    task = (listed or {}).get("tasks", {}).get(number)
    if task is None:
        with on_stderr("toolrl: ", may_fail=True):
            LOG.error(
                "%s does not say what task %s is; issue the command again", folder / TASKS, number or "?"
            )
        return LEDGER_FAILED
    return job.main(task["argv"])


if __name__ == "__main__":
    sys.exit(main())
