"""What the tests with real trainers share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import trains
from tests.e2e.slurm_cluster import SlurmCluster


@pytest.fixture(scope="module", autouse=True)
def one_process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fail where xdist has spread the trainers over processes: see `tests/conftest.py`."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or not trains(request.node.nodeid):
        return
    claim = tmp_path_factory.getbasetemp().parent / "trainers"
    try:
        with claim.open("x", encoding="utf-8") as file:
            file.write(worker)
    except FileExistsError:
        holder = claim.read_text(encoding="utf-8")
        if holder == worker:  # an earlier module
            return
        pytest.fail(f"trainers run in {holder} and {worker}; tests/conftest.py keeps them in one process")


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        cluster = SlurmCluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
