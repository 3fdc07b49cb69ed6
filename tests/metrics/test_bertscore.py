"""BERTScore, against the package of its authors."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from bert_score import BERTScorer
from hypothesis import given
from hypothesis import strategies as st

from encoders import LONGEST, make_model, write_encoder
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.models import ModelRequest
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.token_states import Reader, States
from steerx_cli.metrics import scorers
from steerx_cli.metrics.bertscore import PAPER, BertScore, Scores, _f1, layer_of

CUT = "texts of which the BERTScore model took the beginning only"
ANSWERS = ["a cat", "b", "cab", "the quick brown fox jumps", "", "  a cat\n", "za" * 40, "hello world", "a cat"]
REFERENCES = ["a hat", "b", "xyz", "a slow red fox sleeps", "a", "a cat", "az" * 20, "  \t ", "dog " * 30]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie, each written by the first that asks for it."""
    return tmp_path_factory.mktemp("models")


def model_of(models: Path, kind: str, trained: bool = True) -> Path:
    folder = models / (kind if trained else f"{kind}-new")
    return folder if folder.exists() else write_encoder(folder, kind, trained=trained)


def request_for(folder: Path) -> ModelRequest:
    return ModelRequest(str(folder), dtype="float32", device="cpu")


def score(folder: Path, layer: int, answers: Sequence[str], references: Sequence[str], tokens: int = 8192) -> Scores:
    return BertScore(Reader(request_for(folder), layer), tokens).score(answers, references)


def theirs(folder: Path, layer: int, answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """What bert_score says of pairs one at a time: in a batch, tokens like none of the others may match filler."""
    scorer = BERTScorer(model_type=str(folder), num_layers=layer, device="cpu", idf=False)
    return list(map(float, scorer.score(list(answers), list(references), batch_size=1)[2]))


def not_blank(answers: Sequence[str], references: Sequence[str]) -> tuple[list[str], list[str]]:
    """The pairs that it takes: beside transformers 5 it fails at blank texts."""
    kept = [pair for pair in zip(answers, references, strict=True) if all(text.strip() for text in pair)]
    return [answer for answer, _ in kept], [reference for _, reference in kept]


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("kind", ["led", "bert", "roberta", "distilbert", "bart", "t5", "qwen2"])
def test_f1_is_what_bert_score_says(models: Path, kind: str, layer: int) -> None:
    folder = model_of(models, kind)
    answers, references = not_blank(ANSWERS, REFERENCES)
    expected = theirs(folder, layer, answers, references)
    metric = BertScore(Reader(request_for(folder), layer), 8192)
    for tokens in (1, 8192):  # of LED, texts that are short and alone go another way than all of them together
        metric._batch_tokens = tokens
        np.testing.assert_allclose(metric.score(answers, references).f1, expected, rtol=0, atol=1e-6)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("kind", ["led", "bert"])
def test_t5_in_the_name_of_a_folder_means_nothing(models: Path, kind: str) -> None:
    folder = model_of(models, kind)
    named = models / f"t5-{kind}"
    shutil.copytree(folder, named)
    assert score(named, 2, ANSWERS, REFERENCES) == score(folder, 2, ANSWERS, REFERENCES)


@pytest.mark.parametrize("kind", ["bert", "led", "gpt2", "t5"])
@pytest.mark.parametrize("blank", ["", "  \t\n"])
def test_blank_texts_score_0(models: Path, kind: str, blank: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert score(model_of(models, kind), 2, [blank, "a cat", blank], ["a cat", blank, blank]).f1 == [0, 0, 0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "text"), [("bert", "\x00\x07\x01"), ("bert", "[SEP] [CLS][CLS]"), ("led", "</s>"), ("led", "<s><s></s>")]
)
def test_texts_of_nothing_that_counts_score_0(models: Path, kind: str, text: str) -> None:
    assert score(model_of(models, kind), 2, [text, "a cat", text], ["a cat", text, text]).f1 == [0, 0, 0]


def test_equal_texts_score_1_and_space_around_them_is_nothing(models: Path) -> None:
    found = score(model_of(models, "led"), 2, ["a cat", " a cat\n", "a dog"], ["a cat", "a cat", "a cat"]).f1
    assert found[:2] == pytest.approx([1, 1], abs=1e-6)
    assert found[2] < 0.99


def text_of(directions: Sequence[int], own: Sequence[bool]) -> States:
    """A text whose tokens point along axes, each of another length."""
    states = torch.eye(4)[list(directions)] * torch.arange(1, len(directions) + 1)[:, None]
    return States(states, np.array(own), False)


def test_f1_by_hand() -> None:
    reference = text_of([0, 1, 3], [True, True, False])
    assert _f1(text_of([0, 2], [True, True]), reference) == pytest.approx(0.5)  # half of either is found
    assert _f1(text_of([0], [True]), reference) == pytest.approx(2 / 3)  # all of one, half of the other
    assert _f1(text_of([0, 1], [True, False]), reference) == pytest.approx(1)  # special tokens are found, not counted
    assert _f1(text_of([3, 2], [True, True]), text_of([0, 1], [True, True])) == 0
    assert _f1(text_of([0, 1], [False, False]), reference) == 0


def test_texts_of_two_tokens_are_not_empty(capfd: pytest.CaptureFixture[str]) -> None:
    text = text_of([0, 1], [True, True])
    assert _f1(text, text_of([0, 1], [True, True])) == pytest.approx(1)
    assert capfd.readouterr().err == ""


def test_states_stay_as_they_were_read() -> None:
    text, other = text_of([0, 1, 3], [True, True, False]), text_of([0, 2], [True, True])
    before = text.states.clone(), other.states.clone()
    _f1(text, other)
    assert torch.equal(text.states, before[0])
    assert torch.equal(other.states, before[1])


def test_distinct_texts_that_were_cut_are_counted(models: Path) -> None:
    fits, longer = "a" * (LONGEST - 2), "a" * (LONGEST - 1)
    found = score(model_of(models, "led"), 2, [longer, fits, longer], [fits, longer, "b" * 99])
    assert found.cut == 2
    assert found.f1[:2] == pytest.approx([1, 1], abs=1e-6)


def test_answers_and_references_stand_side_by_side(models: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        score(model_of(models, "bert"), 1, ["a", "b"], ["a"])


# --- of all systems ---------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts go through the model each time."""
    counts: list[int] = []
    read = Reader._read

    def count(self: Reader, ids: list[Ids]) -> list[torch.Tensor]:
        counts.append(len(ids))
        return read(self, ids)

    monkeypatch.setattr(Reader, "_read", count)
    return counts


def test_a_reference_is_read_once_for_all_systems(models: Path, rows: list[int]) -> None:
    metric = scorers.by_bertscore(request_for(model_of(models, "bert")), 2, 8192)
    references = ["a cat"] * 3 + ["a dog"] * 3
    answers = ["a", "b", "c", "d", "a", "a dog"]
    metric(answers, references, Counter())
    assert rows == [len({*references, *answers})]


def test_blocks_change_nothing_and_read_a_reference_once(
    models: Path, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = scorers.by_bertscore(request_for(model_of(models, "led")), 2, 8192)
    references = ["a cat"] * 3 + ["a dog"] * 3 + ["z" * 99]
    answers = ["y" * 99, *"bc", *"def", "z" * 98]
    whole, pieces = Counter[str](), Counter[str]()
    expected = metric(answers, references, whole)["bertscore"]
    rows.clear()
    monkeypatch.setattr(scorers, "_ANSWERS_AT_ONCE", 2)
    found = metric(answers, references, pieces)["bertscore"]
    assert rows == [1, 3, 4, 2], "a text that LED does not see whole is read apart"
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=1e-6)
    assert whole[CUT] == pieces[CUT] == 3


@pytest.mark.parametrize("trained", [True, False])
def test_scores_of_an_untrained_model_are_told_of(models: Path, trained: bool) -> None:
    tally = Counter[str]()
    scorers.by_bertscore(request_for(model_of(models, "bert", trained)), 2, 100)(["a", "b"], ["a", "c"], tally)
    assert tally[scorers.UNTRAINED] == (0 if trained else 2)


@given(st.lists(st.sampled_from("ab"), max_size=30).map(sorted) | st.lists(st.sampled_from("ab"), max_size=30))
def test_blocks_are_large_enough_and_never_part_a_reference(references: list[str]) -> None:
    size = 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorers, "_ANSWERS_AT_ONCE", size)
        blocks = list(scorers._blocks(references))
    assert [place for some in blocks for place in range(some.start, some.stop)] == list(range(len(references)))
    for some in blocks[:-1]:
        assert references[some.stop] != references[some.stop - 1]
        assert some.stop - some.start >= size
        first = some.start + size  # it ends where it may
        assert all(references[place] == references[place - 1] for place in range(first, some.stop))


def test_hub_gives_the_same_in_float32(models: Path) -> None:
    from steerx_cli.metrics.hub import BertScore as OfHub

    folder = models / "half"
    shutil.copytree(model_of(models, "bert"), folder)
    make_model("bert").bfloat16().save_pretrained(folder)
    found = OfHub(str(folder), 2, device="cpu").compute(predictions=ANSWERS, references=REFERENCES)
    expected = np.mean(score(folder, 2, ANSWERS, REFERENCES).f1)
    assert found == {"bertscore": pytest.approx(expected, abs=1e-7)}


# --- which layer ------------------------------------------------------------------------------------------------------


def test_layer_that_is_asked_for() -> None:
    assert layer_of(PAPER[0], 0) == 0  # the reader, which knows the model, refuses it
    assert layer_of("roberta-large", 3) == layer_of("somebody/elses", 3) == layer_of(PAPER[0], 3) == 3


def test_layer_of_the_papers_model_needs_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bert_score.utils", None)
    assert layer_of("allenai/led-base-16384", None) == 6
    with pytest.raises(ImportError):
        layer_of("roberta-large", None)


def test_layers_are_those_of_bert_score() -> None:
    from bert_score.utils import model2layers

    assert model2layers[PAPER[0]] == PAPER[1]
    assert layer_of("roberta-large", None) == 17


def test_layer_of_an_unknown_model() -> None:
    with pytest.raises(SteerxError) as caught:
        layer_of("somebody/elses", None)
    assert str(caught.value) == (
        "bert_score has no layer for the model 'somebody/elses': name one with --bertscore-layer"
    )
