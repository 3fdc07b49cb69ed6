"""Answers that are labels or ratings, read as LaMP reads them (Salemi 2024)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]


def label_of(answer: str, labels: Sequence[str]) -> str | None:
    """The label that an answer is, without the white space around it; None where it is none of them."""
    stripped = answer.strip()
    return stripped if stripped in labels else None


def number_of(text: str) -> float | None:
    """The number that a text is; None where it is none, or no finite one."""
    try:
        number = float(text.strip())
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def rating_of(answer: str, true: float, lowest: float, highest: float) -> float:
    """The rating that an answer is; where it is none, the end of the scale that is farther from the true one."""
    number = number_of(answer)
    if number is not None:
        return number
    return lowest if abs(lowest - true) > abs(highest - true) else highest


# --- of a corpus ------------------------------------------------------------------------------------------------------


def table(said: Sequence[str | None], true: Sequence[str], labels: Sequence[str]) -> Sums:
    """For each answer a table of true and given labels with a 1 in it, flat; no label is the last that may be given."""
    given = [*labels, None]
    found = np.zeros((len(said), len(labels), len(given)))
    for at, (one, other) in enumerate(zip(said, true, strict=True)):
        found[at, labels.index(other), given.index(one)] = 1
    return found.reshape(len(said), len(labels) * len(given))


def _unfolded(sums: Sums) -> Sums:
    """[..., labels × (labels + 1)] → [..., labels, labels + 1]"""
    labels = int((math.isqrt(1 + 4 * sums.shape[-1]) - 1) // 2)
    return sums.reshape(*sums.shape[:-1], labels, labels + 1)


def accuracy(sums: Sums) -> Sums:
    """The share of right answers."""
    found = _unfolded(sums)
    share: Sums = np.trace(found, axis1=-2, axis2=-1) / found.sum((-2, -1))
    return share


def macro_f1(sums: Sums) -> Sums:
    """The mean over all labels of each one's F1, 0 for a label that nobody has."""
    found = _unfolded(sums)
    right = np.diagonal(found, axis1=-2, axis2=-1)
    either = found.sum(-1) + found[..., :-1].sum(-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        each: Sums = np.where(either > 0, 2 * right / either, 0.0)
    mean: Sums = each.mean(-1)
    return mean


def matthews(sums: Sums) -> Sums:
    """Matthews' correlation of given and true labels (Gorodkin 2004), 0 where either are all the same."""
    found = _unfolded(sums)
    answers, right = found.sum((-2, -1)), np.trace(found, axis1=-2, axis2=-1)
    true, given = found.sum(-1), found.sum(-2)
    covariance = right * answers - (true * given[..., :-1]).sum(-1)
    spread = (answers**2 - (true**2).sum(-1)) * (answers**2 - (given**2).sum(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, covariance / np.sqrt(spread), 0.0)
