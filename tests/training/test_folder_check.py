"""A model folder that no trainer could load is refused by its headers, in one line, without torch."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.model_folders import CONFIG, SHAPES, safetensors, write_model
from toolrl_cli.errors import SpecError
from toolrl_cli.planning.fingerprints import LocalFacts
from toolrl_cli.spec.run.model_settings import HuggingFaceModel
from toolrl_cli.training.models.folder_check import check_model_folder

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
Damage = Callable[[Path], object]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def writes(name: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def config(**changed: object) -> Damage:
    return writes(
        "config.json", json.dumps({k: v for k, v in {**CONFIG, **changed}.items() if v is not None})
    )


def shards(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    names = list(SHAPES)
    for number, part in ((1, names[:1]), (2, names[1:])):
        (folder / f"{number}.safetensors").write_bytes(safetensors({name: SHAPES[name] for name in part}))
    index = {name: f"{1 if name == names[0] else 2}.safetensors" for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def a_shard_is_missing(folder: Path) -> None:
    shards(folder)
    (folder / "2.safetensors").unlink()


def a_shard_is_another(folder: Path) -> None:
    shards(folder)
    (folder / "2.safetensors").write_bytes((folder / "1.safetensors").read_bytes())


def an_index_is_torn(folder: Path) -> None:
    shards(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {')


def torch_file(content: bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(content)

    return damage


def an_adapter_alone(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen2.5-1.5B-Instruct"}')
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"lora_A": (1, 4)}))


FAULTS: dict[str, tuple[Damage, str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "torn config": (writes("config.json", '{"model_type": "lla'), "config.json is no JSON"),
    "config of another shape": (writes("config.json", "[]"), "config.json is no JSON object"),
    "weights by LFS": (writes("model.safetensors", POINTER), r"pointer of Git LFS.*git lfs pull"),
    "tokenizer by LFS": (writes("tokenizer.json", POINTER), r"tokenizer.json is a pointer.*git lfs pull"),
    "cut off": (writes("model.safetensors", safetensors()[:-8]), r"is cut off: \d+ of \d+ bytes"),
    "cut in the header": (
        writes("model.safetensors", safetensors()[:40]),
        "header of model.safetensors is torn",
    ),
    "a web page": (writes("model.safetensors", "<html>not found</html>"), "no safetensors file"),
    "empty weights": (writes("model.safetensors", b""), r"no safetensors file \(0 bytes\)"),
    "no header": (writes("model.safetensors", struct.pack("<Q", 4) + b"null"), "header .* is torn"),
    "a tail": (writes("model.safetensors", safetensors() + b"x"), "has a tail"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no weights.*expected model"),
    "a shard is missing": (a_shard_is_missing, r"2\.safetensors, which its index names, is missing"),
    "a shard is another": (
        a_shard_is_another,
        r"2\.safetensors lacks model\.layers\.0.*index names, and 1 more",
    ),
    "an index is torn": (an_index_is_torn, "no weights.*index.json names none"),
    "torch's file is cut": (torch_file(b"PK\x03\x04 and no directory"), "pytorch_model.bin is cut off"),
    "torch's file is empty": (torch_file(b""), "pytorch_model.bin is cut off"),
    "an adapter alone": (an_adapter_alone, r"adapter alone, of Qwen/Qwen2\.5-1\.5B.*merge_and_unload"),
    "another vocabulary": (config(vocab_size=9), "says vocab_size 9, and model.embed_tokens.weight has 8"),
    "another width": (config(hidden_size=5), "says hidden_size 5, and model.embed_tokens.weight has 4"),
    "layers that would be random": (
        config(num_hidden_layers=3),
        "num_hidden_layers 3, and the weights have 2",
    ),
    "an unknown type": (config(model_type="new_one"), "'new_one' is no language model that Transformers"),
    "no type": (config(model_type=None), "model_type None is no language model"),
    "code of its own": (
        config(model_type="own", auto_map={"AutoConfig": "c.C"}),
        "auto_map.*no model's own code",
    ),
    "a reward model": (
        config(architectures=["LlamaForSequenceClassification"]),
        "no language model with a head",
    ),
    "no architecture": (config(architectures=[]), "names no architectures.*Qwen2ForCausalLM"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
    "a torn tokenizer": (writes("tokenizer.json", '{"version": '), "tokenizer.json is cut off"),
    "a null template": (writes("tokenizer_config.json", '{"chat_template": null}'), "no chat template"),
    "an empty template": (writes("chat_template.jinja", "\n"), "no chat template"),
    "no default template": (
        writes("tokenizer_config.json", '{"chat_template": [{"name": "rag", "template": "x"}]}'),
        "no chat template",
    ),
    "torn settings": (writes("tokenizer_config.json", "{"), "tokenizer_config.json is no JSON"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_refused_with_what_is_wrong(model: Path, fault: str) -> None:
    check_model_folder(model)
    damage, told = FAULTS[fault]
    damage(model)
    with pytest.raises(SpecError, match=told) as caught:
        check_model_folder(model)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_whole_folders_of_other_forms_are_taken(model: Path) -> None:
    shards(model)
    check_model_folder(model)
    (model / "model.safetensors.index.json").unlink()
    with zipfile.ZipFile(model / "pytorch_model.bin", "w") as archive:
        archive.writestr("data.pkl", "x")
    check_model_folder(model)
    (model / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    check_model_folder(model)


@pytest.mark.parametrize("architecture", ["Llama4ForCausalLM", "Llama4ForConditionalGeneration"])
def test_a_type_with_two_classes_is_taken_with_either(model: Path, architecture: str) -> None:
    config(model_type="llama4", architectures=[architecture])(model)
    check_model_folder(model)


def test_a_plan_names_the_folder_and_imports_no_torch(model: Path) -> None:
    (model / "model.safetensors").write_bytes(safetensors()[:-8])
    with pytest.raises(SpecError, match="cut off") as caught:
        LocalFacts().model_fingerprint(HuggingFaceModel(kind="huggingface", name="m", path=str(model)))
    assert str(model) in caught.value.what
    assert caught.value.where == "model.path"
    code = f"import sys; from pathlib import Path; from {check_model_folder.__module__} import check_model_folder\n"
    code += f"check_model_folder(Path({str(write_model(model))!r})); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
