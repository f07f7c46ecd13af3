"""What a succeeded stage leaves to others, written down, and whether it is still there.

People tidy up, disks lose files, and `succeeded` says nothing of that. So `state.json` has the files of `output/`
with their sizes; whoever asks where the stage stands looks for them again, by name and size alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from toolrl_cli.spec.stage_kind import STAGE_KINDS
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.scores import OWED, owed_items
from toolrl_cli.store.state import StageState

OUTPUT = "output"


def recorded(stage_dir: Path) -> dict[str, int]:
    """Path below `output/` → bytes, of what a stage leaves there, for `state.json`.

    Raises:
        LedgerError: the file system does not give it.
    """
    output = stage_dir / OUTPUT
    found = {}
    with explained(output):
        for folder, _, names in os.walk(output):
            for path in (Path(folder, name) for name in names):
                if not path.name.startswith("."):  # temporary files, and what other programs leave about
                    found[path.relative_to(output).as_posix()] = path.stat().st_size
    return found


def what_is_owed(folder: StageFolder, state: StageState) -> str:
    """What a succeeded evaluation could not ask and would ask again, in one clause; empty for nothing."""
    return owed_items(folder.path / OUTPUT) if OWED in (state.output or {}) else ""


def what_is_gone(folder: StageFolder, state: StageState) -> str:
    """What is missing from the `output/` of a succeeded stage or cut short there, in one clause; empty for nothing.

    Raises:
        LedgerError: the file system does not give it.
    """
    sizes = state.output
    if sizes is None:  # it succeeded before sizes were written down
        sizes = dict.fromkeys(STAGE_KINDS.get(folder.kind).least_outputs, 1)
    output = f"{folder.path}/{OUTPUT}"
    with explained(folder.path):
        for name, size in sizes.items():
            try:
                there = os.stat(f"{output}/{name}").st_size  # noqa: PTH116  ten thousand stages within a second
            except (FileNotFoundError, NotADirectoryError):
                return f"its {OUTPUT}/{name} is gone"
            if there < size:
                return f"its {OUTPUT}/{name} is cut short"
    return ""
