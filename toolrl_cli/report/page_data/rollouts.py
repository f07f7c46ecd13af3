"""A few rollouts of each arm by step, each with the terms that its reward consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.report.arms import Arm
from toolrl_cli.report.drawing.curves import rl_stage
from toolrl_cli.report.page_data.excerpts import excerpt, weight
from toolrl_cli.report.sources.results import Stage
from toolrl_cli.rewards import Reward, RewardError
from toolrl_cli.rewards.comparing.rescore import REPRODUCED
from toolrl_cli.rewards.explain import explain
from toolrl_cli.rewards.user_code.values import OWN
from toolrl_cli.store.documents import number
from toolrl_cli.store.jsonl import read_jsonl
from toolrl_cli.training.rollout_dumps import DumpKind, files_by_step, is_padding, lost_tags, origin_of

PAGE_BYTES = 2_500_000
"""Most bytes of rollouts in a page."""

MOST_ARMS = 40
STEPS, PROMPTS, RESPONSES = 8, 2, 4
STEP_BYTES = 15_000
"""Bytes that a step needs to show a prompt with a response; where there is less room, fewer steps are shown."""

READ_ROWS = 64
"""Rows read of one step; of these the first prompts are shown."""


def rollouts_of(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Rollouts of one run of each arm, evenly spaced over its steps.

    Returns:
        For each arm that logged any: `arm`, `run`, `kind` (`rollouts`, or `validation` where the reward cannot be
        laid open from texts alone), `of` (steps that were logged), `why` (why its parts are not known; empty where
        they are), `steps`: `step` and `prompts`, each with `prompt`, `gold` and `responses`: `output`, `score`,
        and `parts`: `name`, `raw`, `weight`, `weighted`, `terms` (name, formula, value).
    """
    chosen = [(arm, found) for arm in arms if (found := _first(arm)) is not None][:MOST_ARMS]
    room = PAGE_BYTES // max(1, len(chosen))
    return [{"arm": arm.name, "run": run, **_read(stage, room)} for arm, (run, stage) in chosen]


def _first(arm: Arm) -> tuple[str, Stage] | None:
    """The arm's run of the lowest seed that logged rollouts."""
    for run in sorted(arm.runs, key=lambda run: run.seed):
        stage = rl_stage(run)
        if stage is not None and _logged_any(stage):
            return run.id, stage
    return None


_KINDS: tuple[DumpKind, ...] = ("rollouts", "validation")


def _read(stage: Stage, room: int) -> dict[str, Any]:
    try:
        return _of_stage(stage, room)
    except (OSError, LedgerError) as error:
        return {"kind": "rollouts", "of": 0, "why": f"they cannot be read ({error})", "steps": []}


def _logged_any(stage: Stage) -> bool:
    try:
        return any(files_by_step(stage.directory, kind) for kind in _KINDS)
    except (OSError, LedgerError):
        return True  # and `_read` says why they cannot be shown


def _of_stage(stage: Stage, room: int) -> dict[str, Any]:
    files = {kind: files_by_step(stage.directory, kind) for kind in _KINDS}
    origin = origin_of(next(path for found in files.values() for path in found.values()))
    why = origin.fault if origin.reward is None else _closed(origin.reward)
    if not why and (lost := lost_tags(stage.directory)):
        why = f"its tokenizer holds {', '.join(lost)} for special, which verl's dumps leave out"
    kind: DumpKind = "validation" if files["validation"] and (why or not files["rollouts"]) else "rollouts"
    steps = sorted(files[kind])
    picked = _spread(steps, min(STEPS, max(2, room // STEP_BYTES)))
    share = room // max(1, len(picked))
    reward = None if why else origin.reward
    total = stage.spec.total_steps
    shown = [
        {"step": step, "prompts": list(_prompts(files[kind][step], step, reward, total, share))}
        for step in picked
    ]
    return {"kind": kind, "of": len(steps), "why": why, "steps": [one for one in shown if one["prompts"]]}


def _closed(reward: Reward) -> str:
    """Why a reward cannot be computed again from texts alone; empty where it can.

    A user's code is not run to show a page.
    """
    if any(component.kind == "python" for component in reward.components):
        return "it has a component of your own, and a report runs no code of yours"
    needs = sorted(set().union(*(component.needs for component in reward.components)))
    return f"it needs the {' and '.join(needs)} of each response, which verl does not log" if needs else ""


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of the steps, evenly spaced, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return sorted({steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)})


def _prompts(
    path: Path, step: int, reward: Reward | None, total: int | None, room: int
) -> Iterator[dict[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    read = 0
    for row in islice(read_jsonl(path), READ_ROWS):
        read += 1
        if isinstance(row.get("output"), str) and isinstance(row.get("gts"), str) and not is_padding(row):
            prompt = str(row.get("uid", row.get("input", ""))).rsplit("_", 2)[0]
            groups.setdefault(prompt, []).append(row)
    left, last = room, next(reversed(groups.values()), None)
    for rows in islice(groups.values(), PROMPTS):
        found = {"prompt": excerpt(rows[0].get("input"), 3_000), "gold": excerpt(rows[0]["gts"], 1_500)}
        left -= sum(map(weight, found.values()))
        responses: list[dict[str, Any]] = []
        for one in rows[:RESPONSES]:
            told = _response(one, step, reward, total)
            left -= weight(told["output"]) + weight(str(told["parts"]))
            if left < 0 and responses:
                break
            responses.append(told)
        # of a group that the read rows end in, nobody counted the rest
        whole = rows is not last or read < READ_ROWS
        yield {**found, "responses": responses, "all": len(rows) if whole else None}
        if left < 0:
            return


def _response(row: Mapping[str, Any], step: int, reward: Reward | None, total: int | None) -> dict[str, Any]:
    score = number(row.get("score"))
    found = {"output": excerpt(row["output"], 2_000), "score": score, "note": "", "parts": _logged(row)}
    if reward is None:
        return found
    try:
        told = explain(reward, row["output"], row["gts"], step, total)
    except RewardError as error:
        return found | {"note": str(error)}
    if score is not None and abs(told.total - score) > REPRODUCED:
        # what verl logs lacks special tokens, and a file may have been edited
        return found | {"note": f"scored anew from the logged text it earns {told.total:.4g}: not laid open"}
    parts = [
        {
            **{"name": part.name, "raw": part.raw, "weight": part.weight, "weighted": part.weighted},
            "terms": [[term.name, term.formula, term.value] for term in part.terms],
        }
        for part in told.parts
    ]
    return found | {"parts": parts, "note": told.parsed.problem}


def _logged(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts that a validation logs beside each answer."""
    names = [key.removesuffix("/weighted") for key in row if key.endswith("/weighted")]
    return [
        {
            **{"name": name, **{k: number(row.get(f"{name}/{k}")) for k in OWN}},
            "terms": [
                [key.removeprefix(f"{name}/"), "a metric", each]
                for key in row
                if key.startswith(f"{name}/")
                and key.removeprefix(f"{name}/") not in OWN
                and (each := number(row[key])) is not None
            ],
        }
        for name in names
    ]
