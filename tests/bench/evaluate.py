"""Scores of answers as `steerx evaluate` makes them: against rouge_score, NLTK, sacrebleu and bert-score, in values and
in time.

    make bench            (or: python tests/bench/evaluate.py [--runs 3])

What is compared takes turns, within a process of its own. Written to tests/bench/results/evaluate.md. Real texts and
NLTK's Punkt model are found where STEERX_TEST_DATA says; without them it runs on others. Needs Linux, which alone tells
the peak of a part of a run.
"""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from bench.evaluate_inputs import (
    BASE,
    NARROW,
    REFERENCE,
    SYSTEMS,
    Many,
    Shape,
    StandIn,
    answers,
    nltk_wordnet,
    passages,
    punkt_at_hand,
    speeches,
    write_led,
)
from bench.score_tokens import Aim, few, memory
from bench.turns import Way, apart, write_page
from steerx_cli.core.job import table_of
from steerx_cli.core.schemas import METRICS
from steerx_cli.metrics import bleu, meteor, punkt, rouge, scorers, treebank, wordnet
from steerx_cli.report.table import Asked, tabulate

RESULTS = Path(__file__).parent / "results" / "evaluate.md"
PAIRS, QUERIES = 1000, 200
CUT = 300  # answers and references that are cut into words
SAMPLES, USERS, EXAMPLES = 10_000, 100, 1000
CLOSE = 1e-6  # of an F1 from states in float32, added up in another order

Values = Sequence[float]
Side = Callable[[], Values]

# --- two sides in turns -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One comparison."""

    what: str
    peer: str
    own: float  # seconds of a turn
    other: float
    ratio: float  # the median of what each turn says
    apart: float  # the values, at the most
    allowed: float = 0.0
    aim: float | None = None


def nothing() -> None:
    """What is left as it is."""


@dataclass(frozen=True)
class Turns:
    """How comparisons are made: so often, and before each side's turn its caches are cleared."""

    runs: int
    clear: Callable[[], None] = nothing

    def compare(self, what: str, own: Side, peer: str, other: Side, **told: float) -> Line:
        """Run both, one after the other, over and over."""
        taken: dict[Side, list[float]] = {own: [], other: []}
        values: dict[Side, Values] = {}
        for _ in range(self.runs):
            for side, seconds in taken.items():
                self.clear()
                start = time.process_time()
                values[side] = side()
                seconds.append(time.process_time() - start)
        ratio = median(two / one for one, two in zip(taken[own], taken[other], strict=True))
        pairs = zip(values[own], values[other], strict=True)
        farthest = max(abs(one - two) for one, two in pairs)
        return Line(what, peer, median(taken[own]), median(taken[other]), ratio, farthest, **told)


# --- metrics of words -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfWords:
    """Everything that needs no model."""

    lines: Sequence[Line]
    table_seconds: float  # to load WordNet's
    real_wordnet: bool
    punkt: bool


def of_words(runs: int) -> OfWords:
    """ROUGE, METEOR and BLEU, and what cuts texts into words."""
    start = time.process_time()
    wordnet.load()
    loaded = time.process_time() - start
    stand_in = StandIn()
    real, has_punkt = nltk_wordnet(), punkt.find_model() is not None
    reader = stand_in if real is None else real

    def clear() -> None:
        for cached in (
            rouge.words_of,
            rouge._places_of,
            treebank.words_of,
            meteor.stem,
            wordnet.synonyms,
            stand_in.synsets,
        ):
            cached.cache_clear()

    turns = Turns(runs, clear)
    words = Words(passages(PAIRS, *REFERENCE), reader, "punkt" if has_punkt else "simple")
    lines = [*rouge_lines(turns), *words.meteor_lines(turns), words.splitting(turns), bleu_line(turns)]
    return OfWords(lines, loaded, real is not None, has_punkt)


def rouge_lines(turns: Turns) -> Iterator[Line]:
    """Of one system, and of several under the same references."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"])
    references = passages(PAIRS, *REFERENCE)

    def own(texts: Many) -> Values:
        return [
            *map(rouge.rouge1, texts.answers, texts.references),
            *map(rouge.rouge_l, texts.answers, texts.references),
        ]

    def other(texts: Many) -> Values:
        found = [scorer.score(wanted, said) for said, wanted in zip(texts.answers, texts.references, strict=True)]
        return [scores[name].fmeasure for name in ("rouge1", "rougeL") for scores in found]

    one, many = Many(answers(references), references), Many.of(references[:QUERIES])
    for name, texts in ((f"{PAIRS:,} answers", one), (f"{SYSTEMS} systems, {QUERIES} queries", many)):
        sides = partial(own, texts), "rouge_score", partial(other, texts)
        yield turns.compare(f"ROUGE-1 and ROUGE-L, {name}", *sides, aim=38)


class Words:
    """METEOR and its words."""

    def __init__(self, references: Sequence[str], reader: Any, split: str) -> None:
        from nltk.tokenize import NLTKWordTokenizer, word_tokenize
        from nltk.translate.meteor_score import single_meteor_score

        self._references, self._split = references, split
        self._answers = answers(self._references)
        self._score = partial(single_meteor_score, wordnet=reader)
        plain = NLTKWordTokenizer()
        self._tokenize: Callable[[str], list[str]] = (
            word_tokenize
            if split == "punkt"
            else lambda text: [word for sentence in punkt.simple(text) for word in plain.tokenize(sentence)]
        )
        self._split_sentences = punkt.punkt() if split == "punkt" else punkt.simple

    def meteor_lines(self, turns: Turns) -> Iterator[Line]:
        """Of words that are there, and of texts."""
        pairs = list(zip(self._answers, self._references, strict=True))
        tokens = [(self._tokenize(said.lower()), self._tokenize(wanted.lower())) for said, wanted in pairs]

        def own_of_tokens() -> Values:
            return [meteor.score(said, wanted) for said, wanted in tokens]

        def other_of_tokens() -> Values:
            return [self._score(wanted, said) for said, wanted in tokens]

        def own() -> Values:
            return list(map(meteor.Meteor(self._split).score, self._answers, self._references))

        def other() -> Values:
            return [self._score(self._tokenize(wanted), self._tokenize(said)) for said, wanted in pairs]

        of = f"{PAIRS:,} answers"
        yield turns.compare(f"METEOR on tokens, {of}, caches empty", own_of_tokens, "NLTK", other_of_tokens, aim=5)
        own_of_tokens(), other_of_tokens()
        warm = Turns(turns.runs)
        yield warm.compare(f"METEOR on tokens, {of}, caches full", own_of_tokens, "NLTK", other_of_tokens, aim=5)
        yield turns.compare(f"METEOR of texts, {of}, caches empty", own, "NLTK", other)

    def splitting(self, turns: Turns) -> Line:
        """Texts into words; the values are how many, and which by a number that stands for them."""
        texts = [*self._answers[:CUT], *self._references[:CUT]]

        def own() -> Values:
            cut = ([w for some in self._split_sentences(text) for w in treebank.words_of(some)] for text in texts)
            return list(map(_number, cut))

        def other() -> Values:
            return [_number(self._tokenize(text)) for text in texts]

        name = "word_tokenize" if self._split == "punkt" else "NLTKWordTokenizer"
        return turns.compare(f"Words of {len(texts)} texts", own, f"NLTK's {name}", other)


def _number(words: Sequence[str]) -> float:
    return float(hash(tuple(words)))


def bleu_line(turns: Turns) -> Line:
    """Of each answer, and of each system."""
    from sacrebleu.metrics.bleu import BLEU

    texts = Many.of(passages(QUERIES, *REFERENCE))

    def own() -> Values:
        scorer = bleu.Bleu()
        found = list(map(scorer.score, texts.answers, texts.references))
        counts = np.array([each.counts for each in found])
        sums = (counts[system::SYSTEMS].sum(0).tolist() for system in range(SYSTEMS))
        return [*(each.bleu for each in found), *map(bleu.of_corpus, sums)]

    def other() -> Values:
        whole, each = BLEU(), BLEU(effective_order=True)
        pairs = zip(texts.answers, texts.references, strict=True)
        corpora = []
        for said, wanted in map(texts.of_system, range(SYSTEMS)):
            corpora.append(whole.corpus_score(said, [wanted]).score)
        return [*(each.sentence_score(said, [wanted]).score for said, wanted in pairs), *corpora]

    what = f"BLEU of answers and systems, {SYSTEMS} systems, {QUERIES} queries"
    return turns.compare(what, own, "sacrebleu", other)


# --- BERTScore --------------------------------------------------------------------------------------------------------

BATCH = 8  # texts at a time for bert-score: with LED's filler as many tokens as are steerx's default
BATCH_TOKENS = BATCH * BASE.window
PAIRS_BERT, QUERIES_BERT, PAIRS_LONG = 10, 3, 2
OF_TOKENS, OF_MORE = (80, 290), (480, 560)  # words that give 100 to 450 tokens, and more than half a window


@dataclass(frozen=True)
class OfStates:
    """BERTScore in time."""

    lines: Sequence[Line]
    tokens: Sequence[int]  # of the texts
    more: Sequence[int]  # of those that are longer than half a window


def one_thread() -> None:
    """For torch, too, which does not look at the environment only."""
    import torch

    torch.set_num_threads(1)


def own_scorer(folder: Path, shape: Shape, batch_tokens: int) -> scorers.Scorer:
    """As `steerx evaluate` loads it."""
    from steerx_cli.lm.models import ModelRequest

    return scorers.by_bertscore(ModelRequest(str(folder), dtype="float32", device="cpu"), shape.layers, batch_tokens)


def other_scorer(folder: Path, shape: Shape) -> Any:
    """bert_score's own, with the same weights."""
    from bert_score import BERTScorer

    logging.getLogger("transformers").setLevel(logging.ERROR)  # LED tells of every length that it fills up
    return BERTScorer(str(folder), num_layers=shape.layers, device="cpu")


def of_states(folder: Path, runs: int) -> OfStates:
    """BERTScore of one system, of several, and of long texts."""
    from transformers import AutoTokenizer

    one_thread()
    scorer, peer = own_scorer(folder, BASE, BATCH_TOKENS), other_scorer(folder, BASE)

    def own(texts: Many) -> Values:
        found: Any = scorer(texts.answers, texts.references, Counter())["bertscore"]
        return list(found)

    def call(said: Sequence[str], wanted: Sequence[str]) -> list[float]:
        found: list[float] = peer.score(list(said), list(wanted), batch_size=BATCH)[2].tolist()
        return found

    def other(texts: Many) -> Values:
        return call(texts.answers, texts.references)

    def system_by_system(texts: Many) -> Values:
        found = [call(*texts.of_system(system)) for system in range(SYSTEMS)]
        return [score for of_query in zip(*found, strict=True) for score in of_query]

    references, long = passages(PAIRS_BERT, *OF_TOKENS), passages(PAIRS_LONG, *OF_MORE)
    one, many, more = (
        Many(answers(references), references),
        Many.of(references[:QUERIES_BERT]),
        Many(answers(long, 7), long),
    )
    few_words = Many(["a few words"], ["and a few more"])
    own(few_words), other(few_words)
    compare = Turns(few(runs)).compare
    lines = [
        compare(
            f"BERTScore, {PAIRS_BERT} answers",
            *(partial(own, one), "bert-score", partial(other, one)),
            allowed=CLOSE,
            aim=7,
        ),
        compare(
            f"BERTScore, {SYSTEMS} systems, {QUERIES_BERT} queries",
            *(partial(own, many), "bert-score, a call a system", partial(system_by_system, many)),
            allowed=CLOSE,
        ),
        compare(
            f"BERTScore, {PAIRS_LONG} answers longer than half a window",
            *(partial(own, more), "bert-score", partial(other, more)),
            allowed=CLOSE,
        ),
    ]
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def lengths(*of: Many) -> list[int]:
        texts = {text for some in of for text in (*some.answers, *some.references)}
        return [len(tokenizer(text)["input_ids"]) for text in texts]

    return OfStates(lines, lengths(one, many), lengths(more))


@dataclass(frozen=True)
class Held:
    """What scoring many answers took, beside the model."""

    above: float  # MiB that the peak is above what the process held when the model was loaded and warm
    seconds: float
    values: Values
    texts: int
    tokens: int  # of all distinct texts, which make so many states


MEMORY_QUERIES = (100, 300)
MEMORY_WORDS = (20, 40)
MEMORY_SHAPE, MEMORY_BATCH = NARROW, 8 * NARROW.window


def held(which: str, folder: Path, queries: int) -> Held:
    """Score all answers of several systems to so many queries, by steerx's blocks or in one call of bert_score's."""
    from transformers import AutoTokenizer

    one_thread()
    texts = Many.of(passages(queries, *MEMORY_WORDS))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    distinct = list(dict.fromkeys((*texts.references, *texts.answers)))
    tokens = sum(len(tokenizer(text)["input_ids"]) for text in distinct)
    if which == "steerx":
        scorer = own_scorer(folder, MEMORY_SHAPE, MEMORY_BATCH)

        def score(said: list[str], wanted: list[str]) -> Values:
            found: Any = scorer(said, wanted, Counter())["bertscore"]
            return list(found)
    else:
        peer = other_scorer(folder, MEMORY_SHAPE)

        def score(said: list[str], wanted: list[str]) -> Values:
            found: list[float] = peer.score(said, wanted, batch_size=BATCH)[2].tolist()
            return found

    score(texts.answers[:BATCH], texts.references[:BATCH])
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before, start = memory("VmRSS"), time.process_time()
    values = score(texts.answers, texts.references)
    return Held(memory("VmHWM") - before, time.process_time() - start, values, len(distinct), tokens)


HeldBy = Mapping[int, Mapping[str, Held]]


def all_held(folder: Path) -> HeldBy:
    """Both ways at both sizes, once: memory varies little."""
    ways = ("steerx", "bert-score, one call")
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # what is freed goes back to the system, and is in no peak
    return {
        queries: {which: apart(Way(partial(held, which, folder, queries)))[1] for which in ways}
        for queries in MEMORY_QUERIES
    }


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfTable:
    """What statistics take."""

    scoring: Mapping[str, float]  # seconds by metric
    whole: float  # seconds of a table of all metrics of text
    line: Line  # BLEU alone, from texts


def of_table(runs: int) -> OfTable:
    """Statistics of many answers, which are scored first."""
    references = passages(EXAMPLES, *REFERENCE, seed=1)
    texts = Many.of(references)
    split = "punkt" if punkt.find_model() is not None else "simple"
    wordnet.load()
    ways: dict[str, scorers.Scorer] = {
        "shape": scorers.shapes,
        "ROUGE": scorers.each(rouge1=rouge.rouge1, rougeL=rouge.rouge_l),
        "METEOR": scorers.each(meteor=meteor.Meteor(split).score),
        "BLEU": scorers.by_bleu("13a"),
    }
    scoring, columns = dict[str, float](), dict[str, Sequence[object]]()
    for name, scorer in ways.items():
        start = time.process_time()
        columns |= scorer(texts.answers, texts.references, Counter())
        scoring[name] = time.process_time() - start
    columns["bertscore"] = np.random.default_rng(0).uniform(0.8, 0.9, len(texts.answers)).tolist()
    rows = _rows(columns)
    taken = []
    for _ in range(runs):
        start = time.process_time()
        tabulate(rows, ("rouge1", "rougeL", "meteor", "bleu", "bertscore"), (), Asked(samples=SAMPLES))
        taken.append(time.process_time() - start)
    return OfTable(scoring, median(taken), _bleu_table(texts, rows))


def _rows(columns: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """Rows of `metrics`."""
    empty = table_of(METRICS, [])
    count = EXAMPLES * SYSTEMS
    methods = ["non-perso", *(f"method-{system}" for system in range(1, SYSTEMS))]
    query = [at // SYSTEMS for at in range(count)]
    known: dict[str, Sequence[object]] = {
        "user_id": [f"user-{at * USERS // EXAMPLES:03d}" for at in query],
        "query_id": [f"query-{at:04d}" for at in query],
        **dict.fromkeys(("system", "method", "basis"), methods * EXAMPLES),
        "finish": ["end"] * count,
        **columns,
    }
    made = pl.DataFrame(known, schema={name: empty.schema[name] for name in known})
    return pl.concat([empty, made], how="diagonal").select(empty.columns)


def _bleu_table(texts: Many, rows: pl.DataFrame) -> Line:
    """From texts to the BLEU of each system with intervals and p, once; the values are the BLEUs."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    def own() -> Values:
        columns = scorers.by_bleu("13a")(texts.answers, texts.references, Counter())
        made = pl.DataFrame(columns, schema={name: rows.schema[name] for name in columns})
        table = tabulate(rows.with_columns(*made), ("bleu",), (), Asked(samples=SAMPLES))
        return [row.cells["bleu"].score.value for row in table.rows]

    def other() -> Values:
        systems: list[tuple[str, Sequence[str]]] = [(str(at), texts.of_system(at)[0]) for at in range(SYSTEMS)]
        wanted = [texts.of_system(0)[1]]
        found = PairedTest(systems, {"BLEU": BLEU()}, wanted, "ar", SAMPLES, SAMPLES)()[1]
        return [result.score for result in found["BLEU"]]  # type: ignore[union-attr]  # the names are under another

    what = f"BLEU with intervals and p, {SYSTEMS} systems, {EXAMPLES:,} queries"
    return Turns(1).compare(what, own, "sacrebleu's paired test", other)


# --- the page ---------------------------------------------------------------------------------------------------------


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


def table(lines: Sequence[Line]) -> str:
    """A row for each comparison."""
    head = "| what | beside | steerx, cpu s | the other, cpu s | times as fast | largest difference |"
    rows = [
        f"| {of.what} | {of.peer} | {of.own:.3f} | {of.other:.2f} | {of.ratio:.2f} | {_difference(of.apart)} |"
        for of in lines
    ]
    return "\n".join([head, "|---" * 6 + "|", *rows])


def _difference(apart: float) -> str:
    return f"{apart:.1e}" if apart else "0.0"


def aims(lines: Sequence[Line]) -> str:
    """A line of a list for each that has one."""
    return "\n".join(
        str(Aim(f"Time of {of.peer} ÷ that of steerx, {of.what}", of.aim, of.ratio)) for of in lines if of.aim
    )


def held_table(found: HeldBy) -> str:
    """A row for each size and way."""
    lines = ["| answers | texts | way | beside the model MiB | all states MiB | cpu s |", "|---" * 6 + "|"]
    for queries, ways in found.items():
        for which, of in ways.items():
            every = of.tokens * MEMORY_SHAPE.width * 4 / 2**20
            numbers = f"{of.above:.0f} | {every:.0f} | {of.seconds:.1f}"
            lines.append(f"| {queries * SYSTEMS:,} | {of.texts:,} | {which} | {numbers} |")
    return "\n".join(lines)


def held_difference(found: HeldBy) -> float:
    """The farthest that one way's scores are from the other's."""
    both = [[of.values for of in ways.values()] for ways in found.values()]
    return max(abs(one - two) for first, second in both for one, two in zip(first, second, strict=True))


def growth(found: HeldBy) -> str:
    """How memory grows with what is scored."""
    small, large = (found[queries] for queries in MEMORY_QUERIES)
    grown = ", ".join(f"{which} {large[which].above / small[which].above:.2f}" for which in small)
    return f"{grown}, with {MEMORY_QUERIES[1] / MEMORY_QUERIES[0]:g} times the answers"


def about_texts() -> str:
    """Where they are from."""
    if speeches() is None:
        return "Texts are made-up reviews, joined"
    return "Texts are passages of US presidents' addresses on the State of the Union"


def about_wordnet(of: OfWords) -> str:
    """Which one NLTK asks."""
    if of.real_wordnet:
        return "NLTK asks WordNet by its own reader."
    return (
        "NLTK's own WordNet was not at hand: NLTK asks a stand-in that reads steerx's table, has all of its objects\n"
        "made before the clock starts and remembers every answer, which is emptied with steerx's caches. NLTK's own\n"
        "reader looks for a word's base forms anew each time and reads from a file what it has not met: it should be\n"
        "slower still, which was not measured."
    )


def about_punkt(of: OfWords) -> str:
    """How sentences are found."""
    if of.punkt:
        return "Sentences are those of NLTK's Punkt model on both sides."
    return "NLTK's Punkt model was not at hand: sentences end at end marks, on both sides."


def page(found: Found, runs: int) -> str:
    """The figures as Markdown."""
    words, states, of_table = found.words, found.states, found.table
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    spread = f"{min(states.tokens)} to {max(states.tokens)} tokens ({mean(states.tokens):.0f} on average)"
    more = f"{min(states.more)} to {max(states.more)}"
    scoring = sum(of_table.scoring.values())
    share = 100 * of_table.whole / scoring
    each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in of_table.scoring.items())
    return f"""\
# Scores of answers, as `steerx evaluate` has them

Written by `make bench` on {os.cpu_count()} CPU cores, of which each side uses one thread: two of a machine that others
use, too, say little. The sides take turns within one process. Figures are medians of {runs} turns, of {few(runs)} where
a model is run; a ratio is the median of what each turn says: above 1, steerx takes less.

Beside steerx there are {versions}.

{about_texts()}, of {REFERENCE[0]} to {REFERENCE[1]} words where
nothing else is said; an answer has runs of 4 to 20 words of its reference, and of another passage between them. Both
sides score the same texts and must tell the same values (BERTScore within {CLOSE:g}), or this page is not written.

## Metrics of words

{table(words.lines)}

{aims(words.lines)}

steerx keeps the words of texts, stems and synonyms. These caches are emptied before each turn, but where they are said
to be full; so what is kept counts only within a turn, as in a run of `steerx evaluate`. METEOR `on tokens` gets words
that were cut before, in lower case; `of texts` is what a run does. {about_punkt(words)}
WordNet's table is loaded before the clock starts: {words.table_seconds:.1f} s, once a run. Words are equal, or their
difference is not 0. BLEU is sacrebleu's on both sides: steerx asks it once for each answer and adds up its counts,
where sacrebleu's own two calls count twice.

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
- The scores are at most {_difference(held_difference(found.held))} apart.

Called once a system, as is usual, bert-score holds the states of that system and of all references: it grows with the
number of examples, too.

## Statistics

{SYSTEMS} systems, {EXAMPLES:,} queries of {USERS} users. Scoring took {scoring:.1f} s of processor time ({each}),
without BERTScore, whose values here are random numbers. The table of all five metrics of text, with {SAMPLES:,}
resamples and as many swaps, took {of_table.whole:.1f} s: {share:.1f} % of that.

{table([of_table.line])}

From texts to BLEU alone, once: sacrebleu's approximate randomisation of every system against the first, with
{SAMPLES:,} swaps, and {SAMPLES:,} resamples for intervals. steerx's table also compares every system with the best, and
has the answers' shape. The difference is that of the systems' BLEU; intervals and p are not the same, since steerx
draws and swaps users, sacrebleu answers: like is not compared with like.

## What is not shown

No model that anybody trained, no GPU, and no text in another language. Times of a few tenths of a second vary by more
than the digits printed here.
"""


PEERS = ("rouge-score", "nltk", "sacrebleu", "bert-score", "torch", "transformers")


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
