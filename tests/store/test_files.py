from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from toolrl_cli.errors import LedgerError
from toolrl_cli.store import files


def test_json_is_read_as_it_was_written_and_reads_with_cat(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"status": "läuft", "step": 3})
    assert files.read_json(tmp_path / "a.json") == {"status": "läuft", "step": 3}
    assert (tmp_path / "a.json").read_text() == '{\n "status": "läuft",\n "step": 3\n}\n'


def test_a_document_has_a_line_for_each_entry_of_its_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    entries = [{"id": "ä\n,", "settings": [1, {"x": None}]}, {"id": "b"}]
    document = {"schema": 1, "tables": ["T1"], "runs": entries, "none": [], "of": {"a": {"b": []}}}
    files.write_document(path, document)
    assert files.read_json(path) == document
    lines = [line.strip().removesuffix(",") for line in path.read_text().splitlines()]
    assert all(json.dumps(entry, ensure_ascii=False) in lines for entry in entries)


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_torn_file_reads_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert files.read_json(tmp_path / "a.json") is None


def test_a_missing_file_reads_as_none(tmp_path: Path) -> None:
    assert files.read_json(tmp_path / "a.json") is None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failing_disk_leaves_the_old_content_and_no_litter(tmp_path: Path, code: int) -> None:
    path = tmp_path / "state.json"
    files.write_text(path, "old")
    written = 0

    def failing(handle: int, data: bytes | memoryview) -> int:
        nonlocal written
        if written >= 4:
            raise OSError(code, os.strerror(code))
        written += os.write(handle, data[:4])
        return written

    with pytest.raises(LedgerError) as caught:
        files.write_text(path, "new content", write=failing)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert caught.value.where == str(path)
    assert os.strerror(code) in str(caught.value)
    assert "issue" in caught.value.hint


def test_a_short_write_is_continued(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "0123456789", write=lambda handle, data: os.write(handle, data[:3]))
    assert (tmp_path / "a").read_text() == "0123456789"


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*args: object, **rest: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(LedgerError, match=r"Read-only file system .*--results"):
        files.write_text(tmp_path / "a", "x")


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(LedgerError, match="results"):
        files.make_folder(tmp_path / "results" / "stages")


def test_a_link_that_leads_nowhere_is_named_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(tmp_path / "unmounted")
    with pytest.raises(LedgerError, match=r"results: File exists \(a file, or a link that leads nowhere"):
        files.make_folder(tmp_path / "results")


def test_a_file_that_goes_stale_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_json(tmp_path / "a.json", {"step": 3})
    read, stale = files._bytes_of, [True, True]

    def read_bytes(path: Path) -> bytes:
        if stale and stale.pop():
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(path)

    monkeypatch.setattr(files, "_bytes_of", read_bytes)
    assert files.read_json(tmp_path / "a.json") == {"step": 3}
    stale[:] = [True] * 10
    with pytest.raises(LedgerError, match=r"Stale file handle .*issue the same command again"):
        files.read_json(tmp_path / "a.json")


def test_a_reader_sees_the_old_content_or_the_new_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = [json.dumps({"n": n, "fill": "x" * 5000 * (n % 7)}, indent=1) + "\n" for n in range(60)]
    files.write_text(path, contents[0], durable=False)
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents:
        files.write_text(path, content, durable=False)
    done.set()
    reader.join()
    assert seen <= set(contents)
