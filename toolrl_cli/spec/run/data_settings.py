"""What a run trains on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from toolrl_cli.spec.run.frozen import Frozen, Natural, Positive


class ToolWorldData(Frozen):
    """The generated tool-use task; sizes are rows."""

    kind: Literal["toolworld"]
    seed: Natural = 0
    base: Positive = 4096
    sft: Positive = 256
    train: Positive = 2048
    val: Positive = 64
    benchmark: Positive = 200


class RllaData(Frozen):
    """The paper's data (`toolrl data prepare rlla`), or a folder of one's own in their form."""

    kind: Literal["rlla"]
    path: str | None = Field(
        None, description="a folder with `rlla_sft.json` and the RL rows; None: the released ones"
    )
    sft4k: str | None = Field(
        None,
        description="a file of SFT rows of your own in the form of `rlla_sft.json`, for sft.split: sft4k",
    )
    limit: dict[Literal["sft", "train", "val", "sft4k"], Positive] = Field(
        {}, description="split → most rows to use"
    )
    at_least: dict[Literal["sft", "train", "val", "sft4k"], Positive] = Field(
        {}, description="split → rows that there must be, or nothing is trained; does not change the result"
    )


class OwnData(Frozen):
    """Files of one's own."""

    train: str = Field(description="a file of RL rows")
    val: str = Field(description="a file of RL rows to validate on")
    sft: str | None = Field(None, description="a file of SFT rows, for sft.split: sft")
    limit: dict[Literal["sft", "train", "val"], Positive] = Field({}, description="split → most rows to use")

    def files(self, splits: Iterable[str] = ("sft", "train", "val")) -> dict[str, str]:
        """Split → its file, of those that there are."""
        return {split: path for split in splits if (path := getattr(self, split, None)) is not None}


class VerlData(OwnData):
    """Rows of one's own in verl's formats, parquet or JSON lines; docs/data.md."""

    kind: Literal["verl"]


class Fields(Frozen):
    """Where in a row is what: keys joined by dots, and positions in lists, such as `messages.0.content`."""

    prompt: str | None = Field(None, description="a text, or the messages before the gold turn")
    gold: str | None = Field(
        None, description="calls, an answer in words, or a whole gold turn with its tags"
    )
    messages: str | None = Field(
        None,
        description="a dialogue, of which each turn of the assistant is a row; instead of prompt and gold",
    )
    tools: str | None = Field(None, description="the tools that are offered; with them prompts are ToolRL's")
    think: str | None = Field(None, description="the gold turn's thought")
    data_source: str | None = Field(None, description="where the row comes from, for rewards")
    id: str | None = Field(None, description="the row's own name")
    extra_info: str | None = Field(None, description="an object that rewards are given")

    @model_validator(mode="after")
    def _whole(self) -> Fields:
        if self.messages and (self.prompt or self.gold or self.think):
            raise ValueError("messages hold prompts, gold turns and thoughts: leave out the other keys")
        if bool(self.prompt) != bool(self.gold):
            there, lacks = ("prompt", "gold") if self.prompt else ("gold", "prompt")
            raise ValueError(f"{there} needs {lacks} beside it")
        if not self.messages and not self.prompt:
            raise ValueError("names neither messages, nor prompt and gold")
        return self

    def named(self) -> dict[str, str]:
        """Those that are given."""
        return self.model_dump(exclude_none=True)


class JsonlData(OwnData):
    """Rows of one's own in a form of one's own, JSON lines or parquet; docs/data.md."""

    kind: Literal["jsonl"]
    fields: Fields = Field(description="where in a row is what")


DATA_KINDS: Mapping[str, type[ToolWorldData | RllaData | VerlData | JsonlData]] = {
    "toolworld": ToolWorldData,
    "rlla": RllaData,
    "verl": VerlData,
    "jsonl": JsonlData,
}


DataSpec = Annotated[ToolWorldData | RllaData | VerlData | JsonlData, Field(discriminator="kind")]
