"""The `evaluate` stage: a benchmark's questions are asked and judged; leaves `scores.json` and `items.jsonl`."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.benchmarks.asking.answers import Answers
from toolrl_cli.benchmarks.asking.client import Client
from toolrl_cli.benchmarks.asking.driver import Driver, Pace, owed
from toolrl_cli.benchmarks.endpoints import endpoint_of
from toolrl_cli.benchmarks.own.command_stage import check_unchanged, run_own_command
from toolrl_cli.benchmarks.own.python_file import OwnPython
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.datasets.released import missing, released_folder
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.log import LOG
from toolrl_cli.spec.evaluations.asking import first_of_each
from toolrl_cli.spec.evaluations.benchmarks import (
    BENCHMARKS,
    Benchmark,
    EvaluationContext,
    Item,
    NotRun,
    Reply,
)
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.roots import command
from toolrl_cli.store.scores import write_scores


def run(ctx: StageContext) -> None:
    """Evaluate the input model on the stage's benchmark.

    Raises:
        BenchmarkError: the endpoint answers nothing, or the benchmark has no runner.
        StageError: gold answers are longer than an answer may be, or the model's server ended.
        SpecError: there is no such benchmark, or the model cannot be loaded.
        InterruptedError: asked to stop; finished items are kept.
    """
    config = ctx.spec.settings(EvaluateConfig)
    settings = config.evaluation
    if config.own is not None and config.own.command:
        return run_own_command(ctx)
    benchmark = _benchmark(config, ctx)
    if benchmark.why_not_run:
        raise BenchmarkError(benchmark.why_not_run, ctx.spec.id)
    items = first_of_each(benchmark.items(config.data, _source(benchmark, ctx)), settings.limit)
    answers = Answers(ctx.stage_dir, _conditions(benchmark, ctx))
    asked = owed(items, answers)
    if len(asked) < len(items):
        LOG.info("%d of %d items are answered already", len(items) - len(asked), len(items))
    not_run = _ask(benchmark, asked, answers, ctx, known=len(asked) < len(items)) if asked else {}
    unknown = NotRun("its answer is not kept")
    replies = [answers.reply(item) or not_run.get(item.id, unknown) for item in items]
    scores, rows = score(benchmark, items, replies)
    if config.own is not None:
        check_unchanged(config.own)  # what judged was read anew, long after the questions were
    scores["data_fingerprint"] = ctx.spec.identity.get("data") or (_questions(items) if config.own else None)
    scores["sampling"] = settings.identity()
    pairs = list(zip(items, replies, strict=True))
    _warn(benchmark, pairs)
    again = {item.id: reply.why for item, reply in pairs if isinstance(reply, NotRun) and reply.owed}
    write_scores(ctx.stage_dir / "output", scores, rows, again)


def _questions(items: Sequence[Item]) -> str:
    """What a user's own evaluation asks: its file may read others, or draw its items."""
    return digest([[item.id, item.category, item.messages, item.tools, item.gold] for item in items], 16)


def _benchmark(config: EvaluateConfig, ctx: StageContext) -> Benchmark:
    if config.own is None:
        known = BENCHMARKS.get(config.benchmark, ctx.spec.id).configured(config.evaluation)
        if config.protocol is not None and known.protocol != config.protocol:
            raise BenchmarkError(
                f"its protocol has changed since it was planned: {config.protocol}, and now {known.protocol}",
                ctx.spec.id,
                "issue `toolrl sweep FILE` again: it is another evaluation, and another stage",
            )
        return known
    check_unchanged(config.own)
    return OwnPython(config.own)


def _conditions(benchmark: Benchmark, ctx: StageContext) -> dict[str, Any]:
    named = (benchmark.name, benchmark.protocol, benchmark.version, benchmark.prompt_format)
    return {"stage": ctx.spec.id, "benchmark": list(named)}


def _ask(
    benchmark: Benchmark, items: Sequence[Item], answers: Answers, ctx: StageContext, *, known: bool
) -> Mapping[str, NotRun]:
    settings = ctx.spec.settings(EvaluateConfig).evaluation

    async def ask(client: Client, driver: Driver) -> Mapping[str, NotRun]:
        async with client:
            return await driver.ask_all(items, ctx.stop_requested)

    with (
        tempfile.TemporaryDirectory() as scratch,
        endpoint_of(ctx) as target,
        benchmark.session(
            Path(scratch), EvaluationContext(ctx.results, stop_requested=ctx.stop_requested)
        ) as session,
        answers,
    ):
        client = Client(target, settings)
        pace = Pace(settings.patience)
        driver = Driver(client, session, answers, settings.batch_size, pace=pace, known=known)
        return asyncio.run(ask(client, driver))


def _warn(benchmark: Benchmark, pairs: Sequence[tuple[Item, Reply | NotRun]]) -> None:
    """Lines in the stage's log on what its scores do not show by themselves."""
    why = Counter(": ".join(filter(None, (r.why, r.hint))) for _, r in pairs if isinstance(r, NotRun))
    for told, number in why.most_common(3):
        LOG.warning("%s: %d of %d items could not be run: %s", benchmark.name, number, len(pairs), told)
    cut = Counter(item.category for item, reply in pairs if reply_is_cut(reply))
    if cut:
        total = Counter(item.category for item, _ in pairs)
        each = ", ".join(f"{name} {cut[name]} of {total[name]}" for name in cut)
        LOG.warning(
            "%s: %d of %d answers were cut at the limit (%s): raise evaluation.max_response_length",
            *(benchmark.name, cut.total(), len(pairs), each),
        )


def reply_is_cut(reply: Reply | NotRun) -> bool:
    """Whether an answer in it was cut at the limit."""
    return isinstance(reply, Reply) and reply.stop == "length"


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
