"""Leads the conversations about a benchmark's items, many at once, and keeps each as it ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from toolrl_cli.benchmarks.asking.answers import Answers
from toolrl_cli.benchmarks.asking.client import Client
from toolrl_cli.benchmarks.asking.faults import Hopeless, Passing, Refused, TooLong, not_run
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.log import LOG
from toolrl_cli.spec.evaluations.benchmarks import Answer, Ask, CannotRun, Item, NotRun, Reply, Session
from toolrl_cli.spec.identity import digest

FIRST_WAIT, MOST_WAIT = 0.5, 30.0
MOST_GIVEN_UP = 3
"""Questions in a row that an endpoint, which is there, never answers: then it answers none."""
LOOK = 0.1
"""Seconds between looks whether to stop."""
TELL_EVERY = 30.0
"""Seconds between lines on how far it is."""

Conversation = Generator[Ask, Answer, Reply]


@dataclass
class Pace:
    """How patient the asking is.

    Attributes:
        patience: seconds from a question's first failure until it is given up.
        first_wait: seconds before it is asked again; doubled each time, up to `MOST_WAIT`.
    """

    patience: float = 300.0
    first_wait: float = FIRST_WAIT


class Driver:
    """Asks what is owed.

    Args:
        client: of the endpoint, open.
        session: leads the conversations.
        answers: where they are kept, open.
        at_once: conversations that are open at a time.
        seed: of what is drawn.
        pace: how patient.
        known: whether the endpoint has answered others of these questions, so that it takes such requests.
    """

    def __init__(
        self,
        client: Client,
        session: Session,
        answers: Answers,
        at_once: int,
        seed: int = 0,
        pace: Pace | None = None,
        *,
        known: bool = False,
    ) -> None:
        self._client, self._session, self._answers = client, session, answers
        self._at_once, self._seed, self._pace = at_once, seed, pace or Pace()
        self._not_run: dict[str, NotRun] = {}
        self._last_answer = 0.0 if known else float("-inf")
        self._done = self._given_up = self._waiting = 0
        # conversations may block, as one does that waits for a process
        self._threads = ThreadPoolExecutor(at_once, "toolrl-conversation")

    async def ask_all(self, items: Sequence[Item], stop_requested: Callable[[], bool]) -> dict[str, NotRun]:
        """Ask items, and keep their replies.

        Returns:
            Id → why, of the items that could not be run.

        Raises:
            BenchmarkError: the endpoint answers nothing.
            StageError: the server that toolrl started has died.
            InterruptedError: asked to stop; what is finished is kept.
        """
        queue, self._waiting = iter(items), len(items)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(min(self._at_once, len(items)))]
        watch = asyncio.create_task(self._watch(stop_requested, len(items)))
        try:
            pending = {*workers}
            while pending:
                done, _ = await asyncio.wait({*pending, watch}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                pending -= done
        finally:
            for task in (*workers, watch):
                task.cancel()
            await asyncio.gather(*workers, watch, return_exceptions=True)
            self._threads.shutdown(wait=False, cancel_futures=True)
        return self._not_run

    async def _watch(self, stop_requested: Callable[[], bool], total: int) -> None:
        told = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            if stop_requested():
                raise InterruptedError("asked to stop")
            if time.monotonic() - told >= TELL_EVERY:
                told = time.monotonic()
                LOG.info("%d of %d items done", self._done, total)

    async def _work(self, queue: Iterator[Item]) -> None:
        for item in queue:
            self._waiting -= 1
            conversation = self._session.converse(item)
            try:
                self._answers.add(item, await self._lead(item, conversation))
            except (CannotRun, TooLong, Refused, Passing) as error:
                self._not_run[item.id] = not_run(error)
            finally:
                with contextlib.suppress(ValueError):  # a thread is in it: it ends with its session
                    conversation.close()
            self._done += 1

    async def _lead(self, item: Item, conversation: Conversation) -> Reply:
        step = await self._in_thread(_step, conversation, None)
        cut = False
        turn = 0
        while isinstance(step, Ask):
            answer = await self._answer(item, step, turn)
            cut, turn = cut or answer.stop == "length", turn + 1
            step = await self._in_thread(_step, conversation, answer)
        return Reply(step.output, step.record, "length") if cut and step.stop != "length" else step

    async def _in_thread(
        self, function: Callable[[Conversation, Answer | None], Ask | Reply], *arguments: object
    ) -> Ask | Reply:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)  # type: ignore[arg-type]

    async def _answer(self, item: Item, question: Ask, turn: int) -> Answer:
        seed = int(digest([self._seed, item.id, turn], 7), 16)
        wait, failed = self._pace.first_wait, None
        while True:
            try:
                answer = await self._client.ask(question, seed)
            except Passing as error:
                self._client.target.check()
                failed = failed or time.monotonic()
                # whoever asks to be left alone for longer than that would be waited for in silence
                if time.monotonic() - failed + (error.after or 0.0) > self._pace.patience:
                    self._give_up(error, failed)
                    raise
                await asyncio.sleep(
                    error.after if error.after is not None else wait * random.uniform(0.8, 1.2)
                )
                wait = min(2 * wait, MOST_WAIT)
            except Hopeless as error:
                raise BenchmarkError(
                    str(error), self._client.target.url, error.hint, failure_class="config"
                ) from error
            except Refused as error:
                if self._last_answer < 0:  # not this question alone, as far as is known
                    raise BenchmarkError(
                        f"refuses the request: {error}", self._client.target.url, failure_class="config"
                    ) from error
                raise
            else:
                self._last_answer, self._given_up = time.monotonic(), 0
                return answer

    def _give_up(self, error: Passing, since: float) -> None:
        """End it all where the fault is not one item's: nothing was answered since, and it is not only this one.

        Raises:
            BenchmarkError: so it is.
        """
        if self._last_answer >= since:
            return
        self._given_up += 1
        # with nothing left to begin, to end it saves no time, and loses what the others are worth
        one_by_one = self._given_up < MOST_GIVEN_UP or not self._waiting
        if error.reached and self._last_answer >= 0 and one_by_one:
            return
        raise BenchmarkError(
            f"has answered nothing for {time.monotonic() - since:.0f} s: {error}",
            self._client.target.url,
            "see to it, or raise evaluation.patience, and issue the same command again: finished items are kept",
            failure_class="infra",
        ) from error


def _step(conversation: Conversation, answer: Answer | None) -> Ask | Reply:
    try:
        return next(conversation) if answer is None else conversation.send(answer)
    except StopIteration as end:
        reply: Reply = end.value
        return reply


def owed(items: Sequence[Item], answers: Answers) -> list[Item]:
    """The items whose replies are not kept."""
    return [item for item in items if answers.reply(item) is None]
