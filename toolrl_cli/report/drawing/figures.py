"""The paper's figures as declarations, drawn for those of their arms that have results."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.report.arms import Arm, collect_arms, holds
from toolrl_cli.report.drawing.bars import draw_bars
from toolrl_cli.report.drawing.curves import LENGTH, TOTAL, VALIDATION, CurveReader, part_panel
from toolrl_cli.report.drawing.plots import Line, draw_curves
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.table_spec import ColumnSpec, Condition, RowSpec, TableSpec
from toolrl_cli.report.tables import build_table
from toolrl_cli.spec.models import Frozen
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.source import read_yaml

SHIPPED = Path(__file__).parent / "figures.yaml"
_PANELS = {"total": TOTAL, "response_length": LENGTH, "validation": VALIDATION}


class FigureSpec(Frozen):
    """One figure: curves of arms, or bars of rows."""

    name: str
    title: str
    kind: Literal["curves", "bars"]
    filter: Condition = Field({}, description="only arms for which all of this holds")
    lines: Literal["models"] | list[RowSpec] = "models"
    panels: list[str] = Field([], description="total, response_length, validation, or a part of the reward")
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
    arms = [arm for arm in collect_arms(sweeps) if holds(arm, figure.filter)]
    if figure.kind == "bars":
        return _draw_bars(figure, sweeps, results, reader, paths)
    panels = [_PANELS.get(p) or part_panel(p) for p in figure.panels]
    lines = [line for line in _lines(figure, arms) if any(reader.curve(line.arm, p) for p in panels)]
    return len({line.label for line in lines}) > 1 and draw_curves(lines, reader, paths, panels)


def _lines(figure: FigureSpec, arms: Sequence[Arm]) -> list[Line]:
    """Arms as lines; an entry that matches several arms of one model is left out, because its mean would mix them."""
    if isinstance(figure.lines, str):
        fits = [(arm.model, "", [a for a in arms if a.model == arm.model]) for arm in arms]
    else:
        models = list(dict.fromkeys(arm.model for arm in arms))
        fits = [
            (row.label, model, [a for a in arms if a.model == model and holds(a, row.where)])
            for model in models
            for row in figure.lines
        ]
    return [Line(found[0], label, facet) for label, facet, found in fits if len(found) == 1]


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
    return draw_bars(build_table(spec, sweeps, results, reader.metric), paths)
