"""The style of all figures, and reproducible writing: the same results give the same bytes.

Colours are Okabe and Ito's, which colour-blind people can distinguish; line styles and hatches distinguish arms in
black and white. Files have no dates and no random ids.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.store.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))
CSS_DASHES = ("none", "6 2", "1.5 2", "6 2 1.5 2", "10 3")
"""The same dashes in SVG's notation, for the page."""

MARKERS = "os^Dv<>P"
FORMATS = ("png", "pdf", "svg")

STYLE: Any = {
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
    "figure.constrained_layout.w_pad": 0.08,
    "svg.hashsalt": "toolrl",
    "pdf.fonttype": 42,
}


def legend_columns(names: Sequence[str], width: float) -> int:
    """Number of legend entries that fit side by side in `width` inches."""
    entry = 0.6 + 0.065 * max(len(line) for name in names for line in name.split("\n"))
    return max(1, min(4, len(names), int(width / entry)))


def wrapped(text: str, width: float, points: float = 8.0) -> str:
    """A text in lines of at most `width` inches; names without spaces are broken after their signs."""
    most = max(8, int(width / (0.0076 * points)))
    return textwrap.fill(text, most, break_long_words=True)


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches with our style; matplotlib's global settings are not changed."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure to files, each in the format of its suffix; they are replaced whole.

    The layout is computed once, for the first file, and used for all.
    """
    metadata: dict[str, Any] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
    }
    for path in paths:
        kind = path.suffix.lstrip(".")
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=200, metadata=metadata[kind])
        figure.set_layout_engine("none")
