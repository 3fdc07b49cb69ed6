"""Steered hidden states: writing with a vector a row, states at a layer, and exported files, as steerx has them and
otherwise.

    make bench-steering   (or: python tests/bench/steering.py [--runs 3], where the toolkits of .ci/peers.txt are found)

Every way is a process of its own; the ways take turns. Written to tests/bench/results/steering.md. Needs Linux, which
alone tells the peak of a part of a run.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench import steering_hidden as states
from bench import steering_writing as writing
from bench.generate_same import NEAR
from bench.score_inputs import QWEN, SMALL
from bench.score_tokens import Taken, few, table
from bench.steering_files import LAYERS, read_back
from bench.steering_inputs import LAYER, LENGTHS, PROMPT, ROWS, WRITTEN
from bench.turns import Way, apart, write_page

RESULTS = Path(__file__).parent / "results" / "steering.md"


@dataclass(frozen=True)
class Found:
    """Everything that was measured."""

    rows: writing.Taken
    same: writing.Same
    pooled: Mapping[str, Taken]
    apart: float  # the states of two ways, at the most
    files: int


def page(found: Found, runs: int) -> str:
    """The figures as Markdown."""
    prompt, text = (f"{least} to {most}" for least, most in LENGTHS)
    again, near = f"{found.same.compared:,}", found.same.near
    apart_by = f"{found.apart:.0e}"
    gguf, layers = version("gguf"), ", ".join(map(str, LAYERS))
    return f"""\
# Steered hidden states, as steerx has them

Written by `make bench-steering` on {os.cpu_count()} CPU cores, of which each way uses one: two of a machine that others
use, too, say little. A way's turn is a process of its own; its clock starts when the model is loaded and warm. Figures
are medians of {runs} turns where nothing else is said, and a ratio is the median of what each turn says. Beside steerx
there are the toolkits steering-vectors {version("steering-vectors")} and repeng {version("repeng")}.

Models are decoders of Qwen3's kind with random weights in float32. The head is {100 * SMALL.share:.0f} % of the matrix
work of `small`, where it works on every token, {100 * QWEN.share:.0f} % in Qwen3-0.6B and 8 % in Qwen3-8B.

## Writing with a vector a row

{ROWS} prompts of {PROMPT[0]} to {PROMPT[1]} random tokens, {WRITTEN} new tokens each, on `small`. Behind layer {LAYER}
of {SMALL.layers} each row's own vector is added, random and about as long as the states there.

- `steerx`: all rows in one batch; `user by user`: one request after the other, as an interface forces that takes one
  vector
- `hook`: `generate()` of transformers on all rows, and a forward hook that adds each row's vector to its last token
- `steering-vectors`, `repeng`: `generate()` as patched by them. Both take one vector: `one vector` adds that of the
  first row to all rows, which then write something else; `user by user` is what their documentation leaves. `a vector
  a row` uses what it does not speak of: an `operator` of steering-vectors that gives all rows' vectors, and a tensor
  with a row for each in `set_raw_control` of repeng.

`generated` are the written tokens and the prompt's last, steerx's default; the toolkits add to `all` of a prompt's
tokens. `first` is the same with one new token, when mostly prompts are read, which takes about as long for many rows
at once as one after the other; `the rest` is what a way takes behind that, ÷ the same of `{writing.UNSTEERED}`.

{writing.table(found.rows)}

{writing.aims(found.rows)}

Ways that add the same vectors to the same tokens must choose the same tokens, or this page is not written: of {again}
times that a row was written again {near} parted from the first. Only where two logits are closer than {NEAR:g} may they
do that. Of `one vector` the first row is compared. There is no row that its vector does not change.

## Hidden states at a layer

Three texts of {text} random tokens behind each prompt of {prompt}: what a person wrote, what a description
gives, and what neither gives. 6 prompts on `small`, on the larger model 2 and a third of these lengths; medians of
{few(runs)} turns. The state is the mean over a text's tokens, or that of the last one.

- `padded`: eight texts as they come, filled up to the longest, through the whole model with
  `output_hidden_states=True`; `one`: one text at a time
- `no head`: as `padded`, through the body alone
- `stopped`: as `no head`, and a hook behind the layer ends the pass
- `steerx`: stopped, too, and what texts begin with together goes through the model once

{table("model, layer, pooling", found.pooled, "steerx")}

{states.aims(found.pooled)}

How many times as fast each step makes it:

{states.steps_table(found.pooled)}

All ways must tell the same states within {states.CLOSE:g}, or this page is not written. They are at most {apart_by}
apart.

## Files

`steerx export --format gguf` of vectors of layers {layers}, read back by `ControlVector.import_gguf` of repeng and by
`GGUFReader` of gguf {gguf}: {found.files} files, all equal to the bit, or this page is not written.
"""


def bench(runs: int) -> Found:
    """Everything; what may fail at once first."""
    files, equal = apart(Way(read_back))[1]
    if not 0 < files == equal:
        raise SystemExit(f"of {files} exported files {equal} are read as they were written")
    rows, pooled = writing.in_turns(runs), states.compare(few(runs))
    return Found(rows, writing.same(rows), pooled, states.farthest(pooled), files)


if __name__ == "__main__":
    write_page(__doc__ or "", lambda runs: page(bench(runs), runs), RESULTS)
