"""What is asked about rows, and what is answered: plain data, which goes to a child process and into a cache."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from toolrl_cli.datasets.repeats import Repeats


@dataclass(frozen=True)
class Rows:
    """Rows that a stage reads.

    Attributes:
        kind: where they come from.
        name: the split, or the benchmark; empty for all splits of a folder.
        params: JSON of what makes them: those of `datasets.prepare`, or a benchmark's data and folder.
        mark: what identifies them, for the cache.
    """

    kind: Literal["toolworld", "rlla", "verl", "jsonl", "benchmark"]
    name: str
    params: str
    mark: str


@dataclass(frozen=True)
class Question:
    """Rows to be counted in tokens.

    Attributes:
        rows: which.
        tokenizer: a model folder; empty for the tiny model's tokenizer.
        tokenizer_mark: what identifies it, for the cache.
        template: JSON of further arguments of the chat template.
        trained: whether whole conversations are asked for, as SFT reads them, and not prompts.
    """

    rows: Rows
    tokenizer: str
    tokenizer_mark: str
    template: str = "{}"
    trained: bool = False

    @property
    def key(self) -> str:
        """Equal for questions with equal answers."""
        return json.dumps([self.rows.mark, self.tokenizer_mark, self.template, self.trained])


@dataclass(frozen=True)
class RepeatsQuestion:
    """A folder's rows, or a split of files with the test set, to be looked through for repetitions."""

    rows: Rows

    @property
    def key(self) -> str:
        """Equal for questions with equal answers."""
        return json.dumps(["repeats", self.rows.mark])


Asked = Question | RepeatsQuestion


@dataclass(frozen=True)
class Measures:
    """What a tokenizer makes of rows; each list has an entry a row, or positions of rows from 0.

    Attributes:
        lengths: tokens of each prompt up to where the answer begins, or of each whole conversation.
        golds: tokens of each gold answer by itself; 0 where a row has none in text.
        dropped: rows whose gold answer the chat template does not repeat as it stands.
        changed: rows whose gold answer does not come back from the tokenizer as it went in.
        lost: tags of the format that do not come back.
        special: tags that the tokenizer holds for special tokens, which verl's dumps leave out.
        opened: the tag that the generation prompt ends with, so that no answer can begin with it.
        problem: why nothing could be counted; empty where it could.
        blamed: what has the problem: rows and template are read the same by whatever is to be started.
    """

    lengths: Sequence[int] = ()
    golds: Sequence[int] = ()
    dropped: Sequence[int] = ()
    changed: Sequence[int] = ()
    lost: Sequence[str] = ()
    special: Sequence[str] = ()
    opened: str = ""
    problem: str = ""
    blamed: Literal["", "rows", "template"] = ""


@dataclass(frozen=True)
class Answer:
    """To a question of either kind: one of the two is set."""

    measures: Measures | None = None
    repeats: Mapping[str, Repeats] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @staticmethod
    def of(data: Mapping[str, Any]) -> Answer:
        """From `to_json`.

        Raises:
            TypeError, KeyError, AttributeError: it is none.
        """
        measures = data["measures"]
        return Answer(
            Measures(**measures) if measures is not None else None,
            {split: Repeats(**found) for split, found in data["repeats"].items()},
        )
