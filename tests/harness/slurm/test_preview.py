"""`plan --launcher slurm`: what the queue would be asked for."""

from __future__ import annotations

import pytest

from tests.harness.slurm.conftest import Cluster
from toolrl_cli.harness.launcher import LaunchPlan
from toolrl_cli.harness.slurm.preview import preview
from toolrl_cli.harness.slurm.settings import SlurmSettings, seconds_of
from toolrl_cli.spec.stage import StageSpec

CUDA = {"resources": {"device": "cuda"}}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (None, None),
        ("90", 5400),
        ("1:30", 90),
        ("2:00:00", 7200),
        ("1-12", 129600),
        ("1-0:30", 88200),
        ("2-0:0:5", 172805),
    ],
)
def test_a_limit_is_read_as_sbatch_reads_it(time: str | None, seconds: float | None) -> None:
    assert seconds_of(time) == seconds


def test_equal_requests_are_asked_about_once_and_a_limit_that_is_too_short_is_told(cluster: Cluster) -> None:
    stages = [StageSpec(f"r{n}", "rl", {}, {}, CUDA, slots=2) for n in range(3)]
    stages.append(StageSpec("e", "export", {}, {}, {}))
    settings = SlurmSettings(time="1:00:00", gpu_type="a100")
    training, export = preview(LaunchPlan("x", stages, settings=settings), {"r1": 9000.0})
    assert (training.kinds, training.stages, export.kinds) == (("rl",), 3, ("export",))
    assert "--gres=gpu:a100:2" in training.asks and "--gres" not in export.asks
    assert training.answer.endswith("expected to take 2.5 h, so about 3 jobs each")
    assert len(cluster.calls("sbatch")) == 2 and not (cluster.folder / "jobs.json").exists()


def test_less_memory_than_a_stage_is_expected_to_take_of_a_node_is_told(cluster: Cluster) -> None:
    stages = [StageSpec(f"r{n}", "rl", {}, {}, CUDA, slots=4, nodes=2) for n in range(2)]
    plan = LaunchPlan("x", stages, settings=SlurmSettings(memory_per_gpu=16), memory={"r1": 40.0 * 2**30})
    (found,) = preview(plan, {})
    assert found.answer.endswith("; expected to take 40.0 GiB of a node's memory, and asks for 32")
    assert "--nodes=2" in found.asks and "--mem=32768M" in found.asks


def test_a_request_that_the_queue_refuses_is_shown_as_refused(cluster: Cluster) -> None:
    spec = StageSpec("r", "rl", {}, {}, CUDA)
    (found,) = preview(LaunchPlan("x", [spec], settings=SlurmSettings(partition="nowhere")), {})
    assert found.refused and "Invalid partition" in found.answer
