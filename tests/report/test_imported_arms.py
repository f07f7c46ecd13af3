"""Which imported runs are one arm, and whose row they stand in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.arms import collect_arms, holds
from toolrl_cli.report.computed import Report
from toolrl_cli.report.sources.apart import file_names


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def seeds(arm: str, share: float, first: int = 1, more: str = "") -> str:
    return "".join(f"{arm},{seed},{more}{share}\n" for seed in range(first, first + 3))


def overall(built: Report, table: int = 0) -> dict[str, tuple[float | None, int]]:
    return {r.arm: (r.cells["overall"].mean, r.cells["overall"].n) for r in built.tables[table].rows}


HEADER = "arm,seed,toolworld/overall\n"


@pytest.mark.parametrize(
    ("arms", "names"),
    [(("ours", "theirs"), ("ours", "theirs")), (("ours", "ours"), ("ours [a/runs]", "ours [b/runs]"))],
)
def test_two_files_of_one_name_lose_nothing_to_each_other(
    tmp_path: Path, arms: tuple[str, str], names: tuple[str, str]
) -> None:
    shares = (0.5, 0.9)
    paths = [
        write(tmp_path / folder, HEADER + seeds(arm, share))
        for folder, arm, share in zip("ab", arms, shares, strict=True)
    ]
    built = build_report(tmp_path, imports=paths)
    assert overall(built) == {name: (100 * share, 3) for name, share in zip(names, shares, strict=True)}
    assert not [note for note in built.tables[0].notes if "one arm" in note]
    assert built.tables[0].rows[1].cells["overall"].note == "imported from b/runs.csv"


def test_a_copy_of_a_file_is_passed_over_and_said(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder, HEADER + seeds("ours", 0.5)) for folder in "ab"]
    built = build_report(tmp_path, imports=paths)
    assert overall(built) == {"ours": (50.0, 3)}
    assert built.faults == [f"import passed over: {paths[1]} is a copy of {paths[0]}"]


def test_names_of_files_have_folders_only_where_they_must() -> None:
    paths = [Path(p) for p in ("/x/a/r.csv", "/x/b/r.csv", "/x/q.csv", "/x/q.json", "/x/demo.csv")]
    named = file_names(paths, {"demo"})
    assert [sweep for sweep, _ in named] == ["a/r", "b/r", "q.csv", "q.json", "demo.csv"]


def test_two_models_under_one_name_are_two_arms_named_by_the_model(tmp_path: Path) -> None:
    text = (
        "arm,seed,model,lr,toolworld/overall\n"
        + seeds("grpo", 0.5, 1, "A,1,")
        + seeds("grpo", 0.9, 4, "B,2,")
    )
    built = build_report(tmp_path, imports=[write(tmp_path, text)])
    assert overall(built) == {"grpo [model A]": (50.0, 3), "grpo [model B]": (90.0, 3)}
    text = "arm,seed,model,toolworld/overall\n" + seeds("grpo", 0.5, 1, "A,") + seeds("grpo", 0.9, 1, "B,")
    built = build_report(tmp_path, imports=[write(tmp_path, text)])
    assert overall(built) == {"grpo [model A]": (50.0, 3), "grpo [model B]": (90.0, 3)}
    runs = [run for source in built.tables[0].rows[1].cells["overall"].sources for run in source.runs]
    assert runs == [f"grpo-model-B-seed{seed}" for seed in (1, 2, 3)]
    assert all(holds(arm, {"arm": "GRPO"}) for arm in collect_arms(built.sweeps))


def test_a_row_can_name_an_arm_whose_name_toolrl_has_given_it(tmp_path: Path) -> None:
    runs = [write(tmp_path / n, HEADER + seeds("ours", share)) for n, share in (("a", 0.5), ("b", 0.9))]
    row = "{name: x, label: x, where: {arm: 'ours [b/runs]'}}"
    columns = "[{name: overall, label: O}]"
    table = f"name: t\ntitle: t\nbenchmark: toolworld\ncolumns: {columns}\nrows: [{row}]\n"
    built = build_report(tmp_path, tables=[str(write(tmp_path, table, "t.yaml"))], imports=runs)
    assert overall(built) == {"x": (90.0, 3)}


def test_what_wandb_notes_of_a_run_makes_no_arm_of_each_seed(tmp_path: Path) -> None:
    runs = [
        {
            "name": f"x-seed{seed}",
            "config": {
                "arm": "x", "seed": seed, "stages": [f"rl-{seed}"],
                "rl": {"seed": seed, "algorithm": "grpo", "model": {"name": model}},
                "verl": {"rl": {"trainer": {"default_local_dir": f"/r/{seed}"}}},
            },
            "summary": {"toolworld/overall": 0.5, "loss": seed / 10, "_runtime": seed},
        }
        for model, seed in (("m", 1), ("m", 2), ("n", 3))
    ]  # fmt: skip
    built = build_report(tmp_path, imports=[write(tmp_path, json.dumps(runs), "r.json")])
    assert overall(built) == {"x [model.name m]": (50.0, 2), "x [model.name n]": (50.0, 1)}


@pytest.mark.parametrize(
    ("fields", "joins"),
    [
        ({}, True),
        ({"model": "tiny"}, True),
        ({"model": "Qwen2.5-7B"}, False),
        ({"algorithm": "GRPO", "rl.steps": "25.0"}, True),
        ({"algorithm": "ppo"}, False),
        ({"rl.steps": "50"}, False),
        ({"host": "theirs"}, True),
    ],
)
def test_an_import_joins_an_arm_of_ones_own_only_if_no_setting_contradicts(
    tree: Tree, fields: dict[str, str], joins: bool
) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("grpo", seed).done(toolworld_scores(0.5))
    root = tree.write()
    header = ",".join(["arm,seed", *fields, "bfcl/overall"])
    text = f"{header}\n" + seeds("grpo", 0.4, 1, "".join(f"{v}," for v in fields.values()))
    built = build_report(root, ["demo"], ["bfcl"], imports=[write(root, text)])
    found = {r.arm: r.cells["overall"].n for r in built.tables[0].rows if r.cells["overall"].n}
    assert found == ({"grpo": 3} if joins else {"grpo [runs]": 3})


def test_an_import_that_fits_two_arms_of_its_name_joins_neither(tree: Tree) -> None:
    for name, steps in (("first", 25), ("long", 50)):
        tree.sweep(name).run("a", 1, steps=steps).done(toolworld_scores(0.5))
    root = tree.write()
    path = write(root, "arm,seed,bfcl/overall\na,1,0.4\n")
    built = build_report(root, ["first", "long"], ["bfcl"], imports=[path])
    found = [r.arm for r in built.tables[0].rows if r.cells["overall"].n]
    assert found == ["a [runs]"]
