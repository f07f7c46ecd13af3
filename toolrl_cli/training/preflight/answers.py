"""Answers to questions about rows: remembered, or else had from one child process.

An answer is a file of some kilobytes in the user's cache folder (`verdicts.cache_folder`), named by what it depends
on: rows, tokenizer, template, the code that counts, Transformers. No limit is part of it, so that all cells of a grid
over limits share it. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import toolrl_cli
from toolrl_cli.log import LOG
from toolrl_cli.store.files import write_json
from toolrl_cli.training.checking.verdicts import cache_folder
from toolrl_cli.training.preflight import measuring, question
from toolrl_cli.training.preflight.question import Answer, Asked, Measures
from toolrl_cli.wording import counted

FOLDER = "rows"
MOST = 500
"""Answers that are kept; of more, the oldest go."""
TIMEOUT = 900
"""Seconds for the child; 100,000 rows of a thousand tokens take three minutes on two cores."""
ASK = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "sys.modules['torch'] = None; "  # Transformers' tokenizers need none, and it takes seconds to import
    "from toolrl_cli.training.preflight.measuring import main; main()"
)
"""The child's program. The working folder is not on its path: it may hold a module of any name."""

_seen: dict[str, Answer] = {}
"""Answers of this process."""


def answers_to(asked: Iterable[Asked]) -> dict[Asked, Answer]:
    """The answer to each question; equal ones are asked once, and only those that nobody asked before take time."""
    keys = {one: _name(one) for one in asked}
    found = {name: answer for name in set(keys.values()) if (answer := _known(name)) is not None}
    new = {name: one for one, name in keys.items() if name not in found}
    if new:
        LOG.info("counting the tokens of %s of rows, once", counted(len(new), "set"))
        for name, answer in zip(new, _ask(list(new.values())), strict=True):
            found[name] = answer
            if answer.measures is None or not answer.measures.problem:
                _remember(name, answer)
    return {one: found[name] for one, name in keys.items()}


def _ask(asked: list[Asked]) -> list[Answer]:
    package = str(Path(toolrl_cli.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))}
    env |= {"TRANSFORMERS_VERBOSITY": "critical", "HF_HUB_OFFLINE": "1"}  # what it needs is here
    try:
        child = subprocess.run(
            [sys.executable, "-c", ASK],
            input=json.dumps([asdict(one) for one in asked]),
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _nothing(f"it took more than {TIMEOUT} s", asked)
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        return _nothing(last, asked)
    return [Answer.of(answer) for answer in json.loads(child.stdout)]


def _nothing(why: str, asked: list[Asked]) -> list[Answer]:
    """That the rows could not be looked at is no reason not to train on them."""
    return [Answer(Measures(problem=why)) for _ in asked]


def _name(asked: Asked) -> str:
    return hashlib.sha256(json.dumps([_counter(), asked.key]).encode()).hexdigest()[:32]


@lru_cache
def _counter() -> str:
    code = hashlib.sha256()
    for module in (measuring, question):
        code.update(Path(str(module.__file__)).read_bytes())
    versions = [metadata.version(name) for name in ("transformers", "tokenizers")]
    return "-".join([*versions, code.hexdigest()[:16]])


def _file(name: str) -> Path:
    return cache_folder() / FOLDER / f"{name}.json"


def _known(name: str) -> Answer | None:
    if name not in _seen:
        try:
            _seen[name] = Answer.of(json.loads(_file(name).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # absent, torn, or of another version
            return None
    return _seen[name]


def _remember(name: str, answer: Answer) -> None:
    _seen[name] = answer
    file = _file(name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in kept[: max(0, len(kept) - MOST + 1)]:
            old.unlink(missing_ok=True)
        write_json(file, answer.to_json(), durable=False)
    except OSError:  # it is only asked again
        return
