"""The server's process: `python -m toolrl_cli.training.serving SETTINGS`, started by `endpoint.py`."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import SpecError, StageError, ToolrlError
from toolrl_cli.training.serving.launching import checked_place
from toolrl_cli.training.serving.settings import KEY_VARIABLE, ServeSettings
from toolrl_cli.wording import first_line

if TYPE_CHECKING:
    from toolrl_cli.training.serving.service import Service

GRACE = 2  # seconds for answers that are being sent, once it is asked to end
BACKLOG = 2048


def main(argument: str) -> int:
    """Serve until SIGTERM; the exit status of the process."""
    settings = ServeSettings.of_argument(argument)
    if settings.device == "cpu":
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    key = os.environ.pop(KEY_VARIABLE, "") or None
    try:
        return _serve(settings, key)
    except ToolrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _serve(settings: ServeSettings, key: str | None) -> int:
    import uvicorn

    from toolrl_cli.training.serving.http import make_app

    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = make_app(load(settings, fail), key)
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, backlog=BACKLOG, timeout_graceful_shutdown=GRACE
        )
    )
    server.run(sockets=[socket.socket(fileno=settings.socket)])
    if failures:
        raise StageError(f"generation failed: {type(failures[0]).__name__}: {failures[0]}", settings.model)
    return 0


def load(settings: ServeSettings, on_failure: Any) -> Service:
    """The service of a model, loaded.

    Raises:
        ToolrlError: it cannot be loaded.
    """
    from dataclasses import replace

    import torch

    from toolrl_cli.training.cpu.cpu_options import decoding_threads
    from toolrl_cli.training.rollout.engine import EngineLimits, GenerationEngine
    from toolrl_cli.training.rollout.model_loading import gpu_cache_bytes
    from toolrl_cli.training.rollout.stop_tokens import end_of_turn_ids
    from toolrl_cli.training.serving.prompts import Prompts
    from toolrl_cli.training.serving.service import Service
    from toolrl_cli.training.serving.worker import Worker

    tokenizer, model = _loaded(settings)
    if settings.device == "cpu":
        torch.set_num_threads(decoding_threads(model.num_parameters(), torch.get_num_threads()))
    limits = EngineLimits(rows=settings.rows, cache_bytes=settings.cache_bytes, keep=True)
    if settings.device == "cuda":
        limits = replace(limits, cache_bytes=gpu_cache_bytes(settings.gpu_share))
    stop = end_of_turn_ids(tokenizer, model.generation_config, model.config)
    engine = GenerationEngine(model, stop, limits)
    worker = Worker(engine, settings.queue, on_failure)
    words = model.get_input_embeddings().weight.shape[0]
    positions = _positions(model, settings.max_model_len)
    return Service(settings.model, engine, Prompts(tokenizer, words, settings.model), positions, worker)


def _loaded(settings: ServeSettings) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    place = checked_place(settings.model)
    disable_progress_bar()  # the last line of the log is shown where the server dies
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=getattr(torch, settings.dtype))
    except (OSError, ValueError) as error:
        hint = "expected a Hugging Face folder, or a hub name, of a causal language model with its tokenizer"
        raise SpecError(f"does not load: {first_line(error)}", settings.model, hint) from error
    return tokenizer, model.to(settings.device).eval().requires_grad_(False)


def _positions(model: Any, wanted: int | None) -> int | None:
    """Most tokens of a prompt and its answer."""
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    known = [limit for limit in (own, wanted) if limit]
    return min(known) if known else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
