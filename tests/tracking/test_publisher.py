"""A sweep that runs beside W&B: the publisher is a process of its own, which nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.stages import eventually
from tests.support.wandb_server import WandbServer
from tests.tracking.tree import SWEEP, ResultsTree, rows_of
from toolrl_cli.harness.publishing import Publishing


def has_steps(server: WandbServer, tree: ResultsTree, *steps: int) -> Callable[[], bool]:
    def there() -> bool:
        ids = tree.wandb_ids(server, tree.runs[0])
        rows = rows_of(server, ids[0]) if ids else []
        return [row["training/global_step"] for row in rows if "training/global_step" in row] == list(steps)

    return there


def test_steps_are_there_while_they_are_trained_across_a_resume_and_every_run_has_its_shared_stage(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results", arms=2)
    tree.log(tree.sft, 1, [1, 2])
    tree.stand(tree.sft, "succeeded")
    tree.log(tree.rl[0], 1, [0, 1, 2])
    tree.stand(tree.rl[0], "running")
    with Publishing(tree.root, SWEEP, "online") as publishing:
        eventually(has_steps(server, tree, 0, 1, 2))
        tree.log(tree.rl[0], 1, [3])
        eventually(has_steps(server, tree, 0, 1, 2, 3))
        tree.log(tree.rl[0], 2, [3, 4], again=1)
        eventually(has_steps(server, tree, 0, 1, 2, 3, 3, 4))
        (one,) = tree.wandb_ids(server, tree.runs[0])
        assert server.runs[one].state == "running"
        tree.stand(tree.rl[0], "succeeded", attempt=2)
        assert publishing.conclude() == ""
    (other,) = tree.wandb_ids(server, tree.runs[1])
    assert [row["sft/step"] for row in rows_of(server, other)] == [1, 2]
    assert "trained again" in server.runs[one].summary["trained_again"]
    assert set(tree.sync().values()) == {"up to date"}
