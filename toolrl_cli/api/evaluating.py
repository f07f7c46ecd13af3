"""Models scored without a sweep file: the sweep of one arm a model that `toolrl evaluate` runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.api.given import several
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.identity import slugify
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.presets import model_names
from toolrl_cli.store.files import read_json, write_json

EVALUATED = "models scored with toolrl evaluate"
FILE = "evaluated.json"
SCHEMES = ("http://", "https://")
ASK_SECONDS = 10.0


def evaluation_sweep(
    model: str,
    benchmarks: Iterable[str],
    *,
    results: Path,
    label: str | None = None,
    limit: int | None = None,
    key_env: str = "",
    model_name: str | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """A sweep for `api.plan` with this model as an arm, and with those that have its label already.

    Args:
        model: a folder, a name on the hub or of a preset, or the URL of an endpoint.
        benchmarks: to score it on.
        results: the results root.
        label: the sweep's name; None: after the model.
        limit: items of each category, at most.
        key_env: environment variable with the endpoint's key.
        model_name: what the endpoint calls the model, None where it has only one; or what tables call a folder's, None
            for the folder's own name.

    Returns:
        The sweep, and lines for people.

    Raises:
        SpecError: the endpoint does not say which models it has, or the label belongs to another sweep.
    """
    chosen = _model(model, key_env, model_name)
    arm = slugify(str(chosen.get("name") if isinstance(chosen, Mapping) else chosen).rsplit("/", 1)[-1], 60)
    name = label or f"evaluate-{arm}"
    folder = results / "sweeps" / name
    saved = read_json(folder / FILE) if (folder / FILE).is_file() else None
    if saved is None and folder.is_dir():
        raise SpecError(f"{name!r} is another sweep", "--label", "give a label that no sweep has")
    arms: dict[str, Any] = dict((saved or {}).get("arms", {}))
    mine = {"model": chosen, "evaluate": list(dict.fromkeys(several(benchmarks)))}
    mine |= {} if limit is None else {"evaluation.limit": limit}
    notes = []
    if (before := arms.get(arm)) is not None:
        if before["model"] != chosen:
            raise SpecError(
                f"{arm!r} is another model under the label {name!r}",
                "--label",
                "--model-name NAME calls this one otherwise, if it is a folder; or give another label",
            )
        if before.get("evaluation.limit") == limit:
            mine["evaluate"] = list(dict.fromkeys([*before["evaluate"], *mine["evaluate"]]))
        else:
            notes.append(
                f"{name}: {arm} was scored with another limit before; those scores stay on disk, not in its tables"
            )
    arms[arm] = mine
    base = {"data": {"kind": "toolworld"}, "reward": "original", "train": []}
    return {"name": name, "description": EVALUATED, "base": base, "arms": arms}, notes


def remember(sweep: Mapping[str, Any], results: Path) -> None:
    """Keep the arms of a label, so that the next model joins them.

    Raises:
        LedgerError: the file system refuses.
    """
    folder = results / "sweeps" / str(sweep["name"])
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, {"arms": sweep["arms"]})


def _model(model: str, key_env: str, model_name: str | None) -> Any:
    if model.startswith(SCHEMES):
        url = model.rstrip("/")
        named = model_name or _only_model(url, key_env)
        return {
            "kind": "endpoint",
            "name": slugify(named.rsplit("/", 1)[-1], 60),
            "url": url,
            "model": named,
            "key_env": key_env,
        }
    folder = Path(model).expanduser().absolute()
    for option, value in (("--key-env", key_env), ("--model-name", "" if folder.is_dir() else model_name)):
        if value:
            raise SpecError(f"{option} is for endpoints, and {model!r} is no URL", option, "leave it out")
    if folder.is_dir():
        path = folder.resolve()
        return {"kind": "huggingface", "name": model_name or folder.name or path.name, "path": str(path)}
    if model in model_names() or "/" in model:
        return model
    hint = f"{hint_for(model, model_names(), 'models')} or give a folder, or a URL"
    raise SpecError(f"there is no model {model!r}", "MODEL", hint)


def _only_model(url: str, key_env: str) -> str:
    """The one model that an endpoint has.

    Raises:
        SpecError: it does not say so.
    """
    import httpx  # and what speaks through it: no other command needs it

    from toolrl_cli.benchmarks.asking.faults import json_of

    key = os.environ.get(key_env, "").strip() if key_env else ""
    if key_env and not key:
        raise SpecError(f"the environment variable {key_env} has no key", url, f"export {key_env}=…")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    hint = "name it with --model-name; the URL ends in /v1"
    try:
        reply = httpx.get(f"{url}/models", headers=headers, timeout=ASK_SECONDS)
        names = [str(entry["id"]) for entry in json_of(reply)["data"]] if reply.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SpecError(f"cannot be reached: {error or type(error).__name__}", url, hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError("does not say which models it has", url, hint) from error
    if reply.status_code in (401, 403):
        what = f"refuses the key in {key_env}" if key_env else "wants a key"
        told = hint if key_env else "name the environment variable that has it: --key-env VAR"
        raise SpecError(f"{what} (status {reply.status_code})", url, told)
    if names is None:
        why = f"status {reply.status_code}"
        raise SpecError(f"does not say which models it has ({why})", url, hint)
    if len(names) != 1:
        raise SpecError(f"has {len(names)} models", url, f"--model-name {' or '.join(names[:5]) or 'NAME'}")
    return names[0]
