from __future__ import annotations

import json

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.sources.results import short_name
from toolrl_cli.report.sources.saved_sweeps import list_sweeps, read_sweep


def test_a_finished_run_is_read_with_its_scores_and_the_checkpoint_behind_them(tree: Tree) -> None:
    tree.sweep().run("grpo", 3, steps=25).done(toolworld_scores(0.5))
    run = read_sweep(tree.write(), "demo").runs[0]
    evaluation = run.evaluations[0]
    assert (run.id, run.arm, run.seed) == ("grpo-seed3", "grpo", 3)
    assert evaluation.metrics["overall"].value == pytest.approx(0.5)
    assert evaluation.metrics["overall"].total == 200
    assert evaluation.origin.trained is run.training[-1]
    assert (evaluation.origin.step, evaluation.origin.rule) == (25, "last")
    assert evaluation.conditions["sampling"] == "temperature 0.0"


def test_a_stage_without_a_state_file_is_pending(tree: Tree) -> None:
    tree.sweep().run("grpo")
    run = read_sweep(tree.write(), "demo").runs[0]
    assert {s.status for s in run.stages} == {"pending"}
    assert run.evaluations[0].metrics == {}


def test_a_failure_keeps_its_class_and_message(tree: Tree) -> None:
    tree.sweep().run("grpo").failed("rl", "oom", "CUDA out of memory")
    run = read_sweep(tree.write(), "demo").runs[0]
    assert run.training[0].failure == ("oom", "CUDA out of memory")
    assert run.waits_for(run.evaluations[0]) is run.training[0]


def test_an_evaluation_waits_for_the_first_unfinished_stage_before_it(tree: Tree) -> None:
    tree.sweep().run("grpo", train=("sft", "rl")).running("sft", 7)
    run = read_sweep(tree.write(), "demo").runs[0]
    waits = run.waits_for(run.evaluations[0])
    assert (waits.kind, waits.status, waits.step, waits.total) == ("sft", "running", 7, 40)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ('{"status": "runn', "not valid JSON"),
        ("[1]", "no known status"),
        ('{"status": "dancing"}', "no known status"),
        ('{"status": NaN}', "not valid JSON"),
        ("\xff", "no known|not valid|cannot be read"),
    ],
)
def test_a_state_file_that_cannot_be_used_marks_the_stage_unreadable(
    tree: Tree, text: str, told: str
) -> None:
    run = tree.sweep().run("grpo")
    run.done(toolworld_scores(0.5))
    path = run.directory("rl") / "state.json"
    path.write_bytes(text.encode("latin-1"))
    stage = read_sweep(tree.write(), "demo").runs[0].training[0]
    assert stage.status == "unreadable"
    assert any(word in stage.problem for word in told.split("|"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"metrics": 3}', '{"metrics": '])
def test_scores_that_cannot_be_used_are_a_problem_of_their_evaluation(tree: Tree, text: str) -> None:
    run = tree.sweep().run("grpo").done(toolworld_scores(0.5))
    (run.directory("evaluate") / "output" / "scores.json").write_text(text)
    evaluation = read_sweep(tree.write(), "demo").runs[0].evaluations[0]
    assert evaluation.problem.startswith("scores.json")
    assert evaluation.metrics == {}


def test_missing_scores_of_a_finished_evaluation_are_a_problem(tree: Tree) -> None:
    run = tree.sweep().run("grpo").done(toolworld_scores(0.5))
    (run.directory("evaluate") / "output" / "scores.json").unlink()
    assert read_sweep(tree.write(), "demo").runs[0].evaluations[0].problem == "scores.json is missing"


@pytest.mark.parametrize("value", ["0.5", True, None, [], {"a": 1}])
def test_a_value_that_is_no_number_is_no_value(tree: Tree, value: object) -> None:
    run = tree.sweep().run("grpo").done(toolworld_scores(0.5))
    path = run.directory("evaluate") / "output" / "scores.json"
    scores = json.loads(path.read_text())
    scores["metrics"]["overall"]["value"] = value
    path.write_text(json.dumps(scores))
    score = read_sweep(tree.write(), "demo").runs[0].evaluations[0].metrics["overall"]
    assert score.value is None
    assert score.why


def test_a_metric_that_is_not_available_says_why(tree: Tree) -> None:
    tree.sweep().run("grpo").done({"overall": None})
    score = read_sweep(tree.write(), "demo").runs[0].evaluations[0].metrics["overall"]
    assert score.why == "needs live web APIs"


def test_the_tiny_models_first_training_is_part_of_the_model(tree: Tree) -> None:
    tree.sweep().run("raw", train=())
    tree.sweep().run("sft", train=("sft",))
    raw, sft = read_sweep(tree.write(), "demo").runs
    assert raw.lookup("train") == "none" and raw.training == ()
    assert sft.lookup("train") == "sft" and sft.lookup("sft.split") == "sft"


def test_settings_are_looked_up_in_what_the_stages_were_given(tree: Tree) -> None:
    tree.sweep().run("x", model="qwen2.5-3b-instruct", algorithm="ppo", reward="coarse")
    run = read_sweep(tree.write(), "demo").runs[0]
    assert run.lookup("algorithm") == "ppo"
    assert run.lookup("reward.name") == "coarse"
    assert run.lookup("rl.steps") == 25
    assert run.lookup("rl.no_such_key") is None
    assert run.model == "qwen2.5-3b-instruct"


def test_an_unknown_sweep_is_refused_with_the_nearest_name(tree: Tree) -> None:
    tree.sweep("quickstart").run("grpo")
    with pytest.raises(SpecError, match="did you mean 'quickstart'"):
        read_sweep(tree.write(), "quickstrat")


def test_an_empty_results_root_says_what_to_do(tree: Tree) -> None:
    with pytest.raises(SpecError, match="toolrl list"):
        read_sweep(tree.root, "quickstart")
    assert list_sweeps(tree.root) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"runs": [], "stages": 3}', '{"runs": [{}], "stages": []}']
)
def test_a_plan_that_cannot_be_used_is_one_clear_fault(tree: Tree, text: str) -> None:
    tree.sweep().run("grpo")
    root = tree.write()
    (root / "sweeps" / "demo" / "plan.json").write_text(text)
    with pytest.raises(LedgerError, match=r"plan\.json"):
        read_sweep(root, "demo")


def test_sweeps_are_listed_by_name(tree: Tree) -> None:
    tree.sweep("b").run("x")
    tree.sweep("a").run("x")
    assert list_sweeps(tree.write()) == ["a", "b"]


def test_short_names_are_what_people_say() -> None:
    assert short_name("Qwen/Qwen2.5-3B-Instruct") == "Qwen2.5-3B-Instruct"
    assert short_name({"kind": "tiny", "name": "tiny"}) == "tiny"
    assert short_name({"path": "/models/mine/"}) == "mine"
    assert short_name(None) == ""
