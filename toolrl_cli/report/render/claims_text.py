"""Claims and their verdicts, for the terminal, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from toolrl_cli.report.comparisons.judging import ClaimResult, Step
from toolrl_cli.report.model import digits, fixed, rounded
from toolrl_cli.report.render.markdown import escape
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.wording import listed

if TYPE_CHECKING:
    from rich.console import Console

NOTE = (
    "Differences in points (of a column that is no share: in its unit), positive where the arm that is claimed to be "
    "better is better, with their 95 % interval over seeds, averaged over models and benchmarks (a seed's "
    "values on several benchmarks count as one); not corrected for the number of claims. The paper's tables "
    "have one run an arm and no interval."
)
_NAMED = 3
"""Most left-out places that a line names; JSON has all."""

_COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow"}


def document(results: Sequence[ClaimResult]) -> dict[str, Any]:
    """The claims as plain data."""
    return {"schema": PRINTED, "claims": [_plain(r) for r in results]}


def render_json(results: Sequence[ClaimResult]) -> str:
    """The document as text, ending in a line break."""
    return json.dumps(document(results), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def render_markdown(results: Sequence[ClaimResult]) -> str:
    """A table of claims with their verdicts, ending in a line break."""
    out = ["### Claims", "", "| Claim | Verdict | Difference | Printed tables |", "|:--|:--|:--|:--|"]
    for r in results:
        told = "; ".join([*map(difference, r.steps), *together(r)])
        cells = (r.spec.text, f"**{r.verdict}**{_on(r)}", told, printed(r))
        out.append("| " + " | ".join([cells[0], cells[1], *map(escape, cells[2:])]) + " |")
    return "\n".join([*out, "", NOTE]) + "\n"


def show(results: Sequence[ClaimResult], console: Console) -> None:
    """Print the claims on a rich console."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, min_width=max(map(len, _COLOURS)))
    grid.add_column()
    for r in results:
        end = _on(r) if r.tested else " (no results)"
        grid.add_row(Text(r.verdict, style=_COLOURS[r.verdict]), Text(r.spec.text, style="bold") + Text(end))
        for text in (*map(difference, r.steps), *together(r)) if r.tested else ():
            grid.add_row("", Text(text))
        grid.add_row("", Text(f"printed: {printed(r)}", style="dim"))
    console.print(grid, highlight=False)
    console.print(Text(NOTE, style="dim"))


def difference(step: Step) -> str:
    """One step in words: the two arms, their difference and interval, or why there is none."""
    pair = step.subtracted
    if step.comparison is None:
        return f"{pair}: {step.why}"
    c = step.comparison
    low, high = (fixed(rounded(v, 2), 2, sign=True) for v in (c.low, c.high))
    told = f"{pair}: {fixed(rounded(c.difference, 2), 2, sign=True)} [{low}, {high}]"
    if step.verdict == "undecided" and step.needed is None:
        told += ", too small to decide with any number of seeds worth running"
    elif step.verdict == "undecided":
        told += f", about {step.needed} seeds an arm would decide it"
    if step.left_out:
        told += f"; left out: {listed(step.left_out, _NAMED, '; ')}"
    return told


def together(result: ClaimResult) -> list[str]:
    """The seeds that would decide all steps of a claim; nothing where it has one step, or is decided."""
    if len(result.steps) < 2 or result.needed is None:
        return []
    return [f"all steps together: about {result.needed} seeds an arm would decide them"]


def printed(result: ClaimResult) -> str:
    """The printed tables' verdict in words."""
    if result.printed is None:
        return result.printed_note
    word = {"undecided": "mixed"}.get(result.printed, result.printed)
    return f"{word}, {result.printed_note}"


def _on(result: ClaimResult) -> str:
    return f" ({result.on})" if result.on else ""


def _plain(result: ClaimResult) -> dict[str, Any]:
    return {
        "name": result.spec.name,
        "text": result.spec.text,
        "source": result.spec.source,
        "on": result.on,
        "verdict": result.verdict,
        "needed_seeds": result.needed,
        "printed": result.printed,
        "printed_note": result.printed_note,
        "steps": [_step(s) for s in result.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    c = step.comparison
    numbers = dict.fromkeys(("difference", "low", "high"))
    if c is not None:
        numbers = {k: rounded(getattr(c, k), 2) for k in numbers}
    return {
        "better": step.better,
        "worse": step.worse,
        "subtracted": step.subtracted,
        "verdict": step.verdict,
        **numbers,
        "p": None if c is None else digits(c.p),
        "test": None if c is None else c.test,
        "why": step.why or None,
        "needed_seeds": step.needed,
        "left_out": list(step.left_out),
    }
