"""What scores of systems on the same examples can say: intervals, differences, and whether chance explains them.

Whole users are drawn and swapped, since several answers for one user are not independent. All is computed from sums
over users: what a measure makes of the sums of an example's parts (a mean, a corpus BLEU, a macro F1) it also makes
of any users' sums.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Test = TypeVar("Test", bound=Hashable)
Numbers: TypeAlias = NDArray[np.float64]
Value: TypeAlias = Callable[[Numbers], Numbers]  # [..., parts] → [...]

_AT_ONCE = 2**22  # numbers of a block of resamples
_EQUAL, _NOTHING = 1e-9, 1e-12  # relative and absolute: sums in another order are not smaller differences


def user_sums(parts: Numbers, users: Sequence[int], count: int) -> Numbers:
    """The parts of each user's examples, added up: [examples, parts] → [users, parts]."""
    sums = np.zeros((count, parts.shape[1]))
    np.add.at(sums, np.asarray(users, np.intp), parts)
    return sums


def _blocks(trials: int, users: int) -> Iterator[int]:
    size = max(1, _AT_ONCE // max(1, users))
    for start in range(0, trials, size):
        yield min(size, trials - start)


def resampled(sums: Numbers, trials: int, seed: int) -> Numbers:
    """The sums of so many users drawn with replacement, over and over: [users, …] → [trials, …].

    The same seed draws the same users, so what is drawn for two systems can be compared.
    """
    users, draw = len(sums), np.random.default_rng([seed % 2**64, 1])
    flat = sums.reshape(users, -1)
    drawn = (draw.multinomial(users, np.full(users, 1 / users), size) @ flat for size in _blocks(trials, users))
    return np.concatenate(list(drawn)).reshape(trials, *sums.shape[1:])


def interval(values: Numbers, confidence: float) -> tuple[float, float]:
    """The percentile interval of resampled values."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Swapped:
    """Approximate randomisation (Noreen 1989): how often does swapping two systems' answers, user by user, part them
    as far as they are apart? Both directions count, and the way they stand is one of the ways that chance may bring."""

    trials: int
    seed: int

    def p_values(self, one: Numbers, other: Numbers, measures: Mapping[str, tuple[slice, Value]]) -> dict[str, float]:
        """p for each measure, which has its own columns of [users, parts]; swaps are the same for all of them.

        A difference that is not defined has none.
        """
        draw = np.random.default_rng([self.seed % 2**64, 2])
        difference = other - one
        totals = one.sum(0), other.sum(0)
        real = {name: abs(value(totals[1][at]) - value(totals[0][at])) for name, (at, value) in measures.items()}
        measures = {name: way for name, way in measures.items() if np.isfinite(real[name])}
        reached = dict.fromkeys(measures, 0)
        for size in _blocks(self.trials, len(one)):
            moved = draw.integers(0, 2, (size, len(one)), np.int8).astype(np.float64) @ difference
            for name, (at, value) in measures.items():
                swapped = abs(value(totals[1][at] - moved[:, at]) - value(totals[0][at] + moved[:, at]))
                # What is not defined is no smaller difference.
                reached[name] += int((~(swapped < real[name] * (1 - _EQUAL) - _NOTHING)).sum())
        return {name: (1 + count) / (1 + self.trials) for name, count in reached.items()}


def holm(p_values: Mapping[Test, float]) -> dict[Test, float]:
    """p of each of several tests, so that one false finding in all of them is as likely as in one (Holm 1979)."""
    adjusted: dict[Test, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


IMPROVED = ("rouge1", "meteor", "bleu", "bertscore")  # the measures of the paper's Impr.


def improvement(values: Mapping[str, Numbers], baseline: Mapping[str, Numbers]) -> Numbers:
    """The paper's Impr. (Table 1), in per cent: the mean over measures of the relative gain over a baseline.

    NaN where the baseline has nothing to gain on.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = [np.where(baseline[name] > 0, values[name] / baseline[name] - 1, np.nan) for name in values]
    mean: Numbers = 100 * np.mean(gains, axis=0)
    return mean
