"""One loop that writes for every method: streams of many requests go through the model side by side, a token at a time.

The streams of a request are prompts of its own that share each token that is chosen. What they foretell is mixed, each
stream by its weight; to their hidden states a vector of the request's own may be added. A request that ends makes room
for one that waits.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

import torch

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.attention import borrowed
from steerx_cli.lm.causal import CausalLM, Mix
from steerx_cli.lm.choose import choose
from steerx_cli.lm.memory import ran_out
from steerx_cli.lm.playback import Player, Record, record_on_gpu
from steerx_cli.lm.request import Reading, Request, Task, Written
from steerx_cli.lm.runs import NoRoom, Run, Runner
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.slots import Grain, Layers, Slots
from steerx_cli.lm.steer import Steer, Steering


@dataclass(frozen=True)
class Decoding:
    """How much is done at once, and how a token is chosen."""

    batch_size: int = 32  # requests
    batch_tokens: int = 8192  # of prompts
    sampling: Sampling | None = None  # None: the most probable token
    steering: Steering | None = None  # None: no request has a vector


class Decoder:
    """Writes what is asked for, one chunk of requests after the other."""

    def __init__(self, lm: CausalLM, decoding: Decoding) -> None:
        if not lm.packs:
            raise SteerxError(
                f"model {lm.model.config.name_or_path!r} attends in a way that steerx cannot write with: name another"
            )
        self.lm, self.decoding = lm, decoding
        on_cpu = lm.model.device.type == "cpu"
        self.grain = Grain() if on_cpu else Grain(rows=8, tokens=256)
        self.record: Record | None = None if on_cpu else record_on_gpu

    @torch.inference_mode()
    def write(self, requests: Sequence[Request]) -> tuple[list[list[Written]], Mapping[str, int]]:
        """What comes of each set of weights of each request, and what that took."""
        if self.decoding.steering is None and any(request.vectors for request in requests):
            raise ValueError("vectors, and no layer to add them at")
        tally: Counter[str] = Counter()
        device = self.lm.model.device
        with borrowed(self.lm.model), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            found = {(task.place, task.rule): written for task, written in _Chunk(self, requests, tally).run()}
        return [[found[place, rule] for rule in range(len(r.weights))] for place, r in enumerate(requests)], tally


# --- one chunk --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    """A prompt that went through the model."""

    state: torch.Tensor  # at its last token
    layers: Layers


_End: TypeAlias = tuple[Task, Written]


class _Chunk:
    """The requests that go through the model together."""

    def __init__(self, decoder: Decoder, requests: Sequence[Request], tally: Counter[str]) -> None:
        self._decoder, self._lm, self._tally = decoder, decoder.lm, tally
        self._runner = Runner(decoder.lm, decoder.decoding.batch_tokens, keeps=True)
        self._lanes = max((len(request.streams) for request in requests), default=0)
        tasks = [Task.of(place, rule, r) for place, r in enumerate(requests) for rule in range(len(r.weights))]
        self._waiting = deque(tasks)
        self._requests = requests
        self._steering = decoder.decoding.steering
        self._steer: Steer | None = None
        if self._steering and any(task.vector is not None for task in tasks):
            self._steer = Steer(decoder.lm.model, self._steering.layer, self._lanes * decoder.decoding.batch_size)
        self._most = min(decoder.decoding.batch_size, len(tasks))  # at once; fewer after memory ran out
        self._short = False  # of memory, so far
        self._start()

    def _start(self) -> None:
        """Nothing is in memory."""
        decoder = self._decoder
        self._fresh = True  # until somebody has come to an end
        self._running: list[Task] = []
        self._read: dict[Reading, _Read] = {}  # prompts that some who wait will need
        self._mix: Mix | None = None
        self._slots = Slots(self._lanes, self._most, self._lm.model.device, decoder.grain)
        self._player = Player(self._lm, self._slots, decoder.record, self._tally)

    def run(self) -> Iterator[_End]:
        """Every task, as it ends."""
        with self._steer.ready() if self._steer else nullcontext():
            while self._waiting or self._running:
                group = self._next()
                ended = self._tried(group)
                yield from self._retry(group) if ended is None else ended

    def _tried(self, group: Sequence[Task]) -> list[_End] | None:
        """Those that came to an end; None where there was no memory to go on."""
        try:
            return self._begin(group) if group else self._step()
        except (RuntimeError, MemoryError, NoRoom) as error:
            if not isinstance(error, NoRoom) and not ran_out(error):
                raise
            return None

    # --- those that wait ----------------------------------------------------------------------------------------------

    def _next(self) -> list[Task]:
        """Those that can begin now: as many as there are free slots, and as one reading of prompts should hold."""
        free = self._most - len(self._running)
        if self._running and free < min(self._refill, len(self._waiting)):
            return []
        group: list[Task] = []
        unread: dict[Reading, int] = {}
        while self._waiting and len(group) < free:
            task = self._waiting[0]
            for reading in self._readings([task]):
                if reading not in self._read:
                    unread[reading] = len(task.request.streams[reading.stream])
            if group and sum(unread.values()) > self._decoder.decoding.batch_tokens:
                break
            group.append(self._waiting.popleft())
        return group

    @property
    def _refill(self) -> int:
        """How many begin together where others are on their way, who wait meanwhile: on a GPU some, on a CPU any."""
        return max(1, min(self._decoder.grain.rows, self._most // 8))

    def _begin(self, group: Sequence[Task]) -> list[_End]:
        """Read the prompts of some tasks, give each a slot, and choose the first tokens where they were read whole."""
        self._read_prompts(self._readings(group))
        for task in sorted(group, key=Task.length, reverse=True):  # so that rows of about one length are neighbours
            for stream, reading in zip(task.weights, self._readings([task]), strict=True):
                self._slots.lanes[stream].take(task, self._read[reading].layers)
        self._running += group
        self._mix = None
        whole = [task for task in group if all(reading.whole for reading in self._readings([task]))]
        reads = [self._read[reading] for reading in self._readings(whole)]
        again = [] if self._short and self._most == 1 else self._waiting
        still = {*self._readings(again)}
        self._read = {reading: read for reading, read in self._read.items() if reading in still}
        if not whole:
            return []
        rows, states = iter(range(len(reads))), torch.stack([read.state for read in reads])
        mix = self._mixed([{next(rows): weight for weight in task.weights.values()} for task in whole])
        return self._choose(whole, states, mix)

    def _readings(self, tasks: Iterable[Task]) -> list[Reading]:
        """What they need to be read, stream by stream."""
        return [task.reading(stream, self._steering) for task in tasks for stream in task.weights]

    def _read_prompts(self, wanted: Iterable[Reading]) -> None:
        """Run the model over prompts that it has not seen; what they begin with together is run once."""
        unread = sorted({*wanted} - {*self._read})
        self._run_through([reading for reading in unread if reading.rule < 0])
        for reading in unread:
            vector = self._requests[reading.place].vectors[reading.rule] if reading.rule >= 0 else None
            if self._steer and vector is not None:  # steered, it shares nothing with any other
                with self._steer.to_all(vector):
                    self._run_through([reading])

    def _run_through(self, readings: Sequence[Reading]) -> None:
        whole = [self._requests[reading.place].streams[reading.stream] for reading in readings]
        sequences = [ids if reading.whole else ids[:-1] for reading, ids in zip(readings, whole, strict=True)]

        def read(runs: Sequence[Run], states: torch.Tensor) -> None:
            ends = accumulate(len(run.ids) for run in runs)
            for run, end in zip(runs, ends, strict=True):
                for each in run.wanted:
                    state = states[end - len(run.ids) + each.first].clone()  # the others need not be kept for it
                    self._read[readings[each.sequence]] = _Read(state, run.layers())

        self._runner.run(sequences, [len(ids) - 1 for ids in sequences], read, self._tally)

    # --- those that are on their way ----------------------------------------------------------------------------------

    def _step(self) -> list[_End]:
        """One token more for all of them."""
        if self._mix is None:
            self._mix = self._arranged()
        self._slots.make_room()
        with self._steer.to_rows() if self._steer else nullcontext():
            states = self._player.step(self._slots.last_tokens(lambda task, lane: task.last(lane)))
        tasks, mix = [*self._running], self._mix
        if self._steering and self._steering.positions == "last" and any(not task.ids for task in tasks):
            self._mix = None  # what is steered at one place only is not any more
        return self._choose(tasks, states, mix)

    def _arranged(self) -> Mix:
        """How the states of all rows are mixed, and what is added to which row, for as long as the rows stay."""
        rows = [self._slots.rows_of(task) for task in self._running]
        tasks = [*zip(rows, self._running, strict=True)]
        if self._steer:
            pushed = [(of, task.vector) for of, task in tasks if task.pushed(self._steering)]
            self._steer.put({row: vector for of, vector in pushed if vector is not None for row in of.values()})
        return self._mixed([{row: task.weights[lane] for lane, row in of.items()} for of, task in tasks])

    def _mixed(self, rows: Sequence[Mapping[int, float]]) -> Mix:
        """Mixtures as tensors: each names so many states, the same one again with no weight where it has fewer."""
        most, device = max(map(len, rows)), self._lm.model.device
        full = [[*of.items(), *[(next(iter(of)), 0.0)] * (most - len(of))] for of in rows]
        return Mix(
            torch.tensor([[row for row, _ in pairs] for pairs in full], device=device),
            torch.tensor([[weight for _, weight in pairs] for pairs in full], device=device),
        )

    def _choose(self, tasks: Sequence[Task], states: torch.Tensor, mix: Mix) -> list[_End]:
        """The next token of each task; those that come to an end make room."""
        sampling = self._decoder.decoding.sampling
        draws = [task.draw.random() for task in tasks] if sampling else None
        tokens = choose(self._lm.mixed_logits(states, mix), draws, sampling)
        found = [(task, task.take(token, self._lm.ends)) for task, token in zip(tasks, tokens, strict=True)]
        ended = [(task, written) for task, written in found if written]
        for task, _ in ended:
            self._slots.let_go(task)
            self._running.remove(task)
        if ended:
            self._mix, self._fresh = None, False
        return ended

    # --- memory -------------------------------------------------------------------------------------------------------

    def _retry(self, group: Sequence[Task]) -> list[_End]:
        """There was not enough: all of them from their beginning, half as many at once. One alone has failed."""
        tasks = [*self._running, *(task for task in group if task not in self._running)]
        ended: list[_End] = []
        if self._most == 1 and self._fresh and self._short:
            what = "it does not fit in memory: choose a smaller --batch-tokens, --max-new-tokens, dtype or model"
            ended = [(task, Written([], "failed", what)) for task in tasks]
            if any(task.size() < tasks[0].size() for task in self._waiting):  # they may well fit together
                self._most = min(self._decoder.decoding.batch_size, len(self._waiting))
        else:
            self._tally["batches halved for memory"] += 1
            # The longest come last: what does not fit at all is by itself then, and nobody has to begin again for it.
            self._waiting = deque(sorted([*(task.again() for task in tasks), *self._waiting], key=Task.size))
            self._most, self._short = max(1, min(self._most // 2, len(self._waiting))), True
        self._start()
        torch.cuda.empty_cache()
        return ended
