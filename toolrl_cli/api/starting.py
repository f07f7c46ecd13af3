"""A folder to start from: a sweep, a reward, an evaluation and a table of one's own, which run as they are."""

from __future__ import annotations

from pathlib import Path

import toolrl_cli
from toolrl_cli.errors import SpecError
from toolrl_cli.store.files import explained, make_folder, write_text

PACKAGE = Path(toolrl_cli.__file__).parent
SOURCES = {
    "mine.yaml": "api/starter/mine.yaml",
    "my_reward.yaml": "api/starter/my_reward.yaml",
    "my_reward.py": "rewards/user_code/template.py",
    "my_eval.py": "benchmarks/own/template.py",
    "my_table.yaml": "api/starter/my_table.yaml",
    "completion.txt": "api/starter/completion.txt",
    "gold.txt": "api/starter/gold.txt",
    "toolrl.schema.json": "sweeps/toolrl.schema.json",
}
"""File → where in the package its text is."""


def init(folder: Path | str = ".") -> list[Path]:
    """Write a sweep and what it reads into a folder: all of it, or nothing where one of the files is there.

    Args:
        folder: where; made where missing.

    Returns:
        The files: `mine.yaml`, which is the sweep, and what it names; a completion and a gold turn for `toolrl reward
        explain`; and the schema that editors check sweeps with.

    Raises:
        SpecError: one of them is there already; nothing is ever overwritten.
        LedgerError: the folder cannot be written.
    """
    place = Path(folder).expanduser()
    written = {place / name: PACKAGE / source for name, source in SOURCES.items()}
    there = [path.name for path in written if path.exists() or path.is_symlink()]
    if there:
        what = f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already, and nothing is overwritten"
        raise SpecError(what, str(place), "name another folder: `toolrl init DIR`")
    make_folder(place)
    with explained(place):
        for path, source in written.items():
            write_text(path, source.read_text(encoding="utf-8"))
    return list(written)
