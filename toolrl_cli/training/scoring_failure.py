"""A completion that a reward could not score, kept in the attempt's folder for `toolrl reward explain`."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.store.files import create_text
from toolrl_cli.store.schemas import REWARD_FAILURE


@dataclass(frozen=True)
class ScoringFailure:
    """A completion that could not be scored.

    Attributes:
        error: the fault in one line.
        traceback: of the scorer.
        completion, ground_truth, step, total_steps, tokens: the arguments of the score.
        data_source, extra_info, prompt: of the row.
        others: of a reward that takes groups: completion and tokens of the other responses to the prompt.
        place: how many of these come before this one.
    """

    error: str
    traceback: str
    completion: str
    ground_truth: str
    step: int
    total_steps: int | None
    data_source: str
    tokens: int | None = None
    extra_info: Any = None
    prompt: Any = None
    others: Any = ()
    place: int = 0

    @classmethod
    def of(
        cls,
        error: Exception,
        completion: str,
        ground_truth: str,
        step: int,
        total_steps: int | None,
        tokens: int | None,
        row: Mapping[str, Any],
        others: Sequence[tuple[str, int | None]] = (),
        place: int = 0,
    ) -> ScoringFailure:
        """The arguments of a score with what it raised; `others` and `place` as in `rewards.explain.explain`."""
        return cls(
            error=f"{type(error).__name__}: {error}",
            traceback="".join(traceback.format_exception(type(error), error, error.__traceback__)),
            completion=completion,
            ground_truth=ground_truth,
            step=step,
            total_steps=total_steps,
            data_source=str(row.get("data_source", "")),
            tokens=tokens,
            extra_info=row.get("extra_info"),
            prompt=row.get("prompt"),
            others=list(others),
            place=place,
        )

    def save(self, path: Path) -> None:
        """Write the file unless it exists: the first failure is the cause of later ones."""
        create_text(path, json.dumps(REWARD_FAILURE.stamped(asdict(self)), indent=1, default=str))

    @classmethod
    def load(cls, path: Path) -> ScoringFailure | None:
        """Read what `save` wrote; None if there is no file."""
        if not path.is_file():
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{key: value for key, value in data.items() if key != "schema"})
