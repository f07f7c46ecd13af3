"""`toolrl data`: make the data that stages train on, check its gold answers, and list what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.data_convert import convert
from toolrl_cli.commands.examples import epilog
from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root
from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.store.schemas import PRINTED

if TYPE_CHECKING:
    from toolrl_cli.datasets.prepare import Manifest
    from toolrl_cli.rewards.gold import GoldReport

app = typer.Typer(help="Make, convert and list data.", epilog=epilog("data"), no_args_is_help=True)
app.command("convert", epilog=epilog("data convert"))(convert)

_ROWS_SHOWN = 20


@app.command("prepare", epilog=epilog("data prepare"))
def prepare(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="toolworld|rlla|sft400|sft4k|api_bank|bamboogle|bfcl|bfcl_v4",
            help="Which data; sft400 are the SFT rows of rlla, sft4k such rows of your own.",
            autocompletion=completing.data,
            show_default=False,
        ),
    ],
    origin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Released data: a folder that holds the files already; default: download them. sft4k: your file.",
            show_default=False,
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "--path",
            help="rlla: your own folder with files of the same form, used where it is.",
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
            help="Check the gold answers under this reward (`toolrl reward list`); repeatable. Default: original.",
            autocompletion=completing.rewards,
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
    from toolrl_cli.commands.views.data_facts import REWARDED
    from toolrl_cli.commands.views.exit_status import FAILED
    from toolrl_cli.datasets.prepare import MADE
    from toolrl_cli.datasets.released import RELEASED
    from toolrl_cli.rewards import RewardError, get_reward

    if kind == "sft4k":
        _check_unread(kind, seed, rewards or (), rows or ())
        from toolrl_cli.commands.views.own_sft_rows import show_own_rows

        return show_own_rows(origin or path, as_json=as_json)
    kind = _kind(kind)
    chosen = [get_reward(name) for name in rewards or ["original"]]
    sizes = _sizes(kind, rows or ())
    _check_places(kind, origin, path)
    _check_unread(kind, seed, rewards or ())
    if kind in RELEASED and path is None:
        released = _bring(kind, origin, results_root(results))
        if kind not in MADE:
            return _brought(kind, released, as_json=as_json)
    folder, manifest = _write(kind, path, seed, sizes, results_root(results))
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


@app.command("list", epilog=epilog("data list"))
def list_data(
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Count prompts and answers in this model's tokens: a folder, a hub name, or as in a sweep.",
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """List the data under the results root: rows, fingerprints, licence, lengths, rows in common, gold answers."""
    from toolrl_cli.commands.views.data_facts import facts_of, tokenizer_named
    from toolrl_cli.datasets.prepare import KINDS, read_manifest
    from toolrl_cli.datasets.released import LICENCE, RELEASED, missing, released_folder

    root = results_root(results)
    found = [(folder, read_manifest(folder)) for folder in sorted((root / "data").glob("[!.]*"))]
    known = [(folder, manifest) for folder, manifest in found if manifest is not None]
    released = {name: folder for name in RELEASED if (folder := released_folder(name, root)).is_dir()}
    kinds = list(dict.fromkeys((*KINDS, *RELEASED)))
    lacks = {name: missing(name, folder) for name, folder in released.items()}
    asked = {name: folder for name, folder in released.items() if name not in KINDS and not lacks[name]}
    facts = facts_of(known, asked, tokenizer_named(tokenizer) if tokenizer is not None else None)
    if as_json:
        there = [
            {**_released_entry(name, folder, lacks[name]), **(facts[name].to_json() if name in facts else {})}
            for name, folder in released.items()
        ]
        data = [{**_entry(*pair), **facts[pair[0].name].to_json()} for pair in known]
        print_json({"schema": PRINTED, "kinds": kinds, "data": data, "released": there})
    elif known or released:
        for name, folder in released.items():
            typer.echo(f"{folder.name}: {lacks[name] or 'whole'}; {LICENCE}")
        _show(known)
        for name, about in facts.items():
            for line in about.lines():
                typer.echo(f"{name}: {line}")
    else:
        told = f"`toolrl data prepare {'|'.join(kinds)}` makes some, and so do sweeps"
        note(f"no data under {root / 'data'}; {told}")


def _write(
    kind: str, path: Path | None, seed: int, sizes: Mapping[str, int], results: Path
) -> tuple[Path, Manifest]:
    """The folder, made or found made, where `training.inputs.data_folder` looks for the same data.

    Raises:
        SpecError: the source files cannot be used.
        LedgerError: the results root cannot be written.
    """
    from toolrl_cli.datasets.prepare import dataset_fingerprint, write_dataset
    from toolrl_cli.datasets.released import released_folder
    from toolrl_cli.spec.run.data_settings import DataSpec, RllaData, ToolWorldData
    from toolrl_cli.store.files import explained
    from toolrl_cli.training.inputs import dataset_params

    if kind == "toolworld":
        data: DataSpec = ToolWorldData.model_validate({"kind": "toolworld", "seed": seed, **sizes})
    else:
        source = path.expanduser().resolve() if path else released_folder(kind, results)
        data = RllaData.model_validate({"kind": "rlla", "path": str(source), "limit": dict(sizes)})
        if path is not None:
            note(f"a sweep takes these rows with --set data='{{kind: rlla, path: {source}}}'")
    params = dataset_params(data)
    folder = results / "data" / f"{kind}-{dataset_fingerprint(kind, params)[:10]}"
    with explained(folder):
        return folder, write_dataset(kind, params, folder)


def _kind(kind: str) -> str:
    """Which data a name stands for.

    Raises:
        SpecError: for none.
    """
    from toolrl_cli.datasets.prepare import MADE
    from toolrl_cli.datasets.released import RELEASED
    from toolrl_cli.errors import SpecError
    from toolrl_cli.spec.suggest import hint_for

    if kind == "sft400":
        return "rlla"
    if kind not in {*MADE, *RELEASED}:
        known = [*MADE, "sft400", "sft4k", *(name for name in RELEASED if name not in MADE)]
        raise SpecError(f"unknown data {kind!r}", "data prepare", hint_for(kind, known, "data"))
    return kind


def _check_places(kind: str, origin: Path | None, path: Path | None) -> None:
    """Refuse places that the data do not take."""
    from toolrl_cli.datasets.released import RELEASED
    from toolrl_cli.errors import SpecError

    if origin is not None and path is not None:
        raise SpecError("--from and --path are two places of the same files", str(origin), "give one of them")
    for option, place, kinds in (("--from", origin, RELEASED), ("--path", path, ("rlla",))):
        if place is not None and kind not in kinds:
            raise SpecError(f"{kind} takes no {option}", str(place), "leave it out")


def _check_unread(kind: str, seed: int, rewards: Sequence[str], rows: Sequence[str] = ()) -> None:
    """Refuse options that would change nothing of these data."""
    from toolrl_cli.datasets.prepare import MADE
    from toolrl_cli.errors import SpecError

    if seed and kind != "toolworld":
        raise SpecError(f"{kind} is released as it is and takes no seed", f"--seed {seed}", "leave it out")
    if rewards and kind not in MADE:
        why = "learned as it is" if kind == "sft4k" else "evaluated on and not trained on"
        what = f"no reward is asked about {kind}, which is {why}"
        raise SpecError(what, f"--reward {rewards[0]}", "leave it out")
    if rows:
        raise SpecError(
            f"{kind} is taken whole", f"--rows {rows[0]}", "data.limit.sft4k in the sweep limits it"
        )


def _bring(name: str, origin: Path | None, results: Path) -> Path:
    from toolrl_cli.datasets.released import bring, released_folder
    from toolrl_cli.store.files import explained

    folder = released_folder(name, results)
    with explained(folder):
        return bring(name, folder, origin and origin.expanduser(), tell=note)


def _brought(name: str, folder: Path, *, as_json: bool) -> None:
    """Say where released data are that no stage trains on."""
    entry = _released_entry(name, folder, "")
    if as_json:
        print_json({"schema": PRINTED, **entry})
    else:
        files = ", ".join(entry["files"]) or "in an environment of its own"
        typer.echo(f"{folder}: {files}; {entry['source']}, {entry['licence']}")


def _released_entry(name: str, folder: Path, lacks: str) -> dict[str, Any]:
    from toolrl_cli.datasets.released import LICENCE, RELEASED, origin_of

    return {
        "folder": str(folder),
        "kind": name,
        "files": [file.name for file in RELEASED[name]],
        "source": origin_of(name),
        "licence": LICENCE,
        "lacks": lacks,
    }


def _sizes(kind: str, given: Sequence[str]) -> dict[str, int]:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.spec.suggest import hint_for

    splits = {"toolworld": ("base", "sft", "train", "val"), "rlla": ("sft", "train", "val")}.get(kind, ())
    sizes = {}
    if given and not splits:
        raise SpecError(f"{kind} is taken whole", f"--rows {given[0]}", "leave it out")
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
    from toolrl_cli.training.rollout_dumps import gold_rows

    return check_gold(reward, gold_rows(file), total_steps=PAPER_STEPS)


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
        params = manifest.params
        files = ", ".join(dict.fromkeys(map(str, params.get("files", {}).values())))
        table.add_row(folder.name, rows, params.get("path") or files or f"seed {params.get('seed')}")
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
