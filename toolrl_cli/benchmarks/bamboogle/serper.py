"""Google's results from Serper (https://serper.dev), as the released script asks for them and shows them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from toolrl_cli.benchmarks.asking.faults import json_of, one_line
from toolrl_cli.benchmarks.bamboogle.results import NOTHING, SHOWN, numbered
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.evaluations.asking import CannotRun

URL = "https://google.serper.dev/search"
KEY = "SERPER_API_KEY"
ASKED = 15
TRIES = 4
SECONDS = 30.0
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may go through."""


class Serper:
    """Searches with a key.

    Args:
        client: sends the requests.
        key: of Serper.
        wait: told how many seconds to wait between tries.
    """

    def __init__(self, client: httpx.Client, key: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._key = key
        self._wait = wait

    def __call__(self, query: str) -> str:
        """The first results for a query, as text.

        Raises:
            CannotRun: Serper refuses, is not reached, or answers rubbish, in one clause.
        """
        headers = {"X-API-KEY": self._key}
        data = post(self._client, URL, {"q": query, "num": ASKED}, headers, "the search", self._wait)
        return shown(data)


def serper_key() -> str:
    """The key in the environment.

    Raises:
        BenchmarkError: there is none.
    """
    key = os.environ.get(KEY, "").strip()
    if not key:
        hint = "export it, or search documents of your own: evaluation.bamboogle.search: FOLDER"
        raise BenchmarkError(f"{KEY} is not set, and Bamboogle's searches go to Serper", "bamboogle", hint)
    return key


def shown(data: Mapping[str, Any]) -> str:
    """Results as a model is shown them: numbered titles with snippets, a direct answer first."""
    box, lines = data.get("answerBox"), []
    if isinstance(box, Mapping) and "title" in box:
        for key, label in (("answer", "Answer"), ("snippet", "Snippet")):
            if key in box:
                lines.append(f"{box['title']}\n- {label}: {box[key]}")
                break
    organic = data.get("organic")
    for item in organic if isinstance(organic, list) else ():
        if isinstance(item, Mapping) and "title" in item and "snippet" in item:
            lines.append(f"{item['title']}\n- Snippet: {item['snippet']}")
    return numbered(lines[:SHOWN]) if organic else NOTHING


def post(
    client: httpx.Client,
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    what: str,
    wait: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """The JSON object that a service answers, tried again where that may help.

    Args:
        what: the service, for messages; the key is never in one.

    Raises:
        CannotRun: it refuses, is not reached, or answers something else.
    """
    told = ""
    for attempt in range(TRIES):
        if attempt:
            wait(2.0**attempt)
        try:
            answer = client.post(url, json=body, headers=dict(headers), timeout=SECONDS)
        except httpx.HTTPError as error:
            told = str(error) or type(error).__name__
            continue
        if answer.is_success:
            data = json_of(answer)
            if isinstance(data, Mapping):
                return data
            told = "it answers no JSON object"
        else:
            told = f"HTTP {answer.status_code} {one_line(answer.text)[:80]!r}"
            if answer.status_code not in PASSING:
                break
    raise CannotRun(f"{what} failed: {told}")
