"""The child that counts rows in tokens: it has the tokenizers of Transformers, and no torch, which they do not need."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.datasets import mapped_rows, own_rows, rlla, toolworld
from toolrl_cli.datasets.repeats import Triple, find_repeats
from toolrl_cli.errors import ToolrlError
from toolrl_cli.training.preflight.question import Answer, Measures, Rows
from toolrl_cli.wording import first_line

TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>")
BATCH = 512
"""Rows that are tokenized at once: enough for all threads, and little memory."""

Row = tuple[list[dict[str, str]], str | None]
"""The messages of a prompt, and the gold answer where it is text."""


def main() -> None:
    """Answer the questions on standard input: a JSON list in, a JSON list out."""
    asked = json.loads(sys.stdin.buffer.read())
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no part of the answer
    json.dump([_answer(question).to_json() for question in asked], out)


def _answer(question: Mapping[str, Any]) -> Answer:
    rows = Rows(**question["rows"])
    try:
        if "tokenizer" not in question:
            return _repeats(rows)
        found = _rows(rows)
    except ToolrlError as error:
        return Answer(Measures(problem=first_line(error), blamed="rows"))
    try:
        found = _items(rows) if rows.kind == "benchmark" else found
        tokenizer = _tokenizer(question["tokenizer"])
    except Exception as error:
        # a tokenizer's files are somebody's own, as a benchmark is, and raise what they like
        return Answer(Measures(problem=first_line(error)))
    return Answer(measure(tokenizer, found, json.loads(question["template"]), trained=question["trained"]))


def measure(tokenizer: Any, rows: Sequence[Row], template: Mapping[str, Any], *, trained: bool) -> Measures:
    """Count rows.

    Args:
        tokenizer: of Transformers.
        rows: prompts and gold answers.
        template: further arguments of the chat template.
        trained: count whole conversations, and not prompts.
    """
    texts, dropped = [], []
    for position, (messages, gold) in enumerate(rows):
        told = [*messages, {"role": "assistant", "content": gold or ""}] if trained else messages
        try:
            text = tokenizer.apply_chat_template(
                told, tokenize=False, add_generation_prompt=not trained, **template
            )
        except Exception as error:  # templates are programs of the model's authors
            problem = f"the chat template refuses row {position}: {first_line(error)}"
            return Measures(problem=problem, blamed="template")
        if trained and (gold or "").strip() not in text:
            dropped.append(position)
        texts.append(text.rstrip() if trained else text)  # a line end after the last token is no loss
    golds = [gold or "" for _, gold in rows]
    lengths, _ = _count(tokenizer, texts, None)
    counted, back = _count(tokenizer, golds, lambda ids: tokenizer.decode(ids, skip_special_tokens=False))
    changed = [
        n for n, (gold, text) in enumerate(zip(golds, back, strict=True)) if gold.strip() != text.strip()
    ]
    lost = {tag for n in changed for tag in TAGS if golds[n].count(tag) != back[n].count(tag)}
    ids = tokenizer([" ".join(TAGS)], add_special_tokens=False)["input_ids"][0]
    whole, shown = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
    special = [tag for tag in TAGS if tag in whole and tag not in shown]
    opened = TAGS[0] if not trained and texts and texts[0].rstrip().endswith(TAGS[0]) else ""
    return Measures(lengths, counted, dropped, changed, sorted(lost), special, opened)


def _count(
    tokenizer: Any, texts: Sequence[str], decode: Callable[[list[int]], str] | None
) -> tuple[list[int], list[str]]:
    """Tokens of each text, and the texts as they come back."""
    lengths: list[int] = []
    back: list[str] = []
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(list(texts[start : start + BATCH]), add_special_tokens=False)["input_ids"]
        lengths += map(len, batch)
        back += map(decode, batch) if decode is not None else ()
    return lengths, back


def _rows(rows: Rows) -> list[Row]:
    """The rows of a data set; none of a benchmark, which has items."""
    params = json.loads(rows.params)
    if rows.kind == "benchmark":
        return []
    if "files" in params:
        return [_told(row) for row in _of_files(params, (rows.name,))[rows.name]]
    if rows.kind == "rlla":
        split = rlla.load_triples(Path(params["path"]), params["limit"], rlla.own_file(params))[0][rows.name]
    else:
        examples = toolworld.generate(rows.name, params["seed"], params["sizes"][rows.name])  # type: ignore[arg-type]
        split = [(example.system, example.user, example.answer) for example in examples]
    return [
        ([{"role": "system", "content": system}, {"role": "user", "content": user}], answer)
        for system, user, answer in split
    ]


def _of_files(params: Mapping[str, Any], splits: Sequence[str]) -> dict[str, list[Any]]:
    """The rows of the user's own files."""
    files = {split: params["files"][split] for split in splits}
    if "fields" in params:
        return mapped_rows.load(files, params["fields"], params["limit"])[0]
    return own_rows.load(files, params["limit"])


def _told(row: Mapping[str, Any]) -> Row:
    if "messages" in row:
        return row["messages"][:-1], row["messages"][-1]["content"]
    return row["prompt"], row["reward_model"]["ground_truth"]


def _triple(row: Mapping[str, Any]) -> Triple:
    messages, gold = _told(row)
    return ("", json.dumps(messages), gold or "")


def _items(rows: Rows) -> list[Row]:
    from pydantic import TypeAdapter

    from toolrl_cli.spec.evaluations.asking import first_of_each
    from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
    from toolrl_cli.spec.run.data_settings import DataSpec

    params = json.loads(rows.params)
    data = None if params["data"] is None else TypeAdapter[Any](DataSpec).validate_python(params["data"])
    folder = None if params["folder"] is None else Path(params["folder"])
    known = BENCHMARKS.get(rows.name)
    gold_is_a_turn = known.prompt_format == "rlla"  # elsewhere it is what the benchmark's own judge wants
    return [
        (
            [dict(message) for message in item.messages],
            item.gold if gold_is_a_turn and isinstance(item.gold, str) else None,
        )
        for item in first_of_each(known.items(data, folder), params["limit"])
    ]


def _repeats(rows: Rows) -> Answer:
    params = json.loads(rows.params)
    if "files" in params:
        loaded = _of_files(params, (rows.name, "val"))
        return Answer(
            repeats=find_repeats({s: [_triple(r) for r in found] for s, found in loaded.items()}, "val")
        )
    splits, notes = rlla.load_triples(Path(params["path"]), params["limit"], rlla.own_file(params))
    return Answer(repeats=find_repeats(splits, None if rlla.NOTE_SAME_ROWS in notes else "val"))


def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    if folder:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    from toolrl_cli.training.models.tiny_model import TinyShape
    from toolrl_cli.training.models.tiny_tokenizer import write_tokenizer

    with tempfile.TemporaryDirectory() as made:
        write_tokenizer(Path(made), TinyShape().max_position_embeddings)
        return AutoTokenizer.from_pretrained(made)
