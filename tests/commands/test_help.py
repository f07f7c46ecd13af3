"""What every command's help says, and what the shell offers for every value."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
import typer

from tests.commands.command_lines import COMMANDS, PAGES, parsed
from tests.commands.conftest import Toolrl
from toolrl_cli.commands.examples import EXAMPLES
from toolrl_cli.datasets.prepare import MADE
from toolrl_cli.datasets.released import RELEASED
from toolrl_cli.harness.launcher import LAUNCHERS
from toolrl_cli.report.computed import FORMATS
from toolrl_cli.report.drawing.figures import shipped_figures
from toolrl_cli.report.sources.published import sources
from toolrl_cli.report.table_spec import shipped_tables
from toolrl_cli.rewards.designs import NAMES
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
from toolrl_cli.spec.sweeps import presets, profile
from toolrl_cli.spec.sweeps.sweep_file import MODES


def test_every_page_has_two_examples_and_no_example_is_of_another() -> None:
    assert set(EXAMPLES) == set(PAGES)


@pytest.mark.parametrize("path", PAGES)
def test_every_help_page_ends_with_two_examples_that_can_be_parsed(path: str) -> None:
    *_, heading, one, other = PAGES[path].get_help(typer.Context(PAGES[path])).rstrip().splitlines()
    assert heading.strip() == "Examples:"
    for line in (one.strip(), other.strip()):
        assert line.startswith(f"toolrl {path}".strip())
        assert path not in COMMANDS or parsed(line).command is COMMANDS[path]


CHOICES = {
    ("report", "--table"): shipped_tables(),
    ("report", "--format"): FORMATS,
    ("report", "--figure"): shipped_figures(),
    ("report", "--against"): sources(),
    ("evaluate", "--benchmark"): BENCHMARKS.names(),
    ("sweep", "--launcher"): LAUNCHERS.names(),
    ("sweep", "--wandb"): MODES,
    ("sweep", "--profile"): profile.names(),
    ("gc", "--keep"): ("last", "best", "none"),
    ("data prepare", "kind"): (*MADE, *RELEASED),
}


@pytest.mark.parametrize(("path", "name"), CHOICES)
def test_choices_are_listed_in_the_help_and_offered_by_the_shell(path: str, name: str) -> None:
    parameter = next(p for p in COMMANDS[path].params if name in (*p.opts, p.name))
    said = f"{parameter.help} {parameter.metavar}"
    offered = {item.value for item in parameter.shell_complete(typer.Context(COMMANDS[path]), "")}
    for choice in CHOICES[path, name]:
        assert choice in said and choice in offered, choice


FREE = {"output", "imports", "claims_file", "fields", "origin", "path", "rows", "data", "rollouts", "files", "folder",
        "results", "label", "key_env", "model_name", "model", "host", "key_variable", "tokenizer", "name",
        "source", "columns"}  # fmt: skip
"""Values that are a file, a folder, or a word of the user's own."""


@pytest.mark.parametrize("path", COMMANDS)
def test_every_value_that_is_a_name_is_completed(path: str) -> None:
    types = get_type_hints(inspect.unwrap(COMMANDS[path].callback))
    for parameter in COMMANDS[path].params:
        kind = str(types.get(parameter.name, ""))
        if ("str" in kind or "Path" in kind) and not parameter._custom_shell_complete:
            assert parameter.name in FREE and (parameter.name != "name" or path == "serve"), parameter.name


def offered(path: str, wanted: str, start: str = "", **given: object) -> list[str]:
    parameter = next(p for p in COMMANDS[path].params if p.name == wanted)
    context = typer.Context(COMMANDS[path])
    context.params = given
    return [item.value for item in parameter.shell_complete(context, start)]


def test_the_shell_offers_what_is_under_the_results_root(swept: Toolrl, tmp_path: Path) -> None:
    assert offered("status", "name") == ["small"]
    assert offered("show", "run", "coarse") == ["coarse-seed1"]
    assert offered("diff", "b", "small/raw") == ["small/raw-seed1"]
    assert offered("logs", "stage", "e", run="coarse-seed1") == ["export", "evaluate"]
    assert offered("resume", "only", name="small") == ["raw", "coarse", "original"]
    assert offered("status", "name", results=tmp_path / "nowhere") == []
    (tmp_path / "results/sweeps/small/plan.json").write_text("{")
    assert offered("show", "run") == []


def test_the_shell_offers_sweeps_presets_and_rewards(toolrl: Toolrl, sweep_file: Path) -> None:
    assert {"small", "small.yaml", "quickstart"} <= set(offered("plan", "file"))
    assert offered("sweep", "only", "grpo", file=Path("quickstart")) == ["grpo-original", "grpo-coarse"]
    assert offered("sweep", "sets", "preset=paper_g") == ["preset=paper_grpo"]
    assert {f"preset={name}" for name in presets.names()} <= set(offered("sweep", "sets"))
    assert set(NAMES) <= set(offered("reward explain", "rewards"))


def test_what_an_option_offers_depends_on_the_argument_before_it(swept: Toolrl) -> None:
    """Where the option still waits for its value, as in a shell."""
    for path, words, wanted, names in (
        ("plan", ["quickstart", "--only"], "only", {"raw", "ppo-original"}),
        ("logs", ["raw-seed1", "--stage"], "stage", {"sft", "export", "evaluate"}),
    ):
        context = COMMANDS[path].make_context(path, list(words), resilient_parsing=True)
        parameter = next(p for p in COMMANDS[path].params if p.name == wanted)
        found = {item.value for item in parameter.shell_complete(context, "")}
        assert names <= found and "coarse" not in found and "rl" not in found


def test_help_loads_nothing_that_is_slow() -> None:
    slow = ("rich", "pydantic", "yaml", "toolrl_cli.spec.run", "toolrl_cli.planning", "toolrl_cli.harness")
    code = (
        "import sys, typer; from toolrl_cli.app import app; typer.main.get_command(app); "
        f"print(*[m for m in {slow!r} if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
