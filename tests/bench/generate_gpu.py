"""Writing with several streams a request on a GPU: how far from what its memory's speed allows.

    make bench-gpu PYTHON=/path/to/python      (or: that python tests/bench/generate_gpu.py)

Needs torch, transformers and pyarrow in that Python, and installs nothing. The model has Qwen3-8B's shape and random
weights in bfloat16. Written to tests/bench/results/generate_gpu.md, if there is a GPU. Everything but the GPU's own can
be tried without one: --device cpu --shape tiny --requests 4 --prompts 40 20 10 --written 8
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import transformers

sys.path.append(str(Path(__file__).parents[2] / "src"))  # that Python need not have steerx
sys.path.append(str(Path(__file__).parents[1]))
from bench import generate_peers as peers
from bench.generate_inputs import Lengths, cut, drawn, one_stream, random_model, two_streams
from bench.generate_same import partings
from bench.score_inputs import TINY, Shape
from bench.score_tokens import Aim
from steerx_cli.lm.request import Request

RESULTS = Path(__file__).parent / "results" / "generate_gpu.md"
SHAPES = {"8b": Shape("of Qwen3-8B's shape", 36, 4096, 32, 8, 128, 12_288, 151_936, False), "tiny": TINY}
STATED = {"H200": 4.8e12, "H100": 3.35e12}  # bytes a second, by their maker
SOME, FEW_TOKENS, AT_ONCE = 16, 64, 8  # of what is written again, fewer at once

# --- one way ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a way wrote, and how long that took."""

    requests: Sequence[Request]
    reading: float  # seconds until each had its first token
    step: float  # seconds for one token more of each
    tokens: peers.Tokens

    @property
    def read(self) -> float:
        """Tokens of prompts in a second."""
        return sum(len(ids) for one in self.requests for ids in one.streams) / self.reading

    @property
    def written(self) -> float:
        """Tokens that are written in a second, once the prompts are read."""
        return len(self.requests) / self.step


def run(write: peers.Write, requests: Sequence[Request], wait: Callable[[], None]) -> Told:
    """Everything once, after a few tokens to get warm."""
    longest, written = max(len(ids) for one in requests for ids in one.streams), requests[0].limit
    write(cut(requests[:2], longest, 3))
    reading, _ = _timed(write, cut(requests, longest, 1), wait)
    whole, tokens = _timed(write, requests, wait)
    return Told(requests, reading, (whole - reading) / (written - 1), tokens)


def _timed(write: peers.Write, requests: Sequence[Request], wait: Callable[[], None]) -> tuple[float, peers.Tokens]:
    wait()
    start = time.monotonic()
    tokens = write(requests)
    wait()
    return time.monotonic() - start, tokens


def as_many_as_fit(prepare: peers.Prepare, asked: Sequence[Request], bench: "Bench") -> Told:
    """Half as many requests as long as there is no memory for them."""
    requests = asked
    while True:
        try:
            return run(prepare(bench.model, len(requests)), requests, bench.wait)
        except torch.OutOfMemoryError:
            if len(requests) == 1:
                raise
            requests = requests[: len(requests) // 2]
        torch.cuda.empty_cache()


# --- all ways ---------------------------------------------------------------------------------------------------------


class Bench:
    """A model on a device."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape, self.device = shape, device
        with device:
            self.model = random_model(shape, torch.bfloat16)
        self.tally: Counter[str] = Counter()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def steerx(self, played: bool, model: transformers.PreTrainedModel, batch: int) -> peers.Write:
        """Steps recorded and played back, or told to the GPU one operation after the other."""
        own = peers.decoder(model, batch)
        if not played:
            own.record = None
        elif self.device.type == "cpu":
            own.record = lambda work: work  # so that this way, too, can be tried there

        def write(requests: Sequence[Request]) -> peers.Tokens:
            found, tally = own.write(requests)
            if tally["batches halved for memory"]:
                raise torch.OutOfMemoryError  # as for the ways that do not try again
            self.tally.update({name: count for name, count in tally.items() if name.startswith("batches")})
            return [written.ids for (written,) in found]

        return write

    def all(self, three: Sequence[Request]) -> dict[str, Told]:
        """Every way on its streams of these requests."""
        one, two = one_stream(three), two_streams(three)
        ways: dict[str, tuple[peers.Prepare, Sequence[Request]]] = {
            "steerx": (partial(self.steerx, True), three),
            "steerx, not recorded": (partial(self.steerx, False), three),
            "processor": (peers.processor, three),
            "steerx, two streams": (partial(self.steerx, True), two),
            "published, two streams": (peers.published, two),
            "steerx, one stream": (partial(self.steerx, True), one),
            "unsteered": (peers.unsteered, one),
        }
        found = {}
        for name, (prepare, asked) in ways.items():
            found[name] = as_many_as_fit(prepare, asked, self)
            print(f"{name}: {1000 * found[name].step:.2f} ms a step", flush=True)
        return found

    def fewer_at_once(self, three: Sequence[Request]) -> peers.Tokens:
        """Some of it again."""
        longest = max(len(ids) for one in three for ids in one.streams)
        return self.steerx(True, self.model, AT_ONCE)(cut(three[:SOME], longest, FEW_TOKENS))


# --- what the memory's speed allows -----------------------------------------------------------------------------------


def copied(bench: Bench) -> float:
    """Bytes that a copy reads and writes in a second."""
    count = 2**32 if bench.device.type == "cuda" else 2**26
    old, new = (torch.zeros(count, dtype=torch.uint8, device=bench.device) for _ in range(2))
    times = []
    for _ in range(5):
        bench.wait()
        start = time.monotonic()
        new.copy_(old)
        bench.wait()
        times.append(time.monotonic() - start)
    return 2 * count / min(times)


def floor(shape: Shape, requests: Sequence[Request], speed: float) -> float:
    """Seconds a step, if it only read every weight once, and what the rows hold, as it is on average."""
    weights = shape.body + shape.head
    a_token = 2 * shape.layers * shape.key_heads * shape.head_width
    held = sum(len(ids) + one.limit / 2 for one in requests for ids in one.streams)
    return 2 * (weights + held * a_token) / speed  # a number in bfloat16 is two bytes


# --- the page ---------------------------------------------------------------------------------------------------------


def table(found: Mapping[str, Told], shape: Shape, speed: float) -> str:
    """A row for each way."""
    heads = "| way | requests | read, tokens / s | step ms | written, tokens / s | floor ms | of the floor's speed |"
    lines = [heads, "|---" * 7 + "|"]
    for way, told in found.items():
        least = floor(shape, told.requests, speed)
        cells = f"{len(told.requests)} | {told.read:,.0f} | {1000 * told.step:.2f} | {told.written:,.0f}"
        lines.append(f"| {way} | {cells} | {1000 * least:.2f} | {100 * least / told.step:.0f} % |")
    return "\n".join(lines)


def agreements(found: Mapping[str, Told], fewer: peers.Tokens) -> str:
    """A line for each two ways that are given the same streams."""
    pairs = [
        ("steerx", "steerx, not recorded"),
        ("steerx", "processor"),
        ("steerx, two streams", "published, two streams"),
        ("steerx, one stream", "unsteered"),
    ]
    compared = {f"`{one}` and `{two}`": (found[one].tokens, found[two].tokens) for one, two in pairs}
    same = [tokens[:FEW_TOKENS] for tokens in found["steerx"].tokens]
    compared[f"`steerx`, {len(found['steerx'].tokens)} and {AT_ONCE} requests at once, {FEW_TOKENS} tokens"] = (
        same,
        fewer,
    )
    return "\n".join(f"- {what}: {_parted(one, two)}" for what, (one, two) in compared.items())


def _parted(one: peers.Tokens, two: peers.Tokens) -> str:
    both = min(len(one), len(two))
    return f"{len(partings(one[:both], two[:both]))} of {both} requests"


def page(bench: Bench, requests: Sequence[Request], found: Mapping[str, Told], fewer: peers.Tokens) -> str:
    """The figures as Markdown."""
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else "a CPU, only to try this out"
    measured = copied(bench)
    speed = next((stated for part, stated in STATED.items() if part in name), measured)
    own = found["steerx"]
    share = floor(bench.shape, own.requests, speed) / own.step
    prompts = ", ".join(str(len(ids)) for ids in requests[0].streams)
    counted = ", ".join(f"{what}: {count}" for what, count in bench.tally.items() if count) or "none"
    return f"""\
# Writing with several streams a request, on a GPU

Written by `make bench-gpu` on {name}, with torch {torch.__version__} and transformers {transformers.__version__}. The
model is a decoder {bench.shape.name} with random weights in bfloat16; the head is {100 * bench.shape.share:.0f} % of
its matrix work. There are {len(requests)} requests: H, S and ∅ of {prompts} random tokens, and {requests[0].limit} new
tokens each. All are written at once, or half as many as long as there is no memory for them.

`floor` is the time in which the memory can be read of what a step needs, at {speed / 1e12:.2f} TB/s, were it one
forward for all streams: every weight once, and the keys and values of all rows as they are on average. A copy here
reads and writes {measured / 1e12:.2f} TB/s. The ways are those of [`make bench`](generate.md); `not recorded` is steerx
without CUDA graphs.

{table(found, bench.shape, speed)}

{Aim("The floor's time ÷ that of `steerx`", 0.5, share)}

What steerx had to do in another way than planned: {counted}.

## Tokens that differ

Requests that were given other tokens by two ways that do the same but for rounding. Random weights make all words
nearly equally probable, so that in bfloat16 near ties are common.

{agreements(found, fewer)}
"""


def main() -> None:
    """Measure and print; on a GPU, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", choices=SHAPES, default="8b")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--prompts", type=int, nargs=3, default=(2000, 400, 300), metavar=("H", "S", "∅"))
    parser.add_argument("--written", type=int, default=256)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU here: nothing was measured", file=sys.stderr)
        raise SystemExit(2)
    shape, sizes = SHAPES[asked.shape], [(length, length) for length in (*asked.prompts, asked.written)]
    requests = drawn(asked.requests, Lengths(*sizes), shape)
    bench = Bench(shape, device)
    found = bench.all(requests)
    text = page(bench, requests, found, bench.fewer_at_once(requests))
    print(text)
    if device.type == "cuda":
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
