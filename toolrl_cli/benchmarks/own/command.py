"""A user's command as an evaluation: it is given the model, and leaves its metrics as JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.benchmarks.asking.client import Target
from toolrl_cli.benchmarks.own.faults import metric_fault
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.processes.child import describe_exit, users_environment
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.spec.evaluations.benchmarks import Metric
from toolrl_cli.spec.evaluations.command_words import MODEL, OUTPUT, without_tilde
from toolrl_cli.spec.run.evaluation_settings import OwnEvaluation
from toolrl_cli.spec.suggest import hint_for

METRICS = "TOOLRL_OUTPUT"
COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_.@-]{0,59}")
METRIC = ("value", "correct", "total")
POLL = 0.2
GRACE = 10.0


def run_command(
    own: OwnEvaluation,
    target: Target | None,
    model: str,
    stop_requested: Callable[[], bool],
    kept: Path | None = None,
) -> dict[str, Metric]:
    """Run a command and read its metrics.

    Args:
        own: which.
        target: the endpoint, for a command that does not take the model's folder.
        model: the folder.
        stop_requested: asked five times a second.
        kept: the folder for what it writes; None for one that is removed.

    Raises:
        BenchmarkError: it failed, or left no metrics.
        InterruptedError: asked to stop.
    """
    where = f"evaluate: {own.name}"
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "metrics.json"
        env = {**users_environment(), METRICS: str(output), "TOOLRL_MODEL": model}
        if target is not None:
            env |= {
                "OPENAI_BASE_URL": target.url,
                "OPENAI_API_KEY": target.key or "none",
                "TOOLRL_MODEL": target.model,
            }
        words = map(without_tilde, own.command)
        argv = [word.replace(OUTPUT, str(kept or folder)).replace(MODEL, model) for word in words]
        with (Path(folder) / "stdout").open("w+b") as printed:
            try:
                process = subprocess.Popen(
                    argv, cwd=own.folder, env=env, stdin=subprocess.DEVNULL, stdout=printed
                )
            except OSError as error:
                raise BenchmarkError(f"{argv[0]!r} cannot be started: {error.strerror}", where) from error
            _wait(process, stop_requested)
            printed.seek(0)
            text = printed.read().decode("utf-8", "replace")
        print(text, end="" if text.endswith("\n") else "\n", file=sys.stderr, flush=True)
        if process.returncode:
            raise BenchmarkError(
                f"the command {describe_exit(process.returncode)}", where, "its log says why"
            )
        last = output.read_bytes() if output.is_file() else (text.strip().splitlines() or [""])[-1]
    return metrics_of(last, where)


def metrics_of(text: str | bytes, where: str) -> dict[str, Metric]:
    """Metrics from JSON: name → number, or → `{value, correct, total}`.

    Raises:
        BenchmarkError: there are none.
    """
    hint = f'the last line printed, or the file ${METRICS}, is JSON such as {{"accuracy": 0.5}}'
    try:
        found: Any = json.loads(text, object_pairs_hook=_without_twins)
    except _Twice as error:
        raise BenchmarkError(f"{error} stands twice among the metrics", where, "give each once") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise BenchmarkError("the command left no metrics", where, hint) from error
    if not isinstance(found, dict) or not found:
        raise BenchmarkError("the command left no metrics", where, hint)
    return {str(name): _metric(str(name), value, where, hint) for name, value in found.items()}


class _Twice(Exception):
    """A key of JSON that stands twice in one object."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(repr(next(name for name in names if names.count(name) > 1)))
    return found


def _metric(name: str, value: Any, where: str, hint: str) -> Metric:
    if not COLUMN.fullmatch(name):
        raise BenchmarkError(f"{name!r} cannot name a column", where, hint)
    entry: Mapping[str, Any] = value if isinstance(value, Mapping) else {"value": value}
    if unknown := [key for key in entry if key not in METRIC]:
        raise BenchmarkError(
            f"{name}: unknown key {unknown[0]!r}", where, hint_for(str(unknown[0]), METRIC, "keys")
        )
    number, correct, total = (entry.get(key) for key in METRIC)
    if fault := metric_fault(number, correct, total):
        raise BenchmarkError(f"{name}: {fault}", where, hint)
    return Metric(float(number or 0), correct, total)


def _wait(process: subprocess.Popen[bytes], stop_requested: Callable[[], bool]) -> None:
    try:
        while process.poll() is None:
            if stop_requested():
                raise InterruptedError("asked to stop")
            time.sleep(POLL)
    finally:
        if process.poll() is None:
            process.terminate()
            deadline = time.monotonic() + GRACE
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(POLL)
            kill(descendants(process.pid))
            process.kill()
            process.wait()
