"""Settings of launchers: what is not read is refused, at plan already."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.harness.launcher import LAUNCHERS, LauncherKind
from toolrl_cli.harness.launcher_settings import check_sections, chosen_launcher
from toolrl_cli.harness.launchers.local import open_here
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath


class Settings(Frozen):
    partition: str | None = None
    nodes: int = 1


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(LAUNCHERS._loaded, "queue", LauncherKind("queue", open_here, settings=Settings))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "launchers").mkdir()


def where(path: KeyPath) -> str:
    return ".".join(map(str, path))


def test_a_sweeps_own_setting_goes_before_that_of_the_folder() -> None:
    Path("launchers/queue.yaml").write_text("partition: main\nnodes: 2\n")
    kind, settings = chosen_launcher("queue", {"queue": {"partition": "low"}, "local": {}})
    assert (kind.name, settings) == ("queue", Settings(partition="low", nodes=2))
    assert chosen_launcher("local")[1] is None


def test_a_file_can_be_named_beside_the_launcher() -> None:
    Path("big.yaml").write_text("nodes: 4\n")
    assert chosen_launcher("queue:big.yaml")[1] == Settings(nodes=4)
    with pytest.raises(SpecError, match=r"gone\.yaml"):
        chosen_launcher("queue:gone.yaml")


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"queu": {}}, "launchers.queu: unknown launcher 'queu'"),
        ({"queue": {"partion": "x"}}, r"unknown key 'partion' .*did you mean 'partition'\?"),
        ({"queue": {"nodes": "two"}}, "launchers.queue.nodes: 'two' is not a whole number"),
        ({"local": {"gpus": 1}}, "launchers.local: the local launcher has no settings"),
    ],
)
def test_what_no_launcher_reads_is_refused(sections: dict[str, dict[str, object]], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        check_sections(sections, where)


def test_a_mistake_in_a_file_is_told_with_its_line() -> None:
    Path("launchers/queue.yaml").write_text("nodes: 2\npartion: x\n")
    with pytest.raises(SpecError, match=r"launchers/queue.yaml:2: partion: unknown key"):
        chosen_launcher("queue")
