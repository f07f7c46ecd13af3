"""The `evaluate` stage of a user's own command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from toolrl_cli.benchmarks.endpoints import endpoint_of
from toolrl_cli.benchmarks.own.command import run_command
from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.spec.evaluations.command_files import SCRIPTS, files_of
from toolrl_cli.spec.evaluations.command_words import FROM_ENVIRONMENT, MODEL, OUTPUT
from toolrl_cli.spec.evaluations.own_evaluation import own_evaluation, takes_folder
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.run.evaluation_settings import OwnEvaluation
from toolrl_cli.spec.run.model_settings import EndpointModel
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.files import explained, make_folder
from toolrl_cli.store.scores import write_scores
from toolrl_cli.training.inputs import model_path
from toolrl_cli.wording import listed

FILES = "files"
"""In the stage's `output/`: what a command writes to `{output}`."""


def run_own_command(ctx: StageContext) -> None:
    """Run the command on the stage's model, and keep its metrics.

    Raises:
        BenchmarkError: it has changed since it was planned, failed, or left no metrics.
        InterruptedError: asked to stop.
    """
    config = ctx.spec.settings(EvaluateConfig)
    own = config.own
    assert own is not None
    before = _files(own)
    check_unchanged(own)
    folder = takes_folder(own)
    if folder and isinstance(config.model, EndpointModel) and not ctx.inputs:  # a plan of an earlier version
        what = f"{MODEL} is a folder, and the model is the endpoint {config.model.url}"
        raise BenchmarkError(what, f"evaluate: {own.name}", FROM_ENVIRONMENT)
    kept = _folder_for(own, ctx.stage_dir)
    if folder:
        metrics = run_command(own, None, model_path(ctx, config.model), ctx.stop_requested, kept)
    else:
        with endpoint_of(ctx) as target:
            metrics = run_command(own, target, target.model, ctx.stop_requested, kept)
    _check_unchanged_since(before, own)  # it was read anew, and later than it was looked at
    scores = {
        "benchmark": own.name,
        "protocol": f"own:{own.name}",
        "version": digest(
            own.identity(), 12
        ),  # of its words too: `--split=easy` is another than `--split=hard`
        "prompt_format": "own",
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        "data_fingerprint": None,
        "sampling": None,  # the command's own affair
    }
    write_scores(ctx.stage_dir / "output", scores, ())


def _folder_for(own: OwnEvaluation, stage_dir: Path) -> Path | None:
    """An empty folder for what the command writes, where it names one; it stays, as the scores do."""
    if not any(OUTPUT in word for word in own.command):
        return None
    folder = stage_dir.resolve() / "output" / FILES
    with explained(folder):
        if folder.exists():  # of an attempt before
            shutil.rmtree(folder)
    make_folder(folder)
    return folder


def _files(own: OwnEvaluation) -> dict[Path, str]:
    try:
        return dict(files_of(own.command, Path(own.folder), f"evaluate: {own.name}"))
    except SpecError:  # gone, or no Python any more; `check_unchanged` says which
        return {}


def _check_unchanged_since(before: Mapping[Path, str], own: OwnEvaluation) -> None:
    """Refuse files that are no longer as they were when the command began.

    Raises:
        BenchmarkError: they have changed: what it may have written itself is told apart from its code.
    """
    after = _files(own)
    changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    if after and changed and not any(path in before and path.suffix in SCRIPTS for path in changed):
        named = listed([os.path.relpath(path, own.folder) for path in changed], 3)
        raise BenchmarkError(
            f"{named} changed while the command ran: call what it writes {OUTPUT}/{changed[0].name}",
            f"evaluate: {own.name}",
            f"a file that a command names is part of what it is; {OUTPUT} is a folder that is kept with the scores",
            failure_class="config",
        )
    check_unchanged(own)


def check_unchanged(own: OwnEvaluation) -> None:
    """Refuse files that are no longer as they were when the evaluation was planned.

    Raises:
        BenchmarkError: they have changed, or are gone.
    """
    where = f"evaluate: {own.name}"
    given = own.path or {"command": list(own.command), "name": own.name}
    hint = "`toolrl sweep` of its file runs it as it is now"
    try:
        now = own_evaluation(given, Path(own.folder), where)
    except SpecError as error:
        raise BenchmarkError(error.what, where, hint) from error
    if now["sha256"] != own.sha256:
        raise BenchmarkError("its files have changed since it was planned", where, hint)
