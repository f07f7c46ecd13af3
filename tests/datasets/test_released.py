"""Released data: downloaded or copied, verified, and kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.datasets import released
from toolrl_cli.datasets.released import RELEASED, SourceFile, blob_id, bring, missing
from toolrl_cli.errors import SpecError


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up release of one file, `data/a.json`, under the name `thing`."""
    folder = tmp_path / "remote"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.json").write_bytes(b"[1]")
    monkeypatch.setattr(
        released, "RELEASED", {"thing": (SourceFile("a.json", "data/a.json", blob_id(b"[1]")),)}
    )
    return folder


def test_a_blob_id_is_what_git_says() -> None:
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_a_download_is_kept_when_it_is_the_pinned_file_and_not_repeated(tmp_path: Path, remote: Path) -> None:
    told: list[str] = []
    folder = bring("thing", tmp_path / "here", source=remote.as_uri(), tell=told.append)
    assert (folder / "a.json").read_bytes() == b"[1]" and missing("thing", folder) == ""
    bring("thing", folder, source=remote.as_uri(), tell=told.append)
    assert len(told) == 1 and told[0].endswith("data/a.json")


def test_a_file_that_was_tampered_with_is_fetched_again(tmp_path: Path, remote: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[2]")
    assert missing("thing", tmp_path) == "a.json is not the released file"
    told: list[str] = []
    bring("thing", tmp_path, source=remote.as_uri(), tell=told.append)
    assert (tmp_path / "a.json").read_bytes() == b"[1]"
    assert told[0] == f"{tmp_path / 'a.json'} is not the file of the pinned commit, and is replaced"


def test_a_download_of_other_content_is_refused_and_leaves_nothing(tmp_path: Path, remote: Path) -> None:
    (remote / "data" / "a.json").write_bytes(b"<html>")
    with pytest.raises(SpecError, match="not the file of the pinned commit"):
        bring("thing", tmp_path / "here", source=remote.as_uri())
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("below", ["", "data"])
def test_a_copy_of_the_files_or_of_the_repository_serves_without_a_network(
    tmp_path: Path, remote: Path, below: str
) -> None:
    folder = bring("thing", tmp_path / "here", remote / below, source="http://127.0.0.1:9")
    assert missing("thing", folder) == ""


def test_a_copy_that_lacks_a_file_is_named(tmp_path: Path, remote: Path) -> None:
    with pytest.raises(SpecError, match=r"holds no a\.json"):
        bring("thing", tmp_path / "here", tmp_path)


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot be downloaded: .*toolrl data prepare rlla --from") as caught:
        bring("rlla", tmp_path, source="http://127.0.0.1:9")  # nothing listens there
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no released data 'api_bnk'.*'api_bank'"):
        missing("api_bnk", tmp_path)


def test_names_of_files_are_unique_in_each_release() -> None:
    assert all(len({file.name for file in files}) == len(files) for files in RELEASED.values())
