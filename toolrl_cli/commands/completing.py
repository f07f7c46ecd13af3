"""What a shell offers where a command takes a value. Only names that are there; nothing that is wrong is told here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

Completer = Callable[[typer.Context, str], list[str]]


def _completer(names: Callable[[typer.Context], Iterable[str]]) -> Completer:
    """The names that begin as what was typed; none where they cannot be found."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        from toolrl_cli.errors import ToolrlError
        from toolrl_cli.rewards import RewardError

        try:
            return [name for name in names(context) if name.startswith(incomplete)]
        except (ToolrlError, RewardError, OSError):
            return []

    return complete


def _root(context: typer.Context) -> Path:
    from toolrl_cli.store.roots import results_root

    return results_root(context.params.get("results"))


def _first(context: typer.Context, name: str) -> Any:
    """The first argument, by the name of its parameter; click leaves it aside where an option waits for its value."""
    if not any(parameter.name == name for parameter in context.command.params):
        return None
    return context.params.get(name) or next(iter(context.args), None)


def _saved(context: typer.Context) -> list[str]:
    from toolrl_cli.store.sweep_folder import saved_names

    return saved_names(_root(context))


def _saved_runs(context: typer.Context) -> list[Any]:
    """The runs of the sweep that was named; of none, those of all."""
    from toolrl_cli.store.sweep_folder import SweepFolder

    name, root = _first(context, "name"), _root(context)
    return [
        run for sweep in ([name] if name else _saved(context)) for run in SweepFolder(root, sweep).load().runs
    ]


def _runs(context: typer.Context) -> list[str]:
    runs = _saved_runs(context)
    return [*dict.fromkeys(run.id for run in runs), *(f"{run.sweep}/{run.id}" for run in runs)]


def _own_runs(context: typer.Context) -> list[str]:
    """The runs of the sweep that was named, by their ids alone."""
    return list(dict.fromkeys(run.id for run in _saved_runs(context)))


def _arms(context: typer.Context) -> list[str]:
    """Those of the sweep file that was named; else of the sweeps with results."""
    file = _first(context, "file")
    if file is not None:
        from toolrl_cli.spec.sweeps.grid import expand
        from toolrl_cli.spec.sweeps.sweep import read_sweep

        return [cell.arm for cell in expand(read_sweep(Path(file))).cells]
    return list(dict.fromkeys(run.arm for run in _saved_runs(context)))


def _stages(context: typer.Context) -> list[str]:
    """Kinds, then ids, of the stages of the run or the sweep that was named."""
    from toolrl_cli.store.sweep_folder import find_run

    run = _first(context, "run")
    runs = [find_run(_root(context), run)] if isinstance(run, str) else _saved_runs(context)
    stages = [stage for run in runs for stage in run.stages]
    return list(dict.fromkeys([*(stage.kind for stage in stages), *(stage.id for stage in stages)]))


def _sweep_files(context: typer.Context) -> list[str]:
    from toolrl_cli.spec.sweeps.reading.shipped import own_sweeps, shipped_sweeps

    own = own_sweeps(Path())
    return [*dict.fromkeys([*own, *shipped_sweeps()]), *map(str, own.values())]


def _settings(context: typer.Context) -> list[str]:
    from toolrl_cli.spec.run.run_spec import RunSpec
    from toolrl_cli.spec.sweeps.presets import names
    from toolrl_cli.spec.sweeps.sweep_file import SweepFile

    keys = [*SweepFile.model_fields, *RunSpec.model_fields]
    return [*(f"preset={name}" for name in names()), *(f"{key}=" for key in dict.fromkeys(keys))]


def _profiles(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.spec.sweeps.profile import names

    return names()


def _rewards(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.rewards.designs import NAMES
    from toolrl_cli.rewards.resolve import field_names

    return [*NAMES, *field_names(), *map(str, sorted(Path().glob("*.yaml")))]


def _tables(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.report.table_spec import shipped_tables

    return shipped_tables()


def _figures(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.report.drawing.figures import shipped_figures

    return shipped_figures()


def _published(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.report.sources.published import sources

    return sources()


def _benchmarks(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS

    return BENCHMARKS.names()


def _launchers(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.harness.launcher import LAUNCHERS

    return LAUNCHERS.names()


def _data(context: typer.Context) -> Iterable[str]:
    from toolrl_cli.datasets.prepare import MADE
    from toolrl_cli.datasets.released import RELEASED

    return dict.fromkeys((*MADE, "sft400", "sft4k", *RELEASED))


def one_of(*words: str) -> Completer:
    """A completer of these words."""
    return _completer(lambda context: words)


sweeps, runs, own_runs, arms, stages = map(_completer, (_saved, _runs, _own_runs, _arms, _stages))
sweep_files, settings, profiles = map(_completer, (_sweep_files, _settings, _profiles))
rewards, tables, figures, published = map(_completer, (_rewards, _tables, _figures, _published))
benchmarks, launchers, data = map(_completer, (_benchmarks, _launchers, _data))
