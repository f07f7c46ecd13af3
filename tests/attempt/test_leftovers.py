"""What earlier attempts of a stage left running."""

from __future__ import annotations

import dataclasses

from tests.support.stages import Stages
from toolrl_cli.attempt.leftovers import end_leftovers
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.files import read_json, write_json
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import PROCESSES


def test_the_record_of_an_attempt_on_another_machine_stays_as_it_is(ledger: Ledger, stages: Stages) -> None:
    folder = ledger.folder(stages("a"))
    there = dataclasses.replace(ProcessId.current(), host="elsewhere", boot="another-boot").to_json()
    record = {"schema": 1, "mark": "a/1/x", "ended": False, "attempt": there, "descendants": [there]}
    folder.attempt(1).mkdir(parents=True)
    write_json(folder.attempt(1) / PROCESSES.name, record)
    assert end_leftovers(folder) == []
    assert read_json(folder.attempt(1) / PROCESSES.name) == record
