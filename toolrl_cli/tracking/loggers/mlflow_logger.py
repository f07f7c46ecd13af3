"""MLflow: `$MLFLOW_TRACKING_URI`, else `RESULTS/mlflow.db`; a run is found again by its tag `toolrl_id`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from toolrl_cli.errors import TrackingError
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.tracking.loggers.logger import Point
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import Outcome, Told
from toolrl_cli.wording import first_line

BATCH, PARAMS, LONGEST = (
    1000,
    100,
    500,
)  # metrics and parameters of one request, characters of a value: MLflow's limits
ID = "toolrl_id"
STATUS: Mapping[Outcome, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MLflow:
    """One run."""

    def __init__(self, told: Told, project: str, uri: str) -> None:
        self._uri = uri
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run = self._found(told, project)
        except (MlflowException, OSError, ImportError) as error:
            raise self._fault(error) from error

    def _found(self, told: Told, project: str) -> str:
        known = self._client.get_experiment_by_name(project)
        experiment = known.experiment_id if known else self._client.create_experiment(project)
        for run in self._client.search_runs([experiment], f"tags.{ID} = '{told.id}'"):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        tags = {
            ID: told.id,
            "group": told.group,
            "job_type": told.job_type,
            "mlflow.note.content": told.notes,
        }
        tags |= {name: value for name, _, value in (tag.partition("=") for tag in told.tags)}
        run = self._client.create_run(
            experiment, run_name=told.name, tags={_name(key): value for key, value in tags.items()}
        )
        params = [Param(_name(key), str(value)[:LONGEST]) for key, value in _flat(told.config)]
        for n in range(0, len(params), PARAMS):
            self._client.log_batch(run.info.run_id, params=params[n : n + PARAMS])
        return str(run.info.run_id)

    def log(self, points: Sequence[Point]) -> None:
        """See `Logger`."""
        now = int(1000 * time.time())
        metrics = [Metric(_name(k), v, now, step) for step, values in points for k, v in values.items()]
        try:
            for n in range(0, len(metrics), BATCH):
                self._client.log_batch(self._run, metrics=metrics[n : n + BATCH])
        except (MlflowException, OSError) as error:
            raise self._fault(error) from error

    def close(self, outcome: Outcome = "finished") -> None:
        """See `Logger`."""
        try:
            self._client.set_terminated(self._run, STATUS[outcome])
        except (MlflowException, OSError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> TrackingError:
        return TrackingError(scrubbed(f"MLflow: {first_line(error)}"), scrubbed(self._uri))


def _name(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name.replace("@", "_at_"))[:250]


def _flat(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{above}/{key}" if above else str(key))
    else:
        yield above, value


def start(told: Told, place: Place, results: Path) -> MLflow:
    """See `logger.start`."""
    # its own patience is ten minutes, in which nothing else is logged
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    return MLflow(
        told, place.project, os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results}/mlflow.db"
    )
