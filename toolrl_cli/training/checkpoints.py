"""verl's checkpoints on disk: which are whole, and which one a resumed training may start from.

What verl 0.9.1 writes with FSDP, in this order (`FSDPCheckpointManager.save_checkpoint`, the V1 trainer's and
the SFT trainer's `_save_checkpoint`):

    checkpoints/global_step_N/[actor/|critic/]{model,optim,extra_state}_world_size_W_rank_R.pt
                              [actor/|critic/]huggingface/config.json …, fsdp_config.json
                              data.pt (RL) or data_<rank>.pt (SFT)
    checkpoints/latest_checkpointed_iteration.txt

Nothing of it is written atomically, so a kill, a full disk or a power cut leaves a directory that verl would
choose and then fail on, or whose data position it would silently lose.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRACKER = "latest_checkpointed_iteration.txt"
_STEP = re.compile(r"^global_step_(\d+)$")
_SHARD = re.compile(r"^(model|optim|extra_state)_world_size_(\d+)_rank_(\d+)\.pt$")
_ROLES = ("actor", "critic")


@dataclass(frozen=True)
class Resume:
    """Where training can go on.

    Attributes:
        step: the newest whole checkpoint's step; 0 to start from the beginning.
        path: its directory, or None.
        set_aside: what was moved out of verl's way, as `global_step_N: what is wrong`.
    """

    step: int
    path: Path | None
    set_aside: tuple[str, ...] = ()

    def __str__(self) -> str:
        start = f"going on from step {self.step}" if self.path else "starting from the first step"
        return "; ".join([*(f"set aside {torn}" for torn in self.set_aside), start])


def prepare_resume(checkpoints: Path) -> Resume:
    """Make verl's `resume_mode=auto` start from the newest checkpoint that is whole.

    Newer ones that are not are renamed to `global_step_N.torn-<n>`, and the tracker file is corrected; verl
    itself writes it in place and fails on an empty one.

    Args:
        checkpoints: `trainer.default_local_dir`; need not exist.

    Raises:
        OSError: the directory cannot be read or changed.
    """
    set_aside = []
    found: Path | None = None
    for step, path in sorted(_steps(checkpoints), reverse=True):
        fault = what_is_torn(path)
        if fault is None:
            found = path
            break
        _set_aside(path)
        set_aside.append(f"global_step_{step}: {fault}")
    step = _step_of(found) if found else 0
    if checkpoints.is_dir():
        _write_tracker(checkpoints / TRACKER, step)
    return Resume(step, found, tuple(set_aside))


def newest_whole(checkpoints: Path) -> Path | None:
    """The newest checkpoint that is whole, looking only."""
    for _, path in sorted(_steps(checkpoints), reverse=True):
        if what_is_torn(path) is None:
            return path
    return None


def what_is_torn(checkpoint: Path) -> str | None:
    """What is missing from or broken in `global_step_N`, in one clause; None when it is whole.

    Every rank's file has to be there and hold a readable zip directory (which `torch.save` writes last), the
    Hugging Face configuration has to be JSON, safetensors have to be as long as their header says, and the
    position in the data has to be saved. The tensors themselves are not read.
    """
    roles = [checkpoint / role for role in _ROLES if (checkpoint / role).is_dir()]
    if roles and roles[0].name != "actor":
        return "actor is missing"
    for role in roles or [checkpoint]:
        fault = _torn_role(role)
        if fault:
            return fault
    positions = list(checkpoint.glob("data.pt" if roles else "data_*.pt"))
    if not positions:
        return "the position in the data is missing"
    return next((fault for path in positions if (fault := _torn_archive(path))), None)


def _torn_role(role: Path) -> str | None:
    shards = [match for path in role.iterdir() if (match := _SHARD.match(path.name))]
    worlds = {int(match[2]) for match in shards}
    if len(worlds) != 1:
        return f"{_name(role)} holds no model" if not worlds else f"{_name(role)} mixes world sizes {worlds}"
    (world,) = worlds
    for kind in {"model", *(match[1] for match in shards)}:
        for rank in range(world):
            fault = _torn_archive(role / f"{kind}_world_size_{world}_rank_{rank}.pt")
            if fault:
                return fault
    config = role / "huggingface" / "config.json"
    try:
        json.loads(config.read_bytes())
    except (OSError, ValueError):
        return f"{_name(role)}/huggingface/config.json is not readable"
    return next(
        (fault for path in config.parent.glob("*.safetensors") if (fault := _torn_tensors(path))), None
    )


def _torn_archive(path: Path) -> str | None:
    """What `torch.save` writes is a zip file, and a zip file's directory comes last."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("data.pkl") for name in archive.namelist()):
                return None
    except FileNotFoundError:
        return f"{_name(path)} is missing"
    except (zipfile.BadZipFile, OSError, ValueError):
        pass
    return f"{_name(path)} is torn"


def _torn_tensors(path: Path) -> str | None:
    """safetensors: 8 bytes of header length, a JSON header with the offsets, then the tensors."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, size)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        whole = size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        whole = False
    return None if whole else f"{_name(path)} is torn"


def _steps(checkpoints: Path) -> Iterator[tuple[int, Path]]:
    try:
        entries = list(os.scandir(checkpoints))
    except FileNotFoundError:
        return
    for entry in entries:
        match = _STEP.match(entry.name)
        if match and entry.is_dir():
            yield int(match[1]), Path(entry.path)


def _set_aside(path: Path) -> None:
    """Rename it; what was torn before at this step is of no more use and makes room."""
    torn = path.with_name(f"{path.name}.torn-1")
    if torn.exists():
        shutil.rmtree(torn)
    path.rename(torn)


def _write_tracker(path: Path, step: int) -> None:
    if step == 0:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(str(step), encoding="ascii")
    temporary.replace(path)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("global_step_"))


def _name(path: Path) -> str:
    """The file as seen from `checkpoints/`."""
    parts = path.parts
    start = next(n for n, part in enumerate(parts) if _STEP.match(part))
    return "/".join(parts[start + 1 :]) or parts[start]
