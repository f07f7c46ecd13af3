"""The inputs of a training stage: its data as parquet files and its model as a folder, created if missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolrl_cli.datasets.prepare import dataset_fingerprint, write_dataset
from toolrl_cli.errors import SpecError, StageError
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.run.data_settings import DataSpec, JsonlData, OwnData, RllaData, ToolWorldData
from toolrl_cli.spec.run.model_settings import EndpointModel, ModelSpec, TinyModel
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.training.models.folder_check import check_model_folder
from toolrl_cli.training.models.model_fingerprint import PREFIX, fingerprint
from toolrl_cli.training.models.model_folder import folder_of
from toolrl_cli.training.models.tiny_model import make_tiny_model, tiny_model_identity
from toolrl_cli.wording import first_line

SPLITS = ("base", "sft", "train", "val")


def data_folder(config: TrainingConfig, results: Path) -> Path:
    """The stage's data as a folder of `<split>.parquet`, shared by all stages that use the same data.

    Raises:
        SpecError: source files are missing or invalid.
        StageError: a split has fewer rows than required.
    """
    data = config.data
    folder = results / "data" / data_name(data)
    manifest = write_dataset(data.kind, dataset_params(data), folder)
    wanted_rows = data.at_least if isinstance(data, RllaData) else {}
    for split, wanted in wanted_rows.items():
        if manifest.files[split].rows < wanted:
            raise StageError(
                f"{split} has {manifest.files[split].rows} rows and is to have {wanted}",
                f"data {data.path if isinstance(data, RllaData) else data.kind}",
                f"give a folder with more rows (data.path), or lower data.at_least.{split}",
                failure_class="config",
            )
    return folder


def data_name(data: DataSpec) -> str:
    """The name of the folder under `RESULTS/data`.

    Raises:
        SpecError: source files are missing.
    """
    return f"{data.kind}-{dataset_fingerprint(data.kind, dataset_params(data))[:10]}"


def tiny_name(seed: int) -> str:
    """The name of the tiny model's folder under `RESULTS/models`."""
    return f"tiny-{digest(tiny_model_identity(seed))}"


def dataset_params(data: DataSpec) -> dict[str, Any]:
    """The parameters for `datasets.prepare`."""
    if isinstance(data, ToolWorldData):
        return {"seed": data.seed, "sizes": {split: getattr(data, split) for split in SPLITS}}
    if isinstance(data, OwnData):
        named = {"fields": data.fields.named()} if isinstance(data, JsonlData) else {}
        return {"files": data.files(), "limit": dict(data.limit), **named}
    own = {"sft4k": data.sft4k} if data.sft4k else {}
    return {"path": data.path, "limit": dict(data.limit), **own}


def model_path(ctx: StageContext, model: ModelSpec) -> str:
    """The folder, absolute, of the model that a stage starts from: an earlier stage's export, the tiny model's, the
    user's own, or a snapshot of the hub's.

    Args:
        ctx: of the attempt.
        model: what the stage's config names, where it reads no earlier stage's.

    Raises:
        StageError: an input has no exported model, or a folder has changed since the stage was planned.
        SpecError: a folder is incomplete.
    """
    if "model" in ctx.inputs:
        folder = ctx.inputs["model"] / "output" / "model"
        if not folder.is_dir():
            stage = ctx.inputs["model"]
            hint = f"`toolrl resume SWEEP --stage {stage.name} --fresh` makes it again"
            raise StageError("the input stage has no output/model", str(stage), hint)
        return str(folder)
    if isinstance(model, TinyModel):
        return str(make_tiny_model(ctx.results / "models" / tiny_name(model.seed), model.seed))
    if isinstance(model, EndpointModel):
        raise StageError("an endpoint has no model folder", model.url, failure_class="config")
    local = folder_of(model.path)
    if local is None:
        return _from_hub(model.path, model.revision)
    check_model_folder(local)
    planned = str(ctx.spec.identity.get("model", {}).get("fingerprint", ""))
    if planned.startswith(PREFIX) and fingerprint(local) != planned:
        raise StageError(
            "the model folder has changed since the stage was planned",
            str(local),
            "issue `toolrl sweep FILE` again: it is another model, and other stages",
            failure_class="config",
        )
    return str(local)


def _from_hub(name: str, revision: str | None) -> str:
    """The local snapshot of the revision that the stage's identity names, or else of `main`.

    Raises:
        StageError: the revision is neither in the local cache nor available from the hub.
        SpecError: the model is incomplete.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    told = revision or "main"

    def folder(*, here: bool) -> str:
        found = snapshot_download(
            name, revision=revision, ignore_patterns=["original/*"], local_files_only=here
        )
        check_model_folder(Path(found))
        return found

    try:
        return folder(here=True)  # first without the network, which nodes of a cluster may not have
    except (LocalEntryNotFoundError, SpecError):
        pass  # not in the local cache, or incomplete
    try:
        return folder(here=False)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise StageError(
            f"revision {told[:12]} cannot be had: {first_line(error)}",
            name,
            f"hf download {name} --revision {told}, or name a folder (model: ./{name.rsplit('/', 1)[-1]})",
            failure_class="infra",
        ) from error
