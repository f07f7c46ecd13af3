"""`api_bank`: one call that a dialogue asks for (API-Bank, arXiv 2304.08244), as ToolRL released and scored it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.datasets.released import COMMIT
from toolrl_cli.rewards.exact_match import MAX_CHARACTERS
from toolrl_cli.spec.evaluations.benchmarks import Benchmark, Item, Reply, Verdict
from toolrl_cli.spec.run.data_settings import DataSpec

LEVELS = (1, 2, 3)


class ApiBank(Benchmark):
    """A turn is right when any of its calls is the gold call: the released rule, called soft match there. By `strict`
    it is right when that is its only call, and has a name and parameters.

    Calls are read as the released script reads them: the lines of what follows the last `<tool_call>`, or of the whole
    turn where there is none; lines that are not JSON are left out; a call without name or parameters stands for the
    parameters of the gold tool; the first that is no object ends the search. Values are equal as Python has it: 1, 1.0
    and true are one value.
    """

    name: ClassVar[str] = "api_bank"
    protocol: ClassVar[str] = "api_bank"
    version: ClassVar[str] = COMMIT[:12]
    prompt_format: ClassVar[str] = "rlla"
    categories: ClassVar[tuple[str, ...]] = tuple(f"level_{level}" for level in LEVELS)
    also: ClassVar[tuple[str, ...]] = ("strict",)
    source: ClassVar[str] = "api_bank"

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        assert folder is not None
        found = []
        for level in LEVELS:
            rows = json.loads((folder / f"level-{level}-api_processed.json").read_text(encoding="utf-8"))
            found += [_item(level, index, row) for index, row in enumerate(rows)]
        return found

    def gold_replies(self, items: Sequence[Item], scratch: Path) -> Sequence[Reply]:
        return [Reply(f"<tool_call>\n{json.dumps(item.gold)}\n</tool_call>") for item in items]

    def judge(self, item: Item, reply: Reply) -> Verdict:
        calls = _calls(reply.output)
        read = [call for call in calls if isinstance(call, dict)]
        strict = len(calls) == len(read) == 1 and read[0] | item.gold == read[0]
        return Verdict(_fault(item.gold, calls), read, {"strict": strict})


def _item(level: int, index: int, row: Mapping[str, Any]) -> Item:
    messages = ({"role": "system", "content": row["system"]}, {"role": "user", "content": row["user"]})
    gold = row["answer"]
    return Item(
        f"Level{level}_{index}", f"level_{level}", messages, gold[0] if isinstance(gold, list) else gold
    )


def _calls(output: str) -> list[Any]:
    block = output[:MAX_CHARACTERS].strip().split("<tool_call>")[-1].split("</tool_call>")[0]
    calls = []
    for line in block.split("\n"):
        try:
            calls.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return calls


def _fault(gold: Mapping[str, Any], calls: Sequence[Any]) -> str:
    """What is wrong with these calls, in a few words; empty where one of them is the gold call."""
    if not calls:
        return "called nothing"
    for call in calls:
        try:
            call = json.loads(call) if isinstance(call, str) else call
        except (ValueError, RecursionError):
            return "a call is no object"
        if not isinstance(call, (dict, list, str)):
            return "a call is no object"
        if "name" not in call or "parameters" not in call:
            name, parameters = gold["name"], call
        elif isinstance(call, dict):
            name, parameters = call["name"], call["parameters"]
        else:
            return "a call is no object"
        if name == gold["name"] and parameters == gold["parameters"]:
            return ""
    names = [call.get("name") for call in calls if isinstance(call, dict)]
    if gold["name"] not in names:
        return "wrong tool"
    return f"wrong parameters; wanted {json.dumps(gold['parameters'], ensure_ascii=False)}"


BENCHMARK = ApiBank()
