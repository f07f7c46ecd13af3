"""The pages for contributors name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolrl_cli.store.state import STATUSES

DOCS = Path(__file__).parents[1] / "docs"


def test_the_diagram_of_a_stage_has_exactly_the_words_of_the_ledger() -> None:
    diagram = (DOCS / "states.md").read_text(encoding="utf-8").split("```")[1]
    named = {word for arrow in re.findall(r"(\w+) --> (\w+)", diagram) for word in arrow}
    assert named == set(STATUSES)


def test_the_writers_that_the_diagrams_name_are_modules() -> None:
    text = (DOCS / "states.md").read_text(encoding="utf-8")
    named = {
        name
        for group in re.findall(r"\(((?:[a-z_]+\.[a-z_]+(?:, )?)+)\)", text)
        for name in group.split(", ")
    }
    missing = [
        name for name in named if not (DOCS.parent / f"toolrl_cli/{name.replace('.', '/')}.py").is_file()
    ]
    assert len(named) >= 4 and not missing


def test_every_decision_is_listed_with_its_file() -> None:
    listed = set(
        re.findall(r"\((\d{4}-\w+\.md)\)", (DOCS / "decisions/README.md").read_text(encoding="utf-8"))
    )
    assert listed == {path.name for path in (DOCS / "decisions").glob("0*.md")}


@pytest.mark.parametrize("path", sorted(DOCS.glob("**/*.md")), ids=lambda path: path.stem)
def test_modules_that_the_pages_name_are_there(path: Path) -> None:
    root = DOCS.parent
    for name in re.findall(r"`(toolrl_cli/[\w/]+\.py|tests/[\w/]+\.py)`", path.read_text(encoding="utf-8")):
        assert (root / name).is_file() or "NAME" in name, name
