"""Hypothesis strategies: calls, turns near and far from a ground truth, and hostile text of up to 64 KB."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st

LIMIT = 64 * 1024
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>", "<|im_end|>")
FRAME = ("<think> t </think>\n<tool_call>\n", "\n</tool_call>")

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
names = st.sampled_from(["f", "g", "h"])
parameters = st.dictionaries(st.sampled_from(["a", "b", "c", "é"]), values, max_size=4)
calls = st.fixed_dictionaries({"name": names, "parameters": parameters})
call_lists = st.lists(calls, min_size=1, max_size=4)


@st.composite
def ground_truths(draw: st.DrawFn) -> str:
    """A well-formed turn with calls, a response, both or neither."""
    parts = [f"<think> {draw(st.sampled_from(['t', 'two words', '']))} </think>"]
    kind = draw(st.sampled_from(["calls", "response", "both", "neither"]))
    if kind in ("calls", "both"):
        lines = [json.dumps(call) for call in draw(call_lists)]
        parts.append("\n".join(["<tool_call>", *lines, "</tool_call>"]))
    if kind in ("response", "both"):
        parts.append("<response> ok </response>")
    return "\n".join(parts)


fragments = (
    st.sampled_from(
        [*TAGS, "\n", "\r\n", "\u2028", "\x0b", "\ufeff", "[", '{"a":', "NaN", "<|im_start|>assistant"]
    )
    | calls.map(json.dumps)
    | st.text(max_size=8)
)
completions = st.lists(fragments, max_size=16).map("".join)

# one unit of a hostile text; it is repeated up to 64 KB
units = st.sampled_from(
    [
        *TAGS,
        "</think>\n<tool_call>\n",
        "\n</tool_call>\n<response>",
        "<|im_start|>assistant",
        "[",
        "{",
        '{"a":',
        "[[",
        "9",
        "1e9",
        "0.0",
        '"',
        "\\",
        '\\"',
        "\n",
        " ",
        "\u2028",
        "a ",
        "1\n",
        "{}\n",
        '{"name":"f","parameters":{}}\n',
        '{"name":"f","parameters":{"a":1}}\n',
        '{"name":[],"parameters":{}}\n',
        "[" * 900 + "]" * 900 + "\n",
        "9" * 4300 + "\n",
        "9" * 4301 + "\n",
        '"' + "\\u0041" * 1000 + '"\n',
    ]
) | st.text(min_size=1, max_size=12)


@dataclass(frozen=True)
class Hostile:
    """A recipe for a text of up to 64 KB; the recipe is what a failing test prints."""

    prefix: str
    units: tuple[str, ...]
    suffix: str
    stride: int | None = None  # of the numbers that make every repetition of a unit different

    def text(self) -> str:
        room = LIMIT - len((self.prefix + self.suffix).encode())
        body = ""
        for unit in self.units:
            share = room // len(self.units)
            if self.stride is None:
                body += unit * (share // len(unit.encode()))
            else:
                width = len(str(share * self.stride)) + len(unit)
                body += "\n".join(unit.replace("#", str(k * self.stride)) for k in range(share // width))
        return self.prefix + body + self.suffix


CONTEXTS = [
    ("", ""),
    FRAME,
    ("<think>", "</think>"),
    (FRAME[0] + '{"name": "f", "parameters": {"a": ', "}}" + FRAME[1]),
    (FRAME[0] + '{"name": "f", "parameters": {"a": "', '"}}' + FRAME[1]),
]
NUMBERED = [
    '{"name":"f#","parameters":{}}',
    '{"name":"f","parameters":{"a":#}}',
    '{"name":"f","parameters":{"a":1,"b":#}}',
    '{"name":"f","parameters":{"#":1}}',
    '{"name":#,"parameters":{}}',
]


@st.composite
def hostile(draw: st.DrawFn) -> Hostile:
    """Repeated units, bare or where a call or a value is expected; or as many calls as fit, no two alike."""
    if draw(st.booleans()):
        prefix, suffix = draw(st.sampled_from(CONTEXTS))
        return Hostile(prefix, tuple(draw(st.lists(units, min_size=1, max_size=3))), suffix)
    # hash(k * (2**61 - 1)) is 0 for every k: keys that collide
    stride = draw(st.sampled_from([1, 2**61 - 1]))
    return Hostile(FRAME[0], (draw(st.sampled_from(NUMBERED)),), FRAME[1], stride)
