"""Turns, calls and rewards that the tests of this room are written with."""

from __future__ import annotations

import json
from typing import Any


def call(name: str, /, **parameters: Any) -> str:
    """One call as a line of JSON."""
    return json.dumps({"name": name, "parameters": parameters}, ensure_ascii=False)


def turn(*calls: str, think: str | None = "t", response: str | None = None) -> str:
    """An assistant's turn with the given lines in its tool_call block."""
    fields = [] if think is None else [f"<think> {think} </think>"]
    if calls:
        fields.append("\n".join(["<tool_call>", *calls, "</tool_call>"]))
    if response is not None:
        fields.append(f"<response> {response} </response>")
    return "\n".join(fields)


# the worked example of the paper's figure 3, and of the table of facts made by running the released scorer
SFO, LAX = call("Get_Price", loc_1="ORD", loc_2="SFO"), call("Get_Price", loc_1="ORD", loc_2="LAX")
GOLD = turn(SFO, LAX)
FLIGHT = '{"name": "Get_Flight", "parameters": {"from": "ORD", "to": "SFO"}}'
ROLLOUTS = {
    "exact": GOLD,
    "figure 3, rollout 1": turn(SFO, call("Get_Price", loc_2="LAX")),
    "figure 3, rollout 2": turn(FLIGHT, LAX),
    "swapped order": turn(LAX, SFO),
    "one extra call": turn(SFO, LAX, call("Get_Price", loc_1="JFK", loc_2="LAX")),
    "exact call, no think": turn(SFO, LAX, think=None),
    "response only": turn(response="done"),
}
