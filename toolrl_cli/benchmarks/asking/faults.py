"""Why a request has no answer: what is worth asking again, what is one item's, and what ends the evaluation."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx

from toolrl_cli.spec.evaluations.asking import CannotRun, NotRun

TELL = 200
"""Characters of what an endpoint says that are shown."""
AGAIN = (408, 409, 425, 429)
"""Statuses below 500 that are worth asking again after."""
TOO_LONG = "context_length_exceeded"
TOO_LONG_WORDS = ("maximum context length", "context length", "max_prompt_tokens")
"""In messages of servers that have no such code."""


_MEMORY = "raise resources.gpu_memory_utilization"


class Fault(Exception):
    """A request has no answer; as text, why."""


class Passing(Fault):
    """It is worth asking again.

    Args:
        told: why.
        after: seconds that the endpoint asks to wait; None where it does not say.
        reached: whether the endpoint said anything.
    """

    def __init__(self, told: str, after: float | None = None, *, reached: bool = True) -> None:
        self.after, self.reached = after, reached
        super().__init__(f"{told}; it asks to wait {after:.0f} s" if after else told)


class Refused(Fault):
    """The endpoint does not take this request, and would not take it again."""


class TooLong(Fault):
    """The prompt does not fit.

    Args:
        told: why.
        hint: which key to change.
        owed: whether that key leaves the stage the same one.
    """

    def __init__(self, told: str, hint: str, *, owed: bool = False) -> None:
        self.hint, self.owed = hint, owed
        super().__init__(told)


class Hopeless(Fault):
    """No request will be answered.

    Args:
        told: why.
        hint: what to do.
    """

    def __init__(self, told: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(told)


def not_run(error: CannotRun | TooLong | Refused | Passing) -> NotRun:
    """What an item without an answer comes to."""
    if isinstance(error, TooLong):
        return NotRun(str(error), error.hint, error.owed)
    if isinstance(error, Passing):
        return NotRun(str(error), "raise evaluation.patience, or ask again later", owed=True)
    return NotRun(str(error), owed=isinstance(error, CannotRun))


def fault_of(response: httpx.Response, key_from: str) -> Fault:
    """What an answer that is none says.

    Args:
        response: with another status than 200.
        key_from: the environment variable of the key; empty for none.
    """
    status, (code, told) = response.status_code, _error(response)
    said = f"status {status}" + (f": {told}" if told else "")
    if status in (401, 403):
        where = f"the environment variable {key_from}" if key_from else "no variable: name one with key_env"
        return Hopeless(f"refuses the key ({said})", f"the key was read from {where}")
    if status == 404:
        return Hopeless(
            f"knows no such model or path ({said})", "the URL ends in /v1; name the model as it does"
        )
    if status in AGAIN or status >= 500:
        return Passing(said, _retry_after(response))
    if 300 <= status < 400:
        place = response.headers.get("location", "elsewhere")
        return Hopeless(f"redirects to {place} ({said})", "give that URL, if you trust it")
    if status == 400 and (code == TOO_LONG or any(word in told for word in TOO_LONG_WORDS)):
        hint = _key_to_change(told)
        return TooLong(told or "its prompt is too long", hint, owed=hint == _MEMORY)
    return Refused(said)


def _key_to_change(told: str) -> str:
    if "max_prompt_tokens" in told:
        return "raise evaluation.max_prompt_length"
    if "key-value cache" in told:
        return _MEMORY
    return "lower evaluation.max_response_length, or ask a model with more positions"


def _error(response: httpx.Response) -> tuple[str, str]:
    """Code and message of OpenAI's error object, or the beginning of whatever text there is."""
    error = json_of(response)
    if error is None:
        return "", one_line(response.text)
    for key in ("error", "detail", "message"):
        if isinstance(error, dict) and key in error:
            error = error[key] if key != "message" else error
    if isinstance(error, dict):
        return str(error.get("code") or ""), one_line(str(error.get("message") or error))
    return "", one_line(str(error))


def json_of(response: httpx.Response) -> Any:
    """What a server says as JSON; None where it is none, or nested deeper than anybody means it."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def one_line(text: str) -> str:
    """The beginning of a text, on one line, without what a terminal would take for commands."""
    words = " ".join(text[: 4 * TELL].split())
    line = "".join(character if character.isprintable() else "\ufffd" for character in words)
    return line if len(line) <= TELL else line[:TELL] + "…"


def _retry_after(response: httpx.Response) -> float | None:
    given = response.headers.get("retry-after", "").strip()
    if given.isdecimal():
        return float(given)
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time())
    except (TypeError, ValueError):
        return None
