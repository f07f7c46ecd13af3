"""`toolrl stop`: end a sweep's attempts in good order."""

from __future__ import annotations

from typing import Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import Results


def stop(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP", help="Its name.", autocompletion=completing.sweeps, show_default=False
        ),
    ],
    grace: Annotated[
        float,
        typer.Option("--grace", min=0, metavar="SECONDS", help="So long until what has not ended is killed."),
    ] = 60.0,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Free stages whose attempts cannot be seen from here, because their machine or container is gone.",
        ),
    ] = False,
    results: Results = None,
) -> None:
    """End a sweep's attempts in good order.

    All harnesses of the sweep and their attempts are asked to stop. Training goes on from the last checkpoint.
    """
    from toolrl_cli import api
    from toolrl_cli.commands.views.exit_status import FAILED

    if not api.stop(name, results=results, grace=grace, take_over=take_over).ok:
        raise typer.Exit(FAILED)
