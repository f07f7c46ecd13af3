"""The batched generator against ordinary passes of the same model."""

from __future__ import annotations

import copy
import random
import weakref
from collections import Counter
from collections.abc import Iterable

import pytest
import torch

from tests.training.rollout_models import VOCABULARY, full_log_probs, tiny_model
from toolrl_cli.training.rollout.batch_rows import Prompt
from toolrl_cli.training.rollout.engine import Completion, EngineLimits, GenerationEngine
from toolrl_cli.training.rollout.sampling import SamplingParams

PROMPTS = [[3, 4, 5], [7, 8, 9, 10, 11, 12, 13, 14], [3, 4, 5], [20] * 5, [21, 22]]


def engine(family: str = "qwen2", stop: Iterable[int] = (), **kwargs: object) -> GenerationEngine:
    return GenerationEngine(tiny_model(family), stop, **kwargs)  # type: ignore[arg-type]


def finish(generator: GenerationEngine) -> dict[str, Completion]:
    done = {}
    for _ in range(1000):
        if not generator.busy:
            return done
        done.update({item.request_id: item for item in generator.step()})
    raise AssertionError("the engine does not come to an end")


def generate(generator: GenerationEngine, prompts: list[list[int]], **params: object) -> list[Completion]:
    for index, prompt in enumerate(prompts):
        generator.add(str(index), prompt, SamplingParams(**{"max_tokens": 12, **params}))  # type: ignore[arg-type]
    done = finish(generator)
    return [done[str(index)] for index in range(len(prompts))]


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_those_of_a_full_pass(family: str, temperature: float) -> None:
    """With prompts of several lengths, shared prompts, and in Mistral's case a sliding window."""
    for completion, prompt in zip(
        generate(engine(family), PROMPTS, temperature=temperature), PROMPTS, strict=True
    ):
        expected = full_log_probs(tiny_model(family), prompt, completion.tokens, temperature)
        assert torch.tensor(completion.log_probs) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_greedy_responses_are_those_of_transformers(family: str) -> None:
    model = tiny_model(family)
    for completion, prompt in zip(generate(engine(family), PROMPTS, temperature=0.0), PROMPTS, strict=True):
        expected = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert completion.tokens == expected[0, len(prompt) :].tolist()


def test_a_request_samples_the_same_alone_and_among_others() -> None:
    alone = [generate(engine(seed=3), [prompt])[0].tokens for prompt in (PROMPTS[1], PROMPTS[3])]
    among = generate(engine(seed=3), PROMPTS)
    assert [among[1].tokens, among[3].tokens] == alone


def test_a_request_that_joins_later_samples_the_same() -> None:
    generator = engine(seed=3)
    generator.add("early", PROMPTS[0], SamplingParams(20))
    for _ in range(4):
        generator.step()
    generator.add("late", PROMPTS[1], SamplingParams(12))
    assert finish(generator)["late"].tokens == generate(engine(seed=3), [PROMPTS[1]])[0].tokens


def test_equal_prompts_get_different_samples_and_one_prefill(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = engine(seed=1)
    prefilled = []
    original = GenerationEngine._read

    def counting(self: GenerationEngine, prompts: list[Prompt]) -> None:
        prefilled.extend(prompts)
        original(self, prompts)

    monkeypatch.setattr(GenerationEngine, "_read", counting)
    completions = generate(generator, [PROMPTS[1]] * 6)
    assert len({tuple(item.tokens) for item in completions}) == 6
    assert len(prefilled) == 1


def test_seed_and_weights_version_choose_the_samples() -> None:
    def tokens(seed: int, version: int) -> list[int]:
        generator = engine(seed=seed)
        generator.set_version(version)
        return generate(generator, [PROMPTS[0]])[0].tokens

    assert tokens(1, 5) == tokens(1, 5)
    assert len({tuple(tokens(*pair)) for pair in [(1, 5), (1, 6), (2, 5)]}) == 3


def test_a_response_ends_with_the_stop_token() -> None:
    free = generate(engine(seed=1), PROMPTS)
    stop = free[1].tokens[4]
    for before, after in zip(free, generate(engine(seed=1, stop=[stop]), PROMPTS), strict=True):
        if stop in before.tokens:
            end = before.tokens.index(stop) + 1
            assert (after.tokens, after.stop_reason) == (before.tokens[:end], "completed")
            assert after.log_probs == pytest.approx(before.log_probs[:end], abs=1e-5)
        else:
            assert (after.tokens, after.stop_reason) == (before.tokens, "length")


def test_more_requests_than_rows_are_all_served() -> None:
    prompts = [[1 + index, 2, 3] for index in range(11)]
    small = engine(seed=2, limits=EngineLimits(rows=3))
    assert [item.tokens for item in generate(small, prompts)] == [
        item.tokens for item in generate(engine(seed=2), prompts)
    ]


def test_a_cache_too_small_for_two_rows_serves_them_one_after_the_other() -> None:
    small = engine(seed=2, limits=EngineLimits(cache_bytes=1))
    assert [item.tokens for item in generate(small, PROMPTS)] == [
        item.tokens for item in generate(engine(seed=2), PROMPTS)
    ]


@pytest.mark.parametrize("limit", [60_000, 200_000])
def test_the_cache_stays_below_its_limit_while_it_grows(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts get longer, so that all slots grow; then many rows share one prompt, beside slots left of others."""
    alive, peak = Counter[str](), Counter[str]()
    made = torch.Tensor.new_zeros

    def counted(like: torch.Tensor, *shape: object) -> torch.Tensor:
        buffer = made(like, *shape)  # type: ignore[arg-type]
        alive["bytes"] += buffer.nbytes
        weakref.finalize(buffer, alive.subtract, {"bytes": buffer.nbytes})
        peak["bytes"] = max(peak["bytes"], alive["bytes"])
        return buffer

    monkeypatch.setattr(torch.Tensor, "new_zeros", counted)
    generator = engine(limits=EngineLimits(cache_bytes=limit))
    for number, length in enumerate([3, 5, 9, 4, 6, 70, 2, 90]):
        generator.add(f"{number}", [number + 1] * length, SamplingParams(3))
        generator.step()
    for number in range(8):
        generator.add(f"same {number}", [5] * 60, SamplingParams(3))
    finish(generator)
    assert limit / 4 < peak["bytes"] <= limit


def test_a_longer_request_than_the_cache_has_room_for_waits_and_is_served() -> None:
    generator = engine(seed=2)
    generator.add("short", PROMPTS[0], SamplingParams(30))
    for _ in range(5):
        generator.step()
    long = [5] * 90
    generator.add("long", long, SamplingParams(40))
    done = finish(generator)
    assert len(done["long"].tokens) == 40
    for name, prompt in (("short", PROMPTS[0]), ("long", long)):
        expected = full_log_probs(tiny_model(), prompt, done[name].tokens)
        assert torch.tensor(done[name].log_probs) == pytest.approx(expected, abs=2e-5)


def test_prefill_passes_stay_below_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = engine(limits=EngineLimits(prefill_tokens=16))
    widths = []
    forward = generator.model.forward

    def recording(*args: object, **kwargs: object) -> object:
        widths.append(kwargs["input_ids"].numel())  # type: ignore[attr-defined]
        return forward(*args, **kwargs)

    monkeypatch.setattr(generator.model, "forward", recording)
    generate(generator, PROMPTS, max_tokens=1)
    assert max(widths) <= 16
    assert len(widths) > 1


def test_aborted_requests_come_back_with_what_they_have() -> None:
    generator = engine(seed=1, limits=EngineLimits(rows=2))
    for index, prompt in enumerate(PROMPTS[:3]):
        generator.add(str(index), prompt, SamplingParams(30))
    for _ in range(3):
        generator.step()
    aborted = {item.request_id: item for item in generator.abort()}
    assert {name: len(item.tokens) for name, item in aborted.items()} == {"0": 4, "1": 4, "2": 0}
    assert {item.stop_reason for item in aborted.values()} == {"aborted"}
    assert not generator.busy
    assert generate(generator, [PROMPTS[4]])[0].stop_reason == "length"


def test_a_completion_names_the_weights_it_came_from() -> None:
    generator = engine()
    generator.set_version(7)
    assert generate(generator, [PROMPTS[0]])[0].version == 7


def test_the_cache_is_not_released_under_live_rows() -> None:
    generator = engine()
    generator.add("0", PROMPTS[0], SamplingParams(5))
    generator.step()
    with pytest.raises(RuntimeError, match="1 rows"):
        generator.release_cache()
    finish(generator)
    generator.release_cache()
    assert len(generate(generator, [PROMPTS[0]])[0].tokens) == 12


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        engine().add("0", [], SamplingParams(5))


def test_rows_may_mix_greedy_truncated_and_plain_sampling() -> None:
    generator = engine(seed=4)
    settings = [{"temperature": 0.0}, {"top_k": 3}, {"top_p": 0.3}, {}]
    for index, params in enumerate(settings):
        generator.add(str(index), PROMPTS[1], SamplingParams(8, **params))  # type: ignore[arg-type]
    done = finish(generator)
    model = copy.deepcopy(tiny_model())
    greedy = model.generate(torch.tensor([PROMPTS[1]]), max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert done["0"].tokens == greedy[0, len(PROMPTS[1]) :].tolist()
    ranks = []
    ids = list(PROMPTS[1])
    for token in done["1"].tokens:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        ranks.append(int((logits > logits[token]).sum()))
        ids.append(token)
    assert max(ranks) < 3
    assert all(0 <= token < VOCABULARY for item in done.values() for token in item.tokens)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_whenever_under_any_limits_is_served_right(seed: int) -> None:
    """Arrivals at random times, prompts shared or not, caches that grow, shrink to one row, and compact."""
    chance = random.Random(seed)
    family = ["qwen2", "llama", "mistral"][seed % 3]
    limits = EngineLimits(
        rows=chance.choice([1, 3, 7, 50]),
        cache_bytes=chance.choice([1, 20_000, 200_000, 1 << 30]),
        prefill_tokens=chance.choice([1, 30, 8192]),
        keep=bool(seed % 2),
    )
    generator = engine(family, stop=chance.sample(range(VOCABULARY), 3), limits=limits)
    pool = [[chance.randrange(VOCABULARY) for _ in range(length)] for length in (1, 2, 5, 5, 30, 70)]
    pool += [pool[-1][:length] + [chance.randrange(VOCABULARY) for _ in range(9)] for length in (40, 70)]
    asked = {
        str(index): (
            chance.choice(pool),
            SamplingParams(
                chance.choice([1, 2, 9, 40]),
                temperature=chance.choice([0.0, 0.7, 1.0]),
                top_k=chance.choice([-1, 4]),
                top_p=chance.choice([1.0, 0.5]),
            ),
        )
        for index in range(25)
    }
    coming = list(asked.items())
    done: dict[str, Completion] = {}
    while coming or generator.busy:
        for _ in range(chance.choice([0, 0, 1, 5])):
            if coming:
                name, (prompt, params) = coming.pop()
                generator.add(name, prompt, params)
        if generator.busy:
            done |= {item.request_id: item for item in generator.step()}
    model = tiny_model(family)
    for name, (prompt, params) in asked.items():
        expected = full_log_probs(model, prompt, done[name].tokens, params.temperature or 1.0)
        assert torch.tensor(done[name].log_probs) == pytest.approx(expected, abs=5e-5)


def test_a_long_prompt_that_waits_widens_no_slot_of_others() -> None:
    generator = engine(limits=EngineLimits(rows=2))
    for index, length in enumerate([5, 9, 200]):
        generator.add(str(index), [3 + index] * length, SamplingParams(4))
    generator.step()
    assert (generator._caches.prompts.slots, generator._caches.prompts.capacity) == (2, 64)
    finish(generator)


def dialogue(generator: GenerationEngine, turns: int = 4) -> list[Completion]:
    """Each turn's prompt is all that came before, and something new."""
    prompt = [(7 * n) % VOCABULARY for n in range(50)]
    said = []
    for turn in range(turns):
        generator.add(str(turn), prompt, SamplingParams(10, temperature=0.0))
        said.append(finish(generator)[str(turn)])
        prompt = prompt + said[-1].tokens + [(5 * n + turn) % VOCABULARY for n in range(8)]
    return said


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral"])
def test_a_turn_of_a_dialogue_reads_only_what_is_new_and_says_the_same(family: str) -> None:
    plain = dialogue(engine(family))
    kept = dialogue(engine(family, limits=EngineLimits(keep=True)))
    assert [item.tokens for item in kept] == [item.tokens for item in plain]
    for one, other in zip(kept, plain, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=2e-5)
    assert [item.reused for item in plain] == [0, 0, 0, 0]
    # all but the answer's last token, of which nothing was stored, and the new ones
    assert [item.reused for item in kept] == [0, 59, 77, 95]


def test_prompts_that_come_together_read_what_they_share_once() -> None:
    shared = [(7 * n) % VOCABULARY for n in range(60)]
    prompts = [[*shared, 1, 2, 3], [4] * 50, [*shared, 5, 6], [*shared, 1, 2, 3, 9], [4] * 50]
    done = generate(engine(limits=EngineLimits(keep=True)), prompts, temperature=0.0)
    assert [item.tokens for item in done] == [
        item.tokens for item in generate(engine(), prompts, temperature=0.0)
    ]
    assert [item.reused for item in done] == [0, 0, 60, 63, 0]
    generator = engine(limits=EngineLimits(keep=True))
    generator.add("live", prompts[0], SamplingParams(20))
    generator.step()
    generator.add("late", prompts[2], SamplingParams(5))
    assert finish(generator)["late"].reused == 60


def test_kept_sequences_stay_within_the_cache_and_give_way_to_rows() -> None:
    limit = 200_000
    generator = engine(limits=EngineLimits(cache_bytes=limit, keep=True))
    kept = []
    for number in range(12):
        generator.add(f"{number}", [number + 1] * 60, SamplingParams(3))
        finish(generator)
        kept.append(generator._caches.kept.bytes)
        slots = [
            cache.slots * cache.capacity for cache in (generator._caches.prompts, generator._caches.rows)
        ]
        assert kept[-1] + generator.size.needed(*slots) <= limit
    assert kept[3] == kept[4] * 4 // 5  # they add up …
    assert kept[-1] == kept[-2]  # … until the oldest goes for the newest
    for number in range(8):
        generator.add(f"more {number}", [20 + number] * 60, SamplingParams(3))
    generator.step()
    assert len(generator._rows) == 5
    assert generator._caches.kept.bytes == 0
    finish(generator)


def test_nothing_is_kept_for_other_weights_nor_where_it_is_not_asked_for() -> None:
    for keep in (True, False):
        generator = engine(limits=EngineLimits(keep=keep))
        dialogue(generator, turns=1)
        assert bool(generator._caches.kept.bytes) == keep
        generator.set_version(1)
        assert [item.reused for item in dialogue(generator, turns=1)] == [0]


def test_a_prompt_is_stored_once_for_all_its_rows() -> None:
    generator = engine(limits=EngineLimits(rows=8))
    for index in range(8):
        generator.add(str(index), [3] * 60, SamplingParams(4))
    generator.step()
    assert (generator._caches.prompts.slots, generator._caches.rows.slots) == (1, 8)
    finish(generator)
