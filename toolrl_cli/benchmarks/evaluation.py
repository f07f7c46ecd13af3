"""The `evaluate` stage: a benchmark's prompts are answered and scored; leaves `scores.json` and `items.jsonl`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.benchmarks.generate import Sampling, generate
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.datasets.released import missing, released_folder
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.benchmarks import BENCHMARKS, Benchmark, Item, NotRun, Reply
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.roots import command
from toolrl_cli.store.scores import write_scores
from toolrl_cli.training.device import device_for
from toolrl_cli.training.inputs import model_path
from toolrl_cli.training.preflight.row_checks import check_before_start

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def run(ctx: StageContext) -> None:
    """Evaluate the input model on the stage's benchmark.

    Raises:
        BenchmarkError: the model cannot be loaded or asked, or the benchmark has no runner.
        StageError: gold answers are longer than an answer may be.
        SpecError: there is no such benchmark.
    """
    config = ctx.spec.settings(EvaluateConfig)
    settings = config.evaluation
    benchmark = BENCHMARKS.get(config.benchmark, ctx.spec.id)
    if benchmark.why_not_run:
        raise BenchmarkError(benchmark.why_not_run, ctx.spec.id)
    items = first_of_each(benchmark.items(config.data, _source(benchmark, ctx)), settings.limit)
    model = model_path(ctx, config.model)
    check_before_start(ctx.spec, ctx.results, model)
    outputs = generate(
        model,
        [[dict(message) for message in item.messages] for item in items],
        Sampling(
            settings.temperature,
            settings.max_prompt_length,
            settings.max_response_length,
            settings.batch_size,
            gpu_share=config.resources.gpu_memory_utilization,
        ),
        device_for(config),
        DTYPES[config.precision],
        ctx.stop_requested,
    )
    too_long = NotRun("its prompt is too long: raise evaluation.max_prompt_length")
    replies = [too_long if output is None else Reply(output) for output in outputs]
    scores, rows = score(benchmark, items, replies)
    scores["data_fingerprint"] = ctx.spec.identity.get("data")
    scores["sampling"] = settings.identity()
    write_scores(ctx.stage_dir / "output", scores, rows)


def first_of_each(items: Sequence[Item], limit: int | None) -> list[Item]:
    """The first so many items of each category, in order; all for None."""
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        seen[item.category] += 1
        if limit is None or seen[item.category] <= limit:
            kept.append(item)
    return kept


def _source(benchmark: Benchmark, ctx: StageContext) -> Path | None:
    if not benchmark.source:
        return None
    folder = released_folder(benchmark.source, ctx.results)
    lacks = missing(benchmark.source, folder)
    if lacks:
        raise BenchmarkError(
            lacks, str(folder), command("data", "prepare", benchmark.source, results=ctx.results)
        )
    return folder
