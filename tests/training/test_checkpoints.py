from __future__ import annotations

import errno
import json
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

from toolrl_cli.training.checkpointing.checkpoints import (
    TRACKER,
    newest_whole,
    prepare_resume,
    prune,
    what_is_torn,
)

SHARDS = ("model", "optim", "extra_state")


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
        file.writestr("archive/data/0", bytes(5000))


def write_role(folder: Path, world: int = 1) -> None:
    (folder / "huggingface").mkdir(parents=True)
    for kind in SHARDS:
        for rank in range(world):
            archive(folder / f"{kind}_world_size_{world}_rank_{rank}.pt")
    (folder / "huggingface" / "config.json").write_text("{}")
    (folder / "fsdp_config.json").write_text("{}")


def write_rl(root: Path, step: int, *, world: int = 1, critic: bool = False) -> Path:
    """What verl's V1 trainer saves at a step."""
    folder = root / f"global_step_{step}"
    write_role(folder / "actor", world)
    if critic:
        write_role(folder / "critic", world)
    archive(folder / "data.pt")
    (root / TRACKER).write_text(str(step))
    return folder


def write_sft(root: Path, step: int) -> Path:
    """What verl's SFT trainer saves at a step."""
    folder = root / f"global_step_{step}"
    write_role(folder)
    archive(folder / "data_0.pt")
    (root / TRACKER).write_text(str(step))
    return folder


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("critic", [False, True])
def test_what_the_rl_trainer_saves_is_whole(tmp_path: Path, world: int, critic: bool) -> None:
    assert what_is_torn(write_rl(tmp_path, 3, world=world, critic=critic)) is None


def test_what_the_sft_trainer_saves_is_whole(tmp_path: Path) -> None:
    assert what_is_torn(write_sft(tmp_path, 3)) is None


def test_what_torch_saves_is_taken_for_whole(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = write_rl(tmp_path, 1)
    torch.save({"weight": torch.ones(4)}, folder / "actor" / "model_world_size_1_rank_0.pt")
    assert what_is_torn(folder) is None


@pytest.mark.parametrize(
    "name",
    [f"actor/{kind}_world_size_2_rank_{rank}.pt" for kind in SHARDS for rank in (0, 1)]
    + ["critic/model_world_size_2_rank_1.pt", "data.pt"],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "zeros"])
def test_any_damaged_file_makes_a_checkpoint_torn_and_is_named(
    tmp_path: Path, name: str, damage: str
) -> None:
    folder = write_rl(tmp_path, 3, world=2, critic=True)
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[:-20], "zeros": bytes(len(content))}[damage])
    fault = what_is_torn(folder)
    if (name, damage) == ("data.pt", "missing"):
        assert fault == "the position in the data is missing"
    else:
        assert fault == f"{name} is {'missing' if damage == 'missing' else 'torn'}"


def test_a_save_that_ended_between_actor_and_critic_is_torn(tmp_path: Path) -> None:
    folder = tmp_path / "global_step_2"
    write_role(folder / "actor")
    (folder / "critic").mkdir()
    assert what_is_torn(folder) == "critic holds no model"


def test_an_empty_directory_is_torn(tmp_path: Path) -> None:
    (tmp_path / "global_step_1").mkdir()
    assert what_is_torn(tmp_path / "global_step_1") == "global_step_1 holds no model"


@pytest.mark.parametrize("config", [None, "", '{"a"'])
def test_an_unreadable_model_configuration_is_torn(tmp_path: Path, config: str | None) -> None:
    folder = write_rl(tmp_path, 1)
    path = folder / "actor" / "huggingface" / "config.json"
    path.unlink() if config is None else path.write_text(config)
    assert what_is_torn(folder) == "actor/huggingface/config.json is not readable"


def test_safetensors_have_to_be_as_long_as_they_say(tmp_path: Path) -> None:
    folder = write_sft(tmp_path, 1)
    path = folder / "huggingface" / "model.safetensors"
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert what_is_torn(folder) is None
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(7))
    assert what_is_torn(folder) == "huggingface/model.safetensors is torn"
    path.write_bytes(b"\xff" * 9)
    assert what_is_torn(folder) == "huggingface/model.safetensors is torn"


def test_training_goes_on_from_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    for step in (2, 4, 10):
        write_rl(tmp_path, step)
    resume = prepare_resume(tmp_path)
    assert (resume.step, resume.path, resume.set_aside) == (10, tmp_path / "global_step_10", ())
    assert str(resume) == "going on from step 10"


def test_a_torn_newest_checkpoint_is_set_aside_and_the_tracker_corrected(tmp_path: Path) -> None:
    write_rl(tmp_path, 2)
    torn = write_rl(tmp_path, 4) / "actor" / "optim_world_size_1_rank_0.pt"
    torn.write_bytes(b"PK")
    resume = prepare_resume(tmp_path)
    assert resume.step == 2
    assert (tmp_path / TRACKER).read_text() == "2"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "global_step_2",
        "global_step_4.torn-1",
    ]
    assert str(resume) == (
        "set aside global_step_4: actor/optim_world_size_1_rank_0.pt is torn; going on from step 2"
    )
    assert prepare_resume(tmp_path).set_aside == ()


def test_the_same_step_may_be_torn_again_without_filling_the_disk(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "global_step_4").mkdir()
        prepare_resume(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["global_step_4.torn-1"]


@pytest.mark.parametrize("said", ["", "99", "not a number", "2\n"])
def test_a_tracker_that_says_anything_else_is_corrected(tmp_path: Path, said: str) -> None:
    write_rl(tmp_path, 6)
    (tmp_path / TRACKER).write_text(said)
    assert prepare_resume(tmp_path).step == 6
    assert (tmp_path / TRACKER).read_text() == "6"


def test_without_a_whole_checkpoint_training_starts_again_and_verl_finds_no_tracker(tmp_path: Path) -> None:
    (write_rl(tmp_path, 2) / "data.pt").unlink()
    resume = prepare_resume(tmp_path)
    assert (resume.step, resume.path) == (0, None)
    assert not (tmp_path / TRACKER).exists()
    assert str(resume).endswith("starting from the first step")


def test_a_stage_that_never_saved_starts_from_the_first_step(tmp_path: Path) -> None:
    assert prepare_resume(tmp_path / "checkpoints").step == 0
    assert not (tmp_path / "checkpoints").exists()


def test_looking_for_the_newest_whole_checkpoint_changes_nothing(tmp_path: Path) -> None:
    write_rl(tmp_path, 2)
    (tmp_path / "global_step_4").mkdir()
    assert newest_whole(tmp_path) == tmp_path / "global_step_2"
    assert (tmp_path / "global_step_4").exists()
    assert (tmp_path / TRACKER).read_text() == "2"


def test_what_else_lies_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    write_rl(tmp_path, 2)
    (tmp_path / "global_step_9.torn-1").mkdir()
    (tmp_path / "global_step_x").mkdir()
    (tmp_path / "notes.txt").write_text("")
    before = {path.name for path in tmp_path.iterdir()}
    assert prepare_resume(tmp_path).step == 2
    assert {path.name for path in tmp_path.iterdir()} == before


def torch_checkpoint(root: Path) -> Path:
    """A checkpoint whose model shard torch wrote."""
    torch = pytest.importorskip("torch")
    folder = write_rl(root, 1)
    shared = torch.arange(1 << 20, dtype=torch.float32)
    tensors = {"a": torch.ones(1 << 20, dtype=torch.bfloat16), "b": shared[:7], "c": shared.view(2, -1)}
    tensors["d"] = torch.zeros(3, dtype=torch.bool)
    torch.save({"state": tensors, "step": 3, "names": ["x"]}, folder / "actor/model_world_size_1_rank_0.pt")
    return folder


def test_what_torch_saves_is_whole_to_the_last_byte(tmp_path: Path) -> None:
    assert what_is_torn(torch_checkpoint(tmp_path), read=True) is None


def test_blocks_that_a_power_cut_left_empty_are_found_where_training_would_go_on(tmp_path: Path) -> None:
    folder = torch_checkpoint(tmp_path)
    shard = folder / "actor" / "model_world_size_1_rank_0.pt"
    content = bytearray(shard.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = b"\xaa" * 4096
    shard.write_bytes(content)
    assert what_is_torn(folder) is None
    assert what_is_torn(folder, read=True) == "actor/model_world_size_1_rank_0.pt is torn"
    resume = prepare_resume(tmp_path, read=True)
    assert (resume.step, resume.set_aside) == (
        0,
        ("global_step_1: actor/model_world_size_1_rank_0.pt is torn",),
    )


def rewritten(path: Path, change: str) -> None:
    """The archive with its storages changed, and in itself in order."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    storages = sorted(name for name in members if "/data/" in name)
    if change == "missing":
        del members[storages[0]]
    else:
        members[storages[0]] = members[storages[0]][:-64]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("change", ["missing", "short"])
def test_every_storage_that_the_index_names_has_to_be_there_in_full(tmp_path: Path, change: str) -> None:
    folder = torch_checkpoint(tmp_path)
    rewritten(folder / "actor" / "model_world_size_1_rank_0.pt", change)
    assert what_is_torn(folder) == "actor/model_world_size_1_rank_0.pt is torn"


def test_a_broken_index_is_torn_although_the_directory_is_intact(tmp_path: Path) -> None:
    folder = torch_checkpoint(tmp_path)
    shard = folder / "actor" / "model_world_size_1_rank_0.pt"
    with zipfile.ZipFile(shard) as archive:
        (index,) = (info for info in archive.infolist() if info.filename.endswith("data.pkl"))
    content = bytearray(shard.read_bytes())
    start = content.index(b"\x80\x02", index.header_offset)
    content[start + 20 : start + 30] = bytes(10)
    shard.write_bytes(content)
    assert what_is_torn(folder) == "actor/model_world_size_1_rank_0.pt is torn"


def test_nothing_that_a_checkpoint_names_is_run(tmp_path: Path) -> None:
    folder = write_rl(tmp_path, 1)
    marker = tmp_path / "run"
    code = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    with zipfile.ZipFile(folder / "data.pt", "w") as file:
        file.writestr("archive/data.pkl", code)
    assert what_is_torn(folder, read=True) is None
    assert not marker.exists()


def test_a_file_that_cannot_be_read_just_now_is_not_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rl(tmp_path, 1)

    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    with pytest.raises(OSError, match="Stale"):
        prepare_resume(tmp_path)
    assert (tmp_path / "global_step_1").is_dir()


def test_only_the_last_torn_checkpoint_is_set_aside(tmp_path: Path) -> None:
    for step in (4, 8):
        (tmp_path / f"global_step_{step}").mkdir()
        prepare_resume(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["global_step_8.torn-1"]


def test_pruning_leaves_the_newest_whole_ones_and_what_is_being_written(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        write_rl(tmp_path, step)
    shutil.rmtree(tmp_path / "global_step_1" / "actor")  # what verl leaves
    (tmp_path / "global_step_4" / "data.pt").unlink()
    (tmp_path / "global_step_6" / "actor").mkdir(parents=True)
    prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "global_step_3",
        "global_step_5",
        "global_step_6",
    ]
