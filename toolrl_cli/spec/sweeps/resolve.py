"""From a sweep to its runs: the grid expanded, every cell resolved and validated, the seeds multiplied in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.evaluations.benchmarks import check_benchmarks
from toolrl_cli.spec.run.evaluation_settings import OverSteps
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.sweeps.grid import Cell, Dropped, Grid, expand, two_named
from toolrl_cli.spec.sweeps.layers import Resolver
from toolrl_cli.spec.sweeps.profile import Profile
from toolrl_cli.spec.sweeps.settings import ABSENT, flatten, touches
from toolrl_cli.spec.sweeps.sweep import Document

MAX_SEED = 2**31 - 1
"""What every library that is seeded takes."""

SHOWN = 3
"""Arms that a line names."""


@dataclass(frozen=True, slots=True)
class Run:
    """One arm with one seed.

    Attributes:
        id: `<arm>-seed<seed>`, unique in the sweep.
        settings: the dotted settings that tell this arm from the others.
        spec: the resolved, validated run.
    """

    id: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    spec: RunSpec


@dataclass(frozen=True)
class Resolved:
    """A sweep as runs.

    Attributes:
        runs: in the order of the file.
        grid: the cells behind them and what was dropped, with the rules that did it.
    """

    runs: list[Run]
    grid: Grid


def resolve_runs(document: Document) -> list[Run]:
    """All runs of a sweep; see `resolve_sweep`."""
    return resolve_sweep(document).runs


def resolve_sweep(document: Document, profile: Profile | None = None) -> Resolved:
    """All runs of a sweep, and how they came about.

    Args:
        document: the sweep.
        profile: applied to every cell below `--set`; cells that it makes equal become one.

    Raises:
        SpecError: the first fault found, with file, line, key path and the nearest valid name.
    """
    sweep, source = document.sweep, document.source
    check_benchmarks(sweep.evaluate, lambda position: source.where(("evaluate", position)))
    resolver = Resolver(document, profile)
    grid = expand(document)
    seeds = _seeds(document)
    cells: list[Cell] = []
    dropped: list[Dropped] = []
    warnings = list(grid.warnings)
    twins: dict[tuple[str, ...], Cell] = {}
    names: dict[str, Cell] = {}
    runs: list[Run] = []
    given = flatten(dict(document.overrides), "--set")
    undone: dict[str, list[str]] = {}
    for cell in grid.cells:
        blocks, planned = resolver.blocks(cell)
        settings = _overlaid(planned, given) if given else planned
        arm = cell.arm if profile is None else profile.arm(cell)
        twin = twins.setdefault(blocks.texts, cell)
        if twin is not cell and profile is not None:
            same = profile.arm(twin)
            dropped.append(Dropped(cell.arm, settings, cell.origin, "profile", profile.place, same))
            continue
        if twin is not cell:
            warnings.append(_equal(twin, cell, document))
        if arm in names:
            arm = cell.arm  # it is its model, after all, that tells it from another
        if names.setdefault(arm, cell) is not cell:
            raise two_named(arm, names[arm].origin, cell.origin, source.name)
        for key in (key for key in given if key in settings and planned.get(key, ABSENT) != given[key]):
            undone.setdefault(key, []).append(arm)
        cells.append(cell if arm == cell.arm else Cell(arm, settings, cell.choices))
        runs += [Run(f"{arm}-seed{seed}", arm, seed, settings, blocks.run(seed)) for seed in seeds]
    resolver.check_read(grid.cells)
    told = " ".join(warnings)
    for key, arms in undone.items():
        if f"--set {key}: " in told:
            continue  # of cells that it makes equal
        more = f" and {len(arms) - SHOWN} more" if len(arms) > SHOWN else ""
        warnings.append(f"--set {key}: in place of what is set by {', '.join(arms[:SHOWN])}{more}")
    _check_over_steps(runs, source.where(("evaluate",)) if sweep.evaluate else source.name)
    return Resolved(runs, Grid(cells, [*grid.dropped, *dropped], [*warnings, *resolver.notes]))


def _overlaid(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's own settings as `--set` leaves them: what a table and W&B show of a run is what it ran with."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        over = next((path for path in given if key == path or key.startswith(f"{path}.")), None)
        found |= {key: value} if over is None else {over: given[over]}
    for path in given:
        above = next((key for key in settings if path.startswith(f"{key}.")), None)
        if above is not None:
            if found.get(above, ABSENT) is None:
                del found[above]  # no longer null
            found[path] = given[path]
    return found


def _check_over_steps(runs: Sequence[Run], where: str) -> None:
    """Refuse a curve over the steps of RL where nothing is trained with RL.

    Raises:
        SpecError: it would have no point.
    """
    asked = [e for run in runs for e in run.spec.evaluate if isinstance(e, OverSteps)]
    if asked and not any("rl" in run.spec.train for run in runs):
        what = f"evaluate: every: {asked[0].every} has no checkpoints to score: no run trains with rl"
        raise SpecError(what, where, f"name the benchmark alone: {asked[0].benchmark}")


def _equal(first: Cell, second: Cell, document: Document) -> str:
    """Two cells are the same setting: a mistake in the file, or what `--set` asks for, which is a line to show.

    Raises:
        SpecError: it is in the file.
    """
    told = f"{first.arm!r} and {second.arm!r} are the same setting twice"
    keys = first.settings.keys() | second.settings.keys()
    differing = {k for k in keys if first.settings.get(k) != second.settings.get(k)}
    for key in flatten(dict(document.overrides), "--set"):
        if any(touches(key, other) for other in differing):
            return f"--set {key}: {told}"
    places = f"{first.origin}; {second.origin}"
    raise SpecError(told, document.source.name, f"remove one or change it: {places}")


def _seeds(document: Document) -> list[int]:
    where, seeds = document.source.where(("seeds",)), document.sweep.seed_values()
    if not seeds:
        raise SpecError("no seeds", where, "for example `seeds: [1, 2, 3]`")
    if min(seeds) < 0 or max(seeds) > MAX_SEED:
        raise SpecError(f"seeds are from 0 to {MAX_SEED}", where, "for example `seeds: [1, 2, 3]`")
    if len(set(seeds)) != len(seeds):
        twice = next(seed for seed in seeds if list(seeds).count(seed) > 1)
        raise SpecError(f"the seed {twice} stands twice", where, "list each once")
    return list(seeds)
