"""Runs a notebook's cells in order, and shows what each ends with as a notebook would."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any


def run_notebook(path: Path) -> list[str]:
    """What each code cell shows: its last expression as HTML where it has that, else as text; empty for none.

    The cells run in the notebook's own folder.
    """
    names: dict[str, Any] = {}
    shown = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(path), "exec"), names)
        value = eval(compile(ast.Expression(last.value), str(path), "eval"), names) if last else None
        html = getattr(value, "_repr_html_", None)
        shown.append("" if value is None else html() if html else repr(value))
    return shown
