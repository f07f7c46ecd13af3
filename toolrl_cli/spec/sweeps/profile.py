"""Profiles: a sweep as it is, with other sizes. YAML files under `profiles/`, and the rehearsal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.stretch import stretched
from toolrl_cli.spec.algorithms.algorithm import Algorithm
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.evaluations.own_evaluation import is_own
from toolrl_cli.spec.run.data_settings import DATA_KINDS
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.run.training_settings import RlSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.grid import MODELS, Cell, Grid
from toolrl_cli.spec.sweeps.reading.faults import fault_text
from toolrl_cli.spec.sweeps.reading.source import Source, read_yaml
from toolrl_cli.spec.sweeps.settings import apply, copied, flatten, split
from toolrl_cli.spec.sweeps.sweep import Document

ROOT = Path(__file__).parent / "profiles"
RL_STEPS = "rl.steps"
REHEARSAL = "rehearsal"
"""The profile that is no file: `profiles.rehearsal`."""


class ProfileFile(Frozen):
    """What a profile changes."""

    description: str
    model: str = Field(description="takes the place of all models but tiny ones")
    data: dict[str, Any] = Field(description="takes the place of data of another kind")
    data_rows: float = Field(gt=0, description="its rows for each row of `data.limit`")
    evaluate: list[str]
    tables: list[str]
    presets: dict[Literal["grpo", "ppo"], str] = Field(
        description="preset whose settings are taken, for algorithms without a critic and with one"
    )
    settings: dict[str, Any] = Field({}, description="further settings, stronger than these presets")
    keep: list[str] = Field([], description="settings of these presets that are not taken")
    proportional: list[str] = Field(
        [], description="settings that keep their ratio to the sweep's own preset"
    )
    in_rl_steps: list[str] = Field([], description="settings that shrink with rl.steps")


@dataclass(frozen=True)
class Profile(ABC):
    """A profile, ready to be applied.

    Attributes:
        name: as in `--profile NAME`.
        description: what it does, in one clause.
        notes: what it did to the sweep, one line each; filled while cells are adjusted.
    """

    name: str
    description: str
    notes: dict[str, None] = field(default_factory=dict, compare=False, kw_only=True)

    @property
    def place(self) -> str:
        """Where to say that a rule of it stands."""
        return f"--profile {self.name}"

    @abstractmethod
    def document(self, document: Document) -> Document:
        """The sweep under its own name, with what the profile changes in the file as a whole."""

    @abstractmethod
    def adjust(
        self,
        tree: dict[str, Any],
        reference: Mapping[str, Any],
        settings: Mapping[str, Any],
        canonical_reward: Callable[[Any, str], dict[str, Any]],
    ) -> dict[str, Any]:
        """Change one cell's settings, in place.

        Args:
            tree: the cell's nested settings.
            reference: those that its presets alone give.
            settings: what the cell adds to the base, dotted.
            canonical_reward: gives the composition behind a reward's name.

        Returns:
            The cell's own settings as they are now, with the profile's name.

        Raises:
            SpecError: the reward cannot be used, or there is no such algorithm.
        """

    def arm(self, cell: Cell) -> str:
        """The cell's name in the sweep."""
        return cell.arm

    def told(self, grid: Grid) -> tuple[str, ...]:
        """What it did to the sweep, one line each."""
        lines = [f"profile {self.name}: {self.description}", *(f"  {note}" for note in self.notes)]
        joined: dict[str, int] = {}
        for cell in grid.dropped:
            if cell.rule == "profile":
                joined[cell.same_as] = joined.get(cell.same_as, 0) + 1
        if joined:
            count = sum(joined.values())
            told = "1 cell is" if count == 1 else f"{count} cells are"
            lines.append(f"  {told} the same as another here (plan --explain names them)")
        return tuple(lines)

    def algorithm(self, tree: Mapping[str, Any]) -> Algorithm:
        """The algorithm of a cell.

        Raises:
            SpecError: there is none of that name.
        """
        name = tree.get("algorithm", "grpo")
        found = next((known for known in ALGORITHMS.values() if known.name == name), None)
        if found is None:
            hint = hint_for(str(name), ALGORITHMS, "algorithms")
            raise SpecError(f"the algorithm {name!r} has no sizes here", self.place, hint)
        return found

    def stretch_reward(
        self,
        tree: dict[str, Any],
        before: int,
        canonical_reward: Callable[[Any, str], dict[str, Any]],
    ) -> None:
        """Let a reward's schedule take place over the steps of RL that there are now.

        Args:
            tree: the cell's nested settings, changed in place.
            before: how many steps there were.
            canonical_reward: gives the composition behind a reward's name.
        """
        reward = get_reward(canonical_reward(tree["reward"], self.place))
        after = get_setting(tree, RL_STEPS)
        shorter = stretched(reward, before, after)
        if shorter != reward:
            tree["reward"] = {"name": shorter.name, **shorter.to_dict()}
            self.notes[f"reward {reward.name}: its schedule over {after} steps instead of {before}"] = None

    def settings_now(self, tree: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
        """The cell's own settings as they have become, with the profile's name."""
        told: dict[str, Any] = {}
        for key, value in settings.items():
            if key == "preset":
                told[key] = value
            elif key.partition(".")[0] == "data":
                told["data"] = copied(tree.get("data"))
            elif key != "model" and (now := get_setting(tree, key)) is not None:
                told[key] = now
        if "reward" in told and isinstance(tree.get("reward"), Mapping):
            told["reward"] = tree["reward"].get("name", told["reward"])
        return {**told, "profile": self.name}


@dataclass(frozen=True)
class InSmall(Profile):
    """Other sizes, from a file; the model, the data and the benchmarks may be others too.

    Attributes:
        file: what it changes.
    """

    file: ProfileFile

    def document(self, document: Document) -> Document:
        """The sweep under its own name, with the profile's benchmarks and tables, and the user's own of both."""
        sweep = document.sweep
        changes: dict[str, Any] = {"name": f"{sweep.name}-{self.name}"}
        if sweep.evaluate:
            changes["evaluate"] = self._evaluate(sweep.evaluate)
        if sweep.tables:
            own = [table for table in sweep.tables if "/" in table or table.endswith((".yaml", ".yml"))]
            self._tell_of("tables", [t for t in sweep.tables if t not in own], self.file.tables)
            changes["tables"] = [*self.file.tables, *own]
        overrides = document.overrides
        if overrides.get("data.kind") is None:
            overrides = {key: value for key, value in overrides.items() if not self._of_other_data(key)}
        return Document(sweep.model_copy(update=changes), document.source, overrides, document.path)

    def _evaluate(self, entries: Sequence[Any]) -> list[Any]:
        """The profile's benchmarks, with a curve over the steps of RL where the sweep has one; and the user's own."""
        own = [entry for entry in entries if is_own(entry)]
        left = [e.get("benchmark") if isinstance(e, Mapping) else e for e in entries if not is_own(e)]
        self._tell_of("evaluate", left, self.file.evaluate)
        curve = next((dict(e) for e in entries if isinstance(e, Mapping) and "every" in e), None)
        named = [name if curve is None else {**curve, "benchmark": name} for name in self.file.evaluate]
        return [*named, *own]

    def _tell_of(self, key: str, left: Sequence[Any], there: Sequence[str]) -> None:
        """Say what of a key the profile's own takes the place of."""
        out = [str(name) for name in left if name not in there]
        if out:
            self.notes[f"{key}: {', '.join(out)} left out, {', '.join(there)} instead"] = None

    def _of_other_data(self, key: str) -> bool:
        """Whether a `--set`, right without the profile, has no place here: other data take that data's place."""
        head, *below = split(key)
        fields = DATA_KINDS[self.file.data["kind"]].model_fields
        if head != "data" or not below or below[0] in fields:
            return False
        if not any(below[0] in kind.model_fields for kind in DATA_KINDS.values()):
            return False  # a mistake whatever the data
        self.notes[f"--set {key}: left out, {self.file.data['kind']} takes the place of that data"] = None
        return True

    def arm(self, cell: Cell) -> str:
        """The cell's name without that of its model."""
        return "-".join(c.label for c in cell.choices if c.label and c.factor != MODELS) or "run"

    def adjust(
        self,
        tree: dict[str, Any],
        reference: Mapping[str, Any],
        settings: Mapping[str, Any],
        canonical_reward: Callable[[Any, str], dict[str, Any]],
    ) -> dict[str, Any]:
        """See `Profile`."""
        steps_before = get_setting(tree, RL_STEPS) or RlSpec().steps
        forced = self._forced(tree)
        for key in self.file.proportional:
            if key in forced:
                forced[key] = _in_proportion(forced[key], get_setting(tree, key), get_setting(reference, key))
        for key in (key for key in forced if key not in self.file.proportional):
            given = get_setting(tree, key)
            if given not in (forced[key], get_setting(reference, key)):
                self.notes[f"{key}: {forced[key]} instead of {given}"] = None
        self._replace_data(tree)
        self._replace_model(tree)
        if tree.get("evaluate"):
            tree["evaluate"] = self._evaluate(tree["evaluate"])
        apply(forced, tree)
        saved = get_setting(tree, "rl.save_every") or RlSpec().save_every
        for entry in (e for e in tree.get("evaluate") or () if isinstance(e, dict) and "every" in e):
            entry["every"] = saved  # the sweep's own distance would be beyond the last step here
        factor = get_setting(tree, RL_STEPS) / steps_before
        for key in self.file.in_rl_steps:
            if value := get_setting(tree, key):
                apply({key: max(1, round(value * factor))}, tree)
        if "reward" in tree and "rl" in (tree.get("train") or ()):
            self.stretch_reward(tree, steps_before, canonical_reward)
        return self.settings_now(tree, settings)

    @cached_property
    def _by_algorithm(self) -> dict[str, dict[str, Any]]:
        dropped = {*self.file.keep, "model", "data"}
        taken: dict[str, dict[str, Any]] = {}
        for algorithm, preset in self.file.presets.items():
            layers = {**presets.layered(preset, self.place), **flatten(self.file.settings, self.place)}
            taken[algorithm] = {k: v for k, v in layers.items() if k not in dropped}
        return taken

    def _forced(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._by_algorithm["ppo" if self.algorithm(tree).critic else "grpo"])

    def _replace_model(self, tree: dict[str, Any]) -> None:
        """One that is tiny already stays as the sweep has it."""
        new, old = presets.model(self.file.model, self.place), tree.get("model")
        tiny = isinstance(old, Mapping) and (old.get("kind") == "tiny" or old.get("path") == new["path"])
        if not tiny:
            tree["model"] = copied(new)

    def _replace_data(self, tree: dict[str, Any]) -> None:
        data = tree.get("data")
        if not isinstance(data, Mapping) or data.get("kind") == self.file.data.get("kind"):
            return
        new = copied(self.file.data)
        limits = data.get("limit")
        for split_name, rows in (limits if isinstance(limits, Mapping) else {}).items():
            if isinstance(rows, int):
                new[split_name] = max(1, round(rows * self.file.data_rows))
                self.notes[f"data.{split_name}: {new[split_name]} rows instead of {rows}"] = None
        tree["data"] = new


def names() -> tuple[str, ...]:
    """All profiles that `--profile` accepts."""
    return tuple(sorted((*(p.stem for p in ROOT.glob("*.yaml")), REHEARSAL)))


def load_profile(name: str, *, cuda: bool = True) -> Profile:
    """A shipped profile.

    Args:
        name: of it.
        cuda: whether there are GPUs here.

    Raises:
        SpecError: there is none of that name.
    """
    if name not in names():
        raise SpecError(f"unknown profile {name!r}", "--profile", hint_for(name, names(), "profiles"))
    if name == REHEARSAL:
        from toolrl_cli.spec.sweeps.profiles.rehearsal import Rehearsal

        return Rehearsal(cuda=cuda)
    source = read_yaml(ROOT / f"{name}.yaml")
    try:
        file = ProfileFile.model_validate(source.data)
    except ValidationError as error:
        raise _fault(error, source) from None
    return InSmall(name, file.description, file)


def _fault(error: ValidationError, source: Source) -> SpecError:
    fault = error.errors(include_url=False)[0]
    return SpecError(fault_text(fault), source.where(tuple(fault["loc"])))


def get_setting(tree: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted setting in a nested tree; None where it has none."""
    node: Any = tree
    for part in split(key):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _in_proportion(forced: Any, value: Any, reference: Any) -> Any:
    """The profile's value, changed as the sweep changes its preset's."""
    numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in (forced, value, reference))
    if not numbers or value == reference or not reference:
        return forced
    changed = forced * value / reference
    return max(1, round(changed)) if isinstance(forced, int) else changed
