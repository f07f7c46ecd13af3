"""The command line's root: registers the commands and turns expected failures into one line. Imports nothing heavy."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from toolrl_cli import __version__
from toolrl_cli.commands import register_all
from toolrl_cli.commands.examples import epilog
from toolrl_cli.commands.views.exit_status import run_guarded

app = typer.Typer(
    name="toolrl",
    help="Reward-design ablations of tool-use RL: one YAML grid, trained with verl, reported with statistics.",
    epilog=epilog(""),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help in plain text: loading rich would take half the time of `toolrl --help`
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"toolrl {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace-back of a failure.")] = False,
) -> None:
    """Options that every command has."""
    from toolrl_cli.log import on_stderr  # `toolrl --help` logs nothing

    context.with_resource(on_stderr())


register_all(app)


def main() -> None:
    """Entry point of the `toolrl` command."""
    # a plan of a large sweep is millions of objects that live to its end; to look for cycles among all of them again
    # and again, as Python's own thresholds have it, is two fifths of its time
    gc.set_threshold(1_000_000, 20, 100)
    sys.exit(run_guarded(app, sys.argv[1:]))


if __name__ == "__main__":
    main()
