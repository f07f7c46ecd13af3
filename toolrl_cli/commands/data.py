"""`toolrl data`: make the data that stages train on, check its gold answers, and list what there is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root
from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.store.schemas import PRINTED

if TYPE_CHECKING:
    from toolrl_cli.datasets.prepare import Manifest
    from toolrl_cli.rewards.gold import GoldReport

app = typer.Typer(help="Make and list data.", no_args_is_help=True)

RELEASED = "rlla-released"
"""Folder below RESULTS/data that the released files are downloaded to."""

REWARDED = ("train", "val")
"""The splits whose answers a reward is asked about; SFT learns its rows whatever a reward says."""

_ROWS_SHOWN = 20


@app.command("prepare")
def prepare(
    kind: Annotated[str, typer.Argument(metavar="toolworld|rlla", help="Which data.", show_default=False)],
    path: Annotated[
        Path | None,
        typer.Option(
            "--path",
            help="rlla: folder with the released files; default: download them.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="toolworld: of the generator.")] = 0,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            metavar="SPLIT=N",
            help="Rows of a split; of rlla, the most to take. Repeatable.",
            show_default=False,
        ),
    ] = None,
    rewards: Annotated[
        list[str] | None,
        typer.Option(
            "--reward",
            metavar="NAME|FILE.yaml",
            help="Check the gold answers under this reward; repeatable. Default: original.",
            show_default=False,
        ),
    ] = None,
    allow_imperfect_gold: Annotated[
        bool, typer.Option("--allow-imperfect-gold", help="Accept gold answers below the maximum.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Make a data folder where stages look for it, and check that its gold answers earn the most they can.

    Exit status 1 where a gold answer of the RL rows does not reach its row's maximum under a chosen reward.
    """
    from toolrl_cli.commands.exit_status import FAILED
    from toolrl_cli.rewards import RewardError, get_reward

    chosen = [get_reward(name) for name in rewards or ["original"]]
    folder, manifest = _write(kind, path, seed, rows or (), results_root(results))
    reports = [
        (split, folder / f"{split}.parquet", _checked(folder / f"{split}.parquet", reward))
        for split in REWARDED
        for reward in chosen
    ]
    if as_json:
        gold = [{"split": split, **report.to_dict()} for split, _, report in reports]
        print_json({"schema": PRINTED, **_entry(folder, manifest), "gold": gold})
    else:
        _show([(folder, manifest)])
        _show_gold([(split, report) for split, _, report in reports])
    refused = False
    for _, file, report in reports:
        try:
            report.raise_if_imperfect(str(file))
        except RewardError as fault:
            note(f"{'warning' if allow_imperfect_gold else 'error'}: {fault}")
            refused = not allow_imperfect_gold
    if refused:
        raise typer.Exit(FAILED)


@app.command("list")
def list_data(results: Results = None, as_json: AsJson = False) -> None:
    """List the data folders under the results root."""
    from toolrl_cli.datasets.prepare import KINDS, read_manifest

    root = results_root(results) / "data"
    found = [(folder, read_manifest(folder)) for folder in sorted(root.glob("[!.]*"))]
    known = [(folder, manifest) for folder, manifest in found if manifest is not None]
    if as_json:
        print_json({"schema": PRINTED, "kinds": list(KINDS), "data": [_entry(*pair) for pair in known]})
    elif known:
        _show(known)
    else:
        note(f"no data under {root}; `toolrl data prepare {'|'.join(KINDS)}` makes some, and so do sweeps")


def _write(
    kind: str, path: Path | None, seed: int, rows: Sequence[str], results: Path
) -> tuple[Path, Manifest]:
    """The folder, made or found made, where `training.inputs.data_folder` looks for the same data.

    Raises:
        SpecError: the options do not fit the kind, or the source files cannot be had or used.
        LedgerError: the results root cannot be written.
    """
    from toolrl_cli.datasets import rlla_source
    from toolrl_cli.datasets.prepare import KINDS, dataset_fingerprint, write_dataset
    from toolrl_cli.errors import SpecError
    from toolrl_cli.spec.models import DataSpec, RllaData, ToolWorldData
    from toolrl_cli.spec.suggest import hint_for
    from toolrl_cli.store.files import explained
    from toolrl_cli.training.inputs import dataset_params

    if kind not in KINDS:
        raise SpecError(f"unknown data {kind!r}", "data prepare", hint_for(kind, KINDS, "data"))
    if kind == "toolworld":
        if path is not None:
            raise SpecError("toolworld is generated and takes no --path", str(path), "leave it out")
        sizes = _sizes(rows, ("base", "sft", "train", "val"))
        data: DataSpec = ToolWorldData.model_validate({"kind": "toolworld", "seed": seed, **sizes})
    else:
        limit = _sizes(rows, ("sft", "train", "val"))
        released = results / "data" / RELEASED
        with explained(released):
            source = path.expanduser().resolve() if path else rlla_source.download(released, tell=note)
        data = RllaData.model_validate({"kind": "rlla", "path": str(source), "limit": limit})
        note(f"a sweep takes these rows with --set data='{{kind: rlla, path: {source}}}'")
    params = dataset_params(data)
    folder = results / "data" / f"{kind}-{dataset_fingerprint(kind, params)[:10]}"
    with explained(folder):
        return folder, write_dataset(kind, params, folder)


def _sizes(given: Sequence[str], splits: Sequence[str]) -> dict[str, int]:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.spec.suggest import hint_for

    sizes = {}
    for text in given:
        split, _, number = text.partition("=")
        if split not in splits:
            raise SpecError(f"unknown split {split!r}", f"--rows {text}", hint_for(split, splits, "splits"))
        if not number.isdecimal() or int(number) < 1:
            raise SpecError(f"{number!r} is no number of rows", f"--rows {text}", f"for example {split}=100")
        sizes[split] = int(number)
    return sizes


def _checked(file: Path, reward: Any) -> GoldReport:
    from toolrl_cli.rewards.catalogue import PAPER_STEPS
    from toolrl_cli.rewards.gold import check_gold
    from toolrl_cli.training.rollout_dumps import gold_answers

    # a maximum is reached at every step or at none: any length will do for schedules over a share of it
    return check_gold(reward, gold_answers(file), total_steps=PAPER_STEPS)


def _entry(folder: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "kind": manifest.kind,
        "fingerprint": manifest.fingerprint,
        "params": dict(manifest.params),
        "files": {split: {"rows": f.rows, "sha256": f.sha256} for split, f in manifest.files.items()},
        "notes": list(manifest.notes),
    }


def _show(found: Sequence[tuple[Path, Manifest]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for header in ("data", "rows", "made from"):
        table.add_column(header, overflow="fold")
    for folder, manifest in found:
        rows = ", ".join(f"{split} {file.rows}" for split, file in manifest.files.items())
        table.add_row(
            folder.name, rows, str(manifest.params.get("path") or f"seed {manifest.params.get('seed')}")
        )
    console = stdout_console()
    console.print(table)
    for folder, manifest in found:
        for line in manifest.notes:
            console.print(f"{folder.name}: {line}", markup=False, soft_wrap=True)


def _show_gold(reports: Sequence[tuple[str, GoldReport]]) -> None:
    console = stdout_console()
    for split, report in reports:
        reached = report.rows - len(report.shortfalls)
        style = "green" if report.ok else "red"
        console.print(
            f"gold, {split}: {reached} of {report.rows} reach the maximum of {report.reward}", style=style
        )
        for shortfall in report.shortfalls[:_ROWS_SHOWN]:
            console.print(f"  {shortfall}", markup=False, soft_wrap=True)
        if len(report.shortfalls) > _ROWS_SHOWN:
            console.print(f"  … {len(report.shortfalls) - _ROWS_SHOWN} more; --json names all")
