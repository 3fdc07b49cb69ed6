"""Metrics of words, and what cuts texts into words: ROUGE, METEOR and BLEU beside the usual libraries."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.evaluate_inputs import REFERENCE, SYSTEMS, Many, StandIn, answers, nltk_wordnet, passages
from bench.evaluate_turns import Line, Turns, Values
from steerx_cli.metrics import bleu, meteor, punkt, rouge, treebank, wordnet

PAIRS, QUERIES = 1000, 200
CUT = 300  # answers and references that are cut into words


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


# --- what the page tells of them --------------------------------------------------------------------------------------


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
