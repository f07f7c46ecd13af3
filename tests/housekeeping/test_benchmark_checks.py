"""`toolrl doctor --benchmarks`: judges that are sound, and one that is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from toolrl_cli.benchmarks.catalogue import bamboogle, toolworld
from toolrl_cli.housekeeping.health.benchmark_checks import check_benchmarks, judged
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS, Item, Reply, Verdict


def test_gold_answers_of_what_is_here_are_right_and_what_is_not_here_is_named(tmp_path: Path) -> None:
    found = {check.name: check for check in check_benchmarks(tmp_path)}
    assert set(found) == {f"benchmark {name}" for name in BENCHMARKS.names()}
    world = found["benchmark toolworld"]
    assert (world.standing, world.found) == ("ok", "200 of 200 gold answers right; 0 of as many empty ones")
    bank = found["benchmark api_bank"]
    assert bank.standing == "warning" and "data prepare api_bank" in bank.fix


@pytest.mark.parametrize(
    ("answer", "told"), [("Paris", "ok"), ("", "error"), ("</response> x", "error"), ("¿…?", "error")]
)
def test_bamboogle_s_gold_answers_go_through_its_dialogue_and_its_judge(answer: str, told: str) -> None:
    gold = {"question": "Where?", "answer": answer}
    check = judged(bamboogle.BENCHMARK, "b", [Item("bamboogle_0", "questions", (), gold)])
    assert check.standing == told


class Careless(toolworld.ToolWorld):
    def judge(self, item: Item, reply: Reply) -> Verdict:
        return Verdict("" if not reply.output or item.id.endswith("1") else "no")


@pytest.mark.parametrize(
    ("exceptions", "told"), [((), "gold answers: 1 item (0)"), (("0",), "empty answers: 2 items (0, 1)")]
)
def test_a_judge_that_is_wrong_is_an_error_that_names_items(exceptions: Sequence[str], told: str) -> None:
    benchmark = Careless()
    benchmark.unanswerable = frozenset(exceptions)  # type: ignore[misc]
    items = [Item(str(n), "seen_tools", ({"role": "user", "content": "q"},), "gold") for n in range(2)]
    check = judged(benchmark, "b", items)
    assert check.standing == "error" and told in check.found
