"""From a sweep file to its cells: the combinations of models, arms, axes and zipped values, then the seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.identity import slugify, value_slug
from toolrl_cli.spec.settings import flatten, matches
from toolrl_cli.spec.sweep import Document, SweepFile

MAX_CELLS = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One setting of the grid, before it is resolved; a seed makes it a run.

    Attributes:
        arm: its name, unique in the sweep.
        settings: dotted settings that this cell adds to the base.
        origin: the rule and place in the file that made it, for messages.
    """

    arm: str
    settings: Mapping[str, Any]
    origin: str


@dataclass(frozen=True)
class _Choice:
    """One value of one factor: what it sets, and what it adds to the arm's name."""

    label: str
    settings: Mapping[str, Any]


def expand(document: Document) -> list[Cell]:
    """All cells, in the order of the file.

    Raises:
        SpecError: an empty axis, unequal zip lengths, a `when` that names no axis, two cells of one name, a
            grid beyond `MAX_CELLS`, or no cell left.
    """
    sweep, source = document.sweep, document.source
    factors = _factors(document)
    size = max(1, len(sweep.seed_values()))
    for factor in factors:
        size *= len(factor)
    if size > MAX_CELLS:
        raise SpecError(f"the grid has {size:,} cells", source.name, f"at most {MAX_CELLS:,}, seeds included")
    for axis in sweep.when:
        if axis not in sweep.axes:
            raise SpecError(
                f"{axis!r} is no axis",
                source.where(("when", axis)),
                f"axes: {', '.join(sweep.axes) or 'none'}",
            )
    base = flatten(sweep.base, source.where(("base",)))
    cells: dict[str, Cell] = {}
    seen: set[str] = set()
    for cell in itertools.chain(_product(sweep, factors, base, source.name), _included(document)):
        if any(matches(rule, {**base, **cell.settings}) for rule in _conditions(sweep)):
            continue
        key = repr(sorted(cell.settings.items(), key=lambda kv: kv[0]))
        if cell.arm in cells:
            if key in seen and cells[cell.arm].settings == cell.settings and sweep.when:
                continue  # an axis that does not apply collapses several combinations into one
            raise SpecError(
                f"two cells are named {cell.arm!r}", source.name, f"{cells[cell.arm].origin}; {cell.origin}"
            )
        seen.add(key)
        cells[cell.arm] = cell
    if not cells:
        raise SpecError("no cell is left", source.where(("exclude",)), "loosen `exclude`, or add an arm")
    return list(cells.values())


def _conditions(sweep: SweepFile) -> list[dict[str, Any]]:
    return [flatten(rule) for rule in sweep.exclude]


def _factors(document: Document) -> list[list[_Choice]]:
    sweep, source = document.sweep, document.source
    factors: list[list[_Choice]] = []
    if sweep.models:
        many = len(sweep.models) > 1
        factors.append([_Choice(_model_label(m) if many else "", {"model": m}) for m in sweep.models])
    if sweep.arms and sweep.ablate:
        raise SpecError("`arms` and `ablate` both name arms", source.where(("ablate",)), "keep one")
    if sweep.arms:
        factors.append(
            [_Choice(name, flatten(s, source.where(("arms", name)))) for name, s in sweep.arms.items()]
        )
    if sweep.ablate:
        baseline = flatten(sweep.ablate.baseline, source.where(("ablate", "baseline")))
        choices = [_Choice("baseline", baseline)]
        for name, change in sweep.ablate.change.items():
            settings = {**baseline, **flatten(change, source.where(("ablate", "change", name)))}
            choices.append(_Choice(name, settings))
        factors.append(choices)
    for axis, values in sweep.axes.items():
        if not values:
            raise SpecError(f"axis {axis!r} has no values", source.where(("axes", axis)), "give at least one")
        factors.append([_Choice(_label(axis, v), flatten({axis: v})) for v in values])
    if sweep.zip:
        lengths = {key: len(values) for key, values in sweep.zip.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            told = ", ".join(f"{k}: {n}" for k, n in lengths.items())
            raise SpecError(f"zipped lists differ in length or are empty ({told})", source.where(("zip",)))
        rows = [dict(zip(sweep.zip, row, strict=True)) for row in zip(*sweep.zip.values(), strict=True)]
        factors.append(
            [_Choice("-".join(_label(k, v) for k, v in row.items()), flatten(row)) for row in rows]
        )
    return factors


def _product(
    sweep: SweepFile, factors: list[list[_Choice]], base: Mapping[str, Any], name: str
) -> Iterator[Cell]:
    if not factors:
        if not sweep.include:
            yield Cell("run", {}, f"{name}: base alone")
        return
    for combination in itertools.product(*factors):
        settings: dict[str, Any] = {}
        labels: list[str] = []
        for choice in combination:
            clash = settings.keys() & choice.settings.keys()
            if clash:
                raise SpecError(
                    f"{sorted(clash)[0]!r} is set by two factors of the grid", name, "set it in one of them"
                )
            settings.update(choice.settings)
            labels.append(choice.label)
        for axis, condition in sweep.when.items():
            others = {k: v for k, v in settings.items() if k != axis}
            if axis in settings and not matches(flatten(condition), {**base, **others}):
                labels.remove(_label(axis, settings.pop(axis)))
        arm = "-".join(label for label in labels if label) or "run"
        yield Cell(
            arm,
            settings,
            f"{name}: "
            + " × ".join(k for k in ("models", "arms", "ablate", "axes", "zip") if getattr(sweep, k)),
        )


def _included(document: Document) -> Iterator[Cell]:
    for position, entry in enumerate(document.sweep.include):
        where = document.source.where(("include", position))
        settings = dict(entry)
        name = settings.pop("arm", None)
        flat = flatten(settings, where)
        arm = str(name) if name is not None else "-".join(_label(k, v) for k, v in flat.items()) or "included"
        yield Cell(slugify(arm), flat, where)


def _label(axis: str, value: Any) -> str:
    text = value_slug(value)
    if isinstance(value, (int, float, bool)) or value is None:
        return f"{slugify(axis.rsplit('.', 1)[-1])}-{text}"
    return text


def _model_label(model: str | dict[str, Any]) -> str:
    name = model if isinstance(model, str) else str(model.get("name", model.get("path", "model")))
    return slugify(name.rstrip("/").rsplit("/", 1)[-1])
