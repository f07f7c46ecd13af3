"""Folders and files that a sweep names: relative to the file or the `--set` that names them, absolute afterwards."""

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
    """Makes the folders and files of one layer of settings absolute: of models, data, rewards, documents to search.

    Args:
        folder_of: place of a setting → where its relative paths begin: see `Document.folder_of`.
        notes: is given a line for each model that is taken as a folder and could be meant as a name on the hub.
    """

    def __init__(self, folder_of: Callable[[str], Path], notes: dict[str, None]) -> None:
        self._folder_of = folder_of
        self._notes = notes

    def __call__(self, layer: Mapping[str, Any], where: Callable[[str], str]) -> dict[str, Any]:
        """The dotted settings of a layer with its folders absolute.

        Args:
            layer: a model that is given by a name or path is a mapping already.
            where: key → what sets it in this layer.

        Raises:
            SpecError: a folder is only there from the other one of the two on.
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
                absolute = {n: self._absolute(p, where(f"data.{n}")) for n, p in places.items()}
                found[key] = {**value, **absolute}
            elif key == "model" and isinstance(value, Mapping) and "path" in value:
                on_hub = named or bool(value.get("revision"))
                path = self._model(value["path"], on_hub, where("model.path"))
                found[key] = {**value, "path": path}
                if value.get("name") in (".", ".."):
                    found[key]["name"] = Path(path).name
            elif key.partition(".")[0] == "reward":
                found[key] = reward_anchored(key, value, lambda part: self._folder_of(where(part)))
        return found

    def _model(self, path: Any, on_hub: bool, where: str) -> Any:
        """A path, or a name on the hub; a name is the folder that is there, unless it has a revision."""
        if not isinstance(path, str) or path.startswith(EXPLICIT):
            return self._absolute(path, where)
        folder = self._folder_of(where) / path
        if on_hub or not folder.is_dir():
            return path
        if path.count("/") < 2:  # a name on the hub has no more
            told = f"the model {path!r} is the folder {folder.resolve()}, not a name on the hub; ./{path} says so"
            self._notes[told] = None
        return str(folder.resolve())

    def _absolute(self, path: Any, where: str) -> Any:
        if not isinstance(path, str):  # refused where settings are validated
            return path
        begin = self._folder_of(where)
        folder = Path(begin, Path(path).expanduser()).resolve()
        for other in (Path.cwd(), self._folder_of("")):
            there = Path(other, path).resolve()
            if not folder.exists() and there.exists():
                rule = "paths given with --set begin in the working folder"
                rule = rule if where.startswith("--set ") else "paths in a sweep file begin in its folder"
                raise SpecError(
                    f"no such folder: {folder}", where, f"write {os.path.relpath(there, begin)}: {rule}"
                )
        return str(folder)


def reward_anchored(key: str, value: Any, folder_of: Callable[[str], Path]) -> Any:
    """A reward, or the part of one at a dotted key, with the files that it names absolute."""
    if isinstance(value, str):
        named = key.endswith(".path") or (key == "reward" and value.endswith((".yaml", ".yml")))
        return str(folder_of(key) / Path(value).expanduser()) if named and value else value
    if not isinstance(value, Mapping):
        return value
    return {name: reward_anchored(f"{key}.{name}", inner, folder_of) for name, inner in value.items()}
