"""A sweep on a real disk of its own: `unshare -Urm python -m tests.support.small_disk FOLDER GRAPH full|read-only`.

Mounts a small tmpfs on FOLDER, which only this process and its children see, takes its space or the right to
write away in the middle of a training, gives it back, and issues the command again. Prints what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import merge_metrics

SIZE = 2_000_000


def main() -> int:
    disk, graph, fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    mount(disk, f"size={SIZE}")
    ledger = Ledger(disk / "results")
    specs = [StageSpec.from_json(spec) for spec in json.loads(graph.read_text())]
    first = harness(disk, graph)
    while len(merge_metrics(ledger.folder(specs[0]).path)) < 2:
        time.sleep(0.01)
        assert first.poll() is None, first.communicate()
    if fault == "full":
        fill(disk / "ballast")
    else:  # no kernel takes the right to write from under an open file: the power went first
        while at_work := those_at_work(disk):  # a process that forks while it is killed leaves another
            kill(at_work)
        mount(disk, "remount,ro")
    said, _ = first.communicate(timeout=60)
    again = harness(disk, graph)
    refused, _ = again.communicate(timeout=60)
    if fault == "full":
        (disk / "ballast").unlink()
    else:
        mount(disk, "remount,rw")
    last = harness(disk, graph)
    final, _ = last.communicate(timeout=60)
    folders = [ledger.folder(spec) for spec in specs]
    answer = {
        "codes": [first.returncode, again.returncode, last.returncode],
        "said": [said, refused, final],
        "attempts": [[a.status for a in folder.state().attempts] for folder in folders],
        "failures": [a.failure.kind for folder in folders for a in folder.state().attempts if a.failure],
        "steps": [[row["step"] for row in merge_metrics(folder.path)] for folder in folders],
        "litter": [path.name for folder in folders for path in folder.path.iterdir()],
    }
    print(json.dumps(answer))
    return 0


def those_at_work(disk: Path) -> list[ProcessId]:
    """What this process has started, and attempts, whose parents may be gone: they name their folder."""
    named = [
        found
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid()
        and str(disk) in " ".join(process.info["cmdline"] or ())
        and (found := ProcessId.of(process.pid))
    ]
    return [*descendants(os.getpid()), *named]


def mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


def harness(disk: Path, graph: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.support.harness", str(disk / "results"), str(graph), "1"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


if __name__ == "__main__":
    sys.exit(main())
