"""The `evaluate` stage: a benchmark's prompts are answered and scored; leaves `scores.json` and `items.jsonl`."""

from __future__ import annotations

from toolrl_cli.benchmarks.generate import Sampling, generate
from toolrl_cli.benchmarks.toolworld import score_items
from toolrl_cli.datasets import toolworld
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.benchmarks import why_not_run
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.models import ToolWorldData
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.scores import write_scores
from toolrl_cli.training.device import choose_device
from toolrl_cli.training.inputs import model_path

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def run(ctx: StageContext) -> None:
    """Evaluate the input model on the stage's benchmark.

    Raises:
        BenchmarkError: the model cannot be loaded or asked, or the benchmark has no runner.
    """
    config = ctx.spec.settings(EvaluateConfig)
    data, settings = config.data, config.evaluation
    if config.benchmark != "toolworld" or not isinstance(data, ToolWorldData):
        told = why_not_run(config.benchmark) or f"no runner for benchmark {config.benchmark!r}"
        raise BenchmarkError(told, ctx.spec.id)
    examples = toolworld.generate("benchmark", data.seed, data.benchmark)
    outputs = generate(
        model_path(ctx, config.model),
        [[{"role": "system", "content": e.system}, {"role": "user", "content": e.user}] for e in examples],
        Sampling(
            settings.temperature,
            settings.max_prompt_length,
            settings.max_response_length,
            settings.batch_size,
        ),
        choose_device(config.resources.device),
        DTYPES[config.precision],
        ctx.stop_requested,
    )
    scores, items = score_items(examples, outputs)
    scores["data_fingerprint"] = ctx.spec.identity["data"]
    scores["sampling"] = settings.identity()
    write_scores(ctx.stage_dir / "output", scores, items)
