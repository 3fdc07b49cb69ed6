"""The metrics as `evaluate.Metric`s: the same numbers, without a network or a file."""

import math
import os
import pickle
import socket
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest

from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics import bleu, labels, meteor, rouge
from steerx_cli.metrics.hub import (
    Accuracy,
    BertScore,
    Bleu,
    MacroF1,
    Mae,
    Mcc,
    Meteor,
    Rmse,
    Rouge1,
    RougeL,
    SteerxMetric,
)

ANSWERS = ["A quiet film about dogs.", "", "我喜欢这部电影。", "A mat: The cat sat on today."]
REFERENCES = ["a quiet, slow film about a dog", "nothing", "我很喜欢那部电影。", "The cat sat on a mat."]
KNOWN = ("a", "b", "c")
SAID, TRUE = [" a", "b", "B", "a", "c"], ["a", "b", "b", "b", "a"]
GIVEN, RATED = ["4", "good", " 2.5", "1"], ["5", "2", "3", "1"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("a metric went to the network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)


def value(metric: SteerxMetric, answers: Sequence[str], references: Sequence[str]) -> float:
    """The only number that it gives."""
    [(name, found)] = metric.compute(predictions=answers, references=references).items()
    assert name == metric.name_of_ours
    assert isinstance(found, float)
    return found


def texts() -> list[SteerxMetric]:
    return [Rouge1(), RougeL(), Meteor(split="simple"), Bleu(), Bleu(tokenize="char")]


def others() -> list[SteerxMetric]:
    return [Accuracy(KNOWN), MacroF1(KNOWN), Mcc(KNOWN), Mae(), Rmse()]


def test_means_are_those_of_the_plain_functions() -> None:
    simple = meteor.Meteor("simple").score
    for metric, score in ((Rouge1(), rouge.rouge1), (RougeL(), rouge.rouge_l), (Meteor(split="simple"), simple)):
        found = value(metric, ANSWERS, REFERENCES)
        assert found == pytest.approx(statistics.fmean(map(score, ANSWERS, REFERENCES)), abs=1e-15)
        assert 0 < found < 1
    assert value(RougeL(), ANSWERS, REFERENCES) < value(Rouge1(), ANSWERS, REFERENCES)


@pytest.mark.parametrize("tokenize", ["13a", "char", "zh"])
def test_bleu_is_that_of_the_corpus(tokenize: str) -> None:
    plain = bleu.Bleu(tokenize)
    counts = [plain.score(*pair).counts for pair in zip(ANSWERS, REFERENCES, strict=True)]
    assert value(Bleu(tokenize), ANSWERS, REFERENCES) == bleu.of_corpus(np.sum(counts, 0).tolist()) > 0


def test_labels_are_those_of_the_plain_functions() -> None:
    sums = labels.table([labels.label_of(answer, KNOWN) for answer in SAID], TRUE, KNOWN).sum(0)
    assert value(Accuracy(KNOWN), SAID, TRUE) == float(labels.accuracy(sums)) == 0.4
    assert value(MacroF1(KNOWN), SAID, TRUE) == float(labels.macro_f1(sums)) == pytest.approx((2 / 4 + 2 / 4 + 0) / 3)
    assert value(Mcc(KNOWN), SAID, TRUE) == float(labels.matthews(sums))


def test_ratings_are_those_of_the_plain_functions() -> None:
    off = [abs(labels.rating_of(answer, float(of), 1, 5) - float(of)) for answer, of in zip(GIVEN, RATED, strict=True)]
    assert off == [1.0, 3.0, 0.5, 0.0]
    assert value(Mae(), GIVEN, RATED) == 4.5 / 4
    assert value(Rmse(), GIVEN, RATED) == math.sqrt(10.25 / 4)
    assert value(Mae(lowest=0, highest=10), ["?"], ["2"]) == 8


def test_texts_may_come_one_by_one_or_in_batches() -> None:
    metrics = [*zip(texts(), texts(), strict=True)]
    for at_once, metric in metrics:
        metric.add(prediction=ANSWERS[0], reference=REFERENCES[0])
        metric.add_batch(predictions=ANSWERS[1:3], references=REFERENCES[1:3])
        metric.add_batch(predictions=np.array(ANSWERS[3:]), references=tuple(REFERENCES[3:]))
        assert metric.compute() == at_once.compute(predictions=ANSWERS, references=REFERENCES)


def test_a_metric_can_be_asked_again() -> None:
    for metric in texts():
        whole = value(metric, ANSWERS, REFERENCES)
        assert value(metric, ["x"], ["y"]) == 0.0
        assert value(metric, ANSWERS, REFERENCES) == whole


def test_metrics_are_combined() -> None:
    together = evaluate.combine(texts()[:4])
    found = together.compute(predictions=ANSWERS, references=REFERENCES)
    assert list(found) == ["rouge1", "rougeL", "meteor", "bleu"]
    assert found == {metric.name_of_ours: value(metric, ANSWERS, REFERENCES) for metric in texts()[:4]}
    judged = evaluate.combine([Accuracy(KNOWN), MacroF1(KNOWN), Mcc(KNOWN)])
    assert judged.compute(predictions=SAID, references=TRUE).keys() == {"accuracy", "macro-f1", "mcc"}


@pytest.mark.parametrize("used", [False, True])
def test_metrics_can_be_pickled(used: bool) -> None:
    for metric, (answers, references) in [
        *((metric, (ANSWERS, REFERENCES)) for metric in texts()),
        *((metric, (SAID, TRUE)) for metric in others()[:3]),
        *((metric, (GIVEN, RATED)) for metric in others()[3:]),
    ]:
        before = value(metric, answers, references) if used else None
        again = pickle.loads(pickle.dumps(metric))
        after = value(again, answers, references)
        assert before in (None, after)
    assert pickle.loads(pickle.dumps(BertScore("folder", layer=2)))._how == ("folder", 2, 8192, {"dtype": "float32"})


@pytest.mark.parametrize("wrong", [None, math.nan, 3, b"bytes", ["nested"]])
@pytest.mark.parametrize("place", range(4))
def test_what_is_no_text_is_refused_in_any_place(wrong: Any, place: int) -> None:
    mixed: list[Any] = list(ANSWERS)
    mixed[place] = wrong
    metric = Rouge1()
    with pytest.raises(SteerxError) as raised:
        metric.compute(predictions=mixed, references=REFERENCES)
    assert str(raised.value) == "1 of 4 predictions are no texts: give strings"
    mixed[place - 1] = wrong
    with pytest.raises(SteerxError) as raised:
        metric.compute(predictions=ANSWERS, references=mixed)
    assert str(raised.value) == "2 of 4 references are no texts: give strings"
    with pytest.raises(SteerxError) as raised:
        metric.add(prediction="a", reference=wrong)
    assert str(raised.value) == "1 of 1 references are no texts: give strings"
    assert value(metric, ANSWERS, REFERENCES) == value(Rouge1(), ANSWERS, REFERENCES), "nothing of it was kept"


def test_every_metric_refuses_what_is_no_text() -> None:
    for metric in [*texts(), *others(), BertScore("folder", layer=2)]:
        with pytest.raises(SteerxError, match="1 of 2 predictions are no texts"):
            metric.compute(predictions=["a", None], references=["a", "b"])


def test_lists_of_unequal_length_are_refused() -> None:
    for metric in [*texts(), *others()]:
        for answers, references in ((["a", "a"], ["a"]), (["a"], ["a", "a"]), ([], ["a"]), (["a"], [])):
            with pytest.raises((SteerxError, ValueError)):
                metric.compute(predictions=answers, references=references)


def test_no_answers_are_refused() -> None:
    for metric in [*texts(), *others()]:
        with pytest.raises(SteerxError) as raised:
            metric.compute(predictions=[], references=[])
        assert str(raised.value) == f"{metric.name_of_ours} of no answers is nothing: give some"


def test_references_that_are_no_labels_or_ratings_are_refused() -> None:
    for metric in (Accuracy(KNOWN), MacroF1(KNOWN), Mcc(KNOWN)):
        with pytest.raises(SteerxError) as raised:
            metric.compute(predictions=["a"] * 3, references=["a", "A", "d"])
        assert str(raised.value) == "2 of 3 references are none of the labels: name all labels"
    for rating in (Mae(), Rmse()):
        with pytest.raises(SteerxError) as raised:
            rating.compute(predictions=["1"] * 3, references=["nan", "1", "one"])
        assert str(raised.value) == "2 of 3 references are no numbers: give ratings"


def test_a_tokenizer_or_a_model_that_is_not_there_is_told_of_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    monkeypatch.setattr("nltk.data.path", [])
    with pytest.raises(SteerxError, match=r"Meteor\(split=\"simple\"\)"):
        value(Meteor(), ANSWERS, REFERENCES)
    with pytest.raises(SteerxError, match="sacrebleu has no tokenizer"):
        value(Bleu("14a"), ANSWERS, REFERENCES)


def test_metrics_say_what_they_are() -> None:
    assert RougeL().description == "ROUGE-L F1, as rouge_score computes it; the plain mean."
    assert set(Bleu().features) == {"predictions", "references"}


ALONE = """
import socket
def connect(*_):
    raise AssertionError("a metric went to the network")
socket.socket.connect = socket.getaddrinfo = connect
import evaluate
from steerx_cli.metrics.hub import Bleu, Meteor, Rouge1
together = evaluate.combine([Rouge1(), Meteor(split="simple"), Bleu()])
print(together.compute(predictions=["a quiet film"], references=["a quiet, slow film"]))
"""


def test_a_process_of_its_own_leaves_no_file(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("HOME", "HF_HOME", "HF_METRICS_CACHE", "TMPDIR", "XDG_CACHE_HOME")}
    for place in places.values():
        place.mkdir()
    (tmp_path / "working").mkdir()
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    ended = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=tmp_path / "working",
        env={**kept, **{name: str(place) for name, place in places.items()}, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answer, reference = "a quiet film", "a quiet, slow film"
    told = {
        "rouge1": rouge.rouge1(answer, reference),
        "meteor": meteor.Meteor("simple").score(answer, reference),
        "bleu": value(Bleu(), [answer], [reference]),
    }
    assert ended.stdout == f"{told}\n"
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert list(places["HF_METRICS_CACHE"].iterdir()) == []
    assert list((tmp_path / "working").iterdir()) == list(places["TMPDIR"].iterdir()) == []
