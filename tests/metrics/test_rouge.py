"""ROUGE, against rouge_score, against ROUGE-1.5.5's published values, and against a table of all beginnings."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from passages import ACCENTS, BLANK, CJK, EMOJI, ODD, ONE_WORD, OTHER_CJK, numbered, pairs
from steerx_cli.metrics.rouge import LIKE, longest_common, rouge1, rouge_l, words_of

PEER = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
FEW_WORDS = st.lists(
    st.sampled_from(["a", "b", "c", "A", "b.", "it's", "é", "10", "1", "_x_", "-", "İ", "K", "\n"]), max_size=30
).map(" ".join)


def both(answer: str, reference: str) -> tuple[float, float]:
    return rouge1(answer, reference), rouge_l(answer, reference)


def by_peer(answer: str, reference: str) -> tuple[float, float]:
    found = PEER.score(target=reference, prediction=answer)
    return found["rouge1"].fmeasure, found["rougeL"].fmeasure


def by_table(one: list[int], other: list[int]) -> int:
    """The usual table: the longest common subsequence of every pair of beginnings."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for row, left in enumerate(one, 1):
        for column, right in enumerate(other, 1):
            longer = max(table[row - 1][column], table[row][column - 1])
            table[row][column] = table[row - 1][column - 1] + 1 if left == right else longer
    return table[-1][-1]


@settings(deadline=None, max_examples=300)
@given(FEW_WORDS, FEW_WORDS)
def test_few_words_in_any_order_score_as_in_rouge_score(answer: str, reference: str) -> None:
    assert both(answer, reference) == by_peer(answer, reference)


@settings(deadline=None, max_examples=200)
@given(st.text(), st.text())
def test_any_text_scores_as_in_rouge_score(answer: str, reference: str) -> None:
    assert both(answer, reference) == by_peer(answer, reference)


@pytest.mark.parametrize(("answer", "reference"), ODD)
def test_odd_text_scores_as_in_rouge_score(answer: str, reference: str) -> None:
    assert both(answer, reference) == by_peer(answer, reference)


def test_real_paragraphs_score_as_in_rouge_score(material: Path) -> None:
    found = pairs(material, 100)
    assert len(found) == 100
    for answer, reference in found:
        assert both(answer, reference) == by_peer(answer, reference)


def test_the_values_of_the_original_program(material: Path) -> None:
    folder = material / "metrics" / "rouge155"
    targets, predictions = (
        (folder / name).read_text("utf-8").splitlines() for name in ("target.txt", "prediction.txt")
    )
    published = json.loads((folder / "expected.json").read_text("utf-8"))["target.txt[i] vs prediction.txt[i]"]
    found = list(map(both, predictions, targets))
    assert len(found) == 2
    for name, place in (("rouge1", 0), ("rougeL", 1)):
        assert [f"{score[place]:.5f}" for score in found] == [f"{f1:.5f}" for _, _, f1 in published[name]]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 4), max_size=40), st.lists(st.integers(0, 4), max_size=40))
def test_the_longest_common_subsequence_is_the_one_of_the_usual_table(one: list[int], other: list[int]) -> None:
    assert longest_common([*map(str, one)], [*map(str, other)]) == by_table(one, other)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_which_text_comes_first_is_all_one_to_the_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    found = longest_common(one, other)
    assert found == longest_common(other, one) == longest_common(one[::-1], other[::-1])
    assert longest_common(one, one) == len(one)
    assert found <= min(len(one), len(other))


def test_words_are_runs_of_plain_letters_and_digits() -> None:
    assert words_of("It's Café №10, a_b!") == ("it", "s", "caf", "10", "a", "b")


def test_hand_counted() -> None:
    assert both("the cat the dog", "the dog saw the cat") == (2 * 1 * 0.8 / 1.8, 2 * 0.5 * 0.4 / 0.9)


@pytest.mark.parametrize(("answer", "reference"), BLANK.values(), ids=BLANK)
def test_nothing_to_compare_scores_0(answer: str, reference: str) -> None:
    assert both(answer, reference) == (0.0, 0.0)


@pytest.mark.parametrize(("answer", "reference"), [EMOJI, CJK, OTHER_CJK, ACCENTS])
def test_what_is_outside_ascii_is_not_seen(answer: str, reference: str) -> None:
    assert both(answer, reference) == (0.0, 0.0)


def test_one_word() -> None:
    assert both(*ONE_WORD) == (1.0, 1.0)
    assert both("superb", "film") == (0.0, 0.0)


def test_long_texts() -> None:
    assert both(numbered(2200), numbered(2200)) == (1.0, 1.0)
    assert both(numbered(2200), numbered(2200, 1100)) == (0.5, 0.5)
    turned = " ".join(numbered(2200).split()[::-1])
    assert rouge1(numbered(2200), turned) == 1.0
    assert rouge_l(numbered(2200), turned) == pytest.approx(1 / 2200, abs=1e-15)


def test_whose_values_they_are() -> None:
    assert LIKE == "rouge_score0.1.2|f1|stem:no"
