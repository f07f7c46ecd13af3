"""`python`: a function of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component
from toolrl_cli.rewards.errors import RewardError, shown

MOST_SECONDS = 86_400


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    from toolrl_cli.rewards.user_code.python_component import TIMEOUT, PythonComponent, check_defined
    from toolrl_cli.rewards.user_code.sources import changed, source_of_module, sources_of

    if ("path" in raw) == ("module" in raw):
        raise RewardError("a python component has a path or a module", where, "give one of the two")
    for key in ("path", "module", "function"):
        if key in raw and not (isinstance(raw[key], str) and raw[key]):
            raise RewardError(f"{shown(raw[key])} is no text", f"{where}.{key}")
    if "function" not in raw:
        raise RewardError("a python component names its function", f"{where}.function")
    path = str(Path(base, Path(raw["path"]).expanduser()).resolve()) if "path" in raw else ""
    source = Path(path) if path else source_of_module(raw["module"], f"{where}.module")
    module = raw.get("module", "")
    sources = sources_of(source, where, module)
    if raw.get("sha256", sources.sha256) != sources.sha256:
        raise changed(source, f"{where}.sha256")
    check_defined(source, sources.files[sources.main].code, raw["function"], f"{where}.function")
    batch = raw.get("batch", False)
    if not isinstance(batch, bool):
        raise RewardError(f"{shown(batch)} is neither true nor false", f"{where}.batch")
    timeout = raw.get("timeout", TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= MOST_SECONDS:
        hint = f"above 0, at most {MOST_SECONDS}"
        raise RewardError(f"{shown(timeout)} is no number of seconds", f"{where}.timeout", hint)
    return PythonComponent(
        name,
        function=raw["function"],
        sha256=sources.sha256,
        batch=batch,
        path=path,
        module=module,
        timeout=float(timeout),
    )


KEYS = ("path", "module", "function", "sha256", "batch", "timeout")
PYTHON = ComponentKind("python", read, keys=KEYS, position=3)
