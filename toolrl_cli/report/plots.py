"""Curves as PNG, PDF or SVG: small multiples, one panel a metric, one row a model.

Colours are Okabe and Ito's, which the colour-blind can tell apart; line styles tell the arms apart in black
and white. Files hold no dates and no random ids: the same results give the same bytes under the same
matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.curves import Curve, CurveReader, Panel, panels_of, rl_stage
from toolrl_cli.spec.identity import slugify

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))
CSS_DASHES = ("none", "6 2", "1.5 2", "6 2 1.5 2", "10 3")
"""The same dashes in SVG's terms, for the page."""

MARKERS = "os^Dv<>P"
FORMATS = ("png", "pdf", "svg")

_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "legend.fontsize": 8,
    "svg.hashsalt": "toolrl",
    "pdf.fonttype": 42,
}
_ACROSS = 3
"""Panels side by side where there is one model."""


def draw_curves(
    arms: Sequence[Arm], reader: CurveReader, paths: Sequence[Path], panels: Sequence[Panel] = ()
) -> bool:
    """Write the curves of all arms that trained by RL.

    Args:
        paths: files to write the same figure to; their suffixes (`.png`, `.pdf`, `.svg`) choose the formats.
        panels: what to show; default: everything the arms logged of reward, parts, length and validation.

    Returns:
        False where there is nothing to draw; no file is written then.
    """
    trained = [arm for arm in arms if any(rl_stage(run) for run in arm.runs)]
    shown = list(panels) or panels_of(trained, reader)
    models = list(dict.fromkeys(arm.model for arm in trained))
    drawn = {(a.name, p): reader.curve(a, p) for a in trained for p in shown}
    if not any(drawn.values()):
        return False

    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        columns = len(shown) if len(models) > 1 else min(_ACROSS, len(shown))
        rows = len(models) if len(models) > 1 else math.ceil(len(shown) / columns)
        labels = list(dict.fromkeys(_label(arm, models) for arm in trained))
        legend = 0.28 * math.ceil(len(labels) / 4) + 0.3
        figure = Figure(figsize=(2.5 * columns + 0.3, 1.9 * rows + legend + 0.2), layout="constrained")
        FigureCanvasAgg(figure)
        last = max(1, *(c.steps[-1] for c in drawn.values() if c is not None))
        axes = figure.subplots(rows, columns, squeeze=False)
        for row, model in enumerate(models if len(models) > 1 else [None]):
            for index, panel in enumerate(shown):
                axis = axes[row, index] if model is not None else axes[divmod(index, columns)]
                members = [a for a in trained if model is None or a.model == model]
                for arm in members:
                    found = drawn[arm.name, panel]
                    if found is not None:
                        _draw(axis, found, labels.index(_label(arm, models)), panel)
                _dress(axis, panel, last)
                if model is not None:
                    _in_matrix(axis, model if index == 0 else "", top=row == 0, bottom=row == rows - 1)
        for spare in range(len(shown), rows * columns if len(models) == 1 else 0):
            axes[divmod(spare, columns)].set_axis_off()
        _legend(figure, labels, trained, models, drawn)
        for path in paths:
            _save(figure, path)
    return True


def _draw(axis: Axes, found: Curve, position: int, panel: Panel) -> None:
    colour, dash = PALETTE[position % len(PALETTE)], DASHES[position % len(DASHES)]
    marker = MARKERS[position % len(MARKERS)] if panel.sparse or len(found.steps) == 1 else None
    whole = [i for i, n in enumerate(found.seeds) if n == found.runs]
    last = whole[-1] if whole else -1
    axis.plot(
        found.steps[: last + 1],
        found.mean[: last + 1],
        color=colour,
        linestyle=dash,
        linewidth=1.3,
        marker=marker,
        markersize=3,
    )
    if last + 1 < len(found.steps):
        # Beyond this step seeds are missing: what changes there may be who is averaged, so it is drawn faint.
        start = max(last, 0)
        axis.plot(
            found.steps[start:], found.mean[start:], color=colour, linestyle=dash, linewidth=0.8, alpha=0.45
        )
    band = [
        (s, m, h) for s, m, h in zip(found.steps, found.mean, found.half_width, strict=True) if h is not None
    ]
    if band:
        steps, means, halves = zip(*band, strict=True)
        low = [m - h for m, h in zip(means, halves, strict=True)]
        high = [m + h for m, h in zip(means, halves, strict=True)]
        axis.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)


def _dress(axis: Axes, panel: Panel, last: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(panel.title)
    axis.set_ylabel(panel.unit)
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axis.set_xlim(-0.02 * last, 1.02 * last)


def _in_matrix(axis: Axes, model: str, top: bool, bottom: bool) -> None:
    """In a matrix of models and panels, say each thing once."""
    if model:
        axis.set_ylabel(f"{model}\n{axis.get_ylabel()}")
    if not top:
        axis.set_title("")
    if not bottom:
        axis.set_xlabel("")


def _legend(
    figure: Figure,
    labels: Sequence[str],
    arms: Sequence[Arm],
    models: Sequence[str],
    drawn: dict[tuple[str, Panel], Curve | None],
) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.lines import Line2D

    seeds: dict[str, set[int]] = {}
    for arm in arms:
        runs = [c.runs for (name, _), c in drawn.items() if name == arm.name and c is not None]
        seeds.setdefault(_label(arm, models), set()).add(max(runs, default=0))
    handles = [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], linestyle=DASHES[i % len(DASHES)], linewidth=1.6)
        for i in range(len(labels))
    ]
    names = [f"{label} ({_range(seeds[label])})" for label in labels]
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, handlelength=3
    )
    told = "mean over n seeds"
    if any(h is not None for c in drawn.values() if c is not None for h in c.half_width):
        told += "; band: 95 % t interval"
    if any(n < c.runs for c in drawn.values() if c is not None for n in c.seeds):
        told += "; faint where seeds are missing"
    legend.set_title(told, prop=FontProperties(size=7))


def _range(counts: set[int]) -> str:
    if counts == {0}:
        return "no curve yet"
    return f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)}–{max(counts)}"


def _label(arm: Arm, models: Sequence[str]) -> str:
    """The arm's name without its model's, where rows already say the model."""
    slug = slugify(arm.model) if arm.model else ""
    if len(models) > 1 and slug and arm.name.startswith(f"{slug}-"):
        return arm.name[len(slug) + 1 :]
    return arm.name


def _save(figure: Figure, path: Path) -> None:
    kind = path.suffix.lstrip(".")
    metadata: dict[str, Any] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
    }
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, format=kind, dpi=200, metadata=metadata[kind])
    temporary.replace(path)
