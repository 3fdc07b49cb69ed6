"""BLEU (Papineni 2002) by sacrebleu: of each answer, and of a corpus from the counts of its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

ORDERS = 4
COUNTS = 2 + 2 * ORDERS  # of one answer: its words, the reference's, common n-grams, n-grams

Counts: TypeAlias = list[int]


@dataclass(frozen=True)
class Scored:
    """One answer's BLEU from 0 to 100, and what it adds to a corpus."""

    bleu: float
    counts: Counts


class Bleu:
    """BLEU with one of sacrebleu's tokenizers."""

    def __init__(self, tokenize: str = "13a") -> None:
        self._bleu = _loaded(tokenize)

    def score(self, answer: str, reference: str) -> Scored:
        """The BLEU of one answer, of the orders that it has (sacrebleu's own default for sentences)."""
        found = self._bleu.sentence_score(answer, [reference])
        return Scored(found.score, [found.sys_len, found.ref_len, *found.counts, *found.totals])


def signature(tokenize: str, *, of_sentences: bool = False) -> str:
    """sacrebleu's own, of a corpus with one reference for each answer, or of each answer."""
    bleu = _loaded(tokenize, of_sentences)
    bleu.corpus_score([""], [[""]])  # only then does it know how many references there are
    return str(bleu.get_signature())


def _loaded(tokenize: str, of_sentences: bool = True) -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    if tokenize not in BLEU.TOKENIZERS:
        raise SteerxError(f"sacrebleu has no tokenizer {tokenize!r}: choose {', '.join(sorted(BLEU.TOKENIZERS))}")
    try:
        return BLEU(tokenize=tokenize, effective_order=of_sentences)
    except (ImportError, RuntimeError, OSError) as error:  # MeCab or sentencepiece is not there, or no model of it
        said = " ".join(str(error).split())
        raise SteerxError(f"sacrebleu's tokenizer {tokenize} cannot be used here ({said}): choose another") from error


def of_corpus(counts: Sequence[float]) -> float:
    """The BLEU of a corpus, by sacrebleu, from its summed counts."""
    from sacrebleu.metrics.bleu import BLEU

    own, reference, *ngrams = (int(count) for count in counts)
    return float(BLEU.compute_bleu(ngrams[:ORDERS], ngrams[ORDERS:], own, reference, smooth_method="exp").score)


def of_corpora(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for many corpora at once: [..., COUNTS] → [...], equal up to rounding."""
    own, reference = counts[..., 0], counts[..., 1]
    common, all_of_them = counts[..., 2 : 2 + ORDERS], counts[..., 2 + ORDERS :]
    # An order without a common n-gram counts as half a match, the next such one as a quarter, and so on.
    missed = (common == 0) & (all_of_them > 0)
    matches = np.where(missed, 0.5 ** np.cumsum(missed, -1), common)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(matches / all_of_them).mean(-1)
        penalty = np.where(own < reference, 1 - reference / own, 0.0)
        scored = (common > 0).any(-1) & (all_of_them > 0).all(-1)
        return np.where(scored, 100 * np.exp(logs + penalty), 0.0)
