"""`toolrl show`: everything about one run."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

from toolrl_cli.commands.options import AsJson, Results, RunName, print_json
from toolrl_cli.commands.views.clock import duration
from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.store.progress.step_warnings import StepWarning

MEGABYTE = 1_000_000
SHOWN = (
    *("reward/total/mean", "reward/total/alike", "val-core/toolworld/reward/mean@1", "actor/entropy"),
    *("actor/grad_norm", "actor/ppo_kl", "response_length/mean", "response_length/clip_ratio"),
    *("train/loss", "val/loss", "training/global_step"),
)
"""Metrics worth a line, in this order."""


def show(
    run: RunName,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about one run.

    Its settings, scores, times and W&B run; and for each stage its folder, resolved settings, last metrics, attempts,
    command, failure, versions and size.
    """
    from toolrl_cli.api.looking import show as look

    document = look(run, results=results)
    if as_json:
        print_json(document)
    else:
        _print(document)


def _print(document: dict[str, Any]) -> None:
    console = stdout_console()
    console.print(f"[bold]{document['id']}[/]  (sweep {document['sweep']}, arm {document['arm']})")
    for key, value in document["settings"].items():
        console.print(f"  {key} = {value}", markup=False)
    for name, text in _about(document):
        console.print(f"  {name:9} {text}", markup=False, soft_wrap=True)
    for stage in document["stages"]:
        console.print(f"\n[bold]{stage['kind']}[/] {stage['id']}: {stage['status']}")
        for name, text in _facts(stage):
            console.print(f"  {name:9} {text}", markup=False, soft_wrap=True)


def _about(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is worth a line about the run: its name there, and the line."""
    for benchmark, columns in document["scores"].items():
        told = ", ".join(f"{name} {score_text(score)}" for name, score in columns.items())
        yield "scores", f"{benchmark}: {told or document['faults'].get(benchmark, 'none yet')}"
    hours = document["gpu_hours"]
    yield "time", duration(document["seconds"]) + (f", {hours:.3g} GPU-hours" if hours else ", no GPU")
    sent = document["wandb"]
    if sent:
        place = sent["url"] or ", ".join(filter(None, (sent["mode"], sent["folder"])))
        yield "W&B", f"{sent['id']} ({place})"
    else:
        yield "W&B", "nothing yet (`toolrl sync` writes it)"


def score_text(score: Mapping[str, Any]) -> str:
    """A share in %, with its counts where they are known; another number as it is; why there is none."""
    value = score["value"]
    if value is None:
        return f"– ({score['why']})" if score.get("why") else "–"
    share = score["unit"] == "percent"
    counts = f" ({score['correct']}/{score['total']})" if score.get("total") is not None else ""
    return (f"{100 * value:.1f}" if share else f"{value:g}") + counts


def _facts(stage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is worth a line about a stage: its name there, and the line."""
    yield "folder", stage["folder"]
    if stage["bytes"]:
        parts = ", ".join(f"{k} {_size(v)}" for k, v in stage["sizes"].items() if v >= MEGABYTE)
        yield "size", _size(stage["bytes"]) + (f" ({parts})" if parts else "")
    for role, stage_id in stage["inputs"].items():
        yield "input", f"{role}: {stage_id}"
    yield "settings", ", ".join(f"{key} {value}" for key, value in _settings(stage))
    told = [f"{name} {stage['metrics'][name]:.4g}" for name in SHOWN if name in stage["metrics"]]
    if told:
        yield "metrics", ", ".join(told) + f" ({len(stage['metrics'])} in all: --json)"
    if stage["progress"]:
        yield "progress", f"step {stage['progress']['step']} of {stage['progress']['total'] or '?'}"
    if stage["status"] == "unreadable":
        yield "fault", stage["failure"]["message"]
    for attempt in stage["attempts"]:
        yield f"attempt {attempt['n']}", _attempt(attempt)
    for key, change in stage["adjust"].items():
        yield "adjusted", f"{key} {change['asked']} → {change['used']} after running out of memory"
    for warning in stage["warnings"]:
        yield "warning", str(StepWarning.from_json(warning))
    if stage["note"]:
        yield "set back", stage["note"]
    if stage["command"]:
        yield "command", shlex.join(stage["command"].get("argv", []))
    versions = (stage["environment"] or {}).get("versions", {})
    if versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _settings(stage: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every resolved setting by its dotted key; what is not set is left out."""
    from toolrl_cli.planning.changes.stage_differences import leaves  # `toolrl --help` does without

    for key, value in leaves(stage["config"]):
        if value is not None and value != {}:
            yield key, json.dumps(value, ensure_ascii=False) if isinstance(value, (list, str)) else value


def _attempt(attempt: dict[str, Any]) -> str:
    told = str(attempt["status"])
    if attempt["started"] and attempt["ended"]:
        told += f" in {duration(max(0.0, attempt['ended'] - attempt['started']))}"
    elif attempt["started"]:
        told += f" for {duration(max(0.0, time.time() - attempt['started']))}"
    failure = attempt["failure"]
    if failure:
        told += f", {failure['class']}: {failure['message']}"
        told += f" ({failure['hint']})" if failure["hint"] else ""
    return told


def _size(number: int) -> str:
    """`3 kB`, `12.3 MB`, `4.0 GB`."""
    if number < MEGABYTE:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e6:.1f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"
