"""What a run starts from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from toolrl_cli.spec.run.data_settings import ToolWorldData
from toolrl_cli.spec.run.frozen import Frozen, Natural
from toolrl_cli.spec.run.training_settings import SftSpec


class TinyModel(Frozen):
    """A Qwen2-architecture model made on the spot from a seed and given a rough ability by SFT."""

    kind: Literal["tiny"]
    name: str = "tiny"
    seed: Natural = 0
    pretrain: SftSpec = SftSpec(split="base")
    pretrain_data: ToolWorldData = ToolWorldData(kind="toolworld")


class HuggingFaceModel(Frozen):
    """A model folder, or a name on the hub."""

    kind: Literal["huggingface"]
    name: str
    path: str = Field(description="folder or hub name")
    revision: str | None = Field(None, description="commit on the hub")


class EndpointModel(Frozen):
    """A model behind an OpenAI-compatible endpoint, which is asked and never trained."""

    kind: Literal["endpoint"]
    name: str
    url: str = Field(
        description="its root, such as http://127.0.0.1:8000/v1", pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$"
    )
    model: str = Field(description="what the endpoint calls the model")
    key_env: str = Field(
        "", description="environment variable with its key, in whichever process asks", pattern=r"^\w*$"
    )


ModelSpec = Annotated[TinyModel | HuggingFaceModel | EndpointModel, Field(discriminator="kind")]
