"""log p of texts as `steerx score-tokens` has it: against other ways, in time and in memory.

    make bench            (or: python tests/bench/score_tokens.py [--runs 3])

Every measured run is a process of its own; the ones compared take turns. Written to
tests/bench/results/score_tokens.md. Needs Linux, which alone tells the peak of a part of a run.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench import score_peers as peers
from bench.score_inputs import QWEN, SMALL, TINY, Shape, Texts, all_others, make_model, pairs, queries
from bench.score_shares import PARTS, shares
from bench.turns import Figures, Way, apart, middle, times, write_page
from steerx_cli.lm.score import Asked

RESULTS = Path(__file__).parent / "results" / "score_tokens.md"
CLOSE = 1e-4  # nats; sums of float32 in another order differ in their last digits
HISTORIES = (8, 32, 64)
COMPARED = 8  # of a user's histories in the order `tree`, which no other way has

# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One run of one way, from when its model is loaded and warm."""

    figures: Figures
    above: float  # MiB that the peak is above what the process held then
    values: peers.LogP
    tokens: int  # that went through the model


def run(prepare: peers.Prepare, texts: Texts, shape: Shape) -> Told:
    """One way's log p of texts, and what that took."""
    torch.set_num_threads(1)
    score, asked = prepare(make_model(shape)), texts(shape)
    score([Asked(asked[0].before[:8], asked[0].text[:8])])
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    held, cpu, wall = memory("VmRSS"), time.process_time(), time.monotonic()
    values, tokens = score(asked)
    figures = Figures(cpu=time.process_time() - cpu, wall=time.monotonic() - wall, peak=memory("VmHWM"))
    return Told(figures, figures["peak"] - held, values, tokens)


def memory(name: str) -> float:
    """Of this process, in MiB, under Linux's name for it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


Taken = Mapping[str, Sequence[Told]]


def in_turns(ways: Mapping[str, Way], runs: int) -> dict[str, list[Told]]:
    """Run each so many times."""
    taken: dict[str, list[Told]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            taken[name].append(apart(way)[1])
    return taken


def refuse_unequal(ways: str, found: Sequence[peers.LogP]) -> None:
    """All must tell the same log p of every token."""
    first, *others = [[value for some in values for value in some] for values in found]
    for values in others:
        if not all(abs(one - two) <= CLOSE for one, two in zip(first, values, strict=True)):
            raise SystemExit(f"{ways} do not tell the same log p")


def values_of(taken: Taken, *ways: str) -> list[peers.LogP]:
    """What these ways told, in every turn."""
    return [told.values for way in ways for told in taken[way]]


# --- what is compared -------------------------------------------------------------------------------------------------


def compare(prepared: Mapping[str, peers.Prepare], texts: Texts, shape: Shape, runs: int) -> Taken:
    """Ways to the same log p of the same texts."""
    taken = in_turns({name: Way(partial(run, prepare, texts, shape)) for name, prepare in prepared.items()}, runs)
    refuse_unequal(", ".join(taken), values_of(taken, *taken))
    return taken


PAIRS: Mapping[str, peers.Prepare] = {"steerx": peers.steerx, "one": peers.one_by_one, "padded": peers.padded}
QUERIES: Mapping[str, peers.Prepare] = {"steerx": peers.steerx, "one": peers.targets_only, "distinct": peers.distinct}
PAIRS_SMALL, PAIRS_QWEN, OF_USERS = partial(pairs, 10, 48), partial(pairs, 2, 16), partial(queries, 100, 4)


def compare_orders(count: int, runs: int) -> Taken:
    """All of a user's histories, in both orders of steerx's and without its tree."""
    given, tree = partial(all_others, count, "given"), partial(all_others, count, "tree")
    ways = {
        "steerx, tree": Way(partial(run, peers.steerx, tree, SMALL)),
        "steerx, given": Way(partial(run, peers.steerx, given, SMALL)),
        "plain": Way(partial(run, peers.targets_only, given, SMALL)),
    }
    taken = in_turns(ways, runs)
    refuse_unequal("steerx, given, and plain", values_of(taken, "steerx, given", "plain"))
    step = count // COMPARED
    plain: Told = apart(Way(partial(run, peers.targets_only, partial(some_of, tree, step), SMALL)))[1]
    refuse_unequal(
        "steerx, tree, and plain in that order",
        [plain.values, *(values[::step] for values in values_of(taken, "steerx, tree"))],
    )
    return taken


def some_of(texts: Texts, step: int, shape: Shape) -> list[Asked]:
    """Every so manieth of them."""
    return texts(shape)[::step]


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aim:
    """What was to be reached, and what was measured."""

    what: str
    wanted: float
    found: float
    most: bool = False  # whether it is to be no more than that, not no less

    def __str__(self) -> str:
        """A line of a list."""
        reached = self.found <= self.wanted if self.most else self.found >= self.wanted
        bound = "at most" if self.most else "at least"
        return f"- {self.what}: {bound} {self.wanted:g}; measured {self.found:.2f}: {'' if reached else 'not '}reached"


def slower(taken: Taken, way: str, base: str) -> float:
    """How many times the other's processor time a way takes."""
    return times({name: [one.figures for one in told] for name, told in taken.items()}, way, base)


def larger(taken: Taken, way: str, base: str) -> float:
    """How many times the other's memory a way takes, beside its model."""
    return median(one.above / two.above for one, two in zip(taken[way], taken[base], strict=True))


def matrix_work(taken: Taken, way: str, shape: Shape) -> float:
    """How many times steerx's matrix work a way does that puts every token through the head."""
    own, other = taken["steerx"][0], taken[way][0]
    foretold = sum(map(len, own.values))
    return other.tokens * (shape.body + shape.head) / (own.tokens * shape.body + foretold * shape.head)


def table(label: str, found: Mapping[str, Taken], base: str) -> str:
    """A row for each case and way."""
    lines = [f"| {label} | way | cpu s | wall s | peak MiB | beside the model MiB | tokens run | cpu ÷ {base} |"]
    lines.append("|---" * 8 + "|")
    for case, taken in found.items():
        for way, told in taken.items():
            figures, above = middle([one.figures for one in told]), median(one.above for one in told)
            cells = f"{figures['cpu']:.2f} | {figures['wall']:.2f} | {figures['peak']:.0f} | {above:.0f}"
            ratio = slower(taken, way, base)
            lines.append(f"| {case} | {way} | {cells} | {told[0].tokens:,} | {ratio:.2f} |")
    return "\n".join(lines)


def shares_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each kind of work."""
    lines = [f"| part |{''.join(f' {case} |' for case in found)}", "|---" * (1 + len(found)) + "|"]
    lines += [f"| {part} |{''.join(f' {100 * of[part]:.0f} % |' for of in found.values())}" for part in PARTS]
    return "\n".join(lines)


def cased(shape: Shape) -> str:
    """A model, and what its head weighs."""
    return f"{shape.name} (head {100 * shape.share:.0f} %)"


@dataclass(frozen=True)
class Found:
    """Everything that was measured."""

    pairs: Mapping[str, Taken]  # by model
    queries: Taken
    all: Mapping[int, Taken]  # by how many histories there are
    shares: Mapping[str, Mapping[str, float]]


def pairs_aims(taken: Taken) -> list[Aim]:
    """On the small model."""
    return [
        Aim("Time of `one` ÷ steerx's, small model", 1.9, slower(taken, "one", "steerx")),
        Aim("Time of `padded` ÷ steerx's, small model", 4.5, slower(taken, "padded", "steerx")),
        Aim("Memory of `padded` beside the model ÷ steerx's, small model", 12, larger(taken, "padded", "steerx")),
    ]


def page(found: Found, runs: int) -> str:
    """The figures as Markdown."""
    most = max(found.all)
    tokens = {way: f"{told[0].tokens:,}" for way, told in found.queries.items()}
    shared = found.queries["steerx"][0].tokens / found.queries["distinct"][0].tokens
    small = found.pairs[cased(SMALL)]
    aims = "\n".join(map(str, pairs_aims(small)))
    least = {way: f"{matrix_work(small, way, SMALL):.2f}" for way in ("one", "padded")}
    return f"""\
# log p of texts, as `steerx score-tokens` has it

Written by `make bench` on {os.cpu_count()} CPU cores, of which each way uses one: two of a machine that others use,
too, say little. Every run is a process of its own; its clock starts, and its peak is counted, when its model is loaded
and warm. `beside the model` is what the peak is above the memory held then. Figures are medians, of {few(runs)} runs on
the largest model and {runs} otherwise. The ways take turns, and a ratio is the median of what each turn says: above 1,
steerx takes less.

Models are decoders of Qwen3's kind with random weights in float32, texts are random tokens, both from a seed. All ways
must tell the same log p, within {CLOSE:g} nats, or this page is not written. What can be gained depends on the
head's part of the matrix work, where it works on every token: it stands beside the models. It is 8 % of that of
Qwen3-8B.

## A text given others, and given none

10 texts of 48 to 144 tokens, each after a prompt with others and after one without, all of which begin with the same 48
tokens; on the larger model 2 texts, and a third of these lengths. `one` runs one sequence at a time and takes the
log_softmax of all its logits. `padded` is what is mostly written: eight sequences as they come, filled up to the
longest, with an attention mask, and the logits of all tokens.

{table("model", found.pairs, "steerx")}

{aims}

On the small model `one` does {least["one"]} times steerx's matrix work, `padded` {least["padded"]} times: a ratio of
times can be higher only where steerx's other work is a smaller part of the whole.

## Many queries of many users

100 users with 6 histories and 4 queries each, two histories a query, each given the other and given none. `one` runs
every sequence that is asked for, one at a time, with logits only where a token of the text is foretold; `distinct` runs
each sequence once. Together they have {tokens["one"]} tokens, the distinct ones {tokens["distinct"]}; steerx runs
{tokens["steerx"]}, because what sequences begin with together is run once.

{table("model", {cased(TINY): found.queries}, "steerx")}

{Aim("Tokens run ÷ tokens of the distinct sequences", 1, shared, most=True)}

## All of a user's histories

Each of a user's n histories of 12 to 24 tokens given all the others, on the small model: in both of steerx's orders,
and `plain`, one sequence at a time, with logits only where a token of the text is foretold.

{table("n", {str(count): taken for count, taken in found.all.items()}, "steerx, tree")}

{Aim(f"Time of `plain` ÷ that of `tree` at {most} histories", 6, slower(found.all[most], "plain", "steerx, tree"))}

## Where the rest of the time goes

Parts of steerx's time, by torch's profiler, in runs of their own. `linear layers` are the matrix work of the body,
`head` is everything from states to log p.

{shares_table(found.shares)}
"""


def few(runs: int) -> int:
    """How often the larger model is run."""
    return min(runs, 2)


def bench(runs: int) -> Found:
    """Every way, in turns."""
    work: dict[str, tuple[Texts, Shape]] = {
        f"pairs, {SMALL.name}": (PAIRS_SMALL, SMALL),
        f"pairs, {QWEN.name}": (PAIRS_QWEN, QWEN),
        f"queries, {TINY.name}": (OF_USERS, TINY),
        f"all, {SMALL.name}": (partial(all_others, max(HISTORIES), "tree"), SMALL),
    }
    return Found(
        pairs={
            cased(SMALL): compare(PAIRS, PAIRS_SMALL, SMALL, runs),
            cased(QWEN): compare(PAIRS, PAIRS_QWEN, QWEN, few(runs)),
        },
        queries=compare(QUERIES, OF_USERS, TINY, runs),
        all={count: compare_orders(count, runs) for count in HISTORIES},
        shares={name: apart(Way(partial(shares, *each)))[1] for name, each in work.items()},
    )


if __name__ == "__main__":
    write_page(__doc__ or "", lambda runs: page(bench(runs), runs), RESULTS)
