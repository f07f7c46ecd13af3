"""What has changed since results were made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.results_tree import finish, plan_of, stage
from toolrl_cli.planning.changes.drift import LOOKED_AT, Drift, find_drift
from toolrl_cli.planning.changes.stage_differences import (
    EXPLANATIONS,
    identity_differences,
    transport_differences,
)
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder

CODE = {"rewards": "r1", "datasets": "d1", "training": "t1", "benchmarks": "b1", "commit": "c1"}
VERSIONS = {"toolrl-cli": "0.1.0", "verl": "0.9.1", "torch": "2.13.0", "transformers": "5.10.4"}
THEN = {"code": CODE, "versions": VERSIONS}


def look(ledger: Ledger, plan: Plan, *, explain: bool = False, **now: Any) -> Drift:
    code, versions = {**CODE, **now.get("code", {})}, {**VERSIONS, **now.get("versions", {})}
    return find_drift(plan, ledger, code, versions, explain=explain)


def lines(drift: Drift, spec: StageSpec) -> list[str]:
    return [f"{d.group} | {d}" for d in drift.stages[spec.id].differences]


def test_an_unchanged_sweep_has_no_drift(ledger: Ledger) -> None:
    rl = stage("rl")
    finish(ledger, rl, environment=THEN)
    plan = plan_of(ledger, [rl])
    SweepFolder(ledger.results, "demo").save(plan, "name: demo")
    drift = look(ledger, plan, explain=True)
    assert (drift.replaced, drift.stages, drift.gone, drift.looked) == ({}, {}, (), 1)


def test_each_kind_of_change_is_told_apart() -> None:
    old = stage(
        "rl",
        identity={
            "model": {"kind": "huggingface", "fingerprint": "m1"},
            "data": "d1",
            "verl": "0.9.0",
            "reward": {"name": "r", "components": {"mine": {"sha256": "s1", "range": [0, 1]}}},
        },
        data={"kind": "toolworld", "seed": 0},
    )
    new = stage(
        "rl",
        settings={"lr": 5e-4},
        identity={
            "model": {"kind": "huggingface", "fingerprint": "m2"},
            "data": "d2",
            "verl": "0.9.1",
            "reward": {"name": "r", "components": {"mine": {"sha256": "s2", "range": [0, 2]}}},
        },
        data={"kind": "toolworld", "seed": 1},
    )
    assert [f"{d.group} | {d}" for d in identity_differences(old, new)] == [
        "configuration | rl.lr: 1e-06 → 0.0005",
        "model | model.fingerprint: m1 → m2",
        "data | data: d1 → d2",
        "verl | verl: 0.9.0 → 0.9.1",
        "reward code | reward.components.mine.sha256: s1 → s2",
        "reward | reward.components.mine.range: [0, 1] → [0, 2]",
        "data | data.seed: 0 → 1",
        "model | model files: as they were → changed",
    ]


def test_a_fingerprint_of_the_last_version_says_that_the_model_may_be_the_same() -> None:
    marks = ("2bd476f1ea8292e5", "sha256:1db07c22bd4e77fa")
    old, new = (stage("rl", identity={"model": {"kind": "huggingface", "fingerprint": m}}) for m in marks)
    (difference,) = identity_differences(old, new)
    assert difference.group == "fingerprint" and "cannot be told" in EXPLANATIONS[difference.group]


def test_a_fine_tuning_before_seeds_counted_says_why_it_is_another_now() -> None:
    old = stage("sft", identity={"seed": 2})
    (found,) = identity_differences(old, stage("sft", identity={"seed": 2, "shuffle": "seed"}))
    assert f"{found.group}: {found}" == "row order: shuffle: – → seed"
    assert EXPLANATIONS[found.group].startswith("the seed draws the order of the rows now")


def test_an_export_that_was_rounded_says_why_it_is_another_now() -> None:
    (found,) = identity_differences(stage("export"), stage("export", identity={"dtype": "fp32"}))
    assert EXPLANATIONS[found.group].startswith("what trained in fp32 is exported in fp32 now")


def test_a_field_that_only_one_of_them_has_is_shown_as_absent() -> None:
    old, new = stage("rl", identity={"reward": {"a": 1}}), stage("rl", identity={"reward": {"b": None}})
    assert [str(d) for d in identity_differences(old, new)] == ["reward.b: – → None", "reward.a: 1 → –"]


def test_a_stage_that_took_a_finished_ones_place_in_its_run_is_new_and_the_other_gone(ledger: Ledger) -> None:
    before = stage("rl", "grpo")
    after = stage("rl", "grpo", settings={"lr": 5e-4})
    finish(ledger, before, environment=THEN)
    SweepFolder(ledger.results, "demo").save(plan_of(ledger, [before]), "name: demo")
    drift = look(ledger, plan_of(ledger, [after]), explain=True)
    assert drift.replaced == {after.id: before.id}
    assert drift.gone == (before.id,)
    assert drift.stages[after.id].new and drift.stages[after.id].earlier == before.id
    assert lines(drift, after) == ["configuration | rl.lr: 1e-06 → 0.0005"]


def test_a_finished_stage_that_another_run_has_now_was_replaced_by_nothing(ledger: Ledger) -> None:
    sft, before, after = stage("sft"), stage("rl", "grpo"), stage("rl", "grpo", settings={"lr": 5e-4})
    finish(ledger, before, environment=THEN)
    SweepFolder(ledger.results, "demo").save(plan_of(ledger, [sft, before]), "name: demo")
    assert look(ledger, plan_of(ledger, [after])).replaced == {after.id: before.id}
    assert look(ledger, plan_of(ledger, [after], [before])).replaced == {}


def test_without_an_explanation_only_stages_that_took_anothers_place_are_compared(ledger: Ledger) -> None:
    before, after = (
        stage("rl", "grpo"),
        stage("rl", "grpo", settings={"lr": 5e-4}, identity={"verl": "0.9.1"}),
    )
    more = stage("rl", "grpo", seed=2)
    exports = [stage("export", "e", after=[spec]) for spec in (before, after)]
    for spec in (before, exports[0]):
        finish(ledger, spec)
    SweepFolder(ledger.results, "demo").save(plan_of(ledger, [before, exports[0]]), "name: demo")
    drift = look(ledger, plan_of(ledger, [after, exports[1]], [more]))
    assert drift.replaced == {after.id: before.id, exports[1].id: exports[0].id}
    assert set(drift.stages) == {after.id, exports[1].id}
    assert drift.why_new() == ["configuration", "verl"]


def test_the_nearest_earlier_stage_is_the_one_with_the_fewest_other_fields(ledger: Ledger) -> None:
    near = stage("rl", "grpo", settings={"lr": 1e-3})
    far = stage("rl", "grpo", settings={"lr": 1e-3, "prompts": 16}, seed=2)
    for spec in (far, near):
        finish(ledger, spec)
    wanted = stage("rl", "grpo")
    drift = look(ledger, plan_of(ledger, [wanted]), explain=True)
    assert drift.stages[wanted.id].earlier == near.id
    assert drift.replaced == {}


def test_reading_another_stage_is_no_difference_worth_telling_of_a_new_run(ledger: Ledger) -> None:
    first, second = stage("sft", "a"), stage("sft", "b")
    exports = [stage("export", "e", after=[spec]) for spec in (first, second)]
    finish(ledger, first)
    finish(ledger, exports[0])
    drift = look(ledger, plan_of(ledger, [second, exports[1]]), explain=True)
    assert second.id in drift.stages and exports[1].id not in drift.stages


def test_changed_code_is_told_of_the_kinds_that_depend_on_it_and_makes_nothing_new(ledger: Ledger) -> None:
    sft, rl = stage("sft"), stage("rl")
    for spec in (sft, rl):
        finish(ledger, spec, environment=THEN)
    plan = plan_of(ledger, [sft, rl])
    drift = look(ledger, plan, code={"rewards": "r2", "commit": "c2"})
    assert [d.stage for d in drift.changed] == [rl.id]
    assert lines(drift, rl) == ["code | code of commit: c1 → c2", "code | code of rewards: r1 → r2"]
    assert not drift.stages[rl.id].new
    assert not any(s.owed for s in plan.stages.values())


def test_another_commit_with_the_same_code_is_no_change(ledger: Ledger) -> None:
    rl = stage("rl")
    finish(ledger, rl, environment=THEN)
    assert look(ledger, plan_of(ledger, [rl]), code={"commit": "c2"}).stages == {}


def test_changed_versions_are_told_and_verl_where_identity_has_it_not(ledger: Ledger) -> None:
    rl = stage("rl")
    export = stage("export", after=[rl])
    for spec in (rl, export):
        finish(ledger, spec, environment=THEN)
    drift = look(ledger, plan_of(ledger, [rl, export]), versions={"verl": "0.9.2", "torch": "2.14.0"})
    assert lines(drift, rl) == ["code | version of torch: 2.13.0 → 2.14.0"]
    assert lines(drift, export)[0] == "code | version of verl: 0.9.1 → 0.9.2"


def test_a_package_that_is_gone_is_told(ledger: Ledger) -> None:
    rl = stage("rl")
    finish(ledger, rl, environment=THEN)
    without = {name: version for name, version in VERSIONS.items() if name != "torch"}
    drift = find_drift(plan_of(ledger, [rl]), ledger, CODE, without)
    assert lines(drift, rl) == ["code | version of torch: 2.13.0 → –"]


def test_transport_settings_are_told_of_finished_stages(ledger: Ledger) -> None:
    rl = stage("rl", reward={"components": {"mine": {"path": "/old/r.py"}}})
    finish(ledger, rl, environment=THEN)
    config = {
        **rl.config,
        "rl": {**rl.config["rl"], "save_every": 50},
        "reward": {"components": {"mine": {"path": "/new/r.py"}}},
    }
    today = replace(rl, config=config)
    drift = look(ledger, plan_of(ledger, [today]))
    assert lines(drift, rl) == ["configuration | rl.save_every: 5 → 50"]


def test_a_setting_that_came_later_and_stands_at_its_default_is_no_change() -> None:
    old = stage("rl")
    later = {"resources": {**old.config["resources"], "priority": 0}, "sft": {"val_share": 0.0}}
    same, other = (replace(old, config={**old.config, **config}) for config in (later, {"rl": {"x": 0}}))
    assert transport_differences(old, same) == []
    assert transport_differences(old, other)


def test_results_that_do_not_say_what_made_them_are_not_said_to_have_changed(ledger: Ledger) -> None:
    rl = stage("rl")
    finish(ledger, rl)
    assert look(ledger, plan_of(ledger, [rl])).stages == {}


def test_a_torn_earlier_plan_and_torn_stages_are_no_obstacle(ledger: Ledger) -> None:
    rl, other = stage("rl", seed=1), stage("rl", seed=2)
    finish(ledger, rl, environment=THEN)
    folder = ledger.results / "sweeps" / "demo"
    folder.mkdir(parents=True)
    (ledger.folder(rl).path / "spec.json").write_text("{")
    for text in ("{", '{"runs": [1], "stages": 2}', '{"runs": 7}', '{"stages": [{}]}'):
        (folder / "plan.json").write_text(text)
        drift = look(ledger, plan_of(ledger, [rl], [other]), explain=True)
        assert (drift.stages, drift.gone, drift.replaced) == ({}, (), {})


def test_only_so_many_finished_stages_are_read_without_being_asked(ledger: Ledger) -> None:
    specs = [stage("export", f"e{n}") for n in range(LOOKED_AT + 5)]
    for spec in specs:
        finish(ledger, spec, environment=THEN)
    plan = plan_of(ledger, *([spec] for spec in specs))
    drift = look(ledger, plan, code={"training": "t2"})
    assert (drift.looked, drift.finished, len(drift.changed)) == (LOOKED_AT, LOOKED_AT + 5, LOOKED_AT)
    whole = look(ledger, plan, code={"training": "t2"}, explain=True)
    assert len(whole.changed) == LOOKED_AT + 5
