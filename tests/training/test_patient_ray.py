"""A node of Ray that is slow to begin is waited for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.training.nodes.patient_ray import be_patient, patient


def test_a_node_is_asked_for_until_it_is_there_and_no_longer_than_the_limit() -> None:
    answers = iter([RuntimeError("not yet"), RuntimeError("not yet"), {"node_id": "a"}])

    def get_node(address: str, node_id: str) -> object:
        found = next(answers, RuntimeError("never"))
        if isinstance(found, RuntimeError):
            raise found
        return found

    assert patient(get_node)("address", "a") == {"node_id": "a"}
    with pytest.raises(RuntimeError, match="never"):
        patient(get_node, 0.3)("address", "a")


def test_ray_begins_its_nodes_with_the_function_that_waits() -> None:
    from ray._private import node, services

    asked = services.get_node
    try:
        be_patient()
        be_patient()
        assert services.get_node is not asked and services.get_node.__wrapped__ is asked
        asking = Path(node.__file__).read_text()
        assert "ray._private.services.get_node(" in asking  # by that name, at the time of the call
    finally:
        services.get_node = asked


def test_a_node_that_has_died_is_not_waited_for(tmp_path: Path) -> None:
    raylet = tmp_path / "raylet"
    shutil.copy("/bin/true", raylet)
    asked: list[int] = []

    def absent() -> None:
        asked.append(1)
        if len(asked) == 2:
            child = subprocess.Popen([raylet])
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        raise RuntimeError("no such node")

    with pytest.raises(RuntimeError, match="no such node"):
        patient(absent)()
    assert len(asked) == 2


def test_ray_starts_no_server_for_its_clients_whose_port_may_be_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._private import node
    from ray.scripts import scripts

    from toolrl_cli.training.nodes.ray_start import without_client_server

    class Asked(Exception):
        """In place of a node."""

    def started(parameters: Any, **_: object) -> None:
        raise Asked(parameters.ray_client_server_port)

    monkeypatch.setattr(node, "Node", started)
    monkeypatch.setattr(scripts, "get_ray_client_dependency_error", scripts.get_ray_client_dependency_error)
    without_client_server()
    with pytest.raises(Asked) as asked:
        scripts.cli(["start", "--head", "--port=0", "--disable-usage-stats"], standalone_mode=False)
    assert asked.value.args == (None,)
