"""LaTeX for a paper: best in bold, second underlined. Needs `\\usepackage{booktabs}` and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolrl_cli.report.model import Table
from toolrl_cli.report.render.grid import Shown, cell_notes, legend, lines

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

_LONG = 40
"""Characters of a row's name beyond which it is broken."""


def render(tables: Sequence[Table]) -> str:
    """One `table` environment a table, ending in a line break."""
    return "\n".join(_table(t) for t in tables)


def document(tables: Sequence[Table]) -> str:
    """A whole document around `render`, for a look at the tables without a paper."""
    body = "\n".join(_table(t) for t in tables)
    return (
        "\\documentclass{article}\n\\usepackage[margin=2cm]{geometry}\n\\usepackage{booktabs}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )


def _table(table: Table) -> str:
    width = len(table.columns)
    size, spread = (r"\small", r"\scriptsize")
    if width > _WIDE:
        size, spread = r"\footnotesize\setlength{\tabcolsep}{2.5pt}", r"\tiny"
    out = [r"\begin{table}[tb]", r"\centering", size]
    out.append(rf"\caption{{{escape(' '.join([f'{table.title}.', *legend(table, 'Bold', 'underlined')]))}}}")
    out.append(rf"\label{{tab:{''.join(c if c.isalnum() else '-' for c in table.name)}}}")
    out += [rf"\begin{{tabular}}{{l{'r' * width}}}", r"\toprule"]
    out.append(" & ".join(["", *(escape(h.label) for h in table.columns)]).strip() + r" \\")
    out.append(r"\midrule")
    group = None
    for line in lines(table):
        if line.group and line.group != group:
            if group is not None:
                out.append(r"\addlinespace")
            out.append(rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{escape(line.group)}}}}} \\")
        group = line.group
        label = rf"\quad {line.label}" if line.sub else _label(line.label)
        out.append(" & ".join([label, *(_cell(c, spread) for c in line.cells)]) + r" \\")
    out += [r"\bottomrule", r"\end{tabular}"]
    notes = cell_notes(table)
    if notes:
        out.append(rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize {escape(' '.join(notes))}}}")
    return "\n".join([*out, r"\end{table}"]) + "\n"


def _label(text: str) -> str:
    """A row's name; a long one is broken after its signs, in a box of its own."""
    if len(text) <= _LONG:
        return escape(text)
    broken = r"\allowbreak ".join(map(escape, re.split(r"(?<=[-+_/.,])", text)))
    return rf"\parbox[t]{{0.3\linewidth}}{{\raggedright\hspace{{0pt}}{broken}}}"


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
