"""The paper's figures as declarations, drawn for those of their arms that have results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.report.arms import Arm, collect_arms, fitting
from toolrl_cli.report.drawing.bars import draw_bars
from toolrl_cli.report.drawing.curves import CurveReader, rl_stage
from toolrl_cli.report.drawing.panels import EXACT, LENGTH, TOTAL, VALIDATION, part_panel
from toolrl_cli.report.drawing.plots import Line, draw_curves, without_model
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.table_spec import ColumnSpec, Condition, RowSpec, TableSpec
from toolrl_cli.report.tables import build_table
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.source import read_yaml

SHIPPED = Path(__file__).parent / "figures.yaml"
_PANELS = {"exact": EXACT, "total": TOTAL, "response_length": LENGTH, "validation": VALIDATION}


class FigureSpec(Frozen):
    """One figure: curves of arms, or bars of rows."""

    name: str
    title: str
    kind: Literal["curves", "bars"]
    filter: Condition = Field({}, description="only arms for which all of this holds")
    lines: Literal["models"] | list[RowSpec] = "models"
    panels: list[str] = Field(
        [], description="exact, total, response_length, validation, or a part of the reward"
    )
    rows: list[RowSpec] = Field([], description="bars of each group")
    columns: list[ColumnSpec] = Field([], description="one plot each, where its benchmark was run")

    @model_validator(mode="after")
    def _is_whole(self) -> FigureSpec:
        if self.kind == "curves" and not self.panels:
            raise ValueError("a figure of curves needs `panels`")
        if self.kind == "bars" and not (self.rows and self.columns):
            raise ValueError("a figure of bars needs `rows` and `columns`")
        return self


class FigureFile(Frozen):
    """A file of figures."""

    figures: list[FigureSpec] = Field(min_length=1)


@lru_cache(maxsize=1)
def shipped_figures() -> dict[str, FigureSpec]:
    """The paper's figures by name, in its order."""
    return {f.name: f for f in FigureFile.model_validate(read_yaml(SHIPPED).data).figures}


def find_figure(name: str) -> FigureSpec:
    """A shipped figure by its name.

    Raises:
        SpecError: no such figure.
    """
    figures = shipped_figures()
    if name not in figures:
        raise SpecError(f"unknown figure {name!r}", "--figure", hint_for(name, figures, "figures"))
    return figures[name]


def draw_figure(
    name: str, sweeps: Sequence[Sweep], results: Path, reader: CurveReader, paths: Sequence[Path]
) -> bool:
    """Draw a shipped figure from the results of the sweeps.

    Returns:
        False if fewer than two of its lines or bars have results, because then there is nothing to compare.

    Raises:
        SpecError: no such figure.
    """
    figure = find_figure(name)
    arms = fitting(collect_arms(sweeps), figure.filter)
    if figure.kind == "bars":
        return _draw_bars(figure, sweeps, results, reader, paths)
    panels = [_PANELS.get(p) or part_panel(p) for p in figure.panels]
    lines, notes = _lines(figure, arms)
    drawn = [line for line in lines if any(reader.curve(line.arm, p) for p in panels)]
    if waiting := [line.arm for line in lines if line not in drawn]:
        notes.append(f"No curve yet: {', '.join(map(without_model, waiting))}.")
    known = [p for p in panels if any(reader.curve(line.arm, p) for line in drawn)]
    return len({line.label for line in drawn}) > 1 and draw_curves(drawn, reader, paths, known, notes)


def _lines(figure: FigureSpec, arms: Sequence[Arm]) -> tuple[list[Line], list[str]]:
    """Arms as lines, under their own names, and what is said of those that are none.

    An entry that matches several arms of one model is left out, because its mean would mix them.
    """
    models = list(dict.fromkeys(arm.model for arm in arms))
    if isinstance(figure.lines, str):
        fits = [(model, "", [a for a in arms if a.model == model]) for model in models]
    else:
        fits = [
            (row.label, model, fitting([a for a in arms if a.model == model], row.where))
            for model in models
            for row in figure.lines
        ]
        own = _own_names([(label, found[0]) for label, _, found in fits if len(found) == 1])
        fits = [(own.get(label, label), facet, found) for label, facet, found in fits]
    lines = [Line(found[0], label, facet) for label, facet, found in fits if len(found) == 1]
    trained = [arm for arm in arms if any(map(rl_stage, arm.runs))]
    return lines, _undrawn(trained, [line.arm.name for line in lines], [found for _, _, found in fits])


def _own_names(placed: Sequence[tuple[str, Arm]]) -> dict[str, str]:
    """A figure's names of its lines or bars → those of their arms, where these are the same for all models."""
    own: dict[str, set[str]] = {}
    for label, arm in placed:
        own.setdefault(label, set()).add(without_model(arm))
    found = {label: next(iter(names)) for label, names in own.items() if len(names) == 1}
    return found if len(set(found.values())) == len(found) else {}


def _undrawn(arms: Sequence[Arm], drawn: Sequence[str], fits: Sequence[Sequence[Arm]]) -> list[str]:
    """Which arms the figure has no place for, and which contend for one."""
    rivals = [[arm.name for arm in found] for found in fits if len(found) > 1]
    contending = {name for names in rivals for name in names}
    other = [without_model(a) for a in arms if a.name not in drawn and a.name not in contending]
    told = [
        f"Not drawn, since they fit one place and are not averaged: {', '.join(names)}." for names in rivals
    ]
    return [*told, *([f"In no place of this figure: {', '.join(dict.fromkeys(other))}."] if other else [])]


def _draw_bars(
    figure: FigureSpec, sweeps: Sequence[Sweep], results: Path, reader: CurveReader, paths: Sequence[Path]
) -> bool:
    ran = {e.benchmark for sweep in sweeps for run in sweep.runs for e in run.evaluations}
    columns = [c for c in figure.columns if c.benchmark in ran]
    if not columns:
        return False
    spec = TableSpec(
        name=figure.name,
        title=figure.title,
        rows=figure.rows,
        columns=columns,
        filter=figure.filter,
        group_by="model",
    )
    table = build_table(spec, sweeps, results, reader.metric)
    arms = {arm.name: arm for arm in fitting(collect_arms(sweeps), figure.filter)}
    own = _own_names([(row.label, arms[row.source_arm]) for row in table.rows if row.source_arm])
    named = tuple(replace(row, label=own.get(row.label, row.label)) for row in table.rows)
    fits = [
        fitting([arm for arm in arms.values() if arm.model == model], row.where)
        for model in table.groups
        for row in figure.rows
    ]
    placed = [row.source_arm for row in table.rows if any(c.mean is not None for c in row.cells.values())]
    scored = [arm for arm in arms.values() if any(e.metrics for run in arm.runs for e in run.evaluations)]
    return draw_bars(replace(table, rows=named), paths, _undrawn(scored, placed, fits))
