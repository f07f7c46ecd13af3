"""From a cell to a validated run spec: preset, algorithm, base, cell, profile, `--set`, the later one stronger.

A large grid has few distinct values of each block (`rl`, `reward`, `model`, …) and many combinations of them. Each
distinct block is built, validated and kept once; a cell is then put together from blocks that are known to be valid.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.composing.varying import constant_total
from toolrl_cli.rewards.errors import shown
from toolrl_cli.spec.algorithms.rules import first_fault
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS, check_benchmarks
from toolrl_cli.spec.evaluations.command_words import FROM_ENVIRONMENT, MODEL
from toolrl_cli.spec.evaluations.over_steps import over_steps_fault
from toolrl_cli.spec.evaluations.own_evaluation import doubts, folder_fault, is_own, own_evaluation
from toolrl_cli.spec.identity import canonical_json
from toolrl_cli.spec.run.model_settings import EndpointModel
from toolrl_cli.spec.run.run_spec import KINDS, RunSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.algorithm_layer import lay_algorithm
from toolrl_cli.spec.sweeps.fields import PRESET, check_setting, choices_at, fields_at, is_block
from toolrl_cli.spec.sweeps.grid import Cell
from toolrl_cli.spec.sweeps.hidden import hidden
from toolrl_cli.spec.sweeps.paths import Anchor
from toolrl_cli.spec.sweeps.places import base_place, cell_place, full_place_of, place_of
from toolrl_cli.spec.sweeps.profile import Profile
from toolrl_cli.spec.sweeps.reading.faults import Fault, fault_text, telling_fault, what_to_write, words_of
from toolrl_cli.spec.sweeps.settings import apply, copied, flatten
from toolrl_cli.spec.sweeps.sweep import Document
from toolrl_cli.spec.unread import Readings, Unread

TOGETHER = {"train": "reward", "algorithm": "rl", "verl": "rl"}
"""Blocks that are built in one go, because one's value decides what the other must be."""

FIELDS = tuple(RunSpec.model_fields)
_REWARD = FIELDS.index("reward")
COMPONENTS = "reward.components."


@dataclass(frozen=True)
class Blocks:
    """A run spec without its seed.

    Attributes:
        values: the run spec's fields in the order of `FIELDS`.
        texts: the JSON of each; equal texts are equal settings.
    """

    values: tuple[Any, ...]
    texts: tuple[str, ...]

    @cached_property
    def run_of_any_seed(self) -> RunSpec:
        """The run spec with whichever seed, for what does not depend on it."""
        return RunSpec.model_construct(**dict(zip(FIELDS, self.values, strict=True)))

    def run(self, seed: int) -> RunSpec:
        """The run spec with a seed, which has to be a valid one: the blocks are."""
        return self.run_of_any_seed.model_copy(update={"seed": seed})


class Resolver:
    """Resolves the cells of one sweep.

    Args:
        document: the sweep.
        profile: changes every cell before `--set`; None for none.

    Attributes:
        notes: lines that a person should see, of the cells resolved so far.

    Raises:
        SpecError: the base or `--set` names a key that does not exist.
    """

    def __init__(self, document: Document, profile: Profile | None = None) -> None:
        self._document, self._source = document, document.source
        self._profile = profile
        self._canonical = lru_cache(maxsize=4096)(_canonical)  # of this reading: files change between two
        self._base = flatten(document.sweep.base, self._source.where(("base",)))
        for key in self._base:
            check_setting(key, self._source.where(("base",)), self._source, ("base",))
        if document.sweep.evaluate:
            if "evaluate" in self._base:
                places = f"{self._source.where(('base', 'evaluate'))}; {self._source.where(('evaluate',))}"
                raise SpecError("`evaluate` is set twice", self._source.name, f"keep one: {places}")
            self._base["evaluate"] = list(document.sweep.evaluate)
        given = flatten(dict(document.overrides), "--set")
        for key in given:
            check_setting(key, f"--set {key}")
            if given[key] == {} and is_block(key):
                what = "is an empty block, which changes nothing"
                raise SpecError(what, f"--set {key}", "leave it out, or give settings of it")
        self._chosen = {key: given[key] for key in given if key == PRESET}
        self._overrides = {key: value for key, value in given.items() if key != PRESET}
        self._readings = Readings(self._base, self._overrides)
        self.notes: dict[str, None] = {}
        self._anchor = Anchor(document.folder_of, self.notes)
        self._known: dict[Any, Any] = {}
        # a rule between blocks would be missed where blocks are validated apart; a profile works across them
        self._apart = not RunSpec.__pydantic_decorators__.model_validators and profile is None

    def blocks(self, cell: Cell) -> tuple[Blocks, Mapping[str, Any]]:
        """The blocks of a cell's run spec, and the cell's own settings as they have become.

        Raises:
            SpecError: the first fault, with file, line, key path and the nearest valid name.
        """
        blocks, settings = self._blocks(cell)
        run = blocks.run_of_any_seed
        self._check_algorithm(run, cell)
        inherited = frozenset[str]().union(*(choice.inherited for choice in cell.choices))
        idle = self._readings.of_cell(run, cell.arm, cell.settings.keys() - inherited)
        if idle is not None:
            raise self._idle(idle[0], cell, idle[1])
        self._check_reward(run, cell, blocks.texts[_REWARD])
        if isinstance(run.model, EndpointModel) and run.train:
            what = f"arm {cell.arm!r} trains an endpoint, which can only be evaluated"
            raise SpecError(what, self.where("model", cell), "set train: [], or give a model folder")
        wanting = folder_fault(run)
        if wanting:
            what = f"{wanting} takes {MODEL}, a folder, and arm {cell.arm!r} asks an endpoint"
            raise SpecError(what, self.where("evaluate", cell), FROM_ENVIRONMENT)
        fault = over_steps_fault(run)
        if fault is not None:
            where = self.where("evaluate", cell)
            raise SpecError(f"evaluate: {fault.what}", where, f"{fault.hint}; arm {cell.arm!r}")
        return blocks, settings

    def _blocks(self, cell: Cell) -> tuple[Blocks, Mapping[str, Any]]:
        if not self._apart:
            return self._validated(cell)
        preset = repr(cell.settings.get(PRESET))
        touched: dict[str, list[Any]] = {}
        for path, value in cell.settings.items():
            head = path.partition(".")[0]
            # as Python writes it: 1, 1.0 and True are three values
            touched.setdefault(TOGETHER.get(head, head), []).append((path, repr(value)))
        keys = [(preset, name, tuple(touched.get(TOGETHER.get(name, name), ()))) for name in FIELDS]
        try:
            known = [self._known[key] for key in keys]
        except KeyError:
            blocks, settings = self._validated(cell)
            self._known.update(zip(keys, zip(blocks.values, blocks.texts, strict=True), strict=True))
            return blocks, settings
        return Blocks(tuple(value for value, _ in known), tuple(text for _, text in known)), cell.settings

    def _validated(self, cell: Cell) -> tuple[Blocks, Mapping[str, Any]]:
        tree = self._tree(cell)
        settings: Mapping[str, Any] = cell.settings
        if self._profile is not None:
            reference: dict[str, Any] = {}
            apply(_ordered(self._preset(cell)), reference)
            settings = self._profile.adjust(tree, reference, cell.settings, self.reward)
        self._lay(self._overrides, tree, cell, partial(self.where, cell=cell))
        spec = self._spec(tree, cell)
        dumped = spec.model_dump(mode="json")
        texts = tuple(canonical_json(dumped[name]) for name in FIELDS)
        return Blocks(tuple(getattr(spec, name) for name in FIELDS), texts), settings

    def _preset(self, cell: Cell) -> dict[str, Any]:
        chosen = {**self._base, **cell.settings, **self._chosen}.get(PRESET)
        return self._with_model(presets.layered(chosen, self.where("preset", cell)), cell)

    def _tree(self, cell: Cell) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        apply(_ordered(self._preset(cell)), tree)
        chosen = (
            layer["algorithm"]
            for layer in (self._overrides, cell.settings, self._base)
            if "algorithm" in layer
        )
        lay_algorithm(next(chosen, tree.get("algorithm")), tree)
        self._lay(self._base, tree, cell, partial(base_place, source=self._source))
        self._lay(cell.settings, tree, cell, partial(cell_place, cell=cell, source=self._source))
        return tree

    def _check_algorithm(self, run: RunSpec, cell: Cell) -> None:
        """Refuse what does not fit the algorithm, whichever layers it comes from."""
        if "rl" not in run.train:
            return
        fault = first_fault(run, {*self._base, *cell.settings, *self._overrides})
        if fault is not None:
            where = full_place_of(fault.setting, cell, self._document)
            raise SpecError(f"{fault.what}", where, f"arm {cell.arm!r}; {fault.hint}")

    def _check_reward(self, run: RunSpec, cell: Cell, text: str) -> None:
        """Refuse a reward under which every answer earns the same: nothing would be learned."""
        if "rl" not in run.train or run.rl.gdpo_weights:  # which take the place of the reward's own weights
            return
        key = ("constant", text, run.rl.steps)
        if key not in self._known:
            self._known[key] = constant_total(get_reward(run.reward), run.rl.steps)
        if self._known[key] is not None:
            what = f"every answer earns the same: {self._known[key]}"
            hint = "give parts a weight and a range, and a clamp within them"
            raise SpecError(what, self.where("reward", cell), f"{hint}; arm {cell.arm!r}")

    def check_read(self, cells: Sequence[Cell]) -> None:
        """Refuse a setting of `base` or `--set` that no cell reads, once all are resolved; one that is hidden is told.

        Raises:
            SpecError: with the first.
        """
        given = {**self._overrides, **self._chosen}
        self.notes |= dict.fromkeys(hidden(self._base, given, cells, self._document))
        idle = self._readings.of_all()
        if idle is not None:
            key, arm, why = idle
            raise self._idle(key, next(cell for cell in cells if cell.arm == arm), why)

    def _idle(self, key: str, cell: Cell, why: Unread) -> SpecError:
        wanted = f"{why.because}: {why.read_where}"
        hint = f"remove it, or set {wanted}"
        if why.because in cell.settings and any(choice.factor == key for choice in cell.choices):
            hint = f"`when: {{{key}: {{{wanted}}}}}` keeps it to the arms that read it"
        return SpecError(
            f"changes nothing: {why.what}",
            full_place_of(key, cell, self._document),
            f"arm {cell.arm!r}; {hint}",
        )

    def _lay(
        self, layer: Mapping[str, Any], tree: dict[str, Any], cell: Cell, place: Callable[[str], str]
    ) -> None:
        """Lay settings over what stands; a part of a reward that is a name changes the composition behind it."""
        settings = self._anchor(self._with_model(layer, cell), place)
        for key, value in _ordered(settings).items():
            reward = tree.get("reward")
            if key.startswith(COMPONENTS) and "components" not in (reward or {}):
                composition = self.reward(reward, self.where("reward", cell))
                tree["reward"] = {k: copied(v) for k, v in composition.items() if k != "name"}
            apply({key: value}, tree)

    def _with_model(self, layer: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
        settings = {k: copied(v) for k, v in layer.items() if k != PRESET}
        if "model" in settings:
            settings["model"] = copied(presets.model(settings["model"], self.where("model", cell)))
        return settings

    def _spec(self, tree: dict[str, Any], cell: Cell) -> RunSpec:
        if "reward" in tree:
            place = partial(self.where, cell=cell)
            tree["reward"] = self.reward(tree["reward"], self.where("reward", cell), place)
        elif "rl" not in tree.get("train", ("rl",)):
            tree["reward"] = {}  # no reward is read where nothing is trained with one
        option, number = _not_finite("verl", tree.get("verl"))
        if number is not None:
            raise SpecError(f"{number} is no finite number", full_place_of(option, cell, self._document))
        evaluate = tree.get("evaluate", [])
        if isinstance(evaluate, (list, tuple)):
            check_benchmarks(evaluate, lambda _: self.where("evaluate", cell))
            tree["evaluate"] = self._with_own(evaluate, self.where("evaluate", cell))
        try:
            return RunSpec.model_validate(tree)
        except ValidationError as error:
            raise self._fault(error, cell) from None

    def _with_own(self, entries: Sequence[Any], where: str) -> list[Any]:
        """A list of `evaluate` with the user's own evaluations looked up.

        Raises:
            SpecError: one cannot be used.
        """
        found = list(entries)
        names: set[str] = set()
        for position, entry in enumerate(entries):
            if not is_own(entry):
                continue
            folder, in_list = self._document.folder_of(where), ("evaluate", position)
            # one that the sweep's own list has is placed in it, so that it can be left out for the faults of others
            place = self._source.where(in_list) if where == self._source.where(("evaluate",)) else where
            key = ("own", canonical_json(entry), folder)
            if key not in self._known:
                self._known[key] = own_evaluation(entry, folder, place)
                self.notes |= dict.fromkeys(doubts(self._known[key]))
            own = found[position] = self._known[key]
            if own["name"] in BENCHMARKS or own["name"] in names:
                hint = (
                    "rename the file" if own.get("path") else "give it another name: {command: […], name: …}"
                )
                raise SpecError(f"there is another evaluation {own['name']!r}", where, hint)
            names.add(own["name"])
        return found

    def reward(self, value: Any, where: str, place: Callable[[str], str] | None = None) -> dict[str, Any]:
        """The full composition behind a reward's name, mapping or file.

        Args:
            value: the reward as it is given.
            where: place of the whole of it, for a message.
            place: key path → its place in the file, where a mapping's parts stand there.

        Raises:
            SpecError: what `get_reward` refuses.
        """
        try:
            return dict(self._canonical(canonical_json(value), str(Path(self._source.name).parent)))
        except RewardError as error:
            inner = error.where if error.where not in ("reward", "reward.name") else ""
            if inner.startswith("reward.") and place is not None and isinstance(value, Mapping):
                where = place(inner)
            if inner and not where.endswith(inner):
                where += f" ({inner})"
            raise SpecError(error.what, where, error.hint) from None
        except (TypeError, ValueError) as error:
            key, number = _not_finite("reward", value)
            if number is not None:
                where = place(key) if place is not None else f"{where} ({key})"
                raise SpecError(f"{number} is no finite number", where) from None
            raise SpecError(f"reward {shown(value)} is not usable: {error}", where) from None

    def where(self, key: str, cell: Cell) -> str:
        """What sets `key` for this cell, as file, line and key path."""
        return place_of(key, cell, self._document)

    def _blamed(self, loc: list[str], message: str, cell: Cell) -> str:
        """Of the fields that a fault of a whole block speaks of, the first that the file or `--set` sets."""
        block, valid = ".".join(loc), fields_at(tuple(loc))
        layers = (self._overrides, *(choice.settings for choice in cell.choices), self._base)
        for key in (f"{block}.{word}" for word in re.findall("[a-z_]+", message) if word in valid):
            if any(key == path or key.startswith(f"{path}.") for layer in layers for path in layer):
                return key
        return block

    def _fault(self, error: ValidationError, cell: Cell) -> SpecError:
        fault = telling_fault(error)
        # pydantic puts the kind of a block that has several into the path of a fault
        block, *deeper = fault["loc"]  # one block is called as a kind of data: verl
        loc = [str(block), *(str(p) for p in deeper if p not in KINDS and p != "[key]")]
        key = ".".join(loc)
        if fault["type"] == "value_error":
            key = self._blamed(loc, str(fault["msg"]), cell)
        where = full_place_of(key, cell, self._document)
        if fault["type"] == "extra_forbidden":
            kind = next((KINDS[p] for p in deeper if p in KINDS), None)
            valid = tuple(kind.model_fields) if kind and len(loc) == 2 else fields_at(tuple(loc[:-1]))
            return SpecError(f"unknown key {loc[-1]!r}", where, hint_for(loc[-1], valid, "keys"))
        if fault["type"] == "missing" and loc == ["model"]:
            return SpecError(
                "no model is named", where, "set base.model or models:, or a preset that has one"
            )
        if fault["type"] == "missing" and loc == ["reward"]:
            return SpecError("no reward is named", where, "set base.reward, for example `reward: original`")
        if fault["type"] == "missing" and loc == ["data"]:
            return SpecError(
                "no data is named", where, "set base.data, for example `data: {kind: toolworld}`"
            )
        return SpecError(fault_text(fault), where, f"arm {cell.arm!r}; {_hint(fault, loc)}")


def _canonical(spec: str, base_dir: str) -> dict[str, Any]:
    reward = get_reward(json.loads(spec), base_dir=base_dir)
    return {"name": reward.name, **reward.to_dict()}


def _not_finite(key: str, value: Any) -> tuple[str, float | None]:
    """The first number in a value that is none, with its key path; None where there is no such number."""
    if isinstance(value, float) and not math.isfinite(value):
        return key, value
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    found = (_not_finite(f"{key}.{name}", inner) for name, inner in items)
    return next((hit for hit in found if hit[1] is not None), (key, None))


def _ordered(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Shorter paths first, so that `reward: x` does not wipe a `reward.y` of the same layer."""
    return dict(sorted(settings.items(), key=lambda item: item[0].count(".")))


def _hint(fault: Fault, loc: list[str]) -> str:
    value = fault.get("input")
    words = words_of(fault)
    if words:
        return hint_for(str(value.get("kind") if isinstance(value, Mapping) else value), words, "values")
    kinds = choices_at(f"{loc[0]}.kind")
    if kinds and loc[1:] == []:
        if isinstance(value, Mapping):
            kind = next((kind for kind in kinds if value.keys() <= KINDS[kind].model_fields.keys()), kinds[0])
            return f"add kind: {kind}"
        kind = value if isinstance(value, str) and value in kinds else kinds[0]
        fields = KINDS[kind].model_fields
        more = "".join(f", {name}: …" for name in fields if fields[name].is_required() and name != "kind")
        return f"write {{kind: {kind}{more}}}" + ("" if kind == value else f"; kinds: {', '.join(kinds)}")
    if value is None and is_block(".".join(loc)):
        return "leave it out, or give settings of it"
    return (
        what_to_write(fault, lambda items: all(isinstance(item, str) for item in items))
        or "see `toolrl schema`"
    )
