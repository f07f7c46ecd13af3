"""From messages and texts to token ids, and back, by a model's own tokenizer and chat template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolrl_cli.training.serving.refusals import Refusal
from toolrl_cli.training.serving.requests import ChatWish
from toolrl_cli.wording import first_line


class Prompts:
    """The prompts of one model.

    Args:
        tokenizer: a Transformers tokenizer.
        words: rows of the model's embedding.
        name: of the model, for messages.
    """

    def __init__(self, tokenizer: Any, words: int, name: str) -> None:
        self.tokenizer = tokenizer
        self._words = words
        self._name = name

    def of_chat(self, asked: ChatWish) -> list[int]:
        """Token ids of a chat request.

        Raises:
            Refusal: 400; the model has no chat template, or it refuses these messages.
        """
        if not self.tokenizer.chat_template:
            message = f"the tokenizer of {self._name} has no chat template; use /v1/completions"
            raise Refusal(400, message, code="no_chat_template", param="messages")
        try:
            encoded = self.tokenizer.apply_chat_template(
                [_with_read_arguments(message) for message in asked.messages],
                tools=asked.tools,
                add_generation_prompt=asked.add_generation_prompt,
                return_dict=True,
                **asked.extra,
            )
        except Exception as error:
            # templates are programs of the model's authors; any fault in one is theirs
            message = f"the chat template refuses the messages: {first_line(error)}"
            raise Refusal(400, message, code="chat_template", param="messages") from error
        return self._checked(list(encoded["input_ids"]))

    def of_text(self, prompt: str | list[int], *, add_special_tokens: bool) -> list[int]:
        """Token ids of a prompt for `/v1/completions`.

        Raises:
            Refusal: 400; there are none, or the model does not know one of them.
        """
        if isinstance(prompt, str):
            prompt = list(self.tokenizer(prompt, add_special_tokens=add_special_tokens)["input_ids"])
        return self._checked(prompt)

    def text(self, tokens: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of tokens, its spaces as they are."""
        return str(
            self.tokenizer.decode(
                tokens, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
            )
        )

    def _checked(self, ids: list[int]) -> list[int]:
        if not ids:
            raise Refusal(400, "the prompt is empty", code="invalid_value", param="prompt")
        if max(ids) >= self._words:
            message = f"token {max(ids)} is none of the model's {self._words} words"
            raise Refusal(400, message, code="invalid_value", param="prompt")
        return ids


def _with_read_arguments(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose calls have their arguments as objects, as templates expect them; OpenAI has them as text."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    return {**message, "tool_calls": [_with_object(call) for call in calls]}


def _with_object(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}
