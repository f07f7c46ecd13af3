"""Refuses a model folder that no trainer could load, or would load as something else. Imports no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.training.models.model_folder import ADAPTERS, TOKENIZER_FILES, weight_files
from toolrl_cli.training.models.weight_check import check_weights, is_pointer

TEXTS = ("config.json", "tokenizer_config.json", *TOKENIZER_FILES, "chat_template.jinja")
LANGUAGE_MODELS = ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES")
_PAIR = re.compile(r"\(\s*\"([^\"]+)\",\s*\"(\w+)\"")


def check_model_folder(folder: Path, *, chat: bool = True) -> None:
    """Refuse a folder that no trainer could load, by its configuration and the headers of its weights.

    Args:
        folder: of the model.
        chat: whether its tokenizer must have a chat template.

    Raises:
        SpecError: what is missing, a pointer of Git LFS, torn, contradictory or unknown to Transformers.
    """
    for name in TEXTS:
        if is_pointer(folder / name):
            hint = "`git lfs pull` in it fetches the file"
            raise SpecError(f"{name} is a pointer of Git LFS, not the file itself", str(folder), hint)
    weights = weight_files(folder)
    if (folder / "adapter_config.json").is_file() and all(file.name in ADAPTERS for file in weights):
        base = _json(folder, "adapter_config.json").get("base_model_name_or_path")
        raise SpecError(
            f"the folder holds an adapter alone, of {base or 'a model that it does not name'}",
            str(folder),
            "merge it into its base (peft's merge_and_unload), save model and tokenizer, and name that folder",
        )
    if not (folder / "config.json").is_file():
        raise SpecError(
            "the model folder has no config.json", str(folder), "is this a Hugging Face model folder?"
        )
    config = _json(folder, "config.json")
    _check_architecture(folder, config)
    check_weights(folder, weights, config)
    _check_tokenizer(folder, chat)


def _check_architecture(folder: Path, config: Mapping[str, Any]) -> None:
    (known, classes), kind = _known(), config.get("model_type")
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else None
    if known and kind not in known:
        if config.get("auto_map"):
            what = f"model type {kind!r} needs the code in its folder (auto_map), and toolrl runs no model's own code"
        else:
            version = metadata.version("transformers")
            what = f"config.json's model_type {kind!r} is no language model that Transformers {version} knows"
        raise SpecError(
            what, str(folder), "name another model, or a release of Transformers that has it built in"
        )
    if architecture is None:
        hint = 'write there the class of its weights, such as ["Qwen2ForCausalLM"]'
        raise SpecError("config.json names no architectures", str(folder), hint)
    if known and architecture not in classes:
        what = f"config.json's architecture {architecture} is no language model with a head"
        raise SpecError(
            what, str(folder), "name the chat model itself, not its reward, embedding or base class"
        )


def _check_tokenizer(folder: Path, chat: bool) -> None:
    there = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not there:
        raise SpecError(
            "the model folder has no tokenizer",
            str(folder),
            "copy tokenizer.json and tokenizer_config.json into it",
        )
    for name in there:
        file = folder / name
        if file.stat().st_size == 0 or (
            file.suffix == ".json" and not file.read_bytes().rstrip().endswith(b"}")
        ):
            raise SpecError(f"{name} is cut off", str(folder), "copy it again")
    settings = _json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name; the default is the one that is used
        template = next((t.get("template") for t in template if t.get("name") == "default"), None)
    written = folder / "chat_template.jinja"
    if written.is_file():  # goes before the other
        template = written.read_text(encoding="utf-8", errors="replace").strip()
    if chat and not template:
        raise SpecError(
            "the model's tokenizer has no chat template",
            str(folder),
            "use the instruct model, or add chat_template.jinja",
        )


@lru_cache(maxsize=1)
def _known() -> tuple[frozenset[str], frozenset[str]]:
    """Model types and classes of the language models of the installed Transformers; empty where its tables moved.

    The tables are read as text: importing them imports torch.
    """
    found = find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset(), frozenset()
    try:
        text = (Path(found.origin).parent / "models" / "auto" / "modeling_auto.py").read_text(
            encoding="utf-8"
        )
    except OSError:
        return frozenset(), frozenset()
    pairs: list[tuple[str, str]] = []
    for name in LANGUAGE_MODELS:
        table = re.search(rf"^{name} = OrderedDict\((.*?)^\)", text, re.M | re.S)
        if table is None:
            return frozenset(), frozenset()
        pairs += _PAIR.findall(table[1])
    return frozenset(kind for kind, _ in pairs), frozenset(name for _, name in pairs)


def _json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of the folder.

    Raises:
        SpecError: it is none.
    """
    try:
        data = json.loads((folder / name).read_bytes())
    except ValueError:
        raise SpecError(f"{name} is no JSON: torn, or edited wrongly", str(folder), "copy it again") from None
    if not isinstance(data, dict):
        raise SpecError(f"{name} is no JSON object", str(folder), "copy it again")
    return data
