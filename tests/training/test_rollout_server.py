"""The server's calls, as verl makes them, without Ray between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rollout_models import VOCABULARY, full_log_probs, tiny_model
from toolrl_cli.training.cpu import cpu_options
from toolrl_cli.training.rollout.engine import EngineLimits, GenerationEngine
from toolrl_cli.training.rollout.model_loading import ServerSettings, engine_limits
from toolrl_cli.training.rollout.server import RolloutServer
from toolrl_cli.training.rollout.weights import pack

PROMPT = [5, 6, 7, 8]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServerSettings:
    path = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(path)
    return ServerSettings(
        model_path=str(path),
        tokenizer_path=str(path),
        overrides={},
        trust_remote_code=False,
        device="cpu",
        dtype="float32",
        prompt_length=16,
        response_length=10,
        ignore_eos=True,
        seed=1,
        release_on_sleep=False,
        cache_fraction=0.5,
        limits=EngineLimits(),
    )


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_a_response_has_tokens_their_log_probabilities_and_the_step_of_its_weights(
    settings: ServerSettings,
) -> None:
    async def scenario() -> Any:
        server = RolloutServer(settings)
        await server.set_global_steps(3)
        return await server.generate("a", PROMPT, {"temperature": 0.8, "top_p": 1.0, "top_k": -1})

    output = run(scenario())
    assert len(output.token_ids) == 10
    expected = full_log_probs(tiny_model(), PROMPT, output.token_ids, 0.8)
    assert torch.tensor(output.log_probs) == pytest.approx(expected, abs=2e-5)
    assert (output.stop_reason, output.extra_fields) == ("completed", {"global_steps": 3})


@pytest.mark.parametrize(
    ("asked", "small", "threads"), [(0, 20_000_000, 1), (0, 10, 6), (3, 10, 3), (3, 20_000_000, 3)]
)
def test_the_server_decodes_with_the_threads_that_its_model_deserves_unless_told(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, asked: int, small: int, threads: int
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(cpu_options, "SMALL_MODEL", small)
    RolloutServer(replace(settings, num_threads=asked))
    assert chosen == [threads]


def test_requests_in_flight_share_the_batch_and_each_gets_its_own(settings: ServerSettings) -> None:
    async def scenario() -> Any:
        server = RolloutServer(settings)
        return await asyncio.gather(
            *(server.generate(str(i), [i + 1, 2, 3], {"max_tokens": 1 + i % 7}) for i in range(30))
        )

    assert [len(output.token_ids) for output in run(scenario())] == [1 + i % 7 for i in range(30)]


def test_groups_come_back_by_prompt(settings: ServerSettings) -> None:
    async def scenario() -> Any:
        server = RolloutServer(settings)
        return await server.generate_groups(
            "g", [(PROMPT, {"temperature": 1.0}, 3), ([1, 2], {"temperature": 0.0}, 2)]
        )

    first, second = run(scenario())
    assert [len(first), len(second)] == [3, 2]
    assert len({tuple(item["token_ids"]) for item in first}) == 3
    assert second[0]["token_ids"] == second[1]["token_ids"]
    for item in first:
        expected = full_log_probs(tiny_model(), PROMPT, item["token_ids"])
        assert torch.tensor(item["log_probs"]) == pytest.approx(expected, abs=2e-5)


def test_a_response_never_goes_beyond_the_limits(settings: ServerSettings) -> None:
    async def scenario() -> Any:
        server = RolloutServer(settings)
        long = await server.generate("a", [1] * 20, {"max_tokens": 500})
        full = await server.generate("b", [1] * 26, {})
        return long, full

    long, full = run(scenario())
    assert len(long.token_ids) == 6  # 16 + 10 in all
    assert full.token_ids == []


def test_new_weights_change_the_responses_and_their_step(settings: ServerSettings) -> None:
    trainer = tiny_model(seed=9)

    async def scenario() -> Any:
        server = RolloutServer(settings)
        for bucket in pack(iter(trainer.state_dict().items()), 2000):
            await server.load_weights(bucket)
        await server.finish_weights(12)
        return await server.generate("a", PROMPT, {"temperature": 1.0})

    output = run(scenario())
    expected = full_log_probs(trainer, PROMPT, output.token_ids)
    assert torch.tensor(output.log_probs) == pytest.approx(expected, abs=2e-5)
    assert output.extra_fields["global_steps"] == 12


def test_aborted_requests_return_and_new_ones_wait_for_the_resumption(settings: ServerSettings) -> None:
    async def scenario() -> Any:
        server = RolloutServer(replace(settings, response_length=4000, prompt_length=16))
        running = asyncio.create_task(server.generate("a", PROMPT, {}))
        await asyncio.sleep(0.1)
        report = await server.abort_all_requests()
        waiting = asyncio.create_task(server.generate("b", PROMPT, {"max_tokens": 2}))
        await asyncio.sleep(0.1)
        held = not waiting.done()
        await server.resume_generation()
        return report, await running, held, await waiting

    report, aborted, held, resumed = run(scenario())
    assert report == {"aborted_count": 1, "request_ids": ["a"]}
    assert aborted.stop_reason == "aborted"
    assert 0 < len(aborted.token_ids) < 4000
    assert held
    assert (resumed.stop_reason, len(resumed.token_ids)) == ("completed", 2)


def test_requests_are_refused_where_the_server_is_leaving(settings: ServerSettings) -> None:
    async def scenario() -> None:
        server = RolloutServer(settings)
        await server.abort_all_requests(reject_request=True)
        await server.generate("a", PROMPT, {})

    with pytest.raises(RuntimeError, match="takes no requests"):
        run(scenario())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        ({"prompt_ids": [], "sampling_params": {}}, "empty"),
        ({"prompt_ids": PROMPT, "sampling_params": {"beams": 2}}, "beams"),
        ({"prompt_ids": PROMPT, "sampling_params": {}, "image_data": [1]}, "text"),
    ],
)
def test_what_the_server_cannot_do_is_refused(
    settings: ServerSettings, call: dict[str, Any], match: str
) -> None:
    async def scenario() -> Any:
        server = RolloutServer(settings)
        with pytest.raises(ValueError, match=match):
            await server.generate("a", **call)
        return await server.generate("b", PROMPT, {"max_tokens": 1})

    assert len(run(scenario()).token_ids) == 1  # a refusal leaves the server whole


def test_a_fault_in_the_model_reaches_every_request(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: GenerationEngine) -> None:
        raise ArithmeticError("no such luck")

    monkeypatch.setattr(GenerationEngine, "step", broken)

    async def scenario() -> Any:
        server = RolloutServer(settings)
        outcomes = await asyncio.gather(
            *(server.generate(str(i), PROMPT, {}) for i in range(3)), return_exceptions=True
        )
        with pytest.raises(RuntimeError, match="earlier"):
            await server.generate("late", PROMPT, {})
        return outcomes

    assert ["no such luck" in str(outcome) for outcome in run(scenario())] == [True] * 3


def test_sleeping_waits_for_the_running_requests_and_waking_goes_on(settings: ServerSettings) -> None:
    async def scenario() -> Any:
        server = RolloutServer(replace(settings, release_on_sleep=True))
        running = asyncio.create_task(server.generate("a", PROMPT, {}))
        await asyncio.sleep(0)
        await server.sleep()
        done = running.done()
        await server.wake_up(["weights"])
        await server.clear_kv_cache()
        await server.release_kv_cache()
        await server.resume_kv_cache()
        return done, await server.generate("b", PROMPT, {})

    done, output = run(scenario())
    assert done
    assert len(output.token_ids) == 10


def test_the_stop_tokens_are_the_tokenizers_and_the_models(settings: ServerSettings, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    model = tiny_model()
    model.generation_config.eos_token_id = [11, 12]
    model.save_pretrained(tmp_path)
    vocabulary = {f"t{index}": index for index in range(VOCABULARY)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="t0")), eos_token="t13"
    ).save_pretrained(tmp_path)
    place = str(tmp_path)
    server = RolloutServer(replace(settings, model_path=place, tokenizer_path=place, ignore_eos=False))
    assert server._engine._stop.tolist() == [11, 12, 13]


def test_on_a_gpu_the_cache_is_a_share_of_what_is_free_and_is_reckoned_anew_at_waking(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 10_000_000}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free["bytes"], 80_000_000))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    on_gpu = replace(settings, device="cuda", cache_fraction=0.5, release_on_sleep=True)
    assert engine_limits(on_gpu) == replace(settings.limits, cache_bytes=5_000_000)
    server = RolloutServer(settings)
    server.settings = on_gpu
    monkeypatch.setattr(server._engine.model, "to", lambda device: None)
    free["bytes"] = 4_000_000
    asyncio.run(server.wake_up(["weights"]))
    assert server._engine.limits.cache_bytes == 2_000_000
