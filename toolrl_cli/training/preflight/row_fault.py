"""What is wrong with the rows of a stage under its limits: one line a fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toolrl_cli.datasets.repeats import Repeats
from toolrl_cli.training.preflight.question import Measures
from toolrl_cli.wording import listed

NAMED = 3
"""Rows that a line names, the first ones."""


@dataclass(frozen=True)
class RowFault:
    """One fault.

    Attributes:
        setting: the setting that it is found under, and that cures it where one does.
        what: the fault with its counts, in one clause.
        hint: what to do about it.
        refused: nothing is to be started with it.
    """

    setting: str
    what: str
    hint: str = ""
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.setting}: {self.what}" + (f" ({self.hint})" if self.hint else "")


def cut_rows(
    found: Measures, rows: str, setting: str, limit: int, permission: str, *, allowed: bool
) -> Iterator[RowFault]:
    """Rows of SFT that are longer than its limit: what is cut on the right is the gold answer.

    Args:
        found: of whole conversations.
        rows: what they are, such as `sft`.
        setting, limit: the setting, and its value.
        permission, allowed: the setting that lets them be cut, and its value.
    """
    over = _over({rows: found.lengths}, limit)
    if over is not None:
        whole = sum(found.lengths[n] - found.golds[n] >= limit for n in over.rows)
        lost = f", {whole} of them all of it" if whole else ""
        what = (
            f"{over.share} rows are longer than {limit} tokens and lose the end of their gold answer{lost}; the "
            f"longest has {over.longest}{over.first}"
        )
        yield _refusal(setting, what, over.longest, permission, allowed=allowed)


def long_golds(
    found: Mapping[str, Measures], setting: str, limit: int, permission: str, *, allowed: bool
) -> Iterator[RowFault]:
    """Gold answers that no response can be, because it would be cut before its end.

    Args:
        found: of prompts, by split or benchmark.
        setting, limit, permission, allowed: as `cut_rows`.
    """
    over = _over({name: part.golds for name, part in found.items()}, limit)
    if over is not None:
        what = (
            f"{over.share} rows have a gold answer of more than {limit} tokens, which cannot be generated; the "
            f"longest has {over.longest}{over.first}"
        )
        # and its end-of-turn token
        yield _refusal(setting, what, over.longest + 1, permission, allowed=allowed)


def _refusal(setting: str, what: str, enough: int, permission: str, *, allowed: bool) -> RowFault:
    hint = f"--set {setting}={enough}"
    return RowFault(
        setting, what, hint if allowed else f"{hint}, or go on with --set {permission}=true", not allowed
    )


def long_prompts(found: Mapping[str, Measures], setting: str, limit: int, loss: str) -> Iterator[RowFault]:
    """Prompts that are longer than their limit; `loss` is what becomes of them."""
    over = _over({name: part.lengths for name, part in found.items()}, limit)
    if over is not None:
        what = (
            f"{over.share} prompts are longer than {limit} tokens and {loss}; the longest has "
            f"{over.longest}{over.first}"
        )
        yield RowFault(setting, what, f"--set {setting}={over.longest}")


class _Over(NamedTuple):
    """Rows over a limit: how many, of the first split that has any; their first ones; and the most tokens of any."""

    share: str
    rows: Sequence[int]
    first: str
    longest: int


def _over(lengths: Mapping[str, Sequence[int]], limit: int) -> _Over | None:
    long = {name: [n for n, length in enumerate(part) if length > limit] for name, part in lengths.items()}
    long = {name: rows for name, rows in long.items() if rows}
    if not long:
        return None
    share = " and ".join(f"{len(rows)} of {len(lengths[name])} {name}" for name, rows in long.items())
    name, rows = next(iter(long.items()))
    first = _first(rows) if len(long) == 1 else _first(rows).replace("; ", f"; {name} ", 1)
    return _Over(share, rows, first, max(max(part, default=0) for part in lengths.values()))


def beyond_positions(longest: int, setting: str, positions: int | None) -> Iterator[RowFault]:
    """Sequences that are longer than the model has positions.

    Args:
        longest: most tokens of one, as the rows and the limits allow it.
        setting: the setting to lower.
        positions: of the model, where it says.
    """
    if positions is not None and longest > positions:
        what = f"sequences have up to {longest} tokens, and the model has {positions} positions"
        yield RowFault(setting, what, "lower it, or take a model with more (max_position_embeddings)")


def tokenizer_faults(found: Measures, rows: str, model: str) -> Iterator[RowFault]:
    """What tokenizer and chat template do to gold answers, whatever the limits.

    Args:
        found: of any rows.
        rows: what they are.
        model: its name.
    """
    if found.blamed == "rows":
        yield RowFault("data", found.problem, refused=True)
    elif found.blamed == "template":
        yield RowFault("model", f"{model}: {found.problem} ({rows} rows)", refused=True)
    elif found.problem:
        yield RowFault("model", f"tokens are not counted for {model}: {found.problem}")
    if found.opened:
        what = f"the chat template of {model} begins the answer with {found.opened} itself"
        hint = "take a chat template without it"
        yield RowFault("model", f"{what}, so that no answer meets the format", hint)
    if found.dropped:
        what = f"the chat template of {model} changes the gold answer of {_share(found.dropped, found)} {rows} rows"
        yield RowFault("model", f"{what}: what it leaves out is not learned{_first(found.dropped)}")
    if found.lost:
        what = f"the tokenizer of {model} loses {', '.join(found.lost)} in {_share(found.changed, found)} {rows} rows"
        yield RowFault("model", f"{what}, whose format can never be met{_first(found.changed)}")
    elif found.changed:
        what = (
            f"the tokenizer of {model} changes the gold answer of {_share(found.changed, found)} {rows} rows"
        )
        yield RowFault("model", f"{what}, which no response can equal then{_first(found.changed)}")


def special_tags(found: Measures, model: str) -> Iterator[RowFault]:
    """Tags that the dumps of rollouts lack, while the reward sees them; `rescore` cannot give its scores then."""
    if found.special:
        what = f"the tokenizer of {model} holds {', '.join(found.special)} for special, and verl's dumps leave them out"
        yield RowFault("model", f"{what}: training is as it should be, `rescore` is not")


def repeated(found: Repeats, split: str, place: str) -> Iterator[RowFault]:
    """Rows of a split that come twice, or are those of the test set."""
    kinds = (
        (found.tested, "have a prompt of the test set (val)"),
        (found.double, "are equal to an earlier one"),
        (found.disputed, "have the prompt of an earlier one and another gold answer"),
        (found.crlf, "have a gold answer with the line ends of Windows (CRLF), and the format wants LF"),
    )
    for rows, what in kinds:
        if rows:
            yield RowFault(place, f"{len(rows)} of {found.rows} {split} rows {what}{_first(rows)}")


def _share(rows: Sequence[int], found: Measures) -> str:
    return f"{len(rows)} of {len(found.lengths)}"


def _first(rows: Sequence[int]) -> str:
    return f"; row{'' if len(rows) == 1 else 's'} {listed(rows, NAMED)}"
