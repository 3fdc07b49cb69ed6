"""What cannot be described as it was asked for: put together as it is, or refused; marked in its row and counted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from scorers import REVIEW, SHORT, measure, request, rows_of, save_model, world, write
from smoothers import (
    CAFÉ,
    JOIN,
    LLM,
    RAW,
    WORDING,
    Row,
    expected,
    joined,
    people,
    scored,
    smooth,
)
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.scope import Scope
from steerx_cli.lm.causal import CausalLM, Mix
from steerx_cli.lm.decode import Decoder
from steerx_cli.lm.request import Request, Written
from steerx_cli.stages.score_tokens import Wanted as Cutting
from steerx_cli.stages.score_tokens.cut import Cut
from steerx_cli.stages.smooth import Nobody, OnThisMachine, Smoother
from steerx_cli.stages.smooth.settings import Settings

MADE = "descriptions"
HISTORIES, QUERIES = (f"{what} without anchors, and so without a description" for what in ("histories", "queries"))
BLANK_HISTORIES, BLANK_QUERIES = (name.replace("anchors", "text") for name in (HISTORIES, QUERIES))
EMPTY = "descriptions that came out empty: the pieces as they are"
FAILED = "descriptions that failed: the pieces as they are"
LIMIT = "descriptions that reached --max-new-tokens"
THOUGHT = "think blocks taken out"
NO_NUMBERS = "the model gives logits that are no numbers: try another --dtype, or steer less"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "wide")


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whatever it writes is an end."""
    return save_model(tmp_path_factory.mktemp("models") / "mute", ends=range(320))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path, {"scores": people()})


def smoothed(data: Path, how: Settings, model: Path | None = None) -> tuple[list[Row], Mapping[str, int]]:
    """The rows, and the counts of the summary; without a model, from nobody."""
    by, output = OnThisMachine(request(model)) if model else Nobody(), data / "profiles.parquet"
    output.unlink(missing_ok=True)
    counts = smooth(data, how, by, output).counts
    return rows_of(output), counts


# --- nothing to describe ----------------------------------------------------------------------------------------------


def test_without_anchors_there_is_no_description_whoever_describes(data: Path, mute: Path) -> None:
    for how, model in ((JOIN, None), (replace(JOIN, unit="word"), None), (LLM, mute)):
        rows, counts = smoothed(data, how, model)
        none = [row for row in rows if row["description"] is None]
        assert {row["user_id"] for row in none if row["item_id"] is None} == {"e"}
        assert len(none) == sum(row["basis"] == "none" for row in rows) == 16
        for row in none:
            assert (row["histories"], row["anchors"], row["finish"], row["tokens"]) == ([], [], None, None)
        assert (counts[MADE], counts[HISTORIES], counts[QUERIES]) == (32, 14, 2)


def test_whole_texts_lack_a_description_only_where_they_are_blank(mute: Path, tmp_path: Path) -> None:
    texts = [("a", CAFÉ), ("a", " \n"), ("b", ""), ("b", "\t")]
    rows = [scored(user, "q", f"{at}", at, text) for at, (user, text) in enumerate(texts)]
    data = write(tmp_path, {"scores": sorted(rows, key=lambda row: row["user_id"])})
    for how, model in ((RAW, None), (replace(LLM, of="texts"), mute)):
        found, counts = smoothed(data, how, model)
        assert {row["item_id"]: row["description"] for row in found if row["user_id"] == "a"} == {
            "0": CAFÉ,
            "1": None,
            None: CAFÉ,
        }
        assert {row["description"] for row in found if row["user_id"] == "b"} == {None}
        assert (counts[MADE], counts[BLANK_HISTORIES], counts[BLANK_QUERIES]) == (2, 3, 1)


# --- nothing said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [LLM, replace(LLM, unit="word"), replace(LLM, of="texts")])
def test_an_empty_answer_leaves_the_pieces_as_they_are(how: Settings, data: Path, mute: Path) -> None:
    rows, counts = smoothed(data, how, mute)
    told = [row for row in rows if row["basis"] != "none"]
    for row, other in zip(rows, expected(people(), how, lambda pieces: {"description": joined(pieces)}), strict=True):
        assert row["description"] == other["description"]
    assert {(row["basis"], row["finish"], row["tokens"], row["error"]) for row in told} == {
        ("fallback", "end", 0, None)
    }
    assert all(row["prompt_tokens"] > 100 for row in told)
    assert counts[EMPTY] == counts[MADE] == len(told)
    assert not {FAILED, LIMIT} & {*counts}


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a model write these texts, one for each prompt in turn, whatever it is asked."""

    def patched(*texts: str) -> None:
        def write(self: Decoder, requests: Sequence[Request]) -> tuple[list[list[Written]], Mapping[str, int]]:
            written: Iterator[str] = cycle(texts)
            ids = (self.lm.tokenizer(next(written))["input_ids"] for _ in requests)
            return [[Written([*each], "end")] for each in ids], {}

        monkeypatch.setattr(Decoder, "write", write)

    return patched


BLOCKS = {
    "<think>\nHm.\n</think>\n\nQuiet.\n": ("Quiet.", True),
    "<think>Hm, and no end": (None, True),
    "<think>Hm.</think> \n": (None, True),
    "Quiet. <think>Hm.": ("Quiet.", True),
    " \n ": (None, False),
    " Quiet café.\n": ("Quiet café.", False),
}


def test_think_blocks_are_taken_out_and_what_is_left_may_be_nothing(
    data: Path, model: Path, say: Callable[..., None]
) -> None:
    say(*BLOCKS)
    rows, counts = smoothed(data, LLM, model)
    assert len(unique(rows)) > len(BLOCKS)
    for (said, thought), row in zip(BLOCKS.values(), unique(rows), strict=False):
        assert (row["description"], row["thought"]) == (said or joined(row["anchors"]), thought)
        assert row["basis"] == ("llm" if said else "fallback")
    assert counts[THOUGHT] == sum(row["thought"] for row in rows) > 4
    assert counts[EMPTY] == sum(row["basis"] == "fallback" for row in rows) > 3


def unique(rows: Sequence[Row]) -> list[Row]:
    """The first row for each set of anchors."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(str(row["anchors"]), row)
    return [row for row in found.values() if row["anchors"]]


def test_a_think_block_that_the_template_opened_is_one_too(
    data: Path, model: Path, say: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = CausalLM.load(request(model))
    lm.tokenizer.chat_template = f"{lm.tokenizer.chat_template}<think>\n"
    monkeypatch.setattr(CausalLM, "load", Mock(return_value=lm))
    say("Hm.\n</think>\n\nQuiet.", "Hm, and no end")
    rows, counts = smoothed(data, replace(LLM, wording=replace(WORDING, prompt_format="chat")), model)
    one, other, *_ = unique(rows)
    assert (one["description"], one["basis"]) == ("Quiet.", "llm")
    assert (other["description"], other["basis"]) == (joined(other["anchors"]), "fallback")
    assert counts[THOUGHT] == counts[MADE]


def test_descriptions_that_reach_the_limit_are_counted(data: Path, model: Path) -> None:
    rows, counts = smoothed(data, LLM, model)
    assert 0 < counts[LIMIT] == sum(row["finish"] == "limit" for row in rows)
    assert {row["tokens"] for row in rows if row["finish"] == "limit"} == {9}


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.fixture
def logits(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, torch.Tensor], torch.Tensor]], None]:
    """Change what models foretell, by the number of the step."""

    def patched(change: Callable[[int, torch.Tensor], torch.Tensor]) -> None:
        real, steps = CausalLM.mixed_logits, count()
        monkeypatch.setattr(CausalLM, "mixed_logits", lambda lm, *given: change(next(steps), real(lm, *given)))

    return patched


def test_logits_that_are_no_numbers_leave_the_pieces_as_they_are(
    data: Path, model: Path, logits: Callable[..., None]
) -> None:
    before, _ = smoothed(data, LLM, model)
    logits(lambda step, values: values.index_fill(0, torch.tensor([1]), torch.nan) if step == 2 else values)
    rows, counts = smoothed(data, LLM, model)
    failed = [row for row in rows if row["finish"] == "failed"]
    assert len({str(row["anchors"]) for row in failed}) == 1
    for row in failed:
        assert (row["basis"], row["description"]) == ("fallback", joined(row["anchors"]))
        assert (row["error"], row["tokens"]) == (NO_NUMBERS, 2)
    assert [row for row in rows if row not in failed] == [
        row for row, other in zip(before, rows, strict=True) if other not in failed
    ]
    assert (counts[FAILED], counts[MADE]) == (len(failed), 32)
    assert EMPTY not in counts


def test_if_there_are_no_numbers_at_all_it_is_counted(data: Path, model: Path, logits: Callable[..., None]) -> None:
    logits(lambda _, values: torch.full_like(values, torch.nan))
    rows, counts = smoothed(data, LLM, model)
    assert counts[FAILED] == counts[MADE] == sum(row["error"] == NO_NUMBERS for row in rows) == 32


def test_a_batch_that_memory_does_not_hold_is_halved_and_counted(
    data: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = smoothed(data, LLM, model)
    real = CausalLM.mixed_logits

    def short(lm: CausalLM, states: torch.Tensor, mix: Mix) -> torch.Tensor:
        if len(mix.states) > 3:
            raise torch.OutOfMemoryError
        return real(lm, states, mix)

    monkeypatch.setattr(CausalLM, "mixed_logits", short)
    rows, counts = smoothed(data, LLM, model)
    assert (rows, counts["batches halved for memory"] > 1) == (before, True)


@pytest.mark.parametrize("how", [LLM, JOIN, RAW], ids=lambda how: how.mode)
def test_scores_of_what_a_model_wrote_are_refused(how: Settings, model: Path, tmp_path: Path) -> None:
    tables = world({"a": SHORT[:2], "b": SHORT[2:]}, queries=1)
    data, scores = write(tmp_path, tables), tmp_path / "scores.parquet"
    cutting = [Cutting(Cut("all", None, None), Scope(scores))]
    measure(data, model, tmp_path / "effects.parquet", replace(REVIEW, over="generations"), cutting)
    by: Smoother = OnThisMachine(request(tmp_path / "no model at all")) if how is LLM else Nobody()
    with pytest.raises(SteerxError) as refused:
        smooth(data, how, by, tmp_path / "profiles.parquet")
    assert str(refused.value) == (
        f"{scores} has scores of texts that a model wrote: name those of histories, which "
        "`steerx score-tokens --over histories` writes"
    )
    assert not (tmp_path / "profiles.parquet").exists()
