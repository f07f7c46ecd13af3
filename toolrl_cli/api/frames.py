"""Results and curves as pandas frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.api.given import several
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.drawing.scored_steps import scored_on_the_way
from toolrl_cli.report.sources.results import Run, Sweep
from toolrl_cli.report.sources.saved_sweeps import list_sweeps, read_sweep
from toolrl_cli.report.units import Unit, checked, unit_of
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.progress.metrics import machine_samples, merge_metrics
from toolrl_cli.store.roots import results_root
from toolrl_cli.store.scores import Score
from toolrl_cli.training.reward_metrics import validation_name

if TYPE_CHECKING:
    import pandas as pd

RESULTS = (
    *("sweep", "run", "arm", "seed", "model", "train", "benchmark", "protocol", "column"),
    *("value", "correct", "total", "status", "why", "stage", "step", "point"),
)
MACHINE = ("sweep", "run", "arm", "seed", "kind", "stage", "attempt", "time", "metric", "value")
CURVES = ("sweep", "run", "arm", "seed", "kind", "stage", "step", "metric", "value")


def results(root: Path | str | None = None, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """All scores: a row for each run, benchmark and column; nothing that was planned is left out.

    Args:
        root: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        sweeps: names, or one; None for all there are.

    Returns:
        Columns: sweep, run, arm, seed; model (short name) and train (`none`, `sft`, `rl`, `sft+rl`); a column for each
        dotted setting that tells arms apart; benchmark, protocol, column; value (a share in [0, 1] unless the
        benchmark counts something; NaN where there is none), correct and total (counts behind a share); status of the
        stage that the scores wait for, and why there is no value; stage (id of the evaluation); step (of the training
        that the evaluated model comes from, 0 for the one that RL starts from; missing where it is not known) and point
        (whether it is a point of a curve, `evaluate: [{benchmark:, every:}]`, and not the run's own result). An
        evaluation without scores is one row with an empty column.

    Raises:
        SpecError: there is no such sweep.
        LedgerError: the plan of a sweep that was asked for cannot be read.
    """
    import pandas as pd

    read = list(_read(root, sweeps))
    rows = [
        row
        for sweep in read
        for units in [_units(sweep)]
        for run in sweep.runs
        for row in _scores(run, units)
    ]
    settings = sorted({key for row in rows for key in row} - set(RESULTS))
    columns = [*RESULTS[:6], *settings, *RESULTS[6:]]
    frame = pd.DataFrame(rows, columns=columns)
    whole = dict.fromkeys(("correct", "total", "step"), "Int64")
    return frame.astype({"value": "float64", **whole, "point": "bool"})


def curves(
    root: Path | str | None = None, sweeps: Sequence[str] | None = None, metrics: Iterable[str] | None = None
) -> pd.DataFrame:
    """What was logged while training: a row for each run, training stage, step and metric.

    Args:
        root: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        sweeps: names, or one; None for all there are.
        metrics: names such as `reward/total/mean`, or one; None for all. `val-reward/…` is what verl logs under a
            longer name.

    Returns:
        Columns: sweep, run, arm, seed, kind (`sft` or `rl`), stage, step, metric, value. A stage that runs share is in
        the curves of each. Models that were scored on the way through RL (`evaluate: [{benchmark:, every:}]`) are rows
        of kind `evaluate`, with metrics such as `toolworld/overall`.

    Raises:
        SpecError: there is no such sweep, or no run has logged such a metric, though some have logged others and none
            is to log more. While one is, a metric may come yet, such as that of a first validation.
        LedgerError: the plan of a sweep that was asked for cannot be read.
        OSError: a metrics file is there and cannot be read.
    """
    import pandas as pd

    wanted = None if metrics is None else set(several(metrics))
    known: set[str] = set()
    rows = []
    read = list(_read(root, sweeps))
    for *about, name, value in _curves(read):
        names = [name, validation_name(name) or name]
        known.update(names)
        metric = next((each for each in names if wanted is None or each in wanted), None)
        if metric is not None:
            rows.append((*about, metric, value))
    done = bool(known) and not any(_logs_more(run) for sweep in read for run in sweep.runs)
    for name in sorted((wanted or set()) - known) if done else ():
        raise SpecError(f"no run has logged {name!r}", "metrics", hint_for(name, sorted(known), "metrics"))
    return pd.DataFrame(rows, columns=list(CURVES))


def _logs_more(run: Run) -> bool:
    """Whether something that a run's curves are of is not over."""
    logging = (*run.training, *(evaluation.stage for _, evaluation in scored_on_the_way(run)))
    return any(stage.status != "succeeded" for stage in logging)


def _curves(sweeps: Sequence[Sweep]) -> Iterator[tuple[Any, ...]]:
    for sweep in sweeps:
        for run in sweep.runs:
            about = (sweep.name, run.id, run.arm, run.seed)
            for stage in run.training:
                for logged in merge_metrics(stage.directory):
                    for name, value in logged["data"].items():
                        yield *about, stage.kind, stage.id, logged["step"], name, value
    for sweep in sweeps:
        units = _units(sweep)
        for run in sweep.runs:
            about = (sweep.name, run.id, run.arm, run.seed)
            for step, evaluation in scored_on_the_way(run):
                for name, found in evaluation.metrics.items():
                    score = checked(found, units[evaluation.benchmark, name])
                    if score.value is not None:
                        metric = f"{evaluation.benchmark}/{name}"
                        yield *about, "evaluate", evaluation.stage.id, step, metric, score.value


def machine(root: Path | str | None = None, sweeps: Sequence[str] | None = None) -> pd.DataFrame:
    """What training used of its machines: a row for each run, training stage, sample and metric; a sample each 15 s.

    Args:
        root: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        sweeps: names, or one; None for all there are.

    Returns:
        Columns: sweep, run, arm, seed, kind, stage, attempt, time (UTC), metric, value. `attempt/processors` is in
        processor seconds a second, `…_gib` in GiB, `host/…` of the whole machine, `gpu0/…` of one GPU that it may use.

    Raises:
        SpecError, LedgerError, OSError: as `curves`.
    """
    import pandas as pd

    rows = [
        (
            sweep.name,
            run.id,
            run.arm,
            run.seed,
            stage.kind,
            stage.id,
            sample.attempt,
            sample.time,
            name,
            value,
        )
        for sweep in _read(root, sweeps)
        for run in sweep.runs
        for stage in run.training
        for sample in machine_samples(stage.directory)
        for name, value in sample.data.items()
    ]
    frame = pd.DataFrame(rows, columns=list(MACHINE))
    return frame.assign(time=pd.to_datetime(frame["time"].astype("float64"), unit="s", utc=True))


def _read(root: Path | str | None, sweeps: Sequence[str] | None) -> Iterator[Sweep]:
    place = results_root(root)
    for name in list_sweeps(place) if sweeps is None else dict.fromkeys(several(sweeps)):
        try:
            yield read_sweep(place, name)
        except LedgerError:
            if sweeps is not None:  # one that nobody asked for by name hides no other
                raise


def _scores(run: Run, units: Mapping[tuple[str, str], Unit]) -> Iterator[dict[str, Any]]:
    about = {
        "sweep": run.sweep,
        "run": run.id,
        "arm": run.arm,
        "seed": run.seed,
        "model": run.model,
        "train": run.lookup("train"),
        **{key: value for key, value in run.settings.items() if key not in RESULTS},
    }
    for evaluation in run.evaluations:
        waits = run.waits_for(evaluation)
        point = run.point(evaluation)
        row = {
            **about,
            "benchmark": evaluation.benchmark,
            "protocol": evaluation.conditions.get("protocol", ""),
            "status": "unreadable" if evaluation.problem else waits.status,
            "stage": evaluation.stage.id,
            "step": evaluation.origin.step if point is None else point,
            "point": point is not None,
        }
        if not evaluation.metrics:
            why = evaluation.problem or waits.problem or waits.failure[1] or waits.status
            yield row | {"column": "", "why": why}
        for name, read in evaluation.metrics.items():
            score = checked(read, units[evaluation.benchmark, name])
            yield row | {
                "column": name,
                **({"status": "unreadable"} if score.fault else {}),
                "value": score.value,
                "correct": score.correct,
                "total": score.total,
                "why": score.why,
            }


def _units(sweep: Sweep) -> dict[tuple[str, str], Unit]:
    """(benchmark, metric) → unit, by all scores of a sweep, as the other views have it."""
    known: dict[tuple[str, str], list[Score]] = {}
    for evaluation in (each for run in sweep.runs for each in run.evaluations):
        for name, score in evaluation.metrics.items():
            known.setdefault((evaluation.benchmark, name), []).append(score)
    return {(benchmark, name): unit_of(benchmark, name, every) for (benchmark, name), every in known.items()}
