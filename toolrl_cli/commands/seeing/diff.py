"""`toolrl diff`: what differs between two runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Results, note, print_json
from toolrl_cli.commands.views.clock import duration
from toolrl_cli.commands.views.consoles import stdout_console


def diff(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A run, or SWEEP/RUN.", autocompletion=completing.runs, show_default=False
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(metavar="B", help="Another.", autocompletion=completing.runs, show_default=False),
    ],
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two runs, in settings and in results.

    Whether a difference is more than chance, `toolrl report --pair` says of their arms.
    """
    from toolrl_cli.api.looking import diff as compare

    found = compare(a, b, results=results)
    if as_json:
        return print_json(found)
    names = (found["a"], found["b"])
    if len({name.partition("/")[0] for name in names}) == 1:  # what they have in common need not be said
        names = (names[0].partition("/")[2], names[1].partition("/")[2])
    if found["settings"]:
        _print(("setting", *names), [_setting(row) for row in found["settings"]])
    else:
        note("no setting differs")
    _print(("result", *names, "difference"), [_result(row) for row in found["results"]])
    apart: dict[str, dict[str, None]] = {}
    for row in found["results"]:
        if row["note"]:
            apart.setdefault(row["note"], {})[row["name"].partition("/")[0]] = None
    for told, benchmarks in apart.items():
        line = f"n/c: {', '.join(benchmarks)}: {told}"
        stdout_console().print(line, markup=False, highlight=False)


def _print(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title_justify="left")
    for number, header in enumerate(headers):
        right = number > 0 and headers[0] == "result"
        table.add_column(header, overflow="fold", justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    stdout_console().print(table)


def _setting(row: dict[str, Any]) -> tuple[str, ...]:
    kinds = f" ({', '.join(row['kinds'])})" if row["kinds"] else ""
    return f"{row['field']}{kinds}", row["a"], row["b"]


def _result(row: dict[str, Any]) -> tuple[str, ...]:
    values = [row[key] for key in ("a", "b", "difference")]
    if row["name"] == "seconds":
        sign = "-" if (row["difference"] or 0) < 0 else "+"
        return "time", *map(duration, values[:2]), sign + duration(abs(values[2]))
    share = row["unit"] == "percent"
    told = ["–" if v is None else f"{100 * v:.1f}" if share else f"{v:.3g}" for v in values]
    return row["name"], *told[:2], "n/c" if row["note"] else told[2]
