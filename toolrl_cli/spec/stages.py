"""From a run to its chain of stages, each with its identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
from toolrl_cli.spec.evaluations.over_steps import scored_steps
from toolrl_cli.spec.identity import slugify, stage_id
from toolrl_cli.spec.kind_configs import EvaluateConfig, ExportConfig, RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import DataSpec
from toolrl_cli.spec.run.evaluation_settings import OverSteps, OwnEvaluation
from toolrl_cli.spec.run.frozen import Precision
from toolrl_cli.spec.run.model_settings import EndpointModel, HuggingFaceModel, TinyModel
from toolrl_cli.spec.run.run_spec import RunSpec, VerlOptions
from toolrl_cli.spec.run.training_settings import LoraSpec, SftSpec
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import StageConfig
from toolrl_cli.spec.stage_kind import STAGE_KINDS
from toolrl_cli.spec.verl_keys import canonical_options

IdOf = Callable[[str, str, Mapping[str, Any], Mapping[str, str]], str]


class Facts(Protocol):
    """What identity needs and the spec cannot know: fingerprints of things on disk, versions."""

    verl_version: str

    def data_fingerprint(self, data: DataSpec, splits: tuple[str, ...]) -> str:
        """Fingerprint of the content of these splits of a data set."""

    def located(self, data: DataSpec) -> DataSpec:
        """The data set with the folder that it is in, where the spec leaves that out."""

    def model_fingerprint(self, model: HuggingFaceModel) -> str:
        """Fingerprint of a model folder, or `name@revision` of one on the hub."""

    def tiny_fingerprint(self, model: TinyModel) -> str:
        """Fingerprint of what determines the tiny model's first weights and tokenizer."""

    def pinned(self, model: HuggingFaceModel) -> HuggingFaceModel:
        """The model with the commit that its name on the hub stands for, where that can be found out."""

    def precision(self, run: RunSpec) -> Precision:
        """The precision that the run's device computes in."""


def run_stages(run: RunSpec, facts: Facts) -> list[StageSpec]:
    """The stages of one run, inputs before what reads them; see `StageMaker` for many runs.

    Raises:
        SpecError: a fingerprint cannot be taken (missing data, missing model).
    """
    return StageMaker(facts).stages(run)


class StageMaker:
    """Makes the stages of many runs; what costs time (a fingerprint, a reward's identity) once for equal settings.

    Args:
        facts: what only the machine knows.
        id_of: kind, id, identity and inputs of a stage → the id that the same stage has already.
    """

    def __init__(self, facts: Facts, id_of: IdOf = lambda kind, wanted, identity, inputs: wanted) -> None:
        self.facts = facts
        self._id_of = id_of
        self._known: dict[tuple[str, str], Any] = {}
        self._rehearsal = False  # of the run whose stages are made

    def stages(self, run: RunSpec) -> list[StageSpec]:
        """The stages of one run, inputs before what reads them.

        Raises:
            SpecError: a fingerprint cannot be taken (missing data, missing model).
        """
        stages: list[StageSpec] = []
        self._rehearsal = run.rehearsal
        if isinstance(run.model, HuggingFaceModel):
            run = run.model_copy(update={"model": self.facts.pinned(run.model)})
        if isinstance(run.model, TinyModel):
            parts = (run.model, run.resources)
            key = "".join([*(part.model_dump_json() for part in parts), run.precision, str(run.rehearsal)])
            stages += self._once("pretrained", key, lambda: self._pretrained(run))
        by_rl: tuple[StageSpec | None, StageSpec] | None = None
        for name in run.train:
            make = STAGE_KINDS.get(name, "train").maker()
            start = stages[-1] if stages else None
            made = make(self, run, start)
            if name == "rl":
                by_rl = start, made[0]
            stages += made
        model = stages[-1] if stages else None
        for entry in run.evaluate:
            if isinstance(entry, OverSteps):
                stages.append(self._evaluate(run, entry.benchmark, model))
                stages += self._over_steps(run, entry, *by_rl, model) if by_rl else []
            elif isinstance(entry, OwnEvaluation):
                stages.append(self._evaluate_own(run, entry, model))
            else:
                stages.append(self._evaluate(run, entry, model))
        return list({stage.id: stage for stage in stages}.values())

    def _over_steps(
        self,
        run: RunSpec,
        entry: OverSteps,
        start: StageSpec | None,
        trained: StageSpec,
        model: StageSpec | None,
    ) -> list[StageSpec]:
        """What a curve over the steps of RL takes beside the run's own result: step 0, and those on the way."""
        steps = scored_steps(run.rl, entry.every)
        if model is None or model.id != self.export(trained).id:
            steps.append(run.rl.steps)  # the run's own result is another model
        points = [self.export(trained, step=step) for step in steps]
        pairs = [(export, self._evaluate(run, entry.benchmark, export)) for export in points]
        return [self._evaluate(run, entry.benchmark, start), *(stage for pair in pairs for stage in pair)]

    def _pretrained(self, run: RunSpec) -> list[StageSpec]:
        """What gives the tiny model its rough ability: the same to all arms, whatever verl options they have.

        Its seed draws the first weights, not the rows' order.
        """
        model = run.model
        assert isinstance(model, TinyModel)
        bare = run.model_copy(update={"verl": VerlOptions()})
        pretrain = self.sft(bare, model.pretrain, model.pretrain_data, None, model.seed, shuffle=None)
        return [pretrain, self.export(pretrain)]

    def start(self, run: RunSpec, model: StageSpec | None) -> tuple[dict[str, str], dict[str, Any]]:
        """Inputs and identity of the model that a stage starts from: an earlier stage, or one from outside."""
        if model is not None:
            return {"model": model.id}, {}
        if isinstance(run.model, TinyModel):
            tiny = run.model
            mark = self._once("tiny", tiny.model_dump_json(), lambda: self.facts.tiny_fingerprint(tiny))
            return {}, {"model": {"kind": "tiny", "fingerprint": mark}}
        outside = run.model
        if isinstance(outside, EndpointModel):
            return {}, {"model": outside.model_dump(include={"kind", "url", "model"})}
        mark = self._once("model", outside.model_dump_json(), lambda: self.facts.model_fingerprint(outside))
        return {}, {"model": {"kind": "huggingface", "fingerprint": mark}}

    def data(self, data: DataSpec, splits: tuple[str, ...]) -> Any:
        """The fingerprint of these splits of a data set, for an identity."""
        what = f"data {'+'.join(splits)}"
        return self._once(what, data.model_dump_json(), lambda: self.facts.data_fingerprint(data, splits))

    def reward(self, reward: Mapping[str, Any]) -> Any:
        """What of a reward decides scores, for an identity."""
        return self._once("reward", repr(reward), lambda: get_reward(reward).identity())

    def stage(
        self,
        kind: str,
        slug: str,
        identity: Mapping[str, Any],
        inputs: Mapping[str, str],
        config: StageConfig,
        **more: Any,
    ) -> StageSpec:
        """A stage with its id.

        Args:
            kind: its kind.
            slug: for people; not hashed.
            identity: field → value of all that changes what comes out, inputs apart.
            inputs: role → id of a stage.
            config: the kind's settings.
            more: of `StageSpec`: slots, nodes, total_steps, progress_metric.
        """
        if self._rehearsal:
            identity = {**identity, "rehearsal": True}
        name = self._id_of(kind, stage_id(kind, slug, identity, inputs), identity, inputs)
        return StageSpec.of(config, id=name, kind=kind, identity=identity, inputs=inputs, **more)

    def sft(
        self,
        run: RunSpec,
        sft: SftSpec,
        data: DataSpec,
        model: StageSpec | None,
        seed: int,
        *,
        shuffle: Literal["seed"] | None = "seed",
        lora: LoraSpec | None = None,
    ) -> StageSpec:
        """Supervised fine-tuning of a model.

        The order of the rows is named in the identity, because earlier versions trained every seed in one order.
        """
        inputs, start = self.start(run, model)
        data = self.facts.located(data)
        options = dict(run.verl.sft)
        identity = {
            **start,
            "data": self.data(data, (sft.split,)),
            "sft": sft.identity(),
            "seed": seed,
            "precision": self.facts.precision(run),
            "verl_options": canonical_options(options),
            "verl": self.facts.verl_version,
        }
        if shuffle is not None:
            identity["shuffle"] = shuffle
        identity |= _lora_identity(lora)
        config = SftConfig.model_construct(
            **self._of_run(run),
            data=data,
            seed=seed,
            verl_options=options,
            sft=sft,
            shuffle=shuffle,
            lora=lora,
        )
        return self.stage(
            "sft",
            f"{run.model.name}-{sft.split}{_lora_label(lora)}-s{seed}",
            identity,
            inputs,
            config,
            slots=run.resources.ranks,
            nodes=run.resources.nodes,
            total_steps=sft.steps,
            progress_metric="train/loss",
        )

    def rl(self, run: RunSpec, model: StageSpec | None) -> StageSpec:
        """Reinforcement learning of a model."""
        inputs, start = self.start(run, model)
        data = self.facts.located(run.data)
        options = dict(run.verl.rl)
        identity = {
            **start,
            "data": self.data(data, ("train", "val")),
            "algorithm": run.algorithm,
            "reward": self.reward(run.reward),
            "rl": run.rl.identity(),
            "seed": run.seed,
            "precision": self.facts.precision(run),
            "verl_options": canonical_options(options),
            "verl": self.facts.verl_version,
            **_lora_identity(run.lora),
        }
        algorithm = ALGORITHMS[run.algorithm]
        if definition := algorithm.definition():
            identity["algorithm_definition"] = definition
        if algorithm.within_rank:
            identity["gpus"] = run.resources.ranks
        config = RlConfig.model_construct(
            **self._of_run(run),
            data=data,
            seed=run.seed,
            verl_options=options,
            algorithm=run.algorithm,
            reward=run.reward,
            rl=run.rl,
            lora=run.lora,
        )
        origin = "-sft" if "sft" in run.train else ""
        return self.stage(
            "rl",
            f"{algorithm.slug}-{run.model.name}{origin}{_lora_label(run.lora)}"
            f"-{reward_label(run.reward)}-s{run.seed}",
            identity,
            inputs,
            config,
            slots=run.resources.ranks,
            nodes=run.resources.nodes,
            total_steps=run.rl.steps,
            progress_metric="critic/score/mean",
        )

    def export(
        self, trained: StageSpec, best_of_every: int | None = None, *, step: int | None = None
    ) -> StageSpec:
        """The export of the last checkpoint, of the best among those of every so many steps, or of one step.

        Which ones there are to choose from decides what comes out, so there the distance is part of the identity. So
        is fp32, because earlier versions exported everything in bf16.
        """
        identity: dict[str, Any] = {"checkpoint": "last", "format": "huggingface"}
        if trained.identity.get("precision") == "fp32":
            identity["dtype"] = "fp32"
        if best_of_every is not None:
            identity |= {"checkpoint": "best", "save_every": best_of_every}
        slug = trained.id.rsplit("-", 1)[0]
        if step is not None:
            identity |= {"checkpoint": "step", "step": step}
            slug += f"-step{step}"
        config = ExportConfig(source=trained.kind, **identity)
        inputs = {"checkpoint": trained.id}
        return self.stage("export", slug, identity, inputs, config)

    def _evaluate(self, run: RunSpec, benchmark: str, model: StageSpec | None) -> StageSpec:
        inputs, start = self.start(run, model)
        known = BENCHMARKS.get(benchmark, "evaluate").configured(run.evaluation)
        identity = {
            **start,
            "benchmark": benchmark,
            "evaluation": run.evaluation.identity(),
            "precision": self.facts.precision(run),
        }
        data = known.data(run)
        if data is not None:
            identity["data"] = self.data(data, ("benchmark",))
        else:
            identity["protocol"] = known.protocol
            # without a runner there are no items yet, and its version will bring a new id with it
            identity |= {} if known.why_not_run else {"version": known.version}
        config = EvaluateConfig.model_construct(
            **self._of_run(run),
            benchmark=benchmark,
            evaluation=run.evaluation,
            data=data,
            protocol=known.protocol if data is None else None,
        )
        name = model.id.rsplit("-", 1)[0] if model else run.model.name
        return self.stage("evaluate", f"{benchmark}-{name}", identity, inputs, config)

    def _evaluate_own(self, run: RunSpec, own: OwnEvaluation, model: StageSpec | None) -> StageSpec:
        inputs, start = self.start(run, model)
        identity = {
            **start,
            "benchmark": own.name,
            "own": own.identity(),
            "evaluation": run.evaluation.identity(),
            "precision": self.facts.precision(run),
        }
        config = EvaluateConfig.model_construct(
            **self._of_run(run), benchmark=own.name, evaluation=run.evaluation, own=own
        )
        name = model.id.rsplit("-", 1)[0] if model else run.model.name
        return self.stage("evaluate", f"{slugify(own.name)}-{name}", identity, inputs, config)

    def _of_run(self, run: RunSpec) -> dict[str, Any]:
        used = self.facts.precision(run)
        asked = run.precision if used != run.precision else None
        return {"model": run.model, "precision": used, "asked_precision": asked, "resources": run.resources}

    def _once(self, what: str, settings: str, work_out: Callable[[], Any]) -> Any:
        """What is worked out from settings, given as text."""
        if (what, settings) not in self._known:
            self._known[what, settings] = work_out()
        return self._known[what, settings]


def make_sft(maker: StageMaker, run: RunSpec, model: StageSpec | None) -> list[StageSpec]:
    """What `sft` in a run's `train` means: fine-tune, and export the last checkpoint."""
    tuned = maker.sft(run, run.sft, run.data, model, run.seed, lora=run.lora)
    return [tuned, maker.export(tuned)]


def make_rl(maker: StageMaker, run: RunSpec, model: StageSpec | None) -> list[StageSpec]:
    """What `rl` in a run's `train` means: train, and export the checkpoint that the run asks for."""
    trained = maker.rl(run, model)
    return [trained, maker.export(trained, run.rl.save_every if run.checkpoint == "best" else None)]


def _lora_identity(lora: LoraSpec | None) -> dict[str, Any]:
    return {} if lora is None else {"lora": lora.identity()}


def _lora_label(lora: LoraSpec | None) -> str:
    return "" if lora is None else f"-lora{lora.rank}"


def reward_label(reward: Mapping[str, Any]) -> str:
    """A reward's name for slugs and tables."""
    return slugify(str(reward.get("name") or "custom"), 32)
