"""Whatever a user's function does, it ends as a `RewardError` that names component, file and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rewards.test_python_component import reward_of
from tests.rewards.turns import GOLD
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.user_code import runner
from toolrl_cli.rewards.user_code.values import number

HEAD = "import asyncio, math, os, signal, sys, time, threading\n"
BAD_TEXT = (
    "class Bad(Exception):\n    def __str__(self): raise ValueError('no text')\n    __repr__ = __str__\n"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 10**400", r"f returned 1000000.*…, which is too large"),
        ("return 10**5000", r"f returned <int, whose repr raises ValueError>, which is too large|returned 1000"),
        ("import fractions; return fractions.Fraction(10**400)", "which is too large"),
        ("import numpy; return numpy.array([0.5])", r"f returned array\(\[0.5\]\), which is no number"),
        ("import numpy; return numpy.array('a')", "f returned 'a', which is no number"),
        ("return {'acc': 1}", r"f returned a mapping without 'score': \{'acc': 1\}"),
        ("return {'score': None}", "f returned None, which is no number"),
        ("return {'score': 1, 'x': [1]}", r"f returned \[1\] under 'x', which is no number"),
        ("return {'score': 1, 'x': math.nan}", "f returned nan under 'x'"),
        ("return {'score': 1, 'x': 10**400}", "f returned 1000.* under 'x', which is too large"),
        ("return {'score': 1, 'raw': 1}", r"f returned the key 'raw' .*every part has one: call it my_raw"),
        ("return {'score': 1, 2: 1}", r"f returned the key 2 .*letters, digits, _ and -"),
        ("return {'score': 1, 'a/b': 1}", "f returned the key 'a/b'"),
        ("sys.exit(0)", "f raised SystemExit: 0"),
        ("raise KeyboardInterrupt", "f raised KeyboardInterrupt"),
        ("raise GeneratorExit", "f raised GeneratorExit"),
        ("return Bad()", "f returned <Bad, whose repr raises ValueError>, which is no number"),
        ("raise Bad()", "f raised Bad, whose text raises ValueError"),
        (r"raise ValueError('half \ud800 pair')", r"f raised ValueError: half \\ud800 pair"),
        ("raise ValueError('a\\n' * 10**6)", "f raised ValueError: a a a"),
        ("os._exit(0)", "f ended its process with status 0 while it ran"),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"f ended its process by signal 9 \(Killed\) while it ran"),
        ("os.closerange(3, 9999); return 1", "f ended its process|f closed the connection"),
        ("os.fork() and os._exit(3); time.sleep(30)", "f ended its process with status 3"),
    ],
)  # fmt: skip
def test_whatever_a_function_does_is_told_with_its_file_and_its_completion(
    tmp_path: Path, body: str, message: str
) -> None:
    reward = reward_of(tmp_path, f"{HEAD}{BAD_TEXT}def f():\n    {body}\n")
    with pytest.raises(RewardError, match=message) as fault:
        reward.score("text", GOLD, step=7)
    line = str(fault.value)
    assert line.startswith("components.mine: f ") and f"(in {tmp_path / 'user.py'}" in line
    assert len(line.encode("utf-8").splitlines()) == 1 and len(line) < 1000
    assert (fault.value.completion, fault.value.ground_truth, fault.value.step) == ("text", GOLD, 7)


def test_a_function_that_yields_is_refused_whatever_the_completion(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match="f yields, and has to return") as fault:
        reward_of(tmp_path, "def f():\n    yield 1\n").score("text", GOLD)
    assert fault.value.completion is None and f"(in {tmp_path / 'user.py'}" in str(fault.value)


@pytest.mark.parametrize(
    "body", ["while True: pass", "time.sleep(60)", "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
)  # fmt: skip
def test_a_function_that_does_not_return_is_ended(tmp_path: Path, body: str) -> None:
    reward = reward_of(tmp_path, f"{HEAD}def f():\n    {body}\n", timeout=0.3)
    with pytest.raises(RewardError, match=r"f did not end within 0\.3 s while it ran .*or raise its timeout"):
        reward.score("text", GOLD)


def test_an_import_that_does_not_return_is_ended(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "while True: pass\ndef f(): return 1", timeout=0.1)
    with pytest.raises(RewardError, match=r"f did not end within 0\.5 s while it was being imported"):
        reward.score("text", GOLD)


def test_after_a_function_that_ended_its_process_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    good = reward_of(tmp_path / "other", "def f(): return 2")
    bad = reward_of(tmp_path, "import os\ndef f(completion):\n    if completion: os._exit(1)\n    return 1")
    for _ in range(2):
        with pytest.raises(RewardError, match="status 1"):
            bad.score("text", GOLD)
        assert (good.score("", "").total, bad.score("", "").total) == (2, 1)


class Tensor:
    """As torch's: importing it takes seconds."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def item(self) -> float:
        return 0.5


def test_a_scalar_of_numpy_or_torch_is_a_number_and_an_array_of_one_is_none() -> None:
    import numpy as np

    assert [number(value) for value in (np.array(0.5), np.float32(0.5), Tensor())] == [0.5] * 3
    for value in (np.array([0.5]), Tensor(1)):
        with pytest.raises(RewardError, match="which is no number"):
            number(value)


def test_a_function_of_verls_signature_works_as_it_is(tmp_path: Path) -> None:
    source = (
        "def f(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    same = solution_str == ground_truth\n"
        "    return {'score': same + (data_source == 'mine') + (extra_info or {}).get('bonus', 0), 'acc': same}\n"
    )
    reward = reward_of(tmp_path, source)
    assert reward.score("a", "a").total == 1
    row = {"data_source": "mine", "extra_info": {"bonus": 0.5}}
    assert reward.score("a", "a", row=row).total == 2.5


def test_an_async_function_is_waited_for_and_keeps_its_event_loop(tmp_path: Path) -> None:
    source = (
        "import asyncio\nloops = set()\n"
        "async def f(completion):\n"
        "    loops.add(asyncio.get_running_loop())\n    await asyncio.sleep(0)\n    return len(loops)\n"
    )
    reward = reward_of(tmp_path, source)
    assert [reward.score(text, "").total for text in "abc"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class f: ...", "f is a class .*name a function, or an instance to call"),
        (
            "def f(completion, /): return 1",
            r"'completion', which cannot be given by its name .*leave out the /",
        ),
        ("def f(prompts, completion): return 1", "'prompts', which is no input of a component"),
    ],
)
def test_a_function_that_cannot_be_given_its_inputs_is_refused_in_a_line(
    tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(RewardError, match=message):
        reward_of(tmp_path, source).score("text", GOLD)


def test_a_lambda_in_the_place_of_its_name_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("f = lambda completion: 1.0")
    part = {"kind": "python", "path": str(tmp_path / "user.py"), "function": lambda completion: 1.0}
    with pytest.raises(RewardError, match=r"reward\.components\.mine\.function: <function .* is no text"):
        get_reward({"components": {"mine": part}})
    assert get_reward({"components": {"mine": {**part, "function": "f"}}}).score("", "").total == 1


@pytest.mark.parametrize("timeout", [0, -1, "60", True, float("nan"), 1e9])
def test_a_timeout_that_is_no_time_is_refused(tmp_path: Path, timeout: object) -> None:
    with pytest.raises(RewardError, match=r"components\.mine\.timeout: .* is no number of seconds"):
        reward_of(tmp_path, "def f(): return 1", timeout=timeout)


def test_a_timeout_is_kept_and_is_no_part_of_the_rewards_identity(tmp_path: Path) -> None:
    plain, long = (reward_of(tmp_path, "def f(): return 1", **keys) for keys in ({}, {"timeout": 600}))
    assert long == plain and long.identity() == plain.identity()
    assert "timeout" not in plain.to_dict()["components"]["mine"]
    assert long.to_dict()["components"]["mine"]["timeout"] == 600


PRINTING = """
import sys
from toolrl_cli.rewards import get_reward
part = {"kind": "python", "path": sys.argv[1], "function": "f"}
print(get_reward({"components": {"mine": part}}).score("", "").total)
"""


def test_what_a_function_prints_is_cut_and_stays_out_of_the_output(tmp_path: Path) -> None:
    source = "import sys\ndef f():\n    print('x' * 5_000_000)\n    print('\\ud800')\n    return 1\n"
    (tmp_path / "user.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, str(tmp_path / "user.py")], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout == "1.0\n"
    assert 100_000 <= len(done.stderr) < 101_000
    assert "what reward functions print from here on is left out" in done.stderr


def test_the_process_ends_with_the_one_that_asks(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("import os\ndef f(): return os.getpid()")
    command = [sys.executable, "-c", PRINTING, str(tmp_path / "user.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(float(done.stdout)), 0)


def test_a_forked_process_has_functions_of_its_own(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "import os\ndef f(): return os.getpid()")
    here = reward.score("", "").total
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(reward.score("", "").total).encode())
        runner.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert float(os.read(read, 100)) != here == reward.score("", "").total
