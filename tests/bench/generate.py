"""Writing with several streams a request, as steerx does it: against other ways, in time.

    make bench            (or: python tests/bench/generate.py [--runs 3])

Every way is a process of its own; the ways take turns. Written to tests/bench/results/generate.md. Needs Linux, which
alone tells the peak of a part of a run.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import median

import torch

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench import generate_peers as peers
from bench.generate_inputs import (
    LONG,
    Lengths,
    Model,
    Requests,
    cut,
    demo_model,
    demo_requests,
    drawn,
    one_stream,
    random_model,
    two_streams,
)
from bench.generate_same import BATCHES, NEAR, Agreement, agreement, refuse_far
from bench.score_inputs import SMALL, TINY
from bench.score_tokens import Aim, few, memory
from bench.turns import Figures, Way, apart, middle, times, write_page
from steerx_cli.lm.request import Request

RESULTS = Path(__file__).parent / "results" / "generate.md"

# --- what is compared -------------------------------------------------------------------------------------------------

Streams = Callable[[Sequence[Request]], Sequence[Request]]


def three_streams(requests: Sequence[Request]) -> Sequence[Request]:
    """All there are."""
    return requests


@dataclass(frozen=True)
class Peer:
    """A way, and which of the streams it is given."""

    prepare: peers.Prepare
    streams: Streams


WAYS: Mapping[str, Peer] = {
    "steerx": Peer(peers.steerx, three_streams),
    "unsteered": Peer(peers.unsteered, one_stream),
    "processor": Peer(peers.processor, three_streams),
    "steerx, two streams": Peer(peers.steerx, two_streams),
    "published, two streams": Peer(peers.published, two_streams),
    "steerx, one stream": Peer(peers.steerx, one_stream),
}


@dataclass(frozen=True)
class Case:
    """Requests, and how many of them are written at once."""

    requests: Requests
    batch: int
    left_out: frozenset[str] = frozenset()  # ways that say nothing new here
    few: bool = False  # it takes long


HALVED = LONG.halved
SHORT = Lengths(history=(64, 128), style=(32, 64), nothing=(16, 32), written=(32, 32))
CASES = {
    "1 request": Case(partial(drawn, 1, LONG, SMALL), 1),
    "8 requests": Case(partial(drawn, 8, LONG, SMALL), 8),
    "32 requests": Case(partial(drawn, 32, HALVED, SMALL), 32, frozenset({"steerx, one stream"}), few=True),
    "24 requests in 8 slots": Case(
        partial(drawn, 24, replace(HALVED, written=(4, 64)), SMALL),
        8,
        frozenset({"steerx, two streams", "published, two streams", "steerx, one stream"}),
    ),
}

# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One way's run of one case, from when it is loaded and warm."""

    figures: Figures
    tokens: peers.Tokens


def run(way: str, model: Model, cases: Mapping[str, Case]) -> dict[str, Told]:
    """One way's turn."""
    torch.set_num_threads(1)
    made, peer = model(), WAYS[way]
    return {name: _told(peer.prepare(made, case.batch), peer.streams(case.requests())) for name, case in cases.items()}


def _told(write: peers.Write, requests: Sequence[Request]) -> Told:
    write(cut(requests[:1], prompt=8, written=2))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    cpu, wall = time.process_time(), time.monotonic()
    tokens = write(requests)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    return Told(Figures(cpu=cpu, wall=wall, peak=memory("VmHWM")), tokens)


Taken = Mapping[str, Sequence[Told]]  # by way


def in_turns(cases: Mapping[str, Case], model: Model, runs: int) -> dict[str, Taken]:
    """Every case by every way that says something there, so many times."""
    taken: dict[str, dict[str, list[Told]]] = {
        name: {way: [] for way in WAYS if way not in case.left_out} for name, case in cases.items()
    }
    for turn in range(runs):
        now = {name: case for name, case in cases.items() if turn < few(runs) or not case.few}
        for way in WAYS:
            some = {name: case for name, case in now.items() if way in taken[name]}
            for name, told in apart(Way(partial(run, way, model, some)))[1].items():
                taken[name][way].append(told)
    return {**taken}


def near_ties(cases: Mapping[str, Case], model: Model, found: Mapping[str, Taken]) -> int:
    """In how many comparisons of a request two ways wrote other tokens, all after near ties, or this ends here."""
    return sum(
        refuse_far(f"{one} and {two}, {name}", model, partial(_given, case, one), first.tokens, other.tokens)
        for name, case in cases.items()
        for one, first, two, other in _to_be_the_same(found[name])
    )


def _given(case: Case, way: str) -> list[Request]:
    return [*WAYS[way].streams(case.requests())]


def _to_be_the_same(taken: Taken) -> Iterator[tuple[str, Told, str, Told]]:
    """Every run beside the first of a way that is given the same streams."""
    for streams in {peer.streams for peer in WAYS.values()}:
        runs = [(way, told) for way in taken if WAYS[way].streams is streams for told in taken[way]]
        yield from ((*runs[0], *other) for other in runs[1:])


# --- the page ---------------------------------------------------------------------------------------------------------


def slower(taken: Taken, way: str, base: str) -> float:
    """How many times the other's processor time a way takes."""
    return times({name: [one.figures for one in told] for name, told in taken.items()}, way, base)


def aims(found: Mapping[str, Taken]) -> str:
    """What was to be reached."""
    eight, queue = found["8 requests"], found["24 requests in 8 slots"]
    base = "that of `unsteered`"
    return "\n".join(
        str(aim)
        for aim in (
            Aim(f"Time of `steerx` ÷ {base}, 8 requests", 1.25, slower(eight, "steerx", "unsteered"), most=True),
            Aim(f"Time of `steerx` ÷ {base}, lengths vary", 0.9, slower(queue, "steerx", "unsteered"), most=True),
            Aim(
                "Time of `published` ÷ that of `steerx, two streams`, 8 requests",
                2.5,
                slower(eight, "published, two streams", "steerx, two streams"),
            ),
        )
    )


def table(found: Mapping[str, Taken]) -> str:
    """A row for each case and way."""
    lines = ["| requests | way | cpu s | wall s | peak MiB | tokens / cpu s | cpu ÷ unsteered |", "|---" * 7 + "|"]
    for case, taken in found.items():
        for way, told in taken.items():
            figures, tokens = middle([one.figures for one in told]), sum(map(len, told[0].tokens))
            cells = f"{figures['cpu']:.2f} | {figures['wall']:.2f} | {figures['peak']:.0f}"
            speed, ratio = tokens / figures["cpu"], slower(taken, way, "unsteered")
            lines.append(f"| {case} | {way} | {cells} | {speed:.0f} | {ratio:.2f} |")
    return "\n".join(lines)


def agreements_table(found: Mapping[str, Agreement]) -> str:
    """A row for each model and dtype."""
    pairs = [*combinations(BATCHES, 2)]
    heads = [f"{one} and {two}" for one, two in pairs]
    lines = [f"| model | {' | '.join(heads)} | same tokens before the first other one, median |"]
    lines.append("|---" * (2 + len(heads)) + "|")
    for name, told in found.items():
        cells = [f"{len(told.parted[pair])} of {told.requests}" for pair in pairs]
        before = [each.token for pair in pairs for each in told.parted[pair]]
        lines.append(f"| {name} | {' | '.join(cells)} | {f'{median(before):g}' if before else 'all'} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Found:
    """Everything that was measured."""

    cases: Mapping[str, Taken]
    near: int
    agreements: Mapping[str, Agreement]


def page(found: Found, runs: int) -> str:
    """The figures as Markdown."""
    compared = sum(len(other.tokens) for taken in found.cases.values() for *_, other in _to_be_the_same(taken))
    return f"""\
# Writing with several streams a request, as steerx does it

Written by `make bench` on {os.cpu_count()} CPU cores, of which each way uses one: two of a machine that others use,
too, say little. A way's turn is a process of its own; the clock of each case starts when the model is loaded and warm.
Figures are medians, of {few(runs)} runs for 32 requests and {runs} otherwise. The ways take turns, and a ratio is the
median of what each turn says.

The model is a decoder of Qwen3's kind with random weights in float32, {SMALL.name}; the head is
{100 * SMALL.share:.0f} % of its matrix work. What can be gained by mixing streams before the head depends on that: it
is 8 % in Qwen3-8B.

Prompts are random tokens from a seed: {_prompts()}; those of 32 and of
24 requests are half as long at the most. Nothing ends what is written before its 64 tokens; of 24 requests each has a
length of its own, from 4 to 64 tokens.

- `steerx`: H + λ(S − ∅), three streams
- `unsteered`: `generate()` of transformers on H alone, in batches as the requests come, each to its longest
- `processor`: the same with S and ∅ in a logits processor, each in a cached forward of its own
- `published`: the algorithm of Context Steering's authors, for the two streams of H + λ(H − ∅): one
  `generate(max_new_tokens=1)` a stream a token, with a cache

{table(found.cases)}

{aims(found.cases)}

Ways that are given the same streams must choose the same tokens, or this page is not written: of {compared:,} times
that a request was written again {found.near} parted from the first. Only where two logits are closer than {NEAR:g} may
they do that.

## Batch sizes

What is written hangs on nothing but the request, up to rounding. These are requests that were given other tokens where
another number of them was written at once. In float32 only near ties may do that, or this page is not written; in
bfloat16 a logit has eight bits of precision, so that ties and near ties are common. With random weights all words are
nearly equally probable: that is the worst there can be. The demo's model is trained, and its requests are a query of
each of its people: given two texts of the person's, given one of them in a description's place, and alone.

{agreements_table(found.agreements)}
"""


def _prompts() -> str:
    return ", ".join(
        f"{name} of {least} to {most}"
        for name, (least, most) in (("H", LONG.history), ("S", LONG.style), ("∅", LONG.nothing))
    )


def bench(runs: int) -> Found:
    """Every way, in turns."""
    model = partial(random_model, SMALL)
    found = in_turns(CASES, model, runs)
    return Found(found, near_ties(CASES, model, found), agreements())


def agreements() -> dict[str, Agreement]:
    """Both models in both dtypes."""
    models = {f"random weights, {TINY.name}": (partial(random_model, TINY), partial(drawn, 32, SHORT, TINY))}
    models["the demo's"] = partial(demo_model), partial(demo_requests, 32, 32)
    return {
        f"{name}, {dtype}".replace("torch.", ""): agreement(partial(model, dtype), asked, dtype is torch.float32)
        for name, (model, asked) in models.items()
        for dtype in (torch.float32, torch.bfloat16)
    }


if __name__ == "__main__":
    write_page(__doc__ or "", lambda runs: page(bench(runs), runs), RESULTS)
