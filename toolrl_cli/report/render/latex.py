"""LaTeX for a paper: best in bold, second underlined. A comment above each table names the packages it needs.

The layout of the page is unknown: a table wider than one column spans both columns of a two-column page, and an even
wider one is shrunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from toolrl_cli.report.model import Table
from toolrl_cli.report.render.shown import Line, Shown, cell_notes, legend, lines, row_lines

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
    "\u00a0": "~",
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
_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")

PACKAGES = ("booktabs", "graphicx")

_WIDE = 5
"""Number of columns above which the font is smaller."""

_COLUMN = 46
"""Characters in a line of one column of a two-column page."""

_TALL = 520.0
"""Height in points of a page of the article class; a longer float would run over the end of the page."""

_LINE = {False: 11.0, True: 9.5}
"""Whether a table is wide → points from one of its lines to the next."""

_CAPTION, _NOTES = (12.0, {"table": 46, "table*": 72}), (8.0, {"table": 66, "table*": 100})
"""Kind of float → points a line and characters in it, for the caption and for the notes below."""

_FEWEST = 12
"""Fewest lines of a table in a float, however long its caption and notes are."""

SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Opens a box that is shrunk to the line's width if it is wider."""

_LONG = {False: (40, 0.3), True: (24, 0.18)}
"""Whether a table is wide → characters above which a row's name is wrapped, and its share of the line then."""


def render(tables: Sequence[Table]) -> str:
    """The `table` environments of all tables, ending in a line break."""
    return "\n".join(_table(t) for t in tables)


def document(tables: Sequence[Table], options: str = "") -> str:
    """A complete document with the tables of `render`, for a preview; `options` are those of the article class."""
    body = "\n".join(_table(t) for t in tables)
    return (
        f"\\documentclass[{options}]{{article}}\n\\usepackage{{{','.join(PACKAGES)}}}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )


def _table(table: Table) -> str:
    """The floats of one table: as many as its length needs, with one number, and the notes under the last."""
    width = len(table.columns)
    size, spread = (r"\small", r"\scriptsize")
    if width > _WIDE:
        size, spread = r"\footnotesize\setlength{\tabcolsep}{3pt}", r"\tiny"
    head = " & ".join(["", *(escape(h.label) for h in table.columns)]).strip() + r" \\"
    caption = " ".join([f"{table.title}.", *legend(table, "Bold", "underlined")])
    missing = lost_in([table])
    notes = (" ".join(cell_notes(table)) + note_on(missing)).strip()
    kind = "table*" if _characters(table) > _COLUMN else "table"
    pages = _pages(table, _TALL - _height(caption, kind, *_CAPTION) - _height(notes, kind, *_NOTES))
    out = [f"% needs \\usepackage{{{','.join(PACKAGES)}}}", *comment_on(missing)]
    for number, page in enumerate(pages):
        out += [rf"\begin{{{kind}}}[tbp]", r"\centering", size]
        if number:
            out += [r"\addtocounter{table}{-1}", rf"\caption{{{escape(f'{table.title}, continued.')}}}"]
        else:
            label = "".join(c if c.isalnum() else "-" for c in table.name)
            out += [rf"\caption[{{{escape(table.title)}}}]{{{escape(caption)}}}", rf"\label{{tab:{label}}}"]
        out += [
            r"\par\smallskip",
            SHRUNK,
            rf"\begin{{tabular}}{{l{'r' * width}}}",
            r"\toprule",
            head,
            r"\midrule",
        ]
        out += [*_body(page, width, spread), r"\bottomrule", r"\end{tabular}}"]
        if notes and number == len(pages) - 1:
            out.append(rf"\par\smallskip\parbox{{\linewidth}}{{\scriptsize {escape(notes)}}}")
        out.append(rf"\end{{{kind}}}")
    return "\n".join(out) + "\n"


def _height(text: str, kind: str, points: float, characters: Mapping[str, int]) -> float:
    """Height in points of a paragraph in a float of this kind."""
    return points * -(-len(text) // characters[kind])


def _characters(table: Table) -> int:
    """Characters in a line of a table whose columns are as wide as their widest cells."""
    printed = list(lines(table))
    most, _ = _LONG[len(table.columns) > _WIDE]
    first = max((min(most, len(line.label)) for line in printed), default=0)
    cells = [
        max([len(head.label), *(len(line.cells[i].text) for line in printed)])
        for i, head in enumerate(table.columns)
    ]
    return first + sum(cells) + 2 * len(cells)


def _pages(table: Table, room: float) -> list[list[Line]]:
    """The printed lines of each float, which has whole groups if they fit on a page, and always whole rows.

    Args:
        room: points for the lines of one float.
    """
    wide = len(table.columns) > _WIDE
    most, _ = _LONG[wide]
    most_lines = max(_FEWEST, int(room / _LINE[wide]))
    pages: list[list[Line]] = [[]]
    used = 0
    for group in table.groups:
        rows = [list(row_lines(table, row)) for row in table.rows if row.group == group]
        heights = [len(row) + len(row[0].label) // most for row in rows]
        head = 2 if group else 0  # the group's name, and the space above it
        if used + head + sum(heights) > most_lines and used:
            pages.append([])
            used = 0
        used += head
        for row, height in zip(rows, heights, strict=True):
            if pages[-1] and used + height > most_lines:
                pages.append([])
                used = head
            pages[-1] += row
            used += height
    return pages


def _body(page: Sequence[Line], width: int, spread: str) -> list[str]:
    out: list[str] = []
    group = None
    for line in page:
        if line.group and line.group != group:
            if group is not None:
                out.append(r"\addlinespace")
            out.append(rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{escape(line.group)}}}}} \\")
        group = line.group
        label = rf"\quad {escape(line.label)}" if line.sub else _label(line.label, width > _WIDE)
        out.append(" & ".join([label, *(_cell(c, spread) for c in line.cells)]) + r" \\")
    return out


def _label(text: str, wide: bool) -> str:
    """A row's name; a long one is wrapped after punctuation, in its own box."""
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
    """Text that LaTeX prints unchanged; characters that its standard fonts lack become `?` (see `lost`)."""
    text = _MINUS.sub("−", text).replace(" %", "\u00a0%")
    return "".join("?" if _lacking(c) else _SPECIAL.get(c, c) for c in text)


def lost(texts: Iterable[str]) -> list[str]:
    """The characters of these texts that the standard fonts lack, each once."""
    return sorted({c for text in texts for c in text if _lacking(c)})


def lost_in(tables: Sequence[Table]) -> list[str]:
    """The characters that LaTeX loses of these tables, each once."""
    return lost(text for table in tables for text in _texts(table))


def comment_on(characters: Sequence[str]) -> list[str]:
    """A comment for whoever compiles a table that loses these characters; nothing where it loses none."""
    named = ", ".join(f"{c} (U+{ord(c):04X})" if c.isprintable() else f"U+{ord(c):04X}" for c in characters)
    told = "% printed as ?, since the standard fonts lack them (rename, or use lualatex with a font that has them)"
    return [f"{told}: {named}"] if characters else []


def note_on(characters: Sequence[str]) -> str:
    """The same for whoever reads the table in print."""
    return " ?: a character that this font lacks." if characters else ""


def _lacking(c: str) -> bool:
    return c not in _SPECIAL and ord(c) >= 0x180


def _texts(table: Table) -> list[str]:
    """All that is printed of a table."""
    printed = list(lines(table))
    cells = [text for line in printed for cell in line.cells for text in (cell.main, cell.spread)]
    names = [name for line in printed for name in (line.label, line.group)]
    heads = [head.label for head in table.columns]
    return [table.title, *legend(table, "Bold", "underlined"), *cell_notes(table), *heads, *names, *cells]
