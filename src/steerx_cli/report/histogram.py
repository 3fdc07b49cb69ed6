"""How the causal effects of tokens are distributed (Figure 6): a histogram, and its numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10, nan
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.schemas import SCORES
from steerx_cli.core.sources import Source
from steerx_cli.report.grids import NOTHING, Entry, Grid, Page

PERCENTS = (1, 5, 25, 50, 75, 95, 99)
TAUS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # the paper's, and what lies around them
SMALL = 0.3  # nats: below it the context hardly changes a probability
_BINS = 80  # as many or some more


@dataclass(frozen=True)
class Effects:
    """Δ of every token of a file, in nats, and what was left out."""

    deltas: NDArray[np.float32]  # all that is held of the texts: 4 bytes a token
    texts: int  # whose tokens these are
    alone: int = 0  # texts without others to measure them by,
    tokens_alone: int = 0  # and their tokens
    undefined: int = 0  # tokens whose Δ is no number
    tau: float | None = None  # that the file's own anchors are cut by

    def count(self, tau: float) -> int:
        """The tokens whose Δ reaches τ: in float32, by which anchors are cut, too."""
        return int((self.deltas >= tau).sum())

    def share_of_gain(self, tau: float) -> float:
        """What these tokens hold of all that Δ is above 0."""
        gains = np.maximum(self.deltas, 0)
        whole = gains.sum(dtype=np.float64)
        return float(gains[self.deltas >= tau].sum(dtype=np.float64) / whole) if whole else nan


@dataclass(frozen=True)
class Bins:
    """How many tokens lie between each two edges."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


def read_effects(source: Source) -> Effects:
    """Take Δ from the rows, some at a time."""
    pieces, texts, alone, tokens_alone = [np.zeros(0, np.float32)], 0, 0, 0
    for batch in source.batches():
        rows = cast(pl.DataFrame, pl.from_arrow(batch.select(["token_ids", "delta"])))
        measured = rows["delta"].is_not_null()
        pieces.append(rows.filter(measured)["delta"].explode().drop_nulls().cast(pl.Float32).to_numpy())
        texts += int(measured.sum())
        alone += int((~measured).sum())
        tokens_alone += int(rows.filter(~measured)["token_ids"].list.len().sum())
    deltas = np.concatenate(pieces)
    defined = deltas[np.isfinite(deltas)]
    if not len(defined):
        raise SteerxError(f"{source.where} has no Δ in it: there is nothing to draw")
    own = source.footer.record.parameters.get("tau") if source.artifact == SCORES else None
    return Effects(defined, texts, alone, tokens_alone, len(deltas) - len(defined), own)


# --- the numbers ------------------------------------------------------------------------------------------------------


def skewness(deltas: NDArray[np.float32]) -> float:
    """How much longer the tail above is than the one below: the third moment, by the standard deviation's cube."""
    apart = deltas.astype(np.float64) - deltas.mean(dtype=np.float64)
    spread = float(np.sqrt((apart**2).mean()))
    return float((apart**3).mean()) / spread**3 if spread else nan


def binned(deltas: NDArray[np.float32]) -> Bins:
    """About as many bins as can be told apart; 0 is an edge, and their width is 1, 2 or 5 times a power of ten."""
    low, high = min(0.0, float(deltas.min())), max(0.0, float(deltas.max()))
    width = _round_width((high - low) / _BINS or 1.0)
    first, last = floor(low / width), max(floor(high / width) + 1, 1)
    edges = np.arange(first, last + 1).astype(np.float64) * width
    counts, _ = np.histogram(deltas, edges)
    return Bins(edges, counts.astype(np.int64))


def _round_width(width: float) -> float:
    """The largest of 1, 2, 5, 10, 20, … that is not wider."""
    power = 10.0 ** floor(log10(width))
    return max(step for step in (1, 2, 5) if step * power <= width * (1 + 1e-9)) * power


# --- for readers ------------------------------------------------------------------------------------------------------


def page(effects: Effects, taus: Sequence[float] = ()) -> Page:
    """The numbers, with what they are."""
    return Page([_distribution(effects), _thresholds(effects, taus)], [*_told(effects)])


def _distribution(effects: Effects) -> Grid:
    deltas = effects.deltas
    quantiles = np.quantile(deltas, [percent / 100 for percent in PERCENTS])
    numbers = {f"{percent} %": float(of) for percent, of in zip(PERCENTS, quantiles, strict=True)}
    numbers |= {"lowest": float(deltas.min()), "highest": float(deltas.max())}
    numbers |= {"mean": float(deltas.mean(dtype=np.float64)), "skewness": skewness(deltas)}
    return Grid("effects of tokens", ["nats"], [*numbers], [[_number(value)] for value in numbers.values()])


def _thresholds(effects: Effects, taus: Sequence[float]) -> Grid:
    own = [] if effects.tau is None else [effects.tau]
    asked = sorted({*TAUS, *taus, *own})
    entries = [
        [
            Entry(f"{effects.count(tau):,}"),
            _percent(effects.count(tau) / len(effects.deltas)),
            _percent(effects.share_of_gain(tau)),
        ]
        for tau in asked
    ]
    head = ["tokens", "of all tokens", "of all gains"]
    return Grid("tokens that reach a threshold", head, [f"τ {tau:.15g}" for tau in asked], entries)


def _told(effects: Effects) -> Iterator[str]:
    small = np.abs(effects.deltas) < SMALL
    yield f"{len(effects.deltas):,} tokens of {effects.texts:,} texts; a text under two queries is measured under each"
    yield f"{100 * small.mean():.1f} % of the tokens have |Δ| < {SMALL}"
    yield "%: so many of the tokens have no larger Δ; skewness: above 0 where the tail of large Δ is the longer one"
    yield "of all gains: of the sum of all Δ above 0, what the tokens hold that reach τ"
    if effects.alone:
        yield (
            f"left out: {effects.alone:,} texts ({effects.tokens_alone:,} tokens) that were not measured, "
            "since their users wrote no other"
        )
    if effects.undefined:
        yield f"left out: {effects.undefined:,} tokens whose Δ is no number"


def _number(value: float) -> Entry:
    return Entry(f"{value:z.4f}" if isfinite(value) else NOTHING)


def _percent(share: float) -> Entry:
    return Entry(f"{100 * share:.2f} %" if isfinite(share) else NOTHING)
