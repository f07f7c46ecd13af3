"""What a user can say of a Slurm cluster, and what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import LaunchPlan, LaunchRequest
from toolrl_cli.harness.launcher_settings import over
from toolrl_cli.harness.launchers.slurm import open_cluster
from toolrl_cli.harness.slurm import programs
from toolrl_cli.harness.slurm.job import nodes_of_job
from toolrl_cli.harness.slurm.programs import ask
from toolrl_cli.harness.slurm.script import fixed, options, script
from toolrl_cli.harness.slurm.settings import SlurmSettings, seconds_of
from toolrl_cli.processes.nodes import Nodes
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec

TRAINING = StageSpec("a-1", "rl", {}, {}, {"resources": {"device": "cuda"}}, slots=2)


def settings(**values: Any) -> SlurmSettings:
    return SlurmSettings.model_validate(values)


def test_every_setting_reaches_sbatch() -> None:
    asked = {
        **{"partition": "main", "account": "nlp", "qos": "high", "reservation": "r", "constraint": "a100&ib"},
        **{"exclude": "n3", "time": "24:00:00", "gpu_type": "a100", "cpus_per_gpu": 8, "memory_per_gpu": 64},
        "flags": ["--nice=100"],
    }
    assert options(TRAINING, settings(**asked), ("n7",)) == [
        *("--partition=main", "--account=nlp", "--qos=high", "--reservation=r", "--constraint=a100&ib"),
        *("--time=24:00:00", "--exclude=n3,n7", "--gres=gpu:a100:2", "--cpus-per-task=16", "--mem=131072M"),
        *("--nodes=1", "--ntasks=1", "--nice=100"),
    ]


def test_a_kind_of_stage_can_ask_for_something_else() -> None:
    special = settings(partition="main", time="24:00:00", kinds={"rl": {"time": 90, "cpus": 4}})
    assert options(TRAINING, special)[:2] == ["--partition=main", "--time=90"]
    other = StageSpec("b-1", "export", {}, {}, {})
    assert options(other, special)[:2] == ["--partition=main", "--time=24:00:00"]


def test_what_a_kind_says_in_one_way_takes_the_place_of_both() -> None:
    special = settings(cpus=4, memory=8, kinds={"rl": {"cpus_per_gpu": 16, "memory_per_gpu": 32}})
    words = options(TRAINING, special)
    assert "--cpus-per-task=32" in words and "--mem=65536M" in words
    assert "--cpus-per-task=4" in options(StageSpec("b-1", "export", {}, {}, {}), special)


def test_a_sweeps_own_settings_go_before_those_of_the_file_one_by_one() -> None:
    file = {"time": "1:00:00", "kinds": {"rl": {"time": "2:00:00", "cpus": 4}, "sft": {"cpus": 2}}}
    joined = over(file, {"kinds": {"rl": {"time": "3:00:00"}}})
    assert joined == {
        "time": "1:00:00",
        "kinds": {"rl": {"time": "3:00:00", "cpus": 4}, "sft": {"cpus": 2}},
    }


def test_no_limit_is_no_time() -> None:
    assert seconds_of("0") is None and seconds_of("0:30") == 30.0


@pytest.mark.parametrize(
    ("device", "asked", "gpus"),
    [("cuda", None, 2), ("auto", None, 2), ("cpu", None, 0), ("auto", False, 0), ("cpu", True, 2)],
)
def test_gpus_are_asked_for_where_the_stage_may_use_them(device: str, asked: bool | None, gpus: int) -> None:
    spec = StageSpec("a-1", "rl", {}, {}, {"resources": {"device": device}}, slots=2)
    found = [word for word in options(spec, settings(gpus=asked)) if word.startswith("--gres")]
    assert found == ([f"--gres=gpu:{gpus}"] if gpus else [])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"time": "1 day"}, "is no time of sbatch"),
        ({"flags": ["-p low"]}, "is no long option of sbatch"),
        ({"flags": ["--partition=low"]}, "is the setting `partition`"),
        ({"flags": ["--gpus=2"]}, "is the setting `gpus`"),
        ({"flags": ["--output=x"]}, "is toolrl's own"),
        ({"flags": ["--nodes=2"]}, "is the setting `resources.nodes`"),
        ({"flags": ["--ntasks-per-node=2"]}, "is toolrl's own"),
        ({"kinds": {"evalute": {}}}, "is no kind of stage: did you mean 'evaluate'?"),
        ({"kinds": {"rl": {"prologue": ["x"]}}}, "Extra inputs"),
        ({"prologue": ["a\nb"]}, "is more than one line"),
        ({"partion": "x"}, "Extra inputs"),
        ({"cpus": 4, "cpus_per_gpu": 2}, "cpus and cpus_per_gpu say the same thing"),
        ({"kinds": {"rl": {"memory": 4, "memory_per_gpu": 2}}}, "say the same thing"),
    ],
)
def test_what_sbatch_would_take_otherwise_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    assert told in str(refused.value)


def test_a_stage_for_several_nodes_asks_for_its_share_of_each() -> None:
    spec = StageSpec("a-1", "rl", {}, {}, {"resources": {"device": "cuda"}}, slots=4, nodes=2)
    asked = options(spec, settings(cpus_per_gpu=8, memory_per_gpu=64))
    assert asked[-2:] == ["--nodes=2", "--ntasks=2"]
    assert {"--gres=gpu:2", "--cpus-per-task=16", "--mem=131072M"} <= set(asked)


def test_the_other_nodes_of_a_job_are_reached_by_srun_and_in_the_same_container() -> None:
    job = {"SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "16"}
    nodes = Nodes.given(nodes_of_job(3, ["apptainer", "exec", "x.sif"], job))
    assert nodes.count == 3 and nodes.run[0] == "srun" and nodes.run[-3:] == ("apptainer", "exec", "x.sif")
    assert {"--relative=1", "--nodes=2", "--ntasks=2", "--overlap", "--cpus-per-task=16"} <= set(nodes.run)
    assert nodes_of_job(1, [], job) == {} and Nodes.given({}) == Nodes(1)
    spec = StageSpec("a-1", "rl", {}, {}, {}, slots=2, nodes=2)
    request = LaunchRequest(Path("a"), spec, 1, (), ProcessId.current())
    assert "--container=x.sif" in script(request, settings(container=["x", "x.sif"]))


def test_the_script_becomes_the_attempt_after_the_prologue(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    request = LaunchRequest(folder, TRAINING, 3, (), ProcessId.current(), function="m:f")
    chosen = settings(
        prologue=["module load cuda"], container=["apptainer", "exec", "x.sif"], python="/opt/python", warn=60
    )
    lines = script(request, chosen).splitlines()
    assert lines[0] == "#!/bin/bash" and "module load cuda" in lines
    assert lines[-1].startswith("exec apptainer exec x.sif /opt/python -m toolrl_cli.harness.slurm.job '")
    assert "--attempt 3" in lines[-1] and "--function m:f" in lines[-1]
    assert "--signal=B:USR1@60" in fixed(request, chosen)
    assert f"--output={folder}/attempts/3/slurm.txt" in fixed(request, chosen)


def test_a_stage_planned_for_a_cpu_is_refused_before_it_waits_for_a_gpu() -> None:
    planned = {"asked_precision": "bf16", "precision": "fp32", "resources": {"device": "auto"}}
    spec = StageSpec("a-1", "rl", {}, {}, planned)
    with pytest.raises(
        LaunchError, match=r"planned for a CPU, where bf16 becomes fp32.*resources.device=cuda"
    ):
        open_cluster(LaunchPlan("x", [spec]))
    open_cluster(LaunchPlan("x", [spec], settings=settings(gpus=False)))


def test_a_job_is_told_nothing_of_the_job_that_submits_it_and_a_full_queue_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "sbatch"
    told.write_text("#!/bin/sh\nenv | grep '^SLURM' | sort\n")
    told.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_CPUS_PER_TASK", "SLURMD_NODENAME"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/s.conf")
    assert ask("sbatch").split() == ["SLURM_CONF=/etc/s.conf", "SLURM_TIME_FORMAT=standard"]
    told.write_text(
        "#!/bin/sh\necho 'sbatch: error: temporarily unable to accept job, sleeping and retrying' >&2\nexec sleep 9\n"
    )
    monkeypatch.setattr(programs, "PATIENCE", 0.5)
    with pytest.raises(programs.Refused) as refused:
        ask("sbatch")
    assert refused.value.full
