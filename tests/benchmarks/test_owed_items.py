"""Items that an endpoint did not answer: owed, told, and asked again without the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.results_tree import finish, plan_of, stage
from toolrl_cli.benchmarks.evaluation import run
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.planning.losses import look
from toolrl_cli.planning.rewinding import renew
from toolrl_cli.spec.evaluations.own_evaluation import own_evaluation
from toolrl_cli.spec.stage import StageContext, StageSpec
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.outputs import recorded
from toolrl_cli.store.schemas import SCORES
from toolrl_cli.store.scores import ANSWERS, OWED, read_scores

ITEMS = 6


class Server(ThreadingHTTPServer):
    """Counts what is asked, and answers one question with 500 as long as it is `broken`."""

    broken = True

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.bad = ""
        self.answered: Callable[[], Any] = lambda: None
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        self.server.asked[question] += 1
        if len(self.server.asked) == 2 and not self.server.bad:
            self.server.bad = question
        bad = self.server.broken and question == self.server.bad
        told: dict[str, Any] = {"choices": [{"message": {"content": "no"}, "finish_reason": "stop"}]}
        text = json.dumps({"message": "always"} if bad else told).encode()
        self.send_response(500 if bad else 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.server.answered()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def attempt(ledger: Ledger, spec: StageSpec) -> None:
    """One attempt, as the harness has it begin and end."""
    folder = ledger.folder(spec)
    run(StageContext(spec, ledger.results, folder.path, folder.attempt(1), {}))
    with take(folder.path, purpose="launch") as lease:
        state = replace(folder.state(), status="succeeded", output=recorded(folder.path))
        folder.write_state(state, lease)


def test_an_item_that_was_given_up_is_owed_and_asked_again_without_the_others(
    ledger: Ledger, server: Server
) -> None:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    spec = stage(
        "evaluate",
        model={"kind": "endpoint", "name": "e", "url": url, "model": "m"},
        data={"kind": "toolworld", "benchmark": ITEMS},
        evaluation={"patience": 0.0, "batch_size": 1},
    )
    finish(ledger, spec)
    folder = ledger.folder(spec)
    attempt(ledger, spec)
    assert len(server.asked) == ITEMS
    scores = read_scores(folder.path / "output" / SCORES.name, "toolworld")
    assert not scores.problem and "raise evaluation.patience" in scores.metrics["overall"].why
    planned = plan_of(ledger, [spec]).stages[spec.id]
    assert planned.owed and planned.reason == "1 item has no answer (status 500: always)"
    for server.broken in (True, False):
        server.asked.clear()
        renew(ledger, look({spec.id: spec}, ledger)[1])
        assert (folder.path / ANSWERS).is_file() and not (folder.path / "output").exists()
        attempt(ledger, spec)
        assert set(server.asked) == {server.bad}
        assert (folder.path / "output" / OWED).exists() == server.broken
    assert not plan_of(ledger, [spec]).stages[spec.id].owed
    assert read_scores(folder.path / "output" / SCORES.name, "toolworld").metrics["overall"].total == ITEMS


def test_scores_that_are_gone_are_made_again_from_the_answers(ledger: Ledger, server: Server) -> None:
    server.broken = False
    url = f"http://127.0.0.1:{server.server_port}/v1"
    spec = stage(
        "evaluate",
        model={"kind": "endpoint", "name": "e", "url": url, "model": "m"},
        data={"kind": "toolworld", "benchmark": ITEMS},
    )
    finish(ledger, spec)
    attempt(ledger, spec)
    output = ledger.folder(spec).path / "output"
    written = (output / SCORES.name).read_bytes()
    (output / SCORES.name).unlink()
    renew(ledger, look({spec.id: spec}, ledger)[1])
    attempt(ledger, spec)
    assert server.asked.total() == ITEMS and (output / SCORES.name).read_bytes() == written


def test_an_evaluation_of_one_s_own_that_was_edited_while_it_ran_gives_no_score(
    ledger: Ledger, server: Server, tmp_path: Path
) -> None:
    server.broken = False
    file = tmp_path / "mine.py"
    code = "def items():\n    return [{'prompt': 'q'}]\ndef judge(item, output):\n    return 'no' in output\n"
    file.write_text(code)
    spec = stage(
        "evaluate",
        model={
            "kind": "endpoint",
            "name": "e",
            "url": f"http://127.0.0.1:{server.server_port}/v1",
            "model": "m",
        },
        benchmark="mine",
        own=own_evaluation(str(file), tmp_path, ""),
    )
    finish(ledger, spec)
    output = ledger.folder(spec).path / "output" / SCORES.name
    output.unlink(missing_ok=True)
    server.answered = lambda: file.write_text(code.replace("'no'", "'yes'"))
    with pytest.raises(BenchmarkError, match="changed since it was planned"):
        attempt(ledger, spec)
    assert not output.exists()
    server.answered = lambda: file.write_text(code)
    file.write_text(code)
    attempt(ledger, spec)  # the answer is kept
    assert server.asked.total() == 1 and read_scores(output, "mine").metrics["overall"].value == 1.0
