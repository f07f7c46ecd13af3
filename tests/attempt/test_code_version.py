"""Which code made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from toolrl_cli.attempt.code_version import ROOMS, checkout_commit, code_identity, room_digest
from toolrl_cli.attempt.environment import describe_environment, gpu_models
from toolrl_cli.spec.stage_kind import STAGE_KINDS


def test_a_rooms_digest_changes_with_a_files_content_its_name_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.py").write_text("x = 1")
    (tmp_path / "notes.txt").write_text("x")
    first = room_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("y")
    assert room_digest(tmp_path) == first
    (tmp_path / "sub/a.py").write_text("x = 2")
    second = room_digest(tmp_path)
    (tmp_path / "sub/a.py").rename(tmp_path / "sub/b.py")
    assert len({first, second, room_digest(tmp_path)}) == 3


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    answer = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


@pytest.mark.parametrize("packed", [False, True])
def test_the_commit_of_a_checkout_and_of_a_linked_work_tree_is_what_git_says(
    tmp_path: Path, packed: bool
) -> None:
    main, linked = tmp_path / "main", tmp_path / "linked"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "commit", "-q", "--allow-empty", "-m", "one")
    git(main, "worktree", "add", "-q", "-b", "other", str(linked))
    git(linked, "commit", "-q", "--allow-empty", "-m", "two")
    if packed:
        git(main, "pack-refs", "--all")
    for folder in (main, linked):
        assert checkout_commit(folder) == git(folder, "rev-parse", "HEAD")[:12]
    git(main, "checkout", "-q", "--detach")
    assert checkout_commit(main) == git(main, "rev-parse", "HEAD")[:12]


def test_an_installed_package_has_no_commit(tmp_path: Path) -> None:
    assert checkout_commit(tmp_path) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/unborn\n")
    assert checkout_commit(tmp_path) is None


def test_every_attempt_writes_down_the_code_that_every_kind_of_stage_depends_on() -> None:
    written = describe_environment({})["code"]
    assert written == code_identity()
    assert {room for kind in STAGE_KINDS.all().values() for room in kind.rooms} == set(ROOMS) <= set(written)


def test_the_drivers_own_files_tell_the_gpus(tmp_path: Path) -> None:
    assert gpu_models(tmp_path / "none") == []
    for number in range(2):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 7\n")
    assert gpu_models(tmp_path) == ["NVIDIA H100 80GB HBM3"] * 2
