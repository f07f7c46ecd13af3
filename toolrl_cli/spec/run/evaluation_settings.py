"""What a run is scored on, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from toolrl_cli.spec.run.frozen import Frozen, Number, Positive, StageSettings


class JudgeSpec(Frozen):
    """A model behind an OpenAI-compatible server that judges answers."""

    model: str = Field(description="as the server calls it; gpt-4o in the paper")
    url: str = Field("https://api.openai.com/v1", description="of the server, up to /v1")
    key_env: str | None = Field("OPENAI_API_KEY", description="variable with the key; null: it takes none")


class BamboogleSpec(Frozen):
    """How Bamboogle's searches are answered and its answers judged; all of it is part of the protocol's name."""

    search: str = Field(
        "serper", description="serper (key in SERPER_API_KEY), or a folder or file of documents"
    )
    judge: JudgeSpec | None = Field(None, description="null: by matching words with the gold answer")


class EvaluateSpec(StageSettings):
    """How a model is asked in a benchmark."""

    TRANSPORT: ClassVar[frozenset[str]] = frozenset({"batch_size", "bamboogle", "patience"})
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"allow_cut_gold"})
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {"limit": None}

    limit: Positive | None = Field(None, description="items of each category, at most; None: all")
    temperature: Annotated[Number, Field(ge=0)] = 0.0
    max_prompt_length: Positive = 4096
    max_response_length: Positive = 1024
    batch_size: Positive = Field(64, description="responses generated at once; does not change the result")
    patience: Annotated[Number, Field(ge=0)] = Field(
        300.0,
        description="seconds in which a question that has no answer is asked again; does not change the result",
    )
    bamboogle: BamboogleSpec = BamboogleSpec()
    allow_cut_gold: bool = Field(
        False,
        description="ask although gold answers are longer than max_response_length; does not change the result",
    )


class OverSteps(Frozen):
    """A benchmark that models of several steps of RL are scored on, so that there is a curve (`over_steps`)."""

    benchmark: str
    every: Positive = Field(
        description="steps of RL between two that are scored; a multiple of rl.save_every"
    )


class OwnEvaluation(Frozen):
    """What a user's own evaluation is; every part of it is part of a stage's identity but the folder.

    Attributes:
        name: of its scores.
        path: the Python file, absolute; empty for a command.
        command: what to run, in `folder`; empty for a file.
        sha256: of the file, or of those that the command names, with all that they import from beside them.
    """

    name: str
    path: str = ""
    command: tuple[str, ...] = ()
    folder: str = ""
    sha256: str = Field("", description="filled in")

    def identity(self) -> dict[str, Any]:
        """What decides the result."""
        return {"sha256": self.sha256} | ({"command": list(self.command)} if self.command else {})
