"""One model that answers requests: from what was asked to what OpenAI's interface returns."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from toolrl_cli.training.rollout.engine import Completion, GenerationEngine
from toolrl_cli.training.rollout.sampling import SamplingParams
from toolrl_cli.training.serving.prompts import Prompts
from toolrl_cli.training.serving.refusals import bad_value, too_long
from toolrl_cli.training.serving.requests import ChatWish, CompletionWish, Wish
from toolrl_cli.training.serving.stopping import StopWatch
from toolrl_cli.training.serving.worker import Order, Worker

GIB = 1 << 30


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: up to what stopped it.
        finish: `stop` or `length`.
        stopped_by: the text or token of the request's own that stopped it.
        tokens: generated, the stop token included.
        reused: tokens of its prompt that were in the cache.
    """

    text: str
    finish: str
    stopped_by: str | int | None
    tokens: int
    reused: int


class Service:
    """A model's answers.

    Args:
        name: what requests call it.
        engine: its engine.
        prompts: its tokenizer.
        positions: most tokens of a prompt and its answer; None where the model has no limit.
        worker: runs the engine.
    """

    def __init__(
        self, name: str, engine: GenerationEngine, prompts: Prompts, positions: int | None, worker: Worker
    ) -> None:
        self.name = name
        self.worker = worker
        self.positions = positions
        self._created = int(time.time())
        self._engine = engine
        self._prompts = prompts
        # a long text must not hold up the others
        self._tokenizing = ThreadPoolExecutor(1, "toolrl-tokenizing")

    def entry(self) -> dict[str, Any]:
        """The model's entry in `/v1/models`."""
        return {
            "id": self.name,
            "object": "model",
            "created": self._created,
            "owned_by": "toolrl",
            "max_model_len": self.positions,
            "chat_template": bool(self._prompts.tokenizer.chat_template),
        }

    async def chat(self, asked: ChatWish) -> dict[str, Any]:
        """The body of an answer to `/v1/chat/completions`.

        Raises:
            Refusal: the request has no answer.
        """
        prompt = await self._aside(partial(self._prompts.of_chat, asked))
        answers = await self._answers([prompt], asked.wish, "messages")
        choices = [
            {"message": {"role": "assistant", "content": answer.text}, **_end(answer)} for answer in answers
        ]
        return self._body("chat.completion", "chatcmpl", choices, [prompt], answers)

    async def complete(self, asked: CompletionWish) -> dict[str, Any]:
        """The body of an answer to `/v1/completions`.

        Raises:
            Refusal: the request has no answer.
        """
        prompts = [
            await self._aside(
                partial(self._prompts.of_text, prompt, add_special_tokens=asked.add_special_tokens)
            )
            for prompt in asked.prompts
        ]
        answers = await self._answers(prompts, asked.wish, "prompt")
        choices = [{"text": answer.text, **_end(answer)} for answer in answers]
        return self._body("text_completion", "cmpl", choices, prompts, answers)

    async def _aside(self, function: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, function)

    async def _answers(self, prompts: Sequence[list[int]], wish: Wish, param: str) -> list[Answer]:
        orders, watches = [], []
        decode = partial(self._prompts.text, skip_special_tokens=wish.skip_special_tokens)
        for prompt in prompts:
            params = self._params(len(prompt), wish, param)
            for number in range(wish.n):
                watch = StopWatch(decode, wish.stop, wish.stop_ids) if wish.stop or wish.stop_ids else None
                watches.append(watch)
                orders.append(Order(prompt, params, (wish.seed, number), watch, wish.ignore_eos))
        done = await self.worker.generate(orders)
        return [self._answer(*pair, decode) for pair in zip(done, watches, strict=True)]

    def _params(self, length: int, wish: Wish, param: str) -> SamplingParams:
        """The sampling parameters of a prompt of so many tokens.

        Raises:
            Refusal: it is too long.
        """
        if wish.max_prompt_tokens is not None and length > wish.max_prompt_tokens:
            raise too_long(
                f"the prompt has {length} tokens, and max_prompt_tokens is {wish.max_prompt_tokens}", param
            )
        new = wish.max_tokens
        if self.positions is not None and length + (new or 1) > self.positions:
            told = f"the prompt has {length} tokens" + (f" and its answer may have {new}" if new else "")
            raise too_long(f"{told}; the model has {self.positions} positions", param)
        size, limit = self._engine.size, self._engine.limits.cache_bytes
        room = size.room_beside(length, limit)
        if room < (new or 1):
            message = (
                f"a prompt of {length} tokens with an answer of {new or 1} needs "
                f"{size.alone(length, new or 1) / GIB:.2f} GiB of key-value cache, and this server has "
                f"{limit / GIB:.2f} GiB"
            )
            raise too_long(message, param)
        if new is None:
            new = room if self.positions is None else min(room, self.positions - length)
        try:
            return SamplingParams(new, wish.temperature, wish.top_p, wish.top_k)
        except ValueError as error:
            raise bad_value("sampling", str(error)) from error

    def _answer(self, done: Completion, watch: StopWatch | None, decode: Any) -> Answer:
        hit = watch.hit if watch else None
        tokens = done.tokens
        if done.stop_reason == "completed" and not isinstance(hit, str):
            tokens = tokens[:-1]
        text = decode(tokens)
        if isinstance(hit, str):
            text = text[: text.index(hit)]
        finish = "length" if done.stop_reason == "length" else "stop"
        return Answer(text, finish, hit, len(done.tokens), done.reused)

    def _body(
        self,
        kind: str,
        prefix: str,
        choices: list[dict[str, Any]],
        prompts: Sequence[list[int]],
        answers: Sequence[Answer],
    ) -> dict[str, Any]:
        read, written = sum(map(len, prompts)), sum(answer.tokens for answer in answers)
        each = len(answers) // len(prompts)
        return {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self.name,
            "choices": [{"index": index, **choice} for index, choice in enumerate(choices)],
            "usage": {
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
                "prompt_tokens_details": {"cached_tokens": sum(a.reused for a in answers[::each])},
            },
        }


def _end(answer: Answer) -> dict[str, Any]:
    return {"finish_reason": answer.finish, "stop_reason": answer.stopped_by, "logprobs": None}
