"""Plain tables of text, such as comparisons and aggregates, in the formats for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolrl_cli.report.render import latex, markdown

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 6
"""Number of columns from which LaTeX uses the small font."""


@dataclass(frozen=True)
class Grid:
    """A table of text; `details` are lines under it.

    Attributes:
        heads: the first is of the rows' names.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    details: tuple[str, ...] = ()


def render_markdown(grids: Sequence[Grid], note: str) -> str:
    """The tables, each under its own heading, and a note, ending in a line break."""
    out = []
    for grid in grids:
        out += [f"### {markdown.escape(grid.title)}", ""]
        out += ["| " + " | ".join(map(markdown.escape, grid.heads)) + " |"]
        out += ["|:--|" + "--:|" * (len(grid.heads) - 1)]
        out += ["| " + " | ".join(map(markdown.escape, row)) + " |" for row in grid.rows]
        out += ["", *(f"- {markdown.escape(line)}" for line in grid.details), *([""] if grid.details else [])]
    return "\n".join([*out, note]) + "\n"


def render_latex(grids: Sequence[Grid], note: str) -> str:
    """A `table` environment for each, the note in its caption; ends in a line break."""
    out = [f"% needs \\usepackage{{{','.join(latex.PACKAGES)}}}"]
    for grid in grids:
        kind = "table*" if len(grid.heads) >= _WIDE else "table"
        size = r"\footnotesize\setlength{\tabcolsep}{3pt}" if len(grid.heads) >= _WIDE else r"\small"
        caption = " ".join([f"{grid.title}.", *(f"{line}." for line in grid.details), note])
        lost = latex.lost([caption, *grid.heads, *(text for row in grid.rows for text in row)])
        out += latex.comment_on(lost)
        caption += latex.note_on(lost)
        label = "".join(c if c.isalnum() else "-" for c in grid.name)
        out += [rf"\begin{{{kind}}}[tbp]", r"\centering", size]
        out += [
            rf"\caption[{{{latex.escape(grid.title)}}}]{{{latex.escape(caption)}}}",
            rf"\label{{tab:{label}}}",
        ]
        out += [
            r"\par\smallskip",
            latex.SHRUNK,
            rf"\begin{{tabular}}{{l{'r' * (len(grid.heads) - 1)}}}",
            r"\toprule",
        ]
        out += [" & ".join(map(latex.escape, grid.heads)).strip() + r" \\", r"\midrule"]
        out += [" & ".join(map(latex.escape, row)) + r" \\" for row in grid.rows]
        out += [r"\bottomrule", r"\end{tabular}}", rf"\end{{{kind}}}"]
    return "\n".join(out) + "\n"


def show(grids: Sequence[Grid], note: str, console: Console) -> None:
    """Print the tables; one that is wider than the console is printed a row at a time."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for grid in grids:
        console.print(Text(grid.title, style="bold"))
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for index, head in enumerate(grid.heads):
            table.add_column(head, justify="right" if index else "left", no_wrap=True)
        for row in grid.rows:
            table.add_row(*map(Text, row))
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            console.print(table)
        else:
            for row in grid.rows:
                console.print(Text(_stacked(grid.heads, row)), highlight=False)
        for line in grid.details:
            console.print(Text(line, style="dim"), highlight=False)
    console.print(Text(note, style="dim"))


def _stacked(heads: Sequence[str], row: Sequence[str]) -> str:
    """A row for a narrow terminal: a line for each of its cells."""
    return "\n".join(
        [f"{row[0]}:", *(f"  {head}: {text}" for head, text in zip(heads[1:], row[1:], strict=True))]
    )
