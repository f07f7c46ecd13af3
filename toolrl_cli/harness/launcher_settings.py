"""What a user sets of a launcher: checked, from `launchers/NAME.yaml` and the sweep, whose own goes before.

`--launcher NAME` reads `launchers/NAME.yaml` in the working directory where there is one; `--launcher NAME:FILE`
another file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from toolrl_cli.errors import SpecError
from toolrl_cli.harness.launcher import LAUNCHERS, LauncherKind
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import STAGE_KINDS
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.faults import fault_text, telling_fault
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath
from toolrl_cli.spec.sweeps.reading.source import read_yaml

FOLDER = "launchers"

Where = Callable[[KeyPath], str]

EITHER = (("cpus", "cpus_per_gpu"), ("memory", "memory_per_gpu"))
"""Two ways to say one thing; of a kind's own either takes the place of both."""


def chosen_launcher(
    chosen: str, of_sweep: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[LauncherKind, BaseModel | None]:
    """The launcher that `--launcher` names, and its settings.

    Args:
        chosen: `NAME`, or `NAME:FILE`.
        of_sweep: what a sweep says under `launchers`.

    Raises:
        SpecError: there is no such launcher or file, or a setting is none.
    """
    name, _, file = chosen.partition(":")
    kind = LAUNCHERS.get(name, "--launcher")
    path = Path(file) if file else Path(FOLDER) / f"{name}.yaml"
    settings: Mapping[str, Any] = {}
    if file or path.is_file():
        source = read_yaml(path)
        checked(kind, source.data, source.where)  # so that a mistake is told with its line
        settings = source.data
    own = (of_sweep or {}).get(name, {})
    return kind, checked(kind, over(settings, own), lambda path: f"{FOLDER}.{name}")


def lasting(chosen: str) -> str:
    """What `--launcher` names, with the whole path of its settings, so that it means the same in any directory."""
    name, _, file = chosen.partition(":")
    path = Path(file) if file else Path(FOLDER) / f"{name}.yaml"
    return f"{name}:{path.absolute()}" if path.is_file() else chosen


def check_sections(sections: Mapping[str, Mapping[str, Any]], where: Where) -> None:
    """Refuse what a sweep says under `launchers` where no launcher would read it.

    Args:
        sections: name of a launcher → its settings.
        where: place of a key in the file.

    Raises:
        SpecError: see above.
    """
    for name, settings in sections.items():
        kind = LAUNCHERS.get(name, where((FOLDER, name)))

        def place(path: KeyPath, name: str = name) -> str:
            return where((FOLDER, name, *path))

        checked(kind, settings, place)


def checked(kind: LauncherKind, settings: Mapping[str, Any], where: Where) -> BaseModel | None:
    """The settings as the launcher has them; None for one that has none.

    Raises:
        SpecError: one is none of its settings, or has a value that it cannot have.
    """
    if kind.settings is None:
        if settings:
            raise SpecError(f"the {kind.name} launcher has no settings", where(()), "leave them out")
        return None
    try:
        return kind.settings.model_validate(dict(settings))
    except ValidationError as error:
        fault = telling_fault(error)
        path = tuple(fault["loc"])
        if fault["type"] == "extra_forbidden":
            key = str(path[-1])
            hint = hint_for(key, kind.settings.model_fields, "keys")
            raise SpecError(f"unknown key {key!r} of the {kind.name} launcher", where(path), hint) from error
        raise SpecError(fault_text(fault), where(path)) from error


def asked_by_kind(settings: BaseModel, names: Iterable[str], own: BaseModel | None) -> dict[str, Any]:
    """Setting → value for the stages of a kind.

    Args:
        settings: what all kinds ask for.
        names: of what a kind can ask for.
        own: what this kind asks for instead, as far as it says.
    """
    found = {name: getattr(settings, name) for name in names}
    instead = own.model_dump(exclude_unset=True) if own else {}
    for pair in EITHER:
        if any(instead.get(name) is not None for name in pair):
            found |= dict.fromkeys(pair)
    return found | instead


def gpus_of(spec: StageSpec, asked: bool | None) -> int:
    """GPUs that a stage asks for on each of its nodes.

    Args:
        spec: the stage.
        asked: the setting `gpus` of its kind; None: none for a stage that names no device, or a CPU.
    """
    device = spec.resources.get("device", "auto") if spec.resources else "cpu"
    return spec.slots // spec.nodes if (device != "cpu" if asked is None else asked) else 0


def check_either(settings: Mapping[str, Any]) -> None:
    """Refuse both ways to say one thing.

    Raises:
        ValueError: both are there.
    """
    for whole, each in EITHER:
        if settings.get(whole) is not None and settings.get(each) is not None:
            raise ValueError(f"{whole} and {each} say the same thing; leave one out")


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings as one: what `above` says goes before, and mappings within are joined in the same way."""
    both = {
        key: over(below[key], value)
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **both}


def whole_lines(lines: list[str]) -> list[str]:
    """Refuse what would be more than one line of a script.

    Raises:
        ValueError: one is.
    """
    for line in lines:
        if "\n" in line or "\0" in line:
            raise ValueError(f"{line!r} is more than one line")
    return lines


def known_kinds(kinds: dict[str, Any]) -> dict[str, Any]:
    """Refuse settings of a kind of stage that there is not.

    Raises:
        ValueError: it is none.
    """
    for name in kinds:
        if name not in STAGE_KINDS:
            raise ValueError(f"{name!r} is no kind of stage: {hint_for(name, STAGE_KINDS.names(), 'kinds')}")
    return kinds
