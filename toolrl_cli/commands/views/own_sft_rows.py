"""`toolrl data prepare sft4k`: SFT rows of one's own, checked, and how a sweep names them."""

from __future__ import annotations

import statistics
from pathlib import Path

import typer

from toolrl_cli.commands.options import note, print_json
from toolrl_cli.errors import SpecError
from toolrl_cli.store.schemas import PRINTED


def show_own_rows(origin: Path | None, *, as_json: bool) -> None:
    """Check a file of SFT rows of one's own, and say how a sweep names it; it is used where it is.

    Raises:
        SpecError: none is given, or it holds no such rows.
    """
    from toolrl_cli.datasets.rlla import SFT_FILE, read_json_rows, sft4k_fingerprint
    from toolrl_cli.datasets.rlla_format import THINK_RESPONSE, THINK_TOOL

    if origin is None:
        what = "SFT4k (4,000 rows with distilled thoughts) was never released"
        hint = (
            "toolrl data prepare sft4k --from FILE takes rows of your own; `sft.split: train` learns the 4,000 RL rows "
            "with their placeholder thoughts"
        )
        raise SpecError(what, "data prepare sft4k", hint)
    place = origin.expanduser().resolve()
    file = place / SFT_FILE if place.is_dir() else place
    answers = (answer for _, _, answer in read_json_rows(file))
    thoughts = [answer.partition("<think>")[2].partition("</think>")[0].strip() for answer in answers]
    words = [len(thought.split()) for thought in thoughts]
    mark = sft4k_fingerprint(file)
    entry = {
        "file": str(file),
        "kind": "sft4k",
        "rows": len(thoughts),
        "fingerprint": mark,
        "thought_words": {"median": round(statistics.median(words)), "longest": max(words)},
        "placeholder_thoughts": sum(t in ("", THINK_TOOL, THINK_RESPONSE) for t in thoughts),
        "settings": {"data.sft4k": str(file), "sft.split": "sft4k"},
    }
    if as_json:
        print_json({"schema": PRINTED, **entry})
        return
    typer.echo(
        f"{file}: {len(thoughts)} rows, {mark[:10]}; thoughts of {round(statistics.median(words))} "
        f"words (longest {max(words)}); {entry['placeholder_thoughts']} without one of their own"
    )
    note(
        f"a sweep takes them with --set data.sft4k={file} --set arms.sft4k.sft.split=sft4k (the arm that learns them)"
    )
