"""`toolrl evaluate`: the sweep of a label, and models that can only be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolrl_cli.api.evaluating import evaluation_sweep, remember
from toolrl_cli.benchmarks.endpoints import target_of
from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.spec.run.model_settings import EndpointModel
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

URL = "http://there/v1"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def answer(reply: Any) -> None:
        def get(url: str, **_: Any) -> httpx.Response:
            assert url == f"{URL}/models"
            if isinstance(reply, Exception):
                raise reply
            return reply if isinstance(reply, httpx.Response) else httpx.Response(200, json=reply)

        monkeypatch.setattr(httpx, "get", get)

    return answer


def test_models_of_one_label_are_arms_of_one_sweep_each_with_its_own_benchmarks(
    tmp_path: Path, models: Callable[[Any], None]
) -> None:
    models({"data": [{"id": "org/one"}]})
    first, _ = evaluation_sweep(URL, ["toolworld"], results=tmp_path, label="mine", limit=2)
    remember(first, tmp_path)
    second, notes = evaluation_sweep(
        URL, ["api_bank"], results=tmp_path, label="mine", model_name="two", key_env="KEY"
    )
    assert notes == []
    runs = {run.arm: run.spec for run in resolve_sweep(read_sweep(second)).runs}
    assert {arm: (spec.evaluate, spec.evaluation.limit) for arm, spec in runs.items()} == {
        "one": (("toolworld",), 2),
        "two": (("api_bank",), None),
    }
    again, notes = evaluation_sweep(URL, ["toolworld"], results=tmp_path, label="mine")
    assert "another limit" in notes[0] and "evaluation.limit" not in again["arms"]["one"]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, "--model-name a or b"),
        ({"data": "x"}, "does not say which models"),
        (httpx.Response(200, text="<html>"), "does not say which models"),
        (httpx.Response(200, text="[" * 100_000), "does not say which models"),
        (httpx.Response(401), r"wants a key \(status 401\) \(name the environment .* --key-env VAR"),
        (httpx.Response(302), "status 302"),
        (httpx.ConnectError("refused"), "cannot be reached: refused"),
    ],
)
def test_an_endpoint_that_does_not_name_its_model_is_one_line(
    tmp_path: Path, models: Callable[[Any], None], reply: Any, told: str
) -> None:
    models(reply)
    with pytest.raises(SpecError, match=told) as caught:
        evaluation_sweep(URL, ["toolworld"], results=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_not_there_or_refused_is_named(
    tmp_path: Path, models: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    models(httpx.Response(403))
    with pytest.raises(SpecError, match=r"the environment variable SOME_KEY has no key \(export SOME_KEY="):
        evaluation_sweep(URL, ["toolworld"], results=tmp_path, key_env="SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "wrong")
    with pytest.raises(SpecError, match="refuses the key in SOME_KEY"):
        evaluation_sweep(URL, ["toolworld"], results=tmp_path, key_env="SOME_KEY")


def test_models_in_folders_of_one_name_are_rows_of_one_table(tmp_path: Path) -> None:
    for stage in ("a", "b"):
        (tmp_path / stage / "model").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "a" / "model")
    named = {"a": "first", "linked": None}
    for folder, name in named.items():
        path = tmp_path / folder / "model" if name else tmp_path / folder
        sweep, _ = evaluation_sweep(str(path), ["toolworld"], results=tmp_path, label="both", model_name=name)
        remember(sweep, tmp_path)
    sweep, _ = evaluation_sweep(str(tmp_path / "b/model"), ["toolworld"], results=tmp_path, label="both")
    assert [*sweep["arms"]] == ["first", "linked", "model"]
    remember(sweep, tmp_path)
    with pytest.raises(SpecError, match=r"another model under the label 'both'.*--model-name NAME"):
        evaluation_sweep(str(tmp_path / "a/model"), ["toolworld"], results=tmp_path, label="both")


def test_what_belongs_to_endpoints_and_another_sweep_s_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--key-env is for endpoints"):
        evaluation_sweep("org/model", ["toolworld"], results=tmp_path, key_env="KEY")
    with pytest.raises(SpecError, match="there is no model 'nothing'"):
        evaluation_sweep("nothing", ["toolworld"], results=tmp_path)
    (tmp_path / "sweeps/grid").mkdir(parents=True)
    with pytest.raises(SpecError, match="'grid' is another sweep"):
        evaluation_sweep("org/model", ["toolworld"], results=tmp_path, label="grid")


def test_an_endpoint_cannot_be_trained() -> None:
    endpoint = {"kind": "endpoint", "name": "e", "url": URL, "model": "m"}
    base = {"model": endpoint, "data": {"kind": "toolworld"}, "reward": "original", "train": ["rl"]}
    with pytest.raises(SpecError, match=r"trains an endpoint.*set train"):
        resolve_sweep(read_sweep({"name": "s", "base": base, "evaluate": ["toolworld"]}))


def test_a_command_that_takes_a_folder_is_not_planned_for_an_endpoint(tmp_path: Path) -> None:
    endpoint = {"kind": "endpoint", "name": "e", "url": URL, "model": "m"}
    own = {"command": ["score", "--model={model}"], "name": "mine"}
    sweep = {"name": "s", "evaluate": [own], "arms": {"a": {"train": [], "model": endpoint}}}
    with pytest.raises(SpecError, match=r"mine takes \{model\}, a folder, and arm 'a' asks an endpoint"):
        resolve_sweep(read_sweep({**sweep, "base": {"data": {"kind": "toolworld"}, "reward": "original"}}))


def test_a_key_is_read_where_it_is_used_and_its_absence_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EndpointModel(kind="endpoint", name="e", url=f"{URL}/", model="m", key_env="SOME_KEY")
    with pytest.raises(BenchmarkError, match="the environment variable SOME_KEY has no key"):
        target_of(model)
    monkeypatch.setenv("SOME_KEY", "secret\n")
    target = target_of(model)
    assert (target.key, target.url) == ("secret", URL) and "secret" not in repr(target)
