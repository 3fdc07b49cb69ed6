"""Writing with a vector a row: every way in its turn, whether they write the same, and what that took."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median

import torch

from bench import generate_peers
from bench import steering_peers as peers
from bench.generate_inputs import cut, random_model
from bench.generate_same import refuse_far
from bench.score_inputs import SMALL
from bench.score_tokens import Aim, memory
from bench.steering_inputs import PROMPT, ROWS, pushed, with_vectors, without
from bench.turns import Figures, Way, apart, middle, times
from steerx_cli.lm.request import Request
from steerx_cli.lm.steer import Positions

# --- what is compared -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """A way to write, and the tokens that it adds vectors to."""

    prepare: generate_peers.Prepare
    positions: Positions | None
    passes: int = 1  # in a turn; more where a few per cent count
    turns: int | None = 2  # at the most
    same: int = ROWS  # of the first rows, whose vectors are those of the other ways


GENERATED, ALL = partial(peers.steerx, "generated"), partial(peers.steerx, "all")
SV, SV_ROWS = partial(peers.generate, peers.one_vector), partial(peers.generate, peers.by_operator)
REPENG, REPENG_ROWS = partial(peers.generate, peers.control_vector), partial(peers.generate, peers.raw_control)
OWN, UNSTEERED, SINGLE = "steerx", "steerx, unsteered", "steerx, user by user"
WAYS: Mapping[str, Peer] = {
    OWN: Peer(GENERATED, "generated", passes=2, turns=None),
    UNSTEERED: Peer(partial(peers.steerx, None), None, passes=2, turns=None),
    "steerx, all positions": Peer(ALL, "all"),
    "generate(), unsteered": Peer(generate_peers.unsteered, None),
    "hook": Peer(partial(peers.generate, peers.hook), "generated"),
    "steering-vectors, one vector": Peer(SV, "all", same=1),
    "steering-vectors, a vector a row": Peer(SV_ROWS, "all"),
    "repeng, a vector a row": Peer(REPENG_ROWS, "all"),
    SINGLE: Peer(partial(peers.one_by_one, GENERATED), "generated", turns=1),
    "steering-vectors, user by user": Peer(partial(peers.one_by_one, SV), "all", turns=1),
    "repeng, user by user": Peer(partial(peers.one_by_one, REPENG), "all", turns=1),
}

# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One way's turn, from when it is loaded and warm."""

    figures: Figures
    first: float  # seconds of processor time until each row had one token
    tokens: generate_peers.Tokens

    @property
    def rest(self) -> float:
        """Seconds of processor time for the other tokens."""
        return self.figures["cpu"] - self.first


def asked(peer: Peer) -> list[Request]:
    """What it is given."""
    return with_vectors() if peer.positions else without(with_vectors())


def turn(way: str) -> Told:
    """Everything, and the first tokens alone, so many times."""
    torch.set_num_threads(1)
    peer = WAYS[way]
    write, requests = peer.prepare(random_model(SMALL), ROWS), asked(peer)
    timed(write, cut(requests[:1], prompt=8, written=2))
    begun = cut(requests, max(PROMPT), 1)
    taken = [(timed(write, requests), timed(write, begun)) for _ in range(peer.passes)]
    figures, first = ([told[0] for told in some] for some in zip(*taken, strict=True))
    return Told(middle(figures), middle(first)["cpu"], taken[0][0][1])


def timed(write: generate_peers.Write, requests: Sequence[Request]) -> tuple[Figures, generate_peers.Tokens]:
    """Write once."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    cpu, wall = time.process_time(), time.monotonic()
    tokens = write(requests)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return Figures(cpu=cpu, wall=wall, peak=memory("VmHWM")), tokens


Taken = Mapping[str, Sequence[Told]]  # by way


def in_turns(runs: int) -> Taken:
    """Every way, as often as it is to be run."""
    taken: dict[str, list[Told]] = {way: [] for way in WAYS}
    for number in range(runs):
        for way, peer in WAYS.items():
            if peer.turns is None or number < peer.turns:
                taken[way].append(apart(Way(partial(turn, way)))[1])
    return taken


# --- whether they write the same --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Same:
    """How often rows were written again by ways that add the same, and how often that parted, after near ties."""

    compared: int
    near: int


def same(taken: Taken) -> Same:
    """Hold every run against the first that adds vectors to the same tokens; or this ends here."""
    groups = groupby(sorted(WAYS, key=_places), key=_places)
    pairs = [pair for _, ways in groups for pair in _pairs(taken, [*ways])]
    refuse_idle(taken)
    return Same(sum(rows for *_, rows in pairs), sum(_near(*pair) for pair in pairs))


def _places(way: str) -> str:
    return str(WAYS[way].positions)


Pair = tuple[str, Told, str, Told, int]  # two ways, what they wrote, and how many of the rows are to be the same


def _pairs(taken: Taken, ways: Sequence[str]) -> Iterator[Pair]:
    runs = [(way, told) for way in ways for told in taken[way]]
    yield from ((*runs[0], way, told, WAYS[way].same) for way, told in runs[1:])


def _near(one: str, first: Told, two: str, other: Told, rows: int) -> int:
    """How many rows parted, each by the margin of the obvious computation with its own vector."""
    positions = WAYS[one].positions
    return sum(
        refuse_far(f"{one} and {two}", partial(pushed, request, positions), partial(list, [request]), [a], [b])
        for request, a, b in [*zip(asked(WAYS[one]), first.tokens, other.tokens, strict=True)][:rows]
    )


def refuse_idle(taken: Taken) -> None:
    """Vectors that change nothing would show nothing."""
    steered, plain = taken[OWN][0].tokens, taken[UNSTEERED][0].tokens
    if any(one == two for one, two in zip(steered, plain, strict=True)):
        raise SystemExit("a vector does not change what is written: nothing would be shown")


# --- the figures ------------------------------------------------------------------------------------------------------


def as_long(taken: Taken, way: str, base: str) -> float:
    """How many times the other's processor time a way takes, in the turns that both had."""
    both = min(len(taken[way]), len(taken[base]))
    return times({name: [one.figures for one in taken[name][:both]] for name in (way, base)}, way, base)


def rest(taken: Taken, way: str, base: str) -> float:
    """The same once every row has its first token."""
    return median(one.rest / two.rest for one, two in zip(taken[way], taken[base], strict=False))


def table(taken: Taken) -> str:
    """A row for each way."""
    heads = f"| way | adds to | turns | cpu s | first, cpu s | wall s | peak MiB | cpu ÷ `{UNSTEERED}` | the rest |"
    lines = [heads, "|---" * 9 + "|"]
    for way, told in taken.items():
        figures, first = middle([one.figures for one in told]), median(one.first for one in told)
        cells = f"{figures['cpu']:.2f} | {first:.2f} | {figures['wall']:.2f} | {figures['peak']:.0f}"
        ratios = f"{as_long(taken, way, UNSTEERED):.2f} | {rest(taken, way, UNSTEERED):.2f}"
        lines.append(f"| {way} | {WAYS[way].positions or 'none'} | {len(told)} | {cells} | {ratios} |")
    return "\n".join(lines)


def aims(taken: Taken) -> str:
    """What was to be reached."""
    cost = Aim(f"Time of `{OWN}` ÷ that of `{UNSTEERED}`", 1.03, as_long(taken, OWN, UNSTEERED), most=True)
    single = Aim(f"Time of `{SINGLE}` ÷ that of `{OWN}`", 8, as_long(taken, SINGLE, OWN))
    return f"{cost}\n{single}; behind the first tokens {rest(taken, SINGLE, OWN):.2f}"
