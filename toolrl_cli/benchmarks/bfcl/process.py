"""The evaluator's process: started in its environment, spoken with in JSON lines, and ended."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from toolrl_cli.datasets.evaluators import python_of
from toolrl_cli.errors import BenchmarkError

ROOT = Path(__file__).parents[2]
# The package of this name there has no other module than these: toolrl's dependencies are not in the environment.
BOOT = (
    "import sys, types; toolrl = types.ModuleType('toolrl_cli'); toolrl.__path__ = [sys.argv[1]]; "
    "sys.modules['toolrl_cli'] = toolrl; from toolrl_cli.benchmarks.bfcl.evaluator.main import main; "
    "sys.exit(main(sys.argv[2:]))"
)
TOLD_CHARACTERS = 300


def start(folder: Path, scratch: Path, deed: str, protocol: str) -> subprocess.Popen[str]:
    """Start the evaluator.

    Args:
        folder: its environment.
        scratch: an empty folder of its own; what it says besides is written there, into `evaluator.log`.
        deed: `items`, `score` or `converse`.
        protocol: how answers are read.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    # nothing of this process's environment: it may hold keys
    env = {
        "BFCL_PROJECT_ROOT": str(scratch),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
    }
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}
    with (scratch / "evaluator.log").open("a") as log:
        return subprocess.Popen(
            [python_of(folder), "-I", "-c", BOOT, str(ROOT), deed, protocol],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            cwd=scratch,
            env=env,
        )


def ask(
    folder: Path, scratch: Path, deed: str, protocol: str, lines: Iterable[Mapping[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """What the evaluator answers to all these lines.

    Raises:
        BenchmarkError: it refuses them, or ends before its time.
    """
    process = start(folder, scratch, deed, protocol)
    try:
        assert process.stdin is not None and process.stdout is not None
        _send_all(process.stdin, lines)
        process.stdout.readline()
        for line in process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if "fault" in answer:
                raise BenchmarkError(f"the evaluator refuses the answers: {answer['fault']}", str(folder))
            yield answer
        if process.wait():
            raise BenchmarkError(
                f"the evaluator ended with status {process.returncode}: {last_words(scratch)}", str(folder)
            )
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _send_all(stream: IO[str], lines: Iterable[Mapping[str, Any]]) -> None:
    try:
        for line in lines:
            stream.write(json.dumps(line) + "\n")
        stream.close()
    except BrokenPipeError:
        return  # it has ended, and says why


def last_words(scratch: Path) -> str:
    """The last line that the evaluator said besides its answers."""
    lines = (scratch / "evaluator.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return (lines or ["it said nothing"])[-1][:TOLD_CHARACTERS]
