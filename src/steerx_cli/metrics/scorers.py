"""Each metric as a way of filling columns of `metrics`, for answers and references that stand side by side."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from steerx_cli.metrics import labels, shape
from steerx_cli.metrics.bleu import Bleu

if TYPE_CHECKING:
    from steerx_cli.lm.models import ModelRequest

Tally: TypeAlias = Counter[str]  # what should be told of
Columns: TypeAlias = Mapping[str, Sequence[object]]
Scorer: TypeAlias = Callable[[Sequence[str], Sequence[str], Tally], Columns]

UNTRAINED = "scores of a BERTScore model that nobody trained"
_ANSWERS_AT_ONCE = 128  # and at most as many references: BERTScore holds 250 MB of LED's states of 300 tokens each


def each(**scores: Callable[[str, str], float]) -> Scorer:
    """Metrics that look at one answer at a time, by their columns."""

    def score(answers: Sequence[str], references: Sequence[str], _: Tally) -> Columns:
        rows = [[of(*pair) for of in scores.values()] for pair in zip(answers, references, strict=True)]
        return {column: [row[at] for row in rows] for at, column in enumerate(scores)}

    return score


def by_bleu(tokenize: str) -> Scorer:
    """BLEU of each answer, and what it adds to that of all."""
    bleu = Bleu(tokenize)

    def score(answers: Sequence[str], references: Sequence[str], _: Tally) -> Columns:
        found = list(map(bleu.score, answers, references))
        return {"bleu": [each.bleu for each in found], "bleu_counts": [each.counts for each in found]}

    return score


def by_label(known: Sequence[str]) -> Scorer:
    """The labels that answers and references are; each reference is one."""

    def score(answers: Sequence[str], references: Sequence[str], tally: Tally) -> Columns:
        found = [labels.label_of(answer, known) for answer in answers]
        tally["answers that are none of the task's labels"] += found.count(None)
        return {"label": found, "true_label": [labels.label_of(reference, known) for reference in references]}

    return score


def by_rating(lowest: int, highest: int) -> Scorer:
    """The ratings that answers and references are; each reference is one."""

    def score(answers: Sequence[str], references: Sequence[str], tally: Tally) -> Columns:
        unread = [labels.number_of(answer) is None for answer in answers]
        tally["answers that are no rating, and count as the worst"] += sum(unread)
        true = list(map(float, references))
        numbers = [number for answer in answers if (number := labels.number_of(answer)) is not None]
        tally["ratings outside the scale, which count as they are"] += sum(
            not lowest <= number <= highest for number in numbers
        )
        found = [labels.rating_of(answer, of, lowest, highest) for answer, of in zip(answers, true, strict=True)]
        return {"rating": found, "true_rating": true}

    return score


def by_bertscore(model: "ModelRequest", layer: int, batch_tokens: int) -> Scorer:
    """BERTScore of some queries' answers at a time; a reference is read once for all systems."""
    from steerx_cli.lm.token_states import Reader
    from steerx_cli.metrics.bertscore import BertScore

    reader = Reader(model, layer)
    metric = BertScore(reader, batch_tokens)

    def score(answers: Sequence[str], references: Sequence[str], tally: Tally) -> Columns:
        found, halved = list[float](), reader.halved
        for some in _blocks(references):
            f1, cut = metric.score(answers[some], references[some])
            found += f1
            tally["texts of which the BERTScore model took the beginning only"] += cut
        tally["batches halved for memory"] += reader.halved - halved
        tally[UNTRAINED] += 0 if reader.trained else len(answers)
        return {"bertscore": found}

    return score


def _blocks(references: Sequence[str]) -> Iterator[slice]:
    """About so many places at a time, those with one reference together."""
    start = 0
    for stop in range(1, len(references) + 1):
        if stop == len(references) or (stop - start >= _ANSWERS_AT_ONCE and references[stop] != references[stop - 1]):
            yield slice(start, stop)
            start = stop


def shapes(answers: Sequence[str], references: Sequence[str], tally: Tally) -> Columns:
    """How long the answers are, and whether they go round in circles."""
    found = list(map(shape.words_of, answers))
    empty = [not answer.strip() for answer in answers]
    tally["empty answers"] += sum(empty)
    return {
        "empty": empty,
        "words": list(map(len, found)),
        "reference_words": [len(shape.words_of(reference)) for reference in references],
        "repeated4": list(map(shape.repeated, found)),
        "distinct2": list(map(shape.distinct, found)),
    }


def foreign(what: str, texts: Sequence[str]) -> Tally:
    """How many of some texts ROUGE, and BLEU's 13a, cannot judge."""
    told = f"{what} mostly outside ASCII, of which ROUGE sees little, and BLEU unless another --tokenize is named"
    return Counter({told: sum(map(shape.is_foreign, texts))})
