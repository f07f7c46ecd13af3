"""Folders that a sweep names: relative to the file that names them, absolute afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError

EXPLICIT = (".", "/", "~")
DATA_FILES = ("data.path", "data.sft4k", "data.train", "data.val", "data.sft")
"""Files and folders of data; of ToolWorld some are numbers of rows."""
SEARCH = "evaluation.bamboogle.search"


class Anchor:
    """Makes the folders of one layer of settings absolute: of models, of data, of documents to search.

    Args:
        folder: where relative paths begin: the sweep file's folder, or the working folder for `--set`.
        notes: is given a line for each model that is taken as a folder and could be meant as a name on the hub.
    """

    def __init__(self, folder: Path, notes: dict[str, None]) -> None:
        self._folder = folder.resolve()
        self._notes = notes

    def __call__(self, layer: Mapping[str, Any], where: Callable[[str], str]) -> dict[str, Any]:
        """The dotted settings of a layer with its folders absolute.

        Args:
            layer: a model that is given by a name or path is a mapping already.
            where: key → what sets it, for messages.

        Raises:
            SpecError: a folder is only there from the working folder on.
        """
        found = dict(layer)
        named = "model.revision" in layer
        for key, value in layer.items():
            if key == "model.path":
                found[key] = self._model(value, named, where(key))
            elif key in DATA_FILES or (key == SEARCH and value != "serper"):
                found[key] = self._absolute(value, where(key))
            elif key == "data" and isinstance(value, Mapping):
                places = {name: value[name] for name in value if f"data.{name}" in DATA_FILES}
                found[key] = {**value, **{n: self._absolute(p, where(key)) for n, p in places.items()}}
            elif key == "model" and isinstance(value, Mapping) and "path" in value:
                path = self._model(value["path"], named or bool(value.get("revision")), where(key))
                found[key] = {**value, "path": path}
        return found

    def _model(self, path: Any, on_hub: bool, where: str) -> Any:
        """A path, or a name on the hub; a name is the folder that is there, unless it has a revision."""
        if not isinstance(path, str) or path.startswith(EXPLICIT):
            return self._absolute(path, where)
        if on_hub or not (self._folder / path).is_dir():
            return path
        folder = str((self._folder / path).resolve())
        if path.count("/") < 2:  # a name on the hub has no more
            told = f"the model {path!r} is the folder {folder}, not a name on the hub; ./{path} says so"
            self._notes[told] = None
        return folder

    def _absolute(self, path: Any, where: str) -> Any:
        if not isinstance(path, str):  # refused where settings are validated
            return path
        folder = Path(self._folder, Path(path).expanduser()).resolve()
        here = Path(path).resolve()
        if not folder.exists() and here.exists():
            hint = f"write {os.path.relpath(here, self._folder)}: paths in a sweep file begin in its folder"
            raise SpecError(f"no such folder: {folder}", where, hint)
        return str(folder)
