"""Merges one of verl's checkpoints to a Hugging Face folder, in the precision of the training.

verl 0.9.1's own merger casts every shard to bf16 and takes LoRA's adapters out, so that the rest is the model that
the training started from. Here the shards keep their precision and adapters are added to their weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from toolrl_cli.errors import StageError
from toolrl_cli.training.checkpointing.chosen_checkpoint import CANNOT_HELP
from toolrl_cli.training.checkpointing.shards import Shards

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")


def merge_checkpoint(
    source: Path, target: Path, dtype: str, stop_requested: Callable[[], bool] = lambda: False
) -> None:
    """Write the model of a checkpoint as a Hugging Face folder; its weights are in memory once, in `dtype`.

    Args:
        source: the folder with the shards of one model.
        target: the folder to create; tokenizer, generation settings and chat template are the checkpoint's.
        dtype: `fp32` or `bf16`, of the weights.
        stop_requested: asked between tensors.

    Raises:
        StageError: the tensors are not those of the model that `huggingface/config.json` describes.
        InterruptedError: asked to stop.
    """
    described = source / "huggingface"
    model = _skeleton(described, DTYPES[dtype])
    shards = Shards(source)
    expected = model.state_dict()
    _check_names(shards.names, set(expected), source)
    state = {}
    for name in sorted(set(expected) - _tied(model, shards)):
        if stop_requested():
            raise InterruptedError("asked to stop")
        owner = type(model.get_submodule(name.rpartition(".")[0])).__name__
        tensor = shards.tensor(name, transposed=owner == "Conv1D")
        if tensor.shape != expected[name].shape:
            what = f"{name} is {tuple(tensor.shape)}, and {tuple(expected[name].shape)} in its configuration"
            raise _unlike(what, source)
        state[name] = tensor.to(DTYPES[dtype]) if tensor.is_floating_point() else tensor
    shards.check_all_merged()
    target.mkdir(parents=True)
    for path in described.iterdir():
        if path.is_file() and not path.name.endswith(_WEIGHTS):
            shutil.copyfile(path, target / path.name)
    logging.disable_progress_bar()
    model.save_pretrained(target, state_dict=state)


def _skeleton(described: Path, dtype: torch.dtype) -> Any:
    """The model that a configuration describes, without memory for its weights."""
    config = transformers.AutoConfig.from_pretrained(described)
    name = (config.architectures or [None])[0]
    known = getattr(transformers, name, None) if name else transformers.AutoModelForCausalLM
    if known is None:
        what = f"its model is a {name}, which Transformers {transformers.__version__} does not have"
        raise StageError(what, str(described), "install a release that has it", failure_class=CANNOT_HELP)
    with torch.device("meta"):
        model = (known._from_config if name else known.from_config)(config, dtype=dtype)
    if (described / "generation_config.json").is_file() and model.can_generate():
        model.generation_config = transformers.GenerationConfig.from_pretrained(described)
    return model


def _tied(model: Any, shards: Shards) -> set[str]:
    """Second names of tied weights: with both in a folder, Transformers 5 would not tie them again.

    Raises:
        StageError: they are to be one weight, and differ.
    """
    model.tie_weights()
    first: dict[int, str] = {}
    second = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        kept = first.setdefault(id(parameter), name)
        if kept != name:
            second[name] = kept
    for name, kept in second.items():
        if not torch.equal(shards.tensor(name), shards.tensor(kept)):
            raise _unlike(f"{name} and {kept} are tied by its configuration, and differ", shards.folder)
    return set(second)


def _check_names(found: set[str], expected: set[str], source: Path) -> None:
    for what, names in (("lacks", expected - found), ("has more:", found - expected)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise _unlike(f"{what} {min(names)}{more}", source)


def _unlike(what: str, source: Path) -> StageError:
    hint = "only whole models of known architectures can be exported; the shards stay as they are"
    return StageError(
        f"not the model of its configuration: {what}", str(source), hint, failure_class=CANNOT_HELP
    )
