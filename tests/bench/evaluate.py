"""Scores of answers as `steerx evaluate` makes them: against rouge_score, NLTK, sacrebleu and bert-score, in values and
in time.

    make bench            (or: python tests/bench/evaluate.py [--runs 3])

What is compared takes turns, within a process of its own. Written to tests/bench/results/evaluate.md. Real texts and
NLTK's Punkt model are found where STEERX_TEST_DATA says; without them it runs on others. Needs Linux, which alone tells
the peak of a part of a run.
"""

import os
import sys
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench.evaluate_inputs import BASE, NARROW, REFERENCE, SYSTEMS, punkt_at_hand, speeches, write_led
from bench.evaluate_states import (
    BATCH,
    BATCH_TOKENS,
    CLOSE,
    MEMORY_BATCH,
    MEMORY_SHAPE,
    MEMORY_WORDS,
    HeldBy,
    OfStates,
    all_held,
    growth,
    held_difference,
    held_table,
    of_states,
)
from bench.evaluate_table import EXAMPLES, SAMPLES, USERS, OfTable, of_table
from bench.evaluate_turns import Line, aims, difference, table
from bench.evaluate_words import OfWords, about_punkt, about_wordnet, of_words
from bench.score_tokens import few
from bench.turns import Way, apart, write_page

RESULTS = Path(__file__).parent / "results" / "evaluate.md"
PEERS = ("rouge-score", "nltk", "sacrebleu", "bert-score", "torch", "transformers")


@dataclass(frozen=True)
class Found:
    """Everything that was measured."""

    words: OfWords
    states: OfStates
    held: HeldBy
    table: OfTable

    @property
    def lines(self) -> list[Line]:
        """All comparisons."""
        return [*self.words.lines, *self.states.lines, self.table.line]


def about_texts() -> str:
    """Where they are from."""
    if speeches() is None:
        return "Texts are made-up reviews, joined"
    return "Texts are passages of US presidents' addresses on the State of the Union"


def page(found: Found, runs: int) -> str:
    """The figures as Markdown."""
    words, states, statistics = found.words, found.states, found.table
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    spread = f"{min(states.tokens)} to {max(states.tokens)} tokens ({mean(states.tokens):.0f} on average)"
    more = f"{min(states.more)} to {max(states.more)}"
    scoring = sum(statistics.scoring.values())
    share = 100 * statistics.whole / scoring
    each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in statistics.scoring.items())
    return f"""\
# Scores of answers, as `steerx evaluate` has them

Written by `make bench` on {os.cpu_count()} CPU cores, of which each side uses one thread. Timings on a two-core machine
that is shared with other work are rough. The sides take turns within one process. Figures are medians of {runs} turns,
of {few(runs)} where a model is run; a ratio is the median of what each turn says: above 1, steerx takes less.

Beside steerx there are {versions}.

{about_texts()}, of {REFERENCE[0]} to {REFERENCE[1]} words where
nothing else is said; an answer has runs of 4 to 20 words of its reference, and of another passage between them. Both
sides score the same texts and must tell the same values (BERTScore within {CLOSE:g}), or this page is not written.

## Metrics of words

{table(words.lines)}

{aims(words.lines)}

steerx keeps the words of texts, their places in references, stems and synonyms. These caches are emptied before each
turn, but where they are said to be full; so what is kept counts only within a turn, as in a run of `steerx evaluate`.
METEOR `on tokens` gets words that were cut before, in lower case; `of texts` is what a run does.
{about_punkt(words)} WordNet's table is loaded before the clock
starts: {words.table_seconds:.1f} s, once a run. Words are equal, or their difference is not 0. BLEU is sacrebleu's on
both sides: steerx asks it once for each answer and adds up its counts, where sacrebleu's own two calls count twice.

{about_wordnet(words)}

## BERTScore

An LED as wide as led-base-16384 ({BASE.width}, {BASE.heads} heads, windows of {BASE.window:,}) with random weights in
float32, but with {BASE.layers} layers for the 6 that are read there, and {BASE.words:,} words for 50,265: the work that
both sides save on them is about the same part of each. Texts have {spread};
those of the last line {more}, which is more than half a window. bert-score reads {BATCH} texts at a time, steerx
{BATCH_TOKENS:,} tokens: with LED's filler that is as many.

{table(states.lines)}

{aims(states.lines)}

LED's own code fills every text up to whole windows of {BASE.window:,} and works on blocks of half a window. steerx does
neither up to {BASE.window // 2 + 1} tokens, where every token sees every other and the states are the same. What is
longer goes through LED's own code on both sides; there only references that systems share are gained. How much is
gained hangs on the lengths: the shorter the texts, the more.

## Memory of BERTScore

Answers of {SYSTEMS} systems, from references of {MEMORY_WORDS[0]} to {MEMORY_WORDS[1]} words. The states are
{MEMORY_SHAPE.width} wide, as LED's are; otherwise the model is smaller, for time's sake ({MEMORY_SHAPE.layers} layer,
windows of {MEMORY_SHAPE.window}). `beside the model` is what the peak is above the memory held when the model is loaded
and warm; `all states` is what those of all distinct texts take, counted. Each run is a process of its own, run once, in
which freed memory goes back to the system at once. Both read {MEMORY_BATCH:,} tokens at a time, filler counted.

{held_table(found.held)}

- Memory beside the model: {growth(found.held)}.
- The scores are at most {difference(held_difference(found.held))} apart.

Called once a system, as is usual, bert-score holds the states of that system and of all references: it grows with the
number of examples, too.

## Statistics

{SYSTEMS} systems, {EXAMPLES:,} queries of {USERS} users. Scoring took {scoring:.1f} s of processor time ({each}),
without BERTScore, whose values here are random numbers. The table of all five metrics of text, with {SAMPLES:,}
resamples and as many swaps, took {statistics.whole:.1f} s: {share:.1f} % of that.

{table([statistics.line])}

From texts to BLEU alone, once: sacrebleu's approximate randomisation of every system against the first, with
{SAMPLES:,} swaps, and {SAMPLES:,} resamples for intervals. steerx's table also compares every system with the best, and
has the answers' shape. The difference is that of the systems' BLEU; intervals and p are not the same, since steerx
draws and swaps users, sacrebleu answers: like is not compared with like.

## What is not shown

No model that anybody trained, no GPU, and no text in another language. Times of a few tenths of a second vary by more
than the digits printed here.
"""


def bench(runs: int) -> Found:
    """Everything; what may fail at once first."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with TemporaryDirectory() as place, punkt_at_hand():
        base, narrow = Path(place, "base"), Path(place, "narrow")
        for folder, shape in ((base, BASE), (narrow, NARROW)):
            apart(Way(partial(write_led, folder, shape)))
        found = Found(
            words=apart(Way(partial(of_words, runs)))[1],
            states=apart(Way(partial(of_states, base, runs)))[1],
            held=all_held(narrow),
            table=apart(Way(partial(of_table, runs)))[1],
        )
    wrong = [f"{of.what}: {of.apart:g}" for of in found.lines if not of.apart <= of.allowed]
    if not held_difference(found.held) <= CLOSE:
        wrong.append("BERTScore in blocks")
    if wrong:
        raise SystemExit(f"values differ: {'; '.join(wrong)}")
    return found


if __name__ == "__main__":
    write_page(__doc__ or "", lambda runs: page(bench(runs), runs), RESULTS)
