"""The server's process: started, waited for, watched, ended; in place of a model's server stands a small one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolrl_cli.errors import SpecError, StageError
from toolrl_cli.processes.tree import marked
from toolrl_cli.training.serving import endpoint as endpoint_module
from toolrl_cli.training.serving import launching, serving
from toolrl_cli.training.serving.settings import ServeSettings

STAND_IN = """
import http.server, json, os, socket, sys
settings = json.loads(sys.argv[1])
if settings["model"] == "hub/broken":
    print("Traceback (most recent call last):", file=sys.stderr)
    print("error: hub/broken: does not load: no such model", file=sys.stderr)
    print("a line after it", file=sys.stderr)
    sys.exit(2)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        right = self.headers.get("Authorization") == "Bearer " + os.environ["TOOLRL_SERVER_KEY"]
        body = json.dumps({"data": [{"id": settings["model"]}]}).encode()
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        print("error: out of luck", file=sys.stderr, flush=True)
        os._exit(3)

server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=settings["socket"])
if settings["model"] != "hub/silent":
    server.server_activate()
server.serve_forever()
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "stand_in.py"
    file.write_text(STAND_IN)

    def command(settings: ServeSettings) -> list[str]:
        return [sys.executable, str(file), settings.to_argument()]

    monkeypatch.setattr(endpoint_module, "own_command", command)
    return file


def options(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "device": "cpu",
        "dtype": "float32",
        "rows": 4,
        "log": tmp_path / "logs" / "server.log",
        **changes,
    }


def test_a_server_is_there_within_the_context_and_gone_after_it(tmp_path: Path) -> None:
    with serving("hub/model", **options(tmp_path)) as endpoint:
        assert (endpoint.url[-3:], endpoint.model) == ("/v1", "hub/model")
        headers = {"Authorization": f"Bearer {endpoint.key}"}
        assert httpx.get(f"{endpoint.url}/models", headers=headers).status_code == 200
        assert httpx.get(f"{endpoint.url}/models").status_code == 401
        endpoint.check()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{endpoint.url}/models")


def test_a_server_that_dies_says_why_when_it_is_asked_for(tmp_path: Path) -> None:
    with serving("hub/model", **options(tmp_path)) as endpoint:
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{endpoint.url}/completions", json={})
        deadline = time.monotonic() + 10
        with pytest.raises(StageError, match="ended with status 3: out of luck"):
            while time.monotonic() < deadline:
                endpoint.check()
                time.sleep(0.02)


def test_a_model_that_does_not_load_is_the_last_line_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(StageError, match="ended with status 2: hub/broken: does not load: no such model"),
        serving("hub/broken", **options(tmp_path)),
    ):
        pass


def test_a_server_that_never_answers_is_ended_at_the_limit_or_when_asked_to_stop(tmp_path: Path) -> None:
    with (
        pytest.raises(StageError, match="does not answer in time"),
        serving("hub/silent", **options(tmp_path, start_limit=0.5)),
    ):
        pass
    with (
        pytest.raises(InterruptedError),
        serving("hub/silent", **options(tmp_path, stop_requested=lambda: True)),
    ):
        pass


def test_a_port_in_use_and_a_folder_without_a_model_are_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SpecError, match=f"127.0.0.1:{port}: cannot be listened on"),
            serving("hub/model", **options(tmp_path, port=port)),
        ):
            pass
    with pytest.raises(SpecError, match=r"no config\.json"), serving(str(tmp_path), **options(tmp_path)):
        pass


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are killed by the kernel on Linux")
def test_a_server_dies_with_a_parent_that_is_killed(tmp_path: Path, stand_in: Path) -> None:
    program = f"""
import os, sys, time
from pathlib import Path
from toolrl_cli.training.serving import endpoint, serving
endpoint.own_command = lambda settings: [sys.executable, {str(stand_in)!r}, settings.to_argument()]
with serving("hub/model", device="cpu", dtype="float32", rows=4, log=Path({str(tmp_path / "log")!r})) as server:
    print(server.url, flush=True)
    time.sleep(60)
"""
    mark = f"serving-{os.getpid()}-{time.time_ns()}"
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TOOLRL_ATTEMPT": mark},
    )
    assert parent.stdout is not None
    with parent.stdout:
        url = parent.stdout.readline().strip()
    assert httpx.get(f"{url}/models").status_code == 401
    assert len(marked(mark)) == 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert marked(mark) == []


def test_vllm_serves_where_it_is_installed_and_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "find_spec", lambda name: object())
    assert launching.uses_vllm("cuda")
    assert not launching.uses_vllm("cpu")
    monkeypatch.setattr(launching, "find_spec", lambda name: None)
    assert not launching.uses_vllm("cuda")
    settings = ServeSettings("m", "cuda", "bfloat16", 64, 0.7, 1, 4096, 256, -1)
    command = launching.vllm_command(settings, "127.0.0.1", 8123)
    pairs = dict(itertools.pairwise(command))
    assert pairs["--max-model-len"] == "4096"
    assert pairs["--generation-config"] == "vllm"
    assert json.loads(settings.to_argument())["rows"] == 64
