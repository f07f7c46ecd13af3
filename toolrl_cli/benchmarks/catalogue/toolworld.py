"""`toolworld`: exact match of calls, and responses where no tool fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from toolrl_cli.datasets import toolworld
from toolrl_cli.rewards.exact_match import mismatch, parse_turn
from toolrl_cli.spec.evaluations.benchmarks import Benchmark, Item, Reply, Verdict
from toolrl_cli.spec.run.data_settings import DataSpec, ToolWorldData
from toolrl_cli.spec.run.model_settings import TinyModel
from toolrl_cli.spec.run.run_spec import RunSpec

DEFAULT_WORLD = ToolWorldData(kind="toolworld")


class ToolWorld(Benchmark):
    """A turn is right when it is an exact match with the gold answer: `toolrl_cli.rewards.exact_match.mismatch`."""

    name: ClassVar[str] = "toolworld"
    protocol: ClassVar[str] = "exact-match"
    version: ClassVar[str] = str(toolworld.GENERATOR_VERSION)
    prompt_format: ClassVar[str] = "rlla"
    categories: ClassVar[tuple[str, ...]] = toolworld.CATEGORIES

    def data(self, run: RunSpec) -> DataSpec:
        """The run's own world, else the tiny model's, else the default."""
        if isinstance(run.data, ToolWorldData):
            return run.data
        return run.model.pretrain_data if isinstance(run.model, TinyModel) else DEFAULT_WORLD

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        world = data if isinstance(data, ToolWorldData) else DEFAULT_WORLD
        return [item_of(e) for e in toolworld.generate("benchmark", world.seed, world.benchmark)]

    def gold_replies(self, items: Sequence[Item], scratch: Path) -> Sequence[Reply]:
        return [Reply(item.gold) for item in items]

    def judge(self, item: Item, reply: Reply) -> Verdict:
        turn = parse_turn(reply.output)
        return Verdict(mismatch(parse_turn(item.gold), turn), turn.calls)


def item_of(example: toolworld.Example) -> Item:
    """A row of the split `benchmark` as an item."""
    messages = ({"role": "system", "content": example.system}, {"role": "user", "content": example.user})
    return Item(example.id, example.category, messages, example.answer)


BENCHMARK = ToolWorld()
