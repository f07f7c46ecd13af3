"""Runs of a W&B project as a file that `report --import` reads: `wandb:ENTITY/PROJECT[?FILTER]`.

What the public API says is kept below `RESULTS/wandb/imports/`; where W&B cannot be reached, that is what there is.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError, TrackingError
from toolrl_cli.log import LOG
from toolrl_cli.spec.identity import digest
from toolrl_cli.store.files import make_folder, write_text

SCHEME = "wandb:"
TRIES, PAUSE = (
    4,
    2.0,
)  # how often the server is asked, and seconds before the second time; twice as many each time
_PLACE = re.compile(r"wandb:/*([\w.-]+)/+([\w.-]+)(?:\?(.*))?", re.S)
_SHORT = {"tag": "tags", "name": "display_name", "id": "name"}
"""Words of a filter → those of W&B's own."""

Ask = Callable[[str, str, dict[str, Any]], list[dict[str, Any]]]


def is_wandb(source: Path | str) -> bool:
    """Whether something to import is a W&B project, and no file."""
    return str(source).startswith(SCHEME)


def downloaded(source: Path | str, results: Path, ask: Ask | None = None, pause: float = PAUSE) -> Path:
    """The file with the runs of a W&B project: id, name, state, tags, group, config and summary of each.

    Args:
        source: `wandb:ENTITY/PROJECT`, with `?state=finished&group=NAME&tag=NAME&config.KEY=VALUE` behind it, or with
            W&B's own filter as JSON.
        results: the results root.
        ask: asks W&B, for tests; None for the client.
        pause: seconds before the second try.

    Raises:
        SpecError: it is none.
        TrackingError: W&B does not answer, and has never before.
    """
    place = _PLACE.fullmatch(str(source))
    if place is None:
        raise SpecError(
            f"{str(source)!r} is no W&B project",
            "--import",
            "for example wandb:my-team/toolrl?state=finished",
        )
    entity, project, query = place[1], place[2], place[3] or ""
    filters = _filters(query)
    name = f"{entity}-{project}" + (f"-{digest(filters)}" if filters else "")
    path = results / "wandb" / "imports" / f"{name}.json"
    try:
        runs = _asked(entity, project, filters, ask or _client(), pause)
    except TrackingError as error:
        if not path.is_file():
            raise TrackingError(
                error.what, str(source), "wandb login, or import a file that W&B exported"
            ) from error
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        LOG.warning("%s: %s; what it said on %s stands in", source, error.what, day)
        return path
    make_folder(path.parent)
    write_text(path, "".join(json.dumps(run) + "\n" for run in runs))
    return path


def _filters(query: str) -> dict[str, Any]:
    if query.lstrip().startswith("{"):
        try:
            found = json.loads(query)
        except ValueError as error:
            raise SpecError(
                f"the filter is not JSON ({error})", "--import", "or ?state=finished&tag=NAME"
            ) from None
        return dict(found)
    filters: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals:
            raise SpecError(f"{part!r} is not key=value", "--import", "for example ?state=finished&tag=NAME")
        try:
            filters[_SHORT.get(key, key)] = json.loads(value)
        except ValueError:
            filters[_SHORT.get(key, key)] = value
    return filters


def _client() -> Ask:
    from toolrl_cli.tracking.client import project_runs

    return project_runs


def _asked(
    entity: str, project: str, filters: dict[str, Any], ask: Ask, pause: float
) -> list[dict[str, Any]]:
    for n in range(TRIES):
        try:
            return ask(entity, project, filters)
        except TrackingError as error:
            refused = any(word in str(error) for word in ("API key", "not logged in", "401", "403", "404"))
            if refused or n == TRIES - 1:
                raise
            time.sleep(pause * 2**n)
    raise AssertionError("the last try returns or raises")
