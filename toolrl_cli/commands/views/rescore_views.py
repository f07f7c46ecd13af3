"""What `toolrl rescore` found, as tables, CSV, Markdown, JSON and files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolrl_cli.rewards.comparing.rescore import Rescored
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.wording import listed

if TYPE_CHECKING:
    from rich.console import Console

    from toolrl_cli.training.rollout_dumps import Dump, Reproduction

PLACES_NAMED = 3
ROWS_NAMED = 10
# of `ArmStatistics`: field, heading, how it is written
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("mean", "mean", ".3f"),
    ("std", "std", ".3f"),
    ("least", "least", ".3f"),
    ("most", "most", ".3f"),
    ("zero_variance", "no gradient", ".1%"),
    ("exact_rank", "exact match: rank", ".2f"),
    ("exact_auc", "exact match: AUC", ".2f"),
)
LEGEND = (
    "no gradient: groups whose rewards are all equal. exact match, rank: Spearman with 0 or 1 for calls equal to "
    "the ground truth's; AUC: chance that an exact match outscores another response of its group."
)


@dataclass(frozen=True)
class Source:
    """A run or file, and whether the reward that it was scored with gives the logged scores again.

    Attributes:
        logged_by: the reward that is known to have given the logged scores; None where none is.
        logged: how many rollouts have a logged score.
        error: largest difference from it under `logged_by`; None where there is nothing to compare.
        wrong: places of the rollouts whose difference is above 1e-6.
        means: reward → mean total of these rollouts.
        fault: why a run's own reward cannot be had; empty where it can.
        bad: rows that were left out: place and reason.
    """

    name: str
    rollouts: int
    steps: tuple[int, ...]
    logged_by: str | None
    logged: int
    error: float | None
    wrong: tuple[str, ...]
    means: Mapping[str, float]
    notes: tuple[str, ...]
    fault: str
    bad: tuple[str, ...] = ()

    @classmethod
    def of(cls, dump: Dump, means: Mapping[str, float], checked: Reproduction | None) -> Source:
        """What is shown of a dump; `checked` is None where no reward is known to have given its scores."""
        return cls(
            name=dump.name,
            rollouts=len(dump.rollouts),
            steps=tuple(sorted({rollout.step for rollout in dump.rollouts})),
            logged_by=checked.reward if checked else None,
            logged=sum(rollout.logged is not None for rollout in dump.rollouts),
            error=checked.error if checked and checked.logged else None,
            wrong=checked.wrong if checked else (),
            means=means,
            notes=dump.notes,
            fault=dump.fault,
            bad=dump.bad,
        )

    @property
    def reproduced(self) -> bool | None:
        """Whether the logged scores were given again; None where there was nothing to compare."""
        return None if self.error is None else not self.wrong

    def faults(self) -> Iterator[str]:
        """Why the comparison cannot be trusted, one line each."""
        if self.wrong:
            named = listed(self.wrong, PLACES_NAMED)
            yield (
                f"{self.name}: {self.logged_by} does not give the logged score of {len(self.wrong)} of "
                f"{self.logged} rollouts (largest difference {self.error:.3g}): {named} (verl's dumps leave "
                "special tokens out; `toolrl reward explain --rollouts FILE --row LINE-1` shows one)"
            )
        if self.fault:
            yield f"{self.name}: the reward that it was trained with cannot be had: {self.fault}"
        yield from (f"{row}; left out" for row in self.bad[:ROWS_NAMED])
        if len(self.bad) > ROWS_NAMED:
            yield f"{self.name}: {len(self.bad) - ROWS_NAMED} further rows left out; --json names all"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rollouts": self.rollouts,
            "steps": list(self.steps),
            "logged": self.logged,
            "logged_by": self.logged_by,
            "logged_error": self.error,
            "reproduced": self.reproduced,
            "not_reproduced": list(self.wrong),
            "means": dict(self.means),
            "notes": list(self.notes),
            "bad_rows": list(self.bad),
        }

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.name}: all {len(self.bad)} rows left out"
        steps = f"step {self.steps[0]}" if len(self.steps) == 1 else f"steps {self.steps[0]}–{self.steps[-1]}"
        if self.reproduced is None:
            check = "logged scores not compared" if self.logged else "no logged scores"
        elif self.reproduced:
            check = f"logged by {self.logged_by}, reproduced (largest difference {self.error:.2g})"
        else:
            check = f"logged by {self.logged_by}, NOT reproduced in {len(self.wrong)} of {self.logged}"
        left_out = f", {len(self.bad)} rows left out" if self.bad else ""
        return f"{self.name}: {self.rollouts} rollouts{left_out}, {steps}; {check}"


@dataclass(frozen=True)
class Comparison:
    """The rewards compared on all sources together, and each source by itself."""

    result: Rescored
    sources: tuple[Source, ...]

    @property
    def headline(self) -> str:
        """How much was compared."""
        result = self.result
        return (
            f"{result.rollouts} rollouts in {result.groups} groups, {result.comparable_groups} of two or more; "
            f"{result.exact_match:.1%} exact matches"
        )

    def grids(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """(title, headings, rows) of every table that people read."""
        result, names = self.result, [arm.name for arm in self.result.arms]
        rows = [
            [arm.name, *(_shown(getattr(arm, field), form) for field, _, form in _COLUMNS)]
            for arm in result.arms
        ]
        grids = [(self.headline, ["reward", *(heading for _, heading, _ in _COLUMNS)], rows)]
        if len(self.sources) > 1:
            means = [[s.name, *(_shown(s.means[name], ".3f") for name in names)] for s in self.sources]
            grids.append(("mean of each source under each reward", ["source", *names], means))
        for title, matrix in (
            ("rank correlation (Spearman)", result.rank_correlation),
            ("advantages of the same sign (share)", result.sign_agreement),
        ):
            cells = [
                [name, *(_shown(v, ".2f") for v in row)] for name, row in zip(names, matrix, strict=True)
            ]
            grids.append((title, ["", *names], cells))
        return grids

    def to_json(self) -> dict[str, Any]:
        return {"schema": PRINTED, "sources": [s.to_json() for s in self.sources], **self.result.to_dict()}


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def show(console: Console, comparison: Comparison) -> None:
    """The tables on the terminal."""
    from rich.table import Table
    from rich.text import Text

    for title, headings, rows in comparison.grids():
        if not headings[0]:
            headings, rows = _numbered(headings, rows, console.width)
        table = Table(box=None, pad_edge=False)
        for position, heading in enumerate(headings):
            justify: Literal["left", "right"] = "right" if position else "left"
            table.add_column(Text(heading), justify=justify, overflow="fold", no_wrap=not position)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(Text(title, "bold"), soft_wrap=True)  # a title of the table itself wraps at its width
        console.print(table, "")
    console.print(LEGEND, style="dim")
    for source in comparison.sources:
        console.print(str(source), style="" if source.reproduced is not False else "red", markup=False)


def _numbered(headings: list[str], rows: list[list[str]], width: int) -> tuple[list[str], list[list[str]]]:
    """A matrix whose columns are named by their row's number, where their names would not fit."""
    if sum(len(heading) + 3 for heading in headings) + max(map(len, headings)) <= width:
        return headings, rows
    numbers = [str(n) for n in range(1, len(headings))]
    return ["", *numbers], [[f"{n} {row[0]}", *row[1:]] for n, row in zip(numbers, rows, strict=True)]


def to_csv(comparison: Comparison) -> str:
    """One line a reward: its statistics, then its row of both matrices, unrounded."""
    rows = comparison.result.table()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(comparison: Comparison) -> str:
    """The terminal's tables in Markdown."""
    out = []
    for title, headings, rows in comparison.grids():
        out += [f"### {title}", "", _line(headings), "|:--|" + "--:|" * (len(headings) - 1)]
        out += [*map(_line, rows), ""]
    out += [LEGEND, "", *(f"- {source}" for source in comparison.sources)]
    return "\n".join(out) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_json_text(comparison: Comparison) -> str:
    """The document of `--json`."""
    return json.dumps(comparison.to_json(), indent=2, ensure_ascii=False) + "\n"


RENDERERS: Mapping[str, Callable[[Comparison], str]] = {
    "csv": to_csv,
    "markdown": to_markdown,
    "json": to_json_text,
}


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write `rescore.csv`, `.md`, `.json` and the heat map `rescore.png`.

    Raises:
        LedgerError: the folder cannot be written.
    """
    from toolrl_cli.report.drawing.rescore_plot import draw_agreement
    from toolrl_cli.store.files import explained, make_folder, write_text

    make_folder(folder)
    written = []
    for form, suffix in (("csv", "csv"), ("markdown", "md"), ("json", "json")):
        path = folder / f"rescore.{suffix}"
        write_text(path, RENDERERS[form](comparison), durable=False)
        written.append(path)
    picture = folder / "rescore.png"
    with explained(picture):
        draw_agreement(comparison.result, picture)
    return [*written, picture]
