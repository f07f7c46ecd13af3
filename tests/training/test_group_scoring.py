"""verl's own rollouts, scored by prompt."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.test_rollout_agent_loop import output
from toolrl_cli.training.rollout import group_scoring
from toolrl_cli.training.rollout.group_scoring import GroupAgentLoopWorker


class Scorer:
    """A reward worker that notes what it is asked to score, and is slow."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.compute_score_batch = self

    async def remote(self, batch: Any) -> list[dict[str, Any]]:
        sessions = [int(ids[0]) for ids in batch.batch["responses"]]
        self.calls.append(sessions)
        await asyncio.sleep(0.01)
        return [{"reward_score": i / 10, "reward_extra_info": {"total": i / 10}} for i in sessions]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> GroupAgentLoopWorker:
    """A worker without its actor's surroundings; a session's response is its number, and the higher come first."""
    bare = object.__new__(GroupAgentLoopWorker)
    bare.config = SimpleNamespace(
        actor_rollout_ref=SimpleNamespace(rollout=SimpleNamespace(n=3, val_kwargs=SimpleNamespace(n=1)))
    )
    bare.reward_loop_worker_handles = [Scorer()]
    bare._groups, bare.statuses, bare.scores = {}, {}, {}

    async def put(key: str, partition_id: str, tag: dict[str, str]) -> None:
        bare.statuses[key] = tag["status"]

    async def run(
        self: Any, params: Any, trajectory: Any, *, session_id: int, uid: str, **kwargs: Any
    ) -> None:
        await asyncio.sleep(0.003 * (5 - session_id))
        if kwargs.get("fails") == session_id:
            raise OSError("the server is gone")
        made = output([1], [session_id])
        await self._compute_score([made], {"uid": uid, "session_id": session_id, **kwargs})
        self.scores[uid, session_id] = (made.reward_score, made.extra_fields["reward_extra_info"]["total"])

    base = GroupAgentLoopWorker.__mro__[1]
    monkeypatch.setattr(base, "_run_agent_loop", run)
    monkeypatch.setattr(f"{base.__module__}.tq.async_kv_put", put)
    return bare


def ran(worker: GroupAgentLoopWorker, *prompts: dict[str, Any], validate: bool = False) -> list[list[int]]:
    async def all_of_them() -> None:
        trajectory = {"validate": validate}
        await asyncio.gather(*(worker._run_prompt(dict(p), {}, trajectory=trajectory) for p in prompts))

    asyncio.run(asyncio.wait_for(all_of_them(), 20))
    assert worker._groups == {}
    return sorted(worker.reward_loop_worker_handles[0].calls)


def test_all_responses_to_a_prompt_are_scored_in_one_call_in_the_order_of_their_sessions(
    worker: GroupAgentLoopWorker,
) -> None:
    calls = ran(worker, {"uid": "a"}, {"uid": "b", "__rollout_n__": 2})
    assert calls == [[0, 1], [0, 1, 2]]
    assert worker.scores["a", 2] == (0.2, 0.2) and len(worker.scores) == 5
    assert worker.statuses == {"a": "finished", "b": "finished"}


def test_a_validation_has_groups_of_its_own_size(worker: GroupAgentLoopWorker) -> None:
    assert ran(worker, {"uid": "a"}, validate=True) == [[0]]


@pytest.mark.parametrize("session", [0, 2])
def test_a_response_that_cannot_be_generated_fails_its_group_and_leaves_none_waiting(
    worker: GroupAgentLoopWorker, session: int
) -> None:
    assert ran(worker, {"uid": "a", "fails": session}, {"uid": "b"}) == [[0, 1, 2]]
    assert worker.statuses == {"a": "failure", "b": "finished"}


def test_a_scorer_that_fails_fails_the_group(
    worker: GroupAgentLoopWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise ValueError("no score")

    monkeypatch.setattr(group_scoring, "score_together", fail)
    ran(worker, {"uid": "a"})
    assert worker.statuses == {"a": "failure"} and worker.scores == {}
