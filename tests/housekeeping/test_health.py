"""What `toolrl doctor` finds, and the command that mends it."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolrl_cli.datasets.prepare import write_dataset
from toolrl_cli.housekeeping.health import checks as health
from toolrl_cli.housekeeping.health import host as health_machine
from toolrl_cli.housekeeping.health import services as health_services
from toolrl_cli.housekeeping.health.check import Check, ask

GIB = 1 << 30
SMI = """#!/bin/sh
case "$*" in
*query-gpu*) printf '0, NVIDIA H100 80GB HBM3, {free}, 81559\\n1, NVIDIA H100 80GB HBM3, 81000, 81559\\n' ;;
*) echo '| NVIDIA-SMI 550.54    Driver Version: 550.54    CUDA Version: {cuda} |' ;;
esac
"""

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a program on an otherwise empty path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def add(name: str, text: str) -> None:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return add


def torch_of(monkeypatch: pytest.MonkeyPatch, cuda: str | None, *, sees: bool = True) -> None:
    monkeypatch.setattr(health_machine, "_torch_cuda", lambda: cuda)
    monkeypatch.setattr(health_machine, "_torch_sees_gpus", lambda: sees)


def test_all_checks_of_this_machine_have_a_name_a_finding_and_a_fix_where_something_is_wrong(
    tmp_path: Path,
) -> None:
    checks = health.run_checks(tmp_path / "results")
    names = [check.name for check in checks]
    wanted = ["Python", "verl", "torch", "CUDA and driver", "GPUs", "vLLM", "Ray", "Slurm", "W&B"]
    assert {*wanted, "results root", "open files", "processes", "data"} <= set(names)
    assert len(set(names)) == len(names)
    assert all(check.found for check in checks)
    assert all(bool(check.fix) == (check.standing != "ok") for check in checks)


def test_a_driver_that_is_too_old_for_torch_is_an_error_with_both_ways_out(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("nvidia-smi", SMI.format(free=81000, cuda="12.4"))
    torch_of(monkeypatch, "13.0")
    check = health_machine.cuda()
    assert check.standing == "error"
    assert check.found == "driver 550.54 for CUDA up to 12.4, too old: torch was built for CUDA 13.0"
    assert "update the driver" in check.fix and "whl/cu126" in check.fix
    torch_of(monkeypatch, "12.8")  # within a major version CUDA is compatible
    assert health_machine.cuda().standing == "ok"


@pytest.mark.parametrize(
    ("fault", "standing", "told"),
    [
        (None, "ok", "flash-attn is used in bf16"),
        ("not installed", "ok", "flash-attn is not installed: sdpa is used instead"),
        (
            "does not import: undefined symbol: _ZN3c10",
            "error",
            "flash-attn does not import: undefined symbol",
        ),
    ],
)
def test_driver_cuda_and_flash_attention_are_one_verdict(
    program: Program, monkeypatch: pytest.MonkeyPatch, fault: str | None, standing: str, told: str
) -> None:
    program("nvidia-smi", SMI.format(free=81000, cuda="13.0"))
    torch_of(monkeypatch, "13.0")
    monkeypatch.setattr(health_machine, "flash_attention_fault", lambda: fault)
    check = health_machine.cuda()
    assert (check.standing, bool(check.fix)) == (standing, standing != "ok")
    assert check.found.startswith("driver 550.54 for CUDA up to 13.0; torch was built for CUDA 13.0; ")
    assert told in check.found


def test_a_torch_that_does_not_import_is_an_error_also_where_it_does_not_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(metadata, "version", lambda name: "2.11.0")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    check = health._torch()
    assert (check.standing, check.found) == ("error", "does not import: ImportError")


def test_a_cpu_build_of_torch_beside_a_driver_is_a_warning(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("nvidia-smi", SMI.format(free=81000, cuda="13.0"))
    torch_of(monkeypatch, None, sees=False)
    check = health_machine.cuda()
    assert check.standing == "warning" and "torch is a CPU build" in check.found
    assert "--index-url https://download.pytorch.org/whl/cu130" in check.fix


def test_a_busy_gpu_is_named_with_how_to_leave_it_out(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_of(monkeypatch, "12.4")
    program("nvidia-smi", SMI.format(free=1024, cuda="12.4"))
    check = health_machine.gpus()
    assert check.standing == "warning"
    assert "0: NVIDIA H100 80GB HBM3, 1 of 80 GiB free" in check.found and "in use: 0" in check.found
    assert check.fix.endswith("export CUDA_VISIBLE_DEVICES=1")
    program("nvidia-smi", SMI.format(free=81000, cuda="12.4"))
    assert health_machine.gpus().standing == "ok"


def test_hidden_gpus_are_a_warning(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("nvidia-smi", SMI.format(free=81000, cuda="12.4"))
    torch_of(monkeypatch, "12.4", sees=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = health_machine.gpus()
    assert (check.standing, check.fix) == ("warning", "unset CUDA_VISIBLE_DEVICES")


def test_a_broken_driver_is_an_error_in_its_own_words(program: Program) -> None:
    program(
        "nvidia-smi",
        "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n",
    )
    for check in (health_machine.cuda(), health_machine.gpus()):
        assert check.standing == "error" and "Driver/library version mismatch" in check.found and check.fix


def test_a_program_that_hangs_is_given_up(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("slow", "#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr("toolrl_cli.housekeeping.health.check.PATIENCE", 0.2)
    assert "does not answer" in ask(["slow"]).fault
    assert ask(["no-such-program"]).fault == "No such file or directory"


def test_vllm_of_another_release_than_verls_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.version
    found = {"vllm": "0.5.0"}
    monkeypatch.setattr(metadata, "version", lambda name: found.get(name) or known(name))
    check = health._vllm()
    assert check.standing == "warning" and check.found.startswith("0.5.0; verl 0.9.1 was made for ==")
    found["vllm"] = check.found.rpartition("==")[2]
    assert health._vllm().standing == "ok"


def test_a_wrong_version_is_an_error_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.8.0")
    check = health._package("verl")
    assert check == Check("verl", "error", "0.8.0; wanted ==0.9.1", "pip install verl==0.9.1")


SLURM = "#!/bin/sh\necho 'Slurmctld(primary) at login1 is {}'\n"


def test_slurm_is_asked_whether_its_controller_answers(program: Program) -> None:
    for name in health_services.SLURM_TOOLS:
        program(name, SLURM.format("UP"))
    assert health_services.slurm() == Check("Slurm", "ok", "Slurmctld(primary) at login1 is UP")
    program("scontrol", SLURM.format("DOWN"))
    check = health_services.slurm()
    assert check.standing == "warning" and "is DOWN" in check.found and "slurmctld" in check.fix


def test_half_of_slurm_is_a_warning(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program("sbatch", SLURM.format("UP"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "squeue, scontrol, scancel, sacct missing" in health_services.slurm().found


def test_wandb_is_told_without_the_network_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert "not logged in" in health_services.wandb().found
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert "no network used" in health_services.wandb().found
    (tmp_path / ".netrc").write_text("machine api.wandb.ai loggin\n")
    assert health_services.wandb().standing == "warning"
    monkeypatch.setenv("WANDB_API_KEY", "secret-value")
    check = health_services.wandb()
    assert "no network used" in check.found and "secret-value" not in check.found


def test_a_results_root_that_cannot_be_used_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert health_machine.results_root(tmp_path / "file").standing == "error"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check = health_machine.results_root(tmp_path / "deep/results")
    assert check.standing == "error" and f"{tmp_path} is not writable" in check.found


def test_a_disk_that_is_nearly_full_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        health_machine.shutil, "disk_usage", lambda place: SimpleNamespace(free=GIB // 2, total=GIB, used=0)
    )
    assert health_machine.results_root(tmp_path).standing == "warning"
    assert health_machine.temporary_files("/tmp").standing == "warning"
    assert health_machine.shared_memory(tmp_path).standing == "warning"
    assert health_machine.shared_memory(tmp_path / "none").standing == "ok"


def test_a_folder_for_temporary_files_that_rays_sockets_do_not_fit_into_is_an_error(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60)
    deep.mkdir()
    check = health_machine.temporary_files(str(deep))
    assert check.standing == "error" and "TMPDIR" in check.fix


@pytest.mark.parametrize(
    ("hard", "fix"),
    [
        (resource.RLIM_INFINITY, "ulimit -n 65536"),
        (8192, "ulimit -n 8192"),
        (1024, "raise the hard limit of 1024 in /etc/security/limits.conf"),
    ],
)
def test_a_low_limit_is_mended_as_far_as_the_hard_one_allows(
    monkeypatch: pytest.MonkeyPatch, hard: int, fix: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, hard))
    assert health_machine.open_files() == Check("open files", "warning", "limit 1024; 4096 are wanted", fix)


def test_a_limit_on_file_sizes_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2 * GIB, -1))
    check = health_machine.file_sizes()
    assert (check.standing, check.fix) == ("warning", "ulimit -f unlimited")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2 * GIB, 4 * GIB))
    assert "hard limit" in health_machine.file_sizes().fix


def test_a_results_root_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = health_machine.results_root(tmp_path / "file" / "results")
    assert (check.standing, check.found) == ("error", f"{tmp_path / 'file'} is not a folder")


def test_a_containers_memory_limit_counts_where_it_is_the_smaller(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{2 * GIB}\n")
    check = health_machine.memory(tmp_path)
    assert check.standing == "warning" and check.found.startswith("1.0 GiB free (the container's limit)")
    (tmp_path / "memory.max").write_text("max\n")
    assert "container" not in health_machine.memory(tmp_path).found


def test_prepared_data_is_checked_file_by_file(tmp_path: Path) -> None:
    assert health_services.data(tmp_path).standing == "ok"
    sizes = {"base": 4, "sft": 4, "train": 4, "val": 4}
    folder = tmp_path / "data" / "toolworld-x"
    write_dataset("toolworld", {"seed": 0, "sizes": sizes}, folder)
    assert health_services.data(tmp_path) == Check("data", "ok", "1 prepared: toolworld-x")
    (folder / "train.parquet").write_bytes(b"torn")
    check = health_services.data(tmp_path)
    assert check.standing == "warning" and check.fix.startswith(f"rm -r {folder}")


def test_the_gravest_finding_decides() -> None:
    checks = [Check("a", "ok", ""), Check("b", "warning", ""), Check("c", "ok", "")]
    assert health.worst(checks) == "warning"
    assert health.worst([*checks, Check("d", "error", "")]) == "error"
    assert health.worst([]) == "ok"


def test_this_python_is_one_that_is_supported() -> None:
    assert health._python().found == ".".join(map(str, sys.version_info[:3]))


def test_a_driver_older_than_every_build_of_torch_has_to_be_updated(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("nvidia-smi", SMI.format(free=80000, cuda="11.8"))
    monkeypatch.setattr(health_machine, "_torch_cuda", lambda: None)
    check = health_machine.cuda()
    assert check.fix == "update the driver: torch is built for CUDA 12 and 13"
