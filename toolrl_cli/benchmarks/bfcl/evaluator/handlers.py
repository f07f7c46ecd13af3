"""How answers are read, and how a dialogue goes on, as handlers of upstream's."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI
from bfcl_eval.model_handler.base_handler import BaseHandler
from bfcl_eval.model_handler.utils import convert_to_tool

from toolrl_cli.benchmarks.bfcl.evaluator import reading, upstream

Query = Callable[[list[dict[str, Any]], list[dict[str, Any]]], str]
"""Messages and tools → the model's turn."""


def _nothing(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
    raise RuntimeError("no model is asked while answers are scored")


class RllaHandler(BaseHandler):  # type: ignore[misc]
    """ToolRL's format: calls in `<tool_call>`, results as messages of role `tool`; the prompt is made outside.

    The rules are those of ToolRL's handler (github.com/qiancheng0/ToolRL at 8cee13e, benchmarks/BFCL/rlla_qwen.py).
    """

    NAME = "toolrl-rlla"
    UNDERSCORE_TO_DOT = False

    def __init__(
        self, model_name: str = NAME, temperature: float = 0.0, query: Query = _nothing, **_: object
    ) -> None:
        super().__init__(model_name, temperature, **upstream.release.HANDLER_ARGUMENTS)
        self._query = query
        self._executable = upstream.may_execute()

    def decode_ast(self, result: Any, language: Any = "", has_tool_call_tag: bool = False) -> Any:
        return reading.rlla_ast(result)

    def decode_execute(self, result: Any, has_tool_call_tag: bool = False) -> list[str]:
        return reading.rlla_sources(result, self._executable)

    def lead(self, entry: dict[str, Any]) -> list[list[str]]:
        """A multi-turn item's conversation: for each turn the texts of its steps."""
        turns, _ = self.inference_multi_turn_prompting(entry, include_input_log=False, exclude_state_log=True)
        return list(turns)

    def offered(self, entry: dict[str, Any], category: str) -> list[dict[str, Any]]:
        """The documents of an entry's tools, as the model sees them."""
        return list(upstream.release.hinted(entry["function"], category))

    def _pre_query_processing_prompting(self, test_entry: dict[str, Any]) -> dict[str, Any]:
        category = test_entry["id"].rsplit("_", 1)[0]
        return {"message": [], "function": self.offered(test_entry, category)}

    def _query_prompting(self, inference_data: dict[str, Any]) -> tuple[str, float]:
        return self._query(inference_data["message"], inference_data["function"]), 0.0

    def _parse_query_response_prompting(self, api_response: Any) -> dict[str, Any]:
        return {"model_responses": api_response, "input_token": 0, "output_token": 0}

    def add_first_turn_message_prompting(
        self, inference_data: dict[str, Any], first_turn_message: list[dict[str, Any]]
    ) -> dict[str, Any]:
        inference_data["message"].extend(first_turn_message)
        return inference_data

    def _add_next_turn_user_message_prompting(
        self, inference_data: dict[str, Any], user_message: list[dict[str, Any]]
    ) -> dict[str, Any]:
        inference_data["message"].extend(user_message)
        return inference_data

    def _add_assistant_message_prompting(
        self, inference_data: dict[str, Any], model_response_data: dict[str, Any]
    ) -> dict[str, Any]:
        inference_data["message"].append(
            {"role": "assistant", "content": model_response_data["model_responses"]}
        )
        return inference_data

    def _add_execution_results_prompting(
        self,
        inference_data: dict[str, Any],
        execution_results: list[str],
        model_response_data: dict[str, Any],
    ) -> dict[str, Any]:
        for call, result in zip(
            model_response_data["model_responses_decoded"], execution_results, strict=True
        ):
            inference_data["message"].append({"role": "tool", "name": call, "content": result})
        return inference_data


class NativeHandler(RllaHandler):
    """A model's own function calling: tools go to its chat template, results are messages of role `tool`.

    Tools and their names are put as upstream puts them to OpenAI's models. A turn stays in the history as it was said.
    """

    NAME = "toolrl-native"
    UNDERSCORE_TO_DOT = True

    def decode_ast(self, result: Any, language: Any = "", has_tool_call_tag: bool = False) -> Any:
        return reading.native_ast(result)

    def decode_execute(self, result: Any, has_tool_call_tag: bool = False) -> list[str]:
        return reading.native_sources(result, self._executable)

    def lead(self, entry: dict[str, Any]) -> list[list[str]]:
        turns, _ = self.inference_multi_turn_FC(entry, include_input_log=False, exclude_state_log=True)
        return list(turns)

    def offered(self, entry: dict[str, Any], category: str) -> list[dict[str, Any]]:
        documents = upstream.release.hinted(deepcopy(entry["function"]), category)
        return list(convert_to_tool(documents, GORILLA_TO_OPENAPI, upstream.release.OPENAI))

    def _pre_query_processing_FC(
        self, inference_data: dict[str, Any], test_entry: dict[str, Any]
    ) -> dict[str, Any]:
        return {"message": []}

    def _compile_tools(self, inference_data: dict[str, Any], test_entry: dict[str, Any]) -> dict[str, Any]:
        category = test_entry["id"].rsplit("_", 1)[0]
        return inference_data | {"function": self.offered(test_entry, category)}

    def _add_execution_results_FC(
        self,
        inference_data: dict[str, Any],
        execution_results: list[str],
        model_response_data: dict[str, Any],
    ) -> dict[str, Any]:
        names = [name for name, _ in reading.native_calls(model_response_data["model_responses"])]
        for number, (name, result) in enumerate(zip(names, execution_results, strict=True)):
            inference_data["message"].append(
                {"role": "tool", "tool_call_id": f"call_{number}", "name": name, "content": result}
            )
        return inference_data

    _query_FC = RllaHandler._query_prompting
    _parse_query_response_FC = RllaHandler._parse_query_response_prompting
    add_first_turn_message_FC = RllaHandler.add_first_turn_message_prompting
    _add_next_turn_user_message_FC = RllaHandler._add_next_turn_user_message_prompting
    _add_assistant_message_FC = RllaHandler._add_assistant_message_prompting
