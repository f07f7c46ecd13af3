"""Entry of the evaluator's process: lists items, scores answers or leads conversations; JSON lines in and out.

Arguments: `items`, `gold`, `score` or `converse`, and a format. The first line out says how the network was taken.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from toolrl_cli.benchmarks.bfcl.evaluator import confinement, upstream
from toolrl_cli.benchmarks.bfcl.evaluator.conversations import conversations
from toolrl_cli.benchmarks.bfcl.evaluator.gold import gold_calls
from toolrl_cli.benchmarks.bfcl.evaluator.handlers import NativeHandler, RllaHandler
from toolrl_cli.benchmarks.bfcl.evaluator.scoring import verdicts

HANDLERS = {"rlla": RllaHandler, "native": NativeHandler}


def main(argv: list[str]) -> int:
    """Do what the first argument says.

    Returns:
        Exit status: 0, or 2 with a line `{"fault"}` where what is asked cannot be done.
    """
    deed, form = argv
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # upstream prints
    confinement.end_with_parent()
    handler = HANDLERS[form]
    upstream.register(handler.NAME, handler, underscore_to_dot=handler.UNDERSCORE_TO_DOT)
    print(json.dumps({"network": confinement.without_network()}), file=out, flush=True)
    try:
        for line in DEEDS[deed](handler):
            print(json.dumps(line, ensure_ascii=False), file=out, flush=deed == "converse")
    except ValueError as fault:
        print(json.dumps({"fault": str(fault)}), file=out, flush=True)
        return 2
    finally:
        out.flush()
    return 0


def items(handler: Any) -> Iterator[Mapping[str, Any]]:
    """Every item: id, category, turns, tools as the model sees them, gold."""
    reader = handler()
    for category in upstream.CATEGORIES:
        for id, entry, gold in upstream.entries(category):
            whole = upstream.release.with_tools(entry)
            yield {
                "id": id,
                "category": category,
                "turns": whole["question"],
                "tools": reader.offered(whole, category),
                "gold": gold,
            }


def score(handler: Any) -> Iterator[Mapping[str, Any]]:
    """A verdict for each line `{"id", "answer"}` of the input."""
    rows = [json.loads(line) for line in sys.stdin]
    yield from verdicts([(row["id"], row["answer"]) for row in rows], handler.NAME, handler())


def gold(handler: Any) -> Iterator[Mapping[str, Any]]:
    """The calls of a right answer to every item: `{"id", "calls"}`."""
    for category in upstream.CATEGORIES:
        for id, entry, answer in upstream.entries(category):
            yield {"id": id, "calls": gold_calls(category, upstream.release.with_tools(entry), answer)}


DEEDS = {"items": items, "gold": gold, "score": score, "converse": conversations}
