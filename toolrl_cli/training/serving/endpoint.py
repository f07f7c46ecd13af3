"""Starts a server for a model, waits until it answers, watches it, and ends it. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from toolrl_cli.errors import SpecError, StageError
from toolrl_cli.processes.child import describe_exit, importable
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.training.serving.launching import (
    VLLM_KEY_VARIABLE,
    checked_place,
    own_command,
    uses_vllm,
    vllm_command,
)
from toolrl_cli.training.serving.settings import KEY_VARIABLE, ServeSettings

HOST = "127.0.0.1"
START_LIMIT = 1800.0
"""Seconds to load a model, one of tens of GB from a slow disk included."""
GRACE = 10.0  # seconds from SIGTERM to SIGKILL
POLL = 0.1  # seconds between looks at a server that is starting
CACHE_BYTES = 1 << 30
"""Of the key-value cache on a CPU, as stages are reckoned with (`models/host_memory.py`)."""
TAIL = 64 << 10  # bytes of a log that are looked through for its last words


@dataclass(frozen=True)
class Endpoint:
    """A server of OpenAI's interface.

    Attributes:
        url: its root, which ends in `/v1`.
        model: what requests call the model.
        key: what they bear; None for nothing.
        chat: whether it has a chat template, so that `/v1/chat/completions` works.
        check: raises `StageError`, with the log's last line, where the server is known to have died. To be asked
            when a request fails.
    """

    url: str
    model: str
    key: str | None
    chat: bool = True
    check: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


@contextlib.contextmanager
def serving(
    model: str,
    *,
    device: str,
    dtype: str,
    rows: int,
    gpu_share: float = 0.6,
    max_model_len: int | None = None,
    log: Path,
    stop_requested: Callable[[], bool] = lambda: False,
    host: str = HOST,
    port: int = 0,
    key: str | None = None,
    cache_bytes: int = CACHE_BYTES,
    start_limit: float = START_LIMIT,
) -> Iterator[Endpoint]:
    """A server of a model for as long as the context lasts: vLLM where it is installed and on CUDA, else toolrl's.

    It is a child process that ends with this one, however this one ends. Call it from the main thread: on Linux a
    child is killed when the *thread* that started it ends.

    Args:
        model: Hugging Face folder or hub name.
        device: `cpu` or `cuda`.
        dtype: torch's name of the weights' type, such as `float32`.
        rows: answers generated at once; four times as many may be waited for, and at least 256.
        gpu_share: share of the GPU memory for the key-value cache (vLLM: for all).
        max_model_len: most tokens of a prompt and its answer; None for the model's own.
        log: file that its output is appended to.
        stop_requested: asked ten times a second while the server starts.
        host: address that it listens on.
        port: its port; 0 for a free one.
        key: what requests must bear; None to make one up, which keeps others on the machine out; "" for nothing.
        cache_bytes: of toolrl's key-value cache on a CPU.
        start_limit: seconds until it must answer.

    Raises:
        SpecError: the model's folder cannot be loaded, or the port cannot be had.
        StageError: the server ended, or does not answer in time; with the last line of its log.
        InterruptedError: asked to stop while it started.
    """
    checked_place(model)
    key = secrets.token_urlsafe(24) if key is None else key
    with _bound(host, port) as bound:
        place = bound.getsockname()[1]
        settings = ServeSettings(
            model=model,
            device=device,
            dtype=dtype,
            rows=rows,
            gpu_share=gpu_share,
            cache_bytes=cache_bytes,
            max_model_len=max_model_len,
            queue=max(4 * rows, 256),
            socket=bound.fileno(),
        )
        process = _start(settings, host, bound, key, log)
    shown = f"[{host}]" if ":" in host else host
    endpoint = Endpoint(
        f"http://{shown}:{place}/v1", model, key or None, check=lambda: _check_alive(process, model, log)
    )
    try:
        entry = _wait(endpoint, stop_requested, time.monotonic() + start_limit, log)
        yield replace(endpoint, chat=entry.get("chat_template", True))
    finally:
        _end(process)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has its address and does not listen: connections are refused until the server does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        told = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            f"cannot be listened on: {told}", f"{host}:{port}", "name another port, or 0"
        ) from error
    return bound


def _start(
    settings: ServeSettings, host: str, bound: socket.socket, key: str, log: Path
) -> subprocess.Popen[bytes]:
    port = bound.getsockname()[1]
    vllm = uses_vllm(settings.device)
    command = vllm_command(settings, host, port) if vllm else own_command(settings)
    guard = [sys.executable, "-m", "toolrl_cli.processes.guard", str(os.getpid()), *command]
    # in the environment: arguments are seen by every user of the machine
    env = importable(None) | ({VLLM_KEY_VARIABLE if vllm else KEY_VARIABLE: key} if key else {})
    passed = () if vllm else (bound.fileno(),)
    if vllm:
        bound.close()  # vLLM binds the port itself
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            guard,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=passed,
            start_new_session=True,  # Ctrl-C is this process's to handle
        )


def _wait(
    endpoint: Endpoint, stop_requested: Callable[[], bool], deadline: float, log: Path
) -> dict[str, Any]:
    """What the server says of its model, once it answers."""
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    # a proxy of the user's is not asked about this machine's own ports
    with httpx.Client(headers=headers, timeout=5.0, trust_env=False) as client:
        while (entry := _entry(client, endpoint)) is None:
            endpoint.check()
            if stop_requested():
                raise InterruptedError("asked to stop")
            if time.monotonic() > deadline:
                raise StageError(
                    f"its server does not answer in time; its log ends: {last_line(log)}", str(log)
                )
            time.sleep(POLL)
    return entry


def _entry(client: httpx.Client, endpoint: Endpoint) -> dict[str, Any] | None:
    """The model's entry of the server with this key and this model; None where it is not there."""
    try:
        reply = client.get(f"{endpoint.url}/models")
        listed = reply.json()["data"] if reply.status_code == 200 else []
        return next((dict(entry) for entry in listed if entry["id"] == endpoint.model), None)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _check_alive(process: subprocess.Popen[bytes], model: str, log: Path) -> None:
    if process.poll() is not None:
        what = f"the server of {model} {describe_exit(process.returncode)}: {last_line(log)}"
        raise StageError(what, str(log))


def last_line(log: Path) -> str:
    """The last line of a log that says something, an error before others."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    except FileNotFoundError:
        lines = []
    told = [line for line in lines if line]
    errors = [line.removeprefix("error: ") for line in told if line.startswith("error: ")]
    return (errors or told or ["(nothing)"])[-1][:500]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    if process.poll() is None:
        kill(descendants(process.pid))
        process.kill()
        process.wait()
