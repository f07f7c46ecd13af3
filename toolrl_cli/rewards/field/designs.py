"""The designs: a composition for each, as one would write it in a file.

A design reads calls in its own paper's form; `NAME@toolrl` reads them in the form of the ToolRL prompts, for data that
ask for it. Evidence: `ran`, the released scorer was run on the values in the tests; `read`, its code was read; `paper`,
from the paper's text; `second-hand`, from other people's notes of a paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldDesign:
    """One published design.

    Attributes:
        name: as `get_reward` takes it.
        source: paper and repository with its version.
        evidence: `ran`, `read`, `paper` or `second-hand`; see the module.
        formula: in one line.
        composition: what `get_reward` reads, without a name.
        note: where it differs from the released code, or what is inferred; empty where nothing is.
    """

    name: str
    source: str
    evidence: str
    formula: str
    composition: Mapping[str, Any]
    note: str = ""


_N1 = "Tool-N1, arXiv 2505.00024, NVlabs/Tool-N1@f9b4849"
_NEMO = "NeMo-Gym, NVIDIA-NeMo/Gym@07d6b0d"
_EXACT = {"kind": "exact", "equality": "json", "no_call": "empty_list"}
_METRIC = {"weight": 0}
_THINK = {"kind": "layout", "rules": ["think"]}
_TYPED = {"rule": "typed", "tolerance": 1e-6, "overlap": 0.1}


def _n1(**parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"reading": "tool_n1", "components": parts}


def _nemo(**rule: Any) -> dict[str, Any]:
    calls = {"kind": "calls", "credit": "exact", "equality": _TYPED, **rule}
    return {"reading": "hermes", "components": {"calls": calls}}


DESIGNS: tuple[FieldDesign, ...] = (
    FieldDesign(
        "tool_n1",
        f"{_N1}: prompt_type qwen, the default",
        "ran",
        "1[a readable block ∧ think ∧ calls equal as a multiset of JSON texts]",
        _n1(exact={**_EXACT, "only_if": ["think"]}, think={**_THINK, **_METRIC}),
    ),
    FieldDesign(
        "tool_n1_llama",
        f"{_N1}: prompt_type llama",
        "ran",
        "as tool_n1; without a block 1 if none is wanted",
        _n1(
            exact={**_EXACT, **_METRIC, "no_call": "silence"},
            think={**_THINK, **_METRIC},
            called={"kind": "layout", "rules": ["called"], **_METRIC},
            score={
                "kind": "table",
                "rows": [
                    {"when": ["exact", "think"], "value": 1},
                    {"when": ["exact", "not called"], "value": 1},
                ],
            },
        ),
    ),
    FieldDesign(
        "tool_n1_lexico",
        f"{_N1}: prompt_type qwen_lexico",
        "ran",
        "unreadable 0; exact 1.2 with think, 1 without; else -0.2 with think, 0 without",
        _n1(
            exact={**_EXACT, **_METRIC},
            think={**_THINK, **_METRIC},
            readable={"kind": "layout", "rules": ["readable"], **_METRIC},
            score={
                "kind": "table",
                "rows": [
                    {"when": ["exact", "think"], "value": 1.2},
                    {"when": ["exact"], "value": 1},
                    {"when": ["readable", "think"], "value": -0.2},
                ],
            },
        ),
    ),
    FieldDesign(
        "tool_n1_no_reason",
        f"{_N1}: prompt_type qwen_wo_reason",
        "ran",
        "1[a readable block ∧ calls equal as a multiset of JSON texts]",
        _n1(exact=_EXACT),
    ),
    FieldDesign(
        "tool_n1_partial_reason",
        f"{_N1}: prompt_type qwen_partial_reason",
        "ran",
        "0.2·think + 0.8·exact",
        _n1(exact={**_EXACT, "weight": 0.8}, think={**_THINK, "weight": 0.2}),
    ),
    FieldDesign(
        "tool_n1_partial_names",
        f"{_N1}: prompt_type qwen_partial_reason_funcname",
        "ran",
        "0.2·think + (0.8 if exact, else 0.2 if the names are equal as a multiset)",
        _n1(
            exact={**_EXACT, **_METRIC},
            names={"kind": "names", "no_call": "empty_list", **_METRIC},
            think={**_THINK, "weight": 0.2},
            score={
                "kind": "table",
                "rows": [{"when": "exact", "value": 0.8}, {"when": "names", "value": 0.2}],
            },
        ),
    ),
    FieldDesign(
        "nio",
        "jiangxin3/Tool-N1@b672825",
        "ran",
        "0.9·exact + 0.1·[the four tags in order]; numbers as texts, malformed calls dropped",
        {
            "reading": {"like": "tool_n1", "block": "first", "form": "any", "malformed": "drop"},
            "components": {
                "exact": {"kind": "exact", "equality": "numbers_as_text", "weight": 0.9},
                "form": {"kind": "layout", "rules": ["tags_in_order"], "weight": 0.1},
            },
        },
        "its judge and its length penalty over the group's median are no function of one turn",
    ),
    FieldDesign(
        "trinity",
        "modelscope/Trinity-RFT@7f9b280, customized_toolcall_workflows.py",
        "read",
        "tool_n1, with one thought that is closed before the first call",
        _n1(
            exact={**_EXACT, "only_if": ["think"]},
            think={"kind": "layout", "rules": ["think_once", "think_before_call"], **_METRIC},
        ),
    ),
    FieldDesign(
        "coder",
        "CoDeR, zhangtina0103/CoDeR-RL@180ddae, cosine_reward_manager.py",
        "read",
        "right 0.1 + 0.45·(1 + cos(π·tokens/2048)), wrong the negative; -1 from 2,048 tokens on",
        _n1(
            exact={**_EXACT, **_METRIC, "only_if": ["think"]},
            think={**_THINK, **_METRIC},
            score={
                **{"kind": "cosine", "of": "exact", "right": [1.0, 0.1], "wrong": [-1.0, -0.1]},
                **{"max_length": 2048, "beyond": -1.0},
            },
        ),
        "its mechanisms clip and delta are not in the repository",
    ),
    FieldDesign(
        "funrl",
        "FunRL, arXiv 2508.05118",
        "second-hand",
        "1[format ∧ calls equal]",
        {
            "components": {
                "exact": {"kind": "exact", "only_if": ["form"]},
                "form": {"kind": "layout", "rules": ["think_once", "think_before_call"], **_METRIC},
            }
        },
        "what it takes for equal values is not known; its novelty is in the advantage",
    ),
    FieldDesign(
        "slm",
        "Advancing SLM Tool-Use Capability, arXiv 2509.04518v1",
        "paper",
        "nothing but JSON, else 0: 0.125 + ρ·0.375·right names/wanted + ρ·0.5·right arguments/wanted; "
        "ρ = wanted/called, at most 1",
        {
            "reading": "bare",
            "components": {
                "json": {"kind": "layout", "rules": ["readable"], "weight": 0.125},
                "names": {
                    **{"kind": "calls", "credit": "name", "measure": "recall", "extra": "ratio"},
                    **{"weight": 0.375, "no_call": "empty_list"},
                },
                "arguments": {
                    **{"kind": "calls", "credit": "arguments", "measure": "recall", "extra": "ratio"},
                    **{"weight": 0.5, "no_call": "empty_list"},
                },
            },
        },
        "0.375 is inferred, so that the parts sum to 1",
    ),
    FieldDesign(
        "nemo_gym",
        f"{_NEMO}, single_step_tool_use_with_argument_comparison: the switch off",
        "ran",
        "1[every wanted call is matched]; further calls are free; typed values, word overlap 0.1",
        _nemo(measure="recall", at_least=1.0),
    ),
    FieldDesign(
        "nemo_gym_strict",
        f"{_NEMO}, the same: binary_strict",
        "ran",
        "1[the calls match one to one]",
        _nemo(measure="max", at_least=1.0),
    ),
    FieldDesign(
        "nemo_gym_fractional",
        f"{_NEMO}, the same: fractional, subsets and supersets allowed",
        "ran",
        "matched / min(wanted, called)",
        _nemo(measure="min"),
    ),
    FieldDesign(
        "nemo_gym_f1",
        f"{_NEMO}, the same: f1, subsets and supersets allowed",
        "ran",
        "2·matched / (wanted + called)",
        _nemo(measure="f1"),
    ),
    FieldDesign(
        "xlam_fc",
        f"{_NEMO}, resources_servers/xlam_fc",
        "ran",
        "1[all wanted calls matched, and as many called]; greedy, further arguments free, Python's equality",
        {
            "reading": "hermes",
            "components": {
                "calls": {
                    **{"kind": "exact", "equality": "python", "keys": "gold", "pairing": "greedy"},
                }
            },
        },
    ),
    FieldDesign(
        "tool_call_multireward",
        f"{_NEMO}, example_tool_call_multireward",
        "read",
        "[some call has the wanted values] + [no required parameter is missing] + [one call and no text]",
        {
            "reading": "hermes",
            "components": {
                "correctness": {
                    **{"kind": "calls", "keys": "gold", "measure": "recall", "at_least": 1.0},
                    **{"only_if": ["called"], "no_call": "zero"},
                },
                "called": {"kind": "layout", "rules": ["called"], **_METRIC},
                "schema_valid": {
                    **{"kind": "faults", "of": "missing_parameters", "range": [0, 1]},
                    **{"only_if": ["called"]},
                },
                "form": {"kind": "layout", "rules": ["one_call", "nothing_else"]},
            },
        },
        "the schema of every call is looked at, and not of the first alone",
    ),
    FieldDesign(
        "bfcl_ast",
        "BFCL, ShishirPatil/gorilla@6ea5797, bfcl_eval/eval_checker/ast_eval/ast_checker.py",
        "ran",
        "1[as many calls as wanted, and each wanted one passed: its tool, known parameters of their types, each with "
        "one of its accepted values, texts folded]",
        {"reading": "hermes", "components": {"calls": {"kind": "ast_match"}}},
        "Python's check; accepted values are extra_info.accepted, else the gold turn's alone",
    ),
    FieldDesign(
        "ms_swift_toolbench",
        "modelscope/ms-swift@3602360, swift/rewards/orm.py",
        "ran",
        "1[the last Action and its input are the wanted ones, as Python's == has it]",
        {"reading": "react", "components": {"exact": {"kind": "exact", "equality": "python"}}},
        "its F1 over the keys is cut to 0 below 1; inputs that are no JSON earn 0",
    ),
    FieldDesign(
        "ms_swift_toolrl",
        "modelscope/ms-swift@3602360, examples/train/grpo/plugin/plugin.py",
        "ran",
        "ToolRL's original, with any white space between the fields",
        {
            "components": {
                "format": {"kind": "format", "between": "white_space"},
                "correctness": {"kind": "correctness"},
            }
        },
        "a call without `parameters` earns the least, and does not raise",
    ),
    FieldDesign(
        "match_tir",
        "MatchTIR, quchangle1/MatchTIR@f614ce1, hard matching",
        "ran",
        "mean over the calls of (1 + key Jaccard + equal values)/(2 + wanted keys), the best pairs first",
        {
            "reading": "hermes",
            "components": {
                "calls": {
                    **{"kind": "calls", "credit": "match_tir", "pairing": "best_first"},
                    **{"measure": "precision", "equality": "python"},
                }
            },
        },
        "of one turn; the answer's token F1 of its last turn is not in it",
    ),
    FieldDesign(
        "halo_forge",
        "professor-moody/halo-forge@c8f6548, halo_forge/agentic/verifiers/base.py",
        "ran",
        "a call 0.25, its name 0.25, its arguments' share 0.25, over max(wanted, called), times 0.8 where these "
        "differ; no call wanted: 1 for none, -0.25 for one",
        {
            "reading": "hermes",
            "components": {
                "ladder": {
                    **{"kind": "calls", "credit": {"call": 0.25, "name": 0.25, "arguments": 0.25}},
                    **{"measure": "max", "unpaired": 0.25, "unequal": 0.8, "only_if": ["wants_call"]},
                },
                "called": {"kind": "layout", "rules": ["called"], **_METRIC},
                "silence": {
                    "kind": "table",
                    "rows": [{"when": "wants_call", "value": 0}, {"when": "called", "value": -0.25}],
                    "rest": 1,
                },
            },
        },
        "nothing is executed here, so that an equal call earns 0.75 and never 1",
    ),
    FieldDesign(
        "reward_kit",
        "fw-ai-external/reward-kit@9889152, exact_tool_match",
        "read",
        "1[the calls are equal in order, as JSON texts]; 1[no call] where none is wanted",
        {
            "reading": "hermes",
            "components": {"exact": {"kind": "exact", "equality": "json", "pairing": "ordered"}},
        },
    ),
    FieldDesign(
        "tool_rla",
        "ToolRLA, arXiv 2603.01620: R_fmt + R_cor",
        "second-hand",
        "format {0, 1} + [only wanted tools] · share of them called · share of their arguments",
        {
            "components": {
                "format": {"kind": "format"},
                "only": {"kind": "calls", "credit": "name", "measure": "precision", "at_least": 1, **_METRIC},
                "complete": {"kind": "calls", "credit": "name", "measure": "recall", **_METRIC},
                "accurate": {"kind": "calls", "credit": "arguments", "measure": "pairs", **_METRIC},
                "correct": {"kind": "product", "of": ["only", "complete", "accurate"]},
            }
        },
        "its efficiency and compliance parts need several turns and a judge",
    ),
    FieldDesign(
        "rest",
        "ResT, 1229095296/ResT_Tool_use_LLM@d6c29b5, reward_score/rlla.py",
        "read",
        "ToolRL's original, with any text between the fields",
        {
            "components": {
                "format": {"kind": "format", "between": "text"},
                "correctness": {"kind": "correctness"},
            }
        },
        "its weights of tokens in the loss are no part of the reward",
    ),
)

BY_NAME: Mapping[str, FieldDesign] = {design.name: design for design in DESIGNS}
