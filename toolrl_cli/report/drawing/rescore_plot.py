"""Heat maps of a rescoring: rank correlation of the arms, and agreement of their advantages' signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.report.drawing.figure_style import save
from toolrl_cli.rewards.comparing.rescore import Rescored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Matrix = Sequence[Sequence[float | None]]
_CELL = 0.52  # inches


def draw_agreement(result: Rescored, path: Path) -> None:
    """Write a PNG with the rank correlation and the agreement of advantages' signs, arm × arm.

    Cells without a value (a constant arm, no group of two) are grey. The file has no date, so that the same result
    gives the same bytes with the same matplotlib.

    Args:
        path: ends in `.png`; its folder exists.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [arm.name for arm in result.arms]
    side = _CELL * len(names) + 0.09 * max(map(len, names)) + 1.6
    figure = Figure(figsize=(2 * side, side), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _heat(left, result.rank_correlation, names, "rank correlation (Spearman)", -1.0)
    _heat(right, result.sign_agreement, names, "advantages of the same sign (share)", 0.0)
    figure.suptitle(
        f"{result.rollouts} rollouts, {result.comparable_groups} groups of two or more", fontsize=9
    )
    save(figure, [path])


def _heat(axis: Axes, matrix: Matrix, names: Sequence[str], title: str, least: float) -> None:
    import matplotlib as mpl
    import numpy as np

    values = np.array([[np.nan if value is None else value for value in row] for row in matrix])
    # cividis looks alike with and without colour vision; fixed limits make the matrices comparable
    colours = mpl.colormaps["cividis"].with_extremes(bad="#dddddd")
    axis.imshow(values, cmap=colours, vmin=least, vmax=1.0)
    axis.set_title(title, fontsize=9, loc="left")
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    middle = (least + 1.0) / 2
    for row, cells in enumerate(matrix):
        for column, value in enumerate(cells):
            shown = "–" if value is None else f"{value:.2f}"
            dark = value is not None and value < middle
            axis.text(
                column, row, shown, ha="center", va="center", fontsize=8, color="white" if dark else "black"
            )
