"""Released data that a sweep needs: whether they are under the results root, and how they come there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toolrl_cli.datasets.released import bring, missing, released_folder
from toolrl_cli.errors import SpecError
from toolrl_cli.log import LOG
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS, is_evaluation, why_blocked
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.store.files import explained
from toolrl_cli.store.roots import command


def released_data(name: str, results: Path, *, fetch: bool) -> Path:
    """The folder of a released data set.

    Args:
        name: of the data set.
        results: the results root.
        fetch: download what is not there.

    Raises:
        SpecError: it is not there, and is not to be downloaded or cannot be.
        LedgerError: the folder cannot be written.
    """
    folder = released_folder(name, results)
    lacks = missing(name, folder)
    if lacks and fetch:
        with explained(folder):
            bring(name, folder, tell=LOG.info)
    elif lacks:
        raise SpecError(
            f"the released data {name} are not there: {lacks}",
            "data.path" if name == "rlla" else f"evaluate: {name}",
            command("data", "prepare", name, results=results),
        )
    return folder


def benchmark_data_warnings(plan: Plan, results: Path, *, fetch: bool) -> Iterator[str]:
    """A line for each benchmark that is owed and whose data are not there.

    Args:
        plan: what is owed.
        results: the results root.
        fetch: download them instead.

    Raises:
        SpecError: they cannot be downloaded.
    """
    stages = (stage.spec for stage in plan.stages.values() if stage.owed)
    asked = [spec for spec in stages if is_evaluation(spec) and not why_blocked(spec)]
    names = dict.fromkeys(str(spec.config["benchmark"]) for spec in asked)
    for source in dict.fromkeys(BENCHMARKS.get(name).source for name in names if name in BENCHMARKS):
        if source and fetch:
            released_data(source, results, fetch=True)
        elif source:
            try:
                released_data(source, results, fetch=False)
            except SpecError as error:
                yield f"{error}; `toolrl sweep` brings them"


def lacking_warnings(plan: Plan) -> Iterator[str]:
    """A line for each owed benchmark that cannot be asked from here, such as for want of a key."""
    told: dict[str, str] = {}
    for stage in plan.stages.values():
        if stage.owed and is_evaluation(stage.spec):
            config = stage.spec.settings(EvaluateConfig)
            if config.own is not None:
                continue
            lacks = BENCHMARKS.get(config.benchmark).configured(config.evaluation).lacking()
            told.setdefault(lacks, f"{config.benchmark}: {lacks}")
    yield from (line for lacks, line in told.items() if lacks)
