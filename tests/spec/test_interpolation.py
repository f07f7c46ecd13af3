"""Values that refer to others of their file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.reading.interpolation import interpolated
from toolrl_cli.spec.sweeps.reading.key_path import dotted
from toolrl_cli.spec.sweeps.resolve import Run

Resolve = Callable[..., list[Run]]
BASE = "name: s\nbase: {preset: tiny_ppo, rl.lr: 1e-3, rl.critic_lr: '${base.rl.lr}'}\n"


def resolved(**data: Any) -> dict[str, Any]:
    return interpolated(data, dotted)


@pytest.mark.parametrize(
    "base",
    [
        {"rl": {"lr": 0.5}, "x": "${base.rl.lr}"},
        {"rl.lr": 0.5, "x": "${base.rl.lr}"},
        {"rl.lr": 0.5, "x": "${.rl.lr}"},
        {"rl.lr": 0.5, "rl.x": "${.lr}"},
        {"rl": {"lr": 0.5, "x": "${..rl.lr}"}},
        {"rl": "${rl}", "x": "${base.rl.lr}"},
        {"values": ["${rl.lr}"], "x": "${base.values[0]}"},
    ],
)
def test_a_key_is_found_however_it_is_spelt(base: dict[str, Any]) -> None:
    found = resolved(rl={"lr": 0.5}, base=base)["base"]
    assert 0.5 in (found.get("x"), found.get("rl.x"), found["rl"].get("x") if "rl" in found else None)


def test_one_alone_keeps_its_type_and_one_in_a_text_is_text() -> None:
    data = resolved(
        steps=5, on=True, none=None, list=[1, 2], a="${list}", b="${steps}", c="x-${steps}-${on}-${none}"
    )
    assert (data["a"], data["b"], data["c"]) == ([1, 2], 5, "x-5-true-null")


def test_an_escaped_one_is_left_for_verl() -> None:
    assert resolved(a=r"\${data.max_length}")["a"] == "${data.max_length}"


def test_a_variable_of_the_environment_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "/data")
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    data = resolved(a="${oc.env:DATA_ROOT}/rlla", b="${oc.env:NOWHERE_SET, 7}", c="${oc.env:NOWHERE_SET,}")
    assert (data["a"], data["b"], data["c"]) == ("/data/rlla", "7", "")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("WANDB_API_KEY", "s3cret", "a secret by its name"),
        ("HF_PAT", "s3cret", "a secret by its name"),
        ("SLURM_JWT", "s3cret", "a secret by its name"),
        ("DB_PWD", "s3cret", "a secret by its name"),
        ("MIRROR", "https://me:s3cret@host/x", "holds a login"),
        ("PWD", "/home/me", ""),
        ("TOKENIZERS_PARALLELISM", "true", ""),
        ("MONKEYS", "https://host/a@b", ""),
    ],
)
def test_a_secret_of_the_environment_reaches_no_plan(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)
    text = f"${{oc.env:{name}}}"
    if not why:
        assert resolved(a=text)["a"] == value
        return
    with pytest.raises(SpecError, match=why) as fault:
        resolved(a=text)
    assert "s3cret" not in str(fault.value) and "leave it in the environment" in str(fault.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"a": "${rl.lrr}", "rl.lr": 1},
            "a: interpolation does not resolve: the file has no 'rl.lrr' (did you mean",
        ),
        ({"rl": {"lr": 1}, "a": "${rl.lrr}"}, "rl has no 'lrr' (did you mean 'lr'?)"),
        ({"a": [1], "b": ["${a[1]}"]}, "b[0]: interpolation does not resolve: a has no '1'"),
        ({"a": "${a}"}, "a circle: a → a"),
        ({"a": {"b": "${a}"}}, "a circle: a → a.b → a"),
        (
            {"a": "${oc.env:NOWHERE_SET}"},
            "the environment has no 'NOWHERE_SET' (set it, or give a default: ${oc.env:NOWHERE_SET,default})",
        ),
        ({"a": "${oc.select:b}"}, "${oc.select:b} names no key"),
        ({"a": "${}"}, "${} names no key"),
        ({"a": "${b", "b": 1}, "'${b' is not closed"),
        ({"a": "x${b}", "b": [1]}, "${b} is no single value (let it stand alone)"),
        ({f"a{n}": f"${{a{n + 1}}}" for n in range(1000)}, "too many values refer to the next"),
    ],
)
def test_one_that_does_not_resolve_is_one_line(data: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        interpolated(data, dotted)
    assert says in str(caught.value)


@pytest.mark.parametrize("ten", [["${%s}"] * 10, "${%s}" * 10], ids=["lists", "text"])
def test_interpolations_that_multiply_are_refused_before_they_fill_the_memory(ten: Any) -> None:
    first: Any = ["x"] * 10 if isinstance(ten, list) else "x" * 10
    data = {"a0": first}
    for n in range(1, 30):
        name = f"a{n - 1}"
        data[f"a{n}"] = [part % name for part in ten] if isinstance(ten, list) else ten.replace("%s", name)
    with pytest.raises(SpecError, match="come of it"):
        interpolated(data, dotted)


@pytest.mark.parametrize("key", ["base.rl.lr", "rl.lr"])
def test_what_set_changes_is_what_others_refer_to(resolve: Resolve, key: str) -> None:
    (run,) = resolve(BASE, f"{key}=2e-3")
    assert (run.spec.rl.lr, run.spec.rl.critic_lr) == (2e-3, 2e-3)


def test_references_to_a_block_and_between_values_of_set_follow_set_too(resolve: Resolve) -> None:
    over = {"rl.lr": 2, "rl.steps": "${base.rl.lr}", "data": {"kind": "x"}}
    base = {"rl": {"lr": 1, "prompts": 4}, "data": "old", "a": "${base.rl}", "b": "${base.data.kind}"}
    found = interpolated({"base": base}, dotted, over=over)["base"]
    assert (found["a"], found["b"]) == ({"lr": 2, "steps": 2, "prompts": 4}, "x")
    assert base["rl"] == {"lr": 1, "prompts": 4}
    own = interpolated(
        {"rl.lr": "${base.rl.lr}"}, dotted, file={"base": base}, over={"rl.lr": "${base.rl.lr}"}
    )
    assert own == {"rl.lr": 1}  # the file's
    (run,) = resolve(BASE, "rl.lr=2e-3", "rl.temperature=${base.rl.lr}")
    assert run.spec.rl.temperature == 2e-3


def test_a_value_of_set_may_refer_to_the_file(resolve: Resolve) -> None:
    (run,) = resolve(BASE, "rl.warmup_steps=${base.rl.steps}", "base.rl.steps=7")
    assert run.spec.rl.warmup_steps == 7
    with pytest.raises(
        SpecError, match=r"--set rl.steps: interpolation does not resolve: base has no 'rl.lrr'"
    ):
        resolve(BASE, "rl.steps=${base.rl.lrr}")
