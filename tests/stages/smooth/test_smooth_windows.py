"""Pieces that a model's window does not hold: cut from their end, or left as they are where there is no room at all."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from scorers import SHORT, Plain, request, rows_of, save_model, write
from smoothers import CAFÉ, LLM, NIGHT, WORDING, Row, joined, people, scored, smooth
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.frames import PromptFormat, make_frame
from steerx_cli.lm.plain import encode_prompt, steer
from steerx_cli.lm.prompt import Prompt, Span, render_smoothing
from steerx_cli.lm.request import Written
from steerx_cli.stages.smooth import OnThisMachine
from steerx_cli.stages.smooth.local import Local
from steerx_cli.stages.smooth.settings import Settings

MADE, EMPTY = "descriptions", "descriptions that came out empty: the pieces as they are"
FAILED = "descriptions that failed: the pieces as they are"
LIMIT = "descriptions that reached --max-new-tokens"
WINDOW = "descriptions that reached the end of the model's window"
CUT = "descriptions of pieces that were cut to the model's window"
NO_ROOM = "the model's window has no room for a description"
MANY = tuple((f"{text} café", "quiet night", "Oh!") for text in SHORT)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "wide")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's kind has no place for a token past its window."""
    return save_model(tmp_path_factory.mktemp("models") / "narrow", "gpt2", window=256)


@pytest.mark.parametrize(("kind", "most"), [("plain", 9), ("plain", 600), ("chat", 9)])
def test_in_any_window_the_pieces_are_cut_from_their_end(
    kind: PromptFormat, most: int, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a description has its room, or half of the window; the instruction is never cut."""
    asked = Mock(side_effect=lambda requests: ([[Written([5], "limit")] for _ in requests], {}))
    monkeypatch.setattr(Decoder, "write", asked)
    lm = CausalLM.load(request(model))
    frame, finishes = make_frame(kind, lm.tokenizer), []
    prompt = render_smoothing(WORDING.smoothing, WORDING.task, frame, MANY)
    ids, places = encode_prompt(lm.tokenizer, prompt), inside(lm.tokenizer, prompt)
    local = Local(lm, frame, Decoding())
    for window in range(1, len(ids) + most + 3):
        monkeypatch.setattr(CausalLM, "window", window)
        (found,), _ = local.write([prompt], most)
        gone = max(0, len(ids) - window + min(most, window // 2))
        finishes.append(found.finish)
        if gone >= len(places):
            assert (asked.call_args.args[0], found.cut, found.error) == ([], len(places), NO_ROOM)
            continue
        kept = [token for at, token in enumerate(ids) if at not in places[len(places) - gone :]]
        (sent,) = asked.call_args.args[0]
        assert ([*map(int, sent.streams[0])], sent.limit) == (kept, min(most, window - len(kept)))
        assert (found.prompt_tokens, found.cut) == (len(kept), gone)
        assert found.finish == ("limit" if sent.limit == most else "window")
    assert [*dict.fromkeys(finishes)] == (["failed", "limit"] if most == 9 else ["failed", "window", "limit"])
    monkeypatch.setattr(CausalLM, "window", None)
    (found,), _ = local.write([prompt], most)
    assert (found.prompt_tokens, asked.call_args.args[0][0].limit) == (len(ids), most)


@pytest.mark.parametrize(("finish", "told"), [("limit", "window"), ("end", "end"), ("failed", "failed")])
def test_only_what_did_not_end_by_itself_reached_the_window_s_end(
    finish: str, told: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "write", lambda _, requests: ([[Written([5], finish)] for _ in requests], {}))
    monkeypatch.setattr(CausalLM, "window", 600)
    lm = CausalLM.load(request(model))
    frame = make_frame("plain", lm.tokenizer)
    prompt = render_smoothing(WORDING.smoothing, WORDING.task, frame, MANY[:1])
    (found,), _ = Local(lm, frame, Decoding()).write([prompt], 400)
    assert (found.finish, found.cut) == (told, 0)


def inside(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The places of the tokens of all pieces, with what stands between them."""
    start = prompt.text.index(f"- {MANY[0][0].strip()}")
    end = prompt.text.rindex(f"- {MANY[-1][-1]}") + len(f"- {MANY[-1][-1]}")
    offsets = tokenizer(prompt.text, return_offsets_mapping=True)["offset_mapping"]
    return [at for at, (first, last) in enumerate(offsets) if start <= first and last <= end]


def smoothed(data: Path, how: Settings, model: Path) -> tuple[list[Row], Mapping[str, int]]:
    """The rows, and the counts of the summary."""
    counts = smooth(data, how, OnThisMachine(request(model)), data / "profiles.parquet").counts
    return rows_of(data / "profiles.parquet"), counts


def asked_of(plain: Plain, text: str) -> list[int]:
    """The prompt for one whole text."""
    frame = make_frame("plain", plain.tokenizer)
    return encode_prompt(plain.tokenizer, render_smoothing(WORDING.smoothing, WORDING.task, frame, [[text]]))


def test_in_a_narrow_window_only_what_is_too_long_is_cut(narrow: Path, tmp_path: Path) -> None:
    texts, most = [" ".join(SHORT), CAFÉ, NIGHT], 20
    rows = [scored("a", f"{at}", "1", 1, text, range(99)) for at, text in enumerate(texts)]
    how = replace(LLM, describe="query", wording=replace(WORDING, max_new_tokens=most))
    found, counts = smoothed(write(tmp_path, {"scores": rows}), how, narrow)
    plain = Plain.load(narrow)
    end = len(encode_prompt(plain.tokenizer, bare("\nDescription:\n")))
    for row, text in zip(found, texts, strict=True):
        ids = asked_of(plain, text)
        gone = max(0, len(ids) + most - 256)
        ids = [*ids[: len(ids) - end - gone], *ids[-end:]]
        written = steer(plain.model, [ids], [1.0], [], most)
        assert min(written.margins) > 1e-4
        assert row["description"] == plain.tokenizer.decode(written.ids).strip()
        assert (row["anchors_cut"], row["prompt_tokens"], row["anchors"]) == (gone, len(ids), [[text]])
    assert [row["anchors_cut"] > 0 for row in found] == [True, False, False]
    assert (counts[CUT], counts[LIMIT], counts[MADE]) == (1, 3, 3)
    assert not {FAILED, WINDOW} & {*counts}


def bare(text: str) -> Prompt:
    """Words that nothing stands around."""
    nowhere = Span(0, 0)
    return Prompt(text, Span(0, len(text)), False, None, (), (), None, nowhere, nowhere)


def test_where_the_instruction_fills_the_window_the_pieces_stay_as_they_are(narrow: Path, tmp_path: Path) -> None:
    how = replace(LLM, wording=replace(WORDING, max_new_tokens=60))
    rows, counts = smoothed(write(tmp_path, {"scores": people()}), how, narrow)
    for row in (row for row in rows if row["anchors"]):
        assert (row["basis"], row["description"]) == ("fallback", joined(row["anchors"]))
        assert (row["finish"], row["error"], row["tokens"]) == ("failed", NO_ROOM, 0)
    assert counts[FAILED] == counts[MADE] == 32
    assert not {EMPTY, LIMIT, WINDOW} & {*counts}
