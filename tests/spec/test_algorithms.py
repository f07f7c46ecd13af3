"""Algorithms as objects: what each brings, what contradicts it, and its ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.errors import SpecError
from toolrl_cli.spec import stages as stages_module
from toolrl_cli.spec.algorithms.algorithm import AlgorithmName
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.run.training_settings import RlSpec
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.profile import load_profile
from toolrl_cli.spec.sweeps.resolve import resolve_runs, resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

TINY = "name: s\nbase: {preset: tiny_grpo}\n"
PAPER = "name: s\nbase: {preset: paper_grpo, model: tiny, data: {kind: toolworld}}\n"
WHOLE = {"rl.micro_batch=64"}

Run = Callable[..., RunSpec]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Text of a sweep and `--set` values → its one run."""

    def make(text: str, *sets: str) -> RunSpec:
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        (only,) = resolve_runs(read_sweep(tmp_path / "s.yaml", sets))
        return only.spec

    return make


def rl_stage(spec: RunSpec) -> StageSpec:
    return next(stage for stage in run_stages(spec, FixedFacts()) if stage.kind == "rl")


def sets(name: str) -> list[str]:
    """What an algorithm needs beside its name on the tiny preset."""
    return [f"algorithm={name}", *(WHOLE if ALGORITHMS[name].whole_mini_batches else ())]


def test_the_names_of_the_schema_are_those_of_the_catalogue() -> None:
    assert set(get_args(AlgorithmName)) == set(ALGORITHMS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithms_settings_are_rl_settings_and_fit_itself(name: str, run: Run) -> None:
    algorithm = ALGORITHMS[name]
    assert {*algorithm.settings, *algorithm.only, *algorithm.unread} <= RlSpec.model_fields.keys()
    rl = run(PAPER, *sets(name), *(["rl.mini_batch=512"] if algorithm.on_policy else []), *_paper(name)).rl
    for key, value in algorithm.settings.items():
        assert getattr(rl, key) == value or value == {}, key


def _paper(name: str) -> list[str]:
    return ["rl.micro_batch=512"] if ALGORITHMS[name].whole_mini_batches else []


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_a_stage_that_says_its_name(name: str, run: Run) -> None:
    stage = rl_stage(run(TINY, *sets(name)))
    assert stage.id.startswith(name.replace("+", "p").replace("_", "-"))
    assert stage.identity["algorithm"] == name
    assert stage.settings(RlConfig).networks == (2 if name == "ppo" else 1)


def test_a_cell_of_a_grid_is_what_it_is_alone_whatever_the_base_and_other_cells_say(
    tmp_path: Path, run: Run
) -> None:
    cells = [(reward, algorithm) for reward in ("original", "coarse") for algorithm in ("dppo_tv", "grpo")]
    alone = [run(PAPER, f"reward={reward}", f"algorithm={algorithm}") for reward, algorithm in cells]
    base = PAPER.replace("}}", "}, algorithm: dppo_tv}")
    text = f"{base}axes: {{reward: [original, coarse], algorithm: [dppo_tv, grpo]}}\n"
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert [one.spec for one in resolve_runs(read_sweep(tmp_path / "s.yaml"))] == alone


def test_ids_of_algorithms_differ(run: Run) -> None:
    ids = {rl_stage(run(TINY, *sets(name), "rl.micro_batch=64")).id.rsplit("-", 1)[1] for name in ALGORITHMS}
    assert len(ids) == len(ALGORITHMS)


def test_grpo_and_ppo_have_the_identity_that_they_had(run: Run) -> None:
    for name in ("grpo", "ppo"):
        identity = rl_stage(run(TINY, f"algorithm={name}")).identity
        assert not {"algorithm_definition", "gpus"} & identity.keys()
        assert not RlSpec.ADDED_LATER.keys() & identity["rl"].keys()


def test_a_changed_definition_makes_new_ids(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = run(TINY, "algorithm=sapo")
    before = rl_stage(spec).id
    for change in (
        {"version": 2},
        {"options": {**ALGORITHMS["sapo"].options, "actor_rollout_ref.actor.tau_neg": 1.1}},
    ):
        changed: dict[str, Any] = {**ALGORITHMS, "sapo": replace(ALGORITHMS["sapo"], **change)}  # type: ignore[arg-type]
        monkeypatch.setattr(stages_module, "ALGORITHMS", changed)
        assert rl_stage(spec).id != before


def test_the_bound_of_refills_is_no_part_of_an_id_and_the_metric_is(run: Run) -> None:
    first, more, other = (
        rl_stage(run(TINY, "algorithm=dapo", *more)).id
        for more in ((), ["rl.dynamic_sampling.max_refills=99"], ["rl.dynamic_sampling.metric=correctness"])
    )
    assert first == more != other


def test_a_loss_within_a_gpus_share_has_their_number_in_its_id(run: Run) -> None:
    one, two, over_nodes = (
        rl_stage(run(TINY, *sets("kl_cov"), f"resources.{setting}")).id
        for setting in ("gpus=1", "gpus=2", "nodes=2")
    )
    assert one != two == over_nodes


def test_what_an_algorithm_brings_beats_the_preset_and_loses_to_the_sweep(run: Run) -> None:
    assert run(PAPER).rl.kl == "in_reward"
    assert run(PAPER, "algorithm=gspo").rl.kl == "none"
    text = PAPER + "arms: {a: {algorithm: gspo, rl: {kl: in_loss, clip_ratio_high: 0.01}}}\n"
    rl = run(text).rl
    assert (rl.kl, rl.clip_ratio_low, rl.clip_ratio_high) == ("in_loss", 3e-4, 0.01)


def test_a_presets_verl_option_gives_way_to_the_algorithms(run: Run) -> None:
    option = "actor_rollout_ref.actor.clip_ratio_c"
    assert option in run(PAPER).verl.rl
    assert option not in run(PAPER, "algorithm=dppo_tv").verl.rl
    assert run(PAPER, "algorithm=dppo_tv", f"verl.rl.{option}=50.0").verl.rl[option] == 50.0


def test_conditions_see_what_an_algorithm_brings(tmp_path: Path) -> None:
    text = (
        PAPER
        + "axes: {algorithm: [grpo, dr_grpo], rl.kl_coef: [0.1, 0.2]}\nwhen: {rl.kl_coef: {rl.kl: in_reward}}\n"
    )
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    runs = resolve_runs(read_sweep(tmp_path / "s.yaml"))
    assert [run.spec.algorithm for run in runs] == ["grpo", "grpo", "dr_grpo"]


def test_every_algorithm_can_be_run_in_small(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        PAPER + "axes: {algorithm: [grpo, ppo, dapo, remax]}\n", encoding="utf-8"
    )
    runs = resolve_sweep(read_sweep(tmp_path / "s.yaml"), load_profile("cpu")).runs
    assert [(run.spec.algorithm, run.spec.rl.prompts) for run in runs] == [
        ("grpo", 8), ("ppo", 64), ("dapo", 8), ("remax", 8),
    ]  # fmt: skip


FAULTS = [
    ("dapo", ["rl.kl=in_reward"], "rl.kl: is in_reward, and dapo (Yu et al., DAPO, arXiv 2503.14476) has none"),
    ("dr_grpo", ["rl.norm_by_std=true"], "rl.norm_by_std: is true, and dr_grpo"),
    ("dr_grpo", ["rl.kl=in_loss"], "has none"),
    ("gdpo", ["rl.kl=in_reward"], "has none or in_loss"),
    ("gspo", ["rl.loss_agg=token-mean"], "has seq-mean-token-mean"),
    ("dapo", ["rl.dynamic_sampling=null"], "samples until the rewards of a group differ"),
    ("rloo", ["rl.rollouts=1"], "rl.rollouts: is 1, and rloo compares the responses to one prompt"),
    ("grpo", ["rl.rollouts=1"], "2 or more"),
    ("opo", ["rl.mini_batch=4"], "set rl.mini_batch: 8, as rl.prompts"),
    ("opo", ["rl.updates=2"], "set rl.updates: 1"),
    ("gmpo", [], "is counted in tokens, and the loss of gmpo is not the same over parts of a mini-batch"),
    ("clip_cov", ["rl.micro_batch=32"], "set rl.micro_batch: 64 (rl.mini_batch × rl.rollouts / GPUs)"),
    ("kl_cov", ["rl.micro_batch=16", "resources.gpus=2"], "set rl.micro_batch: 32"),
    ("kl_cov", ["rl.micro_batch=8", "resources.gpus=2", "resources.nodes=2"], "set rl.micro_batch: 16"),
    ("sapo", ["rl.loss_agg=token-mean"], "rl.loss_agg: is token-mean, and sapo does not read it"),
    ("rloo", ["rl.norm_by_std=false"], "rl.norm_by_std: is false, and rloo does not read it"),
    ("remax", ["rl.norm_by_std=false"], "remax does not read it"),
    ("dro", ["rl.clip_ratio_high=0.3"], "dro does not read it"),
    ("dro", ["rl.clip_ratio=0.3"], "rl.clip_ratio: dro does not read it"),
    ("dapo", ["rl.clip_ratio=0.3"], "is without effect"),
    ("grpo", ["rl.gdpo_weights.format=1.0"], "rl.gdpo_weights"),
    ("gdpo", ["rl.gdpo_weights.frmat=1.0"], "'frmat' is no part of the reward (arm 'run'; did you mean 'format'?)"),
    ("dapo", ["rl.dynamic_sampling.metric=acc"], "'acc' is no part of the reward"),
    ("ppo", ["rl.dynamic_sampling.metric=reward"], "ppo has no groups"),
    ("grpo", ["rl.dynamic_sampling.metrc=reward"], "unknown key 'metrc'"),
    ("grpo", ["reward.components.long={kind: overlong, max_length: 65, buffer: 8}"],
     "more tokens than rl.max_response_length (64)"),
    ("remax", ["reward.components.own={kind: python, module: json, function: dumps, batch: true}"],
     "remax's baseline is a response that is scored alone"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "says"), FAULTS, ids=[f"{name} {more}" for name, more, _ in FAULTS])
def test_what_does_not_fit_an_algorithm_is_refused_in_one_line(
    run: Run, name: str, more: list[str], says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        run(TINY, f"algorithm={name}", *more)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_conditions_of_rl_are_not_asked_of_a_run_without_it(run: Run) -> None:
    assert run(TINY, "train=[sft]", "rl.rollouts=1", "algorithm=rloo").train == ("sft",)


def test_a_cell_is_checked_whichever_cells_were_seen_before(tmp_path: Path) -> None:
    text = TINY + "zip: {algorithm: [ppo, reinforce++, grpo], rl.rollouts: [1, 1, 1]}\n"
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match="grpo compares"):
        resolve_runs(read_sweep(tmp_path / "s.yaml"))


def test_out_of_memory_does_not_cut_a_mini_batch_that_must_be_whole(run: Run) -> None:
    told = rl_stage(run(TINY, *sets("gmpo"))).settings(RlConfig).with_less_memory("CUDA out of memory")
    assert (
        told
        == "gmpo needs whole mini-batches; a smaller rl.mini_batch or a shorter rl.max_response_length helps"
    )


def test_greedy_responses_count_as_work(run: Run) -> None:
    grpo, remax = (
        rl_stage(run(TINY, f"algorithm={name}")).settings(RlConfig).amount(None).units
        for name in ("grpo", "remax")
    )
    assert (grpo, remax) == (64, 72)


def test_the_documentation_has_a_row_for_each_with_its_source() -> None:
    page = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    for algorithm in ALGORITHMS.values():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{algorithm.name}` |"))
        assert algorithm.source in row and algorithm.summary in row
