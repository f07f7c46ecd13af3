"""Every sweep in the documentation is one."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from toolrl_cli.spec.sweeps.reading.source import parse_yaml
from toolrl_cli.spec.sweeps.resolve import resolve_runs
from toolrl_cli.spec.sweeps.schema import sweep_schema
from toolrl_cli.spec.sweeps.sweep import read_sweep

ROOT = Path(__file__).parents[2]
BLOCKS = [
    block
    for page in ("README.md", "docs/sweeps.md", "docs/algorithms.md")
    for block in re.findall(r"```yaml\n(name: .*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    if "base:" in block
]
RUNS = {
    "quickstart": 5,
    "reward_scale": 12,
    "ablation": 7,
    "critic": 2,
    "own_reward": 4,
    "curves": 2,
    "adapters": 3,
    "three_algorithms": 3,
    "dapo": 1,
}


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split("\n")[0])
def test_a_sweep_that_is_shown_can_be_run(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    document = read_sweep(path)
    assert len(resolve_runs(document)) == RUNS[document.sweep.name]
    jsonschema.validate(parse_yaml(text, "s").data, sweep_schema())


def test_no_sweep_that_is_shown_is_left_out() -> None:
    assert len(BLOCKS) == len(RUNS)
