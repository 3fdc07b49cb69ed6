"""What is asked of the loop that writes: requests, and each set of their weights as a task on its way."""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from steerx_cli.lm.rows import Ids
from steerx_cli.lm.steer import Steering, Vector

_CLOSE = 1e-6  # of the sum of weights to 1


@dataclass(frozen=True)
class Request:
    """What is to be written once for each set of weights: logits = Σ weight · logits of the stream."""

    streams: tuple[Ids, ...]
    weights: tuple[tuple[float, ...], ...]  # one a stream, their sum 1; the sets share the reading of the prompts
    limit: int  # the most tokens that are written, one at least
    seed: int = 0  # of what is drawn, the same for each set
    vectors: tuple[Vector | None, ...] = ()  # one a set, added to the hidden states of its streams; or none at all

    def __post_init__(self) -> None:
        """Refuse what cannot be mixed: a head's bias counts once, so the weights have to."""
        if not all(map(len, self.streams)):
            raise ValueError("a stream without a token")
        if self.vectors and len(self.vectors) != len(self.weights):
            raise ValueError("vectors that are not one a set of weights")
        if self.vectors and min(map(len, self.streams)) == 1:
            raise ValueError("a stream of one token, which is read and steered at once")
        if any(len(each) != len(self.streams) or abs(sum(each) - 1) > _CLOSE for each in self.weights):
            raise ValueError("weights that are not one a stream, with the sum 1")


@dataclass(frozen=True)
class Written:
    """What came of one set of weights."""

    ids: list[int]  # without the token that ended it
    finish: str  # end, limit or failed
    error: str | None = None


class Reading(NamedTuple):
    """A stream as it is read: whole, or without its last token; plainly, or steered."""

    place: int  # of its request among all
    stream: int
    whole: bool = True
    rule: int = -1  # of the set whose vector it is read with; -1: with none


@dataclass(eq=False)
class Task:
    """One set of weights of one request, on its way."""

    place: int  # of the request among all
    rule: int
    request: Request
    weights: dict[int, float]  # by stream
    draw: Random
    vector: Vector | None = None
    ids: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, place: int, rule: int, request: Request) -> "Task":
        """Of streams that say the same the first is enough, and what weighs nothing need not be run."""
        first = {ids.tobytes(): stream for stream, ids in reversed([*enumerate(request.streams)])}
        weights = dict.fromkeys(sorted(first.values()), 0.0)
        for ids, weight in zip(request.streams, request.weights[rule], strict=True):
            weights[first[ids.tobytes()]] += weight
        kept = {stream: weight for stream, weight in weights.items() if weight}
        vector = request.vectors[rule] if request.vectors else None
        return cls(place, rule, request, kept, Random(request.seed), vector)

    def length(self) -> int:
        """Of its longest prompt."""
        return max(len(self.request.streams[stream]) for stream in self.weights)

    def size(self) -> int:
        """How long that may become."""
        return self.length() + self.request.limit

    def reading(self, stream: int, steering: Steering | None) -> Reading:
        """How a stream is read."""
        if self.vector is None or steering is None:
            return Reading(self.place, stream)
        return Reading(self.place, stream, steering.reads_whole, self.rule if steering.positions == "all" else -1)

    def pushed(self, steering: Steering | None) -> bool:
        """Whether its next step is steered."""
        return self.vector is not None and steering is not None and not (steering.positions == "last" and self.ids)

    def last(self, stream: int) -> int:
        """The token that a stream goes on from."""
        return self.ids[-1] if self.ids else int(self.request.streams[stream][-1])

    def again(self) -> "Task":
        """The same, from its beginning."""
        return self.of(self.place, self.rule, self.request)

    def take(self, token: int | None, ends: frozenset[int]) -> Written | None:
        """Go on with a token, or come to an end."""
        if token is None:
            return Written(
                self.ids, "failed", "the model gives logits that are no numbers: try another --dtype, or steer less"
            )
        if token in ends:
            return Written(self.ids, "end")
        self.ids.append(token)
        return Written(self.ids, "limit") if len(self.ids) == self.request.limit else None
