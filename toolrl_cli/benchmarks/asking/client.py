"""One question to an OpenAI-compatible endpoint, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from toolrl_cli.benchmarks.asking.faults import (
    Hopeless,
    Passing,
    Refused,
    TooLong,
    fault_of,
    json_of,
    one_line,
)
from toolrl_cli.spec.evaluations.benchmarks import Answer, Ask
from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec
from toolrl_cli.store.scores import whole_number

CONNECT_SECONDS = 10.0
OWN_SECONDS = 3600.0
"""For an answer of a server that toolrl started, and watches."""
READ_SECONDS = 600.0
"""For an answer of any other."""


@dataclass(frozen=True)
class Target:
    """An endpoint as it is asked.

    Attributes:
        url: its root, which ends in `/v1`.
        model: what it calls the model.
        key: what requests bear; None for nothing.
        key_from: the environment variable that the key was read from, for messages.
        own: whether toolrl started it, so that it takes more than the fields that everybody has.
        check: raises where the server is known to have died.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_from: str = ""
    own: bool = False
    check: Callable[[], None] = field(default=lambda: None, repr=False)


class Client:
    """Asks an endpoint. Open it with `async with`.

    Args:
        target: the endpoint.
        settings: how answers are drawn.
        transport: in place of the network, for tests.
    """

    def __init__(
        self, target: Target, settings: EvaluateSpec, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.target = target
        self._settings = settings
        headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
        seconds = OWN_SECONDS if target.own else READ_SECONDS
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None),
            trust_env=not target.own,  # a user's proxy is not asked about this machine's own ports
            transport=transport,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, question: Ask, seed: int) -> Answer:
        """The answer to a question.

        Args:
            question: what to ask.
            seed: of its draw.

        Raises:
            Fault: there is none.
        """
        path = "chat/completions" if question.prompt is None else "completions"
        try:
            response = await self._http.post(f"{self.target.url}/{path}", json=self._body(question, seed))
        except httpx.TimeoutException as error:
            raise Passing(f"does not answer in time ({type(error).__name__})", reached=False) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Hopeless(f"is no URL: {error}", "for example http://127.0.0.1:8000/v1") from error
        except httpx.RequestError as error:
            # no connection, one that breaks off, or bytes that are not as announced
            raise Passing(
                f"cannot be reached: {str(error) or type(error).__name__}", reached=False
            ) from error
        except UnicodeEncodeError as error:  # a lone surrogate has no bytes
            raise Refused(f"its question is no text that can be sent: {error.reason}") from error
        if response.status_code != 200:
            raise fault_of(response, self.target.key_from)
        answer = _answer(response)
        limit = self._settings.max_prompt_length
        if answer.prompt_tokens is not None and answer.prompt_tokens > limit:
            raise TooLong(
                f"the prompt has {answer.prompt_tokens} tokens, and the limit is {limit}",
                "raise evaluation.max_prompt_length",
            )
        return answer

    def _body(self, question: Ask, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.target.model,
            "temperature": self._settings.temperature,
            "max_tokens": question.max_tokens or self._settings.max_response_length,
            "seed": seed,
        }
        if question.prompt is None:
            body["messages"] = [dict(message) for message in question.messages]
        else:
            body["prompt"] = question.prompt
        if question.tools is not None:
            body["tools"] = [dict(tool) for tool in question.tools]
        if question.stop:
            body["stop"] = list(question.stop)
        if self.target.own:
            # tags may be special tokens, and they are what benchmarks read
            body |= {
                "skip_special_tokens": False,
                "max_prompt_tokens": self._settings.max_prompt_length,
            }
        return body


def _answer(response: httpx.Response) -> Answer:
    body = json_of(response)
    if body is None:
        raise Passing(f"answers what is no JSON: {one_line(response.text) or 'nothing'}")
    if not isinstance(body, Mapping):
        raise Passing(f"answers no JSON object: {one_line(response.text)}")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise Passing(f"its answer has no choices: {one_line(response.text)}")
    choice = choices[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    if isinstance(message, Mapping) and text is None:
        text = ""  # of a turn that is a call alone
    if not isinstance(text, str):
        raise Passing(f"its answer has no text: {one_line(response.text)}")
    if isinstance(message, Mapping) and message.get("tool_calls"):
        text += _as_text(message["tool_calls"])
    usage = body.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    stop = "length" if choice.get("finish_reason") == "length" else "stop"
    return Answer(
        text,
        "length" if stop == "length" else "stop",
        whole_number(counts.get("prompt_tokens")),
        whole_number(counts.get("completion_tokens")),
    )


def _as_text(calls: Any) -> str:
    """Calls that the endpoint has read out of the turn, as models say them."""
    import json

    lines = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            continue
        arguments = function.get("arguments")
        try:
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        except ValueError:
            arguments = str(arguments)
        lines.append(json.dumps({"name": function.get("name"), "arguments": arguments}, ensure_ascii=False))
    return "".join(f"\n<tool_call>\n{line}\n</tool_call>" for line in lines)
