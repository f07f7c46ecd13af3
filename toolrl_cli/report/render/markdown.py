"""Markdown (GitHub's tables): best in bold, second in italics."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolrl_cli.report.model import Table
from toolrl_cli.report.render.shown import Shown, lines, notes_under


def render(tables: Sequence[Table]) -> str:
    """The tables, each under its own heading, ending in a line break."""
    return "\n".join(_table(t) for t in tables)


def _table(table: Table) -> str:
    out = [f"### {escape(table.title)}", ""]
    out.append("| | " + " | ".join(escape(h.label) for h in table.columns) + " |")
    out.append("|:--|" + "--:|" * len(table.columns))
    group = ""
    for line in lines(table):
        if line.group != group:
            group = line.group
            out.append(f"| **{escape(group)}** |" + " |" * len(table.columns))
        label = f"&nbsp;&nbsp;{line.label}" if line.sub else escape(line.label)
        out.append(f"| {label} | " + " | ".join(_cell(c) for c in line.cells) + " |")
    notes = notes_under(table, "Bold", "italics")
    if notes:
        out += ["", *(f"- {escape(note)}" for note in notes)]
    return "\n".join(out) + "\n"


def _cell(cell: Shown) -> str:
    text = escape(cell.text)
    if cell.best:
        return f"**{text}**"
    return f"_{text}_" if cell.second else text


def escape(text: str) -> str:
    """Text with Markdown's special characters escaped."""
    return re.sub(r"([\\|*_`<>\[\]$~&])", r"\\\1", text)
