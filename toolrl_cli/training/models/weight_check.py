"""Whether weight files are whole and fit their configuration, by their headers alone. Imports no torch."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.training.models.safetensors_header import Shape, read_header

LFS_POINTER = b"version https://git-lfs"
AGAIN = "copy or download it again"
INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
_EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte)\.weight$")


def check_weights(folder: Path, files: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Refuse weight files that are missing, not whole, or of another shape than the configuration's.

    Args:
        folder: of the model.
        files: its weight files (`model_folder.weight_files`).
        config: its `config.json`.

    Raises:
        SpecError: which file, and what is wrong with it.
    """
    if not files:
        raise SpecError("the model folder has no weights", str(folder), _no_weights(folder))
    shapes: dict[str, Shape] = {}
    for file in files:
        if not file.is_file():
            raise SpecError(f"{file.name}, which its index names, is missing", str(folder), AGAIN)
        if is_pointer(file):
            hint = "`git lfs pull` in it fetches the weights"
            raise SpecError(f"{file.name} is a pointer of Git LFS, not weights", str(folder), hint)
        if file.suffix == ".safetensors":
            shapes |= _safetensors(folder, file)
        elif not (zipfile.is_zipfile(file) or _pickled(file)):
            raise SpecError(f"{file.name} is cut off, or no file of torch", str(folder), AGAIN)
    if shapes and all(file.suffix == ".safetensors" for file in files):
        _check_index(folder, shapes)
        _check_shapes(folder, shapes, config)


def is_pointer(file: Path) -> bool:
    """Whether Git LFS left a pointer in place of the file; False where there is none."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER


def _no_weights(folder: Path) -> str:
    torn = next((name for name in INDICES if (folder / name).is_file()), None)
    if torn is not None:
        return f"{torn} names none: {AGAIN}"
    return "expected model.safetensors or pytorch_model.bin, or the index of their shards"


def _pickled(file: Path) -> bool:
    """Whether it begins as torch's older files do, whose end does not tell whether they are whole."""
    with file.open("rb") as stream:
        return stream.read(1) == b"\x80"


def _safetensors(folder: Path, file: Path) -> Mapping[str, Shape]:
    """Shapes of a safetensors file.

    Raises:
        SpecError: it is not whole.
    """
    try:
        header = read_header(file)
    except ValueError as error:
        raise SpecError(str(error), str(folder), AGAIN) from None
    size = file.stat().st_size
    if size < header.size:
        raise SpecError(f"{file.name} is cut off: {size} of {header.size} bytes", str(folder), AGAIN)
    if size > header.size:
        raise SpecError(f"{file.name} has a tail", str(folder), AGAIN)
    return header.shapes


def _check_index(folder: Path, shapes: Mapping[str, Shape]) -> None:
    index = folder / INDICES[0]
    if not index.is_file() or (folder / "model.safetensors").is_file():  # the latter is what is loaded
        return
    named = json.loads(index.read_bytes())["weight_map"]  # `weight_files` has read it
    lost = sorted(set(named) - set(shapes))
    if lost:
        what = f"{named[lost[0]]} lacks {lost[0]}, which the index names"
        raise SpecError(what + (f", and {len(lost) - 1} more" if lost[1:] else ""), str(folder), AGAIN)


def _check_shapes(folder: Path, shapes: Mapping[str, Shape], config: Mapping[str, Any]) -> None:
    """What Transformers would refuse only in a worker, or fill with random numbers without an error."""
    hint = "config.json and the weights are of two models: take both from one"
    nested = config.get("text_config")
    sizes = nested if isinstance(nested, dict) else config
    wanted = (sizes.get("vocab_size"), sizes.get("hidden_size"))
    for name, shape in shapes.items():
        if _EMBEDDINGS.search(name) and len(shape) == 2 and all(isinstance(n, int) for n in wanted):
            if sizes.get("word_embed_proj_dim", wanted[1]) != wanted[1]:
                continue
            for n, (key, is_) in enumerate(zip(("vocab_size", "hidden_size"), shape, strict=True)):
                if is_ != wanted[n]:
                    what = f"config.json says {key} {wanted[n]}, and {name} has {is_}"
                    raise SpecError(what, str(folder), hint)
    layers, numbers = sizes.get("num_hidden_layers"), {int(m[1]) for n in shapes if (m := _LAYER.search(n))}
    if nested is None and isinstance(layers, int) and numbers and max(numbers) + 1 < layers:
        what = f"config.json says num_hidden_layers {layers}, and the weights have {max(numbers) + 1}"
        raise SpecError(what, str(folder), hint)
