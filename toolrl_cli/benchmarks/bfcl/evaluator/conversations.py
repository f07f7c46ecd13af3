"""Multi-turn conversations, by upstream's own loop and simulators, each in a confined child.

Lines in: `{"start": id}`, `{"id", "text"}` (the model's turn), `{"drop": id}`. Lines out: `{"id", "messages", "tools"}`
(a question to the model), then `{"id", "turns", "stopped"}`: for each turn the texts of its steps, and why the
conversation was broken off, if it was.
"""

from __future__ import annotations

import json
import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from toolrl_cli.benchmarks.bfcl.evaluator import children, confinement, upstream
from toolrl_cli.benchmarks.bfcl.evaluator.children import Child

BROKEN_OFF = "executing its calls took more time or memory than it may"


def conversations(handler: Any) -> Iterator[Mapping[str, Any]]:
    """Lead conversations until the input ends.

    Args:
        handler: class of the handler that reads the model's turns.

    Raises:
        ValueError: no multi-turn item has this id.
    """
    entries = {
        id: entry
        for category in upstream.CATEGORIES
        if "multi_turn" in category
        for id, entry, _ in upstream.entries(category)
    }
    handler()  # what its children need is imported before they are confined
    running: dict[str, Child] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        held = b""
        while True:
            for key, _ in ready.select():
                if key.fileobj == 0:
                    chunk = os.read(0, 1 << 16)
                    *lines, held = (held + chunk).split(b"\n")
                    for line in map(json.loads, lines):
                        _obey(line, entries, running, ready, handler)
                    if not chunk:
                        return
                else:
                    yield from _heard(key.data, running, ready)


def _obey(
    line: Mapping[str, Any],
    entries: Mapping[str, Any],
    running: dict[str, Child],
    ready: selectors.BaseSelector,
    handler: Any,
) -> None:
    if "text" in line and line["id"] in running:
        running[line["id"]].send(json.dumps(line["text"]))
    elif "drop" in line and line["drop"] in running:
        _end(line["drop"], running, ready)
    elif "start" in line:
        id = line["start"]
        if id not in entries:
            raise ValueError(f"{id} is no item with several turns")
        entry = upstream.release.with_tools(json.loads(json.dumps(entries[id])))
        running[id] = Child(_conversation(entry, handler))
        ready.register(running[id], selectors.EVENT_READ, id)


def _heard(id: str, running: dict[str, Child], ready: selectors.BaseSelector) -> Iterator[Mapping[str, Any]]:
    lines = running[id].received()
    done = lines is None
    for line in map(json.loads, lines or ()):
        done = "turns" in line
        yield {"id": id, **line}
    if done:
        _end(id, running, ready)
    if lines is None:
        yield {"id": id, "turns": [], "stopped": BROKEN_OFF}


def _end(id: str, running: dict[str, Child], ready: selectors.BaseSelector) -> None:
    child = running.pop(id)
    ready.unregister(child)
    child.end()


def _conversation(entry: dict[str, Any], handler: Any) -> Callable[[], Iterator[str]]:
    def query(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
        children.send(json.dumps({"messages": messages, "tools": tools}))
        text = json.loads(children.receive())
        confinement.more_time()
        return str(text)

    def work() -> Iterator[str]:
        yield json.dumps({"turns": handler(query=query).lead(entry), "stopped": ""})

    return work
