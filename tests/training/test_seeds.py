"""Another seed is another training: what of RL draws its order and its samples by the seed.

SFT's order of rows is in `test_sft_rows`, the critic's head in `test_plugin`, samples by seed in `test_rollout_engine`,
the tiny model's weights in `test_tiny_model`.
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf
from verl.trainer.ppo.utils import create_rl_sampler

from tests.support.configs import rl_config
from toolrl_cli.training.verl_options import Options, Paths, rl_options

PATHS = Paths(Path("model"), Path("train"), Path("val"), Path("checkpoints"), Path("attempt"))


def by_seed(seed: int) -> Options:
    return rl_options(rl_config(seed=seed, algorithm="ppo"), PATHS, "cpu")


def test_data_sampling_and_both_networks_get_the_run_s_seed() -> None:
    one, two = by_seed(1), by_seed(2)
    assert {key: value for key, value in two.items() if value != one[key]} == dict.fromkeys(
        [
            "data.seed",
            "actor_rollout_ref.actor.fsdp_config.seed",
            "actor_rollout_ref.actor.data_loader_seed",
            "actor_rollout_ref.rollout.seed",
            "critic.fsdp.seed",
            "critic.data_loader_seed",
        ],
        2,
    )


def test_another_seed_takes_the_prompts_of_rl_in_another_order_and_the_same_in_the_same() -> None:
    def order(seed: int) -> list[int]:
        return list(
            create_rl_sampler(
                OmegaConf.create({"shuffle": True, "seed": by_seed(seed)["data.seed"]}), range(64)
            )
        )

    assert order(1) == order(1) != order(2)
    assert order(0) == order(0) != order(1)  # 0 is a seed, too
