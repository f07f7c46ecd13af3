"""What a plan would ask of the cluster, and whether it has such nodes; nothing is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchPlan, Preview
from toolrl_cli.harness.ray.jobs_api import JobsApi
from toolrl_cli.harness.ray.launcher import site_of
from toolrl_cli.harness.ray.request import GIB, lacking, no_node_has, resources
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.spec.stage import StageSpec

LETTERS = {"entrypoint_num_cpus": "CPU", "entrypoint_num_gpus": "GPU"}


def preview(plan: LaunchPlan, seconds: Mapping[str, float]) -> list[Preview]:
    """See `LauncherKind.preview`; the cluster is asked once what its nodes have."""
    settings = plan.settings if isinstance(plan.settings, RaySettings) else RaySettings()
    groups: dict[tuple[str, int], list[StageSpec]] = {}
    for spec in plan.stages:
        asks = json.dumps(resources(spec, settings), sort_keys=True)
        groups.setdefault((asks, spec.nodes), []).append(spec)
    totals, fault = list[dict[str, float]](), ""
    if groups:
        try:
            totals = JobsApi(site_of(settings)).totals()
        except LaunchError as error:
            fault = str(error)
    found = []
    for (asked, _), stages in groups.items():
        wanted = json.loads(asked)
        short = plan.lacks_memory(stages, wanted.get("entrypoint_memory", 0) / GIB)
        shown = _preview(wanted, stages, totals, fault)
        found.append(replace(shown, answer=shown.answer + short))
    return found


def _preview(
    asked: dict[str, float | dict[str, float]],
    stages: list[StageSpec],
    totals: list[dict[str, float]],
    fault: str,
) -> Preview:
    kinds, nodes = tuple(dict.fromkeys(spec.kind for spec in stages)), stages[0].nodes
    missing = lacking(asked, nodes, totals)
    fit = sum(not no_node_has(asked, [node]) for node in totals)
    until = "there are" if fit else "one has"
    answer = fault or (
        f"{missing}; it waits until {until}" if missing else f"{fit} of {len(totals)} nodes could run it"
    )
    asks = in_words(asked) if nodes == 1 else f"{nodes} nodes, each {in_words(asked)}"
    return Preview(kinds, len(stages), asks, answer, bool(fault))


def in_words(asked: Mapping[str, float | Mapping[str, float]]) -> str:
    """What a job asks for, in Ray's words: `1 CPU, 2 GPU, 16 GiB`."""
    words = []
    for name, amount in asked.items():
        if isinstance(amount, Mapping):
            words += [f"{key}={value}" for key, value in amount.items()]
        elif name == "entrypoint_memory":
            words.append(f"{amount / GIB:g} GiB")
        else:
            words.append(f"{amount:g} {LETTERS.get(name, name)}")
    return ", ".join(words)
