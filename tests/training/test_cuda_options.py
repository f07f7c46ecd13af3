"""verl's options on CUDA, with and without flash-attn; no GPU is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import ToolWorldData
from toolrl_cli.spec.run.model_settings import HuggingFaceModel
from toolrl_cli.spec.run.run_spec import Resources
from toolrl_cli.spec.run.training_settings import RlSpec, SftSpec
from toolrl_cli.training.cuda import cuda_options
from toolrl_cli.training.cuda.cuda_options import flash_attention_fault
from toolrl_cli.training.verl_options import Paths, rl_options, sft_options

PATHS = Paths(Path("model"), Path("train"), Path("val"), Path("stage/checkpoints"), Path("stage/attempt"))
COMMON: dict[str, Any] = {
    "model": HuggingFaceModel(kind="huggingface", name="m", path="m"),
    "data": ToolWorldData(kind="toolworld"),
}
ATTENTION = "override_config.attn_implementation"


MANAGER = "+actor_rollout_ref.rollout.agent.agent_loop_manager_class"


@pytest.mark.parametrize("batch", [False, True])
def test_verls_rollouts_are_scored_by_prompt_where_a_function_takes_groups(batch: bool) -> None:
    part = {"kind": "python", "path": "r.py", "function": "f", **({"batch": True} if batch else {})}
    settings = {**COMMON, "algorithm": "grpo", "reward": {"components": {"mine": part}}, "rl": RlSpec()}
    options = {
        rollout: rl_options(
            RlConfig.model_validate({**settings, "resources": Resources(device="cuda", rollout=rollout)}),
            PATHS,
            "cuda",
        )
        for rollout in ("vllm", "transformers")
    }
    assert options["vllm"].get(MANAGER, "").endswith("GroupAgentLoopManager") is batch
    assert options["transformers"][MANAGER].endswith("BundleAgentLoopManager")


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    flash_attention_fault.cache_clear()
    yield
    flash_attention_fault.cache_clear()


def rl(
    algorithm: str = "ppo", precision: str = "bf16", gpus: int = 1, nodes: int = 1, **more: Any
) -> dict[str, Any]:
    config = RlConfig.model_validate(
        {
            **COMMON,
            "algorithm": algorithm,
            "reward": {},
            "rl": RlSpec(),
            "precision": precision,
            "resources": Resources(device="cuda", gpus=gpus, nodes=nodes),
            **more,
        }
    )
    return rl_options(config, PATHS, "cuda")


def sft(precision: str = "bf16") -> dict[str, Any]:
    config = SftConfig.model_validate({**COMMON, "sft": SftSpec(), "precision": precision})
    return sft_options(config, PATHS, "cuda")


def attentions(options: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in options.items() if key.endswith(ATTENTION)}


def test_without_flash_attention_every_model_is_loaded_with_sdpa() -> None:
    assert flash_attention_fault() == "not installed"
    assert attentions(rl("ppo")) == {
        f"+actor_rollout_ref.model.{ATTENTION}": "sdpa",
        f"+critic.model.{ATTENTION}": "sdpa",
    }
    assert attentions(rl("grpo")) == {f"+actor_rollout_ref.model.{ATTENTION}": "sdpa"}
    assert attentions(sft()) == {f"+model.{ATTENTION}": "sdpa"}


def test_with_flash_attention_verls_own_choice_stands_but_for_fp32_which_it_does_not_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda_options, "flash_attention_fault", lambda: None)
    assert attentions(rl()) == attentions(sft()) == {}
    assert set(attentions(rl(precision="fp32")).values()) == {"sdpa"}
    assert set(attentions(sft("fp32")).values()) == {"sdpa"}


def test_a_flash_attention_that_does_not_import_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flash_attn.py").write_text("raise ImportError('undefined symbol: _ZN3c10\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch", sys))
    assert flash_attention_fault() == "does not import: undefined symbol: _ZN3c10"
    assert set(attentions(rl()).values()) == {"sdpa"}


def test_planning_does_not_import_flash_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flash_attn.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert flash_attention_fault() is None


def test_an_attention_of_ones_own_stands() -> None:
    own = {f"+actor_rollout_ref.model.{ATTENTION}": "eager"}
    assert attentions(rl("grpo", verl_options=own)) == own


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_network_computes_in_the_precision(precision: str) -> None:
    """verl's FSDP engine reads `mixed_precision`, and bf16 where there is none."""
    sections = ["actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config", "critic.fsdp"]
    options = rl(precision=precision)
    for section in sections:
        assert options[f"+{section}.mixed_precision.param_dtype"] == precision
        assert options[f"+{section}.mixed_precision.reduce_dtype"] == "fp32"
    assert sft(precision)["+engine.mixed_precision.param_dtype"] == precision


@pytest.mark.parametrize("gpus", [1, 2, 8])
@pytest.mark.parametrize("cpus", [1, 5, 6, 8, 13, 40])
def test_a_run_is_given_the_processors_that_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, cpus: int, gpus: int
) -> None:
    """Storage actors and the controller hold one each, a GPU's bundle three, and an actor needs one to start."""
    monkeypatch.setattr(cuda_options, "usable_cpus", lambda: cpus)
    options = rl(gpus=gpus)
    units = options["transfer_queue.backend.SimpleStorage.num_data_storage_units"]
    assert 1 <= units <= 8
    assert options["ray_kwargs.ray_init.num_cpus"] >= units + 1 + 3 * gpus + 1
    assert options["ray_kwargs.ray_init.num_cpus"] >= cpus
    over_nodes = rl(gpus=gpus, nodes=3)
    units = over_nodes["transfer_queue.backend.SimpleStorage.num_data_storage_units"]
    assert units in (3, 6, 9) and over_nodes["trainer.nnodes"] == 3
    assert over_nodes["ray_kwargs.ray_init.num_cpus"] >= units // 3 + 1 + 3 * gpus + 1
    units = options["transfer_queue.backend.SimpleStorage.num_data_storage_units"]
    if cpus >= 13 + 3 * (gpus - 1):
        assert (units, options["ray_kwargs.ray_init.num_cpus"]) == (8, cpus)
