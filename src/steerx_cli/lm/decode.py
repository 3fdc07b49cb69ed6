"""One loop that writes for every method: streams of many requests go through the model side by side, a token at a time.

The streams of a request are prompts of its own that share each token that is chosen. What they foretell is mixed, each
stream by its weight. A request that ends makes room for one that waits.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import TypeAlias

import torch

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.attention import borrowed
from steerx_cli.lm.causal import CausalLM, Mix
from steerx_cli.lm.choose import choose
from steerx_cli.lm.memory import ran_out
from steerx_cli.lm.playback import Player, Record, record_on_gpu
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.runs import NoRoom, Run, Runner
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.slots import Grain, Layers, Slots

_CLOSE = 1e-6  # of the sum of weights to 1


@dataclass(frozen=True)
class Request:
    """What is to be written once for each set of weights: logits = Σ weight · logits of the stream."""

    streams: tuple[Ids, ...]
    weights: tuple[tuple[float, ...], ...]  # one a stream, their sum 1; the sets share the reading of the prompts
    limit: int  # the most tokens that are written, one at least
    seed: int = 0  # of what is drawn, the same for each set

    def __post_init__(self) -> None:
        """Refuse what cannot be mixed: a head's bias counts once, so the weights have to."""
        if not all(map(len, self.streams)):
            raise ValueError("a stream without a token")
        if any(len(each) != len(self.streams) or abs(sum(each) - 1) > _CLOSE for each in self.weights):
            raise ValueError("weights that are not one a stream, with the sum 1")


@dataclass(frozen=True)
class Written:
    """What came of one set of weights."""

    ids: list[int]  # without the token that ended it
    finish: str  # end, limit or failed
    error: str | None = None


@dataclass(frozen=True)
class Decoding:
    """How much is done at once, and how a token is chosen."""

    batch_size: int = 32  # requests
    batch_tokens: int = 8192  # of prompts
    sampling: Sampling | None = None  # None: the most probable token


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


@dataclass(eq=False)
class _Task:
    """One set of weights of one request, on its way."""

    place: int  # of the request among all
    rule: int
    request: Request
    weights: dict[int, float]  # by stream
    draw: Random
    ids: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, place: int, rule: int, request: Request) -> "_Task":
        """Of streams that say the same the first is enough, and what weighs nothing need not be run."""
        first = {ids.tobytes(): stream for stream, ids in reversed([*enumerate(request.streams)])}
        weights = dict.fromkeys(sorted(first.values()), 0.0)
        for ids, weight in zip(request.streams, request.weights[rule], strict=True):
            weights[first[ids.tobytes()]] += weight
        kept = {stream: weight for stream, weight in weights.items() if weight}
        return cls(place, rule, request, kept, Random(request.seed))

    def length(self) -> int:
        """Of its longest prompt."""
        return max(len(self.request.streams[stream]) for stream in self.weights)

    def size(self) -> int:
        """How long that may become."""
        return self.length() + self.request.limit

    def again(self) -> "_Task":
        """The same, from its beginning."""
        return self.of(self.place, self.rule, self.request)

    def take(self, token: int | None, ends: frozenset[int]) -> Written | None:
        """Go on with a token, or come to an end."""
        if token is None:
            return Written(self.ids, "failed", "the model gives logits that are no numbers: see --dtype and --lam")
        if token in ends:
            return Written(self.ids, "end")
        self.ids.append(token)
        return Written(self.ids, "limit") if len(self.ids) == self.request.limit else None


_End: TypeAlias = tuple[_Task, Written]


class _Chunk:
    """The requests that go through the model together."""

    def __init__(self, decoder: Decoder, requests: Sequence[Request], tally: Counter[str]) -> None:
        self._decoder, self._lm, self._tally = decoder, decoder.lm, tally
        self._runner = Runner(decoder.lm, decoder.decoding.batch_tokens, keeps=True)
        self._lanes = max((len(request.streams) for request in requests), default=0)
        tasks = [_Task.of(place, rule, r) for place, r in enumerate(requests) for rule in range(len(r.weights))]
        self._waiting = deque(tasks)
        self._requests = requests
        self._most = min(decoder.decoding.batch_size, len(tasks))  # at once; fewer after memory ran out
        self._short = False  # of memory, so far
        self._start()

    def _start(self) -> None:
        """Nothing is in memory."""
        decoder = self._decoder
        self._fresh = True  # until somebody has come to an end
        self._running: list[_Task] = []
        self._read: dict[tuple[int, int], _Read] = {}  # prompts, by request and stream, that some who wait will need
        self._mix: Mix | None = None
        self._slots = Slots(self._lanes, self._most, self._lm.model.device, decoder.grain)
        self._player = Player(self._lm, self._slots, decoder.record, self._tally)

    def run(self) -> Iterator[_End]:
        """Every task, as it ends."""
        while self._waiting or self._running:
            group = self._next()
            ended = self._tried(group)
            yield from self._retry(group) if ended is None else ended

    def _tried(self, group: Sequence[_Task]) -> list[_End] | None:
        """Those that came to an end; None where there was no memory to go on."""
        try:
            return self._begin(group) if group else self._step()
        except (RuntimeError, MemoryError, NoRoom) as error:
            if not isinstance(error, NoRoom) and not ran_out(error):
                raise
            return None

    # --- those that wait ----------------------------------------------------------------------------------------------

    def _next(self) -> list[_Task]:
        """Those that can begin now: as many as there are free slots, and as one reading of prompts should hold."""
        free = self._most - len(self._running)
        if self._running and free < min(self._refill, len(self._waiting)):
            return []
        group: list[_Task] = []
        unread: dict[tuple[int, int], int] = {}
        while self._waiting and len(group) < free:
            task = self._waiting[0]
            for stream in task.weights:
                if (task.place, stream) not in self._read:
                    unread[task.place, stream] = len(task.request.streams[stream])
            if group and sum(unread.values()) > self._decoder.decoding.batch_tokens:
                break
            group.append(self._waiting.popleft())
        return group

    @property
    def _refill(self) -> int:
        """How many begin together where others are on their way, who wait meanwhile: on a GPU some, on a CPU any."""
        return max(1, min(self._decoder.grain.rows, self._most // 8))

    def _begin(self, group: Sequence[_Task]) -> list[_End]:
        """Read the prompts of some tasks, choose their first tokens, and give a slot to those that go on."""
        self._read_prompts({(task.place, stream) for task in group for stream in task.weights})
        reads = [self._read[task.place, stream] for task in group for stream in task.weights]
        states = torch.stack([read.state for read in reads])
        for task in sorted(group, key=_Task.length, reverse=True):  # so that rows of about one length are neighbours
            for stream in task.weights:
                self._slots.lanes[stream].take(task, self._read[task.place, stream].layers)
        self._running += group
        self._mix = None
        still = set() if self._short and self._most == 1 else {task.place for task in self._waiting}
        self._read = {key: read for key, read in self._read.items() if key[0] in still}
        rows = iter(range(len(reads)))
        return self._choose(
            group, states, self._mixed([{next(rows): w for w in task.weights.values()} for task in group])
        )

    def _read_prompts(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Run the model over prompts that it has not seen; what they begin with together is run once."""
        unread = [key for key in sorted(wanted) if key not in self._read]
        sequences = [self._requests[place].streams[stream] for place, stream in unread]

        def read(runs: Sequence[Run], states: torch.Tensor) -> None:
            ends = accumulate(len(run.ids) for run in runs)
            for run, end in zip(runs, ends, strict=True):
                for each in run.wanted:
                    state = states[end - len(run.ids) + each.first].clone()  # the others need not be kept for it
                    self._read[unread[each.sequence]] = _Read(state, run.layers())

        self._runner.run(sequences, [len(ids) - 1 for ids in sequences], read, self._tally)

    # --- those that are on their way ----------------------------------------------------------------------------------

    def _step(self) -> list[_End]:
        """One token more for all of them."""
        if self._mix is None:
            rows = [self._slots.rows_of(task) for task in self._running]
            tasks = zip(rows, self._running, strict=True)
            self._mix = self._mixed([{row: task.weights[lane] for lane, row in of.items()} for of, task in tasks])
        self._slots.make_room()
        states = self._player.step(self._slots.last_tokens(lambda task: task.ids[-1]))
        return self._choose([*self._running], states, self._mix)

    def _mixed(self, rows: Sequence[Mapping[int, float]]) -> Mix:
        """Mixtures as tensors: each names so many states, the same one again with no weight where it has fewer."""
        most, device = max(map(len, rows)), self._lm.model.device
        full = [[*of.items(), *[(next(iter(of)), 0.0)] * (most - len(of))] for of in rows]
        return Mix(
            torch.tensor([[row for row, _ in pairs] for pairs in full], device=device),
            torch.tensor([[weight for _, weight in pairs] for pairs in full], device=device),
        )

    def _choose(self, tasks: Sequence[_Task], states: torch.Tensor, mix: Mix) -> list[_End]:
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

    def _retry(self, group: Sequence[_Task]) -> list[_End]:
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
            self._waiting = deque(sorted([*(task.again() for task in tasks), *self._waiting], key=_Task.size))
            self._most, self._short = max(1, min(self._most // 2, len(self._waiting))), True
        self._start()
        torch.cuda.empty_cache()
        return ended
