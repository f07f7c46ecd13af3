"""Every sweep file that comes with toolrl: it makes runs, and its runs land in the rows of its tables."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.spec.conftest import FixedFacts
from toolrl_cli.planning.layout import make_plan
from toolrl_cli.report.arms import collect_arms, fitting, grouped
from toolrl_cli.report.sources.published import load_published
from toolrl_cli.report.sources.saved_sweeps import read_sweep as read_results
from toolrl_cli.report.table_spec import TableSpec, load_table
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.profile import load_profile
from toolrl_cli.spec.sweeps.profile import names as profile_names
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.schema import sweep_schema
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder

ROOT = Path(__file__).parents[2] / "sweeps"
FILES = sorted(ROOT.glob("*.yaml"))
RUNS = {
    "table1_2_3": 28, "table5_length": 9, "table6_scale": 12, "table7_granularity": 12,
    "table10_11_12": 20, "camera_ready": 8, "smoke": 2, "tiny_base": 1, "quickstart": 5, "rlla_tiny": 3,
    "algorithms": 22, "reward_designs": 42,
}  # fmt: skip
IN_SMALL = {**RUNS, "table1_2_3": 7, "table5_length": 3, "table6_scale": 4, "table7_granularity": 4}
IN_SMALL |= {"table10_11_12": 5, "camera_ready": 6}
TABLES = {
    "table1_2_3": ["T1", "T2", "T3"], "table5_length": ["T5"], "table6_scale": ["T6"],
    "table7_granularity": ["T7"], "table10_11_12": ["T10", "T11", "T12"],
    "camera_ready": ["CR6", "CR7", "CR8"],
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_shipped_sweep_makes_its_runs_and_its_name_is_its_file_s(path: Path, facts: FixedFacts) -> None:
    document = read_sweep(path)
    assert document.sweep.name == path.stem
    resolved = resolve_sweep(document)
    assert len(resolved.runs) == RUNS[path.stem]
    assert not resolved.grid.warnings and not resolved.grid.dropped
    plan = make_plan(path.stem, resolved.runs, facts, Ledger(Path("/nowhere")))
    assert all(run.stages for run in plan.runs)


def test_every_profile_is_tried_on_the_shipped_sweeps() -> None:
    assert profile_names() == ("cpu", "rehearsal")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_shipped_sweep_can_be_rehearsed_with_its_own_models(path: Path, facts: FixedFacts) -> None:
    chosen = load_profile("rehearsal")
    document = chosen.document(read_sweep(path))
    assert document.sweep.name == f"{path.stem}-rehearsal"
    runs, own = resolve_sweep(document, chosen).runs, resolve_sweep(read_sweep(path)).runs
    assert [run.spec.model.name for run in runs] == [run.spec.model.name for run in own]
    assert len(runs) == RUNS[path.stem] and all(run.spec.rl.steps == 2 for run in runs)
    real = {stage.id for run in own for stage in run_stages(run.spec, facts)}
    assert not real & {stage.id for run in runs for stage in run_stages(run.spec, facts)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_shipped_sweep_runs_in_small(path: Path, facts: FixedFacts) -> None:
    chosen = load_profile("cpu")
    document = chosen.document(read_sweep(path))
    assert document.sweep.name == f"{path.stem}-cpu"
    resolved = resolve_sweep(document, chosen)
    assert len(resolved.runs) == IN_SMALL[path.stem]
    plan = make_plan(document.sweep.name, resolved.runs, facts, Ledger(Path("/nowhere")))
    assert not plan.why_blocked()
    for run in resolved.runs:
        assert run.spec.model.name == "tiny" and run.spec.data.kind == "toolworld"
        assert run.spec.rl.steps <= 25 and run.spec.resources.device == "cpu"


@pytest.mark.parametrize(("sweep", "tables"), TABLES.items(), ids=list(TABLES))
def test_every_row_of_a_paper_table_finds_one_arm_of_its_sweep(
    sweep: str, tables: list[str], facts: FixedFacts, tmp_path: Path
) -> None:
    document = read_sweep(ROOT / f"{sweep}.yaml")
    assert document.sweep.tables == tables
    plan = make_plan(sweep, resolve_sweep(document).runs, facts, Ledger(tmp_path))
    SweepFolder(tmp_path, sweep).save(plan, None)
    arms = collect_arms([read_results(tmp_path, sweep)])
    for name in tables:
        spec = load_table(name)
        assert spec.benchmark in document.sweep.evaluate and isinstance(spec.rows, list)
        for model, members in grouped(fitting(arms, spec.filter), "model").items():
            for row in spec.rows:
                found = [arm.name for arm in fitting(members, row.where)]
                assert len(found) <= 1, (name, model, row.name)
                if printed_row(spec, model, row.name):
                    assert found, (name, model, row.name)


def printed_row(spec: TableSpec, model: str, row: str) -> bool:
    """Whether the paper prints this row of the table for this model."""
    printed = load_published("paper")
    assert spec.published is not None and spec.primary is not None
    return printed.find(spec.published, model, row, spec.primary) is not None


def test_the_paper_s_rows_are_known_by_the_names_of_the_models_here() -> None:
    assert printed_row(load_table("T1"), "llama-3.2-3b-instruct", "grpo_cold")
    assert printed_row(load_table("CR8"), "qwen2.5-7b-instruct", "kl")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_editors_find_the_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=toolrl.schema.json"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_schema_finds_no_fault_in_a_shipped_sweep(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), sweep_schema())


@pytest.mark.parametrize(
    "text",
    [
        "name: s\nbas: {}",
        "name: s\nbase: {presett: tiny}",
        "name: s\nbase: {preset: tiney}",
        "name: s\narms: {a: {reward: coarse, rl: {stps: 3}}}",
        "name: s\nablate: {change: {a: {algorithm: dpo}}}",
        "name: s\nevaluate: [bfc]",
        "name: s/t",
        "name: s\nbase: {rl.stps: 3}",
        "name: s\nbase: {rl: {steps: x}}",
        "name: s\narms: {a: {seed: 3}}",
        "name: s\naxes: {rl.lr: [fast]}",
        "name: s\naxes: {reward: []}",
        "name: s\nzip: {rl.stps: [3]}",
        "name: s\nwhen: {reward: {algoritm: ppo}}",
        "name: s\nexclude: [{}]",
        "name: s\ninclude: [{name: x}]",
        "name: s\nseeds: []",
        "name: s\nseeds: {}",
        "name: s\nablate: {baseline: {}}",
        "name: s\nbase: {reward: {component: {}}}",
        "name: s\nbase: {reward: {granularity: corse}}",
        "name: s\nbase: {reward: {components: {a: {kind: formt}}}}",
        "name: s\nbase: {reward: {components: {a: {kind: format, max_length: 3}}}}",
        "name: s\naxes: {reward: [coarse, {components: {a: {kind: cosine, ofs: exact}}}]}",
    ],
)
def test_the_schema_finds_what_a_user_mistypes(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), sweep_schema())


@pytest.mark.parametrize(
    "text",
    [
        "name: s\nbase: {preset: [paper_grpo, without_kl], rl: {lr: '${base.rl.critic_lr}'}}",
        "name: s\nbase: {model: {pretrain.steps: 3}, verl: {rl.trainer.nnodes: 1}, reward.components.format.weight: 2}",
        "name: s\naxes: {rl.lr: [0.1], reward: [coarse, {components: {}}], verl.rl.trainer.nnodes: [1]}",
        "name: s\nwhen: {rl.lr: {algorithm: [ppo, grpo]}}\nexclude: [{rl: {steps: [1, 2]}}]",
        "name: s\nbase: {reward: {components: {a: {weight: 2}, b: {kind: cosine, of: a, right: [1, 0]}, c: '${x}'}}}",
        "name: s\nbase: {reward: {length: dynamic, scale: two_stage}}",
        "name: s\ninclude: [{arm: x, rl.steps: 3}]\nseeds: {range: [0, 3]}",
    ],
)
def test_the_schema_takes_what_the_grammar_takes(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), sweep_schema())


def test_the_shipped_schema_is_what_toolrl_schema_prints() -> None:
    shipped = json.loads((ROOT / "toolrl.schema.json").read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(sweep_schema())), "toolrl schema > sweeps/toolrl.schema.json"
