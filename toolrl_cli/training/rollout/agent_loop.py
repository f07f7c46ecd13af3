"""Single-turn rollouts of many samples at a time, where verl handles each sample by itself.

verl's agent loop makes about eight remote calls for each sample (find a server, generate, release the server,
score, store) and builds a new agent for it. At 64 short responses a step, that takes as long as generating them.
Here a bundle of prompts with all their samples makes one call of each kind.

Set with `rollout.agent.agent_loop_manager_class`; for the `transformers` rollout and text prompts only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import hydra
import numpy as np
import ray
import torch
import transfer_queue as tq
from tensordict import NonTensorData, NonTensorStack, TensorDict
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopManager,
    AgentLoopMetrics,
    AgentLoopOutput,
    AgentLoopWorker,
    DictConfigWrap,
    ToolListWrap,
    _agent_loop_registry,
)
from verl.trainer.ppo.v1.agent_loop_tq import apply_greedy_sampling_params
from verl.utils.tensordict_utils import get_non_tensor_data, list_of_dict_to_tensordict

logger = logging.getLogger(__name__)

AGENT = "single_turn_agent"
#: Samples in a bundle, unless one prompt has more: few calls, while scoring still overlaps with generation.
BUNDLE_SAMPLES = 32

Prompt = dict[str, Any]
Sample = tuple[str, Prompt, AgentLoopOutput]
"""A response: its key, the fields of its prompt, and what was generated."""


class BundleAgentLoopWorker(AgentLoopWorker):
    """Generates, scores and stores bundles of prompts; the class behind the Ray actor.

    Raises:
        ValueError: the configuration asks for another agent, for distillation or for a multi-modal model.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agent = self.rollout_config.agent.default_agent_loop
        if agent != AGENT or self.distillation_enabled or self.processor is not None:
            raise ValueError(
                f"bundled rollouts serve {AGENT!r} on text models without distillation; "
                "unset rollout.agent.agent_loop_manager_class for anything else"
            )
        if not self.reward_loop_worker_handles:
            raise ValueError("bundled rollouts need verl's reward loop workers (reward.num_workers ≥ 1)")
        tq.init()
        self._tasks: set[asyncio.Task[None]] = set()
        self._agent = hydra.utils.instantiate(
            _agent_loop_registry[AGENT],
            trainer_config=DictConfigWrap(config=self.config),
            server_manager=self.llm_client,
            tokenizer=self.tokenizer,
            processor=None,
            hf_model_type=self.hf_model_type,
            dataset_cls=self.dataset_cls,
            data_config=DictConfigWrap(self.config.data),
            tools=ToolListWrap(self.tools),
        )

    async def generate_sequences(self, batch: TensorDict) -> None:
        """Start rollouts for a batch of prompts; results and their status go to the TransferQueue.

        Args:
            batch: one row per prompt as from verl's trainer, with `uid`, `raw_prompt` and `global_steps`,
                and `validate` if it belongs to a validation.
        """
        validate = bool(get_non_tensor_data(batch, "validate", default=False))
        rows = _rows(batch.exclude("validate"))
        for bundle in self._bundles(rows, validate):
            task = asyncio.create_task(self._run(bundle, validate))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _bundles(self, prompts: list[Prompt], validate: bool) -> Iterator[list[Prompt]]:
        config = self.rollout_config
        default = config.val_kwargs.n if validate else config.n
        bundle: list[Prompt] = []
        samples = 0
        for prompt in prompts:
            prompt["__rollout_n__"] = int(prompt.get("__rollout_n__", default))
            bundle.append(prompt)
            samples += prompt["__rollout_n__"]
            if samples >= BUNDLE_SAMPLES:
                yield bundle
                bundle, samples = [], 0
        if bundle:
            yield bundle

    def _sampling(self, prompt: Prompt, validate: bool) -> dict[str, Any]:
        source = self.rollout_config.val_kwargs if validate else self.rollout_config
        params = {"temperature": source.temperature, "top_p": source.top_p, "top_k": source.top_k}
        if not validate and not prompt.pop("__do_sample__", True):
            apply_greedy_sampling_params(params)
        return params

    async def _run(self, bundle: list[Prompt], validate: bool) -> None:
        partition = "val" if validate else "train"
        uids = [prompt["uid"] for prompt in bundle]

        async def mark(status: str) -> None:
            await tq.async_kv_batch_put(
                keys=uids, partition_id=partition, tags=[{"status": status} for _ in uids]
            )

        await mark("running")
        try:
            samples = await self._generate(bundle, validate)
            await score_together(self.reward_loop_worker_handles, samples)
            await self._store(samples, partition)
        except Exception:  # the task has no caller; the replay buffer reads the status
            # verl's own message, by which the cause is found in the log
            logger.exception("Error in _run_prompt for uids=%s", uids)
            await mark("failure")
        else:
            await mark("finished")

    async def _generate(self, bundle: list[Prompt], validate: bool) -> list[Sample]:
        """Generate samples of all prompts, each with its key and its prompt's fields."""
        requests = []
        for prompt in bundle:
            params = self._sampling(prompt, validate)
            ids = await self._agent.ct_build_initial_tokens(list(prompt["raw_prompt"]))
            requests.append((ids, params, prompt.pop("__rollout_n__")))
        started = time.perf_counter()
        request_id = uuid4().hex
        server_id, server = await self.llm_client._acquire_server(request_id)
        try:
            groups = await server.generate_groups.remote(request_id, requests)
        finally:
            self.llm_client._release_server(server_id, request_id=request_id)
        metrics = AgentLoopMetrics(generate_sequences=time.perf_counter() - started)
        samples = []
        for prompt, (ids, _, _), group in zip(bundle, requests, groups, strict=True):
            for session, completion in enumerate(group):
                output = await self._output(ids, completion, metrics.model_copy())
                samples.append((f"{prompt['uid']}_{session}_0", prompt, output))
        return samples

    async def _output(
        self, prompt_ids: list[int], completion: dict[str, Any], metrics: AgentLoopMetrics
    ) -> AgentLoopOutput:
        merged, mask, log_probs = await self._agent.ct_merge_assistant_token(
            prompt_ids, completion["token_ids"], [], [], assistant_logprobs=completion["log_probs"]
        )
        limit = self.rollout_config.response_length
        split = len(merged.token_ids) - len(mask)
        step = completion["global_steps"]
        return AgentLoopOutput(
            prompt_ids=merged.token_ids[:split],
            response_ids=merged.token_ids[split:][:limit],
            response_mask=mask[:limit],
            response_logprobs=log_probs[:limit],
            num_turns=2,
            metrics=metrics,
            extra_fields={
                "global_steps": step,
                "min_global_steps": step,
                "max_global_steps": step,
                "turn_scores": [],
                "tool_rewards": [],
            },
        )

    async def _store(self, samples: list[Sample], partition: str) -> None:
        keys, fields, tags = [], [], []
        for key, prompt, output in samples:
            keys.append(key)
            field = output.as_dict() | prompt
            field["loss_mask"] = field["response_mask"]
            field["input_ids"] = torch.cat([field["prompts"], field["responses"]])
            field["position_ids"] = torch.arange(len(field["input_ids"]))
            field["multi_modal_inputs"] = {}
            fields.append(field)
            prompt_length, length = len(field["prompts"]), len(field["responses"])
            tags.append(
                {
                    "status": "success",
                    "prompt_len": prompt_length,
                    "response_len": length,
                    "seq_len": prompt_length + length,
                    "global_steps": prompt["global_steps"],
                    "min_global_steps": output.extra_fields["min_global_steps"],
                    "max_global_steps": output.extra_fields["max_global_steps"],
                }
            )
        await tq.async_kv_batch_put(
            keys=keys, fields=list_of_dict_to_tensordict(fields), tags=tags, partition_id=partition
        )


class BundleAgentLoopManager(AgentLoopManager):
    """verl's manager, using `BundleAgentLoopWorker`s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.agent_loop_workers_class = ray.remote(BundleAgentLoopWorker)
        super().__init__(*args, **kwargs)

    def generate_sequences(self, prompts: TensorDict) -> None:
        """Pass a batch of prompts to the workers and return when they have accepted it."""
        chunks = prompts.chunk(len(self.agent_loop_workers))
        ray.get(
            [
                worker.generate_sequences.remote(chunk)
                for worker, chunk in zip(self.agent_loop_workers, chunks, strict=False)
            ]
        )


def _rows(batch: TensorDict) -> list[Prompt]:
    """The rows of a TensorDict as plain values."""
    rows: list[Prompt] = [{} for _ in range(len(batch))]
    for key, column in batch.items():
        for index, row in enumerate(rows):
            if isinstance(column, NonTensorData):
                row[key] = column.data
            else:
                value = column[index]
                row[key] = value.data if isinstance(column, NonTensorStack) else value
    return rows


async def score_together(workers: Sequence[Any], samples: list[Sample]) -> None:
    """Score samples in one call of one of verl's reward workers."""
    started = time.perf_counter()
    results = await random.choice(workers).compute_score_batch.remote(_scoring_batch(samples))
    seconds = time.perf_counter() - started
    for (_, _, output), result in zip(samples, results, strict=True):
        output.reward_score = result["reward_score"]
        output.extra_fields["reward_extra_info"] = result["reward_extra_info"]
        output.metrics.compute_score = seconds


def _scoring_batch(samples: list[Sample]) -> DataProto:
    """The input of verl's reward managers: left-aligned prompts and responses with a mask, and the row's fields."""
    prompts = _padded([output.prompt_ids for _, _, output in samples])
    responses = _padded([output.response_ids for _, _, output in samples])
    ids, mask = (torch.cat([prompts[part], responses[part]], dim=1) for part in (0, 1))
    tensors = {
        "prompts": prompts[0],
        "responses": responses[0],
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
    }
    columns = {key: [prompt.get(key) for _, prompt, _ in samples] for key in samples[0][1]}
    columns["__num_turns__"] = [output.num_turns for _, _, output in samples]
    columns["tool_extra_fields"] = [output.extra_fields for _, _, output in samples]
    return DataProto(
        batch=TensorDict(tensors, batch_size=len(samples)),
        non_tensor_batch={key: _objects(values) for key, values in columns.items()},
    )


def _padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids (rows, longest) and their mask."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.int64) for row in rows], True)
    return ids, (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).to(torch.int64)


def _objects(values: list[Any]) -> np.ndarray:
    """An array of objects; NumPy would turn lists of equal length into a matrix."""
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array
