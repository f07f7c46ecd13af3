"""Two model folders are the same model where every byte that changes what they generate is the same."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from toolrl_cli.training.models import file_digests
from toolrl_cli.training.models.model_fingerprint import fingerprint
from toolrl_cli.training.models.model_folder import weight_files

LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / file_digests.NAME


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    files = {
        "config.json": "{}",
        "generation_config.json": '{"eos_token_id": [1, 2]}',
        "tokenizer.json": "{}",
        "tokenizer_config.json": '{"chat_template": "x"}',
        "special_tokens_map.json": '{"eos_token": "<|im_end|>"}',
        "chat_template.jinja": "{{ messages }}",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "model.safetensors").write_bytes(bytes(3 << 20))
    return folder


def write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return change


def middle_of_the_weights(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.seek((3 << 20) // 2)
        stream.write(b"\1")


@pytest.mark.parametrize(
    "change",
    [
        middle_of_the_weights,
        write("generation_config.json", '{"eos_token_id": [1]}'),
        write("special_tokens_map.json", '{"eos_token": "</s>"}'),
        write("config.json", '{"rope_theta": 5}'),
        write("chat_template.jinja", "{{ tools }}"),
        write("additional_chat_templates/tool_use.jinja", "{{ tools }}"),
        write("added_tokens.json", '{"<think>": 9}'),
        write("vocab.txt", "word"),
        write("modeling_own.py", "x = 1"),
    ],
)
def test_a_byte_that_changes_what_is_generated_makes_another_model(
    model: Path, change: Callable[[Path], None]
) -> None:
    before = fingerprint(model)
    change(model)
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    "change",
    [
        write("README.md", "new"),
        write("LICENSE", "new"),
        write(".gitattributes", "new"),
        write("trainer_state.json", "{}"),
        write("optimizer.pt", "moments"),
        write("consolidated.safetensors", "the same once more"),
        write("pytorch_model.bin", "the same once more"),
        write(".cache/huggingface/x.json", "{}"),
    ],
)
def test_what_no_loader_reads_makes_no_other_model(model: Path, change: Callable[[Path], None]) -> None:
    before = fingerprint(model)
    change(model)
    assert fingerprint(model) == before


def test_a_copy_a_hard_link_and_another_path_are_the_same_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, tmp_path / "copy")
    shutil.copytree(model, tmp_path / "hard", copy_function=os.link)
    (tmp_path / "soft").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    places = [model, tmp_path / "copy", tmp_path / "hard", tmp_path / "soft", Path("model")]
    assert len({fingerprint(place) for place in places}) == 1


def test_weights_that_have_not_changed_are_read_once(
    model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_digests, "SETTLED_NS", 0)
    before = fingerprint(model)
    read: list[str] = []
    monkeypatch.setattr(file_digests, "_read", lambda file: read.append(file.name) or "0")
    fingerprint(model)
    assert "model.safetensors" not in read and "config.json" in read
    cache.write_text(cache.read_text() + '["torn')
    fingerprint(model)
    assert "model.safetensors" not in read
    monkeypatch.undo()
    cache.unlink(missing_ok=True)
    assert fingerprint(model) == before


def test_weights_replaced_within_one_tick_of_the_clock_are_read_again(model: Path) -> None:
    before = fingerprint(model)  # they were written a moment ago, so nothing is remembered
    times = (model / "model.safetensors").stat()
    middle_of_the_weights(model)
    os.utime(model / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(model) != before


def test_weights_whose_time_of_modification_was_set_back_are_read_again(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_digests, "SETTLED_NS", 0)
    weights = model / "model.safetensors"
    os.utime(weights, (LONG_AGO, LONG_AGO))
    before = fingerprint(model)
    middle_of_the_weights(model)
    os.utime(weights, (LONG_AGO, LONG_AGO))
    assert fingerprint(model) != before


def test_one_line_says_that_large_weights_are_read(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_digests, "TOLD", 1 << 20)
    with caplog.at_level(logging.INFO, "toolrl"):
        fingerprint(model)
    assert [record.message for record in caplog.records if str(model) in record.message]


def shards(folder: Path, *names: str) -> None:
    (folder / "model.safetensors").unlink(missing_ok=True)
    index = {"weight_map": {f"layer.{n}": name for n, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_the_shards_of_an_index_count_and_nothing_beside_them(model: Path) -> None:
    shards(model, "a.safetensors", "b.safetensors")
    for name in ("a", "b", "consolidated"):
        (model / f"{name}.safetensors").write_text(name)
    assert [file.name for file in weight_files(model)] == ["a.safetensors", "b.safetensors"]
    before = fingerprint(model)
    (model / "consolidated.safetensors").write_text("other")
    assert fingerprint(model) == before
    (model / "b.safetensors").write_text("other")
    assert fingerprint(model) != before
