"""What a training stage starts from: its data as parquet files and its model as a folder, made where missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.datasets.prepare import dataset_fingerprint, write_dataset
from toolrl_cli.errors import StageError
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.training.model_folder import check_model_folder, folder_of
from toolrl_cli.training.tiny_model import make_tiny_model, tiny_model_identity

SPLITS = ("base", "sft", "train", "val")


def data_folder(ctx: StageContext) -> Path:
    """The stage's data as a folder of `<split>.parquet`, shared by all stages that use the same data.

    Raises:
        SpecError: source files are missing or not what they should be.
    """
    data = ctx.spec.config["data"]
    params = dataset_params(data)
    name = f"{data['kind']}-{dataset_fingerprint(data['kind'], params)[:10]}"
    folder = ctx.results / "data" / name
    write_dataset(data["kind"], params, folder)
    return folder


def dataset_params(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that `datasets.prepare` takes, from the `data` of a stage's config."""
    if data["kind"] == "toolworld":
        return {"seed": data["seed"], "sizes": {split: data[split] for split in SPLITS}}
    return {"path": data["path"], "limit": data["limit"]}


def model_path(ctx: StageContext) -> str:
    """The model a stage starts from: an earlier stage's export, the tiny model, a folder, or a hub name.

    Raises:
        StageError: an input has no exported model.
        SpecError: a folder is not whole.
    """
    if "model" in ctx.inputs:
        folder = ctx.inputs["model"] / "output" / "model"
        if not folder.is_dir():
            raise StageError("the input stage has no output/model", str(ctx.inputs["model"]), "run it again")
        return str(folder)
    model = ctx.spec.config["model"]
    if model["kind"] == "tiny":
        name = f"tiny-{digest(tiny_model_identity(model['seed']))}"
        return str(make_tiny_model(ctx.results / "models" / name, model["seed"]))
    local = folder_of(model["path"])
    if local is None:
        return str(model["path"])
    check_model_folder(local)
    return str(local)
