"""The notes under a table: what its numbers are, which tests its marks rest on, and what those can find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.marks import Tests, family_of
from toolrl_cli.report.model import Head, Row, fixed
from toolrl_cli.report.sources.chosen_evaluation import checkpoint_note
from toolrl_cli.report.statistics.basics import LEVEL, MIN_SEEDS, pooled_sd
from toolrl_cli.report.statistics.items import ITEM_TEST
from toolrl_cli.report.statistics.power import Design, detectable
from toolrl_cli.report.statistics.seeds import ITEMS, PAIRED, WELCH, gains, paired
from toolrl_cli.report.table_spec import TableSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.wording import listed

_SORTS = {
    WELCH: "Welch's t test over seeds",
    PAIRED: "paired t test over the seeds that two arms share",
    ITEMS: "where seeds of an arm all gave one value, its items' error (Wilson) in place of theirs",
    ITEM_TEST: "exact sign-flip test over items, without the variance over seeds",
}


@dataclass(frozen=True)
class Place:
    """A row without its cells; `rivals` are the arms of which it cannot show one."""

    name: str
    label: str
    group: str
    arm: Arm | None
    rivals: tuple[str, ...] = ()


def notes_of(
    spec: TableSpec, places: list[Place], rows: list[Row], heads: list[Head], tests: Tests | None
) -> list[str]:
    """All notes on a computed table but those on printed numbers."""
    cells = [cell for row in rows for cell in row.cells.values()]
    notes = [spec.caption] if spec.caption else []
    checkpoint = checkpoint_note(rows, spec.checkpoint)
    notes += [n for n in (_scored_under(rows), checkpoint) if n]
    twins = {p.arm.name: p.arm.aliases for p in places if p.arm is not None and p.arm.aliases}
    if twins:
        told = "; ".join(f"{name} is also {', '.join(others)}" for name, others in twins.items())
        notes.append(f"The same stages under several names are one arm: {told}.")
    if any(c.ci is not None for c in cells):
        told = "Mean ± half-width of the 95 % t interval over seeds (number of seeds)"
        if any(_cut(row, head) for row in rows for head in heads):
            told += "; [ends] where it would leave 0 to 100, cut there"
        notes.append(f"{told}.")
        if any(c.n and not c.sample.enough for c in cells):
            notes.append(f"With fewer than {MIN_SEEDS} seeds there is no interval and no test.")
    elif any(c.n for c in cells):
        notes.append(f"Mean (number of seeds); an interval needs {MIN_SEEDS} seeds.")
    if any(c.n >= MIN_SEEDS and not c.sample.varies for c in cells):
        notes.append(
            "Where all seeds gave one value there is no ±: that is no certainty, the spread is unknown."
        )
    if any(0 < c.n < c.planned for c in cells):
        notes.append("(k/m): k of m planned seeds have a value.")
    if tests is not None:
        sorts = list(dict.fromkeys(part for sort in tests.sorts for part in sort.split(" and ")))
        told = "; ".join(_SORTS[sort] for sort in sorts)
        notes.append(
            f"*: differs from {tests.baseline} ({told}; p < {LEVEL} after {_families(tests, spec, heads)})."
        )
    elif spec.baseline is not None and any(c.n for c in cells) and not baseline_fault(spec, rows):
        also = " and items to count" if spec.test == "items" else ", and a spread or items to count"
        notes.append(
            f"No test against {_baseline_label(spec)}: nowhere have it and another row, scored alike,"
            f" {MIN_SEEDS} seeds each{also}."
        )
    return notes + _sampling_note(rows, heads) + _power_note(spec, rows, heads, tests)


def cut(low: float, high: float, mean: float, ci: float, precision: int) -> bool:
    """Whether an interval's ends are not mean ± ci, because they were cut to what values can be."""
    slack = 1.5 * 10.0**-precision
    return abs(mean - ci - low) > slack or abs(mean + ci - high) > slack


def _cut(row: Row, head: Head) -> bool:
    c = row.cells[head.name]
    if c.mean is None or c.ci is None or c.low is None or c.high is None:
        return False
    return cut(c.low, c.high, c.mean, c.ci, head.precision)


def _families(tests: Tests, spec: TableSpec, heads: Sequence[Head]) -> str:
    """The correction and what it is over, in words."""
    label = next((h.label for h in heads if h.name == spec.primary), "")
    if "table" in tests.families:
        return f"Holm's correction over the {tests.families['table']} comparisons of this table"
    told = []
    if "primary" in tests.families:
        told.append(f"over the {tests.families['primary']} comparisons in {label}")
    if "other" in tests.families:
        of_their_own = ", which are a family of their own" if told else ""
        told.append(f"over the {tests.families['other']} in the other columns{of_their_own}")
    return f"Holm's correction {', and '.join(told)}"


def baseline_fault(spec: TableSpec, rows: list[Row]) -> list[str]:
    """The fault of a baseline that is not among the arms, for tables whose rows are arms."""
    names = {row.name for row in rows}
    found = any(row.named(spec.baseline) for row in rows)
    if spec.baseline is None or not isinstance(spec.rows, str) or found or not names:
        return []
    hint = hint_for(spec.baseline, names, "arms")
    return [f"Nothing is tested: the baseline {spec.baseline!r} is no arm of these sweeps ({hint})."]


def _baseline_label(spec: TableSpec) -> str | None:
    rows = [] if isinstance(spec.rows, str) else spec.rows
    return next((row.label for row in rows if row.name == spec.baseline), spec.baseline)


def left_over(spec: TableSpec, places: list[Place], arms: list[Arm]) -> list[str]:
    """A note on arms with scores that match no row, if rows are empty: a wrong setting may be the cause."""
    if isinstance(spec.rows, str) or all(place.arm or place.rivals for place in places):
        return []
    placed = {place.arm.name for place in places if place.arm} | {r for p in places for r in p.rivals}
    over = [
        arm.name
        for arm in arms
        if arm.name not in placed
        and any(e.metrics and e.benchmark in spec.benchmarks for run in arm.runs for e in run.evaluations)
    ]
    if not over:
        return []
    return [f"In no row, though scored on {' or '.join(spec.benchmarks)}: {listed(over, 4)}."]


def apart_in_words(apart: Mapping[tuple[str, str], str], heads: list[Head]) -> list[str]:
    """One line for all columns of a group with the same differences."""
    labels = {head.name: head.label for head in heads}
    columns: dict[tuple[str, str], list[str]] = {}
    for (group, name), told in apart.items():
        columns.setdefault((group, told), []).append(labels[name])
    return [
        f"{', '.join([group] * bool(group) + columns)}: rows were scored differently ({told}) and are not compared."
        for (group, told), columns in columns.items()
    ]


def _scored_under(rows: list[Row]) -> str:
    """Protocol and version of all values, if they are the same."""
    known = [c.conditions for row in rows for c in row.cells.values() if c.n]
    found = {(c.get("protocol", ""), c.get("version", "")) for c in known}
    if len(found) != 1 or not next(iter(found))[0]:
        return ""
    protocol, version = next(iter(found))
    return f"Scored under {protocol}" + (f", version {version}." if version else ".")


def _sampling_note(rows: list[Row], heads: list[Head]) -> list[str]:
    """A note on the sampling error by column."""
    largest = {h.name: max((r.cells[h.name].sampling or 0.0 for r in rows), default=0.0) for h in heads}
    told = ", ".join(f"{h.label} ±{fixed(largest[h.name], 1)}" for h in heads if largest[h.name])
    if not told:
        return []
    return [
        f"Not in ±: the benchmark's own sampling error (95 % Wilson, one evaluation), at most {told};"
        " JSON and CSV have both together."
    ]


def _power_note(spec: TableSpec, rows: list[Row], heads: list[Head], tests: Tests | None) -> list[str]:
    """What the test of the primary column finds 4 times in 5, at the level that its family leaves one test."""
    head = next((h for h in heads if h.name == spec.primary), None)
    if head is None or spec.test == "items":
        return []
    samples = [r.cells[head.name].sample for r in rows]
    varying = [s for s in samples if len(s.values) >= MIN_SEEDS and s.varies]
    sd = pooled_sd([s.values for s in varying])
    if len(varying) < 2 or sd is None:
        return []  # without a spread over seeds, the detectable difference is unknown
    sizes = Counter(len(s.values) for s in varying)
    # the most frequent number of seeds; of equally frequent ones the smallest, which detects least
    n = min(sizes, key=lambda size: (-sizes[size], size))
    count = tests.families.get(family_of(head, spec.primary), 1) if tests is not None else 1
    design, told = Design(sd, 2), f"spread over seeds {fixed(sd, max(2, head.precision))}"
    pairs = [
        gains(row.cells[head.name].sample, base.cells[head.name].sample)
        for base in (r for r in rows if r.named(spec.baseline))
        for row in rows
        if row.group == base.group
        and row is not base
        and paired(row.cells[head.name].sample, base.cells[head.name].sample, spec.paired_from)
    ]
    between = pooled_sd(pairs)
    if pairs and between:
        design, told = (
            Design(between, 1),
            f"spread of paired differences {fixed(between, max(2, head.precision))}",
        )
        n = min(map(len, pairs))
    difference = detectable(design, n, LEVEL / count)
    corrected = f" and Holm's strictest step, p < {LEVEL}/{count}" if count > 1 else ""
    return [
        f"With {n} seeds an arm, true differences in {head.label} below {fixed(difference, head.precision)}"
        f" are missed more often than 1 time in 5 by this test{corrected} ({told})."
    ]
