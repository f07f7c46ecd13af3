"""Stages of no work, for tests of the commands; the trainers themselves are run in tests/e2e."""

from __future__ import annotations

import json
import os

from tests.support.trainer_double import save
from toolrl_cli.benchmarks.catalogue.toolworld import BENCHMARK, item_of
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.datasets import toolworld
from toolrl_cli.errors import StageError
from toolrl_cli.spec.evaluations.benchmarks import Reply
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.scores import write_scores
from toolrl_cli.training.checkpointing.checkpoints import prepare_resume


def train(ctx: StageContext) -> None:
    """Log and save two steps, or what is left; fail where the environment names this stage, else save the last."""
    checkpoints = ctx.stage_dir / "checkpoints"
    done = prepare_resume(checkpoints).step
    rows = [
        {"step": n, "data": {"critic/score/mean": n / 2, "train/loss": 1 / n, "reward/total/mean": n / 2}}
        for n in range(done + 1, 3)
    ]
    for row in rows:
        save(checkpoints, row["step"])
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (ctx.attempt_dir / "metrics.jsonl").write_text(text, encoding="utf-8")
    if os.environ.get("TEST_FAILS", "nothing") in ctx.spec.id:
        raise StageError("the rate is too high", failure_class="config")
    if (last := ctx.spec.total_steps or 2) > 2:
        save(checkpoints, last)


def export(ctx: StageContext) -> None:
    """Leave a model folder without a model."""
    model = ctx.stage_dir / "output" / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text("{}", encoding="utf-8")


def evaluate(ctx: StageContext) -> None:
    """Score the gold answers."""
    examples = toolworld.generate("benchmark", 0, 8)
    scores, items = score(BENCHMARK, list(map(item_of, examples)), [Reply(e.answer) for e in examples])
    scores |= {"data_fingerprint": ctx.spec.identity["data"], "sampling": {}}
    write_scores(ctx.stage_dir / "output", scores, items)
