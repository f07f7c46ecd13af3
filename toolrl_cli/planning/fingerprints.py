"""What identity needs from outside the spec: fingerprints of data and models, and versions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.run.data_settings import DataSpec, RllaData
from toolrl_cli.spec.run.frozen import Precision
from toolrl_cli.spec.run.model_settings import EndpointModel, HuggingFaceModel, TinyModel
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.training.data_identity import SHORT, data_fingerprint
from toolrl_cli.training.device import planned_device
from toolrl_cli.training.models.folder_check import check_model_folder
from toolrl_cli.training.models.hub_revision import commit_of
from toolrl_cli.training.models.model_fingerprint import fingerprint
from toolrl_cli.training.models.model_folder import folder_of, names_folder
from toolrl_cli.training.models.tiny_model import tiny_model_identity


def _nowhere(name: str) -> Path:
    raise SpecError(f"the released data {name} are not there", "data.path", "set data.path=FOLDER")


class LocalFacts:
    """The `Facts` of this machine; each file is read once, however many cells use it.

    Args:
        released: name of a released data set → the folder of its files; raises `SpecError` where they are not there.

    Attributes:
        notes: lines that a person should see, each once.
    """

    def __init__(self, released: Callable[[str], Path] = _nowhere) -> None:
        try:
            self.verl_version = metadata.version("verl")
        except metadata.PackageNotFoundError:
            raise SpecError("verl is not installed", "this environment", "pip install toolrl-cli") from None
        # per instance, so that a long-lived process sees files that change between two plans
        self._data: dict[tuple[str, tuple[str, ...]], str] = {}
        self._model = lru_cache(maxsize=None)(_model_fingerprint)
        self._commit = lru_cache(maxsize=None)(commit_of)
        self._released = lru_cache(maxsize=None)(released)
        self._device = lru_cache(maxsize=None)(planned_device)
        self.notes: dict[str, None] = {}

    def located(self, data: DataSpec) -> DataSpec:
        """rlla without a path is the released data under the results root.

        Raises:
            SpecError: they are not there.
        """
        if isinstance(data, RllaData) and data.path is None:
            return data.model_copy(update={"path": str(self._released(data.kind))})
        return data

    def data_fingerprint(self, data: DataSpec, splits: tuple[str, ...]) -> str:
        """See `training.data_identity`; each set of rows is read once.

        Raises:
            SpecError: a file is missing.
        """
        whole = isinstance(data, RllaData) and "sft4k" not in splits  # one fingerprint for all splits
        key = data.model_dump_json(), () if whole else splits
        if key not in self._data:
            self._data[key] = data_fingerprint(data, splits)
        return self._data[key]

    def model_fingerprint(self, model: HuggingFaceModel) -> str:
        """Of a folder: of its files; of a hub name: the name and the revision.

        Raises:
            SpecError: the folder is missing or not whole.
        """
        return self._model(model.path, model.revision)

    def pinned(self, model: HuggingFaceModel) -> HuggingFaceModel:
        """A name on the hub stands for the same bytes from now on, where the cache or the hub says for which."""
        if names_folder(model.path):
            return model
        commit = self._commit(model.path, model.revision)
        if commit is None:
            told = f"{model.path} is taken as the hub has it when it is trained: neither the local cache nor the hub "
            self.notes[f"{told}says which commit that is; model.revision names one"] = None
            return model
        return model if commit == model.revision else model.model_copy(update={"revision": commit})

    def precision(self, run: RunSpec) -> Precision:
        """fp32 where the run is planned for a CPU, whose training knows nothing else (`cpu.cpu_options`)."""
        if isinstance(run.model, EndpointModel):
            return run.precision  # it computes in its own
        if run.precision == "fp32" or self._device(run.resources.device) == "cuda":
            return run.precision
        self.notes[f"precision: {run.precision} is fp32 on a CPU, in training and in evaluation"] = None
        return "fp32"

    def tiny_fingerprint(self, model: TinyModel) -> str:
        """Of the recipe's version, the shape and the seed."""
        return digest(tiny_model_identity(model.seed), SHORT)


def _model_fingerprint(path: str, revision: str | None) -> str:
    if revision is not None and names_folder(path):
        what = f"{path} is a folder, and {revision} a revision on the hub"
        raise SpecError(what, "model.revision", "leave the revision out, or name a hub model")
    try:
        folder = folder_of(path)
        if folder is None:
            return f"{path}@{revision or 'main'}"
        check_model_folder(folder)
        return fingerprint(folder)
    except SpecError as error:
        raise SpecError(f"{error.what}: {path}", "model.path", error.hint) from None
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}: {error.filename}", "model.path") from None
