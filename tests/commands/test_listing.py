"""What `list`, `show` and `diff` say, with stages of no work."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Toolrl
from toolrl_cli.tracking.status import RunStatus, StatusWriter


def test_list_names_the_sweeps_with_results_the_files_here_and_those_that_come_with_toolrl(
    swept: Toolrl, tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("name: x\nname: y\n")
    (tmp_path / "table.yaml").write_text("name: t\ncolumns: []\n")
    found = swept("list", "--json").json
    assert found["results"] == [
        {"name": "small", "runs": 3, "stages": 9, "done": 9, "harnesses": 0, "fault": ""}
    ]
    assert [row["name"] for row in found["files"]] == ["broken", "small"] and found["files"][0]["fault"]
    assert "quickstart" in [row["name"] for row in found["shipped"] if row["about"]]
    about = {row["name"]: row["about"] for row in found["shipped"]}
    assert about["quickstart"].startswith(
        "The main job in small: one tiny model, five arms"
    ) and "\n" not in str(about)
    said = swept("list").out
    assert "3 runs, 9 of 9 stages done" in said and "The paper's Table 6" in said


def test_a_sweep_whose_plan_is_torn_is_listed_as_that(swept: Toolrl, tmp_path: Path) -> None:
    (tmp_path / "results/sweeps/small/plan.json").write_text("{")
    (row,) = swept("list", "--json").json["results"]
    assert row["fault"] and "unreadable: " in swept("list").out


def test_list_shows_a_sweep_s_runs_with_settings_and_scores(swept: Toolrl) -> None:
    runs = {run["id"]: run for run in swept("list", "small", "--json").json["runs"]}
    assert list(runs) == ["raw-seed1", "coarse-seed1", "original-seed1"]
    assert runs["coarse-seed1"]["settings"] == {"reward": "coarse"}
    assert 0 <= runs["coarse-seed1"]["scores"]["toolworld"]["overall"] <= 1
    row = next(line for line in swept("list", "small").out.splitlines() if line.startswith("coarse"))
    assert "reward=coarse" in row and "succeeded" in row and row.split()[-1].replace(".", "").isdigit()
    assert "no sweep 'smal'" in swept("list", "smal").err


def test_show_says_scores_times_metrics_and_the_wandb_run(swept: Toolrl, tmp_path: Path) -> None:
    url = "https://wandb.ai/x/y/runs/z"
    status = StatusWriter(tmp_path / "results/sweeps/small", "online")
    status.urls["coarse-seed1"] = url
    status.set("coarse-seed1", RunStatus("small-coarse", content="x"))
    status.write(ended=True)
    found = swept("show", "coarse-seed1", "--json").json
    assert found["wandb"] == {"id": "small-coarse", "mode": "online", "url": url, "folder": None}
    assert found["seconds"] > 0 and found["gpu_hours"] == 0
    assert found["scores"]["toolworld"]["overall"]["value"] is not None
    said = swept("show", "coarse-seed1").out
    for part in ("toolworld: ", "no GPU", url, 'reward.name "coarse"', "rl.steps 2"):
        assert part in said, part
    assert "nothing yet" in swept("show", "raw-seed1").out


def test_scores_that_their_items_contradict_are_unreadable_there_too(swept: Toolrl, tmp_path: Path) -> None:
    (stage,) = [s for s in swept("show", "raw-seed1", "--json").json["stages"] if s["kind"] == "evaluate"]
    with (Path(stage["folder"]) / "output/items.jsonl").open("a") as items:
        items.write('{"id": "more", "category": "x", "correct": true}\n')
    told = "unreadable: scores.json is of 8 items, and items.jsonl has 9"
    assert swept("list", "small", "--json").json["runs"][0]["faults"] == {"toolworld": told}
    assert f"toolworld: {told}" in swept("show", "raw-seed1").out


def test_diff_says_what_differs_in_settings_and_results(swept: Toolrl) -> None:
    found = swept("diff", "coarse-seed1", "small/original-seed1", "--json").json
    names = {row["field"]: (row["a"], row["b"], row["kinds"]) for row in found["settings"]}
    assert names["reward.name"] == ("coarse", "original", ["rl"])
    assert "seed" not in names and "rl.steps" not in names
    overall = next(row for row in found["results"] if row["name"] == "toolworld/overall")
    assert overall["difference"] == overall["b"] - overall["a"]
    said = swept("diff", "coarse-seed1", "original-seed1").out
    assert "reward.name (rl)" in said and "toolworld/overall" in said
    assert "no setting differs" in swept("diff", "raw-seed1", "raw-seed1").err
    (stage,) = [s for s in swept("show", "coarse-seed1", "--json").json["stages"] if s["kind"] == "evaluate"]
    scores = Path(stage["folder"]) / "output/scores.json"
    scores.write_text(json.dumps(json.loads(scores.read_text()) | {"sampling": "limit 1"}))
    apart = swept("diff", "coarse-seed1", "original-seed1", "--json").json["results"]
    overall = next(row for row in apart if row["name"] == "toolworld/overall")
    assert overall["a"] is not None and overall["difference"] is None
    assert overall["note"] == "scored differently (sampling: not said / limit 1)"
    said = " ".join(swept("diff", "coarse-seed1", "original-seed1").out.split())
    assert "n/c: toolworld: scored differently (sampling: not said / limit 1)" in said
    chains = swept("diff", "raw-seed1", "coarse-seed1", "--json").json["settings"][0]
    assert chains["field"] == "stages" and chains["b"].endswith("rl → export → evaluate")
