"""Which modules of a model LoRA adapts, by peft's rules, and how many parameters that adds. Imports no torch itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from toolrl_cli.spec.run.model_settings import EndpointModel, ModelSpec, TinyModel
from toolrl_cli.spec.run.training_settings import LoraSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.training.models.model_folder import folder_of, weight_files
from toolrl_cli.training.models.model_size import ModelSize
from toolrl_cli.training.models.safetensors_header import tensor_shapes
from toolrl_cli.training.models.tiny_model import TinyShape

HEADS = ("lm_head", "embed_out")
"""Names of output heads, which stand in no file where they are tied to the embeddings."""

Modules = Mapping[str, tuple[int, ...]]
"""Dotted name of a module with a two-dimensional weight → the weight's shape."""


@dataclass(frozen=True)
class LoraFault:
    """Why a model cannot be adapted as asked.

    Attributes:
        what: in one clause.
        setting: the dotted setting at fault.
        hint: what to do.
    """

    what: str
    setting: str
    hint: str


def modules_of(model: ModelSpec) -> Modules | None:
    """The modules of a model, from its recipe or its files; None where they cannot be read on this machine."""
    if isinstance(model, TinyModel):
        shape = TinyShape()
        dense = _dense(shape.hidden_size, shape.intermediate_size, shape.num_hidden_layers, shape.hidden_size)
        return {"model.embed_tokens": (0, shape.hidden_size), **dense}
    if isinstance(model, EndpointModel):
        return None
    folder = folder_of(model.path)
    return folder_modules(folder) if folder else None


@lru_cache(maxsize=64)
def folder_modules(folder: Path) -> Modules | None:
    """The modules of a Hugging Face folder; None where its weights are not readable safetensors."""
    files = weight_files(folder)
    shapes = [tensor_shapes(path) if path.suffix == ".safetensors" else None for path in files]
    if not shapes or None in shapes:
        return None
    found = {name: shape for one in shapes if one is not None for name, shape in one.items()}
    # experts are one parameter for all of them when they are loaded, and no modules
    return {
        name.removesuffix(".weight"): shape
        for name, shape in found.items()
        if name.endswith(".weight") and len(shape) == 2 and ".experts." not in name
    }


def loaded_modules(path: str) -> Modules:
    """The modules of a model folder or hub name as Transformers makes them; imports torch and reads no weights.

    A head that is tied to the embeddings is left out, as it is in files.

    Raises:
        OSError, ValueError: its configuration cannot be read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
    head = model.get_output_embeddings() if model.config.tie_word_embeddings else None
    weights = {
        name: module.weight
        for name, module in model.named_modules()
        if module is not head and isinstance(getattr(module, "weight", None), torch.Tensor)
    }
    return {name: tuple(weight.shape) for name, weight in weights.items() if weight.dim() == 2}


def lora_fault(lora: LoraSpec, modules: Modules) -> LoraFault | None:
    """What is wrong with the modules that are named; peft complains only where nothing at all is adapted.

    The output head gets no adapter: where it is tied to the embeddings they would come apart, and where it is not, verl
    leaves it out of what it merges for the sampler (`fsdp_merge_unmerge` goes through the layers alone).

    Args:
        lora: the settings.
        modules: of the model.
    """
    known = sorted({name.rpartition(".")[2] for name in modules if _adaptable(name)})
    named = () if lora.target_modules == "all-linear" else lora.target_modules
    for key, names in (("target_modules", named), ("exclude_modules", lora.exclude_modules)):
        for name in names:
            hits = [module for module in modules if _named(module, [name])]
            setting = f"lora.{key}"
            if key == "target_modules" and (name in HEADS or not all(map(_adaptable, hits))):
                what = f"{name!r} is the model's embedding or output head, which get no adapters"
                return LoraFault(what, setting, f"of {', '.join(known)}")
            if not hits:
                what = f"no module of the model is named {name!r}"
                return LoraFault(what, setting, hint_for(name, known, "modules"))
    if not adapted(lora, modules):
        return LoraFault("nothing is left to adapt", "lora.exclude_modules", "leave out fewer modules")
    return None


def adapted(lora: LoraSpec, modules: Modules) -> list[str]:
    """The modules that get an adapter: those named, or every linear layer but the output head."""
    if lora.target_modules == "all-linear":
        found = [name for name in modules if _adaptable(name)]
    else:
        found = [name for name in modules if _named(name, lora.target_modules)]
    return [name for name in found if not _named(name, lora.exclude_modules)]


def adapter_parameters(lora: LoraSpec, model: ModelSpec, size: ModelSize) -> int:
    """Parameters of all adapters: r × (in + out) each.

    Args:
        lora: the settings.
        model: whose modules; where they cannot be read here, those of a dense model of its size are taken.
        size: of the model.
    """
    modules = modules_of(model)
    if modules is None:
        layers, hidden = max(1, size.layers), max(1, size.hidden)
        kv = hidden // 4  # grouped queries, about
        rest = (size.parameters - size.vocabulary * hidden) / layers - 2 * hidden * (hidden + kv)
        modules = _dense(hidden, max(hidden, round(rest / (3 * hidden))), layers, kv)
    return lora.rank * sum(sum(modules[name]) for name in adapted(lora, modules))


def _dense(hidden: int, intermediate: int, layers: int, kv: int) -> Modules:
    """The linear layers of a Llama- or Qwen2-like model; `kv` is the width of keys and values."""
    one = {
        **{f"self_attn.{name}_proj": (hidden, hidden) for name in "qo"},
        **{f"self_attn.{name}_proj": (kv, hidden) for name in "kv"},
        **{f"mlp.{name}_proj": (intermediate, hidden) for name in ("gate", "up")},
        "mlp.down_proj": (hidden, intermediate),
    }
    return {f"model.layers.{n}.{name}": shape for n in range(layers) for name, shape in one.items()}


def _named(module: str, names: Sequence[str]) -> bool:
    """peft's rule for a list of names (`check_target_module_exists`): the whole name, or its last parts."""
    return any(module == name or module.endswith(f".{name}") for name in names)


def _adaptable(module: str) -> bool:
    """Whether it is a linear layer within the model, and neither an embedding nor the output head above it."""
    last = module.rpartition(".")[2]
    return "." in module and "embed" not in last and last not in ("wte", "wpe")
