"""Expected failures as one readable line and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from toolrl_cli.commands.views.consoles import never_refuse
from toolrl_cli.errors import LedgerError, Mistakes, SpecError, ToolrlError

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run_guarded(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the command line; what is raised on purpose becomes a line on stderr and an exit status.

    Returns:
        0 all as asked; 1 a run failed or a check did not hold; 2 the input is wrong; 130 interrupted.
    """
    never_refuse()
    debug = "--debug" in arguments
    # --debug is accepted after the command too, where people type it
    arguments = [*(["--debug"] if debug else []), *(a for a in arguments if a != "--debug")]
    try:
        app(args=list(arguments), standalone_mode=True)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else FAILED
    except ToolrlError as error:
        if debug:
            raise
        for fault in error.faults if isinstance(error, Mistakes) else (error,):
            print(f"error: {fault}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, (SpecError, LedgerError)) else FAILED
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader (head, less) has gone; nothing is left to say, and Python must not say it either
        sys.stderr.close()
        return OK
    except OSError as error:
        if debug or error.filename is None:  # without a file it is no fault of the user's
            raise
        from toolrl_cli.store.files import refusal

        print(f"error: {refusal(error, str(error.filename))}", file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        from toolrl_cli.rewards import RewardError  # of a room of its own, which `--help` need not load

        if debug or not isinstance(error, RewardError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return OK
