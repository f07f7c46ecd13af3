"""From a sweep file to its cells: the combinations of models, arms, axes and zipped values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.identity import slugify, value_slug
from toolrl_cli.spec.sweeps.conditions import Settings, exclude_rules, when_rules
from toolrl_cli.spec.sweeps.fields import check_setting
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath
from toolrl_cli.spec.sweeps.settings import flatten
from toolrl_cli.spec.sweeps.sweep import Document
from toolrl_cli.spec.sweeps.sweep_file import NAME

MAX_CELLS = 10_000
MODELS = "models"


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of one factor of the grid.

    Attributes:
        factor: `models`, `arms`, `ablate`, `zip`, or the axis.
        label: what it adds to the arm's name; may be empty.
        settings: dotted settings.
        place: file, line and key path of the rule.
        path: the key path alone.
        inherited: those of the settings that it has from `ablate`'s baseline.
    """

    factor: str
    label: str
    settings: Mapping[str, Any]
    place: str
    path: KeyPath = ()
    inherited: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of the grid, before it is resolved; a seed makes it a run.

    Attributes:
        arm: its name, unique in the sweep.
        settings: dotted settings that this cell adds to the base.
        choices: the rules of the file that made it.
    """

    arm: str
    settings: Mapping[str, Any]
    choices: tuple[Choice, ...]

    @property
    def origin(self) -> str:
        """The rules that made it, with file, line and key path."""
        return " × ".join(choice.place for choice in self.choices)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A combination that is no cell of its own.

    Attributes:
        arm: the name it would have.
        settings: its dotted settings.
        origin: the rules that made it.
        rule: `exclude` (left out), `when` or `profile` (one with `same_as`).
        where: file, line and key path of that rule.
        same_as: name of the cell that stands for it, where one does.
    """

    arm: str
    settings: Mapping[str, Any]
    origin: str
    rule: Literal["exclude", "when", "profile"]
    where: str
    same_as: str = ""


@dataclass(frozen=True)
class Grid:
    """A sweep file expanded.

    Attributes:
        cells: in the order of the file.
        dropped: what the file's rules left out or joined.
        warnings: rules that changed nothing, one line each.
    """

    cells: list[Cell]
    dropped: list[Dropped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def expand(document: Document) -> Grid:
    """All cells, in the order of the file.

    Raises:
        SpecError: an empty axis, unequal zip lengths, a condition on a key that does not exist, a `when` that
            names no axis or never holds, two cells of one name, a grid beyond `MAX_CELLS`, or no cell left.
    """
    sweep, source = document.sweep, document.source
    factors = _factors(document)
    size = max(1, len(sweep.seed_values()))
    for factor in factors:
        size *= len(factor)
    if size > MAX_CELLS:
        raise SpecError(f"the grid has {size:,} cells", source.name, f"at most {MAX_CELLS:,}, seeds included")
    base = flatten(sweep.base, source.where(("base",)))
    when, exclude = when_rules(document), exclude_rules(document)
    below = Settings(base, document)
    cells: dict[str, Cell] = {}
    dropped: list[Dropped] = []
    for combination in _combinations(document, factors):
        settings: dict[str, Any] = {}
        for choice in combination:
            settings.update(choice.settings)
        kept, failed = combination, None
        for axis, rule in when.items():
            if any(c.factor == axis for c in kept) and not rule.holds(settings, below):
                failed, kept = rule, tuple(c for c in kept if c.factor != axis)
                for key in next(c for c in combination if c.factor == axis).settings:
                    settings.pop(key, None)
        arm = "-".join(c.label for c in kept if c.label) or "run"
        excluding = next((r for r in exclude if r.holds(settings, below)), None)
        if excluding is not None:
            dropped.append(Dropped(arm, settings, _origin(combination), "exclude", excluding.where))
            continue
        twin = cells.get(arm)
        if twin is not None:
            if failed is None or twin.settings != settings:
                raise two_named(arm, twin.origin, _origin(combination), source.name)
            dropped.append(Dropped(arm, settings, _origin(combination), "when", failed.where, arm))
            continue
        _check_undone(kept, source.name)
        cells[arm] = Cell(arm, settings, kept)
    for axis, rule in when.items():
        if not rule.held:
            raise SpecError(f"the condition of {axis!r} never holds", rule.where, rule.hint())
    if not cells:
        raise SpecError("no cell is left", source.where(("exclude",)), "loosen `exclude`, or add an arm")
    idle = [f"{r.where}: excludes nothing ({r.hint()})" for r in exclude if not r.held]
    return Grid(list(cells.values()), dropped, idle)


def two_named(arm: str, first: str, second: str, name: str) -> SpecError:
    """What to say of two cells with one name.

    Args:
        arm: the name.
        first: the rules that made the one.
        second: those that made the other.
        name: of the file.
    """
    return SpecError(f"two cells are named {arm!r}", name, f"remove or rename one: {first}; {second}")


def _factors(document: Document) -> list[list[Choice]]:
    sweep, source = document.sweep, document.source
    factors: list[list[Choice]] = []
    if sweep.models:
        many = len(sweep.models) > 1
        factors.append(
            [
                Choice(
                    MODELS, _model_label(m) if many else "", {"model": m}, *_at(document, MODELS, position)
                )
                for position, m in enumerate(sweep.models)
            ]
        )
    if sweep.arms and sweep.ablate:
        raise SpecError("`arms` and `ablate` both name arms", source.where(("ablate",)), "keep one")
    if sweep.arms:
        factors.append([_named("arms", ("arms", name), name, s, document) for name, s in sweep.arms.items()])
    if sweep.ablate:
        factors.append(_ablated(document))
    for axis, values in sweep.axes.items():
        if not values:
            raise SpecError(f"axis {axis!r} has no values", source.where(("axes", axis)), "give at least one")
        where = source.where(("axes", axis))
        check_setting(axis, where)
        factors.append(
            [
                Choice(axis, _label(axis, v), flatten({axis: v}, where), *_at(document, "axes", axis, n))
                for n, v in enumerate(values)
            ]
        )
    if sweep.zip:
        factors.append(_zipped(document))
    _check_clashes(factors, source.name)
    return factors


def _named(
    factor: str, path: tuple[str, ...], name: str, settings: Mapping[str, Any], document: Document
) -> Choice:
    where = document.source.where(path)
    flat = flatten(settings, where)
    for key in flat:
        check_setting(key, where, document.source, path)
    return Choice(factor, arm_name(name, where), flat, where, path)


def _at(document: Document, *path: str | int) -> tuple[str, KeyPath]:
    return document.source.where(path), path


def arm_name(name: str, where: str) -> str:
    """An arm's name as it is, if it can name a folder.

    Raises:
        SpecError: it cannot.
    """
    if not NAME.fullmatch(name) or len(name) > 120:
        what = "a letter or digit, then letters, digits, '.', '_' and '-'; 120 at most"
        slug = slugify(name, 120)
        raise SpecError(f"{name!r} cannot name an arm: {what}", where, f"say {slug!r}" if slug != "x" else "")
    return name


def _ablated(document: Document) -> list[Choice]:
    ablate = document.sweep.ablate
    assert ablate is not None
    baseline = _named("ablate", ("ablate", "baseline"), "baseline", ablate.baseline, document)
    choices = [baseline]
    if not ablate.change:
        where = document.source.where(("ablate", "change"))
        raise SpecError("nothing is changed", where, "name an arm and the settings that differ")
    for name, change in ablate.change.items():
        changed = _named("ablate", ("ablate", "change", name), name, change, document)
        if changed.label == "baseline":
            raise SpecError("'baseline' is the name of the baseline", changed.place, "choose another name")
        settings = {**baseline.settings, **changed.settings}
        inherited = baseline.settings.keys() - changed.settings.keys()
        choices.append(replace(changed, settings=settings, inherited=frozenset(inherited)))
    return choices


def _zipped(document: Document) -> list[Choice]:
    lists, source = document.sweep.zip, document.source
    where = source.where(("zip",))
    lengths = {key: len(values) for key, values in lists.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        told = ", ".join(f"{k}: {n}" for k, n in lengths.items())
        raise SpecError(f"zipped lists differ in length or are empty ({told})", where)
    for key in lists:
        check_setting(key, source.where(("zip", key)))
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return [
        Choice(
            "zip",
            "-".join(_label(k, v) for k, v in row.items()),
            flatten(row, where),
            f"{where}[{n}]",
            ("zip",),
        )
        for n, row in enumerate(rows)
    ]


def _check_clashes(factors: list[list[Choice]], name: str) -> None:
    """Two factors of a product may not set one key: each would undo the other."""
    owner: dict[str, list[Choice]] = {}
    for factor in factors:
        for key in dict.fromkeys(key for choice in factor for key in choice.settings):
            if key in owner and owner[key] is not factor:
                places = f"{owner[key][0].place}; {factor[0].place}"
                raise SpecError(
                    f"{key!r} is set by two factors of the grid", name, f"set it in one of them: {places}"
                )
            owner[key] = factor


def _check_undone(choices: tuple[Choice, ...], name: str) -> None:
    """A choice's null (`lora: null`) may not be undone by another that sets something below it (`lora.rank`)."""
    for choice in choices:
        for key in (key for key, value in choice.settings.items() if value is None):
            for other in choices:
                below = next((path for path in other.settings if path.startswith(f"{key}.")), None)
                if below is not None and other is not choice:
                    raise SpecError(
                        f"{key!r} is null in {choice.place}, and {other.place} sets {below!r} below it",
                        name,
                        "set it in the arms that have it, or under `when` by a setting that they alone have",
                    )


def _combinations(document: Document, factors: list[list[Choice]]) -> Iterator[tuple[Choice, ...]]:
    sweep, source = document.sweep, document.source
    if factors:
        yield from itertools.product(*factors)
    elif not sweep.include:
        yield (Choice("base", "", {}, f"{source.name}: base alone"),)
    for position, entry in enumerate(sweep.include):
        where = source.where(("include", position))
        settings = dict(entry)
        name = settings.pop("arm", None)
        if "name" in settings:
            raise SpecError("unknown key 'name'", f"{where}.name", "a cell is named by `arm:`")
        flat = flatten(settings, where)
        for key in flat:
            check_setting(key, where, source, ("include", position))
        if name is None:
            label = slugify("-".join(_label(k, v) for k, v in flat.items()) or "included")
        else:
            label = arm_name(str(name), where)
        yield (Choice("include", label, flat, where, ("include", position)),)


def _origin(combination: tuple[Choice, ...]) -> str:
    return " × ".join(choice.place for choice in combination)


def _label(axis: str, value: Any) -> str:
    text = value_slug(value)
    if isinstance(value, (int, float, bool)) or value is None:
        return f"{slugify(axis.rsplit('.', 1)[-1])}-{text}"
    return text


def _model_label(model: str | dict[str, Any]) -> str:
    name = model if isinstance(model, str) else str(model.get("name", model.get("path", "model")))
    return slugify(name.rstrip("/").rsplit("/", 1)[-1])
