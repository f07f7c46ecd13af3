"""The HTML page: what is in it, and that a browser can sort, filter and open it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.report.builder import RunTree, Tree, toolworld_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.page_data import curves, rollouts, runs
from toolrl_cli.report.page_data import items as page_items
from toolrl_cli.report.page_data.excerpts import weight
from toolrl_cli.report.render import html
from toolrl_cli.rewards import get_reward

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


GOLD = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'


def rolled_out(run: RunTree, step: int, outputs: Sequence[str], kind: str = "rollouts", **more: Any) -> None:
    """Write a dump of one prompt's responses, scored by the run's reward, as verl and toolrl do."""
    reward = get_reward(run.settings["reward"])
    folder = run.directory("rl") / "attempts/1"
    (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / "reward.json").write_text(json.dumps(reward.to_dict()))
    write_spec = {"total_steps": 25, "config": {}}
    if not (folder.parent.parent / "spec.json").is_file():
        (folder.parent.parent / "spec.json").write_text(json.dumps(write_spec))
    rows = [
        {"input": "p", "output": text, "gts": GOLD, "step": step, "uid": f"p_{k}_0"}
        | {"score": reward.score(text, GOLD, step, 25).total, **more}
        for k, text in enumerate(outputs)
    ]
    path = folder / kind / f"{step}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def filled(tree: Tree) -> str:
    for seed in (1, 2, 3):
        a = tree.sweep().run("alpha", seed).done(toolworld_scores(0.60 + 0.01 * seed)).learned(-1, 2)
        b = (
            tree.sweep()
            .run("beta", seed, reward="coarse")
            .done(toolworld_scores(0.40 + 0.01 * seed))
            .learned(-2, 1)
        )
        rolled_out(a, 1, [GOLD, HOSTILE])
        rolled_out(a, 25, [GOLD, GOLD.replace("1", "2")])
        a.items({"parallel": {f"i{k}": k < 6 for k in range(10)} | {HOSTILE: True}})
        b.items({"parallel": {f"i{k}": k < 2 for k in range(10)} | {HOSTILE: False}})
    tree.sweep().run("gamma", reward="length").failed("rl", "oom", HOSTILE + "long" * 20)
    return build_report(tree.write(), ["demo"]).render("html")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_numbers_of_json(tree: Tree) -> None:
    data = data_of(filled(tree))
    document = build_report(tree.root, ["demo"]).to_json()
    for shown, known in zip(data["tables"], document["tables"], strict=True):
        for row, cells in zip(shown["rows"], known["rows"], strict=True):
            assert [c["value"] for c in row["cells"]] == [c["mean"] for c in cells["cells"].values()]
            assert [c["note"] for c in row["cells"]] == [c["note"] for c in cells["cells"].values()]


def test_the_same_results_give_the_same_page(tree: Tree) -> None:
    first = filled(tree)
    assert build_report(tree.root, ["demo"]).render("html") == first


def test_nothing_is_loaded_from_elsewhere_and_no_name_becomes_markup(tree: Tree) -> None:
    page = filled(tree)
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert ".innerHTML" not in page


def test_each_cell_leads_to_its_evaluations_once_stored(tree: Tree) -> None:
    data = data_of(filled(tree))
    cell = data["tables"][0]["rows"][0]["cells"][-1]
    found = [data["evaluations"][stage] for stage, _, _ in cell["sources"]]
    assert [e["seeds"] for e in found] == [[1], [2], [3]]
    assert all((tree.root / e["items"]).is_file() and e["step"] == 25 for e in found)
    assert len(data["evaluations"]) == 7


def test_arms_are_told_apart_by_their_differing_settings_only(tree: Tree) -> None:
    rows = data_of(filled(tree))["tables"][0]["rows"]
    assert [row["settings"] for row in rows] == [
        {"reward.name": "original"}, {"reward.name": "coarse"}, {"reward.name": "length"},
    ]  # fmt: skip


def test_items_on_which_two_arms_disagree_come_with_verdicts_p_and_excerpts(tree: Tree) -> None:
    (found,) = data_of(filled(tree))["tables"][0]["items"]
    assert len(found["ids"]) == 11 and found["benchmark"] == "toolworld"
    assert found["right"]["0"].count(3) == 7 and found["right"]["1"].count(3) == 2
    assert set(found["asked"]["0"]) == {3}
    pair = found["pairs"]["0,1"]
    assert (pair["p"], pair["sign_p"], pair["n"], pair["difference"]) == (0.0625, 0.0625, 11, 45.5)
    assert len(found["texts"]) == 11 and found["answers"]["0"]["0"] == {"output": "o"}


def test_the_items_of_a_lone_model_are_there_whole_with_tools_gold_answer_and_reason(tree: Tree) -> None:
    run = tree.sweep().run("alone").done({"overall": (1, 2)})
    run.items({"parallel": {"a": True, "b": False}})
    path = run.directory("evaluate", "toolworld") / "output/items.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    prompt = [{"role": "system", "content": "s" * 9000}, {"role": "user", "content": "the question"}]
    told = {"prompt": prompt, "tools": [{"name": "f"}], "gold": "g", "reason": "wrong tool", "stop": "length"}
    path.write_text("".join(json.dumps({**row, **told}) + "\n" for row in rows))
    (found,) = data_of(build_report(tree.write(), ["demo"]).render("html"))["tables"][0]["items"]
    assert found["ids"] == ["a", "b"] and set(found["texts"]) == {"0", "1"}
    text = found["texts"]["1"]
    assert text["gold"] == "g" and json.loads(text["tools"]) == [{"name": "f"}]
    assert text["asked"].endswith("user: the question") and "characters …" in text["asked"]
    assert found["answers"]["0"]["1"] == {"output": "o", "reason": "wrong tool", "stop": "length"}


def test_more_items_than_a_page_can_hold_are_left_in_their_files(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_items, "READ_BYTES", 10)
    (found,) = data_of(filled(tree))["tables"][0]["items"]
    assert found["right"] == {} and "more than a page can hold" in found["why"]


def test_texts_stop_where_there_is_no_more_room(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_items, "TEXT_BYTES", 7)
    (found,) = data_of(filled(tree))["tables"][0]["items"]
    assert len(found["texts"]) < 11
    assert len(found["right"]["0"]) == 11


@pytest.mark.parametrize("mixed", [False, True])
def test_arms_that_the_table_does_not_compare_are_not_compared_on_the_page(tree: Tree, mixed: bool) -> None:
    for arm in ("a", "b"):
        for seed in (1, 2, 3):
            apart = {"protocol": "other"} if arm == "b" and (seed == 3 or not mixed) else {}
            run = tree.sweep().run(arm, seed, reward=arm).done({"overall": (5, 10)}, **apart)
            run.items({"parallel": {f"i{k}": (k < 5) is (arm == "a") for k in range(10)}})
    report = build_report(tree.write(), ["demo"], ["toolworld"])
    (items,) = data_of(report.render("html"))["tables"][0]["items"]
    (pair,) = items["pairs"].values()
    assert pair == {"why": report.pairs("a", "b")[0].columns[-1].why}


def test_items_of_two_benchmarks_with_equal_ids_stay_apart_on_the_page(tree: Tree, tmp_path: Path) -> None:
    for arm, right in (("a", 50), ("b", 0)):
        run = tree.sweep().run(arm, reward=arm, benchmarks=("toolworld", "bamboogle"))
        for benchmark, correct in (("toolworld", right), ("bamboogle", 50 - right)):
            run.done({"overall": (correct, 50), "accuracy": (correct, 50)}, benchmark)
            run.items({"": {str(k): correct > 0 for k in range(50)}}, benchmark)
    spec = tmp_path / "both.yaml"
    spec.write_text(
        "{name: both, title: Both, benchmark: toolworld, columns: [{name: overall, label: Overall},"
        " {name: accuracy, label: Accuracy, benchmark: bamboogle}]}"
    )
    (table,) = data_of(build_report(tree.write(), ["demo"], [str(spec)]).render("html"))["tables"]
    assert [(one["benchmark"], one["pairs"]["0,1"]["difference"]) for one in table["items"]] == [
        ("toolworld", 100.0), ("bamboogle", -100.0),
    ]  # fmt: skip


def test_published_numbers_alone_make_a_page_too(tmp_path: Path) -> None:
    data = data_of(build_report(tmp_path, tables=["T6"], published_only=True).render("html"))
    assert data["tables"][0]["rows"][0]["cells"][0]["value"] == 46.2
    assert data["curves"]["panels"] == [] and data["claims"] == []


def test_a_missing_value_is_not_sorted_by_what_others_printed(tree: Tree) -> None:
    model = "qwen2.5-3b-instruct"
    tree.sweep().run("a", model=model, benchmarks=("bfcl",)).failed("rl", "oom")
    made = build_report(tree.write(), ["demo"], ["T6"], against="paper").render("html")
    cell = data_of(made)["tables"][0]["rows"][0]["cells"][0]
    assert cell["value"] is None and "published 52.98" in cell["sub"]


def test_the_legend_names_arms_that_have_a_curve(tree: Tree) -> None:
    found = data_of(filled(tree))["curves"]
    assert [arm["name"] for arm in found["arms"]] == ["alpha", "beta"]
    assert {line["arm"] for panel in found["panels"] for line in panel["lines"]} == {0, 1}


def test_rollouts_are_laid_open_part_by_part_and_their_parts_make_up_the_logged_reward(tree: Tree) -> None:
    (found,) = data_of(filled(tree))["rollouts"]
    assert (found["arm"], found["run"], found["kind"], found["of"]) == ("alpha", "alpha-seed1", "rollouts", 2)
    assert [one["step"] for one in found["steps"]] == [1, 25]
    for step in found["steps"]:
        for response in step["prompts"][0]["responses"]:
            assert sum(part["weighted"] for part in response["parts"]) == pytest.approx(response["score"])
            assert all(part["terms"] for part in response["parts"])


def test_a_users_code_is_not_run_for_a_page_and_validations_logged_parts_stand_in(tree: Tree) -> None:
    run = tree.sweep().run("mine").done(toolworld_scores(0.5))
    rolled_out(run, 1, [GOLD])
    logged = {"brevity/raw": 0.5, "brevity/weight": 2.0, "brevity/weighted": 1.0, "brevity/words": 7}
    rolled_out(run, 5, [GOLD], "validation", **logged)
    code = tree.root / "mine.py"
    code.write_text("def brevity(completion, ground_truth):\n    raise SystemExit\n")
    own = {"kind": "python", "function": "brevity", "path": str(code), "range": [0.0, 1.0], "weight": 2.0}
    reward = get_reward({"components": {"brevity": own}, "fidelity": "released"})
    (run.directory("rl") / "attempts/1/reward.json").write_text(json.dumps(reward.to_dict()))
    (found,) = data_of(build_report(tree.write(), ["demo"]).render("html"))["rollouts"]
    assert found["kind"] == "validation" and "runs no code of yours" in found["why"]
    (response,) = found["steps"][0]["prompts"][0]["responses"]
    numbers, terms = {"raw": 0.5, "weight": 2.0, "weighted": 1.0}, [["words", "a metric", 7]]
    assert response["parts"] == [{"name": "brevity", **numbers, "terms": terms}]


def test_a_rollout_whose_text_does_not_earn_its_logged_reward_is_not_explained_by_it(tree: Tree) -> None:
    run = tree.sweep().run("a").done(toolworld_scores(0.5))
    rolled_out(run, 1, [GOLD], score=-1.0)
    (found,) = data_of(build_report(tree.write(), ["demo"]).render("html"))["rollouts"]
    (response,) = found["steps"][0]["prompts"][0]["responses"]
    assert response["parts"] == [] and response["note"].startswith(
        "scored anew from the logged text it earns 4"
    )


def test_a_page_holds_no_more_rollouts_than_it_has_room_for(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "PAGE_BYTES", 10)
    for found in data_of(filled(tree))["rollouts"]:
        assert [len(p["responses"]) for step in found["steps"] for p in step["prompts"]] == [1, 1]


def test_a_page_that_grows_too_large_leaves_the_largest_tables_items_in_their_files(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = filled(tree)
    monkeypatch.setattr(html, "PAGE_BYTES", len(html._json(data_of(whole)).encode()) - 500)
    small = build_report(tree.root, ["demo"]).render("html")
    (found,) = data_of(small)["tables"][0]["items"]
    assert len(small) < len(whole) and found["ids"] == [] and "more than this page can hold" in found["why"]


def test_signs_that_the_page_writes_as_escapes_count_with_their_length() -> None:
    assert weight("<") == len('"\\u003c"') and weight("漢") == 5


def test_long_curves_are_thinned_and_the_page_says_so(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "POINTS", 150)
    monkeypatch.setattr(curves, "WHOLE", 10)
    found = data_of(filled(tree))["curves"]
    total = next(panel for panel in found["panels"] if panel["title"] == "Total reward")["lines"][0]
    assert total["x"][-1] == 25 and len(total["x"]) == len(total["y"]) < 25
    assert "one point in" in found["notes"][-1]
    few = next(panel for panel in found["panels"] if panel["sparse"])["lines"][0]
    assert len(few["x"]) == 6  # validations are all there


def test_a_dump_that_cannot_be_read_leaves_a_reason_and_the_rest_of_the_page(tree: Tree) -> None:
    run = tree.sweep().run("a").done(toolworld_scores(0.5))
    rolled_out(run, 1, [GOLD])
    (run.directory("rl") / "attempts/1/rollouts/2.jsonl").mkdir()
    (run.directory("rl") / "attempts/1/validation/5.jsonl").mkdir(parents=True)
    report = build_report(tree.write(), ["demo"])
    data = data_of(report.render("html"))
    assert data["rollouts"][0]["why"].startswith("they cannot be read") and data["tables"][0]["rows"]
    assert any("validation answers cannot be read" in fault for fault in report.faults)


def test_runs_come_with_their_time_gpu_hours_versions_data_and_place_in_wandb(tree: Tree) -> None:
    run = tree.sweep().run("a").done(toolworld_scores(0.5))
    stage = run.stage("rl")
    path = run.directory("rl") / "state.json"
    state = json.loads(path.read_text())
    state["attempts"] = [
        {"n": n, "status": "succeeded", "failure": None, "started": 0, "ended": 1800} for n in (1, 2)
    ]
    path.write_text(json.dumps(state))
    environment = {"schema": 1, "host": "h", "devices": "0,1", "gpus": ["H"], "versions": {"verl": "0.9.1"}}
    for n, devices in ((1, "0,1,2,3"), (2, "0,1")):
        (run.directory("rl") / f"attempts/{n}").mkdir(parents=True, exist_ok=True)
        path = run.directory("rl") / f"attempts/{n}/environment.json"
        path.write_text(json.dumps(environment | {"devices": devices}))
    told = {"id": "x", "rows": 1, "sent": 1, "content": "c", "fault": ""}
    status = {"schema": 1, "mode": "online", "process": {}, "ended": True, "runs": {"a-seed1": told}}
    root = tree.write()
    (root / "sweeps/demo/wandb_status.json").write_text(
        json.dumps(status | {"urls": {"a-seed1": "https://w.example/x"}})
    )
    found = data_of(build_report(root, ["demo"]).render("html"))["runs"]
    assert found["runs"][0]["wandb"] == "https://w.example/x" and found["runs"][0]["url"]
    rl = found["stages"][stage.id]
    assert (rl["seconds"], rl["gpu_hours"], rl["attempts"]) == (3600, 3.0, 2)  # each attempt with its own
    assert rl["versions"] == "verl 0.9.1" and rl["host"] == "h, H" and rl["files"].endswith(stage.id)


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        (None, None),
        ({"devices": None, "gpus": []}, 0),
        ({"devices": None, "gpus": ["H"]}, None),
        ({"devices": "-1", "gpus": []}, 0),
        ({"devices": "GPU-1, GPU-2", "gpus": ["H"]}, 2),
    ],
)
def test_gpus_of_an_attempt_are_known_or_not(environment: dict[str, Any] | None, gpus: int | None) -> None:
    assert runs._gpus(environment) == gpus


def test_half_a_surrogate_pair_in_an_answer_does_not_cost_the_page() -> None:
    assert "?" in html._json({"output": "a \ud83d call"})


@pytest.mark.parametrize("baseline", [None, "middle"])
def test_the_page_opens_on_the_baseline_and_the_best_other_arm(
    tree: Tree, tmp_path: Path, baseline: str | None
) -> None:
    for arm, share in (("first", 0.2), ("best", 0.8), ("middle", 0.5)):
        tree.sweep().run(arm, reward=arm).done(toolworld_scores(share))
    spec = tmp_path / "own.yaml"
    named = f"baseline: {baseline}, " if baseline else ""
    columns = "columns: [{name: overall, label: Overall}]"
    spec.write_text(f"{{name: own, title: Own, benchmark: toolworld, {named}{columns}}}")
    (table,) = data_of(build_report(tree.write(), ["demo"], [str(spec)]).render("html"))["tables"]
    assert [table["rows"][i]["arm"] for i in table["opens"]] == [baseline or "first", "best"]


# The driver acts as a reader would and tells the page around it what it saw, which Chromium then prints. A frame is as
# narrow as a phone; Chromium's own window is never narrower than 500 pixels.
FRAME = """<!doctype html><body><iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>
addEventListener("message", (event) => {{
  document.body.append(Object.assign(document.createElement("pre"), {{ id: "seen", textContent: event.data }}));
}});
</script>"""
DRIVER = """
<script>
const seen = { errors: window.faults };
const arms = () => [...document.querySelectorAll("#table-0 tbody tr:not(.group)")].map((r) => r.cells[0].textContent);
const heads = [...document.querySelectorAll("#table-0 th button")];
seen.before = arms();
heads[heads.length - 1].click(); seen.descending = arms();
heads[heads.length - 1].click(); seen.ascending = arms();
heads[heads.length - 1].click(); seen.restored = arms();
const filter = document.querySelector("#table-0 input");
filter.value = "zzz"; filter.dispatchEvent(new Event("input"));
seen.none = document.querySelector("#table-0 tbody").textContent;
filter.value = "BET"; filter.dispatchEvent(new Event("input")); seen.filtered = arms();
filter.value = ""; filter.dispatchEvent(new Event("input"));
document.querySelector("#table-0 td button").click();
seen.dialog = document.getElementById("cell").open;
seen.dialogTitle = document.getElementById("cell-title").textContent;
seen.dialogRows = document.querySelectorAll("#cell-body tbody tr").length;
document.getElementById("cell").close();
const a = document.getElementById("compare-a"), b = document.getElementById("compare-b");
seen.opened = [a, b].map((one) => one.selectedOptions[0].textContent).join();
seen.settings = document.querySelector("#compare-result .settings td").textContent;
seen.counts = document.querySelector("#compare-result > p").textContent;
const details = document.querySelector("#compare-result details");
details.open = true; details.dispatchEvent(new Event("toggle"));
seen.items = details.querySelectorAll("code").length;
seen.wrong = document.querySelectorAll("#items-result details").length;
seen.itemsOf = document.getElementById("items-row").selectedOptions[0].textContent;
const kind = document.getElementById("items-kind");
kind.value = "all"; kind.dispatchEvent(new Event("change"));
seen.all = document.querySelectorAll("#items-result details").length;
const item = document.querySelector("#items-result details");
item.open = true; item.dispatchEvent(new Event("toggle"));
seen.texts = item.querySelector("pre").textContent;
const find = document.getElementById("items-find");
find.value = "no such text"; find.dispatchEvent(new Event("input"));
seen.nothing = document.querySelectorAll("#items-result details").length;
find.value = ""; find.dispatchEvent(new Event("input"));
const row = document.getElementById("items-row");
row.value = "all"; row.dispatchEvent(new Event("change"));
kind.value = "differ"; kind.dispatchEvent(new Event("change"));
seen.differ = document.querySelectorAll(".verdicts tbody tr").length;
document.querySelector(".verdicts tbody button").click();
seen.beside = document.querySelectorAll(".verdicts .opened .response").length;
seen.rollout = document.querySelectorAll("#rollouts-result .response").length;
seen.noRollouts = document.querySelector("#rollouts-result p").textContent;
seen.parts = document.querySelector("#rollouts-result .parts").textContent;
document.getElementById("rollouts-later").click();
seen.later = document.getElementById("rollouts-step").selectedOptions[0].textContent;
seen.runs = document.querySelectorAll("#runs tbody tr").length;
document.querySelector("#runs tbody button").click();
seen.stages = document.querySelectorAll("#runs .opened details").length;
const plot = document.querySelector(".plots svg");
plot.scrollIntoView();
plot.focus();
plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
seen.keyTip = document.getElementById("tip").textContent;
seen.inWords = plot.getAttribute("aria-label");
const box = plot.getBoundingClientRect();
plot.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 20 }));
seen.tip = document.getElementById("tip").textContent;
seen.lines = plot.querySelectorAll("polyline").length;
const smooth = document.getElementById("curves-smooth");
const total = () =>
  [...document.querySelectorAll(".plots figure")].find((one) => one.textContent.startsWith("Total reward"));
const points = () => total().querySelector("polyline").getAttribute("points");
const before = points();
smooth.value = "5"; smooth.dispatchEvent(new Event("change"));
seen.smoothed = before !== points() && total().textContent.includes("mean of 5 steps");
seen.bands = total().querySelectorAll("polygon").length;
document.querySelector(".legend input").click();
seen.linesAfter = document.querySelector(".plots svg").querySelectorAll("polyline").length;
seen.axis = document.querySelector(".plots svg").textContent;
const box0 = document.querySelector("#table-0 .scroll");
seen.head = ["thead th", "tbody th"].map((one) => getComputedStyle(box0.querySelector(one)).position).join("");
seen.named = [...document.querySelectorAll("button, input, select")].every((one) =>
  one.textContent.trim() || one.getAttribute("aria-label") || one.closest("label"));
seen.wide = document.documentElement.scrollWidth <= window.innerWidth;
seen.width = window.innerWidth;
parent.postMessage(JSON.stringify(seen), "*");
</script>
"""
FAULTS = """<script>
window.faults = [];
addEventListener("error", (event) => window.faults.push(String(event.message)));
console.error = (...args) => window.faults.push(args.join(" "));
</script>"""


@pytest.mark.e2e
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_sorts_filters_opens_cells_and_finds_no_error(
    tree: Tree, tmp_path: Path, width: int
) -> None:
    page = filled(tree).replace("<head>", f"<head>{FAULTS}").replace("</body>", f"{DRIVER}</body>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
            "--window-size=1600,1000", "--virtual-time-budget=3000", "--dump-dom", f"file://{tmp_path}/frame.html",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stdout[-1000:]
    seen = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen["errors"] == [] and seen["width"] == width
    assert seen["before"] == seen["restored"] == seen["descending"] == ["alpha", "beta", "gamma"]
    assert seen["ascending"] == ["beta", "alpha", "gamma"]
    assert seen["filtered"] == ["beta"]
    assert seen["dialog"] and seen["dialogTitle"] == "alpha, Seen tools" and seen["dialogRows"] == 3
    assert seen["settings"] == "reward.name"
    assert seen["counts"].startswith(
        "A right more often 5, B more often 0, both always 2, both never 4; exact"
    )
    assert seen["items"] == 5 and seen["opened"] == "alpha,beta" and seen["itemsOf"] == "beta"
    assert (seen["differ"], seen["beside"]) == (5, 1)
    assert seen["rollout"] == 2 and seen["later"] == "25" and "the first 1: beta." in seen["noRollouts"]
    assert "format" in seen["parts"] and "correctness" in seen["parts"]
    assert (seen["runs"], seen["stages"]) == (7, 5)
    assert seen["keyTip"].startswith("step 0") and "alpha" in seen["inWords"] and "arrows" in seen["inWords"]
    assert seen["smoothed"] and seen["bands"] == 0
    assert (seen["wrong"], seen["all"], seen["nothing"]) == (9, 11, 0) and seen["texts"].startswith("asked: ")
    assert seen["tip"].startswith("step ") and "alpha" in seen["tip"]
    assert (seen["lines"], seen["linesAfter"]) == (2, 1)
    assert seen["none"] == "No arm has this in its name."
    assert "training step" in seen["axis"]
    assert seen["head"] == "stickysticky"
    assert seen["named"] and seen["wide"]
