"""Every command and every YAML block of README and docs, as written, on what is shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.commands.command_lines import command_of, parsed, words_of
from tests.commands.conftest import Answer, Toolrl
from tests.report.builder import toolworld_scores
from tests.spec.conftest import FixedFacts
from tests.support.results_tree import finish
from tests.support.trainer_double import save
from toolrl_cli.api import init
from toolrl_cli.commands import resume as resume_command
from toolrl_cli.commands.views import run_and_show
from toolrl_cli.datasets.prepare import first_rows
from toolrl_cli.datasets.verl_rows import write_parquet
from toolrl_cli.planning.layout import make_plan
from toolrl_cli.planning.plan import Plan
from toolrl_cli.report.comparisons.claims import load_claims
from toolrl_cli.report.table_spec import load_table
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.gold import check_gold
from toolrl_cli.spec.sweeps.profile import load_profile
from toolrl_cli.spec.sweeps.reading.source import parse_yaml
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.spec.sweeps.sweep_file import SweepFile
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.scores import write_scores
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.training.rollout_dumps import gold_rows

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
BLOCKS = [(page, *block) for page in PAGES for block in BLOCK.findall(page.read_text(encoding="utf-8"))]
SPAN = re.compile(r"`+(toolrl [^`\n]+)`+")
SHOWN = [
    line
    for _, language, text in BLOCKS
    if language in ("", "console", "bash", "sh")
    for line in text.splitlines()
]
LINES = [line for line in SHOWN if line.startswith(("toolrl ", "$ toolrl "))]
SPANS = [line for page in PAGES for line in SPAN.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))]
NAMED_ONLY = re.compile(r"toolrl( (reward|data))?( [a-z]+| --[a-z-]+)?")

NOT_TOOLRL = (
    "python3 -m pip install nox && python3 -m nox -s quickstart",  # tests/e2e/test_quickstart.py runs what it runs
    "python3 -m pip install nox && python3 -m nox -s tests",  # what runs this
    "python3 -m venv .venv && . .venv/bin/activate",  # installs from a registry, minutes and gigabytes
    "pip install .",
)
"""Other commands that the pages show, and why no test runs them."""

NOT_RUN = {
    "toolrl doctor --train": "trains for two minutes; tests/e2e/test_doctor.py",
    "toolrl doctor": "looks at this machine, whatever that says; tests/commands/test_doctor.py",
    "toolrl data prepare": "downloads; tests/commands/test_data.py, tests/datasets/",
    "toolrl data convert": "reads a set that is downloaded; tests/datasets/test_own_rows.py",
    "toolrl evaluate": "asks a model or an endpoint; tests/api/test_evaluating.py",
    "toolrl serve": "serves until it is ended; tests/commands/test_serve.py",
    "toolrl rescore": "needs rollouts; tests/commands/test_rescore.py",
    "toolrl report --import runs.csv --map": "a file whose field has a name of its own; tests/report/test_imported.py",
    "toolrl report mine": "the table of the evaluation that the line above it would make",
    "toolrl plan mine.yaml": "shows the errors of a sweep that has them; tests/commands/test_checking.py",
}
"""Beginning of a command → why it is parsed here and run elsewhere."""


def is_name_only(line: str) -> bool:
    return NAMED_ONLY.fullmatch(line) is not None


@pytest.mark.parametrize("line", dict.fromkeys([*LINES, *(s for s in SPANS if not is_name_only(s))]))
def test_a_command_that_is_shown_can_be_parsed(line: str) -> None:
    parsed(line)


def test_every_other_command_that_is_shown_is_in_the_list() -> None:
    words = [
        line.partition("  #")[0].strip()
        for _, lang, text in BLOCKS
        if lang == "console"
        for line in text.splitlines()
    ]
    others = [
        line for line in words if line and not line.removeprefix("$ ").startswith(("toolrl ", "error: "))
    ]
    assert sorted(others) == sorted(NOT_TOOLRL)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the quickstart, and the paper's Table 6 in small, where one training has failed half way."""
    root = tmp_path_factory.mktemp("shown") / "results"
    ledger = Ledger(root)
    for number, spec in enumerate(planned(root, "quickstart").stages.values()):
        finish(ledger, spec.spec)
        if spec.spec.kind == "evaluate":
            write_toolworld(ledger.folder(spec.spec).path / "output", 0.4 + number / 100)
    for spec in (stage.spec for stage in planned(root, "table6_scale", "cpu").stages.values()):
        trains, failure = spec.kind == "rl", Failure.of("oom", "out of memory")
        finish(ledger, spec, status="failed" if trains else "succeeded", failure=failure if trains else None)
        if trains:
            save(ledger.folder(spec).path / "checkpoints", 10)
    planned(root, "table6_scale")
    return root


def planned(root: Path, name: str, profile: str | None = None) -> Plan:
    chosen = load_profile(profile) if profile else None
    document = read_sweep(Path(name))
    document = chosen.document(document) if chosen else document
    runs = resolve_sweep(document, chosen).runs
    plan = make_plan(
        document.sweep.name, runs, FixedFacts(), Ledger(root), tables=tuple(document.sweep.tables)
    )
    SweepFolder(root, document.sweep.name).save(plan, document.source.text)
    return plan


def write_toolworld(output: Path, share: float) -> None:
    counts = toolworld_scores(share)
    metrics = {name: {"value": c / n, "correct": c, "total": n} for name, (c, n) in counts.items()}
    scores = {"benchmark": "toolworld", "protocol": "toolworld", "metrics": metrics}
    rows = [
        {"id": f"{name}-{n}", "category": name, "correct": n < counts[name][0]}
        for name in counts
        if name != "overall"
        for n in range(counts[name][1])
    ]
    write_scores(output, scores, rows)


@pytest.fixture(scope="module")
def place(tree: Path) -> Path:
    """A folder with these results and the files that the pages name; nothing that is run here changes them."""
    folder = tree.parent
    init(folder)
    init(folder / "my-ablation")
    for page, language, text in BLOCKS:
        if language == "csv":
            (folder / "runs.csv").write_text(text, encoding="utf-8")
        elif language == "yaml" and text.startswith("name: mine\ntitle"):
            (folder / "mine.yaml").write_text(text, encoding="utf-8")
        elif language == "yaml" and "\nbase:" in text and page.name == "sweeps.md":
            (folder / f"{parse_yaml(text, 's').data['name']}.yaml").write_text(text, encoding="utf-8")
    (folder / "rows").mkdir()
    for name in ("rows", "rows/train", "rows/val"):
        write_parquet(first_rows("toolworld", {}, "train", 16), folder / f"{name}.parquet")
    turn = {"input": "hi", "output": "<response> a </response>", "gts": "<response> a </response>", "step": 1}
    (folder / "rollouts.jsonl").write_text(4 * (json.dumps(turn) + "\n"))
    failure = {
        "schema": 1,
        "completion": turn["output"],
        "ground_truth": turn["gts"],
        "step": 0,
        "message": "raised",
    }
    (folder / "reward_failure.json").write_text(json.dumps(failure))
    return folder


@pytest.fixture
def shown(toolrl: Toolrl, place: Path, monkeypatch: pytest.MonkeyPatch) -> Toolrl:
    """The command line in that folder; nothing is trained."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("TOOLRL_RESULTS", str(place / "results"))
    monkeypatch.setattr(run_and_show, "run_and_show", lambda planned, **how: 0 if planned.runs else 1)
    return toolrl


def not_run(line: str) -> bool:
    return any(line.removeprefix("$ ").startswith(start) for start in NOT_RUN)


@pytest.mark.parametrize("line", dict.fromkeys(line for line in LINES if not not_run(line)))
def test_a_command_that_is_shown_works_on_what_is_shipped(line: str, shown: Toolrl, tmp_path: Path) -> None:
    words = words_of(line)
    path, _ = command_of(words)
    if path in ("sweep", "plan"):
        given = parsed(line).params
        chosen = load_profile(given["profile"]) if given["profile"] else None
        document = read_sweep(given["file"], given["sets"] or ())
        document = chosen.document(document) if chosen else document
        runs = resolve_sweep(document, chosen).runs
        assert make_plan("shown", runs, FixedFacts(), Ledger(tmp_path)).selected(given["only"]).runs
        return
    endless = [word for word in words if word not in ("--watch", "--follow")]
    if path == "init":
        endless[1:] = [str(tmp_path / name) for name in endless[1:]]
    answer: Answer = shown(*endless, *(["--yes"] if "--fresh" in words else []))
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("command", NOT_RUN)
def test_every_command_that_is_not_run_here_is_shown(command: str) -> None:
    assert any(line.removeprefix("$ ").startswith(command) for line in LINES)


YAML = [(page, text) for page, language, text in BLOCKS if language == "yaml"]


@pytest.mark.parametrize(("page", "text"), YAML, ids=lambda value: str(value).split("\n")[0][-40:])
def test_a_yaml_block_that_is_shown_is_what_it_says(
    page: Path, text: str, place: Path, tmp_path: Path
) -> None:
    """A sweep resolves to runs; a table, a reward and claims are read; a part of a sweep is completed and resolved."""
    data = parse_yaml(text, page.name).data
    path = tmp_path / "block.yaml"
    for name in ("rewards.py", "group.py", "my_eval.py", "score.py"):
        code = [t for _, language, t in BLOCKS if language == "python" and t.startswith(f"# {name}")]
        shipped = place / name
        (tmp_path / name).write_text(code[0] if code else shipped.read_text() if shipped.exists() else "")
    path.write_text(text, encoding="utf-8")
    if "columns" in data:
        assert load_table(str(path)).columns
    elif "components" in data:
        reward = get_reward(str(path))
        if any(component.kind == "python" for component in reward.components):  # a training begins with this
            check_gold(reward, gold_rows(place / "rows.parquet"), total_steps=10).raise_if_imperfect(
                page.name
            )
    elif "claims" in data:
        assert load_claims(path)
    else:
        whole: dict[str, Any] = {"name": "part", **data}
        whole["base"] = {"preset": "tiny_grpo", "model": "tiny_base", **whole.get("base", {})}
        assert set(whole) <= set(SweepFile.model_fields)
        path.write_text(json.dumps(whole), encoding="utf-8")
        assert resolve_sweep(read_sweep(path)).runs


def test_resume_is_looked_up_where_the_pages_tests_replace_it() -> None:
    assert "run_and_show" in resume_command.resume.__code__.co_names
