"""The command of a server: toolrl's own, or vLLM where it is installed and there is a GPU. Imports nothing heavy."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from toolrl_cli.training.models.folder_check import check_model_folder
from toolrl_cli.training.models.model_folder import folder_of
from toolrl_cli.training.serving.settings import ServeSettings

VLLM_KEY_VARIABLE = "VLLM_API_KEY"


def uses_vllm(device: str) -> bool:
    """Whether vLLM serves a model on this device."""
    return device == "cuda" and find_spec("vllm") is not None


def checked_place(model: str) -> str:
    """What loaders take for a model: a folder, absolute and looked through, or a name on the hub.

    Raises:
        SpecError: the folder is missing, or holds no model that can be loaded.
    """
    plain = Path(model)
    folder = plain.resolve() if plain.is_dir() else folder_of(model)
    if folder is None:
        return model
    check_model_folder(folder, chat=False)
    return str(folder)


def own_command(settings: ServeSettings) -> list[str]:
    """toolrl's server."""
    return [sys.executable, "-m", "toolrl_cli.training.serving", settings.to_argument()]


def vllm_command(settings: ServeSettings, host: str, port: int) -> list[str]:
    """`vllm serve`, read from vLLM's documentation, and never run where toolrl is developed.

    The key is in `VLLM_KEY_VARIABLE`. `--generation-config vllm` leaves out the sampling that the model's own
    generation_config.json proposes, such as a repetition penalty, which would change scores in silence; its stop
    tokens count all the same.
    """
    length = [] if settings.max_model_len is None else ["--max-model-len", str(settings.max_model_len)]
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", settings.model, "--served-model-name", settings.model),
        *("--host", host, "--port", str(port), "--dtype", settings.dtype),
        *("--max-num-seqs", str(settings.rows), "--gpu-memory-utilization", str(settings.gpu_share)),
        *("--generation-config", "vllm", "--seed", "0"),
        *length,
    ]
