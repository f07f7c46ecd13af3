"""No secret reaches W&B, a file or a log, wherever a user has put it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.wandb_server import WandbServer
from tests.tracking.tree import ResultsTree

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
    dumps = tree.ledger.folder(tree.rl[0]).attempt(1) / "rollouts"
    dumps.mkdir()
    (dumps / "6.jsonl").write_text(json.dumps({"output": everything, "score": 1.0}) + "\n")
    theirs = {path for path in tree.root.rglob("*") if path.is_file()}  # what the user wrote down
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}
    tree.sync("offline")
    (run,) = server.runs.values()
    assert "samples" in run.rows[-1] and run.told["notes"].endswith("https://host/x")
    for text in (*planted.values(), "s3cret-in-a-url"):
        assert text not in server.everything()
        for path in (path for path in tmp_path.rglob("*") if path.is_file() and path not in theirs):
            assert text.encode() not in path.read_bytes(), path
