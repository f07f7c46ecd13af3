"""Options that several commands share, each with one help text, and the results root behind them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from toolrl_cli.commands import completing
from toolrl_cli.store.files import document_text
from toolrl_cli.store.roots import results_root as results_root
from toolrl_cli.wording import counted

Results = Annotated[
    Path | None,
    typer.Option(
        "--results", help="Results root; default $TOOLRL_RESULTS, then results/.", show_default=False
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run, or SWEEP/RUN.", autocompletion=completing.runs, show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else on stderr.")]
SweepPath = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="The sweep: a YAML file, or the name of one here or of one that comes with toolrl (`toolrl list`).",
        autocompletion=completing.sweep_files,
        show_default=False,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the sweep; repeatable.",
        autocompletion=completing.settings,
        show_default=False,
    ),
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Run it in another size; cpu: the tiny model and ToolWorld, on CPUs; "
        "rehearsal: everything as it is, two steps and five items.",
        autocompletion=completing.profiles,
        show_default=False,
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="PATTERN",
        help="Only runs whose id or arm matches, e.g. 'grpo-*'.",
        autocompletion=completing.arms,
    ),
]


MaxParallel = Annotated[
    int | None,
    typer.Option(
        "--max-parallel",
        min=1,
        help="Most attempts at a time; default: one for each GPU; on CPUs one, with small models one a processor.",
        show_default=False,
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget-gpu-hours",
        metavar="HOURS",
        min=0,
        help="Refuse to start where the sweep is expected to need more, what it has used included.",
        show_default=False,
    ),
]
Launcher = Annotated[
    str | None,
    typer.Option(
        "--launcher",
        metavar="NAME",
        help="Where attempts run: local, this machine; slurm and ray, jobs of a cluster. NAME:FILE reads its settings "
        "from FILE, else launchers/NAME.yaml where there is one. Default: where the sweep ran last, else local.",
        autocompletion=completing.launchers,
        show_default=False,
    ),
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Give all of it to the cluster, each stage after its inputs, and return; for slurm.",
    ),
]
WandbMode = Annotated[
    str | None,
    typer.Option(
        "--wandb",
        metavar="MODE",
        help="online, offline or disabled; default $WANDB_MODE, then online if logged in, else offline.",
        autocompletion=completing.one_of("online", "offline", "disabled"),
        show_default=False,
    ),
]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="Stop everything when one stage has failed for good.")
]
AllowImperfectGold = Annotated[
    bool,
    typer.Option(
        "--allow-imperfect-gold",
        help="Train although gold answers score below their maximum (as --set rl.allow_imperfect_gold=true).",
    ),
]
SweepName = Annotated[
    str | None,
    typer.Argument(
        metavar="SWEEP",
        help="Its name; default: the newest.",
        autocompletion=completing.sweeps,
        show_default=False,
    ),
]


def print_json(document: Any) -> None:
    """One JSON document on stdout, and the same where its encoding has not every letter."""
    if isinstance(document, Mapping):
        text = document_text(document)
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # letters beyond ASCII stand in texts alone
        text = "".join(letter if letter.isascii() else json.dumps(letter)[1:-1] for letter in text)
    sys.stdout.write(text)


def note(line: str) -> None:
    """A line for people, on stderr."""
    from toolrl_cli.log import LOG  # `toolrl --help` logs nothing

    LOG.info("%s", line)


def announce_check(sets: int) -> None:
    """Say why the first plan with new options takes seconds, to people only."""
    if sys.stderr.isatty():
        note(f"asking verl about {counted(sets, 'new set')} of options …")
