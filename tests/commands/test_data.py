"""`toolrl data`, and the gold check wherever it is made: here and at the start of an RL stage."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.commands.conftest import Toolrl
from tests.rewards.turns import GOLD, LAX, SFO, turn
from toolrl_cli.datasets import released
from toolrl_cli.datasets.verl_rows import rl_row, write_parquet
from toolrl_cli.errors import SpecError, StageError
from toolrl_cli.log import on_stderr
from toolrl_cli.planning.loading import load_plan
from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.training import stage_functions as stages
from toolrl_cli.training.checking import reward_trial
from toolrl_cli.training.inputs import data_folder

SMALL = ["--rows=base=4", "--rows=sft=4", "--rows=train=8", "--rows=val=4"]
NO_THINK = turn(SFO, think=None)


def write_released(folder: Path, train: list[str], val: list[str]) -> Path:
    """A folder with files named and shaped as those of the ToolRL release."""
    folder.mkdir(parents=True, exist_ok=True)
    sft = [{"instruction": "s", "input": "u", "output": GOLD}]
    (folder / "rlla_sft.json").write_text(json.dumps(sft), encoding="utf-8")
    for name, golds in (("train", train), ("test", val)):
        rows = [
            rl_row("s", f"u{i}", gold, data_source="rlla", index=i, extra={}) for i, gold in enumerate(golds)
        ]
        write_parquet(rows, folder / f"{name}.parquet")
    return folder


def context(tmp_path: Path, sweep_file: Path, *sets: str) -> StageContext:
    """Of the RL stage of the sweep's first trained arm."""
    plan, _ = load_plan(sweep_file, tmp_path / "results", ["resources.device=cpu", *sets])
    spec = next(stage.spec for stage in plan.stages.values() if stage.spec.kind == "rl")
    folder = tmp_path / "results/stages/rl" / spec.id
    (folder / "attempts/1").mkdir(parents=True, exist_ok=True)
    return StageContext(spec, tmp_path / "results", folder, folder / "attempts/1", {})


def test_generated_data_is_made_where_stages_look_for_it(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path
) -> None:
    made = toolrl("data", "prepare", "toolworld", "--seed", "3", *SMALL, "--json")
    assert made.code == 0, made.err
    assert {split: f["rows"] for split, f in made.json["files"].items()} == {
        "base": 4, "sft": 4, "train": 8, "val": 4
    }  # fmt: skip
    sizes = [f"data.{pair.removeprefix('--rows=')}" for pair in SMALL]
    ctx = context(tmp_path, sweep_file, "data.seed=3", *sizes)
    assert str(data_folder(ctx.spec.settings(RlConfig), ctx.results)) == made.json["folder"]
    assert len(list((tmp_path / "results/data").iterdir())) == 1


def test_every_gold_answer_of_generated_data_reaches_the_maximum(toolrl: Toolrl) -> None:
    rewards = ["original", "finegrained+dynamic", "coarse@paper", "dynamic@paper"]
    answer = toolrl(
        "data", "prepare", "toolworld", *SMALL, *(f"--reward={name}" for name in rewards), "--json"
    )
    assert answer.code == 0
    assert [(g["split"], g["reward"], g["rows"], g["ok"]) for g in answer.json["gold"]] == [
        (split, name, rows, True) for split, rows in (("train", 8), ("val", 4)) for name in rewards
    ]


def test_rows_whose_gold_falls_short_are_named_and_refused(toolrl: Toolrl, tmp_path: Path) -> None:
    source = write_released(tmp_path / "rlla", [GOLD, NO_THINK, turn("bad")], [GOLD])
    answer = toolrl("data", "prepare", "rlla", "--path", str(source))
    assert answer.code == 1
    assert "gold, train: 1 of 3 reach the maximum of original" in answer.out
    assert "row 1 (rlla-train-0001): format 0 of 1" in answer.out
    (error,) = (line for line in answer.err.splitlines() if line.startswith("error: "))
    assert "train.parquet: 2 of 3 gold answers do not reach the maximum of reward 'original'" in error
    assert "row 1 (rlla-train-0001)" in error and "row 2 (rlla-train-0002)" in error
    assert error.endswith("(correct the rows, or continue with --allow-imperfect-gold)")
    (short,) = (g for g in toolrl("data", "prepare", "rlla", "--path", str(source), "--json").json["gold"]
                if not g["ok"])  # fmt: skip
    assert [s["row"] for s in short["shortfalls"]] == ["1 (rlla-train-0001)", "2 (rlla-train-0002)"]


def test_imperfect_gold_is_accepted_with_a_warning_where_it_is_allowed(
    toolrl: Toolrl, tmp_path: Path
) -> None:
    source = write_released(tmp_path / "rlla", [GOLD], [NO_THINK] * 30)
    answer = toolrl("data", "prepare", "rlla", "--path", str(source), "--allow-imperfect-gold")
    assert answer.code == 0
    assert "warning: " in answer.err and "30 of 30 gold answers" in answer.err
    assert (
        "row 19 (" in answer.out
        and "row 20 (" not in answer.out
        and "10 more; --json names all" in answer.out
    )


def test_released_rows_can_be_limited_and_a_sweep_takes_them_as_told(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path
) -> None:
    source = write_released(tmp_path / "rlla", [GOLD, turn(SFO), turn(LAX)], [GOLD])
    answer = toolrl("data", "prepare", "rlla", "--path", "rlla", "--rows", "train=2", "--json")
    assert answer.json["files"]["train"]["rows"] == 2
    told = answer.err.partition("--set ")[2].strip().replace("'", "")
    assert told == f"data={{kind: rlla, path: {source}}}"
    limited = told.replace("}", ", limit: {train: 2}}")
    limited_ctx = context(tmp_path, sweep_file, limited)
    assert str(data_folder(limited_ctx.spec.settings(RlConfig), limited_ctx.results)) == answer.json["folder"]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made-up files in place of the release, behind file:// URLs, with their own git blob ids."""
    source = write_released(tmp_path / "upstream", [GOLD, turn(SFO)], [GOLD])
    files = tuple(
        released.SourceFile(file.name, file.name, released.blob_id((source / file.name).read_bytes()))
        for file in released.RELEASED["rlla"]
    )
    monkeypatch.setattr(released, "RELEASED", {**released.RELEASED, "rlla": files})
    monkeypatch.setattr(released, "SOURCE", source.as_uri())
    return source


def test_without_a_path_the_pinned_files_are_downloaded_once(toolrl: Toolrl, release: Path) -> None:
    first = toolrl("data", "prepare", "rlla", "--json")
    assert first.code == 0, first.err
    assert first.err.count("downloading") == 3
    assert first.json["files"]["train"]["rows"] == 2
    second = toolrl("data", "prepare", "rlla", "--json")
    assert second.json == first.json and "downloading" not in second.err


def test_a_copy_of_the_released_files_serves_without_a_network(toolrl: Toolrl, release: Path) -> None:
    answer = toolrl("data", "prepare", "sft400", "--from", str(release), "--json")
    assert answer.code == 0 and "downloading" not in answer.err
    assert Path("results/data/rlla-released/train.parquet").is_file()


def test_a_sweep_without_a_path_takes_the_released_rows(
    toolrl: Toolrl, sweep_file: Path, release: Path, tmp_path: Path
) -> None:
    refused = toolrl("plan", str(sweep_file), "--set", "data={kind: rlla}")
    assert refused.code == 2
    told = refused.err.splitlines()[-1]
    assert "the released data rlla are not there: rlla_sft.json is missing" in told
    command = shlex.split(told[told.index("(toolrl data prepare rlla") + 1 : -1])
    assert toolrl(*command[1:]).code == 0
    assert "rlla-released: whole" in toolrl("data", "list").out
    (entry,) = toolrl("data", "list", "--json").json["released"]
    assert entry["kind"] == "rlla" and entry["licence"] == "Apache-2.0" and not entry["lacks"]
    ctx = context(tmp_path, sweep_file, "data={kind: rlla}")
    assert data_folder(ctx.spec.settings(RlConfig), ctx.results).is_dir()


def test_a_download_that_fails_says_how_to_go_on(toolrl: Toolrl, release: Path) -> None:
    (release / "test.parquet").unlink()
    answer = toolrl("data", "prepare", "rlla")
    assert answer.code == 2
    assert "error: " in answer.err and "test.parquet: cannot be downloaded" in answer.err


def test_the_list_has_what_was_prepared(toolrl: Toolrl, tmp_path: Path) -> None:
    none = toolrl("data", "list")
    assert none.code == 0 and "no data under" in none.err
    made = toolrl("data", "prepare", "toolworld", *SMALL, "--json").json
    (tmp_path / "results/data/something-else").mkdir()
    shutil.copytree(made["folder"], tmp_path / "results/data/.toolworld.half-made")  # by another process
    (entry,) = toolrl("data", "list", "--json").json["data"]
    assert entry == {
        **{key: made[key] for key in made if key in entry},
        **{
            "tokens": {},
            "overlaps": entry["overlaps"],
            "gold": {"train": {"reached": 8, "rows": 8}, "val": {"reached": 4, "rows": 4}},
            "problems": [],
        },
    }
    shown = toolrl("data", "list").out
    assert Path(made["folder"]).name in shown and "train 8" in shown and "seed 0" in shown


def test_notes_on_the_rows_are_shown(toolrl: Toolrl, tmp_path: Path) -> None:
    source = write_released(tmp_path / "rlla", [GOLD], [GOLD])
    (source / "train.parquet").unlink()
    shown = toolrl("data", "prepare", "rlla", "--path", "rlla").out
    assert "the held-out rows serve as train and as val" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["toolword"], "did you mean 'toolworld'?"),
        (["toolworld", "--path", "x"], "toolworld takes no --path"),
        (["toolworld", "--from", "x"], "toolworld takes no --from"),
        (["api_bank", "--path", "x"], "api_bank takes no --path"),
        (["rlla", "--path", "x", "--from", "x"], "two places of the same files"),
        (["api_bank", "--from", "nowhere"], "holds no level-1-api_processed.json"),
        (["api_bank", "--rows", "train=3"], "api_bank is taken whole"),
        (["sft4k"], "was never released (toolrl data prepare sft4k --from FILE takes rows of your own"),
        (["sft4k", "--from", "nowhere.json"], "cannot be read"),
        (["sft4k", "--from", "nowhere.json", "--reward", "coarse"], "no reward is asked about sft4k"),
        (["rlla", "--seed", "3"], "rlla is released as it is and takes no seed"),
        (["api_bank", "--reward", "coarse"], "no reward is asked about api_bank"),
        (["toolworld", "--rows", "trian=3"], "did you mean 'train'?"),
        (["toolworld", "--rows", "train=0"], "'0' is no number of rows"),
        (["toolworld", "--rows", "train"], "'' is no number of rows"),
        (["rlla", "--rows", "base=3"], "unknown split 'base'"),
        (["rlla", "--path", "nowhere"], "is not a folder"),
        (["toolworld", "--reward", "coars"], "did you mean 'coarse'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(toolrl: Toolrl, arguments: list[str], says: str) -> None:
    answer = toolrl("data", "prepare", *arguments)
    assert answer.code == 2, answer
    error = answer.err.splitlines()[-1]
    assert error.startswith("error: ") and says in error
    assert not Path("results/data").exists() or not list(Path("results/data").iterdir())


def test_the_list_counts_tokens_finds_rows_in_common_and_checks_gold(
    toolrl: Toolrl, tmp_path: Path, release: Path
) -> None:
    source = write_released(tmp_path / "mine", [GOLD, NO_THINK], [GOLD])
    toolrl("data", "prepare", "rlla", "--path", str(source), "--allow-imperfect-gold")
    listed = toolrl("data", "list", "--tokenizer", "tiny", "--json")
    assert listed.code == 0, listed.err
    (entry,) = listed.json["data"]
    assert set(entry["tokens"]) == {"sft", "train", "val"} and entry["tokens"]["sft"]["answer"]["longest"] > 5
    assert entry["gold"] == {"train": {"reached": 1, "rows": 2}, "val": {"reached": 1, "rows": 1}}
    assert entry["overlaps"] == ["1 of 2 train rows ask what val asks"]
    shown = toolrl("data", "list", "--tokenizer", "tiny").out
    assert "1 of 2 train rows ask what val asks" in shown and "gold, train: 1 of 2 reach the maximum" in shown
    assert "prompt" in shown and "tokens (longest" in shown
    assert "unknown model 'tinny'" in toolrl("data", "list", "--tokenizer", "tinny").err


def test_sft_rows_of_one_s_own_are_checked_and_a_sweep_takes_them_as_told(
    toolrl: Toolrl, tmp_path: Path, sweep_file: Path
) -> None:
    rows = [{"instruction": "s", "input": f"u{i}", "output": GOLD} for i in range(3)]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    made = toolrl("data", "prepare", "sft4k", "--from", str(file), "--json").json
    assert (made["rows"], made["placeholder_thoughts"]) == (3, 0)
    told = toolrl("data", "prepare", "sft4k", "--from", str(file))
    assert "3 rows" in told.out and f"--set data.sft4k={file}" in told.err
    source = write_released(tmp_path / "rlla", [GOLD], [GOLD])
    sets = [f"data={{kind: rlla, path: {source}}}", f"data.sft4k={file}", "train=[sft]", "sft.split=sft4k"]
    plan, _ = load_plan(sweep_file, tmp_path / "results", [*sets, "resources.device=cpu", "sft.batch_size=1"])
    stage = next(s.spec for s in plan.stages.values() if s.spec.config.get("sft", {}).get("split") == "sft4k")
    folder = data_folder(stage.settings(SftConfig), tmp_path / "results")
    assert len(pq.read_table(folder / "sft4k.parquet")) == 3
    before = stage.identity["data"]
    file.write_text(json.dumps(rows[:2]), encoding="utf-8")
    plan, _ = load_plan(sweep_file, tmp_path / "results", [*sets, "resources.device=cpu", "sft.batch_size=1"])
    assert all(s.spec.identity.get("data") != before for s in plan.stages.values())
    with pytest.raises(SpecError, match=r"sft4k has no rows .*data.sft4k"):
        load_plan(sweep_file, tmp_path / "results", [sets[0], *sets[2:]])
    with pytest.raises(SpecError, match="ToolWorld has no split sft4k"):
        load_plan(sweep_file, tmp_path / "results", sets[2:])


Begin = Callable[..., list[list[str]]]


@pytest.fixture
def begin(tmp_path: Path, sweep_file: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Start an RL stage on real checks and data with a trainer that only notes how it was called."""
    called: list[list[str]] = []
    monkeypatch.setattr(stages, "model_path", lambda ctx, model: "model")
    monkeypatch.setattr(stages, "run_child", lambda argv, **_: called.append(argv))

    def run(*sets: str) -> list[list[str]]:
        called.clear()
        with pytest.raises(StageError) as ended:  # this trainer leaves no checkpoint, and the stage says so
            stages.run_rl(context(tmp_path, sweep_file, *sets))
        if not called:
            raise ended.value
        return called

    return run


def imperfect(tmp_path: Path) -> str:
    source = write_released(tmp_path / "rlla", [GOLD, NO_THINK], [GOLD])
    return f"data={{kind: rlla, path: {source}}}"


def test_an_rl_stage_does_not_train_on_gold_that_falls_short(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward_trial, "OWN_ROWS", 1)  # a row behind those that plan looks at
    with pytest.raises(StageError, match=r"1 of 2 gold answers .*row 1 \(rlla-train-0001\)") as refused:
        begin(imperfect(tmp_path))
    assert refused.value.failure_class == "config"
    assert "--allow-imperfect-gold" in refused.value.hint


def test_an_rl_stage_trains_on_imperfect_gold_where_that_is_allowed_and_logs_it(
    begin: Begin, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with on_stderr("toolrl: "):
        (argv,) = begin(imperfect(tmp_path), "rl.allow_imperfect_gold=true")
    assert "verl.trainer.main_ppo" in argv
    assert "toolrl: allowed: " in capfd.readouterr().err


def test_an_rl_stage_trains_on_gold_that_reaches_the_maximum(begin: Begin, tmp_path: Path) -> None:
    source = write_released(tmp_path / "rlla", [GOLD], [NO_THINK])
    assert len(begin(f"data={{kind: rlla, path: {source}}}")) == 1


def test_a_component_that_fails_on_gold_ends_the_stage_with_class_reward(
    begin: Begin, tmp_path: Path
) -> None:
    source = "def f(extra_info):\n    if extra_info['index'] > 3: raise ValueError('mine')\n    return 1\n"
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")  # plan tries the first four rows
    part = f"{{kind: python, path: {tmp_path / 'mine.py'}, function: f, range: [0, 1]}}"
    rows = write_released(tmp_path / "rlla", [GOLD] * 5, [GOLD])
    with pytest.raises(StageError, match="f raised ValueError: mine") as refused:
        begin(f"data={{kind: rlla, path: {rows}}}", f"reward={{components: {{mine: {part}}}}}")
    assert refused.value.failure_class == "reward"
    assert refused.value.where == "row 4 (rlla-train-0004): components.mine"
    (kept,) = tmp_path.rglob("reward_failure.json")
    assert f"in {tmp_path / 'mine.py'}" in refused.value.hint
    assert f"toolrl reward explain {kept}" in refused.value.hint
    assert json.loads(kept.read_text())["completion"] == GOLD
    assert (kept.parent / "reward.json").is_file()  # explained under the run's own reward


def rl_settings(document: dict[str, Any]) -> list[bool]:
    return [s["config"]["rl"]["allow_imperfect_gold"] for s in document["stages"] if s["kind"] == "rl"]


def test_allowing_imperfect_gold_changes_no_identity_and_is_kept_in_the_plan(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path
) -> None:
    plan, _ = load_plan(sweep_file, tmp_path / "results")
    SweepFolder(tmp_path / "results", plan.sweep).save(plan, sweep_file.read_text())
    frozen = tmp_path / "results/sweeps/small/plan.json"
    before = json.loads(frozen.read_text())
    assert rl_settings(before) == [False, False]
    answer = toolrl("resume", "small", "--allow-imperfect-gold", "--only", "raw")
    assert answer.code == 0, answer.err
    after = json.loads(frozen.read_text())
    assert rl_settings(after) == [True, True]
    assert [s["id"] for s in after["stages"]] == [s["id"] for s in before["stages"]]
    toolrl("sweep", "small.yaml", "--only", "raw")
    assert rl_settings(json.loads(frozen.read_text())) == [False, False]
    toolrl("sweep", "small.yaml", "--only", "raw", "--allow-imperfect-gold")
    assert rl_settings(json.loads(frozen.read_text())) == [True, True]
