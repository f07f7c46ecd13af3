"""Reads verl's files for rewards: rollout dumps as rollouts, RL rows as gold answers.

verl 0.9.1 writes `attempts/<n>/rollouts/<step>.jsonl` in training and `validation/<step>.jsonl`, one response a
line: `input`, `output`, `gts`, `score`, `step`, `uid` (`<prompt>_<session>_<turn>`). Its `output` is decoded
without special tokens, but the reward was computed on the text with them. So a dump cannot be scored exactly if a
response had a special token, and never if tags such as `<tool_call>` are special tokens of the tokenizer.
`special_tags` and `reproduce` detect this.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.datasets.verl_rows import parquet_rows
from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import Reward, RewardError, get_reward
from toolrl_cli.rewards.comparing.rescore import FIELDS, REPRODUCED, Rollout, rollout_from
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.store.progress.rewinds import counts
from toolrl_cli.training.models.model_folder import folder_of, json_object
from toolrl_cli.training.verl_options import REWARD_FILE

DumpKind = Literal["rollouts", "validation"]
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>")
_PADDING = re.compile(r"pad[0-9a-f]{32}_\d+_\d+")
"""`uid` of the rows that verl adds to fill a batch; they are no responses and not trained on."""


@dataclass(frozen=True)
class Dump:
    """Rollouts of one source.

    Attributes:
        name: name of the run or file.
        rollouts: ordered by step and line.
        places: `file:line` of each rollout.
        reward: the reward that the run was trained with; None if unknown.
        total_steps: length of the run; None if unknown.
        notes: warnings about the rows, for people.
        fault: why the run's reward could not be loaded; empty if it was.
        bad: lines that are no rollouts, or cannot be scored: place and reason.
    """

    name: str
    rollouts: tuple[Rollout, ...]
    places: tuple[str, ...]
    reward: Reward | None = None
    total_steps: int | None = None
    notes: tuple[str, ...] = ()
    fault: str = ""
    bad: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """The attempt that a file belongs to.

    Attributes:
        reward: of the run; None if the file is in no attempt, or the reward could not be loaded (see `fault`).
        total_steps: length of the run, or None.
        fault: why the reward could not be loaded, in one line; otherwise empty.
    """

    reward: Reward | None = None
    total_steps: int | None = None
    fault: str = ""


@dataclass(frozen=True)
class Reproduction:
    """How closely the run's own reward reproduces the logged scores.

    Attributes:
        reward: its name.
        logged: number of rollouts with a logged score.
        error: largest difference.
        wrong: places of the rollouts whose difference is above 1e-6.
    """

    reward: str
    logged: int
    error: float
    wrong: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether every logged score is reproduced to 1e-6."""
        return not self.wrong


def read_stage(stage: Path, name: str, kind: DumpKind = "rollouts") -> Dump:
    """The rollouts of an RL stage over all its attempts; of a step that was run twice, the later ones.

    Args:
        stage: `RESULTS/stages/rl/<id>`.
        name: name of the run, for people.

    Raises:
        SpecError: the stage has no dumps, or a line is not a rollout.
    """
    files = files_by_step(stage, kind)
    if not files:
        hint = "RL stages write them as they train; `toolrl show RUN` says where the run stands"
        raise SpecError(f"the run has no {kind} to rescore", str(stage / "attempts"), hint)
    rollouts: list[Rollout] = []
    places: list[str] = []
    notes: list[str] = []
    bad: list[str] = []
    for step in sorted(files):
        dump = read_file(files[step], step=step, bad=bad)
        rollouts += dump.rollouts
        places += dump.places
        notes += dump.notes
    origin = origin_of(next(iter(files.values())))
    lost = lost_tags(stage)
    if lost:
        notes.append(
            f"the tokenizer holds {', '.join(lost)} for special, and verl's dumps leave special tokens out: "
            "scores of these texts are not those of the run"
        )
    return Dump(
        name,
        tuple(rollouts),
        tuple(places),
        origin.reward,
        origin.total_steps,
        tuple(notes),
        origin.fault,
        tuple(bad),
    )


def read_file(
    path: Path, fields: Mapping[str, str] | None = None, step: int = 0, bad: list[str] | None = None
) -> Dump:
    """The rollouts of one JSONL file; a torn last line is skipped and noted.

    Args:
        path: a dump of verl's, or any file with completion, ground truth and group.
        fields: our name of a field (a key of `rewards.comparing.rescore.FIELDS`) → the file's name.
        step: for lines that have no step.
        bad: gets what is wrong with lines that are no rollouts, and they are left out; None to raise it.

    Raises:
        SpecError: the file cannot be read, or no line, or with no `bad` some line, is a rollout.
    """
    rollouts, places, notes, wrong = [], [], [], list[SpecError]()
    for number, raw in _lines(path):
        where = f"{path}:{number}"
        if raw is None:
            notes.append(f"{where}: the last line is torn and was left out")
            continue
        try:
            row = _object(raw, where)
            if is_padding(row):
                continue
            rollouts.append(_rollout(row, fields or {}, where, step))
            places.append(where)
        except SpecError as error:
            if bad is None:
                raise
            wrong.append(error)
    if not rollouts:
        if wrong:
            more = f"; so has each of the other {len(wrong) - 1} lines" if len(wrong) > 1 else ""
            raise SpecError(wrong[0].what, wrong[0].where, f"{wrong[0].hint}{more}") from wrong[0]
        raise SpecError("holds no rollouts", str(path), "one JSON object a line")
    if bad is not None:
        bad += map(str, wrong)
    origin = origin_of(path)
    return Dump(
        str(path),
        tuple(rollouts),
        tuple(places),
        origin.reward,
        origin.total_steps,
        tuple(notes),
        bad=tuple(map(str, wrong)),
    )


def reproduce(dump: Dump, reward: Reward, totals: Sequence[float]) -> Reproduction:
    """Compare the logged scores with those that the run's own reward gives the logged texts.

    Args:
        dump: the rollouts.
        reward: the run's own.
        totals: what it gives each of them (`rewards.comparing.rescore.score_rollouts`).
    """
    gaps = [
        (place, abs(total - rollout.logged))
        for place, total, rollout in zip(dump.places, totals, dump.rollouts, strict=True)
        if rollout.logged is not None
    ]
    wrong = tuple(place for place, gap in gaps if gap > REPRODUCED)
    return Reproduction(reward.name, len(gaps), max((gap for _, gap in gaps), default=0.0), wrong)


def origin_of(path: Path) -> Origin:
    """The attempt that a file belongs to: `attempts/<n>/FILE`, or one folder deeper."""
    for attempt in (path.absolute().parent, path.absolute().parent.parent):
        if attempt.parent.name != "attempts":
            continue
        spec = json_object(attempt.parent.parent / "spec.json")
        total = spec.get("total_steps")
        total_steps = total if isinstance(total, int) else None
        source = attempt / REWARD_FILE
        if not source.is_file():
            return Origin(None, total_steps, f"{source} is missing")
        try:
            return Origin(get_reward(json_object(source)), total_steps)
        except RewardError as error:
            return Origin(None, total_steps, str(error))
    return Origin()


def special_tags(model: Path | None) -> tuple[str, ...]:
    """The tags of the turn format that are special tokens of a model's tokenizer.

    Args:
        model: folder with `tokenizer.json` and `tokenizer_config.json`; None or empty if not available.
    """
    if model is None:
        return ()
    config = json_object(model / "tokenizer_config.json")
    tokens = [
        *(json_object(model / "tokenizer.json").get("added_tokens") or []),
        *(config.get("added_tokens_decoder") or {}).values(),
    ]
    special = {token["content"] for token in tokens if token.get("special")}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        special |= {token for token in config.get(key) or () if isinstance(token, str)}
    return tuple(tag for tag in TAGS if tag in special)


def lost_tags(stage: Path) -> tuple[str, ...]:
    """The tags of the turn format that an RL stage's dumps leave out, because its tokenizer holds them for special."""
    return special_tags(_model_folder(stage))


def is_padding(row: Mapping[str, Any]) -> bool:
    """Whether a row of a dump only fills a batch: it is no response and was not trained on."""
    return _PADDING.fullmatch(str(row.get("uid", ""))) is not None


def gold_rows(parquet: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, ground truth, and what a reward is given of every RL row (`row_facts`).

    A name is the row's position, with its id if it has one.

    Raises:
        SpecError: the file cannot be read, or has no RL rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(parquet) as file:  # columns may be nested
            table = file.read(columns=["reward_model.ground_truth", "data_source", "extra_info", "prompt"])
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"cannot be read as parquet: {error}", str(parquet)) from error
    if "reward_model" not in table.column_names:
        hint = "RL rows have reward_model.ground_truth; `toolrl data prepare` writes such files"
        raise SpecError("has no column reward_model", str(parquet), hint)
    answers = []
    for position, row in enumerate(parquet_rows(table, parquet)):
        text = (row["reward_model"] or {}).get("ground_truth")
        if not isinstance(text, str):
            raise SpecError(f"row {position} has no ground truth", str(parquet), "correct the row")
        known = row_facts(row)
        identity = (row.get("extra_info") or {}).get("id")
        answers.append((f"{position} ({identity})" if identity else str(position), text, known))
    return answers


def files_by_step(stage: Path, kind: DumpKind) -> dict[int, Path]:
    """Step → its file: the latest complete one, or else the latest; steps after a set-back are left out."""
    found: dict[int, list[tuple[bool, int, Path]]] = {}
    still_counts = counts(stage)
    for path in stage.glob(f"attempts/*/{kind}/*.jsonl"):
        attempt = path.parent.parent.name
        if path.stem.isdigit() and attempt.isdigit() and still_counts(int(attempt), int(path.stem)):
            found.setdefault(int(path.stem), []).append((_whole(path), int(attempt), path))
    return {step: max(files)[2] for step, files in found.items()}


def _whole(path: Path) -> bool:
    with path.open("rb") as stream:
        if not stream.seek(0, 2):
            return False
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, text) of every non-empty line; the text is None for a torn last line."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                yield number, None if not line.endswith(b"\n") and not _is_json(line) else line
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", str(path), "check the path") from error


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"is not JSON: {error}", where, "one object a line") from None
    if not isinstance(value, dict):
        raise SpecError("is no JSON object", where, "one object a line")
    return value


def _rollout(raw: dict[str, Any], fields: Mapping[str, str], where: str, step: int) -> Rollout:
    for ours, theirs in fields.items():
        if raw.get(theirs) is None:
            raise SpecError(f"has no {theirs!r}", where, f"--field {ours}={theirs} asks for it")
    row = {**raw, **{ours: raw[theirs] for ours, theirs in fields.items()}}
    try:
        rollout = rollout_from(row, where, step)
    except RewardError as error:
        ours = error.what.removeprefix("has no ")
        hint = f"{error.hint}; or --field {ours}=NAME" if ours in FIELDS else error.hint
        raise SpecError(error.what, where, hint) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise SpecError(f"its step, tokens or logged score is no number: {error}", where) from error
    if rollout.logged is not None and not math.isfinite(rollout.logged):
        raise SpecError(f"its logged score is {rollout.logged}", where, "correct or remove the line")
    return rollout


def _model_folder(stage: Path) -> Path | None:
    """The model that an RL stage started from, if available; None for the tiny model, which has no special tags."""
    spec = json_object(stage / "spec.json")
    source = (spec.get("inputs") or {}).get("model")
    if source:
        return stage.parent.parent / "export" / str(source) / "output" / "model"
    model = (spec.get("config") or {}).get("model") or {}
    if model.get("kind") != "huggingface":
        return None
    try:
        return folder_of(str(model["path"]))
    except SpecError:  # the folder is gone; the scores can still be compared
        return None
