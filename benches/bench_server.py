"""The server's throughput beside Hugging Face's `generate`, and what a dialogue's turns cost.

    python benches/bench_server.py [--model FOLDER] [--rows FILE.json] [--prompts 16] [--new 128] [--alone 16]

1. The same prompts, the N of FILE (API-Bank's rows: `system` and `user`) whose length is nearest to 1,000 tokens, are
   answered greedily with as many new tokens each, end-of-turn tokens ignored: by `toolrl serve`'s server, all asked
   at once over HTTP; by `generate` with all of them in one batch, padded on the left; and by `generate` one at a time
   (`--alone`: of so many of them, for a shorter run). All in fp32 with the same threads, in this one run, one after
   the other. Seconds of the wall clock and of the processors, tokens a second, their ratios to the server, and how many
   answers agree with the batch's: greedy answers may part where two words are as likely but for rounding.
2. A dialogue of 4 turns whose last prompt has about 1,000 tokens: seconds to its first token at every turn, with the
   answers between, together, beside those of the last prompt alone on a server that has not seen its past.

Without a model, one of SmolLM2-135M's shape is made with random weights; without rows, prompts are drawn.
Exit status 1: a bound does not hold. Times need a machine that does nothing else; the load is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the server has it; read when torch is imported

import httpx
import psutil
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from toolrl_cli.training.models.tiny_tokenizer import write_tokenizer
from toolrl_cli.training.serving import Endpoint, serving

LENGTH = 1000
"""Tokens that a prompt should have."""
ALONE, BATCHED, DIALOGUE = 3.0, 1.5, 1.6
"""Bounds: at least so many times the throughput of `generate` at batch 1, and with all at once; and at most so many
times the last prompt's own reading for all turns of a dialogue."""
TURNS, ANSWER = 4, 24

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Took:
    """What some answers took."""

    wall: float
    cpu: float
    tokens: int

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.wall


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="a model folder with a chat template")
    parser.add_argument("--rows", type=Path, help="a JSON list of rows with system and user")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--new", type=int, default=128, help="tokens of an answer")
    parser.add_argument("--alone", type=int, help="prompts that are answered one at a time (default: all)")
    parser.add_argument("--no-dialogue", action="store_true")
    options = parser.parse_args()
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or random_model(Path(scratch) / "model")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        prompts = chosen(options.rows, tokenizer, options.prompts)
        lengths = [len(ids(tokenizer, prompt)) for prompt in prompts]
        print(
            f"{len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens, {options.new} new ones each, fp32; "
            f"{torch.get_num_threads()} threads, load {load()}"
        )
        held = compare(folder, tokenizer, prompts, options, Path(scratch))
        if not options.no_dialogue:
            held &= dialogue(folder, tokenizer, prompts, Path(scratch))
    return 0 if held else 1


def compare(
    folder: Path, tokenizer: Any, prompts: list[Messages], options: argparse.Namespace, scratch: Path
) -> bool:
    """The three ways to answer the same prompts."""
    with server(folder, scratch, len(prompts)) as (endpoint, client):
        client.post("/completions", json=wish(endpoint, prompt="a", max_tokens=2))
        ours, answers = measured(
            lambda: ask_all(client, endpoint, prompts, options.new), len(prompts) * options.new, children=True
        )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    batch, expected = measured(
        lambda: generated(model, tokenizer, prompts, options.new), len(prompts) * options.new
    )
    few = prompts[: options.alone or len(prompts)]
    alone, _ = measured(
        lambda: [generated(model, tokenizer, [prompt], options.new) for prompt in few], len(few) * options.new
    )
    print(f"  {'':24} {'wall':>9} {'cpu':>9} {'tokens/s':>9} {'server / it: wall':>18} {'cpu':>6}")
    for name, took in (
        ("server", ours),
        ("generate, one batch", batch),
        (f"generate, {len(few)} alone", alone),
    ):
        cpu = took.cpu / took.tokens / (ours.cpu / ours.tokens)
        wall = ours.rate / took.rate
        print(f"  {name:24} {took.wall:7.1f} s {took.cpu:7.1f} s {took.rate:9.2f} {wall:18.2f} {cpu:6.2f}")
    same = sum(a == b for a, b in zip(answers, expected, strict=True))
    print(f"  {same} of {len(prompts)} answers are the batch's to the letter; load {load()}")
    return verdict(
        (ours.rate >= ALONE * alone.rate, f"at least {ALONE:g} times generate at batch 1"),
        (ours.rate >= BATCHED * batch.rate, f"at least {BATCHED:g} times generate at batch {len(prompts)}"),
    )


def dialogue(folder: Path, tokenizer: Any, prompts: list[Messages], scratch: Path) -> bool:
    """Seconds to the first token of each turn, and of the last prompt where nothing of it is known."""
    system, words = prompts[0][0]["content"], prompts[1][-1]["content"].split()
    quarter = len(words) // TURNS
    questions = [" ".join(words[n * quarter : (n + 1) * quarter]) for n in range(TURNS)]
    with server(folder, scratch, 4) as (endpoint, client):
        client.post("/completions", json=wish(endpoint, prompt="a", max_tokens=2))
        messages: Messages = [{"role": "system", "content": system}]
        turns, counts = [], []
        for question in questions:
            messages = [*messages, {"role": "user", "content": question}]
            took, reply = measured(partial(chat, client, endpoint, messages, 1), 1)
            turns.append(took.wall)
            usage = reply["usage"]
            counts.append((usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]))
            said = chat(client, endpoint, messages, ANSWER)["choices"][0]["message"]["content"]
            last, messages = messages, [*messages, {"role": "assistant", "content": said}]
    with server(folder, scratch, 4) as (endpoint, client):
        client.post("/completions", json=wish(endpoint, prompt="a", max_tokens=2))
        alone, _ = measured(lambda: chat(client, endpoint, last, 1), 1)
    told = ", ".join(
        f"{seconds:.2f} s ({count} tokens, {known} known)"
        for seconds, (count, known) in zip(turns, counts, strict=True)
    )
    ratio = sum(turns) / alone.wall
    print(
        f"dialogue: {told}\n  together {sum(turns):.2f} s, the last prompt alone {alone.wall:.2f} s: {ratio:.2f} times"
    )
    print(f"  load {load()}")
    return verdict((ratio <= DIALOGUE, f"at most {DIALOGUE:g} times its last prompt alone"))


@contextmanager
def server(folder: Path, scratch: Path, rows: int) -> Iterator[tuple[Endpoint, httpx.Client]]:
    """The server of a model, and a client of it."""
    options = {"device": "cpu", "dtype": "float32", "rows": rows, "cache_bytes": 2 << 30}
    with serving(str(folder), **options, log=scratch / "server.log") as endpoint:
        headers = {"Authorization": f"Bearer {endpoint.key}"}
        with httpx.Client(base_url=endpoint.url, headers=headers, timeout=None, trust_env=False) as client:
            yield endpoint, client


def wish(endpoint: Endpoint, **fields: Any) -> dict[str, Any]:
    """The body of a greedy request."""
    return {
        "model": endpoint.model,
        "temperature": 0,
        "ignore_eos": True,
        "skip_special_tokens": False,
        **fields,
    }


def chat(client: httpx.Client, endpoint: Endpoint, messages: Messages, new: int) -> Any:
    """The answer's body."""
    reply = client.post("/chat/completions", json=wish(endpoint, messages=messages, max_tokens=new))
    assert reply.status_code == 200, reply.text
    return reply.json()


def ask_all(client: httpx.Client, endpoint: Endpoint, prompts: list[Messages], new: int) -> list[str]:
    """The answers to prompts that are asked at once."""
    with ThreadPoolExecutor(len(prompts)) as pool:
        replies = pool.map(lambda prompt: chat(client, endpoint, prompt, new), prompts)
        return [reply["choices"][0]["message"]["content"] for reply in replies]


def generated(model: Any, tokenizer: Any, prompts: list[Messages], new: int) -> list[str]:
    """The answers of `generate` to prompts in one batch."""
    rows = [ids(tokenizer, prompt) for prompt in prompts]
    longest = max(map(len, rows))
    batch = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    with torch.inference_mode():
        done = model.generate(
            batch,
            attention_mask=mask,
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    return [tokenizer.decode(row[longest:], skip_special_tokens=False) for row in done]


def measured(work: Callable[[], Any], tokens: int, *, children: bool = False) -> tuple[Took, Any]:
    """What work takes, this process's processor time or that of its children, and what it returns."""

    def cpu() -> float:
        me = psutil.Process()
        times = [child.cpu_times() for child in me.children(recursive=True)] if children else [me.cpu_times()]
        return sum(each.user + each.system for each in times)

    before, began = cpu(), time.perf_counter()
    result = work()
    return Took(time.perf_counter() - began, cpu() - before, tokens), result


def ids(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids of a prompt."""
    return list(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    )


def chosen(file: Path | None, tokenizer: Any, count: int) -> list[Messages]:
    """The rows whose prompts are nearest to `LENGTH` tokens, in the file's order."""
    if file is None:
        dice = random.Random(0)
        words = [word for word in tokenizer.get_vocab() if word.isalpha()]
        return [
            [
                {"role": role, "content": " ".join(dice.choices(words, k=LENGTH // 4))}
                for role in ("system", "user")
            ]
            for _ in range(count)
        ]
    rows = [
        [{"role": role, "content": row[role]} for role in ("system", "user")]
        for row in json.loads(file.read_text(encoding="utf-8"))
    ]
    distance = [abs(len(ids(tokenizer, row)) - LENGTH) for row in rows]
    nearest = sorted(sorted(range(len(rows)), key=distance.__getitem__)[:count])
    return [rows[place] for place in nearest]


def random_model(folder: Path) -> Path:
    """A model of SmolLM2-135M's shape with random weights, and the tiny model's tokenizer."""
    folder.mkdir()
    write_tokenizer(folder, 8192)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def load() -> str:
    """The machine's load of the last minute."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def verdict(*bounds: tuple[bool, str]) -> bool:
    """Print which bounds hold."""
    for held, said in bounds:
        print(f"  {'holds' if held else 'DOES NOT HOLD'}: {said}", flush=True)
    return all(held for held, _ in bounds)


if __name__ == "__main__":
    sys.exit(main())
