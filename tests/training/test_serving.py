"""The server's answers and refusals, over HTTP in this process, on a tiny model."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import uvicorn
from transformers import AutoModelForCausalLM, AutoTokenizer

from toolrl_cli.training.models.tiny_model import TinyShape, make_tiny_model
from toolrl_cli.training.serving.__main__ import load
from toolrl_cli.training.serving.http import make_app
from toolrl_cli.training.serving.service import Service
from toolrl_cli.training.serving.settings import ServeSettings
from toolrl_cli.training.serving.stopping import StopWatch

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]
POSITIONS = 512


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(
        tmp_path_factory.mktemp("served") / "model", shape=TinyShape(max_position_embeddings=POSITIONS)
    )


def service_of(folder: Path, **changes: Any) -> Service:
    settings = {
        "model": str(folder),
        "device": "cpu",
        "dtype": "float32",
        "rows": 8,
        "gpu_share": 0.5,
        "cache_bytes": 1 << 26,
        "max_model_len": None,
        "queue": 16,
        "socket": -1,
    }
    threads = torch.get_num_threads()
    try:
        return load(ServeSettings(**settings | changes), lambda error: None)
    finally:
        torch.set_num_threads(threads)


class Asker:
    """Posts requests with the model's name in them."""

    def __init__(self, client: httpx.Client, model: str) -> None:
        self.client = client
        self.model = model

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(f"/v1/{path}", json={"model": self.model, **body})

    def chat(self, **body: Any) -> Any:
        return self.post("chat/completions", **{"messages": MESSAGES, "max_tokens": 12, **body})

    def complete(self, **body: Any) -> Any:
        return self.post("completions", **{"prompt": "What is", "max_tokens": 12, **body})

    def text(self, **body: Any) -> str:
        return str(self.chat(**body).json()["choices"][0]["message"]["content"])

    def refusal(self, path: str = "chat", status: int = 400, **body: Any) -> dict[str, Any]:
        reply = getattr(self, path)(**body)
        assert reply.status_code == status, reply.text
        assert set(reply.json()) == {"error"}
        error: dict[str, Any] = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


@contextlib.contextmanager
def served(service: Service, key: str | None = None) -> Iterator[Asker]:
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(service, key), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=60, trust_env=False
        ) as client:
            yield Asker(client, service.name)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def asker(folder: Path) -> Iterator[Asker]:
    with served(service_of(folder)) as asker:
        yield asker


@pytest.fixture(scope="module")
def greedy(folder: Path) -> tuple[list[int], list[int]]:
    """The prompt of `MESSAGES`, and what Transformers itself answers to it, as token ids."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    whole = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0].tolist()
    read = prompt["input_ids"].shape[1]
    return whole[:read], whole[read:]


def test_a_greedy_answer_is_that_of_transformers(
    asker: Asker, folder: Path, greedy: tuple[list[int], list[int]]
) -> None:
    prompt, expected = greedy
    tokenizer = AutoTokenizer.from_pretrained(folder)
    body = asker.chat(temperature=0, skip_special_tokens=False).json()
    assert body["choices"][0]["message"] == {"role": "assistant", "content": tokenizer.decode(expected)}
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["prompt_tokens"] == len(prompt)
    assert body["usage"]["completion_tokens"] == 12


def test_an_answer_ends_before_a_stop_text_and_at_a_stop_token(
    asker: Asker, greedy: tuple[list[int], list[int]]
) -> None:
    whole, tokens = asker.text(temperature=0, skip_special_tokens=False), greedy[1]
    middle = whole[len(whole) // 2 :][:3]
    for stop in ([middle], middle):
        choice = asker.chat(temperature=0, skip_special_tokens=False, stop=stop).json()["choices"][0]
        assert choice["message"]["content"] == whole[: whole.index(middle)]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", middle)
    body = asker.chat(temperature=0, skip_special_tokens=False, stop_token_ids=[tokens[3]]).json()
    assert body["choices"][0]["finish_reason"] == "stop"
    assert len(body["choices"][0]["message"]["content"]) < len(whole)
    assert body["usage"]["completion_tokens"] == tokens.index(tokens[3]) + 1


def test_a_stop_text_is_found_across_tokens_and_the_first_of_several_counts() -> None:
    letters = "abcdefgh"
    watch = StopWatch(lambda tokens: "".join(letters[token] for token in tokens), ["ef", "de"], [])
    assert [watch(token) for token in range(5)] == [False, False, False, False, True]
    assert watch.hit == "de"


def test_the_models_own_stop_token_ends_an_answer_unless_it_is_ignored(
    folder: Path, greedy: tuple[list[int], list[int]]
) -> None:
    service = service_of(folder)
    service._engine._stop = torch.tensor([greedy[1][2]])
    with served(service) as asker:
        ended = asker.chat(temperature=0).json()
        ignored = asker.chat(temperature=0, ignore_eos=True).json()
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert ended["usage"]["completion_tokens"] <= 3
    assert ignored["usage"]["completion_tokens"] == 12


def test_a_seed_repeats_an_answer_whatever_else_was_asked_and_choices_differ(asker: Asker) -> None:
    drawn = {"temperature": 1.5, "seed": 7, "n": 3}
    first = [choice["message"]["content"] for choice in asker.chat(**drawn).json()["choices"]]
    asker.chat()
    again = [choice["message"]["content"] for choice in asker.chat(**drawn).json()["choices"]]
    assert first == again
    assert len(set(first)) == 3
    assert asker.text(**drawn | {"n": 1}) == first[0]
    assert len({asker.text(temperature=1.5) for _ in range(3)}) > 1


def test_completions_take_texts_and_token_ids(asker: Asker, folder: Path) -> None:
    ids = AutoTokenizer.from_pretrained(folder)("What is")["input_ids"]
    one = asker.complete(temperature=0).json()["choices"][0]["text"]
    for prompt in (ids, ["What is"], [ids, "What is"]):
        texts = [choice["text"] for choice in asker.complete(temperature=0, prompt=prompt).json()["choices"]]
        assert set(texts) == {one}
    assert asker.complete(temperature=0, prompt=[ids, ids], n=2).json()["usage"]["prompt_tokens"] == 2 * len(
        ids
    )
    assert asker.post("completions", prompt="What is").json()["usage"]["completion_tokens"] <= 16


def test_tools_and_values_for_the_template_reach_it(folder: Path) -> None:
    service = service_of(folder)
    seen: dict[str, Any] = {}

    def template(messages: Any, **values: Any) -> Any:
        seen.update(values, messages=messages)
        return {"input_ids": [1, 2, 3]}

    service._prompts.tokenizer.apply_chat_template = template
    tool = {"type": "function", "function": {"name": "f"}}
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    with served(service) as asker:
        wish = {"messages": messages, "tools": [tool], "chat_template_kwargs": {"enable_thinking": False}}
        reply = asker.chat(**wish, tool_choice="none")
    assert reply.status_code == 200
    assert (seen["tools"], seen["enable_thinking"]) == ([tool], False)
    assert seen["messages"][0]["content"] == "ab"
    assert seen["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}


def test_a_prompt_beyond_a_limit_is_refused_and_never_cut(asker: Asker) -> None:
    long = [{"role": "user", "content": "weather " * POSITIONS}]
    for body in (
        {"messages": long},
        {"max_tokens": POSITIONS},
        {"max_completion_tokens": POSITIONS, "max_tokens": None},
        {"max_prompt_tokens": 2},
    ):
        assert asker.refusal(**body)["code"] == "context_length_exceeded", body
    assert asker.refusal("complete", prompt=[1] * POSITIONS)["code"] == "context_length_exceeded"
    assert str(POSITIONS) in asker.refusal(messages=long)["message"]
    tokens = asker.chat().json()["usage"]["prompt_tokens"]
    assert asker.chat(max_prompt_tokens=tokens).status_code == 200
    assert asker.chat(max_tokens=POSITIONS - tokens, stop_token_ids=list(range(500))).status_code == 200


def test_what_would_be_ignored_is_refused(asker: Asker) -> None:
    for body, param in (
        ({"frobnicate": 1}, "frobnicate"),
        ({"stream": True}, "stream"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"seed": "x"}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"skip_special_tokens": 1}, "skip_special_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"prompt": "a"}, "prompt"),
    ):
        assert asker.refusal(**body)["param"] == param
    for prompt in (None, [], "", [10**6], [-1], [1.5]):
        assert asker.refusal("complete", prompt=prompt)["param"].startswith("prompt")
    neutral = {"stream": False, "presence_penalty": 0.0, "logprobs": None, "user": "me", "top_k": 0}
    assert asker.chat(**neutral).status_code == 200


def test_other_models_paths_and_bodies_are_refused_in_openais_form(asker: Asker) -> None:
    assert asker.refusal(status=404, model="gpt-4")["code"] == "model_not_found"
    assert asker.client.get("/v1/engines").json()["error"]["code"] == "not_found"
    for raw in (b"{", b"[]", b"\xff", b"[" * 100_000):
        reply = asker.client.post("/v1/chat/completions", content=raw)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_json")
    assert asker.client.get("/health").json()["status"] == "ok"
    assert [entry["id"] for entry in asker.client.get("/v1/models").json()["data"]] == [asker.model]


def test_a_template_that_is_missing_or_refuses_is_a_reason_and_completions_go_on(folder: Path) -> None:
    service = service_of(folder)
    for template, code in (
        (None, "no_chat_template"),
        ("{{ raise_exception('no tools') }}", "chat_template"),
    ):
        service._prompts.tokenizer.chat_template = template
        with served(service) as asker:
            assert asker.refusal()["code"] == code
            assert asker.complete().status_code == 200
        service = service_of(folder)


def test_the_key_is_asked_for(folder: Path) -> None:
    with served(service_of(folder), "secret") as asker:
        client = asker.client
        assert asker.refusal(status=401)["code"] == "invalid_api_key"
        assert client.get("/v1/models").status_code == 401
        assert client.get("/health").status_code == 200
        client.headers["Authorization"] = "Bearer secret"
        assert asker.chat().status_code == 200


def test_what_never_fits_into_the_cache_is_refused_and_the_server_goes_on(folder: Path) -> None:
    service = service_of(folder, cache_bytes=1 << 18)
    with served(service) as asker:
        error = asker.refusal("complete", prompt=[5] * 300)
        assert error["code"] == "context_length_exceeded"
        assert "GiB" in error["message"]
        assert asker.complete().status_code == 200
        unlimited = asker.chat(max_tokens=None).json()["usage"]
        assert unlimited["total_tokens"] < POSITIONS


def test_a_full_queue_is_429_and_a_client_that_leaves_frees_its_place(folder: Path) -> None:
    service = service_of(folder, queue=2)
    open_gate = threading.Event()
    step = service._engine.step

    def held() -> Any:
        open_gate.wait(30)
        return step()

    service._engine.step = held  # type: ignore[method-assign]
    with served(service) as asker:
        replies: list[int] = []
        waiting = threading.Thread(target=lambda: replies.append(asker.chat(n=2).status_code))
        waiting.start()
        while service.worker.unfinished < 2:
            time.sleep(0.01)
        error = asker.refusal(status=429)
        assert (error["code"], error["type"]) == ("queue_full", "rate_limit_error")
        open_gate.set()
        waiting.join()
        assert replies == [200]
        open_gate.clear()
        with pytest.raises(httpx.ReadTimeout):
            asker.client.post(
                "/v1/completions",
                json={"model": asker.model, "prompt": "a", "max_tokens": 400, "n": 2, "ignore_eos": True},
                timeout=0.3,
            )
        deadline = time.monotonic() + 10
        while service.worker.unfinished and time.monotonic() < deadline:
            time.sleep(0.01)
        open_gate.set()
        assert asker.chat(n=2).status_code == 200
        assert not service._engine.busy


def test_generation_that_fails_is_500_for_all_and_told_to_the_process(folder: Path) -> None:
    service = service_of(folder)
    told: list[BaseException] = []
    service.worker._on_failure = told.append

    def broken() -> Any:
        raise RuntimeError("no such luck")

    service._engine.step = broken  # type: ignore[method-assign]
    with served(service) as asker:
        for _ in range(2):
            error = asker.refusal(status=500)
            assert "no such luck" in error["message"]
    assert [str(error) for error in told] == ["no such luck"]
