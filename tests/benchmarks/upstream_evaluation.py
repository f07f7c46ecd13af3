"""Runs in the evaluator's environment: bfcl-eval's own evaluation of result files, as its command `evaluate` does it.

Arguments: toolrl's package folder, and a protocol. `BFCL_PROJECT_ROOT` holds `result/`; `score/` is written there.
"""

import os
import sys
import types

toolrl = types.ModuleType("toolrl_cli")
toolrl.__path__ = [sys.argv[1]]
sys.modules["toolrl_cli"] = toolrl

from toolrl_cli.benchmarks.bfcl.evaluator import upstream  # noqa: E402
from toolrl_cli.benchmarks.bfcl.evaluator.main import HANDLERS  # noqa: E402

handler = HANDLERS[sys.argv[2]]
upstream.register(handler.NAME, handler, underscore_to_dot=handler.UNDERSCORE_TO_DOT)
named = dict.fromkeys(("model_name", "display_name"), handler.NAME)
unknown = dict.fromkeys(("url", "org", "license"), "")
prices = dict.fromkeys(("input_price", "output_price"))
vars(upstream.MODELS[handler.NAME]).update(**named, **unknown, **prices, is_fc_model=False)
sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
upstream.release.eval_runner.main([handler.NAME], list(upstream.CATEGORIES), None, None)
