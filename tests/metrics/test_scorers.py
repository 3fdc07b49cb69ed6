"""Metrics as columns of answers, and what is told of them."""

from collections import Counter

from passages import BLANK
from steerx_cli.metrics import rouge, scorers
from steerx_cli.metrics.bleu import Bleu

ANSWERS = ["A quiet film.", " ", "我喜欢这部电影", "a b c d a b c d"]
REFERENCES = ["a quiet, slow film", "", "我喜欢", "a b"]


def test_a_metric_of_one_answer_at_a_time_fills_a_column() -> None:
    tally: scorers.Tally = Counter()
    found = scorers.each(rouge1=rouge.rouge1)(ANSWERS, REFERENCES, tally)
    assert found == {"rouge1": [rouge.rouge1(*pair) for pair in zip(ANSWERS, REFERENCES, strict=True)]}
    assert tally == {}
    assert scorers.each(rouge1=rouge.rouge1)([], [], tally) == {"rouge1": []}


def test_bleu_fills_two() -> None:
    found = scorers.by_bleu("char")(ANSWERS, REFERENCES, Counter())
    alone = [Bleu("char").score(*pair) for pair in zip(ANSWERS, REFERENCES, strict=True)]
    assert found == {"bleu": [each.bleu for each in alone], "bleu_counts": [each.counts for each in alone]}
    assert alone[2].bleu > 0


def test_labels_are_read_and_what_is_none_is_told_of() -> None:
    tally: scorers.Tally = Counter()
    found = scorers.by_label(["a", "b"])([" a", "A", "b\n", ""], ["a", "b ", "b", "a"], tally)
    assert found == {"label": ["a", None, "b", None], "true_label": ["a", "b", "b", "a"]}
    assert tally == {"answers that are none of the task's labels": 2}


def test_ratings_are_read_and_what_is_none_is_told_of() -> None:
    tally: scorers.Tally = Counter()
    found = scorers.by_rating(1, 5)([" 4", "good", "good", "nan", "0"], ["5", "2", "4.0", " 3", "1"], tally)
    assert found == {"rating": [4.0, 5, 1, 5, 0.0], "true_rating": [5.0, 2.0, 4.0, 3.0, 1.0]}
    assert tally == {
        "answers that are no rating, and count as the worst": 3,
        "ratings outside the scale, which count as they are": 1,
    }


def test_shapes() -> None:
    tally: scorers.Tally = Counter()
    found = scorers.shapes(ANSWERS, REFERENCES, tally)
    assert found == {
        "empty": [False, True, False, False],
        "words": [3, 0, 7, 8],
        "reference_words": [4, 0, 3, 2],
        "repeated4": [0.0, 0.0, 0.0, 1 - 4 / 5],
        "distinct2": [1.0, None, 1.0, 4 / 7],
    }
    assert tally == {"empty answers": 1}


def test_blank_texts_are_told_of() -> None:
    tally: scorers.Tally = Counter()
    answers, references = zip(*BLANK.values(), strict=True)
    scorers.shapes(answers, references, tally)
    scorers.shapes(answers, references, tally)
    assert list(tally.values()) == [8]


def test_texts_that_cannot_be_judged_are_told_of() -> None:
    told = "mostly outside ASCII, of which ROUGE sees little, and BLEU unless another --tokenize is named"
    assert scorers.foreign("answers", ANSWERS) == {f"answers {told}": 1}
    assert scorers.foreign("references", [*REFERENCES[:3], "喜"]) == {f"references {told}": 2}


def test_texts_with_one_reference_stay_together() -> None:
    references = [str(number // 3) for number in range(600)]
    blocks = list(scorers._blocks(references))
    assert [(block.start, block.stop) for block in blocks] == [(0, 129), (129, 258), (258, 387), (387, 516), (516, 600)]
    assert list(scorers._blocks([])) == []
    assert list(scorers._blocks(["same"] * 1000)) == [slice(0, 1000)]
    assert list(scorers._blocks([str(number) for number in range(256)])) == [slice(0, 128), slice(128, 256)]
