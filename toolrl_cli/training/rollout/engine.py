"""Continuous batching over a Transformers model: requests join and leave the running batch at every token.

Pure torch, synchronous and single-threaded; `server.py` feeds it from a Ray actor.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from toolrl_cli.training.rollout.attention import ATTENTION_NAME
from toolrl_cli.training.rollout.batch_rows import Groups, Prompt, Row, RowState
from toolrl_cli.training.rollout.keys_values.cache_size import CacheSize
from toolrl_cli.training.rollout.keys_values.caches import Caches
from toolrl_cli.training.rollout.keys_values.prefixes import PrefixStore
from toolrl_cli.training.rollout.passes import Decode
from toolrl_cli.training.rollout.prompt_reading import read_prompts, read_what_is_new
from toolrl_cli.training.rollout.sampling import SamplingParams, sample_rows

StopReason = Literal["completed", "length", "aborted"]


@dataclass(frozen=True)
class Completion:
    """The result of a request.

    Attributes:
        request_id: as given to `add`.
        tokens: generated ids; the stop token, if one was generated, is the last.
        log_probs: of each token under the temperature-scaled distribution.
        stop_reason: `completed` at a stop token, `length` at the limit, `aborted` by `abort`.
        version: version of the weights that generated the last token.
        reused: tokens of the prompt whose keys and values were taken from an earlier request.
    """

    request_id: str
    tokens: list[int]
    log_probs: list[float]
    stop_reason: StopReason
    version: int
    reused: int = 0


@dataclass(frozen=True)
class EngineLimits:
    """Limits on the engine's memory and batch sizes.

    Attributes:
        rows: most live rows.
        cache_bytes: largest size of the key-value cache, also while it grows; one row is always accepted.
        prefill_tokens: most prompt tokens of one prefill pass, unless one prompt has more.
        keep: whether a prompt that begins as another one is read from there on only; what is left of `cache_bytes`
            holds sequences that have ended for that. Numbers are the same but for rounding.
    """

    rows: int = 1024
    cache_bytes: int = 1 << 30
    prefill_tokens: int = 8192
    keep: bool = False


class GenerationEngine:
    """Generates for many requests at once.

    Every `step` admits waiting requests while slots are free and adds one token to every live row. An equal prompt is
    not run and stored again while one of its rows is live. A request's samples depend on (seed, version of the
    weights, prompt, number of equal prompts before it), and not on the other rows.

    Args:
        model: a causal language model in evaluation mode; its attention implementation is replaced.
        stop_tokens: ids that end a response; if empty, responses end at the limit.
        limits: see `EngineLimits`.
        seed: of the sampling streams.

    Attributes:
        size: of its key-value cache.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        stop_tokens: Iterable[int],
        limits: EngineLimits | None = None,
        seed: int = 0,
    ) -> None:
        model.set_attn_implementation(ATTENTION_NAME)
        self.model = model
        self.limits = limits or EngineLimits()
        self.seed = seed
        self.version = 0
        self.device = next(model.parameters()).device
        self._stop = torch.tensor(sorted(set(stop_tokens)), dtype=torch.int64, device=self.device)
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._prompts: list[Prompt] = []
        self._groups: Groups | None = None
        self._state = RowState(0, 0, self.device)
        self.size = CacheSize.of(model)
        self._caches = Caches(self.size, self.limits.cache_bytes)

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._rows or self._waiting)

    def add(
        self,
        request_id: str,
        prompt: Sequence[int],
        params: SamplingParams,
        *,
        stream: tuple[int, int] | None = None,
        watch: Callable[[int], bool] | None = None,
        endless: bool = False,
    ) -> None:
        """Queue a request.

        Args:
            request_id: unique among the unfinished ones.
            prompt: token ids.
            params: how its tokens are drawn.
            stream: a seed and a number of the request's own, on which its samples depend then, beside the prompt,
                instead of on the engine's seed and on earlier requests with this prompt.
            watch: called with each of its tokens; where it returns True the response is complete.
            endless: whether stop tokens do not end it.

        Raises:
            ValueError: the prompt is empty.
        """
        if not len(prompt):
            raise ValueError(f"request {request_id} has an empty prompt")
        key = tuple(prompt)
        if stream is None:
            stream = self.seed, self._seen[key]
            self._seen[key] += 1
        seed = (stream[0], self.version & 0xFFFFFFFF, zlib.crc32(array("q", key).tobytes()), stream[1])
        # multiples of 2^-24, so that the product with a sum of probabilities stays below that sum
        uniforms = np.random.default_rng(seed).random(params.max_tokens, dtype=np.float32)
        self._waiting.append(Row(request_id, key, params, uniforms, watch=watch, endless=endless))

    def abort(self, request_ids: Collection[str] | None = None) -> list[Completion]:
        """End these requests, or all, with the tokens generated so far; waiting ones have none."""

        def meant(row: Row) -> bool:
            return request_ids is None or row.request_id in request_ids

        slots = [slot for slot, row in enumerate(self._rows) if meant(row)]
        finished = self._take(slots, ["aborted"] * len(slots))
        gone = [row for row in self._waiting if meant(row)]
        finished += [Completion(row.request_id, [], [], "aborted", self.version) for row in gone]
        self._waiting = deque(row for row in self._waiting if not meant(row))
        return finished

    def set_version(self, version: int) -> None:
        """Set the version of the loaded weights; later requests use new random streams."""
        self.version = version
        self._seen.clear()
        self._caches.kept = PrefixStore()

    def release_cache(self) -> None:
        """Free the key-value cache; allowed only while no row is live.

        Raises:
            RuntimeError: rows are live.
        """
        if self._rows:
            raise RuntimeError(f"{len(self._rows)} rows still use the key-value cache")
        self._caches = Caches(self.size, self.limits.cache_bytes)
        self._state = RowState(0, 0, self.device)

    @torch.inference_mode()
    def step(self) -> list[Completion]:
        """Admit requests that fit, add one token to every live row, and return the finished requests.

        Rows admitted in this step get their first token from the prompt's own pass.
        """
        finished: list[Completion] = []
        joined = self._admit()
        if joined:
            first = len(self._rows) - len(joined)
            logits = torch.stack([row.prompt.logits for row in joined])  # type: ignore[misc, union-attr]
            finished += self._append(slice(first, len(self._rows)), logits)
        if self._rows:
            finished += self._append(slice(0, len(self._rows)), self._decode())
        return finished

    # --- one pass of the model -------------------------------------------------------------------------

    def _decode(self) -> torch.Tensor:
        rows = len(self._rows)
        state = self._state
        if self._groups is None:
            self._groups = Groups.of(self._rows, self._prompts, self.device)
        groups = self._groups
        # tokens are stored one step late: a row's newest token is stored when the next one is generated
        stored = state.generated[:rows] - 1
        logits: torch.Tensor = self.model(
            input_ids=state.newest[:rows].unsqueeze(1),
            position_ids=(groups.lengths + stored).unsqueeze(1),
            use_cache=False,
            toolrl_pass=Decode(
                prompts=self._caches.prompts,
                rows=self._caches.rows,
                members=groups.members,
                group=groups.group,
                place=groups.place,
                prompt_lengths=groups.lengths,
                generated=stored,
                prompt_span=groups.span,
                row_span=int(stored.max()) + 1,
                alone=groups.alone,
            ),
        ).logits
        return logits[:, -1]

    # --- rows coming and going -------------------------------------------------------------------------

    def _admit(self) -> list[Row]:
        room = self._make_room()
        if not room:
            return []
        joined = [self._waiting.popleft() for _ in range(room)]
        living = {prompt.tokens: prompt for prompt in self._prompts}
        new: list[Prompt] = []
        for row in joined:
            if row.tokens not in living:
                living[row.tokens] = Prompt(row.tokens, len(self._prompts))
                self._prompts.append(living[row.tokens])
                new.append(living[row.tokens])
            row.prompt = living[row.tokens]
            row.prompt.rows += 1
        self._state.enter(len(self._rows), joined)
        self._rows += joined
        self._groups = None
        self._read(new)
        return joined

    def _read(self, new: list[Prompt]) -> None:
        most = self.limits.prefill_tokens
        if self.limits.keep:
            stored = self._prompts[: len(self._prompts) - len(new)]
            read_what_is_new(
                self.model, self._caches.prompts, new, stored, self._caches.kept, most, self.device
            )
        else:
            read_prompts(self.model, self._caches.prompts, new, most, self.device)

    def _make_room(self) -> int:
        """Grow the caches for waiting rows as far as the limits allow; return how many can join, in order."""
        live = len(self._prompts), len(self._rows)
        joining, prompts, rows = self._caches.wanted(
            self._waiting, self._rows, self._prompts, self.limits.rows
        )
        if joining and self._caches.resize(prompts, rows, live):
            self._state = self._state.resized(self._caches.rows.slots, self._caches.rows.capacity, live[1])
            if self.device.type == "cuda":
                torch.cuda.empty_cache()  # blocks of the old sizes, which nothing else would use
        return joining

    def _append(self, rows: slice, logits: torch.Tensor) -> list[Completion]:
        """Sample and record a token for each given row, and remove the rows that it ends."""
        state = self._state
        params = [row.params for row in self._rows[rows]]
        generated = state.generated[rows]
        uniforms = state.uniforms[rows].gather(1, generated.unsqueeze(1)).squeeze(1)
        truncated = any(param.truncated for param in params)
        tokens, log_probs = sample_rows(
            logits,
            state.temperature[rows],
            uniforms,
            greedy=state.greedy[rows] if any(param.greedy for param in params) else None,
            top_p=state.top_p[rows] if truncated else None,
            top_k=state.top_k[rows].clamp(max=logits.shape[1]) if truncated else None,
        )
        at = generated.unsqueeze(1)
        state.tokens[rows].scatter_(1, at, tokens.unsqueeze(1))
        state.log_probs[rows].scatter_(1, at, log_probs.unsqueeze(1))
        state.newest[rows] = tokens
        generated += 1
        stopped = (
            torch.isin(tokens, self._stop) if len(self._stop) else torch.zeros_like(tokens, dtype=torch.bool)
        )
        self._ask_watches(self._rows[rows], tokens, stopped)
        ended = stopped | (generated >= state.limit[rows])
        if not bool(ended.any()):
            return []
        places = ended.nonzero().squeeze(1)
        reasons: list[StopReason] = ["completed" if hit else "length" for hit in stopped[places].tolist()]
        return self._take([rows.start + place for place in places.tolist()], reasons)

    @staticmethod
    def _ask_watches(rows: list[Row], tokens: torch.Tensor, stopped: torch.Tensor) -> None:
        """Correct `stopped` for the rows that end otherwise than by the engine's stop tokens."""
        if any(row.endless for row in rows):
            stopped &= ~torch.tensor([row.endless for row in rows], device=stopped.device)
        if any(row.watch for row in rows):
            hits = [
                bool(row.watch and row.watch(token)) for row, token in zip(rows, tokens.tolist(), strict=True)
            ]
            stopped |= torch.tensor(hits, device=stopped.device)

    def _take(self, slots: list[int], reasons: Sequence[StopReason]) -> list[Completion]:
        """Remove rows and fill their slots with rows from the end."""
        if not slots:
            return []
        state = self._state
        counts = state.generated[slots].tolist()
        tokens, log_probs = state.tokens[slots].tolist(), state.log_probs[slots].tolist()
        finished = [
            Completion(
                self._rows[slot].request_id,
                ids[:count],
                logs[:count],
                reason,
                self.version,
                self._rows[slot].prompt.reused,  # type: ignore[union-attr]
            )
            for slot, count, ids, logs, reason in zip(slots, counts, tokens, log_probs, reasons, strict=True)
        ]
        for slot, completion in zip(slots, finished, strict=True):
            prompt = self._rows[slot].prompt
            assert prompt is not None
            prompt.rows -= 1
            if self.limits.keep and not prompt.rows:
                # of its newest token nothing is stored
                self._caches.keep(prompt, slot, completion.tokens[:-1])
        holes, movers = _compaction(slots, len(self._rows))
        if holes:
            self._caches.rows.move(movers, holes, int(state.generated[movers].max()))
            state.move(movers, holes)
            for hole, mover in zip(holes, movers, strict=True):
                self._rows[hole] = self._rows[mover]
        del self._rows[len(self._rows) - len(slots) :]
        self._drop_prompts()
        self._groups = None
        return finished

    def _drop_prompts(self) -> None:
        """Remove the prompts that have no live row."""
        unused = [prompt.slot for prompt in self._prompts if not prompt.rows]
        holes, movers = _compaction(unused, len(self._prompts))
        if holes:
            longest = max(len(self._prompts[mover].tokens) for mover in movers)
            self._caches.prompts.move(movers, holes, longest)
            for hole, mover in zip(holes, movers, strict=True):
                self._prompts[hole] = self._prompts[mover]
                self._prompts[hole].slot = hole
        del self._prompts[len(self._prompts) - len(unused) :]


def _compaction(gone: list[int], number: int) -> tuple[list[int], list[int]]:
    """Free slots below the remaining number of rows, and the used slots above it that are to move there."""
    remaining = number - len(gone)
    free = set(gone)
    holes = [slot for slot in gone if slot < remaining]
    return holes, [slot for slot in range(remaining, number) if slot not in free]
