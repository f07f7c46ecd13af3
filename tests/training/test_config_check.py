"""verl's refusals, found when a sweep is planned."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tests.spec.conftest import FixedFacts
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import training_settings
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.resolve import resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.training.checking import config_check, verdicts, verl_verdict
from toolrl_cli.training.checking.batches import LEAST, at
from toolrl_cli.training.checking.composed import CONFIG_NAMES, Kind, composed, config_folder, merge
from toolrl_cli.training.checking.config_check import Finding, check_stages, planned_options, quick_fault
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.checking.option_types import FRACTIONS, check_type
from toolrl_cli.training.checking.question import Question
from toolrl_cli.training.checking.verl_interpolation import resolve
from toolrl_cli.training.cpu.cpu_options import hydra_arguments
from toolrl_cli.training.verl_options import Options

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
GRPO = "name: s\nbase: {preset: tiny_grpo}\n"
PPO = "name: s\nbase: {preset: tiny_ppo, train: [sft, rl]}\n"
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"

Stages = Callable[..., list[StageSpec]]


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    """Text of a sweep, or its file, and `--set` values → its distinct stages."""

    def make(sweep: str | Path, *sets: str) -> list[StageSpec]:
        path = sweep if isinstance(sweep, Path) else tmp_path / "s.yaml"
        if isinstance(sweep, str):
            path.write_text(sweep, encoding="utf-8")
        if any(text.startswith("verl.sft") for text in sets):
            sets = ("train=[sft, rl]", *sets)
        runs = resolve_runs(read_sweep(path, sets))
        return list({s.id: s for run in runs for s in run_stages(run.spec, FixedFacts())}.values())

    return make


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty memory, and verl asked in this process: its import is paid once for all tests."""
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(config_check, "_seen", set())
    monkeypatch.setattr(
        config_check, "ask_verl", lambda questions: [verl_verdict.objections(each) for each in questions]
    )
    yield


def trained(stages: list[StageSpec]) -> list[tuple[Kind, StageSpec]]:
    return [(s.kind, s) for s in stages if s.kind == "rl" or s.kind == "sft"]


def told(findings: list[Finding]) -> list[str]:
    def line(finding: Finding) -> str:
        hint = f" ({finding.fault.hint})" if finding.fault.hint else ""
        return f"{finding.setting}: {finding.fault.what}{hint}"

    return list(dict.fromkeys(map(line, findings)))


def as_hydra_composes(kind: Kind, options: Options) -> Any:
    with initialize_config_dir(str(config_folder()), version_base=None):
        config = compose(CONFIG_NAMES[kind], overrides=hydra_arguments(options))
    return OmegaConf.to_container(config, resolve=True)


# of the many arms of `algorithms` once, because what tells them apart is the same on both devices
COMPOSED = [(s, d) for s in SWEEPS for d in ("cpu", "cuda") if (s.stem, d) != ("algorithms", "cuda")]


@pytest.mark.parametrize(("sweep", "device"), COMPOSED, ids=lambda value: getattr(value, "stem", value))
def test_what_is_checked_is_what_hydra_composes_from_the_same_arguments(
    sweep: Path, device: Any, stages: Stages
) -> None:
    seen = set()
    for kind, stage in trained(stages(sweep, "data.path=/data") if "rlla" in sweep.stem else stages(sweep)):
        options = planned_options(training_settings(stage), device)
        if str(options) not in seen:
            seen.add(str(options))
            assert merge(kind, options) == as_hydra_composes(kind, options)
    assert seen


@pytest.mark.parametrize(
    "options",
    [
        {"+trainer.mine.deep": 1, "++trainer.save_freq": 3, "++trainer.other": [1, "two", None, True]},
        {"+actor_rollout_ref.actor.optim.override_optimizer_config.fused": True},
        {"~trainer.v1.sampler.sampler_kwargs": None, "~trainer.test_freq": -1, "~reward.num_workers": None},
        {"trainer.project_name": "it's a \\ name", "trainer.experiment_name": "null", "data.seed": None},
        {"data.train_files": ["a.parquet", "b.parquet"], "data.max_prompt_length": 7},
        {f"{ACTOR}.ppo_micro_batch_size": "${trainer.nnodes}", "data.val_files": "${data.train_files}"},
        {"trainer.project_name": "x-${trainer.nnodes}-${oc.env:HOME}"},
        {f"{ACTOR}.use_dynamic_bsz": True, f"{ACTOR}.strategy": "fsdp2", "global_profiler.tool": "torch"},
        {"model_engine": "megatron", f"{ACTOR}.megatron.tensor_model_parallel_size": 2},
        {"+critic.checkpoint.save_contents": ["model"]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_spelling_of_an_option_means_what_it_means_to_hydra(options: Options) -> None:
    options = {f"{ROLLOUT}.name": "vllm", **options}
    assert merge("rl", options) == as_hydra_composes("rl", options)


@pytest.mark.parametrize(
    "options",
    [
        {"trainer.save_frq": 1},
        {"trainr.save_freq": 1},
        {"save_freq": 1},
        {"data.seed.deeper": 1},
        {"+trainer.save_freq": 1},
        {"~trainer.save_frq": None},
        {"~trainer.save_freq": 7},
        {"model_engine": "nothing"},
        {f"{ACTOR}.megatron.tensor_model_parallel_size": 2},
        {"trainer.project_name": "${trainer.project_name}"},
        {"trainer.project_name": "${nowhere}"},
    ],
    ids=str,
)
def test_what_is_refused_hydra_refuses_too(options: Options) -> None:
    options = {f"{ROLLOUT}.name": "vllm", **options}
    with pytest.raises(OptionFault) as caught:
        merge("rl", options)
    assert "\n" not in str(caught.value)
    with pytest.raises((HydraException, OmegaConfBaseException)):
        as_hydra_composes("rl", options)


VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2.5,
        1e-5,
        "x",
        "true",
        "null",
        "1",
        "a b",
        "",
        " ",
        "it's",
        "a,b",
        "[1]",
        "{a: 1}",
    ),
    *(
        "\\",
        "x\\",
        "%x",
        "#",
        "a=b",
        "é",
        "${trainer.nnodes}",
        "${trainer.nnodes} x",
        [1, 2],
        ["a", "b c"],
        [None],
    ),
]


@pytest.mark.parametrize("seed", range(15))
def test_any_options_are_taken_and_refused_as_hydra_does(seed: int) -> None:
    chance = random.Random(seed)
    names = sorted(composed("rl").names)
    options: Options = {f"{ROLLOUT}.name": "vllm"}
    for _ in range(chance.choice([1, 2, 3])):
        name = chance.choice(names) + chance.choice(["", "", "", "", "x", ".deeper"])
        options[chance.choice(["", "", "+", "++", "~"]) + name] = chance.choice(VALUES)
    try:
        expected = as_hydra_composes("rl", options)
    except (HydraException, OmegaConfBaseException, ValueError):
        with pytest.raises(OptionFault):
            merge("rl", options)
    else:
        try:
            assert merge("rl", options) == expected
        except OptionFault as fault:  # what Hydra lets pass and we do not
            assert "is a section" in fault.what or "is a single value" in fault.what


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(["rl", "sft"]),
    options=st.dictionaries(
        st.one_of(
            st.sampled_from(
                [*sorted(LEAST["rl"]), *sorted(LEAST["sft"]), "+a.b", "++data", "~trainer.nnodes"]
            ),
            st.text(max_size=12),
        ),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=12),
            st.lists(st.one_of(st.integers(), st.text(max_size=3), st.none()), max_size=3),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        ),
        max_size=4,
    ),
)
def test_no_options_break_the_check(kind: Kind, options: Options) -> None:
    fault = quick_fault(kind, options)
    assert fault is None or "\n" not in str(fault)


@pytest.mark.parametrize(
    ("sweep", "sets", "says"),
    [
        (GRPO, ["verl.rl.trainer.save_frq=5"],
         "verl.rl.trainer.save_frq: verl has no option 'trainer.save_frq' "
         "(did you mean the setting `rl.save_every`, verl's trainer.save_freq?)"),
        (GRPO, [f"verl.rl.{ROLLOUT}.max_num_seq=5"],
         f"verl.rl.{ROLLOUT}.max_num_seq: verl has no option '{ROLLOUT}.max_num_seq' "
         f"(did you mean '{ROLLOUT}.max_num_seqs'?)"),
        (GRPO, ["verl.sft.optim.amsgrd=true"],
         "verl.sft.optim.amsgrd: verl has no option 'optim.amsgrd' "
         "(optim has betas, clip_grad, lr, lr_scheduler_type, lr_warmup_steps, lr_warmup_steps_ratio, "
         "min_lr_ratio, num_cycles, …)"),
        (GRPO, ["verl.rl.actor.optim.betas=[0.9, 0.95]"],
         "verl.rl.actor.optim.betas: verl has no option 'actor.optim.betas' "
         f"(did you mean '{ACTOR}.optim.betas'?)"),
        (GRPO, ["verl.rl.my_option=1"], "verl.rl.my_option: verl has no option 'my_option'"),
        (GRPO, ["verl.rl.+data.shuffle=true"],
         "verl.rl.+data.shuffle: verl already has 'data.shuffle' (write data.shuffle to change it)"),
        (GRPO, ["verl.rl.trainer.v1=5"],
         "verl.rl.trainer.v1: 'trainer.v1' is a section, not an option "
         "(name one of its options: trainer_mode, sync, colocate_async, separate_async, sampler)"),
        (GRPO, ["verl.rl.ray_kwargs={num_cpus: [1, {a: b}]}"],
         "verl.rl.ray_kwargs.num_cpus: {'a': 'b'} cannot stand in a list (numbers, text, true and false)"),
        (PPO, ["verl.rl.critic.model.override_config=sdpa"],
         "verl.rl.critic.model.override_config: 'critic.model.override_config' is a section, not an option "
         "(name one of its options: attn_implementation)"),
        (GRPO, ["verl.rl.data.mm_processor_kwargs=1"],
         "verl.rl.data.mm_processor_kwargs: 'data.mm_processor_kwargs' is a section, not an option "
         "(add an option to it: +data.mm_processor_kwargs.key)"),
        (GRPO, ["verl.rl.data files=x"],
         "verl.rl: 'data files' cannot name an option (write it as a.b.c)"),
        (GRPO, ["verl.rl.trainer.log_val_generations=often"],
         "verl.rl.trainer.log_val_generations: 'often' is not a whole number (verl's default is 0)"),
        (GRPO, [f"verl.rl.{ROLLOUT}.max_num_seqs=2.5"],
         f"verl.rl.{ROLLOUT}.max_num_seqs: 2.5 is not a whole number (verl's default is 256)"),
        (GRPO, ["verl.rl.trainer.val_before_train=7"],
         "verl.rl.trainer.val_before_train: 7 is not true or false (verl's default is true)"),
        (GRPO, [f"verl.rl.{ACTOR}.clip_ratio_c=wide"],
         f"verl.rl.{ACTOR}.clip_ratio_c: 'wide' is not a number (verl's default is 3.0)"),
        (GRPO, [f"verl.rl.{ACTOR}.fsdp_config.model_dtype=fp23"],
         f"verl.rl.{ACTOR}.fsdp_config.model_dtype: verl knows no 'fp23' (did you mean 'fp32'?)"),
        (GRPO, [f"verl.rl.{ACTOR}.kl_loss_type=k9"],
         f"verl.rl.{ACTOR}.kl_loss_type: verl knows no 'k9' (did you mean 'kl'?)"),
        (GRPO, ["verl.rl.algorithm.kl_penalty=low_var"],
         "verl.rl.algorithm.kl_penalty: verl knows no 'low_var' (did you mean 'low_var_kl'?)"),
        (GRPO, [f"verl.rl.{ACTOR}.checkpoint.save_contents=[model, optimizer, extra, hf_modl]"],
         f"verl.rl.{ACTOR}.checkpoint.save_contents: verl knows no 'hf_modl' (did you mean 'hf_model'?)"),
        (GRPO, ["rl.top_k=-2"], "rl.top_k: -2 is out of range (-1 or more)"),
        (GRPO, [f"verl.rl.{ROLLOUT}.val_kwargs.top_p=1.2"],
         f"verl.rl.{ROLLOUT}.val_kwargs.top_p: 1.2 is out of range (more than 0, at most 1)"),
        (GRPO, [f"verl.rl.{ROLLOUT}.max_num_seqs=0"],
         f"verl.rl.{ROLLOUT}.max_num_seqs: 0 is out of range (1 or more)"),
        (GRPO, [f"verl.rl.{ACTOR}.clip_ratio_c=1.0"],
         f"verl.rl.{ACTOR}.clip_ratio_c: 1 is out of range (more than 1)"),
        (GRPO, [f"verl.rl.{ACTOR}.optim.optimizer=AdamZ"],
         f"verl.rl.{ACTOR}.optim.optimizer: torch.optim has no 'AdamZ' (did you mean 'Adam'?)"),
        (GRPO, [f"verl.rl.{ROLLOUT}.val_kwargs.n=0"],
         f"verl.rl.{ROLLOUT}.val_kwargs.n: 0 is too small (at least 1)"),
        (GRPO, [f"verl.rl.{ROLLOUT}.agent.num_workers=0"],
         f"verl.rl.{ROLLOUT}.agent.num_workers: 0 is too small (at least 1)"),
        (GRPO, ["verl.rl.reward.num_workers=0"],
         "verl.rl.reward.num_workers: 0 is too small (at least 1)"),
        (GRPO, ["verl.rl.algorithm.adv_estimator=gae"],
         "verl.rl.algorithm.adv_estimator: is 'gae', and this is planned as grpo (set `algorithm: ppo`)"),
        (GRPO, ["verl.rl.critic.enable=true"],
         "verl.rl.critic.enable: follows from the algorithm (set `algorithm: ppo` for a critic)"),
        (GRPO, ["verl.sft.data.pad_mode=rigth"],
         "verl.sft.data.pad_mode: verl knows no 'rigth' (did you mean 'right'?)"),
        (GRPO, [f"verl.rl.{ACTOR}.kl_loss_type=lowvarkl"],
         f"verl.rl.{ACTOR}.kl_loss_type: verl knows no 'lowvarkl' (did you mean 'low_var_kl'?)"),
        (GRPO, [f"verl.rl.+{ACTOR}.shuffle_rows=1"],
         f"verl.rl.+{ACTOR}.shuffle_rows: is read by nothing in verl (did you mean '{ACTOR}.shuffle'?)"),
        (GRPO, [f"verl.rl.+{ACTOR}.total_epochs=1"],
         f"verl.rl.+{ACTOR}.total_epochs: verl's FSDPActorConfig has no field 'total_epochs' "
         "(did you mean 'ppo_epochs'?)"),
        (GRPO, ["resources.gpus=3", "rl.rollouts=6"],
         "model.pretrain.batch_size: a batch of 64 rows does not divide over 3 GPUs (use a multiple of 3)"),
        (GRPO, ["resources.nodes=3", "rl.rollouts=6"],
         "model.pretrain.batch_size: a batch of 64 rows does not divide over 3 GPUs (use a multiple of 3)"),
        (GRPO, ["verl.rl.trainer.nnodes=2"],
         "verl.rl.trainer.nnodes: is given by the setting resources.nodes (set `resources.nodes: 2`)"),
        (GRPO, ["rl.prompts=6", "rl.mini_batch=2", "rl.rollouts=3", "resources.gpus=4"],
         "rl.mini_batch: a mini-batch of 2 prompts × 3 rollouts does not divide over 4 GPUs "
         "(6 responses must be a multiple of 4)"),
        (GRPO, ["rl.micro_batch=7"],
         "rl.micro_batch: micro-batches of 7 do not divide the 64 responses of a GPU's mini-batch "
         "(use a divisor of 64)"),
        (GRPO, ["rl.micro_batch_tokens=300"],
         "rl.micro_batch_tokens: 300 tokens a GPU cannot hold the longest sample, 320 tokens "
         "(at least 320, or shorten prompts and responses)"),
        (PPO, ["sft.batch_size=10", "resources.gpus=4", "sft.micro_batch_size=1"],
         "sft.batch_size: a batch of 10 rows does not divide over 4 GPUs (use a multiple of 4)"),
        (PPO, ["sft.micro_batch_size=5"],
         "sft.micro_batch_size: micro-batches of 5 do not divide the 32 rows of a GPU (a batch of 32 on 1 GPU) "
         "(use a divisor of 32)"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_setting(sweep: str, sets: list[str], says: str, stages: Stages) -> None:
    assert told(check_stages(stages(sweep, *sets))) == [says]


def test_faults_of_both_tiers_and_of_settings_are_told_together(stages: Stages) -> None:
    rl = (f"{ROLLOUT}.n=64", "trainer.save_frq=5", f"+{ACTOR}.total_epochs=1", f"{ACTOR}.kl_loss_type=x")
    sets = [*(f"verl.rl.{option}" for option in rl), "verl.sft.data.pad_mode=rigth", "resources.gpus=3"]
    found = check_stages(stages(PPO, *sets))
    assert [finding.setting for finding in found] == [
        "model.pretrain.batch_size",  # which takes no options of the arm's SFT
        "verl.sft.data.pad_mode",
        "sft.batch_size",
        f"verl.rl.{ROLLOUT}.n",
        "verl.rl.trainer.save_frq",
        f"verl.rl.{ACTOR}.kl_loss_type",
        "rl.mini_batch",
    ]
    found = check_stages(stages(PPO, *sets[:-1]))
    assert [finding.setting for finding in found if finding.stages[0].kind == "rl"] == [
        f"verl.rl.{ROLLOUT}.n",
        "verl.rl.trainer.save_frq",
        f"verl.rl.{ACTOR}.kl_loss_type",
        f"verl.rl.+{ACTOR}.total_epochs",
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda p: p.stem)
def test_every_shipped_sweep_passes(sweep: Path, device: str, stages: Stages) -> None:
    sets = [f"resources.device={device}", *(["data.path=/data"] if "rlla" in sweep.stem else [])]
    assert told(check_stages(stages(sweep, *sets))) == []


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("preset", presets.names())
def test_every_preset_passes(preset: str, device: str, stages: Stages) -> None:
    text = f"name: s\nbase: {{preset: {preset}, train: [sft, rl], resources.device: {device}}}\n"
    sets = ["data.path=/data"] if presets.layered(preset, "").get("data.kind") == "rlla" else []
    has = {key.split(".")[0] for key in presets.layered(preset, "")}
    lacking = {"model": "tiny", "data": "{kind: toolworld}", "reward": "original"}
    needs = [f"{key}={value}" for key, value in lacking.items() if key not in has]
    assert told(check_stages(stages(text, *sets, *needs))) == []


@pytest.mark.parametrize(
    "setting",
    ["resources.gpus=2", "rl.kl=in_loss", "rl.kl=in_reward", "rl.micro_batch=4", "precision=bf16",
     "verl.rl.~trainer.log_val_generations=0", f"verl.rl.{ACTOR}.optim.betas=[0.9, 0.95]",
     "verl.rl.algorithm.rollout_correction.rollout_is_threshold=0.5_5.0"],
)  # fmt: skip
@pytest.mark.parametrize("sweep", [GRPO, PPO], ids=["grpo", "ppo"])
def test_what_verl_takes_is_not_refused(sweep: str, setting: str, stages: Stages) -> None:
    assert told(check_stages(stages(sweep, setting))) == []


@pytest.mark.parametrize(
    ("offload", "names"),
    [
        ("never", set()),
        ("idle", {"param_offload", "optimizer_offload"}),
        ("auto", {"param_offload", "optimizer_offload"}),
        ("always", {"offload_policy"}),
    ],
)
def test_what_rests_in_the_hosts_memory_is_told_to_every_network_of_verl(
    offload: str, names: set[str], stages: Stages
) -> None:
    ppo = stages(PPO, "resources.device=cuda", f"resources.offload={offload}")
    assert told(check_stages(ppo)) == []
    rl = next(stage for stage in ppo if stage.kind == "rl")
    sections = (f"{ACTOR}.fsdp_config", "actor_rollout_ref.ref.fsdp_config", "critic.fsdp")
    given = {key for key in planned_options(training_settings(rl)) if "offload" in key}
    assert given == {f"{section}.{name}" for section in sections for name in names}
    assert rl.id == next(s.id for s in stages(PPO, "resources.device=cuda") if s.kind == "rl")


@pytest.mark.parametrize("kind", ["rl", "sft"])
def test_verls_own_defaults_are_of_their_own_kind(kind: Kind) -> None:
    base = composed(kind)
    for name in sorted(base.names):
        check_type(kind, name, base.default(name), base)


def test_the_options_that_take_fractions_are_those_that_verl_declares_so() -> None:
    import typing

    from hydra.utils import get_class

    declared = set()

    def walk(node: dict[str, Any]) -> None:
        hints = typing.get_type_hints(get_class(node["_target_"])) if "_target_" in node else {}
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value)
            elif type(value) is int and hints.get(key) is float:
                declared.add(key)

    walk(composed("rl").raw)
    walk(composed("sft").raw)
    assert declared and declared <= FRACTIONS


@pytest.mark.parametrize("sweep", [GRPO, PPO], ids=["grpo", "ppo"])
def test_a_section_is_built_as_verl_builds_it(sweep: str, stages: Stages) -> None:
    from verl.utils.config import omega_conf_to_dataclass

    for kind, stage in trained(stages(sweep)):
        tree = merge(kind, planned_options(training_settings(stage)))
        names = ("engine", "optim") if kind == "sft" else (ACTOR, ROLLOUT)
        for name in names:
            section = at(tree, name)
            ours, verls = (
                verl_verdict.build(name, section),
                omega_conf_to_dataclass(OmegaConf.create(section)),
            )
            assert type(ours) is type(verls)
            assert ours == verls


@pytest.mark.parametrize(
    "options",
    [
        {f"{ACTOR}.loss_agg_mode": "mean"},
        {f"{ACTOR}.use_dynamic_bsz": False},
        {f"{ACTOR}.ppo_micro_batch_size": 3, f"{ACTOR}.use_dynamic_bsz": False},
        {f"{ACTOR}.ppo_mini_batch_size": 99, "rl.micro_batch": 1},
        {f"{ROLLOUT}.val_kwargs.do_sample": True, f"{ROLLOUT}.temperature": 0},
        {f"{ROLLOUT}.log_prob_micro_batch_size": 2, "rl.micro_batch": 1},
    ],
    ids=str,
)
def test_verls_check_says_the_same_of_the_configuration_that_hydra_composes(
    options: dict[str, Any], stages: Stages
) -> None:
    from verl.utils.config import validate_config

    sets = [f"{k}={v}" for k, v in options.items() if k.startswith("rl.")]
    kind, stage = trained(stages(GRPO, *sets))[-1]
    given = planned_options(training_settings(stage), "cuda")
    given |= {k: v for k, v in options.items() if not k.startswith("rl.")}
    with initialize_config_dir(str(config_folder()), version_base=None):
        config = compose(CONFIG_NAMES[kind], overrides=hydra_arguments(given))
    with pytest.raises(Exception) as verls:  # Hydra wraps what a dataclass raises
        validate_config(config, use_reference_policy=False, use_critic=False)
    fault = verl_verdict.verdict(kind, given)
    assert fault is not None
    assert fault.what in " ".join(str(verls.value).split())


def test_verl_is_asked_in_a_process_of_its_own(
    stages: Stages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    (tmp_path / "verl").mkdir()  # a checkout of another verl in the working folder
    (tmp_path / "verl/__init__.py").write_text("raise RuntimeError('the wrong verl')")
    monkeypatch.chdir(tmp_path)
    _, stage = trained(stages(GRPO))[-1]
    good = planned_options(training_settings(stage))
    bad = {f"{ACTOR}.loss_agg_mode": "mean"}
    answers = config_check.ask_verl([Question("rl", good, {}), Question("rl", good, bad)])
    assert [[fault.what for fault in faults] for faults in answers] == [[], ["Invalid loss_agg_mode: mean"]]


def test_a_verl_that_cannot_be_imported_is_one_line(
    stages: Stages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    (tmp_path / "verl/trainer").mkdir(parents=True)
    (tmp_path / "verl/trainer/config").symlink_to(config_folder())
    (tmp_path / "verl/__init__.py").write_text("raise ImportError('libcudart.so.12 is missing')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    kind, stage = trained(stages(GRPO))[-1]
    with pytest.raises(SpecError) as caught:
        config_check.ask_verl([Question(kind, planned_options(training_settings(stage)), {})])
    assert "\n" not in str(caught.value)
    assert "verl cannot be imported: libcudart.so.12 is missing" in str(caught.value)


def test_seeds_data_and_rewards_are_one_set_of_options(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(config_check, "ask_verl", lambda sets: asked.extend(sets) or [[]] * len(sets))
    text = GRPO + "axes: {reward: [original, coarse], rl.lr: [1e-3, 1e-4]}\nseeds: {range: [0, 50]}\n"
    assert check_stages(stages(text)) == []
    assert [question.kind for question in asked] == [
        "sft",
        "rl",
        "rl",
    ]  # the tiny model's SFT, two learning rates


def test_what_verl_accepted_is_not_asked_again_and_what_it_refused_is(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    good, bad = stages(GRPO), stages(GRPO, f"verl.rl.+{ACTOR}.total_epochs=1")
    for _ in range(2):
        assert check_stages(good, asked.append) == []
        assert check_stages(bad, asked.append)
        monkeypatch.setattr(config_check, "_seen", set())  # as in the next command
    assert asked == [2, 1, 1]
    monkeypatch.setattr(verdicts, "_checker", lambda: "another verl")
    assert check_stages(good, asked.append) == []
    assert asked[-1] == 2


def test_a_memory_that_cannot_be_read_or_written_costs_nothing_but_time(
    stages: Stages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "file"))
    assert check_stages(stages(GRPO)) == []
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path))
    (tmp_path / "verl_accepts.txt").write_bytes(b"\xff\xfe torn")
    monkeypatch.setattr(config_check, "_seen", set())
    assert check_stages(stages(GRPO)) == []


def test_the_first_tier_imports_neither_torch_nor_verl() -> None:
    code = (
        "import sys; from toolrl_cli.training.checking.config_check import quick_fault; quick_fault('sft', {}); "
        "print(*[m for m in ('torch', 'verl', 'ray', 'transformers') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def test_a_placeholder_is_never_made(stages: Stages) -> None:
    check_stages(stages(PPO))
    assert not Path("/placeholder").exists()


def test_a_circle_of_interpolations_is_named() -> None:
    with pytest.raises(OptionFault, match="Recursive interpolation"):
        resolve({"a": "${b}", "b": "${a}"})


def test_a_fault_of_the_first_tier_needs_no_verl() -> None:
    fault = quick_fault("sft", {"trainer.n_gpus_per_node": 3})
    assert fault is not None and fault.option == "data.train_batch_size"
