"""What the settings of a run are made of: frozen models and the numbers in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict

Whole = Annotated[int, Strict()]  # neither `yes` nor 2.5 is a number of steps


Number = Annotated[float, Strict()]


Positive = Annotated[Whole, Field(gt=0)]


Natural = Annotated[Whole, Field(ge=0)]


Share = Annotated[Number, Field(ge=0, le=1)]


Rate = Annotated[Number, Field(gt=0, lt=1)]


Precision = Literal["fp32", "bf16"]


S = TypeVar("S", bound="StageSettings")


class Frozen(BaseModel):
    """Immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StageSettings(Frozen):
    """The settings of one kind of work, most of which are part of a stage's identity.

    Attributes:
        TRANSPORT: fields that change how a stage runs and what it takes, and not what comes out.
        PERMISSIONS: fields that decide whether a stage starts, and not what comes out of one that did.
        ADDED_LATER: fields that came later, each with the value at which a stage is what it was without the
            field: no part of its identity then, so that the ids of earlier results stay.
    """

    TRANSPORT: ClassVar[frozenset[str]] = frozenset()
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset()
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {}

    def identity(self) -> dict[str, Any]:
        """The fields that are part of a stage's identity, as JSON; made once, because cells share their settings."""
        return dict(self._identity)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        left_out = {*self.TRANSPORT, *self.PERMISSIONS}
        left_out.update(name for name, value in self.ADDED_LATER.items() if getattr(self, name) == value)
        return self.model_dump(mode="json", exclude=left_out)

    def model_copy(self: S, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> S:
        """A copy with other values, which has not yet worked out its identity."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_identity", None)
        return copy

    def transport(self) -> dict[str, Any]:
        """The fields of transport, by name."""
        return {name: getattr(self, name) for name in sorted(self.TRANSPORT)}
