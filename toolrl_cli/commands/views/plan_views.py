"""A plan on the terminal: what there is of each kind, what it takes, its runs, and what has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import TYPE_CHECKING

from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.commands.views.quantities import (
    hours_text,
    most_text,
    size_text,
    sum_text,
    time_text,
    total_text,
)
from toolrl_cli.planning.changes.stage_differences import EXPLANATIONS, grouped
from toolrl_cli.planning.forecasts.sizes import disk_text, number_text
from toolrl_cli.planning.plan import PlannedStage
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage_kind import kinds_in_order
from toolrl_cli.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from toolrl_cli.planning.changes.drift import StageDrift
    from toolrl_cli.planning.forecasts.estimates import Estimate
    from toolrl_cli.planning.outlook import Outlook

WIDE = 120
"""Columns from which counts and estimates stand side by side."""
NARROW = 100
"""Columns below which the runs' chains of stages are left out."""
MOST_RUNS = 50
"""Runs that are listed one by one; more are counted."""
COLOURS = {"done": "green", "running": "cyan", "owed": "", "blocked": "red"}


def show_outlook(found: Outlook, explain: bool) -> None:
    """Print a plan.

    Args:
        found: the plan and what is known of it.
        explain: stage by stage, with sources and differences, however many there are.
    """
    console = stdout_console()
    plan = found.plan
    runs = counted(len(plan.runs), "run")
    console.print(f"[bold]{plan.sweep}[/]: {runs}, {counted(len(plan.stages), 'stage')} (equal ones once)\n")
    for part in _kinds(found, console.width):
        console.print(part)
    console.print()
    if len(plan.runs) <= MOST_RUNS or explain:
        console.print(_runs(found, console.width))
    else:
        console.print(_run_counts(found))
    console.print()
    for line in _totals(found):
        console.print(line, soft_wrap=True)
    for line in _changes(found, explain):
        console.print(line, soft_wrap=True)
    if explain:
        console.print()
        for stage in plan.stages.values():
            for line in _explained(found, stage):
                console.print(line, markup=False, soft_wrap=True)


def standing(stage: PlannedStage) -> str:
    """`done`, `running`, `blocked` or `owed`."""
    if not stage.owed:
        return "done"
    if stage.status in ("queued", "running"):
        return "running"
    return "blocked" if stage.status == "blocked" else "owed"


def _kinds(found: Outlook, width: int) -> Iterator[RenderableType]:
    """Counts and estimates of each kind, side by side where there is room for it."""
    from rich.table import Table

    estimates = found.forecast.estimates
    quantities = ["time in all", "GPU-hours", "GPU memory", "disk"]
    if all(e.device == "cpu" for e in estimates.values()):
        quantities = ["time in all", "disk"]
    counts, costs = Table(box=None, pad_edge=False), Table(box=None, pad_edge=False)
    together = width >= WIDE or len(quantities) == 2
    if together or not estimates:
        costs = counts
    for header in ("stage", *COLOURS):
        counts.add_column(header, justify="left" if header == "stage" else "right")
    if costs is not counts:
        costs.add_column("owed")
    for header in quantities if estimates else ():
        costs.add_column(header, overflow="fold")
    for kind in kinds_in_order():
        stages = [s for s in found.plan.stages.values() if s.spec.kind == kind]
        if not stages:
            continue
        standings = Counter(standing(s) for s in stages)
        cells = [_coloured(str(standings[name]), name) if standings[name] else "0" for name in COLOURS]
        owed = [estimates[s.spec.id] for s in stages if s.spec.id in estimates]
        sums = _sums(owed, quantities) if estimates else []
        if costs is counts:
            counts.add_row(kind, *cells, *sums)
        else:
            counts.add_row(kind, *cells)
            if owed:
                costs.add_row(kind, *sums)
    yield counts
    if costs is not counts:
        yield ""
        yield costs


def _sums(owed: list[Estimate], quantities: list[str]) -> list[str]:
    texts = {
        "time in all": lambda: sum_text((e.seconds for e in owed), time_text),
        "GPU-hours": lambda: sum_text((e.gpu_hours for e in owed), hours_text),
        "GPU memory": lambda: most_text((e.gpu_memory for e in owed if e.device != "cpu"), size_text),
        "disk": lambda: sum_text((e.disk for e in owed), size_text),
    }
    return [texts[name]() for name in quantities]


def _runs(found: Outlook, width: int) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for header in ("run", "stages", "done", "next"):
        if width >= NARROW or header != "stages":
            table.add_column(header, overflow="fold", justify="right" if header == "done" else "left")
    for run in found.plan.runs:
        stages = [found.plan.stages[s.id] for s in run.stages]
        marked = _chain(stages)
        owed = [s for s in stages if s.owed]
        done = f"{len(stages) - len(owed)}/{len(stages)}"
        chain = [marked] if width >= NARROW else []
        table.add_row(escape(run.id), *chain, done, escape(_next(owed)))
    return table


def _chain(stages: list[PlannedStage]) -> str:
    """`sft → export → evaluate ×3`: like stages in a row that stand alike are counted."""
    alike = groupby(stages, key=lambda stage: (stage.spec.kind, standing(stage)))
    counted = [(kind, name, sum(1 for _ in group)) for (kind, name), group in alike]
    return " → ".join(_coloured(f"{kind} ×{n}" if n > 1 else kind, name) for kind, name, n in counted)


def _coloured(text: str, name: str) -> str:
    return f"[{COLOURS[name]}]{text}[/]" if COLOURS[name] else text


def _next(owed: list[PlannedStage]) -> str:
    if not owed:
        return "–"
    first = owed[0]
    return f"{first.spec.kind}: {first.reason}"


def _run_counts(found: Outlook) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    by_standing: dict[str, list[PlannedRun]] = {name: [] for name in COLOURS}
    for run in found.plan.runs:
        standings = {standing(found.plan.stages[s.id]) for s in run.stages}
        worst = next(name for name in ("blocked", "running", "owed", "done") if name in standings)
        by_standing[worst].append(run)
    table = Table(box=None, pad_edge=False)
    table.add_column("runs")
    table.add_column("", justify="right")
    table.add_column("such as (--explain lists all)", overflow="fold")
    for name, runs in by_standing.items():
        if runs:
            table.add_row(name, str(len(runs)), escape(", ".join(r.id for r in islice(runs, 3))))
    return table


def _totals(found: Outlook) -> Iterator[str]:
    from rich.markup import escape

    totals, owed = found.forecast.totals, len(found.forecast.estimates)
    done = sum(not stage.owed for stage in found.plan.stages.values())
    if not owed:
        rest = "" if done < len(found.plan.stages) else f": all {counted(done, 'stage')} are done"
        yield f"nothing to do{rest}"
    else:
        devices = {e.device for e in found.forecast.estimates.values()}
        slots = counted(totals.slots, "slot")
        if "cuda" in devices and not totals.gpus:
            slots += f" (no GPU here: as if there were {totals.slots})"
        at_once = f", {totals.parallel} at a time" if totals.parallel < totals.slots else ""
        yield f"{done} done, {owed} owed; low–expected–high:"
        unknown = totals.unknown
        time = total_text(totals.seconds, time_text, unknown.get("seconds", 0))
        yield f"  time        {time} on {slots}{at_once}"
        if devices != {"cpu"} or totals.gpu_hours_spent:
            hours = total_text(totals.gpu_hours, hours_text, unknown.get("gpu_hours", 0))
            spent = f"; {number_text(totals.gpu_hours_spent)} used so far" if totals.gpu_hours_spent else ""
            yield f"  GPU-hours   {hours}{spent}"
        disk = total_text(totals.disk, size_text, unknown.get("disk", 0))
        yield f"  disk        {disk}; {disk_text(totals.disk_free)} free"
        memory = most_text((e.memory for e in found.forecast.estimates.values()), size_text)
        if memory and totals.memory:
            yield f"  memory      {memory} for the stage that needs most; {disk_text(totals.memory)} here"
        if found.limits.budget is not None:
            yield f"  budget      {found.limits.budget:g} GPU-hours"
    for reason, count in found.plan.why_blocked().items():
        yield f"{counted(count, 'stage')} cannot run: {escape(reason)}"
    for refusal in found.limits.refusals[1:]:  # the first is the command's error
        yield f"[red]refused too:[/] {escape(str(refusal))}"
    for warning in found.limits.warnings:
        yield f"[yellow]warning:[/] {warning}"


def _changes(found: Outlook, explain: bool) -> Iterator[str]:
    drift = found.drift
    more = "" if explain else "; --explain shows how"
    if drift.replaced:
        why = f" ({', '.join(drift.why_new())})" if drift.why_new() else ""
        yield (
            f"{counted(len(drift.replaced), 'owed stage')} {_is(drift.replaced)} new: earlier results are of another "
            f"identity{why}{more}"
        )
    if drift.changed:
        among = f" of the {drift.looked} looked at" if drift.looked < drift.finished else ""
        yield (
            f"[yellow]warning:[/] {counted(len(drift.changed), 'finished stage')}{among} would be made by other code "
            f"or settings today, and {_is(drift.changed)} kept{more}"
        )
        if explain:
            yield from _common(drift.changed)
    if drift.gone:
        yield f"{counted(len(drift.gone), 'finished stage')} {_is(drift.gone)} no longer part of this sweep"
        if explain:
            yield from (f"  {stage_id}" for stage_id in drift.gone)


def _common(changed: list[StageDrift]) -> Iterator[str]:
    """What has changed, each change once, with how many stages it is about."""
    from rich.markup import escape

    counts = Counter(str(d) for drift in changed for d in drift.differences)
    yield from (f"  {escape(change)} ({counted(number, 'stage')})" for change, number in counts.most_common())


def _explained(found: Outlook, stage: PlannedStage) -> Iterator[str]:
    spec = stage.spec
    yield f"{spec.kind} {spec.id}: {stage.reason}"
    estimate = found.forecast.estimates.get(spec.id)
    if estimate is not None:
        yield from _estimate_lines(estimate)
    drift = found.drift.stages.get(spec.id)
    if drift is None:
        return
    if drift.new:
        was = "took its place before" if found.drift.replaced.get(spec.id) == drift.earlier else "is nearest"
        yield f"    new: {drift.earlier} {was}"
    else:
        yield "    kept, although it would be made otherwise today:"
    for group, differences in grouped(list(drift.differences)).items():
        told = f" ({EXPLANATIONS[group]})" if drift.new else ""
        yield f"      {group}{told}"
        yield from (f"        {difference}" for difference in differences)


def _estimate_lines(estimate: Estimate) -> Iterator[str]:
    texts = {
        "seconds": ("time", time_text(estimate.seconds)),
        "gpu_memory": ("GPU memory", size_text(estimate.gpu_memory)),
        "memory": ("memory", size_text(estimate.memory)),
        "disk": ("disk", size_text(estimate.disk)),
    }
    for name, (label, text) in texts.items():
        if name == "gpu_memory" and estimate.device == "cpu":
            continue
        source = estimate.sources.get(name, "")
        source = source.removeprefix("unknown: ") if text == "unknown" else source
        yield f"    {label} {text}" + (f" ({source})" if source else "")


def _is(things: Iterable[object]) -> str:
    return "is" if sum(1 for _ in things) == 1 else "are"
