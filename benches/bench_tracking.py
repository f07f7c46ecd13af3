"""`toolrl sync` of offline runs beside the client's own `wandb sync` of the same folders, and what a sweep's W&B costs.

    python benches/bench_tracking.py [--runs 100] [--times 3]

Runs of 105 steps × 60 metrics are written down and kept offline. Then, in turn and `--times` times, each against a new
server of the tests' own in a process of its own: `wandb sync` of the folders, and `toolrl sync` of the sweep, which
also asks the server what it has, before and after. The medians of the wall clock are compared.

Exit status 1: a bound does not hold, or the server does not have every row once. Times need a machine that does
nothing else; the load is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wandb_server import WandbServer
from tests.tracking.tree import SWEEP, ResultsTree

STEPS, METRICS = 105, 60
SYNC = 1.05
"""Bound: at most so many times what the client's own command takes."""
SERVER = """
import json, sys
from tests.support.wandb_server import HISTORY, Fault, WandbServer
server = WandbServer()
server.faults.append(Fault("", delay=float(sys.argv[1])))
print(server.port, flush=True)
sys.stdin.read()
print(json.dumps({name: len(run.lines[HISTORY]) for name, run in server.runs.items()}), flush=True)
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument(
        "--away", type=float, nargs="*", default=[0.0, 20.0], help="milliseconds to the server and back"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree = _tree(Path(scratch) / "results", options.runs)
        return max(_sync(tree, Path(scratch), options.times, away / 1000) for away in options.away)


def _tree(root: Path, runs: int) -> ResultsTree:
    tree = ResultsTree(root, arms=runs)
    tree.log(tree.sft, 1, [])
    tree.stand(tree.sft, "succeeded")
    values = {f"group{n % 6}/metric{n}": n / 7 for n in range(METRICS)}
    for rl in tree.rl:
        tree.log(rl, 1, range(1, STEPS + 1), **values)
        tree.stand(rl, "succeeded")
    return tree


def _sync(tree: ResultsTree, scratch: Path, times: int, away: float) -> int:
    home = scratch / "home"
    home.mkdir(exist_ok=True)
    if not (tree.root / "wandb").exists():
        with _server(home, 0.0) as (environment, _):
            _run(
                ["-m", "toolrl_cli", "sync", SWEEP, "--results", str(tree.root), "--wandb", "offline"],
                environment,
            )
    folders = sorted(str(path) for path in (tree.root / "wandb").glob("offline-run-*"))
    theirs = ["-m", "wandb", "sync", "--include-synced", *folders]
    ours = ["-m", "toolrl_cli", "sync", SWEEP, "--results", str(tree.root), "--wandb", "online"]
    took: dict[str, list[float]] = {"wandb": [], "toolrl": []}
    whole = True
    for _ in range(times):
        for name, command in (("wandb", theirs), ("toolrl", ours)):
            for left in (tree.root / "wandb").glob("*/*.sync*"):
                left.unlink()
            for left in (tree.root / "sweeps" / SWEEP).glob("wandb_status.json"):
                left.unlink()
            with _server(home, away) as (environment, lines):
                began = time.perf_counter()
                _run(command, environment)
                took[name].append(time.perf_counter() - began)
            whole = whole and sorted(lines.values()) == [STEPS] * len(tree.runs)
    what = f"{len(folders)} offline runs of {STEPS} steps × {METRICS} metrics"
    print(f"{what}, a server {1000 * away:.0f} ms away, {_load()}")
    for name, seconds in took.items():
        print(
            f"  {name:8} {'  '.join(f'{s:6.2f} s' for s in seconds)}  median {statistics.median(seconds):6.2f} s"
        )
    ratio = statistics.median(took["toolrl"]) / statistics.median(took["wandb"])
    print(f"  ratio {ratio:.2f}, bound {SYNC}; every row is there once: {whole}")
    return int(ratio > SYNC or not whole)


@contextmanager
def _server(home: Path, away: float) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """A server that has nothing yet: the client's environment, and at the end its runs with their rows."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(away)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdin is not None
    lines: dict[str, int] = {}
    known = WandbServer.environment
    try:
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        yield {**os.environ, **known(type("Of", (), {"url": url}), home)}, lines  # type: ignore[arg-type]
        process.stdin.close()
        lines |= json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home / "cache", ignore_errors=True)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


if __name__ == "__main__":
    sys.exit(main())
