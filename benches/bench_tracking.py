"""What W&B costs a run, and `toolrl sync` of offline runs beside the client's own `wandb sync` of the same folders.

    python benches/bench_tracking.py [--runs 100] [--times 3] [--away MS…] [--step-seconds 0.5]

1. A run of 105 steps × 60 metrics, each step so many seconds of work on one processor, is logged in turn with
W&B and without: seconds of the wall clock, which hold what W&B takes away from the run, and processor seconds of the
publisher, which is another process with a lower priority.

2. Runs of 105 steps × 60 metrics are written down and kept offline. Then, in turn and `--times` times, each against a
new server of the tests' own in a process of its own: `wandb sync` of the folders, and `toolrl sync` of the sweep, which
also asks the server what it has, before and after. The medians of the wall clock are compared.

Exit status 1: a bound does not hold, or the server does not have every row once. Times need a machine that does
nothing else; the load is printed.
"""

from __future__ import annotations

import argparse
import hashlib
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

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # the server and the tree of results are the tests'

from tests.support.wandb_server import WandbServer
from tests.tracking.tree import SWEEP, ResultsTree
from toolrl_cli.harness.publishing import Publishing

STEPS, METRICS = 105, 60
SYNC = 1.05
"""Bound: at most so many times what the client's own command takes."""
COST = 1.01
"""Bound: at most so many times the wall clock of the same run without W&B."""
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
    parser.add_argument("--step-seconds", type=float, default=0.5)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument(
        "--away", type=float, nargs="*", default=[0.0, 20.0], help="milliseconds to the server and back"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree = _tree(Path(scratch) / "results", options.runs)
        cost = _run_beside(Path(scratch), options.times, options.step_seconds) if options.step_seconds else 0
        return max([cost, *(_sync(tree, Path(scratch), options.times, away / 1000) for away in options.away)])


def _run_beside(scratch: Path, times: int, seconds: float) -> int:
    home = scratch / "home"
    home.mkdir(exist_ok=True)
    work = _calibrated(seconds)
    values = {f"group{n % 6}/metric{n}": n / 7 for n in range(METRICS)}
    took: dict[str, list[float]] = {"disabled": [], "online": []}
    spent: list[float] = []
    for time_ in range(times):
        for mode, seen in took.items():
            tree = ResultsTree(scratch / f"{mode}{time_}")
            tree.stand(tree.sft, "succeeded")
            with _server(home, 0.02) as (environment, _):
                os.environ.update(environment)
                before = _children()
                began = time.perf_counter()
                with Publishing(tree.root, SWEEP, "online" if mode == "online" else "disabled") as publishing:
                    tree.stand(tree.rl[0], "running")
                    for step in range(1, STEPS + 1):
                        _work(work)
                        tree.log(tree.rl[0], 1, [step], **values)
                    seen.append(time.perf_counter() - began)
                    tree.stand(tree.rl[0], "succeeded")
                    said = publishing.conclude()
                ended = time.perf_counter() - began - seen[-1]
                if publishing.pid:
                    os.waitpid(publishing.pid, 0)
                    spent.append(_children() - before)
                    print(f"  its end took {ended:.1f} s: {said or 'all is there'}")
    print(f"a run of {STEPS} steps × {METRICS} metrics, {seconds} s of work a step, {_load()}")
    for name, all_seconds in took.items():
        print(f"  {name:8} {_listed(all_seconds)}")
    ratio = statistics.median(took["online"]) / statistics.median(took["disabled"])
    print(f"  ratio {ratio:.3f}, bound {COST}; processor time of the publisher {_listed(spent)}")
    return int(ratio > COST)


def _children() -> float:
    """Processor seconds of the children that have ended."""
    told = os.times()
    return told.children_user + told.children_system


def _calibrated(seconds: float) -> int:
    """Rounds of work that take so many seconds."""
    began = time.perf_counter()
    _work(200_000)
    return int(200_000 * seconds / (time.perf_counter() - began))


def _work(rounds: int) -> None:
    data = b"0" * 64
    for _ in range(rounds):
        data = hashlib.sha256(data).digest()


def _listed(seconds: list[float]) -> str:
    return f"{'  '.join(f'{s:6.2f} s' for s in seconds)}  median {statistics.median(seconds):6.2f} s"


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
    status = tree.root / "sweeps" / SWEEP / "wandb_status.json"
    left = status.read_bytes()  # by who kept them offline
    folders = sorted(str(path) for path in (tree.root / "wandb").glob("offline-run-*"))
    theirs = ["-m", "wandb", "sync", "--include-synced", *folders]
    ours = ["-m", "toolrl_cli", "sync", SWEEP, "--results", str(tree.root), "--wandb", "online"]
    took: dict[str, list[float]] = {"wandb": [], "toolrl": []}
    whole = True
    for _ in range(times):
        for name, command in (("wandb", theirs), ("toolrl", ours)):
            for mark in (tree.root / "wandb").glob("*/*.sync*"):
                mark.unlink()
            status.write_bytes(left)
            with _server(home, away) as (environment, lines):
                began = time.perf_counter()
                _run(command, environment)
                took[name].append(time.perf_counter() - began)
            whole = whole and sorted(lines.values()) == [STEPS] * len(tree.runs)
    what = f"{len(folders)} offline runs of {STEPS} steps × {METRICS} metrics"
    print(f"{what}, a server {1000 * away:.0f} ms away, {_load()}")
    for name, seconds in took.items():
        print(f"  {name:8} {_listed(seconds)}")
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
