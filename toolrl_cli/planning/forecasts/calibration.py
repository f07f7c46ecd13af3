"""Ended stages of a results root as measurements, found when an estimate asks for them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass

from toolrl_cli.errors import LedgerError, ToolrlError
from toolrl_cli.planning.forecasts.measured import Measurement, measure
from toolrl_cli.planning.forecasts.work import Work, Works
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.state import StageState

OF_THE_PLAN = 64
OF_OTHERS = 64
"""Most stages of one kind that are read: those of the plan itself, and the newest others."""
ALIKE = 8
"""Most stages of one recipe that are read."""


@dataclass(frozen=True)
class Point:
    """An ended stage: what it had to do, by which recipe (`Works.recipe`), and what it took."""

    id: str
    work: Work
    recipe: str
    took: Measurement


class Calibration:
    """Measurements of ended stages, by kind; each kind is read once, when it is asked for.

    Args:
        plan: its ended stages come first.
        ledger: where the others are.
        works: tells what a stage had to do.
    """

    def __init__(self, plan: Plan, ledger: Ledger, works: Works) -> None:
        self._plan = plan
        self._ledger = ledger
        self._works = works
        self._points: dict[str, list[Point]] = {}
        self._recipes: dict[str, frozenset[str]] = {}

    def recipes(self, kind: str) -> frozenset[str]:
        """The recipes of the ended stages of a kind."""
        if kind not in self._recipes:
            self._recipes[kind] = frozenset(point.recipe for point in self.points(kind))
        return self._recipes[kind]

    def points(self, kind: str) -> list[Point]:
        """Ended stages of a kind. A stage whose files cannot be read is left out."""
        if kind not in self._points:
            self._points[kind] = [*self._own(kind), *self._others(kind)]
        return self._points[kind]

    def _own(self, kind: str) -> Iterator[Point]:
        alike: Counter[str] = Counter()
        made = 0
        for stage in self._plan.stages.values():
            if stage.spec.kind != kind or stage.state is None:
                continue
            recipe = self._works.recipe(stage.spec)
            if alike[recipe] >= ALIKE:
                continue
            point = self._point(stage.spec, recipe, self._ledger.folder(stage.spec), stage.state)
            if point is not None:
                alike[recipe] += 1
                made += 1
                yield point
            if made >= OF_THE_PLAN:
                return

    def _others(self, kind: str) -> Iterator[Point]:
        for folder in newest_folders(self._ledger, kind, OF_OTHERS, without=self._plan.stages):
            # a torn or foreign stage tells nothing, nor does one whose model is gone; the rest still does
            with contextlib.suppress(ToolrlError):
                state = folder.state()
                spec = folder.spec()
                point = self._point(spec, self._works.recipe(spec), folder, state)
                if point is not None:
                    yield point

    def _point(self, spec: StageSpec, recipe: str, folder: StageFolder, state: StageState) -> Point | None:
        try:
            took = measure(folder, state, spec.slots)
        except (LedgerError, OSError):
            return None
        return Point(spec.id, self._works.of(spec), recipe, took) if took is not None else None


def newest_folders(
    ledger: Ledger, kind: str, most: int, *, without: Container[str] = ()
) -> list[StageFolder]:
    """The stages of a kind on disk that changed last, newest first.

    Args:
        ledger: where they are.
        kind: the kind.
        most: how many.
        without: a container of ids to leave out.
    """
    found: list[tuple[float, str]] = []
    try:
        for entry in os.scandir(ledger.results / "stages" / kind):
            if entry.name not in without and entry.is_dir():
                found.append((entry.stat().st_mtime, entry.name))
    except OSError:
        return []
    return [ledger.at(kind, name) for _, name in sorted(found, reverse=True)[:most]]
