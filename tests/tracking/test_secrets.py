"""No secret reaches W&B, a file or a log, wherever a user has put it."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape as html
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.stages import FUNCTIONS, Stages, eventually
from tests.support.wandb_server import WandbServer
from tests.tracking.tree import SWEEP, ResultsTree
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.publishing import Publishing
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.report.render.latex import escape as latex
from toolrl_cli.report.render.markdown import escape as markdown
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.tracking.extras import LONGEST

NAMES = (
    *(
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "GITLAB_JWT",
        "AZURE_PAT",
        "SSH_PASSPHRASE",
        "MYPASSPHRASE2",
        "DB_PASSWORD",
    ),
    *("CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "SESSION_COOKIE", "SLURM_MY_TOKEN"),
)


def test_none_of_twelve_planted_secrets_is_in_what_is_written_or_sent(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = {name: f"s3cret-of-{name.lower().replace('_', '-')}" for name in NAMES}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    everything = " ".join(planted.values()) + " https://user:s3cret-in-a-url@host/x"
    tree = ResultsTree(tmp_path / "results", tags=[planted["HF_TOKEN"]], notes=everything).trained()
    report = tree.root / "sweeps" / SWEEP / "report"
    report.mkdir()
    (report / "report.md").write_text(f"what somebody described: {everything}")
    (report / "curve.png").write_bytes(b"\x89PNG\xff")
    dumps = tree.ledger.folder(tree.rl[0]).attempt(1) / "rollouts"
    dumps.mkdir()
    cut = "x" * (LONGEST - 12) + planted["HF_TOKEN"]
    samples = [{"output": text, "score": 1.0} for text in (everything, cut)]
    (dumps / "6.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    theirs = {path for path in tree.root.rglob("*") if path.is_file()}  # what the user wrote down
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}
    tree.sync("offline")
    run = next(run for name, run in server.runs.items() if "arm0" in name)
    assert b"\x89PNG\xff" in server.blobs.values()
    assert any(b"what somebody described: ***" in blob for blob in server.blobs.values())
    assert "samples" in run.rows[-1] and run.told["notes"].endswith("https://host/x")
    assert "s3cret" not in server.everything()  # nor the first half of one, in a text that is cut
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and path not in theirs):
        assert b"s3cret" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "write", [json.dumps, html, quote, latex, markdown, lambda text: json.dumps(latex(text))]
)
def test_a_secret_is_found_as_other_languages_write_it(write: Callable[[str], str]) -> None:
    secret = r'wandb_v1_a"b\c<d>&{e}~^$%#é='
    told = scrubbed(f"before {write(f'-{secret}-')} after", {"SOME_KEY": secret})
    assert "***" in told and "wandb" not in told
    assert told.startswith("before ") and told.endswith(" after")


def test_of_two_secrets_that_begin_alike_nothing_is_left() -> None:
    known = {"A_KEY": "abcdefgh", "B_KEY": "abcdefgh-12345678"}
    assert scrubbed("abcdefgh-12345678 abcdefgh", known) == "*** ***"


def test_none_is_in_what_an_attempt_and_the_publisher_beside_it_write_nor_on_their_command_lines(
    server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launcher: LocalLauncher,
    stages: Stages,
) -> None:
    planted = {name: f"s3cret-of-{name.lower().replace('_', '-')}" for name in NAMES}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    tree = ResultsTree(tmp_path / "results").trained()
    spec = stages("rl", "rl", total_steps=5, progress_metric="reward/total/mean")
    folder = tree.ledger.folder(spec)
    lines = []
    with Publishing(tree.root, SWEEP, "online") as publishing:
        started = start_attempt(
            folder, spec, launcher, ("cpu0",), AttemptOptions({"rl": f"{FUNCTIONS}:train"})
        )
        assert isinstance(started, Started)
        pids = [int((started.state.launcher or {})["pid"]), int(publishing.pid or 0)]
        eventually(lambda: folder.state().status == "running")
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
        eventually(lambda: folder.state().status == "succeeded", 60.0)
        publishing.conclude()
    assert all(lines)
    eventually(lambda: any(run.state == "finished" for run in server.runs.values()), 60.0)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"environment.json", "log.txt", "wandb.log"} <= {path.name for path in written}
    for text in planted.values():
        assert text not in server.everything()
        assert not [line for line in lines if text.encode() in line]
        assert not [path for path in written if text.encode() in path.read_bytes()]
