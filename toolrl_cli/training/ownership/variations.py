"""Copies of a settings object with one field changed: what the option builder is run on to see what follows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

NUMBERS = (2, 3, 0.5)
"""What a number that is None is changed to; what a field refuses is left out."""

ENOUGH = 2
"""Other values of a number that are tried, beside its own."""


def variations(settings: BaseModel, skip: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any, Any]]:
    """Copies with one field changed, nested fields too, each to some values that it may have.

    Args:
        settings: a valid object; its own values are not among the changes.
        skip: fields of it that are left as they are.

    Yields:
        The field's dotted key, its new value, and the copy.
    """
    for name, field in type(settings).model_fields.items():
        if name in skip:
            continue
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            for key, new, inner in variations(value):
                yield f"{name}.{key}", new, settings.model_copy(update={name: inner})
            continue
        tried = 0
        for candidate in _candidates(field.annotation, value):
            changed = _built(type(settings), {**dict(settings), name: candidate})
            if changed is not None and getattr(changed, name) != value:
                yield from _told(name, getattr(changed, name), changed)
                tried += not isinstance(candidate, str)
            if tried == ENOUGH:
                break


def _told(name: str, new: Any, changed: BaseModel) -> Iterator[tuple[str, Any, Any]]:
    """A changed field; a group of settings that was none by its fields, with those changed in their turn."""
    if not isinstance(new, BaseModel):
        yield name, new, changed
        return
    for key in type(new).model_fields:
        yield f"{name}.{key}", getattr(new, key), changed
    for key, inner_new, inner in variations(new):
        yield f"{name}.{key}", inner_new, changed.model_copy(update={name: inner})


def _candidates(annotation: Any, value: Any) -> list[Any]:
    kinds = list(_flat(annotation))
    found: list[Any] = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if bool in kinds:
        return [*found, not value]
    if isinstance(value, (int, float)):
        return [*found, value * 2, value + 1, value / 2, value // 2]
    if value is None:
        found += [number for kind in (int, float) if kind in kinds for number in NUMBERS]
        found += [_filled(kind) for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return found


def _flat(annotation: Any) -> Iterator[Any]:
    """The types in an annotation, unions and `Annotated` taken apart."""
    if get_origin(annotation) is Literal or not get_args(annotation):
        yield annotation
        return
    for inner in get_args(annotation):
        yield from _flat(inner)


def _filled(model: type[BaseModel]) -> dict[str, Any]:
    """The required fields of a model, each with a value that its annotation speaks of."""
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    return {name: next(iter(_candidates(field.annotation, None)), None) for name, field in required.items()}


def _built(model: type[BaseModel], values: dict[str, Any]) -> BaseModel | None:
    try:
        return model(**values)
    except ValidationError:
        return None
