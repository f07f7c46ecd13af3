"""From a run to its chain of stages, each with its identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.identity import slugify, stage_id
from toolrl_cli.spec.models import DataSpec, HuggingFaceModel, RunSpec, SftSpec, TinyModel, ToolWorldData
from toolrl_cli.spec.stage import StageKind, StageSpec

TRANSPORT = frozenset(
    {
        *("micro_batch_size", "micro_batch", "micro_batch_tokens", "save_every", "keep_checkpoints"),
        "allow_imperfect_gold",  # whether a stage starts, not what comes out of one that did
    }
)
"""Fields of `sft` and `rl` that change how a stage runs and not what comes out."""


class Facts(Protocol):
    """What identity needs and the spec cannot know: fingerprints of things on disk, versions."""

    verl_version: str

    def data_fingerprint(self, data: DataSpec, splits: tuple[str, ...]) -> str:
        """Fingerprint of the content of these splits of a data set."""

    def model_fingerprint(self, model: HuggingFaceModel) -> str:
        """Fingerprint of a model folder, or `name@revision` of one on the hub."""

    def tiny_fingerprint(self, model: TinyModel) -> str:
        """Fingerprint of what determines the tiny model's first weights and tokenizer."""


def run_stages(run: RunSpec, facts: Facts) -> list[StageSpec]:
    """The stages of one run, inputs before what reads them.

    Raises:
        SpecError: a fingerprint cannot be taken (missing data, missing model).
    """
    stages: list[StageSpec] = []
    model: StageSpec | None = None
    if isinstance(run.model, TinyModel):
        pretrain = _sft(run, run.model.pretrain, run.model.pretrain_data, None, run.model.seed, facts)
        stages.append(pretrain)
        model = _export(pretrain)
        stages.append(model)
    for kind in run.train:
        trained = (
            _sft(run, run.sft, run.data, model, run.seed, facts) if kind == "sft" else _rl(run, model, facts)
        )
        model = _export(trained)
        stages += [trained, model]
    for benchmark in run.evaluate:
        stages.append(_evaluate(run, benchmark, model, facts))
    return stages


def _start(run: RunSpec, model: StageSpec | None, facts: Facts) -> tuple[dict[str, str], dict[str, Any]]:
    """Inputs and identity of the model that a stage starts from: an earlier stage, or one from outside."""
    if model is not None:
        return {"model": model.id}, {}
    if isinstance(run.model, TinyModel):
        return {}, {"model": {"kind": "tiny", "fingerprint": facts.tiny_fingerprint(run.model)}}
    return {}, {"model": {"kind": "huggingface", "fingerprint": facts.model_fingerprint(run.model)}}


def _sft(
    run: RunSpec, sft: SftSpec, data: DataSpec, model: StageSpec | None, seed: int, facts: Facts
) -> StageSpec:
    inputs, start = _start(run, model, facts)
    settings = sft.model_dump(mode="json")
    identity = {
        **start,
        "data": facts.data_fingerprint(data, (sft.split,)),
        "sft": _without_transport(settings),
        "seed": seed,
        "precision": run.precision,
        "verl_options": dict(run.verl.sft),
        "verl": facts.verl_version,
    }
    return _stage(
        "sft",
        f"{run.model.name}-{sft.split}-s{seed}",
        identity,
        inputs,
        run,
        {
            "sft": settings,
            "data": data.model_dump(mode="json"),
            "seed": seed,
            "verl_options": dict(run.verl.sft),
        },
        slots=run.resources.gpus,
        total_steps=sft.steps,
        progress_metric="train/loss",
    )


def _rl(run: RunSpec, model: StageSpec | None, facts: Facts) -> StageSpec:
    inputs, start = _start(run, model, facts)
    settings = run.rl.model_dump(mode="json")
    identity = {
        **start,
        "data": facts.data_fingerprint(run.data, ("train", "val")),
        "algorithm": run.algorithm,
        "reward": get_reward(run.reward).identity(),
        "rl": _without_transport(settings),
        "seed": run.seed,
        "precision": run.precision,
        "verl_options": dict(run.verl.rl),
        "verl": facts.verl_version,
    }
    origin = "-sft" if "sft" in run.train else ""
    return _stage(
        "rl",
        f"{run.algorithm}-{run.model.name}{origin}-{reward_label(run.reward)}-s{run.seed}",
        identity,
        inputs,
        run,
        {
            "algorithm": run.algorithm,
            "reward": run.reward,
            "rl": settings,
            "data": run.data.model_dump(mode="json"),
            "seed": run.seed,
            "verl_options": dict(run.verl.rl),
        },
        slots=run.resources.gpus,
        total_steps=run.rl.steps,
        progress_metric="critic/score/mean",
    )


def _export(trained: StageSpec) -> StageSpec:
    identity = {"checkpoint": "last", "format": "huggingface"}
    inputs = {"checkpoint": trained.id}
    slug = trained.id.rsplit("-", 1)[0]
    return StageSpec(
        id=stage_id("export", slug, identity, inputs),
        kind="export",
        identity=identity,
        inputs=inputs,
        config={**identity, "source": trained.kind},
    )


def _evaluate(run: RunSpec, benchmark: str, model: StageSpec | None, facts: Facts) -> StageSpec:
    inputs, start = _start(run, model, facts)
    settings = run.evaluation.model_dump(mode="json")
    data = _benchmark_data(run)
    identity = {
        **start,
        "benchmark": benchmark,
        "data": facts.data_fingerprint(data, ("benchmark",)),
        "evaluation": {k: v for k, v in settings.items() if k != "batch_size"},
        "precision": run.precision,
    }
    name = model.id.rsplit("-", 1)[0] if model else run.model.name
    return _stage(
        "evaluate",
        f"{benchmark}-{name}",
        identity,
        inputs,
        run,
        {"benchmark": benchmark, "evaluation": settings, "data": data.model_dump(mode="json")},
    )


def _benchmark_data(run: RunSpec) -> ToolWorldData:
    """The world that ToolWorld's benchmark asks about: the run's own, else the tiny model's, else the default."""
    if isinstance(run.data, ToolWorldData):
        return run.data
    return run.model.pretrain_data if isinstance(run.model, TinyModel) else ToolWorldData(kind="toolworld")


def _stage(
    kind: StageKind,
    slug: str,
    identity: dict[str, Any],
    inputs: dict[str, str],
    run: RunSpec,
    config: dict[str, Any],
    **more: Any,
) -> StageSpec:
    common = {
        "model": run.model.model_dump(mode="json"),
        "precision": run.precision,
        "resources": run.resources.model_dump(mode="json"),
    }
    return StageSpec(
        id=stage_id(kind, slug, identity, inputs),
        kind=kind,
        identity=identity,
        inputs=inputs,
        config={**common, **config},
        **more,
    )


def _without_transport(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k not in TRANSPORT}


def reward_label(reward: Mapping[str, Any]) -> str:
    """A reward's name for slugs and tables."""
    return slugify(str(reward.get("name") or "custom"), 32)
