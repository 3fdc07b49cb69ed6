"""BLEU, against sacrebleu's own functions and its published values, of a corpus and of many at once."""

import importlib.util
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from passages import ACCENTS, BLANK, CJK, EMOJI, ODD, ONE_WORD, OTHER_CJK, numbered, pairs
from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics.bleu import COUNTS, ORDERS, Bleu, of_corpora, of_corpus, signature

OFFLINE = ("13a", "char", "intl", "none", "zh")
TEXTS = st.lists(
    st.sampled_from(["the", "cat", "sat", "on", "mat", ".", ",", "3.5", "A's", "我", "喜欢", "é"]), max_size=12
).map(" ".join)


def corpus(some: Sequence[tuple[str, str]], tokenize: str = "13a") -> float:
    """The BLEU of all pairs, from what each adds to it."""
    bleu = Bleu(tokenize)
    return of_corpus(np.sum([bleu.score(*pair).counts for pair in some], axis=0).tolist())


def by_peer(some: Sequence[tuple[str, str]], tokenize: str = "13a") -> float:
    answers, references = zip(*some, strict=True)
    return sacrebleu.corpus_bleu(answers, [references], tokenize=tokenize).score


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), st.sampled_from(OFFLINE))
def test_any_corpus_scores_as_in_sacrebleu(some: list[tuple[str, str]], tokenize: str) -> None:
    assert corpus(some, tokenize) == by_peer(some, tokenize)


@settings(deadline=None, max_examples=150)
@given(TEXTS, TEXTS, st.sampled_from(OFFLINE))
def test_any_answer_scores_as_in_sacrebleu(answer: str, reference: str, tokenize: str) -> None:
    peer = sacrebleu.sentence_bleu(answer, [reference], tokenize=tokenize)
    found = Bleu(tokenize).score(answer, reference)
    assert found.bleu == peer.score
    assert found.counts == [peer.sys_len, peer.ref_len, *peer.counts, *peer.totals]


def test_real_paragraphs_score_as_in_sacrebleu(material: Path) -> None:
    some = pairs(material, 60)
    for tokenize in ("13a", "intl"):
        assert corpus(some, tokenize) == by_peer(some, tokenize)
    bleu = Bleu()
    for answer, reference in some[:30]:
        assert bleu.score(answer, reference).bleu == sacrebleu.sentence_bleu(answer, [reference]).score


def test_the_published_values_of_a_corpus(material: Path) -> None:
    """Those with one reference that are the same however orders without a match are smoothed: all or nothing."""
    published = json.loads((material / "metrics" / "sacrebleu" / "expected.json").read_text("utf-8"))
    cases = [
        (list(zip(case["hyps"], case["refs"][0], strict=True)), case["bleu_0to1"] * 100)
        for case in published["raw_corpus_bleu"]
        if len(case["refs"]) == 1 and case["bleu_0to1"] in (0, 1)
    ]
    assert len(cases) == 2
    for some, value in cases:
        assert corpus(some) == pytest.approx(value, abs=1e-9)
    assert all(len(case["refs"]) > 1 for case in published["corpus_bleu"])


def test_the_published_values_of_short_answers(material: Path) -> None:
    """Those in which each order has a match: the others are smoothed otherwise there."""
    published = json.loads((material / "metrics" / "sacrebleu" / "expected.json").read_text("utf-8"))
    cases = published["effective_order_raw_corpus_bleu_smooth0.01"]
    assert [case["hyps"] for case in cases] == [["test"], ["a test"], ["a little test"]]
    for case in cases[:2]:
        found = Bleu().score(case["hyps"][0], case["refs"][0][0]).bleu
        assert found == pytest.approx(100 * case["bleu_0to1"], abs=1e-9)


def test_the_published_values_of_an_answer(material: Path) -> None:
    published = json.loads((material / "metrics" / "sacrebleu" / "expected.json").read_text("utf-8"))["sentence_bleu"]
    cases = [
        case
        for case in published["cases"]
        if case["smooth_method"] == "exp" and case["smooth_value"] is None and not case["lowercase"]
    ]
    assert {case["tokenize"] for case in cases} == {"13a", "none", "intl", "char"}
    for case in cases:
        found = Bleu(case["tokenize"]).score(published["sys"], published["ref"]).bleu
        assert found == pytest.approx(case["score"], abs=5e-4)


# --- many corpora at once ---------------------------------------------------------------------------------------------


def random_counts(draw: random.Random) -> list[int]:
    """Counts as some answers have them, also of answers that are short, or have nothing in common."""
    own, answers = draw.choice([0, 1, 2, 3, 4, draw.randint(5, 300)]), draw.randint(1, 3)
    totals = [max(0, own - order * answers) for order in range(ORDERS)]
    common = [draw.choice([0, draw.randint(0, total)]) for total in totals]
    return [own, draw.choice([0, own, draw.randint(0, 300)]), *common, *totals]


def test_many_corpora_score_as_each_alone() -> None:
    draw = random.Random(5)
    rows = [[0] * COUNTS, *(random_counts(draw) for _ in range(2999))]
    counts = np.array(rows, np.float64)
    alone = [of_corpus(row) for row in rows]
    np.testing.assert_allclose(of_corpora(counts), alone, rtol=0, atol=1e-9)
    assert sum(score > 0 for score in alone) > 500
    assert alone.count(0) > 500
    np.testing.assert_array_equal(of_corpora(counts.reshape(-1, 3, COUNTS))[:, 1], of_corpora(counts)[1::3])


def test_one_corpus_of_no_rows_of_its_own_shape() -> None:
    assert of_corpora(np.zeros(COUNTS)).shape == ()
    assert float(of_corpora(np.array([4, 4, 4, 3, 2, 1, 4, 3, 2, 1.0]))) == pytest.approx(100)
    assert of_corpora(np.zeros((0, COUNTS))).shape == (0,)


def test_hand_counted() -> None:
    """Of four words three are met, of three pairs two, of two triples one, and of one run of four none, which is ½."""
    found = Bleu().score("the cat sat down", "the cat sat on it")
    assert found.counts == [4, 5, 3, 2, 1, 0, 4, 3, 2, 1]
    expected = 100 * np.exp(1 - 5 / 4) * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    assert found.bleu == pytest.approx(expected)
    assert of_corpus(found.counts) == found.bleu
    assert float(of_corpora(np.array(found.counts, np.float64))) == pytest.approx(expected)


def test_orders_without_a_match_count_less_and_less() -> None:
    found = Bleu().score("a x b y c z", "a b c d e f")
    assert found.counts == [6, 6, 3, 0, 0, 0, 6, 5, 4, 3]
    expected = 100 * (3 / 6 * (1 / 2) / 5 * (1 / 4) / 4 * (1 / 8) / 3) ** 0.25
    assert of_corpus(found.counts) == pytest.approx(expected)
    assert float(of_corpora(np.array(found.counts, np.float64))) == pytest.approx(expected)


def test_counts_of_answers_add_up_to_those_of_the_corpus() -> None:
    bleu, some = Bleu(), [("a b c d e", "a b c d f"), ("", "x"), ("q r", "q r")]
    peer = sacrebleu.corpus_bleu([one for one, _ in some], [[other for _, other in some]])
    added = np.sum([bleu.score(*pair).counts for pair in some], axis=0).tolist()
    assert added == [peer.sys_len, peer.ref_len, *peer.counts, *peer.totals]


# --- little to go by --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenize", OFFLINE)
@pytest.mark.parametrize(("answer", "reference"), BLANK.values(), ids=BLANK)
def test_nothing_to_compare_scores_0(answer: str, reference: str, tokenize: str) -> None:
    assert Bleu(tokenize).score(answer, reference).bleu == 0.0
    assert corpus([(answer, reference)], tokenize) == 0.0


@pytest.mark.parametrize(
    ("pair", "tokenize", "answer", "all_of_them"),
    [
        (EMOJI, "13a", 100, 0),
        (CJK, "13a", 100, 0),
        (CJK, "zh", 100, 100),
        (CJK, "char", 100, 100),
        (OTHER_CJK, "13a", 0, 0),
        (ACCENTS, "13a", 0, 0),
        (("superb", "superb"), "13a", 100, 0),
        (ONE_WORD, "13a", 0, 0),
        ((numbered(2200), numbered(2200)), "13a", 100, 100),
    ],
)
def test_few_words_and_many(pair: tuple[str, str], tokenize: str, answer: float, all_of_them: float) -> None:
    assert Bleu(tokenize).score(*pair).bleu == pytest.approx(answer, rel=1e-12)
    assert corpus([pair], tokenize) == pytest.approx(all_of_them, rel=1e-12)


@pytest.mark.parametrize("tokenize", ["zh", "char"])
def test_other_characters_are_seen_by_tokenizers_made_for_them(tokenize: str) -> None:
    """Of eight characters seven are met, of their pairs four, of the triples two, and one run of four."""
    found = Bleu(tokenize).score(*OTHER_CJK)
    assert found.counts == [8, 9, 7, 4, 2, 1, 8, 7, 6, 5]
    assert (
        found.bleu
        == corpus([OTHER_CJK], tokenize)
        == pytest.approx(100 * np.exp(1 - 9 / 8) * (7 / 8 * 4 / 7 * 2 / 6 * 1 / 5) ** 0.25)
    )


@pytest.mark.parametrize("pair", ODD)
def test_odd_text_scores_as_in_sacrebleu(pair: tuple[str, str]) -> None:
    for tokenize in OFFLINE:
        assert corpus([pair], tokenize) == by_peer([pair], tokenize)
        assert Bleu(tokenize).score(*pair).bleu == sacrebleu.sentence_bleu(pair[0], [pair[1]], tokenize=tokenize).score


# --- tokenizers -------------------------------------------------------------------------------------------------------


def refused(tokenize: str) -> str:
    with pytest.raises(SteerxError) as raised:
        Bleu(tokenize)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_unknown_tokenizer_is_refused_with_the_known_ones() -> None:
    said = refused("14a")
    assert said.startswith("sacrebleu has no tokenizer '14a': choose 13a, ")
    assert said.split("choose ")[1].split(", ") == sorted(BLEU.TOKENIZERS)


@pytest.mark.skipif(importlib.util.find_spec("MeCab") is not None, reason="MeCab is there")
def test_a_tokenizer_whose_package_is_missing_is_refused() -> None:
    said = refused("ja-mecab")
    assert said.startswith("sacrebleu's tokenizer ja-mecab cannot be used here (")
    assert said.endswith("): choose another")


@pytest.mark.parametrize("error", [ImportError("no\n  spm"), RuntimeError("no model"), OSError("no disk")])
def test_a_tokenizer_that_cannot_start_is_refused(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(BLEU, "__init__", start)
    said = " ".join(str(error).split())
    assert refused("spm") == f"sacrebleu's tokenizer spm cannot be used here ({said}): choose another"


@pytest.mark.parametrize("tokenize", OFFLINE)
def test_the_signature_is_sacrebleus_own(tokenize: str) -> None:
    peer = BLEU(tokenize=tokenize)
    peer.corpus_score(["a"], [["a"]])
    assert signature(tokenize) == str(peer.get_signature())
