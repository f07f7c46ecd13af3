"""How many threads the Transformers server should decode with, by the size of the model.

    python benches/bench_threads.py [--model FOLDER] [--threads N] [--rounds 3] [--prompts 16] [--new 16]

Random Qwen2 models of growing size, and a model folder where one is given, answer the same prompts with one thread and
with N (all processors of this process), in turns in this one run; greedy, so that both must say the same. Printed for
each: parameters; milliseconds of reading all prompts, and of one step of decoding them all, each with one thread, with
N, and their ratio; by how much log-probabilities differ, whether the tokens are the same, and the threads by the rule,
`cpu_options.decoding_threads`. Milliseconds are of the processor time of the thread that decodes, the least of all
rounds: what a step takes where nothing else runs, but for waiting until the other threads have done their share.
Wall-clock time on a busy machine says nothing of that: there a second thread makes every model slower.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # as in stages (`cpu_environment`); read when torch is imported

import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from toolrl_cli.training.cpu.cpu_options import decoding_threads, usable_cpus
from toolrl_cli.training.rollout.engine import EngineLimits, GenerationEngine
from toolrl_cli.training.rollout.sampling import SamplingParams

PROMPT = 64
"""Tokens of a prompt."""
SHAPES = ((64, 3), (256, 6), (384, 10), (512, 14))
"""Hidden units and layers."""


def main() -> None:
    """Measure and print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder, beside the random ones")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--new", type=int, default=16, help="tokens of an answer")
    parser.add_argument("--only", action="store_true", help="leave out the random models")
    options = parser.parse_args()
    work = f"{options.prompts} prompts of {PROMPT} tokens, {options.new} new ones each, fp32"
    print(f"{work}; {usable_cpus()} processors, load {os.getloadavg()[0]:.1f}")
    print("  parameters  prompts: 1 |  all | ratio    step: 1 |  all | ratio  log-probs   same  rule")
    for model in _models(options.model, () if options.only else SHAPES):
        print(_line(model, options), flush=True)


def _models(folder: str | None, shapes: Sequence[tuple[int, int]]) -> Iterator[Any]:
    for hidden, layers in shapes:
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=4096,
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 32,
            num_key_value_heads=hidden // 64,
            tie_word_embeddings=True,
        )
        yield Qwen2ForCausalLM(config)
    if folder:
        yield AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _line(model: Any, options: argparse.Namespace) -> str:
    threads = options.threads
    model.eval().requires_grad_(False)
    size = model.num_parameters()
    counts = (1, threads)
    best = {count: [float("inf")] * 2 for count in counts}  # seconds of reading the prompts, and of one step
    said: dict[int, list[Any]] = {}
    for number in range(options.rounds):
        for count in counts if number % 2 == 0 else counts[::-1]:
            torch.set_num_threads(count)
            said[count], took = _answers(model, options.prompts, options.new)
            best[count] = [min(old, new) for old, new in zip(best[count], took, strict=True)]
    one, many = best[1], best[threads]
    same = all(a.tokens == b.tokens for a, b in zip(said[1], said[threads], strict=True))
    pairs = zip(
        (p for a in said[1] for p in a.log_probs),
        (p for b in said[threads] for p in b.log_probs),
        strict=True,
    )
    differs = max(abs(a - b) for a, b in pairs) if same else float("nan")
    times = " ".join(
        f"{1000 * one[n]:11.1f} {1000 * many[n]:9.1f} {one[n] / many[n]:6.2f}" for n in range(len(one))
    )
    rule = decoding_threads(size, threads)
    return f"{size / 1e6:8.1f} M {times} {differs:9.0e} {'yes' if same else 'no':>5} {rule:>5}"


def _answers(model: Any, prompts: int, new: int) -> tuple[list[Any], tuple[float, float]]:
    """The answers, and the seconds of the first step, which reads the prompts, and of the fastest of the others."""
    engine = GenerationEngine(model, frozenset(), EngineLimits(rows=prompts), seed=0)
    for number in range(prompts):
        ids = [(7 * number + 3 * n) % 4000 + 1 for n in range(PROMPT)]
        engine.add(f"{number:02}", ids, SamplingParams(new, 0.0))
    done, took = [], []
    while engine.busy:
        began = time.thread_time()
        done += engine.step()
        took.append(time.thread_time() - began)
    return sorted(done, key=lambda completion: completion.request_id), (took[0], min(took[1:]))


if __name__ == "__main__":
    main()
