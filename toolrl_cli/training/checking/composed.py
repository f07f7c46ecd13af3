"""verl's own configuration, composed once and merged with a stage's options as Hydra would merge them.

Composing takes a quarter of a second, so it happens once a process; a stage's options are then merged into
plain mappings in about a millisecond. `tests/training/test_config_check.py` compares the result with Hydra's for
the same arguments. Imports neither torch nor verl.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.settings import copied
from toolrl_cli.training.checking.option_fault import OptionFault, UnknownOption
from toolrl_cli.training.checking.verl_interpolation import Tree, resolve
from toolrl_cli.training.cpu.cpu_options import hydra_arguments
from toolrl_cli.wording import first_line

Kind = Literal["rl", "sft"]
CONFIG_NAMES: dict[Kind, str] = {"rl": "ppo_trainer", "sft": "sft_trainer_engine"}
"""Configuration of `verl.trainer.main_ppo` and of `verl.trainer.sft_trainer`."""

_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*", re.ASCII)


@dataclass(frozen=True)
class Composed:
    """verl's defaults for one kind of stage.

    Attributes:
        raw: as composed, with unresolved interpolations (`${…}`).
        resolved: the same with every interpolation resolved.
        names: dotted names of all sections and options.
        groups: Hydra's config groups, such as `model_engine`; setting one requires another composition.
    """

    raw: Tree
    resolved: Tree
    names: frozenset[str]
    groups: frozenset[str]

    def default(self, name: str) -> Any:
        """The default of an option; None where verl has none."""
        node: Any = self.resolved
        for part in name.split("."):
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        return node


def composed(kind: Kind, choices: tuple[str, ...] = ()) -> Composed:
    """verl's configuration for a kind of stage; composed once a process.

    Args:
        kind: `rl` or `sft`.
        choices: config-group overrides, as `model_engine=dp`.

    Raises:
        SpecError: verl is not installed.
        OptionFault: Hydra does not know the choice.
    """
    return _compose(kind, choices)


@lru_cache(maxsize=32)
def _compose(kind: Kind, choices: tuple[str, ...]) -> Composed:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(config_folder()), version_base=None):
            config = compose(CONFIG_NAMES[kind], overrides=list(choices), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # each can mean a wrong choice
        what = first_line(error).rstrip(".")
        raise OptionFault(what, choices[-1].partition("=")[0] if choices else "") from None
    groups = frozenset(config.hydra.runtime.choices)
    raw: Tree = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    del raw["hydra"]
    plain = OmegaConf.create(raw)
    resolved: Tree = OmegaConf.to_container(plain, resolve=True)  # type: ignore[assignment]
    return Composed(raw, resolved, frozenset(_names(raw)), groups)


def config_folder() -> Path:
    """The folder of verl's configurations, found without importing verl (which imports torch and Ray).

    Raises:
        SpecError: verl is not installed.
    """
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise SpecError("verl is not installed", "this environment", "pip install toolrl-cli")
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"


def merge(kind: Kind, options: Mapping[str, Any]) -> Tree:
    """verl's configuration with these options and resolved interpolations, as its trainer would receive it.

    Args:
        kind: `rl` or `sft`.
        options: dotted option → value, in Hydra's spelling: `key` changes one that exists, `+key` adds one,
            `++key` does either, `~key` removes one (with a value: only if it has that value).

    Raises:
        OptionFault: Hydra would refuse an option.
    """
    groups = composed(kind).groups
    choices = tuple(hydra_arguments({k: v for k, v in options.items() if split_prefix(k)[1] in groups}))
    base = composed(kind, choices)
    tree: Tree = copied(base.raw)
    for option, value in options.items():
        if split_prefix(option)[1] not in groups:
            _apply(tree, option, value)
    return resolve(tree)


def split_prefix(option: str) -> tuple[str, str]:
    """`+a.b` → (`+`, `a.b`)."""
    name = option.lstrip("+~")
    return option[: len(option) - len(name)], name


def _apply(tree: Tree, option: str, value: Any) -> None:
    prefix, name = split_prefix(option)
    if prefix not in ("", "+", "++", "~"):
        raise OptionFault(
            f"{prefix!r} is no prefix of an option", option, "+ adds, ++ sets or adds, ~ removes"
        )
    if not _NAME.fullmatch(name):
        raise OptionFault(f"{option!r} cannot name an option", hint="write it as a.b.c")
    _check_writable(option, value)
    *above, last = name.split(".")
    node: Any = tree
    for depth, part in enumerate(above):
        inner = node.get(part)
        if isinstance(inner, list):
            raise OptionFault("an element of a list cannot be set", option, "give the whole list")
        if not isinstance(inner, dict):
            if prefix not in ("+", "++"):
                raise UnknownOption(name, option)
            if inner is not None:
                at = ".".join(above[: depth + 1])
                raise OptionFault(f"{at!r} is a single value; nothing can be added below it", option)
            inner = node[part] = {}
        node = inner
    if prefix == "~":
        _remove(node, last, option, value)
        return
    if prefix == "" and last not in node:
        raise UnknownOption(name, option)
    if prefix == "+" and node.get(last) is not None and not isinstance(value, list):
        raise OptionFault(f"verl already has {name!r}", option, f"write {name} to change it")
    if isinstance(node.get(last), dict) and value is not None:  # Hydra would silently drop it
        inside = ", ".join([k for k in node[last] if k != "_target_"][:6])
        hint = f"name one of its options: {inside}" if inside else f"add an option to it: +{name}.key"
        raise OptionFault(f"{name!r} is a section, not an option", option, hint)
    node[last] = list(value) if isinstance(value, (list, tuple)) else value


def _remove(node: Tree, last: str, option: str, value: Any) -> None:
    if last not in node:
        raise UnknownOption(split_prefix(option)[1], option)
    if node[last] is None:
        raise OptionFault("is null already", option)
    if value is not None and node[last] != value:
        raise OptionFault(f"is {node[last]!r} and not {value!r}; it is removed only if it is", option)
    del node[last]


def _check_writable(option: str, value: Any) -> None:
    """Refuse values that `cpu.overrides.hydra_arguments` cannot write."""
    if isinstance(value, Mapping):
        raise OptionFault("a mapping cannot be an option's value", option, "write its keys as dotted options")
    for item in value if isinstance(value, (list, tuple)) else (value,):
        if not (item is None or isinstance(item, (str, bool, int, float))):
            raise OptionFault(f"{item!r} cannot stand in a list", option, "numbers, text, true and false")


def _names(tree: Tree, above: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        if key == "_target_":
            continue
        name = f"{above}.{key}" if above else str(key)
        found.append(name)
        if isinstance(value, dict):
            found += _names(value, name)
    return found
