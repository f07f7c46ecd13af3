"""From a run to its chain of stages, each with its identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.benchmarks import BENCHMARKS
from toolrl_cli.spec.identity import canonical_json, slugify, stage_id
from toolrl_cli.spec.models import (
    DataSpec,
    HuggingFaceModel,
    RunSpec,
    SftSpec,
    TinyModel,
    VerlOptions,
)
from toolrl_cli.spec.stage import StageSpec

BLOCKS = frozenset({"sft", "rl", "reward", "evaluation", "verl_options"})
"""Fields of an identity that many stages share as one object."""


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
    """The stages of one run, inputs before what reads them; see `StageMaker` for many runs.

    Raises:
        SpecError: a fingerprint cannot be taken (missing data, missing model).
    """
    return StageMaker(facts).stages(run)


class StageMaker:
    """Makes the stages of many runs that share most of what they are made of.

    Whatever depends on one block of the run spec alone (its JSON, a fingerprint, a reward's identity) is worked
    out once for each block object, and so are the stages that runs have in common.

    Args:
        facts: what only the machine knows.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._worked_out: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def stages(self, run: RunSpec) -> list[StageSpec]:
        """The stages of one run, inputs before what reads them.

        Raises:
            SpecError: a fingerprint cannot be taken (missing data, missing model).
        """
        stages: list[StageSpec] = []
        model: StageSpec | None = None
        if isinstance(run.model, TinyModel):
            stages += self._pretrained(run, run.model)
            model = stages[-1]
        for kind in run.train:
            if kind == "sft":
                stages += self._tuned(run, model)
            else:
                trained = self._rl(run, model)
                best_of_every = run.rl.save_every if run.checkpoint == "best" else None
                stages += [trained, self._export(trained, best_of_every)]
            model = stages[-1]
        for benchmark in run.evaluate:
            stages.append(self._evaluate(run, benchmark, model))
        return stages

    def _pretrained(self, run: RunSpec, tiny: TinyModel) -> list[StageSpec]:
        def make() -> list[StageSpec]:
            pretrain = self._sft(run, tiny.pretrain, tiny.pretrain_data, None, tiny.seed)
            return [pretrain, self._export(pretrain)]

        blocks = (tiny, run.verl, run.resources)
        return self._shared(("pretrained", *map(id, blocks), run.precision), blocks, make)

    def _tuned(self, run: RunSpec, model: StageSpec | None) -> list[StageSpec]:
        def make() -> list[StageSpec]:
            tuned = self._sft(run, run.sft, run.data, model, run.seed)
            return [tuned, self._export(tuned)]

        blocks = (run.sft, run.data, run.model, run.verl, run.resources)
        key = ("tuned", *map(id, blocks), model.id if model else "", run.seed, run.precision)
        return self._shared(key, blocks, make)

    def _start(self, run: RunSpec, model: StageSpec | None) -> tuple[dict[str, str], dict[str, Any]]:
        """Inputs and identity of the model that a stage starts from: an earlier stage, or one from outside."""
        if model is not None:
            return {"model": model.id}, {}
        if isinstance(run.model, TinyModel):
            tiny = run.model
            mark = self._once("tiny", tiny, lambda: self._facts.tiny_fingerprint(tiny))
            return {}, {"model": {"kind": "tiny", "fingerprint": mark}}
        outside = run.model
        mark = self._once("model", outside, lambda: self._facts.model_fingerprint(outside))
        return {}, {"model": {"kind": "huggingface", "fingerprint": mark}}

    def _sft(
        self, run: RunSpec, sft: SftSpec, data: DataSpec, model: StageSpec | None, seed: int
    ) -> StageSpec:
        inputs, start = self._start(run, model)
        settings = self._json(sft)
        options = self._options(run.verl, "sft")
        identity = {
            **start,
            "data": self._data(data, (sft.split,)),
            "sft": self._once("identity", sft, sft.identity),
            "seed": seed,
            "precision": run.precision,
            "verl_options": options,
            "verl": self._facts.verl_version,
        }
        return self._stage(
            "sft",
            f"{run.model.name}-{sft.split}-s{seed}",
            identity,
            inputs,
            run,
            {"sft": settings, "data": self._json(data), "seed": seed, "verl_options": options},
            slots=run.resources.gpus,
            total_steps=sft.steps,
            progress_metric="train/loss",
        )

    def _rl(self, run: RunSpec, model: StageSpec | None) -> StageSpec:
        inputs, start = self._start(run, model)
        settings = self._json(run.rl)
        options = self._options(run.verl, "rl")
        identity = {
            **start,
            "data": self._data(run.data, ("train", "val")),
            "algorithm": run.algorithm,
            "reward": self._once("reward", run.reward, lambda: get_reward(run.reward).identity()),
            "rl": self._once("identity", run.rl, run.rl.identity),
            "seed": run.seed,
            "precision": run.precision,
            "verl_options": options,
            "verl": self._facts.verl_version,
        }
        origin = "-sft" if "sft" in run.train else ""
        return self._stage(
            "rl",
            f"{run.algorithm}-{run.model.name}{origin}-{reward_label(run.reward)}-s{run.seed}",
            identity,
            inputs,
            run,
            {
                "algorithm": run.algorithm,
                "reward": run.reward,
                "rl": settings,
                "data": self._json(run.data),
                "seed": run.seed,
                "verl_options": options,
            },
            slots=run.resources.gpus,
            total_steps=run.rl.steps,
            progress_metric="critic/score/mean",
        )

    def _export(self, trained: StageSpec, best_of_every: int | None = None) -> StageSpec:
        """The export of the last checkpoint, or of the best among those of every so many steps.

        Which ones there are to choose from decides what comes out, so there the distance is part of the identity.
        """
        identity, config = EXPORT, _EXPORT_OF[trained.kind]
        if best_of_every is not None:
            best = {"checkpoint": "best", "save_every": best_of_every}
            identity, config = {**identity, **best}, {**config, **best}
        inputs = {"checkpoint": trained.id}
        slug = trained.id.rsplit("-", 1)[0]
        return StageSpec(
            id=stage_id("export", slug, identity, inputs),
            kind="export",
            identity=identity,
            inputs=inputs,
            config=config,
        )

    def _evaluate(self, run: RunSpec, benchmark: str, model: StageSpec | None) -> StageSpec:
        inputs, start = self._start(run, model)
        settings = self._json(run.evaluation)
        asked = self._once("identity", run.evaluation, run.evaluation.identity)
        identity = {**start, "benchmark": benchmark, "evaluation": asked, "precision": run.precision}
        config = {"benchmark": benchmark, "evaluation": settings}
        known = BENCHMARKS.get(benchmark, "evaluate")
        data = known.data(run)
        if data is not None:
            identity["data"] = self._data(data, ("benchmark",))
            config["data"] = self._json(data)
        else:
            identity["protocol"] = config["protocol"] = known.protocol
            # without a runner there are no items yet, and its version will bring a new id with it
            identity |= {} if known.why_not_run else {"version": known.version}
        name = model.id.rsplit("-", 1)[0] if model else run.model.name
        return self._stage("evaluate", f"{benchmark}-{name}", identity, inputs, run, config)

    def _stage(
        self,
        kind: str,
        slug: str,
        identity: dict[str, Any],
        inputs: dict[str, str],
        run: RunSpec,
        config: dict[str, Any],
        **more: Any,
    ) -> StageSpec:
        written = {
            key: self._once("written", value, partial(canonical_json, value))
            for key, value in identity.items()
            if type(value) is dict and key in BLOCKS
        }
        return StageSpec(
            id=stage_id(kind, slug, identity, inputs, written),
            kind=kind,
            identity=identity,
            inputs=inputs,
            config={
                "model": self._json(run.model),
                "precision": run.precision,
                "resources": self._json(run.resources),
                **config,
            },
            **more,
        )

    def _json(self, block: BaseModel) -> dict[str, Any]:
        found: dict[str, Any] = self._once("json", block, lambda: block.model_dump(mode="json"))
        return found

    def _options(self, verl: VerlOptions, which: Literal["sft", "rl"]) -> dict[str, Any]:
        found: dict[str, Any] = self._once(f"options {which}", verl, lambda: dict(getattr(verl, which)))
        return found

    def _data(self, data: DataSpec, splits: tuple[str, ...]) -> str:
        mark: str = self._once(
            f"data {'+'.join(splits)}", data, lambda: self._facts.data_fingerprint(data, splits)
        )
        return mark

    def _once(self, what: str, block: Any, work_out: Callable[[], Any]) -> Any:
        """What is worked out from one block object; the object is kept, so that its `id` stays its own."""
        key = (what, id(block))
        found = self._worked_out.get(key)
        if found is None:
            found = self._worked_out[key] = (block, work_out())
        return found[1]

    def _shared(
        self, key: tuple[Any, ...], blocks: tuple[Any, ...], make: Callable[[], list[StageSpec]]
    ) -> list[StageSpec]:
        """Stages that all runs with these blocks have in common."""
        found = self._worked_out.get(key)
        if found is None:
            found = self._worked_out[key] = (blocks, make())
        stages: list[StageSpec] = found[1]
        return stages


EXPORT: Mapping[str, Any] = {"checkpoint": "last", "format": "huggingface"}
_EXPORT_OF: Mapping[str, Mapping[str, Any]] = {kind: {**EXPORT, "source": kind} for kind in ("sft", "rl")}


def reward_label(reward: Mapping[str, Any]) -> str:
    """A reward's name for slugs and tables."""
    return slugify(str(reward.get("name") or "custom"), 32)
