"""Which file a sweep's name stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.reading.shipped import FOLDER, shipped_sweeps, sweep_file
from toolrl_cli.spec.sweeps.sweep import read_sweep


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shipped_sweep_is_found_by_its_name_from_anywhere(here: Path) -> None:
    assert {"quickstart", "table6_scale"} <= set(shipped_sweeps())
    document = read_sweep(Path("quickstart"))
    assert document.sweep.name == "quickstart" and document.path == FOLDER / "quickstart.yaml"


def test_a_file_of_one_s_own_goes_before_one_that_comes_with_toolrl(here: Path) -> None:
    (here / "sweeps").mkdir()
    for path in ("sweeps/smoke.yml", "sweeps/smoke.yaml", "smoke.yaml", "smoke"):
        (here / path).write_text("name: mine\n")
        assert sweep_file(Path("smoke")) == Path(path)


def test_a_folder_hides_no_sweep_of_its_name(here: Path) -> None:
    (here / "quickstart").mkdir()
    assert sweep_file(Path("quickstart")) == FOLDER / "quickstart.yaml"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("quickstrat", "no file and no sweep 'quickstrat' (did you mean 'quickstart'?)"),
        (
            "sweeps/smoke.yaml",
            "sweeps/smoke.yaml: no such file ('smoke', without folder and suffix, is the one",
        ),
        ("smoke.yaml", "smoke.yaml: no such file ('smoke', without folder and suffix, is the one"),
        ("nowhere/mine.yaml", "nowhere/mine.yaml: no such file (check the path)"),
    ],
)
def test_a_name_of_no_sweep_is_told_the_nearest(here: Path, given: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        read_sweep(Path(given))
    assert said in str(error.value)
