"""A process that is asked in lines, and what of it is heard."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.support.stages import eventually
from toolrl_cli.processes.line_process import LineProcess, ProcessEnded

ECHO = """
import json, sys
print("a greeting", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    print("{}" if asked["say"] == "nothing" else json.dumps(asked), flush=True)
"""


def started(code: str, greeting: int = 0) -> LineProcess:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
    return LineProcess(process, greeting)


def ended(lines: LineProcess) -> None:
    lines.process.kill()
    lines.process.wait()
    lines.finish()


def test_each_conversation_hears_its_own_answers_in_their_order() -> None:
    lines = started(ECHO, greeting=1)
    heard: dict[str, list[int]] = {name: [] for name in "abcd"}

    def talk(name: str) -> None:
        for n in range(50):
            lines.tell({"id": name, "say": n})
        heard[name] = [lines.answer(name, 60)["say"] for _ in range(50)]

    threads = [threading.Thread(target=talk, args=(name,)) for name in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(tuple, heard.values())) == {tuple(range(50))}
    ended(lines)


def test_what_it_said_before_it_ended_is_heard_and_then_that_it_ended() -> None:
    lines = started("""print('{"id": "a", "last": 1}')""")
    eventually(lambda: lines.over)
    assert lines.answer("a", 60) == {"id": "a", "last": 1}
    for name in "ab":
        with pytest.raises(ProcessEnded):
            lines.answer(name, 60)
    with pytest.raises(ProcessEnded):
        for _ in range(100_000):
            lines.tell({"id": "a"})
    ended(lines)


def test_who_waits_for_a_process_that_ends_is_woken() -> None:
    lines = started("import sys; sys.stdin.readline()")
    threading.Timer(0.3, lines.tell, [{"id": "b"}]).start()
    with pytest.raises(ProcessEnded):
        lines.answer("a", 600)
    ended(lines)


def test_a_process_that_says_nothing_is_waited_for_as_long_as_it_is_given() -> None:
    lines = started(ECHO, greeting=1)
    lines.tell({"id": "a", "say": "nothing"})
    with pytest.raises(TimeoutError):
        lines.answer("a", 0.2)
    ended(lines)
