"""verl's checkpoints on disk: finds the complete ones and prepares a resume.

What verl 0.9.1 writes with FSDP, in this order (`FSDPCheckpointManager.save_checkpoint`, the V1 trainer's and
the SFT trainer's `_save_checkpoint`):

    checkpoints/global_step_N/[actor/|critic/]{model,optim,extra_state}_world_size_W_rank_R.pt
                              [actor/|critic/]huggingface/config.json …, fsdp_config.json
                              data.pt (RL) or data_<rank>.pt (SFT)
    checkpoints/latest_checkpointed_iteration.txt

None of these is written atomically. After a kill, a full disk or a power cut, verl would choose an incomplete
directory and fail on it, or silently lose its position in the data.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.store.files import write_text
from toolrl_cli.training.checkpointing.archives import archive_is_torn, tensors_are_torn

TRACKER = "latest_checkpointed_iteration.txt"
_STEP = re.compile(r"^global_step_(\d+)$")
_FOLDER = re.compile(r"^(?:global|best|kept)_step_\d+$")
_SHARD = re.compile(r"^(model|optim|extra_state)_world_size_(\d+)_rank_(\d+)\.pt$")
_ROLES = ("actor", "critic")


@dataclass(frozen=True)
class Resume:
    """The point from which a training continues.

    Attributes:
        step: the newest whole checkpoint's step; 0 to start from the beginning.
        path: its directory, or None.
        set_aside: renamed incomplete checkpoints, as `global_step_N: what is wrong`.
    """

    step: int
    path: Path | None
    set_aside: tuple[str, ...] = ()

    def __str__(self) -> str:
        start = f"going on from step {self.step}" if self.path else "starting from the first step"
        return "; ".join([*(f"set aside {torn}" for torn in self.set_aside), start])


def prepare_resume(checkpoints: Path, *, keep: int | None = None, read: bool = False) -> Resume:
    """Make verl's `resume_mode=auto` start from the newest whole checkpoint.

    Newer incomplete ones are renamed to `global_step_N.torn-1`, and the tracker file is corrected, because verl
    writes it in place and fails on an empty one.

    Args:
        checkpoints: `trainer.default_local_dir`; need not exist.
        keep: number of checkpoints to keep, at most, see `prune`; None for all.
        read: compare every tensor with its checksum; see `what_is_torn`.

    Raises:
        OSError: the directory cannot be read or changed.
    """
    set_aside = []
    found: Path | None = None
    for step, path in sorted(saved_steps(checkpoints), reverse=True):
        fault = what_is_torn(path, read=read)
        if fault is None:
            found = path
            break
        _set_aside(path)
        set_aside.append(f"global_step_{step}: {fault}")
    step = _step_of(found) if found else 0
    if checkpoints.is_dir():
        _write_tracker(checkpoints / TRACKER, step)
    if keep is not None:
        prune(checkpoints, keep)
    return Resume(step, found, tuple(set_aside))


def newest_whole(checkpoints: Path) -> Path | None:
    """The newest whole checkpoint; changes nothing."""
    for _, path in sorted(saved_steps(checkpoints), reverse=True):
        if what_is_torn(path) is None:
            return path
    return None


def whole_steps(checkpoints: Path) -> list[int]:
    """The steps of which there is a whole checkpoint, ascending; changes nothing.

    Raises:
        OSError: the directory exists and cannot be read.
    """
    return sorted(step for step, path in saved_steps(checkpoints) if what_is_torn(path) is None)


def prune(checkpoints: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` whole checkpoints, and remains of older ones.

    verl removes only checkpoints that the same process saved, and leaves their data position, so that every attempt
    would add files. Anything newer than the newest whole checkpoint stays, because verl may be writing it.

    Args:
        checkpoints: `trainer.default_local_dir`; need not exist.
        keep: number of checkpoints to keep, at least 1.

    Returns:
        What was removed.

    Raises:
        OSError: the directory cannot be read.
    """
    steps = sorted(saved_steps(checkpoints), reverse=True)
    if len(steps) <= keep:
        return []
    left, removed = 0, []
    for _, path in steps:
        if left < keep and what_is_torn(path) is None:
            left += 1
        elif left:
            shutil.rmtree(path, ignore_errors=True)  # verl may be removing it at the same time
            removed.append(path)
    return removed


def saved_steps(checkpoints: Path) -> Iterator[tuple[int, Path]]:
    """(step, folder) of every `global_step_N` in `checkpoints`, whole or not, unordered.

    Raises:
        OSError: the directory exists and cannot be read.
    """
    try:
        entries = list(os.scandir(checkpoints))
    except FileNotFoundError:
        return
    for entry in entries:
        match = _STEP.match(entry.name)
        if match and entry.is_dir():
            yield int(match[1]), Path(entry.path)


def what_is_torn(checkpoint: Path, *, read: bool = False) -> str | None:
    """What is missing from or broken in `global_step_N`, in one clause; None when it is whole.

    It is whole if every rank's file exists with an intact index and complete storages (`archives`), the Hugging
    Face configuration is JSON, safetensors have the length in their header, and the data position is saved.

    Args:
        checkpoint: the directory.
        read: also compare every tensor with its checksum, which finds blocks that a power cut left empty. It takes
            as long as loading the checkpoint, which is then faster because the files are in the page cache.

    Raises:
        OSError: a file cannot be read, so that its state is unknown.
    """
    roles = [checkpoint / role for role in _ROLES if (checkpoint / role).is_dir()]
    if roles and roles[0].name != "actor":
        return "actor is missing"
    for role in roles or [checkpoint]:
        fault = torn_model(role, read=read)
        if fault:
            return fault
    positions = list(checkpoint.glob("data.pt" if roles else "data_*.pt"))
    if not positions:
        return "the position in the data is missing"
    return next((fault for path in positions if (fault := _torn_archive(path, read=read))), None)


def torn_model(role: Path, *, read: bool = False) -> str | None:
    """As `what_is_torn`, for one model's shards: `actor/`, `critic/`, or the checkpoint itself after SFT.

    Raises:
        OSError: as `what_is_torn`.
    """
    shards = [match for path in role.iterdir() if (match := _SHARD.match(path.name))]
    worlds = {int(match[2]) for match in shards}
    if len(worlds) != 1:
        return f"{_name(role)} holds no model" if not worlds else f"{_name(role)} mixes world sizes {worlds}"
    (world,) = worlds
    for kind in sorted({"model", *(match[1] for match in shards)}):
        for rank in range(world):
            fault = _torn_archive(role / f"{kind}_world_size_{world}_rank_{rank}.pt", read=read)
            if fault:
                return fault
    config = role / "huggingface" / "config.json"
    try:
        json.loads(config.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return f"{_name(role)}/huggingface/config.json is not readable"
    return next(
        (f"{_name(path)} is torn" for path in config.parent.glob("*.safetensors") if tensors_are_torn(path)),
        None,
    )


def _torn_archive(path: Path, *, read: bool) -> str | None:
    try:
        return f"{_name(path)} is torn" if archive_is_torn(path, read=read) else None
    except FileNotFoundError:
        return f"{_name(path)} is missing"


def _set_aside(path: Path) -> None:
    """Rename it; those that were renamed before are removed to make room."""
    for earlier in path.parent.glob("global_step_*.torn-*"):
        shutil.rmtree(earlier)
    path.rename(path.with_name(f"{path.name}.torn-1"))


def _write_tracker(path: Path, step: int) -> None:
    if step == 0:
        path.unlink(missing_ok=True)
        return
    write_text(path, str(step))


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("global_step_"))


def _name(path: Path) -> str:
    """The path of the file relative to its checkpoint."""
    parts = path.parts
    start = next(n for n, part in enumerate(parts) if _FOLDER.match(part))
    return "/".join(parts[start + 1 :]) or parts[start]
