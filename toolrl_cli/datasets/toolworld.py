"""ToolWorld: a generated tool-use task in the rlla format.

A row shows a model a few tools and a dialogue and asks for the next assistant turn. Tools are verb–noun pairs
(`book_hotel`) whose parameter names change from row to row, so that the model has to read the schema in the
prompt; argument values have to be copied from the user's words or from an observation. Turns are of six kinds:

- `call`: one tool fits, and is called once;
- `after_obs`: a first call was made, and the second needs the id in its observation;
- `parallel`: two calls at once, of two tools or twice of the same one;
- `no_tool`: no tool fits, although some are similar; the answer is a `<response>`;
- `chat`: the user wants nothing done, the answer is a `<response>`;
- `done`: the call was made and nothing is left to do; the answer is a `<response>`.

Splits are disjoint for all seeds and sizes: the SHA-256 of a user message decides its split.
Tools of `words.UNSEEN_TOOLS` occur only in prompts of the benchmark's category `unseen_tools`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from toolrl_cli.datasets.toolworld_rough import ROUGHNESS, roughen
from toolrl_cli.datasets.toolworld_scenes import Kind, Scene, draw_scene
from toolrl_cli.datasets.toolworld_stream import Stream
from toolrl_cli.errors import SpecError

GENERATOR_VERSION = 2

Split = Literal["base", "sft", "train", "val", "benchmark"]
Category = Literal["seen_tools", "unseen_tools", "parallel", "irrelevance"]
SPLITS: tuple[Split, ...] = get_args(Split)
CATEGORIES: tuple[Category, ...] = get_args(Category)
DEFAULT_SIZES: Mapping[Split, int] = {"base": 8192, "sft": 256, "train": 1024, "val": 64, "benchmark": 200}

# sixteenths of the space of user messages
_BUCKETS: Mapping[Split, range] = {
    "base": range(0, 8),
    "train": range(8, 11),
    "sft": range(11, 12),
    "val": range(12, 13),
    "benchmark": range(13, 16),
}
_TRAINING_MIX: tuple[tuple[Kind, int], ...] = (
    ("call", 40),
    ("after_obs", 12),
    ("parallel", 23),
    ("no_tool", 9),
    ("chat", 10),
    ("done", 6),
)
_BENCHMARK_MIX: Mapping[Category, tuple[tuple[Kind, int], ...]] = {
    "seen_tools": (("call", 3), ("after_obs", 1)),
    "unseen_tools": (("call", 3), ("after_obs", 1)),
    "parallel": (("parallel", 1),),
    "irrelevance": (("no_tool", 2), ("chat", 2), ("done", 1)),
}


@dataclass(frozen=True)
class Example:
    """One row.

    Attributes:
        id: `<split>-<kind>-<index>`, unique within a generated split.
        category: the sub-score it counts for.
        kind: the kind of turn.
        system: the system message.
        user: the user message: the dialogue so far.
        answer: the gold assistant turn; in the split `base`, the rough one.
    """

    id: str
    category: Category
    kind: Kind
    system: str
    user: str
    answer: str


def generate(split: Split, seed: int = 0, size: int | None = None) -> list[Example]:
    """The first `size` rows of a split (all of `DEFAULT_SIZES` when None).

    A longer list starts with the same rows as a shorter one. No user message is repeated within a split.

    Raises:
        SpecError: the split is unknown or the size is not positive.
    """
    if split not in SPLITS:
        raise SpecError(f"unknown ToolWorld split {split!r}", hint=f"one of {', '.join(SPLITS)}")
    count = DEFAULT_SIZES[split] if size is None else size
    if count < 1:
        raise SpecError(f"size {count} of ToolWorld split {split!r} is not positive")
    stream = Stream(f"toolworld/{GENERATOR_VERSION}/{split}/{seed}")
    seen: set[str] = set()
    return [_draw(split, index, stream, seen) for index in range(count)]


def fingerprint(params: Mapping[str, Any]) -> str:
    """The identity of generated rows: SHA-256 of the generator's version and `params` (seed, sizes, …)."""
    text = json.dumps({"toolworld": GENERATOR_VERSION, "params": dict(params)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _draw(split: Split, index: int, stream: Stream, seen: set[str]) -> Example:
    if split == "benchmark":
        category = CATEGORIES[index % len(CATEGORIES)]
        kind = stream.weighted(_BENCHMARK_MIX[category])
    else:
        kind = stream.weighted(_TRAINING_MIX)
        category = _training_category(kind)
    while True:
        scene = draw_scene(kind, stream, unseen=category == "unseen_tools")
        if scene.user not in seen and _bucket(scene.user) in _BUCKETS[split]:
            break
    seen.add(scene.user)
    answer = roughen(scene, stream, ROUGHNESS) if split == "base" else scene.answer
    return Example(f"{split}-{kind}-{index:05d}", category, kind, scene.system, scene.user, answer)


def _training_category(kind: Kind) -> Category:
    if kind in ("no_tool", "chat", "done"):
        return "irrelevance"
    return "parallel" if kind == "parallel" else "seen_tools"


def _bucket(user: str) -> int:
    return hashlib.sha256(user.encode()).digest()[0] % 16


__all__ = [
    "CATEGORIES", "DEFAULT_SIZES", "GENERATOR_VERSION", "SPLITS",
    "Category", "Example", "Scene", "Split", "fingerprint", "generate",
]  # fmt: skip
