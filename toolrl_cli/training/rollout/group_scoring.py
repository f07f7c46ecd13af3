"""verl's own rollouts, with all responses to a prompt scored in one call, for rewards that take groups.

verl scores each response as soon as it is there, on any of its reward workers. Here a response waits for the others to
its prompt, and one that cannot be generated fails them all, as it fails the run. Bundles (`agent_loop`) have whole
prompts anyway.

Set with `rollout.agent.agent_loop_manager_class`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ

from toolrl_cli.training.rollout.agent_loop import Prompt, Sample, score_together

_Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class  # the class behind verl's actor


class _Group:
    """The responses to one prompt so far, by session; `scored` is done when all of them are scored."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.samples: dict[int, Sample] = {}
        self.scored: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class GroupAgentLoopWorker(_Worker):  # type: ignore[misc]
    """verl's worker; the class behind the Ray actor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups: dict[str, _Group] = {}

    async def _run_prompt(
        self, prompt: Prompt, sampling_params: dict[str, Any], trajectory: dict[str, Any], trace: bool = False
    ) -> None:
        config, uid = self.config.actor_rollout_ref.rollout, prompt["uid"]
        usual = config.val_kwargs.n if trajectory["validate"] else config.n
        self._groups[uid] = _Group(int(prompt.get("__rollout_n__", usual)))
        try:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        finally:
            del self._groups[uid]

    async def _run_agent_loop(self, *args: Any, uid: str, **kwargs: Any) -> Any:
        try:
            return await super()._run_agent_loop(*args, uid=uid, **kwargs)
        except Exception as error:
            scored = self._groups[uid].scored
            if not scored.done():
                scored.set_exception(error)
                scored.exception()  # nobody may be waiting for it yet
            raise

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        group, session = self._groups[kwargs["uid"]], kwargs["session_id"]
        group.samples[session] = (f"{kwargs['uid']}_{session}_0", kwargs, outputs[-1])
        if len(group.samples) == group.size:
            samples = [group.samples[at] for at in sorted(group.samples)]
            await score_together(self.reward_loop_worker_handles, samples)
            group.scored.set_result(None)
        await asyncio.shield(group.scored)


class GroupAgentLoopManager(AgentLoopManagerTQ):  # type: ignore[misc]
    """verl's manager, using `GroupAgentLoopWorker`s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(GroupAgentLoopWorker)
