"""Reads requests of OpenAI's interface; whatever would be ignored is refused."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.training.serving.refusals import Refusal, bad_value

#: Fields that ask for what this server does not do, with the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "stream": (None, False),
    "stream_options": (None,),
    "echo": (None, False),
    "suffix": (None, ""),
    "best_of": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "min_p": (None, 0),
    "truncate_prompt_tokens": (None,),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "store": (None, False),
    "parallel_tool_calls": (None, True),
    # text is never read for calls: they stay in the content, tags and all
    "tool_choice": (None, "none"),
}
#: Fields that say nothing about the answer.
LABELS = ("user", "metadata", "safety_identifier")
SHARED = (
    *("model", "max_tokens", "temperature", "top_p", "top_k", "seed", "n", "stop", "stop_token_ids"),
    *("ignore_eos", "skip_special_tokens", "max_prompt_tokens"),
)
CHAT = ("messages", "tools", "max_completion_tokens", "add_generation_prompt", "chat_template_kwargs")
COMPLETION = ("prompt", "add_special_tokens")
MOST_CHOICES = 128
MOST_STOPS = 64
MOST_PROMPTS = 1024


@dataclass(frozen=True)
class Wish:
    """How answers are to be drawn and cut.

    Attributes:
        max_tokens: most tokens of an answer; None for as many as there is room for.
        temperature, top_p, top_k: as `SamplingParams`.
        seed: of the draws, ≥ 0; one made up where the request has none.
        n: answers to each prompt.
        stop: an answer ends before the first of these.
        stop_ids: it ends at one of these tokens, which is left out.
        ignore_eos: it does not end at the model's own stop tokens.
        skip_special_tokens: leave special tokens out of the text.
        max_prompt_tokens: a longer prompt is refused.
    """

    max_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    seed: int
    n: int
    stop: tuple[str, ...]
    stop_ids: frozenset[int]
    ignore_eos: bool
    skip_special_tokens: bool
    max_prompt_tokens: int | None


@dataclass(frozen=True)
class ChatWish:
    """A request for `/v1/chat/completions`; `extra` are values for the chat template."""

    wish: Wish
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    add_generation_prompt: bool
    extra: dict[str, Any]


@dataclass(frozen=True)
class CompletionWish:
    """A request for `/v1/completions`; prompts are texts or token ids."""

    wish: Wish
    prompts: list[str | list[int]]
    add_special_tokens: bool


def read_chat(body: Mapping[str, Any], model: str) -> ChatWish:
    """Read a chat request.

    Raises:
        Refusal: 400 for what cannot be used or is not supported, 404 for another model.
    """
    _check_fields(body, model, (*SHARED, *CHAT))
    limits = [_whole(body, name, least=1) for name in ("max_tokens", "max_completion_tokens")]
    given = [limit for limit in limits if limit is not None]
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad_value("messages", "must be a list of at least one message")
    tools = body.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise bad_value("tools", "must be a list of objects")
    extra = body.get("chat_template_kwargs") or {}
    if not isinstance(extra, dict):
        raise bad_value("chat_template_kwargs", "must be an object")
    return ChatWish(
        _wish(body, min(given) if given else None),
        [_message(message, f"messages[{place}]") for place, message in enumerate(messages)],
        tools or None,
        _flag(body, "add_generation_prompt", True),
        extra,
    )


def read_completion(body: Mapping[str, Any], model: str) -> CompletionWish:
    """Read a request for completions.

    Raises:
        Refusal: as `read_chat`.
    """
    _check_fields(body, model, (*SHARED, *COMPLETION))
    limit = _whole(body, "max_tokens", least=1)
    return CompletionWish(
        _wish(body, 16 if limit is None else limit),  # OpenAI's default
        _prompts(body.get("prompt")),
        _flag(body, "add_special_tokens", True),
    )


def _check_fields(body: Mapping[str, Any], model: str, known: Sequence[str]) -> None:
    asked = body.get("model")
    if not isinstance(asked, str):
        raise bad_value("model", f"must be the model's name, {model!r}")
    if asked != model:
        message = f"the model {asked!r} does not exist here; this server has {model!r}"
        raise Refusal(404, message, code="model_not_found", param="model")
    for name, value in body.items():
        if name in known or name in LABELS:
            continue
        if name not in NEUTRAL:
            raise Refusal(400, f"{name} is no parameter of this server", code="unknown_parameter", param=name)
        if not any(value == neutral and type(value) is type(neutral) for neutral in NEUTRAL[name]) and not (
            isinstance(value, float) and value in NEUTRAL[name]
        ):
            neutral = NEUTRAL[name][-1]
            message = f"{name}={value!r} is not supported by this server (only {neutral!r}, or leave it out)"
            raise Refusal(400, message[:500], code="unsupported_parameter", param=name)


def _wish(body: Mapping[str, Any], max_tokens: int | None) -> Wish:
    top_p = _number(body, "top_p", 1.0)
    if not 0 < top_p <= 1:
        raise bad_value("top_p", f"must be in (0, 1], not {top_p:g}")
    seed = _whole(body, "seed", least=-(1 << 63))
    return Wish(
        max_tokens=max_tokens,
        temperature=_number(body, "temperature", 1.0),
        top_p=top_p,
        top_k=_whole(body, "top_k", least=-1) or -1,
        seed=secrets.randbits(63) if seed is None else seed & ((1 << 64) - 1),
        n=_whole(body, "n", least=1, most=MOST_CHOICES) or 1,
        stop=_stops(body.get("stop")),
        stop_ids=frozenset(_ids(body.get("stop_token_ids") or [], "stop_token_ids")),
        ignore_eos=_flag(body, "ignore_eos", False),
        skip_special_tokens=_flag(body, "skip_special_tokens", True),
        max_prompt_tokens=_whole(body, "max_prompt_tokens", least=1),
    )


def _message(message: Any, place: str) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise bad_value(place, "must be an object with a role")
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise bad_value(f"{place}.content", "only parts of text are supported")
        return {**message, "content": "".join(map(str, parts))}
    if content is not None and not isinstance(content, str):
        raise bad_value(f"{place}.content", "must be a text")
    return message


def _prompts(given: Any) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise bad_value("prompt", "must be a text, a list of texts, or token ids")
    if all(isinstance(part, int) for part in given):
        return [_ids(given, "prompt")]
    if len(given) > MOST_PROMPTS:
        raise bad_value("prompt", f"at most {MOST_PROMPTS} prompts in a request")
    return [
        part if isinstance(part, str) else _ids(part, f"prompt[{place}]") for place, part in enumerate(given)
    ]


def _stops(given: Any) -> tuple[str, ...]:
    stops = [given] if isinstance(given, str) else given or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise bad_value("stop", "must be a text, or a list of texts, none of them empty")
    if len(stops) > MOST_STOPS or any(len(stop) > 1000 for stop in stops):
        raise bad_value("stop", f"at most {MOST_STOPS} texts of at most 1000 characters")
    return tuple(stops)


def _ids(given: Any, param: str) -> list[int]:
    if not isinstance(given, list) or not all(type(token) is int and token >= 0 for token in given):
        raise bad_value(param, "must be a list of token ids")
    return given


def _flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise bad_value(name, f"must be true or false, not {value!r}")
    return value


def _number(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise bad_value(name, f"must be a number of at least 0, not {value!r}")
    return float(value)


def _whole(body: Mapping[str, Any], name: str, *, least: int, most: int = (1 << 63) - 1) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        bounds = f"at least {least}" if most >= 1 << 62 else f"from {least} to {most}"
        raise bad_value(name, f"must be a whole number of {bounds}, not {value!r}")
    return value
