"""Asking an endpoint: what is kept, asked again, given up, and what a bad endpoint comes to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolrl_cli.benchmarks.asking.answers import Answers
from toolrl_cli.benchmarks.asking.client import Client, Target
from toolrl_cli.benchmarks.asking.driver import Driver, Pace, owed
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.evaluations.benchmarks import Answer, Ask, CannotRun, Item, NotRun, Reply, Session
from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec
from toolrl_cli.store.scores import ANSWERS

ITEMS = [Item(str(n), "c", [{"role": "user", "content": f"question {n}"}]) for n in range(6)]
URL = "http://there/v1"
Handler = Callable[[httpx.Request], httpx.Response]


def said(text: str = "hello", finish: str = "stop", prompt_tokens: int = 3) -> httpx.Response:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1}
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return httpx.Response(200, json={"choices": [choice], "usage": usage})


def asked(request: httpx.Request) -> str:
    return str(json.loads(request.content)["messages"][-1]["content"])


def ask_all(
    folder: Path,
    handler: Handler,
    items: Sequence[Item] = ITEMS,
    *,
    session: Session | None = None,
    stop: Callable[[], bool] = lambda: False,
    at_once: int = 3,
    settings: EvaluateSpec | None = None,
    **target: Any,
) -> tuple[dict[str, NotRun], Answers]:
    answers = Answers(folder, {"protocol": "p"})

    async def all_of_them() -> dict[str, NotRun]:
        end = Target(URL, "m", **target)
        transport = httpx.MockTransport(handler)
        async with Client(end, settings or EvaluateSpec(), transport) as client:
            driver = Driver(client, session or Session(), answers, at_once, pace=Pace(0.2, 0.01))
            return await driver.ask_all(owed(items, answers), stop)

    with answers:
        not_run = asyncio.run(all_of_them())
    return not_run, Answers(folder, {"protocol": "p"})


def test_a_reply_is_there_as_soon_as_it_is_kept(tmp_path: Path) -> None:
    with Answers(tmp_path, {}) as answers:
        answers.add(ITEMS[0], Reply("\ud800", {"n": 1}, "length"))
        assert answers.reply(ITEMS[0]) == Reply("?", {"n": 1}, "length")
    assert Answers(tmp_path, {}).reply(ITEMS[0]) == Reply("?", {"n": 1}, "length")


def test_a_torn_line_at_the_start_costs_no_later_answer(tmp_path: Path) -> None:
    (tmp_path / ANSWERS).write_text('{"id": "0", "as')
    with Answers(tmp_path, {}) as answers:
        answers.add(ITEMS[0], Reply("a"))
    assert Answers(tmp_path, {}).reply(ITEMS[0]) == Reply("a")


def test_what_is_finished_when_it_is_killed_is_never_asked_again_and_nothing_is_lost(tmp_path: Path) -> None:
    finished: Counter[str] = Counter()

    def handler(request: httpx.Request) -> httpx.Response:
        finished[asked(request)] += 1
        return said(f"to {asked(request)}")

    with pytest.raises(InterruptedError):
        slow = slowly(handler, 0.06)
        ask_all(tmp_path, slow, stop=lambda: sum(finished.values()) >= 3, at_once=1)
    file = tmp_path / ANSWERS
    kept = [json.loads(line)["id"] for line in file.read_text().splitlines()]
    assert 2 <= len(kept) < len(ITEMS)
    file.write_text(file.read_text()[:-9])  # the last line is torn: its item is owed
    before = Counter(finished)
    not_run, answers = ask_all(tmp_path, handler)
    assert not_run == {}
    again = [item.id for item in ITEMS if finished[f"question {item.id}"] > before[f"question {item.id}"]]
    assert again == [item.id for item in ITEMS if item.id not in kept[:-1]]
    assert [answers.reply(item) for item in ITEMS] == [Reply(f"to question {n}") for n in range(6)]


def slowly(handler: Handler, seconds: float) -> Any:
    async def slow(request: httpx.Request) -> httpx.Response:
        response = handler(request)
        await asyncio.sleep(seconds)
        return response

    return slow


def test_answers_to_another_question_or_under_other_conditions_are_not_taken(tmp_path: Path) -> None:
    _, answers = ask_all(tmp_path, lambda request: said())
    assert owed(ITEMS, answers) == []
    assert len(owed(ITEMS, Answers(tmp_path, {"protocol": "other"}))) == 6
    for changed in (
        replace(ITEMS[0], messages=[{"role": "user", "content": "another"}]),
        replace(ITEMS[0], tools=[{"name": "another"}]),
    ):
        assert owed([changed], answers) == [changed]


@pytest.mark.parametrize(
    "bad",
    [
        httpx.Response(429, headers={"retry-after": "0"}),
        httpx.Response(503, text="<html>busy</html>"),
        httpx.Response(200, text="<html>a proxy</html>"),
        httpx.Response(200, json={"choices": []}),
        httpx.Response(200, json={"choices": [{"message": {"content": 3}}]}),
        httpx.Response(200, json=[1]),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
)
def test_what_passes_is_asked_again(tmp_path: Path, bad: httpx.Response | Exception) -> None:
    times = Counter[str]()

    def handler(request: httpx.Request) -> httpx.Response:
        times[asked(request)] += 1
        if times[asked(request)] > 1:
            return said()
        if isinstance(bad, Exception):
            raise bad
        return httpx.Response(bad.status_code, headers=bad.headers, content=bad.content)

    not_run, answers = ask_all(tmp_path, handler)
    assert not_run == {} and owed(ITEMS, answers) == []
    assert set(times.values()) == {2}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (
            httpx.Response(503, text="<html>\nbusy</html>"),
            r"answered nothing for \d+ s: status 503: <html> busy",
        ),
        (httpx.Response(200, text="<html>x</html>"), "answers what is no JSON: <html>x</html>"),
        (httpx.Response(200, content=b"\x1b[2J\x00\xff"), "answers what is no JSON: \ufffd\\[2J\ufffd"),
        (httpx.Response(200, text="[" * 100_000), "answers what is no JSON"),
        (httpx.DecodingError("incorrect header"), "cannot be reached: incorrect header"),
        (httpx.ConnectError("refused"), "cannot be reached: refused"),
        (
            httpx.Response(401, json={"error": {"message": "no key"}}),
            r"refuses the key \(status 401: no key\)",
        ),
        (httpx.Response(429, headers={"retry-after": "86400"}), "status 429; it asks to wait 86400 s"),
        (httpx.Response(403), "environment variable MY_KEY"),
        (httpx.Response(404, json={"error": "no model m"}), "no such model or path .*no model m"),
        (httpx.Response(302, headers={"location": "http://login"}), "redirects to http://login"),
        (
            httpx.Response(400, json={"error": {"message": "no field x"}}),
            "refuses the request: status 400: no field",
        ),
    ],
)
def test_an_endpoint_that_answers_nothing_ends_the_evaluation_in_one_line(
    tmp_path: Path, bad: httpx.Response | Exception, told: str
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(bad, Exception):
            raise bad
        return httpx.Response(bad.status_code, headers=bad.headers, content=bad.content)

    with pytest.raises(BenchmarkError, match=told) as caught:
        ask_all(tmp_path, handler, key="secret", key_from="MY_KEY")
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert str(caught.value).startswith(URL)
    hopeless = isinstance(bad, httpx.Response) and bad.status_code in (302, 400, 401, 403, 404)
    assert caught.value.failure_class == ("config" if hopeless else "infra")  # the latter is tried again


def test_what_does_not_fit_or_always_fails_has_no_verdict_and_says_which_key_to_raise(tmp_path: Path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        match asked(request)[-1]:
            case "1":
                error = {"code": "context_length_exceeded", "message": "over max_prompt_tokens"}
                return httpx.Response(400, json={"error": error})
            case "2":
                return httpx.Response(400, json={"message": "This model's maximum context length is 9"})
            case "3":
                return said(prompt_tokens=99_999)
            case "4":
                return httpx.Response(500, text="always")
        return said()

    not_run, answers = ask_all(tmp_path, slowly(handler, 0.0), at_once=1)
    assert not_run["1"].hint == "raise evaluation.max_prompt_length"
    assert "lower evaluation.max_response_length" in not_run["2"].hint
    assert "99999 tokens, and the limit is 4096" in not_run["3"].why
    assert [item.id for item in owed(ITEMS, answers)] == ["1", "2", "3", "4"]


class Twice(Session):
    def converse(self, item: Item) -> Generator[Ask, Answer, Reply]:
        first = yield Ask(item.messages, stop=["X"], max_tokens=7)
        if item.id == "1":
            raise CannotRun("the search is gone")
        second = yield Ask(prompt=first.text)
        return Reply(second.text, {"first": first.text})


def test_a_conversation_of_several_questions_is_led_to_its_end(tmp_path: Path) -> None:
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        bodies.append((request.url.path, body))
        if "prompt" in body:
            return httpx.Response(200, json={"choices": [{"text": "end", "finish_reason": "stop"}]})
        return said("cut", "length")

    not_run, answers = ask_all(tmp_path, handler, ITEMS[:2], session=Twice(), own=True)
    assert not_run == {"1": NotRun("the search is gone", owed=True)}
    assert answers.reply(ITEMS[0]) == Reply("end", {"first": "cut"}, "length")
    path, first = bodies[0]
    assert path == "/v1/chat/completions"
    assert (first["stop"], first["max_tokens"], first["max_prompt_tokens"]) == (["X"], 7, 4096)
    assert first["skip_special_tokens"] is False
    assert bodies[-1][0] == "/v1/completions" and bodies[-1][1]["max_tokens"] == 1024


def test_a_foreign_endpoint_is_sent_only_what_all_know_and_the_key_is_nowhere_on_disk(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return said()

    ask_all(tmp_path, handler, key="secret")
    assert set(json.loads(seen[0].content)) == {"model", "messages", "max_tokens", "temperature", "seed"}
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert "secret" not in (tmp_path / ANSWERS).read_text()
