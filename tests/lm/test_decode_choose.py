"""The token that is written, against shares that are counted by hand."""

import math
import re
from fractions import Fraction
from typing import Any

import pytest
import torch

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.choose import choose
from steerx_cli.lm.sampling import Sampling

LOGITS = [0.3, 2.0, -1.0, 1.4, -30.0, 1.9, 0.31, -4.0]


def shares(logits: list[float], temperature: float, top_p: float) -> dict[int, float]:
    """The most probable tokens, no more than it takes to have `top_p` together, and the share of each among them."""
    weights = {token: math.exp((logit - max(logits)) / temperature) for token, logit in enumerate(logits)}
    kept: dict[int, float] = {}
    for token in sorted(weights, key=lambda each: -weights[each]):
        if sum(kept.values()) >= top_p * sum(weights.values()):
            break
        kept[token] = weights[token]
    return {token: weight / sum(kept.values()) for token, weight in kept.items()}


def on_a_grid(logits: list[float], sampling: Sampling, count: int) -> list[Any]:
    """What is chosen at draws evenly spread over [0, 1)."""
    return choose(torch.tensor([logits] * count), [(at + 0.5) / count for at in range(count)], sampling)


@pytest.mark.parametrize("draws", [None, [0.9, 0.0, 0.5]])
def test_without_sampling_the_most_probable_is_chosen(draws: list[float] | None) -> None:
    rows = torch.tensor([[0.0, 3.0, 2.9], [-5.0, -7.0, -6.0], [1.0, 2.0, 2.0001]])
    assert choose(rows, draws, None) == [1, 0, 2]


@pytest.mark.parametrize("top_p", [1e-9, 0.2, 0.4, 0.75, 0.95, 1.0])
@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0, 7.0])
def test_every_token_is_drawn_as_often_as_its_share(temperature: float, top_p: float) -> None:
    count = 4000
    found = on_a_grid(LOGITS, Sampling(temperature, top_p), count)
    expected = shares(LOGITS, temperature, top_p)
    assert set(found) <= set(expected)
    for token, share in expected.items():
        assert abs(found.count(token) - share * count) <= 1


def test_the_shares_lie_in_order_the_largest_first() -> None:
    found = on_a_grid(LOGITS, Sampling(), 4000)
    assert [*dict.fromkeys(found)] == [1, 5, 3, 6, 0, 2, 7]
    assert found == sorted(found, key=lambda token: -LOGITS[token])


def test_equal_tokens_come_in_the_order_of_the_vocabulary() -> None:
    assert on_a_grid([1.0, 5.0, 1.0, 5.0], Sampling(1e-3), 8) == [1] * 4 + [3] * 4
    assert on_a_grid([0.0] * 64, Sampling(), 64) == [*range(64)]
    assert choose(torch.zeros(1, 9), None, None) == [0]
    assert on_a_grid([0.0] * 64, Sampling(top_p=0.5), 64) == [at // 2 for at in range(64)]


def test_a_draw_at_either_end_is_a_token_that_can_be_drawn() -> None:
    """Thirds and the like: the shares that are kept do not add up to one."""
    draws = [0.0, math.nextafter(1, 0)]
    for words in (3, 7, 120, 1001):
        rows = torch.zeros(2, words)
        assert choose(rows, draws, Sampling()) == [0, words - 1]
        kept = math.ceil(Fraction(3, 10) * words)
        assert choose(rows, draws, Sampling(top_p=0.3 - 1e-9)) == [0, kept - 1]


def test_what_is_as_good_as_impossible_is_not_drawn_last() -> None:
    """Behind the shares that can be told from nothing lie words that have none."""
    row = torch.tensor([[5.0, -math.inf, 4.0, -2000.0]])
    assert choose(row, [math.nextafter(1, 0)], Sampling(top_p=0.999999)) == [2]


def test_rows_are_drawn_each_by_its_own_draw() -> None:
    rows = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    assert choose(rows, [0.2, 0.7, 0.7, 0.2], Sampling()) == [0, 1, 0, 1]
    whole = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    draws = torch.rand(50, generator=torch.Generator().manual_seed(1)).tolist()
    alone = [choose(row[None], [draw], Sampling(0.8, 0.9))[0] for row, draw in zip(whole, draws, strict=True)]
    assert choose(whole, draws, Sampling(0.8, 0.9)) == alone


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 5e-324])
def test_the_colder_the_surer(temperature: float) -> None:
    assert on_a_grid([7.0, 20.0, 19.0, 3.0], Sampling(temperature), 5) == [1] * 5


@pytest.mark.parametrize("sampling", [None, Sampling(0.7, 0.9)])
def test_logits_that_are_no_numbers_choose_nothing(sampling: Sampling | None) -> None:
    rows = [[1.0, math.nan, 2.0], [math.inf, 0.0, 1.0], [-math.inf] * 3, [math.nan] * 3, [0.0, 40.0, -math.inf]]
    assert choose(torch.tensor(rows), [0.5] * 5, sampling) == [None, None, None, None, 1]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_draws_nothing_is_refused(temperature: float) -> None:
    said = f"--temperature {temperature:g} draws nothing: choose a finite number above 0"
    with pytest.raises(SteerxError, match=f"^{re.escape(said)}$"):
        Sampling(temperature)


@pytest.mark.parametrize("top_p", [0.0, -0.5, 1.01, math.nan])
def test_a_top_p_that_is_no_share_is_refused(top_p: float) -> None:
    said = f"--top-p {top_p:g} is no share: choose a number above 0, and 1 at the most"
    with pytest.raises(SteerxError, match=f"^{re.escape(said)}$"):
        Sampling(top_p=top_p)
