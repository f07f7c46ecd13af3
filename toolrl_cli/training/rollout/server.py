"""The rollout server: a Ray actor that generates with a Transformers model on the trainer's device.

It answers the calls that verl makes to its own servers (vLLM, SGLang) in token-in, token-out form.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import torch

from toolrl_cli.training.cpu.cpu_options import decoding_threads
from toolrl_cli.training.rollout.engine import Completion, GenerationEngine
from toolrl_cli.training.rollout.model_loading import ServerSettings, engine_limits, load_model
from toolrl_cli.training.rollout.sampling import SamplingParams
from toolrl_cli.training.rollout.weights import Bucket, WeightLoader

logger = logging.getLogger(__name__)


class RolloutServer:
    """Generates for verl's agent loops; the class of the Ray actor.

    The model runs in its own thread, which holds `_lock` during a step. Calls that change the model or the cache take
    the same lock, so that they run between steps.

    Args:
        settings: see `ServerSettings`.
        visible_devices: name and value of the variable that selects the accelerator; set before CUDA starts.
    """

    def __init__(self, settings: ServerSettings, visible_devices: tuple[str, str] | None = None) -> None:
        if visible_devices is not None:
            os.environ[visible_devices[0]] = visible_devices[1]
        self.settings = settings
        self._lock = threading.Lock()
        self._work = threading.Condition()
        self._inbox: list[tuple[str, Sequence[int], SamplingParams]] = []
        self._futures: dict[str, asyncio.Future[Completion]] = {}
        self._failure: BaseException | None = None
        self._admitting = asyncio.Event()
        self._admitting.set()
        self._rejecting = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        model, stop_tokens = load_model(settings)
        if settings.num_threads or settings.device == "cpu":  # before the thread that generates starts
            by_size = decoding_threads(model.num_parameters(), torch.get_num_threads())
            torch.set_num_threads(settings.num_threads or by_size)
        self._engine = GenerationEngine(model, stop_tokens, engine_limits(settings), settings.seed)
        self._loader = WeightLoader(model)
        threading.Thread(target=self._generate_forever, name="toolrl-rollout", daemon=True).start()

    # --- generation ------------------------------------------------------------------------------------

    async def generate(
        self,
        request_id: str,
        prompt_ids: Sequence[int],
        sampling_params: dict[str, Any],
        image_data: Any = None,
        video_data: Any = None,
        audio_data: Any = None,
        **_: Any,
    ) -> Any:
        """Generate one response.

        Args:
            request_id: unique among the unfinished requests.
            prompt_ids: token ids of the prompt.
            sampling_params: vLLM-style names, see `SamplingParams.from_request`.
            image_data, video_data, audio_data: must be empty: the server reads text.

        Returns:
            verl's `TokenOutput` with `extra_fields["global_steps"]`, the weights' training step.

        Raises:
            ValueError: the request asks for a feature that this server does not have.
            RuntimeError: the server accepts no requests, or generation failed.
        """
        from verl.workers.rollout.replica import TokenOutput

        if image_data or video_data or audio_data:
            raise ValueError("the transformers rollout takes text prompts only")
        if not len(prompt_ids):
            raise ValueError(f"request {request_id} has an empty prompt")
        if not self._admitting.is_set() and self._rejecting:
            raise RuntimeError("the rollout server is leaving and takes no requests")
        await self._admitting.wait()
        if self._failure is not None:
            raise RuntimeError("generation failed earlier on this server") from self._failure
        budget = self.settings.prompt_length + self.settings.response_length - len(prompt_ids)
        limit = min(self.settings.response_length, budget)
        if limit < 1:
            return TokenOutput(
                token_ids=[], log_probs=[], stop_reason="completed", extra_fields=self._extra_fields()
            )
        params = SamplingParams.from_request(sampling_params, limit)
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Completion] = self._loop.create_future()
        self._futures[request_id] = future
        self._idle.clear()
        with self._work:
            self._inbox.append((request_id, prompt_ids, params))
            self._work.notify()
        done = await future
        return TokenOutput(
            token_ids=done.tokens,
            log_probs=done.log_probs,
            stop_reason="aborted" if done.stop_reason == "aborted" else "completed",
            num_preempted=0,
            extra_fields={"global_steps": done.version},
        )

    async def generate_groups(
        self, request_id: str, requests: Sequence[tuple[list[int], dict[str, Any], int]]
    ) -> list[list[dict[str, Any]]]:
        """Generate several responses to each of several prompts in one call.

        Args:
            request_id: unique among the unfinished requests.
            requests: for each prompt its token ids, sampling parameters and number of responses.

        Returns:
            For each prompt its responses, each with `token_ids`, `log_probs` and `global_steps`.

        Raises:
            as `generate`.
        """
        tasks = [
            self.generate(f"{request_id}-{place}-{number}", prompt, params)
            for place, (prompt, params, count) in enumerate(requests)
            for number in range(count)
        ]
        outputs = iter(await asyncio.gather(*tasks))
        return [
            [
                {
                    "token_ids": output.token_ids,
                    "log_probs": output.log_probs,
                    "global_steps": output.extra_fields["global_steps"],
                }
                for output in itertools.islice(outputs, count)
            ]
            for _, _, count in requests
        ]

    def _extra_fields(self) -> dict[str, Any]:
        return {"global_steps": self._engine.version}

    def _generate_forever(self) -> None:
        while True:
            with self._work:
                while not self._inbox and not self._engine.busy:
                    self._work.wait()
            try:
                with self._lock:
                    with self._work:
                        arrived, self._inbox = self._inbox, []
                    for request_id, prompt, params in arrived:
                        self._engine.add(request_id, prompt, params)
                    finished = self._engine.step()
            except Exception as error:  # passed to every waiting request: a thread has no caller
                logger.exception("generation failed")
                self._call(self._fail, error)
                return
            if finished:
                self._call(self._deliver, finished)

    def _call(self, function: Any, argument: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, argument)

    def _deliver(self, finished: list[Completion]) -> None:
        for completion in finished:
            self._futures.pop(completion.request_id).set_result(completion)
        if not self._futures:
            self._idle.set()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        for future in self._futures.values():
            future.set_exception(RuntimeError(f"generation failed: {error!r}"))
        self._futures.clear()
        self._idle.set()

    # --- weights ---------------------------------------------------------------------------------------

    async def load_weights(self, bucket: Bucket) -> None:
        """Copy some of the trainer's weights into the model; `finish_weights` ends the transfer."""
        await self._locked(self._loader.load, bucket)

    async def finish_weights(self, global_steps: int | None) -> None:
        """End a transfer.

        Args:
            global_steps: training step the weights belong to, reported with every later response.

        Raises:
            ValueError: a parameter was not sent.
        """
        await self._locked(self._loader.finish)
        if global_steps is not None:
            await self.set_global_steps(global_steps)

    async def set_global_steps(self, global_steps: int) -> None:
        """Set the training step of the loaded weights."""
        await self._locked(self._engine.set_version, int(global_steps))

    async def _locked(self, function: Any, *args: Any) -> Any:
        def run() -> Any:
            with self._lock:
                return function(*args)

        return await asyncio.to_thread(run)

    # --- control ---------------------------------------------------------------------------------------

    async def wait_for_requests_to_drain(self) -> None:
        """Return when all requests are finished."""
        await self._idle.wait()

    async def sleep(self) -> None:
        """Free the device's memory after the last request, if `rollout.free_cache_engine` is set."""
        if not self.settings.release_on_sleep:
            return
        await self._idle.wait()
        await self._locked(self._move, "cpu")

    async def wake_up(self, tags: list[str] | None = None) -> None:
        """Allocate the device's memory again; `load_weights` restores the weights."""
        if self.settings.release_on_sleep and (tags is None or "weights" in tags):
            await self._locked(self._move, self.settings.device)

    def _move(self, device: str) -> None:
        self._engine.release_cache()
        self._engine.model.to(device)
        if self.settings.device == "cuda":
            torch.cuda.empty_cache()
            if device == "cuda":  # the trainer may have taken more meanwhile
                self._engine.limits = engine_limits(self.settings)

    async def clear_kv_cache(self) -> None:
        """Does nothing: no cache is kept between requests."""

    async def release_kv_cache(self) -> None:
        """Free the key-value cache after the last request."""
        await self._idle.wait()
        await self._locked(self._engine.release_cache)

    async def resume_kv_cache(self) -> None:
        """Does nothing: the cache is allocated on use."""

    async def abort_all_requests(self, reject_request: bool = False) -> dict[str, Any]:
        """End all requests with the tokens generated so far and hold new ones until `resume_generation`.

        Args:
            reject_request: refuse new requests instead of holding them.
        """
        self._admitting.clear()
        self._rejecting = reject_request

        def abort() -> list[Completion]:
            with self._work:
                arrived, self._inbox = self._inbox, []
            for request_id, prompt, params in arrived:
                self._engine.add(request_id, prompt, params)
            return self._engine.abort()

        aborted = await self._locked(abort)
        self._deliver(aborted)
        return {"aborted_count": len(aborted), "request_ids": [item.request_id for item in aborted]}

    async def resume_generation(self) -> None:
        """Accept requests again after `abort_all_requests`."""
        self._rejecting = False
        self._admitting.set()

    async def start_profile(self, **_: Any) -> None:
        """The server has no profiler of its own."""

    async def stop_profile(self, **_: Any) -> None:
        """The server has no profiler of its own."""

    async def ready(self) -> None:
        """Return when the model is loaded."""
