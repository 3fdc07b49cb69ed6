"""Which tokens are anchors (Eq. 11 and 13), and the spans of text that they make."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Counts
from steerx_cli.core.order import lot
from steerx_cli.core.words import words
from steerx_cli.stages.score_tokens.lexicon import Lexicon

MEASURED = ("causal", "surprisal", "random")  # the methods that take as many tokens as the causal effect says
LARGEST = "texts where no effect reached tau, given the token of their largest"
UNREACHED = "texts where no effect reached tau, left without anchors"
WHOLE = "texts taken whole, for want of others to compare with"
SKIPPED = "texts left without anchors, for want of others to compare with"
WITHOUT, EMPTY = "texts without anchors", "empty texts"


@dataclass(frozen=True)
class Cut:
    """Everything that decides which tokens are anchors."""

    method: str  # causal, surprisal, random, all or lexicon
    tau: float | None  # nats
    top_percent: float | None  # of the tokens of each text; goes before tau
    unit: str = "tokens"  # or words, which anchors then grow to
    nothing: str = "largest"  # where no effect reaches tau; or empty, error
    alone: str = "whole"  # where a text has no others to compare with; or skip, error
    seed: int = 0
    lexicon: Lexicon | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be cut by before anything is read."""
        if self.method == "lexicon" and self.lexicon is None:
            raise SteerxError("the method lexicon needs a lexicon: name one with --lexicon")
        if self.method not in MEASURED:
            return
        if self.top_percent is None and (self.tau is None or not math.isfinite(self.tau)):
            raise SteerxError(f"the method {self.method} needs a number of nats: give --tau one, or use --top-percent")
        if self.top_percent is not None and not 0 < self.top_percent <= 100:
            raise SteerxError(f"--top-percent is {self.top_percent}: give it more than 0, and 100 at most")

    def parameters(self) -> Mapping[str, object]:
        """The settings that this method looks at: another seed does not make other surprisal."""
        looked_at: dict[str, object] = {"method": self.method}
        if self.method == "lexicon" and self.lexicon:
            looked_at |= self.lexicon.parameters()
        if self.method in MEASURED:
            by_tau = {"tau": self.tau, "nothing": self.nothing}
            looked_at |= by_tau if self.top_percent is None else {"top_percent": self.top_percent}
            looked_at |= {"unit": self.unit, "alone": self.alone}
        return looked_at | ({"seed": self.seed} if self.method == "random" else {})


Mask: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.int64]
Tally: TypeAlias = Counter[str]


class Text(NamedTuple):
    """The tokens of one text, and what was measured on them."""

    names: tuple[str, ...]  # of the user, the query, the item and λ or γ2: what a lot is drawn for
    response: str
    starts: Places
    ends: Places
    log_p_empty: NDArray[np.float32]
    delta: NDArray[np.float32] | None  # None where there are no others to compare with

    @property
    def size(self) -> int:
        """How many tokens it has."""
        return len(self.starts)


class Chosen(NamedTuple):
    """The anchors of one text, and how they came to be that: by the method, largest, whole or none."""

    anchors: Mask
    basis: str


# --- a table ----------------------------------------------------------------------------------------------------------


def cut(effects: pl.DataFrame, how: Cut) -> tuple[pl.DataFrame, Counts]:
    """The same rows with their anchors, the spans that these make, and the basis of the choice."""
    texts, tally = list(texts_of(effects)), Tally()
    refuse(texts, how)
    chosen = [choose(text, how, tally) for text in texts]
    span = pl.Struct({"start": pl.Int32, "end": pl.Int32})
    spans = [spans_of(text, anchors) for text, (anchors, _) in zip(texts, chosen, strict=True)]
    rows = effects.with_columns(
        pl.Series("anchors", [anchors.tolist() for anchors, _ in chosen], pl.List(pl.Boolean)),
        pl.Series("spans", [[{"start": start, "end": end} for start, end in some] for some in spans], pl.List(span)),
        pl.Series("basis", [basis for _, basis in chosen], pl.String),
    )
    tally["tokens"] = sum(text.size for text in texts)
    tally["anchors"] = sum(int(anchors.sum()) for anchors, _ in chosen)
    tally[WITHOUT] = sum(basis == "none" for _, basis in chosen)
    return rows, dict(tally)


def texts_of(effects: pl.DataFrame) -> Iterator[Text]:
    """The rows as arrays."""
    names = ("user_id", "query_id", "item_id", "lam")
    measured = ("gamma2", "response", "starts", "ends", "log_p_empty", "delta")
    for row in effects.select(*names, *measured).iter_rows(named=True):
        strength = () if row["gamma2"] is None else (str(row["gamma2"]),)
        yield Text(
            (*("" if row[name] is None else str(row[name]) for name in names), *strength),
            row["response"],
            np.array(row["starts"], np.int64),
            np.array(row["ends"], np.int64),
            np.array(row["log_p_empty"], np.float32),
            None if row["delta"] is None else np.array(row["delta"], np.float32),
        )


def refuse(texts: list[Text], how: Cut) -> None:
    """Stop where a person wants to know of what cannot be cut as asked."""
    if how.method not in MEASURED:
        return
    alone = [text for text in texts if text.size and text.delta is None]
    if how.alone == "error" and alone:
        raise SteerxError(
            f"{len(alone)} texts have no others to compare with, {_first(alone)}: "
            "retrieve more than one for each query, or let --alone be whole or skip"
        )
    if how.nothing != "error":
        return
    unreached = [text for text in texts if text.size and text.delta is not None and not wanted(text.delta, how)]
    if unreached:
        raise SteerxError(
            f"{len(unreached)} texts have no token whose effect reaches {how.tau} nats, {_first(unreached)}: "
            "lower --tau, or let --nothing be largest or empty"
        )


def _first(texts: list[Text]) -> str:
    user, query, *_ = texts[0].names
    return f"the first for the user {user!r} and the query {query!r}"


# --- a text -----------------------------------------------------------------------------------------------------------


def choose(text: Text, how: Cut, tally: Tally) -> Chosen:
    """The anchors of one text."""
    if not text.size:
        tally[EMPTY] += 1
        return _nothing(text)
    if how.method == "all":
        return Chosen(np.ones(text.size, bool), "method")
    if how.method == "lexicon" and how.lexicon:
        return _by_method(in_words(text, how.lexicon))
    if text.delta is not None:
        return measured(text, text.delta, how, tally)
    tally[WHOLE if how.alone == "whole" else SKIPPED] += 1
    return Chosen(np.ones(text.size, bool), "whole") if how.alone == "whole" else _nothing(text)


def measured(text: Text, delta: NDArray[np.float32], how: Cut, tally: Tally) -> Chosen:
    """As many tokens as the causal effect says; where it says none, one token and its word."""
    order, count = best_first(text, delta, how), wanted(delta, how)
    if count:
        anchors = _mask(text, order[:count])
        return Chosen(grown(text, anchors) if how.unit == "words" else anchors, "method")
    if how.nothing == "largest" and delta.max() > 0:
        tally[LARGEST] += 1
        return Chosen(grown(text, _mask(text, order[:1])), "largest")
    tally[UNREACHED] += 1
    return _nothing(text)


def wanted(delta: NDArray[np.float32], how: Cut) -> int:
    """How many tokens are anchors before they grow: those of Δ ≥ τ, or a share of the text, rounded up."""
    if how.top_percent is None and how.tau is not None:
        return int((delta >= how.tau).sum())  # in float32, as the effects are stored
    return math.ceil(Fraction(str(how.top_percent)) * len(delta) / 100)  # as typed: 0.1 * 30 in floats is above 3


def best_first(text: Text, delta: NDArray[np.float32], how: Cut) -> Places:
    """The places of the tokens in the order in which they are taken, equal ones from left to right."""
    if how.method == "random":
        draws = [lot(how.seed, *text.names, str(place)) for place in range(text.size)]
        return np.array(sorted(range(text.size), key=draws.__getitem__))
    return np.argsort(-delta if how.method == "causal" else text.log_p_empty, kind="stable")


def grown(text: Text, anchors: Mask) -> Mask:
    """The anchors, and every token that shares a character with a whole word that an anchor shares one with (what a
    word is: core/words.py)."""
    numbers = np.full(len(text.response), -1)
    for number, match in enumerate(words(text.response)):
        numbers[match.start() : match.end()] = number
    touched = np.unique(numbers[_covered(text, text.starts[anchors], text.ends[anchors])])
    return anchors | _touching(text, np.isin(numbers, touched[touched >= 0]))


def in_words(text: Text, lexicon: Lexicon) -> Mask:
    """Every token that shares a character, other than white space, with a word of the lexicon."""
    spans = np.array(lexicon.spans(text.response), np.int64).reshape(-1, 2)
    white = np.fromiter(map(str.isspace, text.response), bool, len(text.response))
    return _touching(text, _covered(text, spans[:, 0], spans[:, 1]) & ~white)


def spans_of(text: Text, anchors: Mask) -> list[tuple[int, int]]:
    """Anchors that are neighbours or share characters as one span, without the white space at its ends, if more is
    left."""
    joined: list[tuple[int, int]] = []
    last = -2
    for place in np.flatnonzero(anchors).tolist():
        start, end = int(text.starts[place]), int(text.ends[place])
        if joined and (place == last + 1 or start < joined[-1][1]):
            first, furthest = joined.pop()
            start, end = first, max(furthest, end)
        joined.append((start, end))
        last = place
    return [(start, end) for start, end in (_stripped(text.response, *span) for span in joined) if start < end]


def _stripped(response: str, start: int, end: int) -> tuple[int, int]:
    piece = response[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


def _covered(text: Text, starts: Places, ends: Places) -> Mask:
    """The characters of the response that are in one of these spans."""
    opened, closed = (np.bincount(edges, minlength=len(text.response) + 1) for edges in (starts, ends))
    return np.cumsum(opened - closed)[:-1] > 0


def _touching(text: Text, characters: Mask) -> Mask:
    """The tokens that have one of these characters."""
    before = np.concatenate([[0], np.cumsum(characters)])
    return np.asarray(before[text.ends] > before[text.starts])


def _mask(text: Text, places: Places) -> Mask:
    mask = np.zeros(text.size, bool)
    mask[places] = True
    return mask


def _by_method(anchors: Mask) -> Chosen:
    return Chosen(anchors, "method" if anchors.any() else "none")


def _nothing(text: Text) -> Chosen:
    return Chosen(np.zeros(text.size, bool), "none")
