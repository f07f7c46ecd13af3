"""Explanations and designs on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toolrl_cli.rewards.comparing.mutations import RIGHT

if TYPE_CHECKING:
    from toolrl_cli.commands.views.reward_cases import Case
    from toolrl_cli.rewards.catalogue import Design, Listed
    from toolrl_cli.rewards.comparing.compare import Cell, Profile
    from toolrl_cli.rewards.explain import AlignedCall, Explanation, Parsed, PartExplained

LONGEST_TEXT = 4000
"""Characters of a completion that are shown; the middle of a longer one is left out."""

TOOLRL = ("format", "correctness", "length")
_TAGS = re.compile(r"</?(?:think|tool_call|response|obs)>")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NONE = "–"
_TERMS = ("fields in order", "words", "names", "call", "match", "S_max", "share", "raw")
"""The order of terms, `call` standing for all of `call 1`, `call 2`, …"""


def show_case(
    console: Console,
    case: Case,
    explanations: Sequence[Explanation],
    faults: Sequence[tuple[str, str]],
) -> None:
    """All that is known about one score under each reward.

    Args:
        case: the completion and its ground truth.
        explanations: one for each reward that could score it.
        faults: (reward, fault) of the others.
    """
    console.print(Text(case.source, "bold"), soft_wrap=True)
    _show_text(console, "completion", explanations[0].parsed.turn if explanations else case.completion)
    _show_text(console, "ground truth", case.ground_truth)
    if case.failure:
        console.print(Text(f"\nthe run ended here: {_visible(case.failure)}", "red"), soft_wrap=True)
    if explanations:
        _show_parse(console, explanations[0].parsed)
        _show_alignments(console, explanations)
        _show_terms(console, explanations)
        if case.logged is not None:
            console.print(f"logged  {case.logged:.6g}")
        _show_differences(console, explanations)
    for name, fault in faults:
        console.print(Text(f"\n{name} cannot score it: {_visible(fault)}", "red"), soft_wrap=True)


def show_designs(console: Console, designs: Sequence[Design]) -> None:
    """The catalogue: of each design its axes and range, and below them formula and source, however narrow it is."""
    console.print(Text(f"named designs, fidelity {designs[0].fidelity}\n", "bold"))
    widest = max(len(design.name) for design in designs)
    for design in designs:
        first, last = _range(design.ranges["first"]["total"]), _range(design.ranges["last"]["total"])
        total = first if first == last else f"{first} → {last}"
        name = Text(design.name.ljust(widest), "bold")
        console.print(Text.assemble(name, f"  total {total}, of {', '.join(design.axes)}"))
        for line in (design.formula, design.source):
            console.print(Padding(Text(line), (0, 0, 0, 4), expand=False))  # brackets are no markup here
        console.print()
    console.print(
        "total: least and most, at the first → the last of the paper's 105 steps. Join one name per axis with +, as "
        "in finegrained+dynamic; @paper behind it takes the paper's formulas.",
        style="dim",
        markup=False,
    )


def show_field(console: Console, designs: Sequence[Listed]) -> None:
    """Other papers' designs, one after the other, so that nothing is cut on a narrow terminal."""
    for design in designs:
        needs = f", needs {' and '.join(design.needs)}" if design.needs else ""
        console.print(Text(f"{design.name}  {_range(design.range)}{needs}", "bold"), soft_wrap=True)
        for text in filter(None, (design.formula, f"{design.source} ({design.evidence})", design.note)):
            console.print(Padding(Text(text), (0, 0, 0, 2)))
    console.print(
        "\nran, read: the released code was run or read; paper: from its text; second-hand: from notes of it. A design "
        "reads calls in its own paper's form; NAME@toolrl reads those that ToolRL's prompts ask for.",
        style="dim",
        markup=False,
    )


def show_profiles(console: Console, profiles: Sequence[Profile], rows: int, rollouts: int) -> None:
    """What each design earns for each mutation, with a mark where a mistake earns as much as the gold answer."""
    table = Table()
    table.add_column("answer", no_wrap=True)
    for profile in profiles:
        table.add_column(profile.reward, justify="right", overflow="fold")
    names = {name: None for profile in profiles for name in profile.cells}
    for name in sorted(names, key=lambda name: (name not in RIGHT, list(names).index(name))):
        cells = [profile.cells.get(name) for profile in profiles]
        table.add_row(name.replace("_", " "), *(_cell(cell, name) for cell in cells))
    table.add_section()
    table.add_row("different totals", *(str(profile.values) for profile in profiles))
    table.add_row("no gradient", *(f"{profile.no_gradient:.1%}" for profile in profiles))
    console.print(table)
    console.print(
        f"means over {rows} rows. !: a mistake that earns as much as the gold answer on all rows that it applies to, "
        f"(!): on some. no gradient: expected share of groups of {rollouts} that all earn the same, if each response "
        "is one of these answers by chance.",
        style="dim",
        markup=False,
    )


def _cell(cell: Cell | None, name: str) -> str:
    if cell is None:
        return _NONE
    mark = "" if name in RIGHT or not cell.as_gold else " !" if cell.as_gold == 1 else " (!)"
    return f"{cell.mean:.3g}{mark}"


def _range(span: tuple[float, float]) -> str:
    return f"[{span[0]:.4g}, {span[1]:.4g}]"


def _show_text(console: Console, title: str, text: str) -> None:
    shown = _visible(text.rstrip())
    if len(shown) > LONGEST_TEXT:
        left_out = len(shown) - LONGEST_TEXT
        shown = f"{shown[: LONGEST_TEXT // 2]}\n… {left_out} characters …\n{shown[-LONGEST_TEXT // 2 :]}"
    coloured = Text(shown or "(empty)", "" if shown else "dim")
    coloured.highlight_regex(_TAGS, "cyan")
    console.print(Text(f"\n{title}", "bold"))
    console.print(coloured)


def _visible(text: str) -> str:
    """Control characters written out: a completion must not be able to command the terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _show_parse(console: Console, parsed: Parsed) -> None:
    standing = ("in order", "green") if parsed.format_holds else ("not in order", "red")
    console.print(Text.assemble(("\nparse: fields ", "bold"), standing))
    table = Table()
    for heading in ("field", "required", "<…>", "</…>"):
        table.add_column(heading, justify="left" if heading == "field" else "right")
    for field in parsed.fields:
        needed = "yes" if field.required else "no"
        table.add_row(field.name, needed, str(field.opened), str(field.closed))
    console.print(table)
    for position, call in enumerate(parsed.calls, start=1):
        console.print(Text(f"call {position}: {_visible(call)}"), soft_wrap=True)
    if parsed.problem:
        console.print(Text(f"calls cannot be read: {_visible(parsed.problem)}", "red"), soft_wrap=True)


def _show_alignments(console: Console, explanations: Sequence[Explanation]) -> None:
    """Each alignment once, under the names of the rewards that make it."""
    shared: dict[tuple[AlignedCall, ...], list[str]] = {}
    for explanation in explanations:
        for part in explanation.parts:
            if part.alignment:
                names = shared.setdefault(part.alignment, [])
                names += [explanation.reward] if explanation.reward not in names else []
    for alignment, names in shared.items():
        console.print(Text(f"\nalignment of calls ({', '.join(names)})", "bold"), soft_wrap=True)
        table = Table()
        for heading in ("wanted call", "given call", "parameter", "wanted", "given", "equal", "earns"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "earns" else "left")
        for aligned in alignment:
            _add_call(table, aligned)
        console.print(table)


def _add_call(table: Table, aligned: AlignedCall) -> None:
    wanted = _call(aligned.gold, aligned.gold_name)
    given = _call(aligned.predicted, aligned.predicted_name)
    paired = aligned.gold is not None and aligned.predicted is not None
    style = "" if paired else "yellow"
    table.add_section()
    table.add_row(Text(wanted, style), Text(given, style), "", "", "", "", f"{aligned.score:.4g}")
    for value in aligned.values:
        equal = Text("yes", "green") if value.equal else Text("no", "red") if paired else Text("")
        table.add_row("", "", Text(_visible(value.key)), _value(value.wanted), _value(value.given), equal, "")


def _call(position: int | None, name: str | None) -> str:
    return _NONE if position is None else f"{position + 1}. {_visible(name or '')}"


def _value(text: str | None) -> Text:
    return Text(_NONE, "dim") if text is None else Text(_visible(text))


def _show_terms(console: Console, explanations: Sequence[Explanation]) -> None:
    """A column for each reward, a line for each term that any of them has."""
    first = explanations[0]
    at = f"step {first.step}" + (f" of {first.total_steps}" if first.total_steps else "")
    console.print(Text(f"\nterms at {at}", "bold"))
    table = Table()
    table.add_column("part")
    table.add_column("term")
    for explanation in explanations:
        table.add_column(Text(explanation.reward), overflow="fold")
    parts = [{part.name: part for part in explanation.parts} for explanation in explanations]
    for name in dict.fromkeys(name for having in parts for name in having):
        table.add_section()
        _add_part(table, name, [having.get(name) for having in parts])
    table.add_section()
    totals = (Text(f"{explanation.total:.6g}", "bold") for explanation in explanations)
    table.add_row(Text("total", "bold"), "", *totals)
    console.print(table)


def _add_part(table: Table, name: str, parts: Sequence[PartExplained | None]) -> None:
    terms = [
        {term.name: f"{term.formula} = {term.value:.6g}" for term in part.terms} if part else {}
        for part in parts
    ]
    names = {term: None for having in terms for term in having}
    for position, term in enumerate(sorted(names, key=_place)):
        cells = (Text(_visible(having.get(term, _NONE))) for having in terms)
        table.add_row(name if not position else "", term, *cells)
    table.add_row("", "weight", *(Text(f"{part.weight:.6g}" if part else _NONE) for part in parts))
    weighted = (Text(f"{part.weighted:.6g}" if part else _NONE, "bold") for part in parts)
    table.add_row("", Text("weighted", "bold"), *weighted)


def _place(term: str) -> tuple[int, int]:
    kind, _, number = term.partition(" ") if term.startswith("call ") else (term, "", "")
    known = len(_TERMS) if kind == "raw" else _TERMS.index(kind) if kind in _TERMS else -1
    return (known, int(number or 0))


def _show_differences(console: Console, explanations: Sequence[Explanation]) -> None:
    """Each deviation of the code from the paper once, under the names of the rewards that it bears on."""
    shared: dict[tuple[int, str, str], list[str]] = {}
    for explanation in explanations:
        for d in explanation.differences:
            shared.setdefault((d.number, d.topic, d.text), []).append(explanation.reward)
    if not any(part.kind in TOOLRL for explanation in explanations for part in explanation.parts):
        return  # of nobody's formula and nobody's code
    if not shared:
        console.print(Text("\nreleased code and paper agree on this score", "dim"))
        return
    console.print(Text("\nwhere released code and paper differ", "bold"))
    for (number, topic, text), names in sorted(shared.items()):
        told = f" ({', '.join(names)})" if len(explanations) > 1 else ""
        console.print(Text.assemble((f"{number}. {topic}", "yellow"), f": {text}{told}"), soft_wrap=True)
