"""Slurm's own programs, run without a shell: what they said, or why nothing can be known."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from toolrl_cli.errors import LaunchError
from toolrl_cli.processes.child import importable

PATIENCE = 60.0
"""Seconds for an answer; with no controller the programs themselves give up after about ten."""

_NO_ANSWER = (
    "unable to contact slurm controller",
    "connection refused",
    "connection timed out",
    "socket timed out",
    "zero bytes were transmitted",
    "unexpected message received",
    "resource temporarily unavailable",
    "slurm backup controller in standby",
    "plugin initialization failed",
    "communication connection failure",
    "protocol authentication error",
)
SITE = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT")
"""Variables of Slurm's that say where it is, and who asks."""

_FULL = (
    "temporarily unable to accept job",
    "maxsubmit",
    "max submit",
    "grpsubmit",
    "maxjobcount",
    "too many jobs",
    "pending job limit",
)


class NoAnswer(LaunchError):
    """Nobody can say anything now: the controller is down, or too slow."""


class Refused(LaunchError):
    """The controller answered, and refused.

    Attributes:
        full: only because there are too many jobs already.
    """

    full: bool = False


def ask(program: str, *arguments: str, script: str | None = None, said: bool = False) -> str:
    """What the program prints.

    Args:
        program: such as `squeue`, looked for on the PATH.
        arguments: its options.
        script: its standard input.
        said: what it says to people is wanted as well (`sbatch --test-only` says all there): the last line.

    Raises:
        NoAnswer: the controller does not answer, so that what was asked for may have happened or not.
        Refused: it does, and refuses.
        LaunchError: there is no such program.
    """
    try:
        done = subprocess.run(
            [program, *arguments],
            input=script or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        hint = "use a machine of the cluster, or put Slurm's programs on the PATH"
        raise LaunchError(f"there is no program {program!r} here", "slurm launcher", hint) from error
    except subprocess.TimeoutExpired as error:
        told = (
            error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
        )
        if _FULL[0] in told.lower():  # it sleeps, and tries again for two minutes
            refused = Refused(_last(told), program)
            refused.full = True
            raise refused from error
        raise NoAnswer(f"{program} does not answer within {PATIENCE:.0f} s", "slurm launcher") from error
    except OSError as error:
        raise NoAnswer(f"{program} cannot be run: {error.strerror}", "slurm launcher") from error
    if done.returncode == 0:
        return _last(done.stderr) if said else done.stdout
    why = _last(done.stderr) or f"{program} ended with status {done.returncode}"
    lower = done.stderr.lower()
    if any(sign in lower for sign in _NO_ANSWER):
        raise NoAnswer(why, "slurm launcher")
    refused = Refused(why, program)
    refused.full = any(sign in lower for sign in _FULL)
    raise refused


def _environment() -> dict[str, str]:
    """This process's, without what Slurm has said of a job that it runs in: jobs that it submits would inherit that."""
    own = {k: v for k, v in importable(None).items() if not k.startswith(("SLURM_", "SLURMD_")) or k in SITE}
    return own | {"SLURM_TIME_FORMAT": "standard"}


def me() -> str:
    """The user whose jobs are submitted, as Slurm lists them."""
    return str(os.getuid())


def split(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Rows of `name|name|…|` lines, as `field:|` makes them; the last field may hold the sign itself."""
    rows = []
    for line in text.splitlines():
        values = line.strip().split("|", len(fields) - 1)
        if len(values) == len(fields):
            rows.append({name: value.strip() for name, value in zip(fields, values, strict=True)})
    return rows


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].partition("error: ")[2] or lines[-1] if lines else ""
