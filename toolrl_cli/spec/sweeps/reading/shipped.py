"""Which file a sweep's name stands for: one of the working folder's, or one that comes with toolrl."""

from __future__ import annotations

from pathlib import Path

import toolrl_cli
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.suggest import hint_for

FOLDER = Path(toolrl_cli.__file__).parent / "sweeps"
"""The sweeps that come with toolrl; in a clone a link to `sweeps/`."""

SUFFIXES = (".yaml", ".yml")


def shipped_sweeps() -> dict[str, Path]:
    """Name → file of every sweep that comes with toolrl, sorted."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def own_sweeps(folder: Path) -> dict[str, Path]:
    """Name → file of the YAML files in a folder and in its `sweeps/`; nobody has looked what is in them.

    Of two with one name the one nearer to the folder is taken, and `.yaml` before `.yml`.
    """
    found: dict[str, Path] = {}
    for place in (folder, folder / "sweeps"):
        for suffix in SUFFIXES:
            for path in sorted(place.glob(f"*{suffix}")):
                found.setdefault(path.stem, path)
    return found


def sweep_file(given: Path) -> Path:
    """The file that is meant.

    Args:
        given: a path; or a name without a folder, which stands for `NAME.yaml` here, then `sweeps/NAME.yaml` here, then
            the sweep of that name that comes with toolrl.

    Raises:
        SpecError: there is no such file, and no sweep of such a name.
    """
    shipped = shipped_sweeps()
    if given.name != str(given) or given.suffix in SUFFIXES:
        if given.stem in shipped and not given.exists():
            hint = f"{given.stem!r}, without folder and suffix, is the one that comes with toolrl"
            raise SpecError("no such file", str(given), hint)
        if not given.suffix and not given.exists() and given.with_suffix(SUFFIXES[0]).is_file():
            return given.with_suffix(SUFFIXES[0])
        return given
    known = {**shipped, **own_sweeps(Path())}
    if given.is_file() or (given.exists() and given.name not in known):
        return given
    if given.name not in known:
        hint = hint_for(given.name, known, "sweeps")
        raise SpecError(f"no file and no sweep {given.name!r}", str(Path.cwd()), hint)
    return known[given.name]
