"""`toolrl init`: a folder to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolrl_cli.commands.options import note


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where; made where missing.", show_default="this folder")
    ] = Path(),
) -> None:
    """Write a sweep, a reward, an evaluation and a table of your own to start from.

    They run as they are, on a laptop. Nothing is ever overwritten.
    """
    import shlex

    from toolrl_cli.api.starting import init as write

    for path in write(folder):
        typer.echo(str(path))
    there = "" if folder == Path() else shlex.join(["cd", str(folder)]) + " && "
    note(f"`{there}toolrl plan mine` says what it would run, `{there}toolrl sweep mine` runs it")
