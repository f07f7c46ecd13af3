"""`toolrl data convert`: a common tool-calling set as files that a sweep takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, print_json
from toolrl_cli.errors import SpecError
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.wording import listed

FORMS = ("xlam", "hermes", "toolace")


def convert(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="xlam, hermes or toolace.",
            show_default=False,
            autocompletion=completing.one_of(*FORMS),
        ),
    ],
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="Rows: .parquet, .jsonl or .json.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.", show_default=False)
    ],
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="WHAT=NAME",
            help="xlam: which field has query, calls or tools; repeatable.",
            show_default=False,
        ),
    ] = None,
    val_share: Annotated[
        float, typer.Option("--val-share", min=0, max=0.9, help="Share of the rows to validate on.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the rows to validate on.")] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=2, help="Most rows to read.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert a tool-calling set into rows with ToolRL's prompts, and say what was refused and why.

    The files hold RL rows (train, val) and SFT rows; a sweep takes them with `data: {kind: verl, ...}`.
    """
    from toolrl_cli.commands.views.consoles import stdout_console
    from toolrl_cli.datasets.converting.convert import convert as converted
    from toolrl_cli.datasets.converting.readers import FIELDS
    from toolrl_cli.spec.suggest import hint_for

    if form not in FORMS:
        raise SpecError(f"unknown format {form!r}", "FORMAT", hint_for(form, FORMS, "formats"))
    named = {}
    for pair in fields or ():
        what, equals, name = pair.partition("=")
        if form != "xlam" or not equals or what not in FIELDS:
            hint = (
                f"WHAT=NAME, WHAT one of {', '.join(FIELDS)}"
                if form == "xlam"
                else f"{form} has its own fields"
            )
            raise SpecError(f"cannot use {pair!r}", "--field", hint)
        named[what] = name
    found = converted(form, source, output, fields=named, val_share=val_share, seed=seed, limit=limit)
    refused = {why: list(rows) for why, rows in found.refused.items()}
    settings = {"kind": "verl", **{split: str(path.resolve()) for split, path in found.files.items()}}
    if as_json:
        counts = {"read": found.read, "rows": dict(found.rows), "calls": found.calls, "texts": found.texts}
        print_json({"schema": PRINTED, **counts, "refused": refused, "data": settings})
        return
    console = stdout_console()
    rows = ", ".join(f"{split} {count}" for split, count in found.rows.items())
    lines = [f"{found.read} rows read: {rows}; {found.calls} turns call, {found.texts} answer in words"]
    for why, at in refused.items():
        lines.append(f"refused {len(at)}: {why} (rows {listed(at, 5)})")
    places = ", ".join(f"{split}: {path}" for split, path in settings.items() if split != "kind")
    lines.append(f"in a sweep: data: {{kind: verl, {places}}}")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
