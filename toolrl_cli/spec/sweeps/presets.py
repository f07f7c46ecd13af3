"""Presets: named YAML mappings into the run spec, shipped under `presets/`; models under `presets/models/`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.source import read_yaml
from toolrl_cli.spec.sweeps.settings import flatten

ROOT = Path(__file__).parent / "presets"


@lru_cache
def names() -> tuple[str, ...]:
    """All presets that `preset:` accepts."""
    return tuple(sorted(p.stem for p in ROOT.glob("*.yaml")))


@lru_cache
def model_names() -> tuple[str, ...]:
    """All models that `model:` and `models:` accept by name."""
    return tuple(sorted(p.stem for p in (ROOT / "models").glob("*.yaml")))


def layered(chosen: Any, where: str) -> dict[str, Any]:
    """The dotted settings of a preset, with what it builds on.

    Args:
        chosen: a name, or a list of names, the later one stronger; None for none.
        where: place for the message.

    Raises:
        SpecError: unknown name, not a name, or presets that build on each other in a circle.
    """
    if chosen is None:
        return {}
    wanted = chosen if isinstance(chosen, (list, tuple)) else [chosen]
    flat: dict[str, Any] = {}
    for name in wanted:
        if not isinstance(name, str):
            raise SpecError(f"{name!r} is no preset name", where, hint_for(str(name), names(), "presets"))
        if name not in names():
            raise SpecError(f"unknown preset {name!r}", where, hint_for(name, names(), "presets"))
        flat.update(_shipped(name))
    return flat


@lru_cache
def _shipped(name: str) -> dict[str, Any]:
    return _read(name, "", ())


def _read(name: str, where: str, above: tuple[str, ...]) -> dict[str, Any]:
    if name in above:
        raise SpecError(f"presets build on each other in a circle: {' → '.join((*above, name))}", where)
    if name not in names():
        raise SpecError(f"unknown preset {name!r}", where, hint_for(name, names(), "presets"))
    source = read_yaml(ROOT / f"{name}.yaml")
    own = dict(source.data)
    below = own.pop("preset", None)
    flat: dict[str, Any] = {}
    for parent in [below] if isinstance(below, str) else below or []:
        flat.update(_read(parent, source.where(("preset",)), (*above, name)))
    flat.update(flatten(own, source.name))
    return flat


@lru_cache
def _model(name: str) -> dict[str, Any]:
    return {"name": name, **read_yaml(ROOT / "models" / f"{name}.yaml").data}


def model(value: Any, where: str) -> Any:
    """A model given by name → its mapping; a mapping or a path-like name of the user's own is kept.

    A name with a slash, or that begins with a dot or `~`, is a Hugging Face folder or a name on the hub.

    Raises:
        SpecError: a bare name that no preset has.
    """
    if not isinstance(value, str):
        return value
    if value in model_names():
        return _model(value)
    if "/" in value or value.startswith((".", "~")):
        return {"kind": "huggingface", "name": value.rstrip("/").rsplit("/", 1)[-1], "path": value}
    raise SpecError(
        f"unknown model {value!r}",
        where,
        f"{hint_for(value, model_names(), 'models')} or give a folder, such as ./my-model",
    )
