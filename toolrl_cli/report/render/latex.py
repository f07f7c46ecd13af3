"""LaTeX for a paper: best in bold, second underlined. Needs `\\usepackage{booktabs}` and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolrl_cli.report.model import Table
from toolrl_cli.report.render.grid import Line, Shown, cell_notes, legend, row_lines

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": "$-$",
    "Δ": r"$\Delta$",
}
_WIDE = 5
"""Columns beyond which the type is set smaller."""

_TALL = 50
"""Lines that a page holds beside a caption; LaTeX prints a longer float over the page's end."""

_LONG = {False: (40, 0.3), True: (24, 0.18)}
"""Whether a table is wide → characters of a row's name beyond which it is broken, and its share of the line then."""


def render(tables: Sequence[Table]) -> str:
    """The `table` environments of all tables, ending in a line break."""
    return "\n".join(_table(t) for t in tables)


def document(tables: Sequence[Table]) -> str:
    """A whole document around `render`, for a look at the tables without a paper."""
    body = "\n".join(_table(t) for t in tables)
    return (
        "\\documentclass{article}\n\\usepackage[margin=2cm]{geometry}\n\\usepackage{booktabs}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )


def _table(table: Table) -> str:
    """The floats of one table: as many as its length needs, with one number and, under the last, the notes."""
    width = len(table.columns)
    size, spread = (r"\small", r"\scriptsize")
    if width > _WIDE:
        size, spread = r"\footnotesize\setlength{\tabcolsep}{1.6pt}", r"\tiny"
    head = " & ".join(["", *(escape(h.label) for h in table.columns)]).strip() + r" \\"
    pages = _pages(table)
    out = []
    for number, page in enumerate(pages):
        out += [r"\begin{table}[tb]", r"\centering", size]
        if number:
            out += [r"\addtocounter{table}{-1}", rf"\caption{{{escape(f'{table.title}, continued.')}}}"]
        else:
            told = " ".join([f"{table.title}.", *legend(table, "Bold", "underlined")])
            label = "".join(c if c.isalnum() else "-" for c in table.name)
            out += [rf"\caption{{{escape(told)}}}", rf"\label{{tab:{label}}}"]
        out += [rf"\begin{{tabular}}{{l{'r' * width}}}", r"\toprule", head, r"\midrule"]
        out += [*_body(page, width, spread), r"\bottomrule", r"\end{tabular}"]
        notes = cell_notes(table) if number == len(pages) - 1 else []
        if notes:
            out.append(rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize {escape(' '.join(notes))}}}")
        out.append(r"\end{table}")
    return "\n".join(out) + "\n"


def _pages(table: Table) -> list[list[Line]]:
    """Printed lines, float by float: a float takes whole groups while they fit a page, and never half a row."""
    most, _ = _LONG[len(table.columns) > _WIDE]
    pages: list[list[Line]] = [[]]
    used = 0
    for group in table.groups:
        rows = [list(row_lines(table, row)) for row in table.rows if row.group == group]
        heights = [len(row) + len(row[0].label) // most for row in rows]
        if used + sum(heights) > _TALL and used:
            pages.append([])
            used = 0
        for row, height in zip(rows, heights, strict=True):
            if used and used + height > _TALL:
                pages.append([])
                used = 0
            pages[-1] += row
            used += height
    return pages


def _body(lines: Sequence[Line], width: int, spread: str) -> list[str]:
    out: list[str] = []
    group = None
    for line in lines:
        if line.group and line.group != group:
            if group is not None:
                out.append(r"\addlinespace")
            out.append(rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{escape(line.group)}}}}} \\")
        group = line.group
        label = rf"\quad {escape(line.label)}" if line.sub else _label(line.label, width > _WIDE)
        out.append(" & ".join([label, *(_cell(c, spread) for c in line.cells)]) + r" \\")
    return out


def _label(text: str, wide: bool) -> str:
    """A row's name; a long one is broken after its signs, in a box of its own."""
    most, share = _LONG[wide]
    if len(text) <= most:
        return escape(text)
    broken = r"\allowbreak ".join(map(escape, re.split(r"(?<=[-+_/.,])", text)))
    return rf"\parbox[t]{{{share}\linewidth}}{{\raggedright\hspace{{0pt}}{broken}}}"


def _cell(cell: Shown, spread: str) -> str:
    main = escape(cell.main)
    if cell.best:
        main = rf"\textbf{{{main}}}"
    elif cell.second:
        main = rf"\underline{{{main}}}"
    return rf"{main} {{{spread} {escape(cell.spread)}}}" if cell.spread else main


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; signs that its standard fonts lack become `?`."""
    return "".join(_SPECIAL.get(c) or (c if ord(c) < 0x180 else "?") for c in text)
