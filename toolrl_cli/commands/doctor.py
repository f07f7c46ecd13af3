"""`toolrl doctor`: is this machine fit, and what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root
from toolrl_cli.commands.views.exit_status import FAILED
from toolrl_cli.errors import SpecError, ToolrlError
from toolrl_cli.store.schemas import PRINTED

if TYPE_CHECKING:
    from toolrl_cli.api.trials import Trial
    from toolrl_cli.housekeeping.health.check import Check

MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


def doctor(
    sweep: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SWEEP]",
            help="With --launcher: a sweep's file, or the name of one that was started, whose settings it is to have.",
            autocompletion=completing.sweep_files,
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Also train, checkpoint, kill, resume, export and evaluate the tiny model here: two minutes.",
        ),
    ] = False,
    benchmarks: Annotated[
        bool,
        typer.Option(
            "--benchmarks",
            help="Also judge the gold answers of every benchmark whose data are here, and empty ones.",
        ),
    ] = False,
    launcher: Annotated[
        str | None,
        typer.Option(
            "--launcher",
            metavar="NAME",
            help="Also send a probe where its attempts run: files, locks, clock, GPUs, Python, versions, network.",
            autocompletion=completing.launchers,
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="For the probe to come back.")
    ] = 300.0,
) -> None:
    """Check this machine; say what mends each fault.

    Python, verl, torch, CUDA, GPUs, vLLM, Ray, Slurm, W&B, disk, limits and data.
    """
    from toolrl_cli.housekeeping.health.checks import run_checks, worst

    root = results_root(results)
    sections = _sections(sweep, root, launcher)
    checks = run_checks(root)
    if benchmarks:
        from toolrl_cli.housekeeping.health.benchmark_checks import check_benchmarks

        checks = [*checks, *check_benchmarks(root)]
    if launcher is not None:
        from toolrl_cli.housekeeping.health.launcher_checks import check_launcher

        kind = "export" if sweep is None else "rl"
        probed = check_launcher(launcher, root, of_sweep=sections, kind=kind, wait=wait, say=note)
        checks = [*checks, *probed]
    if not as_json:
        _show(checks)
    unfit = worst(checks) == "error"
    document: dict[str, Any] = {"schema": PRINTED, "checks": [c.to_json() for c in checks]}
    if train and unfit:
        note("not trained: mend the errors first")
        document["trial"] = {"fault": "not trained: checks found errors"}
    elif train:
        document["trial"], unfit = _trial(as_json)
    if as_json:
        print_json(document)
    if unfit:
        raise typer.Exit(FAILED)


def _sections(sweep: Path | None, results: Path, launcher: str | None) -> Mapping[str, Mapping[str, Any]]:
    """What a sweep says of its launchers; nothing where none is named.

    Raises:
        SpecError: there is no such sweep, or it says what no launcher reads; or no launcher is named.
    """
    if sweep is None:
        return {}
    if launcher is None:
        what = "a sweep says how its launcher is to be asked, and none is named"
        raise SpecError(what, str(sweep), f"toolrl doctor --launcher NAME {sweep}")
    from toolrl_cli.planning.loading import launcher_sections

    return launcher_sections(sweep, results)


def _trial(as_json: bool) -> tuple[dict[str, Any], bool]:
    """The value of `trial`, and whether it failed."""
    from toolrl_cli.api.trials import trial

    try:
        found = trial(note)
    except ToolrlError as error:
        if not as_json:
            raise
        note(f"error: {error}")
        return {"fault": str(error)}, True
    if not as_json:
        _show_trial(found)
    return found.to_json(), False


def _show(checks: list[Check]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from toolrl_cli.commands.views.consoles import stdout_console

    table = Table(box=None, pad_edge=False)
    for header in ("check", "", "found", "what mends it"):
        table.add_column(header, overflow="fold")
    for check in checks:
        table.add_row(check.name, MARKS[check.standing], escape(check.found), escape(check.fix))
    stdout_console().print(table)


def _show_trial(found: Trial) -> None:
    from toolrl_cli.commands.views.consoles import stdout_console

    memory = "unknown" if found.peak_memory is None else f"{found.peak_memory / (1 << 30):.2f} GiB"
    stages = ", ".join(f"{kind} {seconds:.0f} s" for kind, seconds in found.stages.items())
    lines = {
        "trained": f"on {found.device} in {found.precision}; {found.seconds:.0f} s: {stages}",
        "killed": f"after step {found.resumed_from}; resumed, no step lost",
        "step": f"{found.step_seconds:.2f} s, {found.tokens_per_second:.0f} tokens/s",
        "generation": f"{found.generated_per_second:.0f} tokens/s",
        "peak memory": f"{memory} in the trainer",
        "agreement": f"of rollout and trainer: probabilities correlate by {found.correlation:.6f}, "
        f"mean difference {found.probability_difference:.1e}",
        "evaluated": f"{found.score:.1%} of ToolWorld's items right (a few steps teach next to nothing)",
    }
    for name, told in lines.items():
        stdout_console().print(f"{name:<12} {told}", highlight=False)
