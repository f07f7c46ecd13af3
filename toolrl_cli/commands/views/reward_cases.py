"""What `toolrl reward explain` is to explain: a completion, its ground truth, and what is known of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import Reward
from toolrl_cli.rewards.comparing.rescore import group_of
from toolrl_cli.rewards.gold import estimated_tokens
from toolrl_cli.training.rollout_dumps import gold_rows, origin_of, read_file


@dataclass(frozen=True)
class Case:
    """What is to be explained.

    Attributes:
        source: where it was taken from, for people.
        reward: that it was scored with, where that is known: the default for `--reward`.
        logged: the score that was logged, if any.
        failure: the fault that ended the run on it; empty where there was none.
        tokens: length of the response in tokens, where that is known.
        row: what a reward is given of the data's row (`row_facts`), where it is known.
        others, place: the other responses to the prompt, as in `rewards.explain.explain`, where they are known.
    """

    source: str
    completion: str
    ground_truth: str
    step: int = 0
    total_steps: int | None = None
    reward: Reward | None = None
    logged: float | None = None
    failure: str = ""
    tokens: int | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    others: Sequence[tuple[str, int | None]] = ()
    place: int = 0


def find_case(files: list[str], data: Path | None, rollouts: Path | None, row: int | None) -> Case:
    """Find the completion and its ground truth.

    Raises:
        SpecError: the arguments do not say which, or it is not there.
    """
    if (row is None) != (data is None and rollouts is None):
        raise SpecError(
            "--row goes with --data or --rollouts",
            "reward explain",
            "for example --data train.parquet --row 3",
        )
    if data is not None and rollouts is None and row is not None and len(files) < 2:
        return _of_data(data, row, files)
    if rollouts is not None and data is None and row is not None and not files:
        return _of_rollouts(rollouts, row)
    if data is None and rollouts is None and len(files) == 2:
        return Case(" against ".join(files), _text(files[0]), _text(files[1]))
    if data is None and rollouts is None and len(files) == 1:
        return _of_failure(Path(files[0]))
    raise SpecError(
        "give one completion and its ground truth",
        "reward explain",
        "COMPLETION GROUND_TRUTH, or [COMPLETION] --data FILE --row N, or --rollouts FILE --row N, "
        "or a reward_failure.json",
    )


def _of_data(data: Path, row: int, files: list[str]) -> Case:
    answers = gold_rows(data)
    _check_row(row, len(answers), data)
    name, gold, known = answers[row]
    source = f"{files[0]} against row {name} of {data}" if files else f"row {name} of {data} against itself"
    tokens = None if files else estimated_tokens(gold)
    return Case(source, _text(files[0]) if files else gold, gold, tokens=tokens, row=known)


def _of_rollouts(path: Path, row: int) -> Case:
    dump = read_file(path)
    _check_row(row, len(dump.rollouts), path)
    rollout = dump.rollouts[row]
    group = [at for at, one in enumerate(dump.rollouts) if group_of(one) == group_of(rollout)]
    others = [dump.rollouts[at] for at in group if at != row]
    return Case(
        source=f"row {row} of {path}",
        completion=rollout.completion,
        ground_truth=rollout.ground_truth,
        step=rollout.step,
        total_steps=dump.total_steps,
        reward=dump.reward,
        logged=rollout.logged,
        tokens=rollout.tokens,
        others=[(one.completion, one.tokens) for one in others],
        place=group.index(row),
    )


def _of_failure(path: Path) -> Case:
    try:
        saved = json.loads(_text(str(path)))
    except ValueError:
        saved = None
    if not _is_failure(saved):
        hint = "give the ground truth as the second file, or --data FILE --row N"
        raise SpecError("is no reward_failure.json, and a completion alone has no score", str(path), hint)
    return Case(
        source=str(path),
        completion=saved["completion"],
        ground_truth=saved["ground_truth"],
        step=saved["step"],
        total_steps=saved.get("total_steps"),
        reward=origin_of(path).reward,
        failure=str(saved.get("error", "")),
        tokens=saved.get("tokens"),
        row={key: saved.get(key) for key in ("data_source", "extra_info", "prompt")},
        others=[(text, tokens) for text, tokens in saved.get("others", ())],
        place=saved.get("place", 0),
    )


def _is_failure(saved: Any) -> bool:
    texts = isinstance(saved, dict) and all(
        isinstance(saved.get(key), str) for key in ("completion", "ground_truth")
    )
    return texts and isinstance(saved.get("step"), int)


def _check_row(row: int, rows: int, path: Path) -> None:
    if row >= rows:
        raise SpecError(f"there is no row {row}", str(path), f"its rows are 0 to {rows - 1}")


def _text(name: str) -> str:
    """A file's text or standard input's, to the last carriage return: the reward sees those too.

    A BOM is a mark of the file and no part of the text.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", name, "check the path") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"is not UTF-8: {error.reason} at byte {error.start}", name) from error
