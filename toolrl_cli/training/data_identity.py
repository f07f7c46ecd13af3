"""What a stage's rows are, in its identity: found when it is planned, and again before it trains on them."""

from __future__ import annotations

from pathlib import Path

from toolrl_cli.datasets import mapped_rows, own_rows, rlla, toolworld
from toolrl_cli.datasets.prepare import dataset_fingerprint
from toolrl_cli.errors import SpecError, StageError
from toolrl_cli.spec.kind_configs import SftConfig
from toolrl_cli.spec.run.data_settings import DataSpec, JsonlData, OwnData, RllaData
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import TrainingConfig

SHORT = 16


def data_fingerprint(data: DataSpec, splits: tuple[str, ...]) -> str:
    """ToolWorld: the generator's version, the seed and the sizes of these splits; else the files' SHA-256.

    Raises:
        SpecError: a file is missing.
    """
    if isinstance(data, RllaData):
        assert data.path is not None, "it is located before"
        if "sft4k" in splits:
            return _own_sft4k(data)[:SHORT]
        return dataset_fingerprint("rlla", {"path": data.path, "limit": dict(data.limit)})[:SHORT]
    if isinstance(data, OwnData):
        return _of_own_rows(data, splits)[:SHORT]
    if "sft4k" in splits:
        raise SpecError("ToolWorld has no split sft4k", "sft.split", "one of base, sft, train")
    sizes = {split: getattr(data, split) for split in splits}
    return toolworld.fingerprint({"seed": data.seed, "sizes": sizes})[:SHORT]


def check_data(spec: StageSpec, config: TrainingConfig) -> None:
    """Check that a training's rows are those that it was planned for.

    Raises:
        SpecError: a file is missing.
        StageError: they have changed.
    """
    splits = (config.sft.split,) if isinstance(config, SftConfig) else ("train", "val")
    planned = spec.identity.get("data")
    if planned is not None and data_fingerprint(config.data, splits) != planned:
        data = config.data
        raise StageError(
            "the rows have changed since the stage was planned",
            ", ".join(data.files(splits).values()) if isinstance(data, OwnData) else f"data {data.kind}",
            "issue `toolrl sweep FILE` again: they are other data, and other stages",
            failure_class="config",
        )


def _of_own_rows(data: OwnData, splits: tuple[str, ...]) -> str:
    files = data.files(splits)
    lacking = [split for split in splits if split not in files]
    if lacking:
        hint = f"name its file with data.{lacking[0]}" if lacking == ["sft"] else "sft.split: sft or train"
        raise SpecError(f"the data have no split {lacking[0]}", "sft.split", hint)
    limit = {str(split): most for split, most in data.limit.items()}
    if isinstance(data, JsonlData):
        return mapped_rows.fingerprint(files, data.fields.named(), limit)
    return own_rows.fingerprint(files, limit)


def _own_sft4k(data: RllaData) -> str:
    """The fingerprint of SFT rows of the user's own.

    Raises:
        SpecError: none are named, or they cannot be read.
    """
    if not data.sft4k:
        raise SpecError("sft4k has no rows", "sft.split", rlla.OWN_SFT4K)
    return rlla.sft4k_fingerprint(Path(data.sft4k), data.limit.get("sft4k"))
