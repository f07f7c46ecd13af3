"""`toolrl serve`: what it prints, how it ends, what it refuses; the server itself is tested in tests/training."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli import training
from toolrl_cli.errors import StageError
from toolrl_cli.training.serving import Endpoint


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server is started with; it is interrupted at once."""
    seen: dict[str, Any] = {}

    @contextlib.contextmanager
    def serving(model: str, **options: Any) -> Iterator[Endpoint]:
        seen.update(options, model=model)
        yield Endpoint(
            "http://127.0.0.1:8123/v1",
            model,
            options["key"],
            seen.get("chat", True),
            seen.get("check", interrupted),
        )

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.serving, "serving", serving)
    return seen


def test_the_url_and_a_request_to_paste_are_printed_and_ctrl_c_ends_it(
    toolrl: Toolrl, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    answer = toolrl("serve", "it's/here", "--device", "cpu", "--port", "0", "--key-env", "MY_KEY")
    assert answer.code == 0
    url, curl = answer.out.splitlines()
    assert url == "http://127.0.0.1:8123/v1"
    words = shlex.split(curl)
    assert words[:2] == ["curl", f"{url}/chat/completions"]
    assert "Authorization: Bearer $MY_KEY" in words
    assert "it's/here" in words[-1]
    assert "secret" not in answer.out + answer.err
    assert (asked["key"], asked["port"], asked["dtype"], asked["host"]) == (
        "secret",
        0,
        "float32",
        "127.0.0.1",
    )
    assert not Path(asked["log"]).parent.exists()


def test_a_model_without_a_chat_template_is_asked_for_a_completion(
    toolrl: Toolrl, asked: dict[str, Any]
) -> None:
    asked["chat"] = False
    words = shlex.split(toolrl("serve", "m", "--device", "cpu").out.splitlines()[1])
    assert words[1] == "http://127.0.0.1:8123/v1/completions"
    assert "prompt" in words[-1]


def test_a_server_that_dies_is_one_line_and_exit_status_1(toolrl: Toolrl, asked: dict[str, Any]) -> None:
    def dead() -> None:
        raise StageError("the server of m died of SIGKILL: out of memory", "server.log")

    asked["check"] = dead
    answer = toolrl("serve", "m", "--device", "cpu")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "error: server.log: the server of m died of SIGKILL: out of memory"


def test_a_missing_key_a_missing_folder_and_an_open_address_are_refused(
    toolrl: Toolrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    for arguments, said in (
        (("m", "--key-env", "NO_KEY"), "error: --key-env NO_KEY: it is not set (export NO_KEY=…)"),
        (("m", "--host", "0.0.0.0"), "error: --host 0.0.0.0: without a key everybody"),
        (("./nothing", "--device", "cpu"), "error: ./nothing: no such model folder"),
    ):
        answer = toolrl("serve", *arguments)
        assert answer.code == 2, answer
        assert answer.err.splitlines()[-1].startswith(said)
