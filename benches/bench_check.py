"""Checking a cell against verl's configuration, beside composing it with Hydra, in one run.

    python benches/bench_check.py [--cells N]

Every cell is a GRPO stage with options of its own (learning rate and response length differ). The peer is
what Hydra does for a job: composing `ppo_trainer` with the cell's arguments. Both are warm; the import of
verl, once a plan and only where something is new, is printed beside.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from toolrl_cli import api
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.training.checking.composed import config_folder
from toolrl_cli.training.checking.config_check import planned_options, quick_fault
from toolrl_cli.training.checking.verl_verdict import verdict
from toolrl_cli.training.cpu.cpu_options import hydra_arguments


def option_sets(cells: int) -> list[dict[str, Any]]:
    """One set of options a cell."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        sweep = Path(folder) / "bench.yaml"
        sweep.write_text("name: bench\nbase: {preset: tiny_grpo}\n")
        (run,) = api.plan(sweep, results=folder).runs
    config = next(stage for stage in run.stages if stage.kind == "rl").settings(RlConfig)
    changes = ({"lr": 1e-6 * (cell + 1), "max_response_length": 64 + cell} for cell in range(cells))
    return [
        planned_options(config.model_copy(update={"rl": config.rl.model_copy(update=change)}), "cuda")
        for change in changes
    ]


def milliseconds(work: Callable[[dict[str, Any]], None], sets: list[dict[str, Any]]) -> list[float]:
    """Time of each cell."""
    taken = []
    for options in sets:
        began = time.perf_counter()
        work(options)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def check(options: dict[str, Any]) -> None:
    """Both tiers."""
    fault = quick_fault("rl", options) or verdict("rl", options)
    if fault is not None:
        raise SystemExit(f"a cell was refused: {fault}")


def main() -> None:
    """Measure both and print them with their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    cells = parser.parse_args().cells
    warnings.simplefilter("ignore")
    sets = option_sets(cells)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # verl says that all is well
        check(sets[0])
        first = time.perf_counter() - began
        ours = milliseconds(check, sets)
        with initialize_config_dir(str(config_folder()), version_base=None):
            compose("ppo_trainer")
            theirs = milliseconds(
                lambda options: compose("ppo_trainer", overrides=hydra_arguments(options)) and None,
                sets[: max(5, cells // 50)],
            )
    print(f"{'':26}{'median':>12}{'slowest':>12}{'cells':>8}")
    for name, taken in (("toolrl, both tiers", ours), ("Hydra, composing alone", theirs)):
        print(f"{name:26}{statistics.median(taken):>9.2f} ms{max(taken):>9.2f} ms{len(taken):>8}")
    print(f"{'ratio':26}{statistics.median(theirs) / statistics.median(ours):>12.1f}")
    print(f"the first cell of a process, with verl's import: {first:.1f} s")


if __name__ == "__main__":
    main()
