"""`toolrl gc`: free disk of what nothing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root
from toolrl_cli.commands.views.consoles import stdout_console

if TYPE_CHECKING:
    from toolrl_cli.housekeeping.removal import Garbage


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what may go and why, and remove nothing.")
    ] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also checkpoints of trainings that are done and exported.")
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="WHICH",
            help="With --checkpoints: the one to leave; last, best or none. Default: last.",
            autocompletion=completing.one_of("last", "best", "none"),
            show_default=False,
        ),
    ] = None,
    unreferenced: Annotated[
        bool, typer.Option("--unreferenced", help="Also stages, data and models that no saved sweep uses.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Free disk of what nothing needs.

    Torn checkpoints, rests of removed ones, what was set aside, and half-written files. Nothing outside the
    results root is ever removed, nor anything of a stage at work.
    """
    from toolrl_cli.commands.views.exit_status import FAILED
    from toolrl_cli.errors import SpecError
    from toolrl_cli.harness.reach import Reach
    from toolrl_cli.housekeeping.garbage import KEEPS, find_garbage, to_json
    from toolrl_cli.housekeeping.removal import remove
    from toolrl_cli.spec.suggest import hint_for
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.roots import NOTHING_YET

    root = results_root(results)
    chosen = next((known for known in KEEPS if known == (keep or "last")), None)
    if chosen is None:
        raise SpecError(f"unknown value {keep!r}", "--keep", hint_for(str(keep), KEEPS, "values"))
    if keep is not None and not checkpoints:
        raise SpecError("says which checkpoint to leave", "--keep", "add --checkpoints")
    if not root.is_dir():
        raise SpecError("there are no results", str(root), NOTHING_YET)
    alive = Reach().alive
    garbage = find_garbage(
        Ledger(root), checkpoints=chosen if checkpoints else None, unreferenced=unreferenced, alive=alive
    )
    if not as_json:
        _show(garbage)
    removed, refused = ([], {}) if dry_run else remove(garbage, alive=alive)
    if as_json:
        print_json(to_json(garbage, removed, refused, dry_run=dry_run))
    elif not dry_run and garbage.items:
        note(f"removed {len(removed)} of {len(garbage.items)}")
    for path, why in refused.items():
        note(f"{path} stays: {why}")
    if refused:
        raise typer.Exit(FAILED)


def _show(garbage: Garbage) -> None:
    from rich.table import Table

    console = stdout_console()
    if not garbage.items:
        console.print(f"{garbage.results}: nothing to remove", markup=False, soft_wrap=True)
    else:
        table = Table(title=f"may go from {garbage.results}", title_justify="left")
        table.add_column("what", overflow="fold")
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("why", overflow="fold")
        for item in garbage.items:
            table.add_row(str(item.path.relative_to(garbage.results)), size(item.bytes), item.why)
        console.print(table, markup=False)
        console.print(f"{len(garbage.items)} to remove, {size(garbage.bytes)} in all")
    for path, why in garbage.kept.items():
        console.print(f"stays: {path.relative_to(garbage.results)} ({why})", markup=False, soft_wrap=True)


def size(count: int) -> str:
    """`512 B`, `3.4 MB`, `12.0 GB`."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= bytes_of:
            return f"{count / bytes_of:.1f} {unit}"
    return f"{count} B"
