"""Claims about rewards and training, declared in YAML: shipped, or written by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.report.cells import head_of
from toolrl_cli.report.table_spec import TableSpec, anchored, is_file, load_table, no_twins, shipped_tables
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.faults import fault_text
from toolrl_cli.spec.sweeps.reading.source import read_yaml

SHIPPED = Path(__file__).parent / "claims.yaml"

Verdict = Literal["supported", "contradicted", "undecided"]


class ClaimSpec(Frozen):
    """One claim, as written in YAML."""

    name: str
    text: str
    source: str = ""
    order: list[str] = Field(min_length=2, description="rows, each better than the next")
    measure: list[str] = Field(min_length=1, description="TABLE/COLUMN; effects are averaged over them")
    margin: float = Field(0.0, strict=True, description="points by which each must be better than the next")
    about: float | None = Field(None, strict=True, description="points by which it is better; needs `within`")
    within: float | None = Field(None, strict=True, gt=0)

    @field_validator("measure")
    @classmethod
    def _table_and_column(cls, measure: list[str]) -> list[str]:
        for place in measure:
            if "/" not in place:
                raise ValueError(f"{place!r} is not TABLE/COLUMN")
        return measure

    @model_validator(mode="after")
    def _is_whole(self) -> ClaimSpec:
        if (self.about is None) != (self.within is None):
            raise ValueError("`about` and `within` go together")
        if self.about is not None and "margin" in self.model_fields_set:
            raise ValueError("`margin` has no meaning beside `about` and `within`; leave one of the two out")
        no_twins(self.order, "rows of `order`")
        no_twins(self.measure, "measures")
        return self

    def foregone(self, limit: float) -> Verdict | None:
        """The verdict that every difference gives which is no larger than the limit; None where it is open."""
        middle = min(max(self.about or 0.0, -limit), limit)
        given = {self.judge(difference, difference) for difference in (-limit, middle, limit)}
        return given.pop() if len(given) == 1 else None

    def judge(self, low: float, high: float) -> Verdict:
        """The verdict for an interval of the difference; equal ends for a single number."""
        if self.about is None or self.within is None:
            return (
                "supported" if low > self.margin else "contradicted" if high <= self.margin else "undecided"
            )
        floor, ceiling = self.about - self.within, self.about + self.within
        if floor <= low and high <= ceiling:
            return "supported"
        return "contradicted" if high < floor or low > ceiling else "undecided"


class ClaimFile(Frozen):
    """A file of claims."""

    claims: list[ClaimSpec] = Field(min_length=1)

    @field_validator("claims")
    @classmethod
    def _names_hold(cls, claims: list[ClaimSpec]) -> list[ClaimSpec]:
        no_twins([claim.name for claim in claims], "claims")
        return claims


def table_of(name: str, tables: Sequence[TableSpec]) -> TableSpec:
    """The table that a claim is about: one of these, a shipped one, or a user's own by the path of its file.

    Raises:
        SpecError: as `load_table`.
    """
    return next((table for table in tables if table.name == name), None) or load_table(name)


def load_claims(
    path: Path | None = None, arms: Mapping[str, Sequence[str]] = {}, tables: Sequence[TableSpec] = ()
) -> list[ClaimSpec]:
    """The shipped claims, or a user's own, in which the paths of tables begin in the file's folder.

    Args:
        path: of the user's file.
        arms: of the results, which are the rows of tables that declare none: what one may be called → the rows that
            this may be. With none, any name may be one.
        tables: of the report, which claims can name.

    Raises:
        SpecError: the file has no claims, or names a table, column or row that does not exist.
    """
    source = read_yaml(path or SHIPPED)
    try:
        claims = ClaimFile.model_validate(source.data).claims
    except ValidationError as error:
        faults = error.errors(include_url=False)
        fault = max(faults, key=lambda f: f["type"] == "extra_forbidden")
        where, key = source.where(fault["loc"]), str(fault["loc"][-1])
        if fault["type"] == "extra_forbidden":
            raise SpecError(
                f"unknown key {key!r}", where, hint_for(key, ClaimSpec.model_fields, "keys")
            ) from None
        raise SpecError(fault_text(fault), where, "the shipped claims.yaml is an example") from None
    folder, found = (path or SHIPPED).parent, []
    for position, claim in enumerate(claims):
        where = source.where(("claims", position))
        places = [place.rsplit("/", 1) for place in claim.measure]
        measure = [f"{anchored(table, folder)}/{column}" for table, column in places]
        found.append(claim.model_copy(update={"measure": measure}))
        kinds = {_check(claim, place, where, arms, tables): place for place in reversed(measure)}
        if len(kinds) > 1:
            told = " and ".join(f"{place} ({kind})" for kind, place in reversed(kinds.items()))
            raise SpecError(f"effects on {told} have no mean", where, "make a claim of each")
    return found


def _check(
    claim: ClaimSpec, place: str, where: str, arms: Mapping[str, Sequence[str]], tables: Sequence[TableSpec]
) -> str:
    """What the effects on a measure are, in words; only those of one kind may be averaged.

    Raises:
        SpecError: there is no such table, column or row, or the column says not what is better.
    """
    table, column = place.rsplit("/", 1)
    try:
        spec = table_of(table, tables)
    except SpecError as error:
        names = [*dict.fromkeys([*(known.name for known in tables), *shipped_tables()])]
        hint = error.hint if is_file(table) else hint_for(table, names, "tables")
        raise SpecError(error.what, f"{where}: {error.where}" if is_file(table) else where, hint) from None
    columns = [c.name for c in spec.columns]
    if column not in columns:
        raise SpecError(
            f"table {table} has no column {column!r}", where, hint_for(column, columns, "columns")
        )
    found = spec.columns[columns.index(column)]
    head = head_of(found, spec)
    if head.direction == "none":
        raise SpecError(
            f"no value of {place} is better",
            where,
            "claim on a column that has `direction: higher` or `lower`",
        )
    foregone = claim.foregone(head.limit)
    if foregone is not None:
        what = f"no result of {place} can decide it: whatever it is, the claim is {foregone}"
        hint = f"differences there are {-head.limit:g} to {head.limit:g} points"
        raise SpecError(what, where, hint)
    declared = None if isinstance(spec.rows, str) else {row.name: [row.name] for row in spec.rows}
    rows = declared or arms or {name: [name] for name in claim.order}
    for name in claim.order:
        if name not in rows:
            raise SpecError(f"table {table} has no row {name!r}", where, hint_for(name, sorted(rows), "rows"))
        if len(rows[name]) > 1:
            told = ", ".join(map(repr, rows[name]))
            raise SpecError(f"{name!r} fits {len(rows[name])} rows of table {table}", where, f"one of {told}")
    if len({rows[name][0] for name in claim.order}) < len(claim.order):
        what = f"of {', '.join(map(repr, claim.order))} some are names of one row of table {table}"
        raise SpecError(what, where, "name each row once")
    # one count may be of milliseconds, and another of tokens
    unit = "percent" if head.unit == "percent" else f"number of {found.metric or found.name}"
    return f"{unit}, {head.direction} is better"
