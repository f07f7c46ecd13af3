"""The files that a reward of the user's own imports from beside it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.rewards.turns import GOLD
from toolrl_cli.processes.child import importable
from toolrl_cli.rewards import Reward, RewardError, get_reward
from toolrl_cli.rewards.user_code.python_component import PythonComponent
from toolrl_cli.rewards.user_code.runner import close
from toolrl_cli.rewards.user_code.values import INPUTS


def write(folder: Path, files: Mapping[str, str] | None = None, **more: str) -> Path:
    for name, text in {**(files or {}), **more}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def reward_in(folder: Path, name: str = "mine.py") -> Reward:
    return get_reward(
        {"components": {"mine": {"kind": "python", "path": name, "function": "f"}}}, base_dir=folder
    )


def total(reward: Reward) -> float:
    return reward.score("a b", "").total


def digest(reward: Reward) -> str:
    (component,) = reward.components
    assert isinstance(component, PythonComponent)
    return component.sha256


@pytest.mark.parametrize(
    ("main", "files"),
    [
        ("import helper\ndef f(): return helper.N", {"helper": "N = 7"}),
        ("import helper as h\ndef f(): return h.N", {"helper": "N = 7"}),
        ("from helper import *\ndef f(): return N", {"helper": "N = 7"}),
        ("def f():\n    from helper import N\n    return N", {"helper": "N = 7"}),
        ("from .helper import N\ndef f(): return N", {"helper": "N = 7"}),
        ("from . import helper\ndef f(): return helper.N", {"helper": "N = 7"}),
        ("import part.deep\ndef f(): return part.deep.N", {"part/__init__": "", "part/deep": "N = 7"}),
        ("import part.deep as d\ndef f(): return d.N", {"part/deep": "N = 7"}),
        ("from part import deep\ndef f(): return deep.N", {"part/deep": "from .more import N", "part/more": "N = 7"}),
        ("from part.deep import N\ndef f(): return N", {"part/deep": "from helper import N", "helper": "N = 7"}),
        ("import helper\nM = 7\ndef f(): return helper.n()", {"helper": "def n(): import mine; return mine.M"}),
    ],
)  # fmt: skip
def test_a_file_beside_a_reward_is_imported_and_is_part_of_its_identity(
    tmp_path: Path, main: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "rewards", files, mine=main)
    monkeypatch.chdir("/")
    reward = reward_in(folder)
    assert total(reward) == 7
    name, text = list(files.items())[-1]
    write(folder, {name: f"{text}\n# changed"})
    assert digest(reward_in(folder)) != digest(reward)
    with pytest.raises(RewardError, match="has changed since the reward was resolved"):
        get_reward(reward.to_dict())


def test_a_reward_that_imports_nothing_beside_it_has_the_digest_of_its_file(tmp_path: Path) -> None:
    import hashlib

    code = "import json, math\nfrom dataclasses import dataclass\ndef f(): return 1"
    write(tmp_path, mine=code, json="raise OSError", unused="x = 1")
    assert digest(reward_in(tmp_path)) == hashlib.sha256(code.encode()).hexdigest()
    assert total(reward_in(tmp_path)) == 1


def test_a_folder_called_like_an_installed_package_does_not_take_its_place(tmp_path: Path) -> None:
    write(tmp_path, mine="from pytest import approx\ndef f(): return 1", files={"pytest/approx": "x = 1"})
    assert total(reward_in(tmp_path)) == 1


def test_two_rewards_may_each_have_a_helper_of_the_same_name(tmp_path: Path) -> None:
    main = "def f():\n    import helper\n    return helper.N"
    one = reward_in(write(tmp_path / "one", mine=main, helper="N = 1"))
    two = reward_in(write(tmp_path / "two", mine=main, helper="N = 2"))
    assert [total(one), total(two), total(one)] == [1, 2, 1]
    assert "helper" not in sys.modules


def test_a_helper_that_changes_is_imported_anew_in_the_same_process(tmp_path: Path) -> None:
    write(tmp_path, mine="from helper import N\ndef f(): return N", helper="N = 1")
    assert total(reward_in(tmp_path)) == 1
    write(tmp_path, helper="N = 2")
    assert total(reward_in(tmp_path)) == 2


def test_the_same_files_in_another_folder_are_the_same_reward(tmp_path: Path) -> None:
    files = {"mine": "from helper import N\ndef f(): return N", "helper": "N = 1"}
    one, two = (reward_in(write(tmp_path / name, **files)) for name in ("one", "two"))
    assert one == two and one.identity() == two.identity()


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_reward_may_count_in_processes_of_its_own(tmp_path: Path, start: str) -> None:
    main = (
        "import helper, multiprocessing\ndef one(n): return n + helper.N\n"
        f"def f():\n    with multiprocessing.get_context('{start}').Pool(1) as pool:\n"
        "        return pool.map_async(one, [1]).get(30)[0]"
    )
    one, two = (reward_in(write(tmp_path / str(n), mine=main, helper=f"N = {n}")) for n in (1, 2))
    assert [total(one), total(two), total(one)] == [2, 3, 2]


def test_a_program_that_a_reward_starts_imports_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close()
    for name, value in importable({}).items():  # as every attempt has it
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    write(tmp_path / "work", check="import solution", solution="")
    main = (
        "import subprocess, sys\nfrom pathlib import Path\ndef f():\n"
        "    work = Path(__file__).parent / 'work'\n"
        "    return subprocess.run([sys.executable, 'check.py'], cwd=work).returncode == 0"
    )
    assert total(reward_in(write(tmp_path, mine=main))) == 1
    close()


def test_a_second_reward_leaves_what_the_first_has_put_into_sys_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = (
        "import multiprocessing, sys\nsys.path.insert(0, '/mine')\ndef one(n): return n\n"
        "def f():\n    assert sys.path[0] == '/mine'\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return pool.map_async(one, [1]).get(30)[0]"
    )
    spawns = reward_in(write(tmp_path / "one", mine=main))
    write(tmp_path / "two", named="def f(): return 5")
    monkeypatch.syspath_prepend(tmp_path / "two")
    named = get_reward({"components": {"mine": {"kind": "python", "module": "named", "function": "f"}}})
    assert [total(spawns), total(named), total(spawns)] == [1, 5, 1]


def test_a_reward_with_a_dataclass_is_imported(tmp_path: Path) -> None:
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
        "@dataclass(slots=True)\nclass Words:\n    text: str\n    n: list[int] = field(default_factory=list)\n"
        "def f(completion): return len(Words(completion).text.split())\n"
    )
    assert total(reward_in(write(tmp_path, mine=code))) == 2


def test_a_fault_in_a_helper_names_its_file_before_anything_runs(tmp_path: Path) -> None:
    write(tmp_path, mine="import helper\ndef f(): return 1", helper="def (")
    with pytest.raises(RewardError, match=r"helper\.py is no valid Python"):
        reward_in(tmp_path)


def test_an_import_from_above_the_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, mine="from ..common import x\ndef f(): return 1")
    with pytest.raises(
        RewardError, match=r"mine\.py imports from above its folder.*put what it imports into that folder"
    ):
        reward_in(tmp_path)


def test_of_a_reward_imported_by_name_its_package_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write(
        tmp_path / "own_rewards",
        __init__="",
        mine="from own_rewards.helper import N\nfrom . import more\ndef f(): return N",
        helper="N = 3",
        more="",
        unused="",
    )
    monkeypatch.syspath_prepend(tmp_path)
    part = {"kind": "python", "module": "own_rewards.mine", "function": "f"}
    before = get_reward({"components": {"mine": part}})
    assert total(before) == 3
    write(package, unused="x = 1")
    assert get_reward({"components": {"mine": part}}) == before
    write(package, more="x = 1")
    assert get_reward({"components": {"mine": part}}) != before


def test_a_function_that_comes_with_a_star_is_found(tmp_path: Path) -> None:
    write(tmp_path, mine="from helper import *", helper="def f(): return 4")
    assert total(reward_in(tmp_path)) == 4


def test_the_functions_that_the_documentation_shows_work_as_they_are(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/rewards.md").read_text(encoding="utf-8")
    (settings, mine, grouped), (code, group) = (
        re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("yaml", "python")
    )
    (tmp_path / "tidy.yaml").write_text(settings, encoding="utf-8")
    write(tmp_path, rewards=code, group=group)
    assert get_reward(tmp_path / "tidy.yaml").score(GOLD, GOLD, 1, 10).total == 4.5
    (tmp_path / "group.yaml").write_text(grouped, encoding="utf-8")
    scores = get_reward(tmp_path / "group.yaml").score_group([f"{GOLD}  .", GOLD, f"{GOLD} ."], GOLD)
    assert [score.parts["shortest"].raw for score in scores] == pytest.approx([0, 0.5, 1 / 6])
    (tmp_path / "mine.yaml").write_text(mine, encoding="utf-8")
    wrong = GOLD.replace('"name": "', '"name": "not_')
    for completion in (GOLD, wrong, ""):
        own, named = (get_reward(r) for r in (tmp_path / "mine.yaml", "tool_n1_partial_names@toolrl"))
        assert own.score(completion, GOLD).total == named.score(completion, GOLD).total
    assert all(f"`{name}`" in page for name in INPUTS)
