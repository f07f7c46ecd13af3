"""The check of stages' rows: what to ask of each, and what the answers say under its limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import StageError
from toolrl_cli.log import LOG
from toolrl_cli.spec.kind_configs import EvaluateConfig, RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import OwnData, ToolWorldData
from toolrl_cli.spec.run.model_settings import EndpointModel, ModelSpec, TinyModel
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.training.device import planned_device
from toolrl_cli.training.models.model_folder import is_packaged
from toolrl_cli.training.preflight.answers import Asked, answers_to
from toolrl_cli.training.preflight.question import Answer, Measures, Rows
from toolrl_cli.training.preflight.row_fault import (
    RowFault,
    beyond_positions,
    cut_rows,
    long_golds,
    long_prompts,
    repeated,
    special_tags,
    tokenizer_faults,
)
from toolrl_cli.training.preflight.row_questions import Config, questions_of, template_of
from toolrl_cli.training.preflight.tokenizer_files import ModelTokenizer, tokenizer_of
from toolrl_cli.training.verl_options import rollout_name

_FILTER = "data.filter_overlong_prompts"

TINY_PROMPT, TINY_GOLD = 160, 48
"""More tokens than any prompt and any gold answer of ToolWorld has in the tiny model's tokenizer (116 and 40 at most in
20,000 rows of three seeds): under larger limits there is nothing to count."""


@dataclass(frozen=True)
class RowFinding:
    """A fault, with the stages that have it."""

    stages: tuple[StageSpec, ...]
    fault: RowFault


def check_rows(
    stages: Iterable[StageSpec], results: Path, folder: str = ""
) -> tuple[list[RowFinding], list[str]]:
    """Check the rows of all stages that read some; what is equal is asked once, and remembered.

    Args:
        stages: of any kind; those that read no rows of ours are passed over.
        results: the results root; items of a benchmark that are not below it yet are not counted.
        folder: where the model is, for one that cannot be had as it is named.

    Returns:
        The faults, in the order of the stages; and the names of models whose tokenizer is out of reach.

    Raises:
        SpecError: rows are not there.
    """
    alike = _alike(stages)
    tokenizers: dict[str, ModelTokenizer | None] = {}
    asked: dict[str, dict[str, Asked]] = {}
    known: dict[str, Rows] = {}
    for key, (config, _) in alike.items():
        model = _model_key(config.model)
        if model not in tokenizers:
            tokenizers[model] = tokenizer_of(config.model, folder)
        asked[key] = dict(questions_of(config, tokenizers[model], results, known))
    answers = answers_to([one for questions in asked.values() for one in questions.values()])
    findings: dict[RowFault, list[StageSpec]] = {}
    missing: dict[str, None] = {}
    for key, (config, group) in alike.items():
        tokenizer = tokenizers[_model_key(config.model)]
        if tokenizer is None and not isinstance(config.model, EndpointModel):  # which counts by itself
            missing[config.model.name] = None
        told = {name: answers[one] for name, one in asked[key].items()}
        for fault in _faults(
            config, told, tokenizer.positions if tokenizer else None, _pretrains(group[0], config)
        ):
            findings.setdefault(fault, []).extend(group)
    return [RowFinding(tuple(group), fault) for fault, group in findings.items()], list(missing)


def check_before_start(stage: StageSpec, results: Path, folder: str) -> None:
    """Check one stage's rows right before it starts: its plan may have been made elsewhere, or earlier.

    Args:
        stage: as planned.
        results: the results root.
        folder: of the model that it starts from.

    Raises:
        StageError: rows that are refused (class `config`), the first fault.
        SpecError: rows are not there.
    """
    found, _ = check_rows([stage], results, folder)
    for one in sorted(found, key=lambda finding: finding.fault.refused):
        if one.fault.refused:
            fault = one.fault
            raise StageError(fault.what, fault.setting, fault.hint, failure_class="config")
        LOG.warning("%s", one.fault)


def _alike(stages: Iterable[StageSpec]) -> dict[str, tuple[Config, list[StageSpec]]]:
    """Stages of equal rows, tokenizer and limits together."""
    alike: dict[str, tuple[Config, list[StageSpec]]] = {}
    for stage in stages:
        config = settings_of(stage)
        if isinstance(config, SftConfig | RlConfig | EvaluateConfig) and not _known_to_fit(config):
            key = "\n".join(
                (stage.kind, _model_key(config.model), *_limits(config), str(_pretrains(stage, config)))
            )
            alike.setdefault(key, (config, []))[1].append(stage)
    return alike


def _limits(config: Config) -> Iterator[str]:
    if isinstance(config, EvaluateConfig):
        settings: Any = config.evaluation
        yield config.benchmark
    else:
        settings = config.sft if isinstance(config, SftConfig) else config.rl
        yield repr(sorted(template_of(config).items()))
        yield repr([config.verl_option(_FILTER), config.resources.rollout, config.resources.device])
    yield repr(config.data)
    names = ("split", "limit", "max_length", "max_prompt_length", "max_response_length", "allow_cut_gold")
    yield repr([getattr(settings, name, None) for name in names])


def _model_key(model: ModelSpec) -> str:
    if isinstance(model, EndpointModel):
        return f"{model.model} at {model.url}"
    return "tiny" if isinstance(model, TinyModel) else f"{model.path}@{model.revision}"


def _known_to_fit(config: Config) -> bool:
    """Whether the rows are ToolWorld's, the model the tiny one, and the limits what both were made for."""
    if isinstance(config.model, EndpointModel):
        return False
    tiny = isinstance(config.model, TinyModel) or is_packaged(config.model.path)
    if not tiny or not isinstance(config.data, ToolWorldData):
        return False
    if isinstance(config, EvaluateConfig) and config.benchmark != "toolworld":
        return False
    if isinstance(config, SftConfig):
        return config.sft.max_length >= TINY_PROMPT + TINY_GOLD and not template_of(config)
    limits = config.rl if isinstance(config, RlConfig) else config.evaluation
    plain = isinstance(config, EvaluateConfig) or not template_of(config)
    return limits.max_prompt_length >= TINY_PROMPT and limits.max_response_length >= TINY_GOLD and plain


def _pretrains(stage: StageSpec, config: Config) -> bool:
    return isinstance(config, SftConfig) and isinstance(config.model, TinyModel) and not stage.inputs


def _rollout(config: RlConfig) -> str:
    return rollout_name(config.resources.rollout, planned_device(config.resources.device))


def _faults(
    config: Config, told: Mapping[str, Answer], positions: int | None, pretrains: bool
) -> Iterator[RowFault]:
    counted: dict[str, Measures] = {}
    for name, answer in told.items():
        if answer.measures is not None:
            yield from tokenizer_faults(answer.measures, name, config.model.name)
            if answer.measures.lengths:
                counted[name] = answer.measures
        for split, found in answer.repeats.items():
            used = (config.sft.split,) if isinstance(config, SftConfig) else ("train", "val")
            if split in used:
                yield from repeated(
                    found, split, f"data.{split if isinstance(config.data, OwnData) else 'path'}"
                )
    if not counted:
        return
    if isinstance(config, SftConfig):
        yield from _of_sft(config, counted, positions, "model.pretrain" if pretrains else "sft")
    else:
        yield from _of_prompts(config, counted, positions)


def _of_sft(
    config: SftConfig, counted: Mapping[str, Measures], positions: int | None, root: str
) -> Iterator[RowFault]:
    setting, most = f"{root}.max_length", config.sft.max_length
    for name, found in counted.items():
        allowed = config.sft.allow_cut_gold
        yield from cut_rows(found, name, setting, most, f"{root}.allow_cut_gold", allowed=allowed)
        yield from beyond_positions(min(max(found.lengths), most), setting, positions)


def _of_prompts(
    config: RlConfig | EvaluateConfig, counted: Mapping[str, Measures], positions: int | None
) -> Iterator[RowFault]:
    limits, root = (config.rl, "rl") if isinstance(config, RlConfig) else (config.evaluation, "evaluation")
    loss = "are not asked at all"
    prompt = min(max(max(found.lengths) for found in counted.values()), limits.max_prompt_length)
    if isinstance(config, RlConfig):
        for found in counted.values():
            yield from special_tags(found, config.model.name)
        filtered = config.verl_option(_FILTER) is True
        loss = "are left out" if filtered else "lose their beginning, where the tools are listed"
        if _rollout(config) == "vllm":
            prompt = limits.max_prompt_length  # vLLM is given the limits, and refuses more than the model has
    yield from long_prompts(counted, f"{root}.max_prompt_length", limits.max_prompt_length, loss)
    setting, most = f"{root}.max_response_length", limits.max_response_length
    yield from long_golds(counted, setting, most, f"{root}.allow_cut_gold", allowed=limits.allow_cut_gold)
    yield from beyond_positions(prompt + most, setting, positions)
