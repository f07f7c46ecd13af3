"""What a stage's config asks about its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolrl_cli.datasets import toolworld
from toolrl_cli.datasets.prepare import dataset_fingerprint
from toolrl_cli.datasets.released import missing, released_folder
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
from toolrl_cli.spec.kind_configs import EvaluateConfig, RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import DataSpec, RllaData, ToolWorldData
from toolrl_cli.training.inputs import dataset_params
from toolrl_cli.training.preflight.question import Asked, Question, RepeatsQuestion, Rows
from toolrl_cli.training.preflight.tokenizer_files import ModelTokenizer

Config = SftConfig | RlConfig | EvaluateConfig

_TEMPLATE = "data.apply_chat_template_kwargs"


def template_of(config: SftConfig | RlConfig) -> dict[str, Any]:
    """The arguments of the chat template among the user's options of verl, nested or dotted."""
    found: dict[str, Any] = {}
    for key, value in config.verl_options.items():
        name = key.lstrip("+")
        if name == _TEMPLATE and isinstance(value, Mapping):
            found.update(value)
        elif name.startswith(f"{_TEMPLATE}."):
            found[name.removeprefix(f"{_TEMPLATE}.")] = value
    return found


def questions_of(
    config: Config, tokenizer: ModelTokenizer | None, results: Path, known: dict[str, Rows]
) -> Iterator[tuple[str, Asked]]:
    """Name → question about the rows that a stage with this config reads.

    Args:
        config: of the stage.
        tokenizer: of its model; None where that is out of reach.
        results: the results root, below which released data are.
        known: rows by their settings, so that files are read once; filled here.
    """
    template = "{}"
    if isinstance(config, EvaluateConfig):
        items = _items_of(config, results)
        rows = {} if items is None else {config.benchmark: items}
    else:
        template = json.dumps(template_of(config), sort_keys=True)
        splits = (config.sft.split,) if isinstance(config, SftConfig) else ("train", "val")
        rows = {split: _rows_of(config.data, split, known) for split in splits}
        if not isinstance(config.data, ToolWorldData):  # whose rows differ by construction
            whole = "" if isinstance(config.data, RllaData) else splits[0]  # a folder is read in one go
            yield "", RepeatsQuestion(_rows_of(config.data, whole, known))
    if tokenizer is not None:
        for name, part in rows.items():
            trained = isinstance(config, SftConfig)
            yield name, Question(part, tokenizer.folder, tokenizer.mark, template, trained)


def _rows_of(data: DataSpec, split: str, known: dict[str, Rows]) -> Rows:
    if isinstance(data, ToolWorldData):
        made = {"seed": data.seed, "sizes": {split: getattr(data, split)}}
        mark = json.dumps(["toolworld", toolworld.GENERATOR_VERSION, made])
        return Rows("toolworld", split, json.dumps(made), mark)
    key = repr(data)
    if key not in known:
        params = dataset_params(data)
        known[key] = Rows(
            data.kind, "", json.dumps(params), f"{data.kind} {dataset_fingerprint(data.kind, params)}"
        )
    return replace(known[key], name=split, mark=f"{known[key].mark} {split}")


def _items_of(config: EvaluateConfig, results: Path) -> Rows | None:
    """The items of a benchmark; None where the released files that they are read from are not there yet."""
    if config.own is not None:
        return None  # its items are known when it is asked
    known = BENCHMARKS.get(config.benchmark)
    folder = released_folder(known.source, results) if known.source else None
    if folder is not None and missing(known.source, folder):
        return None
    data = None if config.data is None else config.data.model_dump(mode="json")
    limit = config.evaluation.limit
    params = json.dumps({"data": data, "folder": folder and str(folder), "limit": limit})
    mark = json.dumps([known.name, known.protocol, known.version, data] + ([limit] if limit else []))
    return Rows("benchmark", config.benchmark, params, mark)
