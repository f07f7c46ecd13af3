from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli.attempt.sampling import Sampler
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import MACHINE_FILE, machine_samples


def test_samples_are_written_until_the_attempt_ends_and_none_of_one_that_is_over_at_once(
    tmp_path: Path,
) -> None:
    attempt = tmp_path / "attempts" / "1"
    attempt.mkdir(parents=True)
    sampler = Sampler(attempt)
    sampler.start()
    sampler.finish()
    assert not sampler.is_alive() and machine_samples(tmp_path) == []
    sampler = Sampler(attempt, first=0.01, every=0.01)
    sampler.start()
    eventually(lambda: len(machine_samples(tmp_path)) >= 2)
    sampler.finish()
    first, second, *_ = machine_samples(tmp_path)
    assert first.attempt == 1 and first.time <= second.time and second.line == 1
    assert first.data["attempt/memory_gib"] > 0
    (attempt / MACHINE_FILE).unlink()
    (attempt / MACHINE_FILE).mkdir()  # cannot be written: the attempt goes on
    sampler = Sampler(attempt, first=0.01, every=0.01)
    sampler.start()
    sampler.join(5.0)
    assert not sampler.is_alive()


QUICK = """
import sys
from toolrl_cli.attempt.execution import main
from toolrl_cli.attempt.sampling import Sampler
Sampler.__init__.__kwdefaults__.update(first=0.01, every=0.05)
sys.exit(main(sys.argv[1:]))
"""


def test_a_running_attempt_writes_down_what_it_uses(ledger: Ledger, stages: Stages) -> None:
    spec = stages("rl", "rl", total_steps=5, progress_metric="reward/total/mean")
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    command = [sys.executable, "-c", QUICK, str(folder.path), "--function", f"{FUNCTIONS}:train"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert machine_samples(folder.path)[0].data["attempt/processes"] >= 1
