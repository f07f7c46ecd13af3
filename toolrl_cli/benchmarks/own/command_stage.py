"""The `evaluate` stage of a user's own command."""

from __future__ import annotations

from pathlib import Path

from toolrl_cli.benchmarks.endpoints import endpoint_of
from toolrl_cli.benchmarks.own.command import run_command
from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.spec.evaluations.own_evaluation import MODEL, own_evaluation, takes_folder
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.run.evaluation_settings import OwnEvaluation
from toolrl_cli.spec.run.model_settings import EndpointModel
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.scores import write_scores
from toolrl_cli.training.inputs import model_path


def run_own_command(ctx: StageContext) -> None:
    """Run the command on the stage's model, and keep its metrics.

    Raises:
        BenchmarkError: it has changed since it was planned, failed, or left no metrics.
        InterruptedError: asked to stop.
    """
    config = ctx.spec.settings(EvaluateConfig)
    own = config.own
    assert own is not None
    check_unchanged(own)
    folder = takes_folder(own)
    if folder and isinstance(config.model, EndpointModel) and not ctx.inputs:  # a plan of an earlier version
        what = f"{MODEL} is a folder, and the model is the endpoint {config.model.url}"
        raise BenchmarkError(what, f"evaluate: {own.name}", "use $OPENAI_BASE_URL and $TOOLRL_MODEL")
    if folder:
        metrics = run_command(own, None, model_path(ctx, config.model), ctx.stop_requested)
    else:
        with endpoint_of(ctx) as target:
            metrics = run_command(own, target, target.model, ctx.stop_requested)
    check_unchanged(own)  # it was read anew, and later than it was looked at
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


def check_unchanged(own: OwnEvaluation) -> None:
    """Refuse files that are no longer as they were when the evaluation was planned.

    Raises:
        BenchmarkError: they have changed, or are gone.
    """
    where = f"evaluate: {own.name}"
    given = own.path or {"command": list(own.command), "name": own.name}
    hint = "issue the command again to run it as it is now"
    try:
        now = own_evaluation(given, Path(own.folder), where)
    except SpecError as error:
        raise BenchmarkError(error.what, where, hint) from error
    if now["sha256"] != own.sha256:
        raise BenchmarkError("its files have changed since it was planned", where, hint)
