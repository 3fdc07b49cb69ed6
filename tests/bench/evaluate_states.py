"""BERTScore beside bert-score, with the same weights: in time, and in the memory that states take."""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.evaluate_inputs import BASE, NARROW, SYSTEMS, Many, Shape, answers, passages
from bench.evaluate_turns import Line, Turns, Values
from bench.score_tokens import few, memory
from bench.turns import Way, apart
from steerx_cli.metrics import scorers

CLOSE = 1e-6  # of an F1 from states in float32, added up in another order
BATCH = 8  # texts at a time for bert-score: with LED's filler as many tokens as are steerx's default
BATCH_TOKENS = BATCH * BASE.window
PAIRS_BERT, QUERIES_BERT, PAIRS_LONG = 10, 3, 2
OF_TOKENS, OF_MORE = (80, 290), (480, 560)  # words that give 100 to 450 tokens, and more than half a window

# --- time -------------------------------------------------------------------------------------------------------------


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


# --- memory -----------------------------------------------------------------------------------------------------------


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
