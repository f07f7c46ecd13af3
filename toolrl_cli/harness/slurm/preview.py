"""What a plan would ask of the queue, and what the queue says to it; nothing is submitted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchPlan, Preview
from toolrl_cli.harness.slurm.programs import ask
from toolrl_cli.harness.slurm.script import check_devices, memory_of, options
from toolrl_cli.harness.slurm.settings import SlurmSettings, seconds_of
from toolrl_cli.spec.stage import StageSpec


def preview(plan: LaunchPlan, seconds: Mapping[str, float]) -> list[Preview]:
    """See `LauncherKind.preview`; `sbatch --test-only` is asked once for each distinct request."""
    settings = plan.settings if isinstance(plan.settings, SlurmSettings) else SlurmSettings()
    check_devices(plan.stages, settings)
    groups: dict[tuple[str, ...], list[StageSpec]] = {}
    for spec in plan.stages:
        groups.setdefault(tuple(options(spec, settings)), []).append(spec)
    found = []
    for words, stages in groups.items():
        asked = _asked(list(words), stages, settings, seconds)
        lacking = plan.lacks_memory(stages, memory_of(stages[0], settings))
        found.append(replace(asked, answer=asked.answer + lacking))
    return found


def _asked(
    words: list[str], stages: list[StageSpec], settings: SlurmSettings, seconds: Mapping[str, float]
) -> Preview:
    kinds = tuple(dict.fromkeys(spec.kind for spec in stages))
    try:
        answer, fault = ask("sbatch", "--test-only", *words, script="#!/bin/bash\n", said=True), False
        answer = answer.partition(" to start ")[2] or answer
        answer = f"could start {answer}".strip() if answer else "takes it"
    except LaunchError as error:
        answer, fault = error.what, True
    longest = max((seconds[spec.id] for spec in stages if spec.id in seconds), default=0.0)
    limits = [limit for kind in kinds if (limit := seconds_of(settings.of(kind)["time"])) is not None]
    if limits and longest > min(limits):
        answer += (
            f"; expected to take {longest / 3600:.1f} h, so about {-(-longest // min(limits)):.0f} jobs each"
        )
    return Preview(kinds, len(stages), shlex.join(words), answer, fault)
