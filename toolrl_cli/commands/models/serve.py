"""`toolrl serve`: a model behind OpenAI's interface."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import note

if TYPE_CHECKING:
    from toolrl_cli.training.serving import Endpoint

LOCAL = ("127.0.0.1", "::1", "localhost")
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
POLL = 0.5  # seconds between looks whether the server still runs


def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model folder, or a name on the hub.", show_default=False)
    ],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="Another address than this machine's own needs a key.")
    ] = "127.0.0.1",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device")] = "auto",
    precision: Annotated[
        Literal["fp32", "bf16"] | None,
        typer.Option(
            "--precision",
            metavar="TYPE",
            help="fp32 or bf16; default: fp32 on a CPU, bf16 on a GPU.",
            autocompletion=completing.one_of("fp32", "bf16"),
            show_default=False,
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Answers generated at once.")] = 32,
    max_model_len: Annotated[
        int | None,
        typer.Option(
            "--max-model-len",
            min=1,
            help="Most tokens of a prompt and its answer; default: the model's positions.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        float, typer.Option("--cache", metavar="GIB", min=0.01, help="On a CPU: memory for keys and values.")
    ] = 1.0,
    gpu_share: Annotated[
        float,
        typer.Option("--gpu-share", min=0.01, max=0.99, help="Of the free GPU memory, for keys and values."),
    ] = 0.6,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--key-env",
            metavar="VAR",
            help="Environment variable with the key that requests must bear; default: none is needed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a model at /v1/chat/completions and /v1/completions, as OpenAI does, until Ctrl-C.

    vLLM serves where it is installed and there is a GPU, toolrl's own server elsewhere.
    """
    from toolrl_cli.training.device import choose_device
    from toolrl_cli.training.serving import serving

    key = _key(key_env, host)
    chosen = choose_device(device)
    log = Path(tempfile.mkdtemp(prefix="toolrl-serve-")) / "server.log"
    note(f"loading {model} on {chosen}; its log is {log}")
    try:
        with serving(
            model,
            device=chosen,
            dtype=DTYPES[precision or ("bf16" if chosen == "cuda" else "fp32")],
            rows=rows,
            gpu_share=gpu_share,
            max_model_len=max_model_len,
            cache_bytes=int(cache * (1 << 30)),
            log=log,
            host=host,
            port=port,
            key=key,
        ) as endpoint:
            typer.echo(endpoint.url)
            typer.echo(example(endpoint, key_env))
            while True:
                endpoint.check()
                time.sleep(POLL)
    except KeyboardInterrupt:
        note("stopped")
        shutil.rmtree(log.parent, ignore_errors=True)


def example(endpoint: Endpoint, key_env: str | None) -> str:
    """A request to be pasted into a shell."""
    asked = (
        {"messages": [{"role": "user", "content": "What is 2 + 3?"}]}
        if endpoint.chat
        else {"prompt": "2 + 3 ="}
    )
    path = "chat/completions" if endpoint.chat else "completions"
    body = {"model": endpoint.model, **asked, "max_tokens": 64}
    bearer = f' -H "Authorization: Bearer ${key_env}"' if key_env else ""
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {endpoint.url}/{path} -H 'Content-Type: application/json'{bearer} -d {data}"


def _key(variable: str | None, host: str) -> str:
    """The key; empty for none.

    Raises:
        SpecError: the variable is empty, or there is no key where others can reach the server.
    """
    from toolrl_cli.errors import SpecError

    if variable is None:
        if host not in LOCAL:
            what = "without a key everybody who reaches this machine may use the server"
            raise SpecError(what, f"--host {host}", "name one: export TOOLRL_KEY=…; --key-env TOOLRL_KEY")
        return ""
    key = os.environ.get(variable, "")
    if not key or not key.isascii() or any(letter.isspace() for letter in key):
        what = "it is no key of ASCII letters without spaces" if key else "it is not set"
        raise SpecError(what, f"--key-env {variable}", f"export {variable}=…")
    return key
