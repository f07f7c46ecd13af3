"""Exact match of validation answers by step: what arms of all rewards have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.rewards.exact_match import mismatch, parse_turn
from toolrl_cli.store.jsonl import read_jsonl
from toolrl_cli.training.rollout_dumps import files_by_step, is_padding, lost_tags

READ_BYTES = 300_000_000
"""Most bytes of validation dumps read for one report; where there are more, fewer steps of each run are read."""


class Answers:
    """Reads the validation dumps of RL stages, each once.

    Attributes:
        room: most bytes read of one stage.
        faults: stage → why its answers cannot be matched.
        thinned: stages of which only some validations were read.
        sizes: numbers of answers in one validation.
    """

    def __init__(self) -> None:
        self.room = READ_BYTES
        self.faults: dict[str, str] = {}
        self.thinned: set[str] = set()
        self.sizes: set[int] = set()
        self._known: dict[str, dict[int, float]] = {}

    def by_step(self, stage: Path) -> Mapping[int, float]:
        """Step → percent of the validation answers that match exactly; empty where none were logged.

        Args:
            stage: `RESULTS/stages/rl/<id>`.
        """
        if stage.name not in self._known:
            try:
                self._known[stage.name] = self._read(stage)
            except (OSError, LedgerError) as error:
                # `gc` may be at work, or another's files are closed to us
                self.faults[stage.name] = f"validation answers cannot be read: {error}"
                self._known[stage.name] = {}
        return self._known[stage.name]

    def _read(self, stage: Path) -> dict[int, float]:
        files = files_by_step(stage, "validation")
        if not files:
            return {}
        if lost := lost_tags(stage):
            held = ", ".join(lost)
            told = f"validation answers cannot be matched: its tokenizer holds {held} for special"
            self.faults[stage.name] = f"{told}, and verl's dumps leave special tokens out"
            return {}
        steps = sorted(files)
        most = max(1, int(self.room / max(1, max(path.stat().st_size for path in files.values()))))
        if most < len(steps):
            self.thinned.add(stage.name)
            apart = (len(steps) - 1) / max(1, most - 1)
            steps = [steps[-1 - round(i * apart)] for i in reversed(range(most))]
        found = {step: list(_verdicts(read_jsonl(files[step]))) for step in steps}
        self.sizes.update(len(verdicts) for verdicts in found.values() if verdicts)
        return {step: 100 * sum(right) / len(right) for step, right in found.items() if right}


def _verdicts(rows: Iterator[dict[str, Any]]) -> Iterator[bool]:
    """Whether each answer matches; gold answers in another form than the paper's say nothing and are left out."""
    for row in islice(rows, 100_000):
        output, truth = row.get("output"), row.get("gts")
        if isinstance(output, str) and isinstance(truth, str) and not is_padding(row):
            gold = parse_turn(truth)
            if gold.called or gold.response is not None:
                yield not mismatch(gold, parse_turn(output))
