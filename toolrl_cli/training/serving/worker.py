"""One thread that generates, for a server whose requests come and go in an event loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolrl_cli.training.rollout.engine import Completion, GenerationEngine
from toolrl_cli.training.rollout.sampling import SamplingParams
from toolrl_cli.training.serving.refusals import Refusal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """One answer to generate; see `GenerationEngine.add`."""

    prompt: Sequence[int]
    params: SamplingParams
    stream: tuple[int, int]
    watch: Callable[[int], bool] | None = None
    endless: bool = False


class Worker:
    """Generates in a thread of its own.

    Args:
        engine: used by that thread alone from `start` on.
        most: orders that may be unfinished at a time, waiting ones included.
        on_failure: called in the event loop when generation has failed for good.
    """

    def __init__(
        self, engine: GenerationEngine, most: int, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._engine = engine
        self._most = most
        self._on_failure = on_failure
        self._work = threading.Condition()
        self._inbox: list[tuple[str, Order]] = []
        self._cancelled: set[str] = set()
        self._ending = False
        self._futures: dict[str, asyncio.Future[Completion]] = {}
        self._names = map(str, itertools.count())
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._generate, name="toolrl-serving", daemon=True)

    def start(self) -> None:
        """Begin; called in the event loop of the requests."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after the current step."""
        with self._work:
            self._ending = True
            self._work.notify()
        await asyncio.to_thread(self._thread.join)

    @property
    def unfinished(self) -> int:
        """Number of orders that are unfinished."""
        return len(self._futures)

    async def generate(self, orders: Sequence[Order]) -> list[Completion]:
        """Carry out orders; cancelled, it takes them out of the batch.

        Raises:
            Refusal: 429 where there are too many already, 500 where generation failed.
        """
        if self._failure is not None:
            raise _failed(self._failure)
        if len(self._futures) + len(orders) > self._most:
            message = f"{len(self._futures)} answers are waited for already, of at most {self._most}; try again later"
            raise Refusal(429, message, code="queue_full")
        assert self._loop is not None
        named = {next(self._names): order for order in orders}
        futures = {name: self._loop.create_future() for name in named}
        self._futures |= futures
        with self._work:
            self._inbox += named.items()
            self._work.notify()
        try:
            return list(await asyncio.gather(*futures.values()))
        finally:
            if gone := {name for name in named if self._futures.pop(name, None) is not None}:
                with self._work:
                    self._cancelled |= gone
                    self._work.notify()

    def _generate(self) -> None:
        assert self._loop is not None
        while True:
            with self._work:
                while not (self._inbox or self._cancelled or self._engine.busy or self._ending):
                    self._work.wait()
                if self._ending:
                    return
                arrived, self._inbox = self._inbox, []
                cancelled, self._cancelled = self._cancelled, set()
            try:
                finished = self._step(arrived, cancelled)
            except Exception as error:  # passed to every request: a thread has no caller
                logger.exception("generation failed")
                self._call(self._fail, error)
                return
            if finished:
                self._call(self._deliver, finished)

    def _step(self, arrived: list[tuple[str, Order]], cancelled: set[str]) -> list[Completion]:
        for name, order in arrived:
            self._engine.add(
                name,
                order.prompt,
                order.params,
                stream=order.stream,
                watch=order.watch,
                endless=order.endless,
            )
        if cancelled:
            self._engine.abort(cancelled)
        return self._engine.step() if self._engine.busy else []

    def _call(self, function: Callable[..., None], argument: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, argument)

    def _deliver(self, finished: list[Completion]) -> None:
        for completion in finished:
            future = self._futures.pop(completion.request_id, None)  # none: its client has gone
            if future is not None and not future.done():
                future.set_result(completion)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        for future in self._futures.values():
            if not future.done():
                future.set_exception(_failed(error))
        self._futures.clear()
        self._on_failure(error)


def _failed(error: BaseException) -> Refusal:
    return Refusal(500, f"generation failed: {type(error).__name__}: {error}", code="generation_failed")
