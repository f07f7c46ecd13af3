"""What `toolrl data list` finds out about rows: their lengths in tokens, rows in common, and the gold check."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import SpecError, ToolrlError

if TYPE_CHECKING:
    from toolrl_cli.datasets.prepare import Manifest
    from toolrl_cli.training.preflight.question import Question
    from toolrl_cli.training.preflight.tokenizer_files import ModelTokenizer

REWARDED = ("train", "val")
"""The splits whose answers a reward is asked about; SFT learns its rows whatever a reward says."""


@dataclass(frozen=True)
class Facts:
    """Of one data folder or benchmark.

    Attributes:
        tokens: split → `prompt` and `answer`: median and longest, in tokens of the tokenizer that was named.
        overlaps: which rows have their question in another split or benchmark, one line each.
        gold: split → rows whose gold answer reaches the maximum of the reward `original`, and rows.
        problems: what could not be found out, one line each.
    """

    tokens: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    overlaps: list[str] = field(default_factory=list)
    gold: dict[str, tuple[int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `data list --json` prints it."""
        gold = {split: {"reached": n, "rows": rows} for split, (n, rows) in self.gold.items()}
        return {"tokens": self.tokens, "overlaps": self.overlaps, "gold": gold, "problems": self.problems}

    def lines(self) -> Iterator[str]:
        """For people."""
        for split, found in self.tokens.items():
            told = (f"{what} {n['median']} tokens (longest {n['longest']})" for what, n in found.items())
            yield f"{split}: {', '.join(told)}"
        for split, (reached, rows) in self.gold.items():
            yield f"gold, {split}: {reached} of {rows} reach the maximum of original"
        yield from self.overlaps
        yield from self.problems


def tokenizer_named(model: str) -> ModelTokenizer:
    """The tokenizer of a model given as in a sweep.

    Raises:
        SpecError: there is no such model, or its tokenizer cannot be had.
    """
    from pydantic import TypeAdapter

    from toolrl_cli.spec.run.model_settings import ModelSpec
    from toolrl_cli.spec.sweeps import presets
    from toolrl_cli.training.preflight.tokenizer_files import tokenizer_of

    where = f"--tokenizer {model}"
    spec = TypeAdapter[Any](ModelSpec).validate_python(presets.model(model, where))
    found = tokenizer_of(spec)
    if found is None:
        raise SpecError("its tokenizer is neither here nor on the hub", where, "name a folder with one")
    return found


def facts_of(
    known: Sequence[tuple[Path, Manifest]], released: Mapping[str, Path], tokenizer: ModelTokenizer | None
) -> dict[str, Facts]:
    """Name of a folder, or of a benchmark whose files are there → what its rows are.

    Args:
        known: data folders that are whole.
        released: name of a benchmark → folder of its files.
        tokenizer: lengths are counted by; None: they are left out.
    """
    facts = {name: Facts() for name in (*(folder.name for folder, _ in known), *released)}
    _add_tokens(facts, known, released, tokenizer)
    asked = {name: _asked_in(name, folder, facts[name]) for name, folder in released.items()}
    for folder, manifest in known:
        mine = facts[folder.name]
        splits = {split: _questions(folder / f"{split}.parquet", mine) for split in manifest.files}
        mine.overlaps.extend(_overlaps(splits, asked))
        mine.gold.update(_gold(folder, [split for split in REWARDED if split in manifest.files], mine))
    return facts


def _add_tokens(
    facts: Mapping[str, Facts],
    known: Sequence[tuple[Path, Manifest]],
    released: Mapping[str, Path],
    tokenizer: ModelTokenizer | None,
) -> None:
    from toolrl_cli.training.preflight.answers import answers_to
    from toolrl_cli.training.preflight.question import Question, Rows

    if tokenizer is None:
        return
    asked: dict[tuple[str, str], Question] = {}

    def ask(name: str, split: str, rows: Rows) -> None:
        asked[name, split] = Question(rows, tokenizer.folder, tokenizer.mark)

    for folder, manifest in known:
        for split in manifest.files:
            kind: Any = manifest.kind
            mark = f"listed {manifest.fingerprint} {split}"
            ask(folder.name, split, Rows(kind, split, json.dumps(dict(manifest.params)), mark))
    for name, place in released.items():
        params = json.dumps({"data": None, "folder": str(place)})
        ask(name, "items", Rows("benchmark", name, params, f"listed {name} {place}"))
    answers = answers_to(asked.values())
    for (name, split), question in asked.items():
        measures = answers[question].measures
        if measures is None or measures.problem:
            facts[name].problems.append(f"{split}: {measures.problem if measures else 'not counted'}")
            continue
        counted = {"prompt": measures.lengths, "answer": [n for n in measures.golds if n]}
        facts[name].tokens[split] = {
            what: {"median": round(statistics.median(found)), "longest": max(found)}
            for what, found in counted.items()
            if found
        }


def _questions(path: Path, facts: Facts) -> list[str]:
    """What each row asks: the user's message."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
        turns = (row.get("messages") or row["prompt"] for row in rows)
        return [next(m["content"] for m in turn if m["role"] == "user") for turn in turns]
    except (OSError, pa.ArrowException, KeyError, TypeError, StopIteration) as error:
        facts.problems.append(f"{path.stem} cannot be read: {str(error) or type(error).__name__}")
        return []


def _asked_in(name: str, folder: Path, facts: Facts) -> set[str]:
    from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS

    try:
        return {str(item.messages[-1]["content"]) for item in BENCHMARKS.get(name).items(None, folder)}
    except (ToolrlError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        facts.problems.append(f"its items cannot be read: {error}")
        return set()


def _overlaps(splits: Mapping[str, list[str]], asked: Mapping[str, set[str]]) -> Iterator[str]:
    names = list(splits)
    for split, rows in splits.items():
        others = {name: set(splits[name]) for name in names[names.index(split) + 1 :]}
        for name, questions in {**others, **asked}.items():
            same = sum(row in questions for row in rows)
            if same:
                yield f"{same} of {len(rows)} {split} rows ask what {name} asks"


def _gold(folder: Path, splits: Sequence[str], facts: Facts) -> Iterator[tuple[str, tuple[int, int]]]:
    from toolrl_cli.rewards import get_reward
    from toolrl_cli.rewards.catalogue import PAPER_STEPS
    from toolrl_cli.rewards.gold import check_gold
    from toolrl_cli.training.rollout_dumps import gold_rows

    for split in splits:
        try:
            report = check_gold(
                get_reward("original"), gold_rows(folder / f"{split}.parquet"), total_steps=PAPER_STEPS
            )
        except SpecError as error:
            facts.problems.append(f"gold, {split}: {error}")
            continue
        yield split, (report.rows - len(report.shortfalls), report.rows)
