"""Reading what a user wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.reading.source import parse_value, parse_yaml, read_yaml


def test_every_key_keeps_its_line() -> None:
    source = parse_yaml("name: x\naxes:\n  reward:\n    - original\n    - coarse\n", "s.yaml")
    assert source.where(("axes", "reward", 1)) == "s.yaml:5: axes.reward[1]"


def test_an_unknown_path_is_placed_at_its_nearest_ancestor() -> None:
    source = parse_yaml("name: x\naxes:\n  reward: [a]\n", "s.yaml")
    assert source.where(("axes", "nothing", "here")) == "s.yaml:2: axes.nothing.here"


def test_exponents_without_a_dot_are_numbers() -> None:
    assert parse_yaml("lr: 1e-6\n", "s").data == {"lr": 1e-6}
    assert parse_value("5e-4", "--set") == 5e-4


def test_scalars_are_those_of_yaml_1_2_which_editors_check() -> None:
    text = "a: [no, on, 2026-01-01, 1:30, 010, 0x10, 0o10, 1_000, True, ~, .5, 1.]\nyes: 1\n1: 2\n"
    assert parse_yaml(text, "s").data == {
        "a": ["no", "on", "2026-01-01", "1:30", "010", 16, 8, 1000, True, None, 0.5, 1.0],
        "yes": 1,
        "1": 2,
    }


def test_a_merged_mapping_gives_what_the_other_leaves_out() -> None:
    text = "b: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}\n"
    assert parse_yaml(text, "s").data["c"] == {"x": 1, "y": 3}


def test_what_set_gave_is_placed_there() -> None:
    source = replace(
        parse_yaml("name: x\nbase: {}\n", "s.yaml"), given={("base", "rl", "steps"): "base.rl.steps"}
    )
    assert source.where(("base", "rl", "steps")) == "--set base.rl.steps"
    assert source.where(("base", "rl", "lr")) == "s.yaml:2: base.rl.lr"


def test_interpolations_are_resolved() -> None:
    assert parse_yaml("a: 3\nb: {c: '${a}'}\n", "s").data == {"a": 3, "b": {"c": 3}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n- b\n", "top level is a list"),
        ("just words\n", "top level is a single value"),
        ("a: [1,\n", "not valid YAML"),
        ("a: 1\na: 2\n", "'a' stands twice (first on line 1)"),
        ("x: 1\na: {b: 1, b: 2}\n", "s.yaml:2: a.b: key 'b' stands twice"),
        ("? [x]\n: 1\n", "not a plain word"),
        ("a: &x [*x]\n", "s.yaml:1: a[0]: an alias refers to itself"),
        ("a: {b: ${c}}\n", 'an interpolation stands in quotes: "${base.rl.lr}"'),
        ("a: [\\${c}]\n", "an interpolation stands in quotes"),
        ("a: {b: {c: {d: 1}\n", "expected ',' or '}', but got '<stream end>' (check indentation and quotes)"),
        ("a: 1\n---\nb: 2\n", "expected a single document in the stream, but found another document"),
        ("a: ${nowhere}\n", "does not resolve"),
        ("a: ${b}\nb: ${a}\n", "s.yaml:1: a: interpolation does not resolve: a circle: a → b → a"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a: \x00\n", "not valid YAML"),
        ("a: !!bool maybe\n", "not valid YAML"),
        ('a: !!int ""\n', "not valid YAML"),
        ("a: !!map x\n", "not valid YAML"),
        ("a: !!set {b}\n", "could not determine a constructor"),
        ("a: " + "9" * 5000 + "\n", "not valid YAML"),
        ("a: " + "[" * 5000 + "\n", "not valid YAML"),
        ("a: 0x" + "f" * 5000 + "\n", "is too large a number"),
    ],
)
def test_a_faulty_document_gets_one_line_that_names_the_file(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "s.yaml")
    assert says in str(caught.value)
    assert str(caught.value).startswith("s.yaml")
    assert "\n" not in str(caught.value)


def test_a_document_that_explodes_by_aliases_is_refused_before_it_does() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    with pytest.raises(SpecError, match="after aliases are expanded"):
        parse_yaml("\n".join(lines), "bomb.yaml")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (tmp_path / "huge.yaml").write_bytes(b"# " + b"x" * 1_100_000)
    for name, says in [
        ("missing.yaml", "no such file"),
        ("latin.yaml", "not UTF-8"),
        ("huge.yaml", "no file of settings"),
        (".", "is a folder"),
    ]:
        with pytest.raises(SpecError, match=says):
            read_yaml(tmp_path / name)


@given(st.text(max_size=200))
def test_no_text_gets_past_as_anything_but_a_mapping_or_a_spec_error(text: str) -> None:
    try:
        source = parse_yaml(text, "fuzz.yaml")
    except SpecError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(source.data, dict)
