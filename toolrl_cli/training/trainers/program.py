"""verl's `main_ppo` with the trainer of an algorithm of toolrl's; a program with the same arguments.

    python -m toolrl_cli.training.trainers.program ARGUMENTS…

`trainer.toolrl.algorithm` names the algorithm.
"""

from __future__ import annotations

from typing import Any

import hydra
import ray
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

from toolrl_cli.training.plugin import require_plugin

# Ray's handle of the class cannot be inherited from, what it was made of can
_VerlsRunner: Any = TaskRunnerV1.__ray_metadata__.modified_class


class TaskRunner(_VerlsRunner):  # type: ignore[misc]
    """verl's, with another trainer in the place of the synchronous one."""

    def run(self, config: Any) -> None:
        """Train; see `TaskRunnerV1.run`, which looks the trainer up by its mode."""
        from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

        from toolrl_cli.training.trainers.gdpo import GdpoTrainer
        from toolrl_cli.training.trainers.remax import RemaxTrainer

        require_plugin()
        trainers = {"gdpo": GdpoTrainer, "remax": RemaxTrainer}
        TRAINER_REGISTRY["sync"] = trainers[config.trainer.toolrl.algorithm]
        super().run(config)


@hydra.main(config_path="pkg://verl.trainer.config", config_name="ppo_trainer", version_base=None)
def main(config: Any) -> None:
    """As `main_ppo.main` for the current trainer."""
    auto_set_device(config)
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    run_ppo(config, task_runner_class=ray.remote(TaskRunner))


if __name__ == "__main__":
    main()
