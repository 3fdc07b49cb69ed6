"""What is said of people, against the obvious computation: one prompt at a time, no cache, all logits in float64."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from scorers import Plain, request, rows_of, save_model, write
from smoothers import JOIN, LLM, RAW, WORDING, Pieces, Row, expected, joined, people, prompts, scored, smooth
from steerx_cli.core.errors import Interrupted
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.lm.decode import Decoder
from steerx_cli.lm.frames import PromptFormat, make_frame
from steerx_cli.lm.plain import Steered, encode_prompt, steer
from steerx_cli.lm.prompt import render_smoothing
from steerx_cli.lm.request import Request
from steerx_cli.stages.smooth import Nobody, OnThisMachine, Smoother
from steerx_cli.stages.smooth.settings import Settings
from steerx_cli.tools.merge import run as merge
from support import aged, forked, fresh, killed_before_lines, state_of, stop_before

ENDS = (46, 79, 181, 261)  # of what this model writes, so that some descriptions end before they are cut
DISTINCT = "distinct sets of pieces that were smoothed"
EVERYONE = people()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=ENDS)


@pytest.fixture(scope="module")
def plain(model: Path) -> Plain:
    return Plain.load(model)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), {"scores": EVERYONE})


def here(model: Path, batch_size: int = 32, batch_tokens: int = 8192) -> OnThisMachine:
    return OnThisMachine(request(model), batch_size, batch_tokens)


def smoothed(data: Path, how: Settings, by: Smoother, output: Path, **scope: Any) -> tuple[list[Row], Any]:
    """The rows, and the counts of the summary."""
    counts = smooth(data, how, by, output, overwrite=True, **scope).counts
    return rows_of(output), counts


def chat(how: Settings, prompt_format: PromptFormat = "chat") -> Settings:
    return replace(how, wording=replace(WORDING, prompt_format=prompt_format))


# --- a model describes ------------------------------------------------------------------------------------------------


@cache
def obvious(plain: Plain, ids: tuple[int, ...]) -> Steered:
    """What is written after a prompt; the same one is computed once."""
    return steer(plain.model, [ids], [1.0], ENDS, WORDING.max_new_tokens)


def said(plain: Plain, how: Settings, pieces: Pieces) -> Row:
    """What a row says of a description, and whether float32 cannot but choose the same tokens."""
    assert how.wording
    frame = make_frame(how.wording.prompt_format, plain.tokenizer)
    prompt = render_smoothing(how.wording.smoothing, how.wording.task, frame, pieces)
    ids = encode_prompt(plain.tokenizer, prompt)
    written = obvious(plain, tuple(ids))
    text = plain.tokenizer.decode(written.ids, skip_special_tokens=True).strip()
    row = {"basis": "llm" if text else "fallback", "description": text or joined(pieces)}
    row |= {"finish": "end" if len(written.margins) > len(written.ids) else "limit", "tokens": len(written.ids)}
    return row | {"prompt_tokens": len(ids), "sure": min(written.margins) > 1e-4}


def check(rows: Sequence[Row], how: Settings, plain: Plain, scores: Sequence[Row] = EVERYONE) -> None:
    """Every row is the oracle's, what was written wherever the two best logits are told apart in float32."""
    theirs = expected(scores, how, lambda pieces: said(plain, how, pieces))
    sure = [other.pop("sure", True) for other in theirs]
    assert sum(sure) > 0.9 * len(theirs)
    written = ("description", "basis", "tokens", "finish")
    for row, other, is_sure in zip(rows, theirs, sure, strict=True):
        assert row | {name: other[name] for name in written if not is_sure} == other


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
@pytest.mark.parametrize("describe", ["both", "query", "history"])
def test_every_description_is_that_of_plain_passes(
    describe: str, prompt_format: PromptFormat, model: Path, data: Path, plain: Plain, tmp_path: Path
) -> None:
    how = chat(replace(LLM, describe=describe), prompt_format)
    rows, counts = smoothed(data, how, here(model), tmp_path / "out.parquet")
    check(rows, how, plain)
    assert counts["descriptions"] == sum(row["description"] is not None for row in rows)
    made = [row for row in rows if row["basis"] == "llm"]
    assert {row["finish"] for row in made} == {"end", "limit"}
    assert len({row["description"] for row in made}) > 3, "what is asked tells"


@pytest.mark.parametrize("how", [replace(LLM, unit="token"), replace(LLM, unit="word"), replace(LLM, of="texts")])
def test_so_it_is_of_other_pieces(how: Settings, model: Path, data: Path, plain: Plain, tmp_path: Path) -> None:
    check(smoothed(data, how, here(model), tmp_path / "out.parquet")[0], how, plain)


@pytest.mark.parametrize(("batch_size", "batch_tokens"), [(1, 9000), (5, 100), (64, 10**6)])
def test_descriptions_side_by_side_are_those_one_by_one(
    batch_size: int, batch_tokens: int, model: Path, data: Path, plain: Plain, tmp_path: Path
) -> None:
    rows, counts = smoothed(data, chat(LLM), here(model, batch_size, batch_tokens), tmp_path / "out.parquet")
    check(rows, chat(LLM), plain)
    assert "batches halved for memory" not in counts


# --- their own words --------------------------------------------------------------------------------------------------


def test_joined_are_the_anchors_with_dots_between_them(tmp_path: Path) -> None:
    data = write(tmp_path, {"scores": people("bd")})
    found = {
        unit: {
            (row["query_id"], row["item_id"]): row["description"]
            for row in smoothed(data, replace(JOIN, unit=unit), Nobody(), tmp_path / "out.parquet")[0]
            if row["user_id"] == "b"
        }
        for unit in ("span", "word", "token")
    }
    nothing = {("0", "b2"): None, ("1", "b2"): None}
    assert found["span"] == nothing | {
        ("0", "b0"): "It … well … Oh!!",
        ("0", "b1"): "🙂",
        ("0", None): "It … well … Oh!! … 🙂",
        ("1", "b1"): "Good … 🙂 all",
        ("1", "b0"): "'s a … .\nOh",
        ("1", None): "Good … 🙂 all … 's a … .\nOh",
    }
    assert found["word"]["0", None] == "It's … well-known … Oh … ! … ! … 🙂"
    assert found["token"]["1", None] == "Good … 🙂 … all … ' … s … a … . … Oh"


def test_raw_are_the_texts_to_the_letter_with_a_blank_line_between_them(tmp_path: Path) -> None:
    data = write(tmp_path, {"scores": people("bd")})
    rows, counts = smoothed(data, RAW, Nobody(), tmp_path / "out.parquet")
    known, night, nothing = "It's a well-known one.\nOh!!", "Good night 🙂 all", " No. "
    assert [(row["item_id"], row["description"]) for row in rows if row["user_id"] == "b"] == [
        ("b0", known),
        ("b1", night),
        ("b2", nothing),
        (None, f"{known}\n\n{night}\n\n{nothing}"),
        ("b2", nothing),
        ("b1", night),
        ("b0", known),
        (None, f"{nothing}\n\n{night}\n\n{known}"),
    ]
    assert counts == {"descriptions": 16}
    assert {row["basis"] for row in rows} == {"raw"}


@pytest.mark.parametrize("describe", ["both", "query", "history"])
@pytest.mark.parametrize("how", [JOIN, replace(JOIN, unit="word"), RAW])
def test_the_rows_say_whose_words_they_are(how: Settings, describe: str, data: Path, tmp_path: Path) -> None:
    how = replace(how, describe=describe)
    rows, _ = smoothed(data, how, Nobody(), tmp_path / "out.parquet")
    between = {"join": " … ", "raw": "\n\n"}[how.mode]

    def say(pieces: Pieces) -> Row:
        return {"basis": how.mode, "description": between.join(piece for some in pieces for piece in some)}

    assert rows == expected(EVERYONE, how, say)


# --- each set of anchors once -----------------------------------------------------------------------------------------


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The prompts that went to the model."""
    prompts: list[bytes] = []
    real = Decoder.write

    def counting(self: Decoder, requests: Sequence[Request]) -> Any:
        prompts.extend(each.streams[0].tobytes() for each in requests)
        return real(self, requests)

    monkeypatch.setattr(Decoder, "write", counting)
    return prompts


def test_each_distinct_set_of_anchors_is_smoothed_once(
    model: Path, data: Path, tmp_path: Path, written: list[bytes]
) -> None:
    """Two people with the same texts; and a query of which one history has anchors, which is that history's set."""
    rows, counts = smoothed(data, LLM, here(model), tmp_path / "out.parquet")
    assert len(written) == len({*written}) == counts[DISTINCT] == len(prompts(EVERYONE))
    assert counts["descriptions"] > 2 * len(written)
    one, other = ([row for row in rows if row["user_id"] == user] for user in "af")
    assert [row["description"] for row in one] == [row["description"] for row in other]
    alone, together = ([row for row in rows if row["user_id"] == "d" and row["query_id"] == "0"][at] for at in (1, 3))
    assert (alone["item_id"], together["item_id"]) == ("d1", None)
    assert alone["description"] == together["description"] is not None


def test_the_same_pieces_of_one_text_and_of_two_are_two_sets(model: Path, tmp_path: Path, written: list[bytes]) -> None:
    pair = [scored("a", "q", f"{at}", at, text, {0}) for at, text in ((1, "Oh yes"), (2, "Well no"))]
    both = scored("a", "r", "3", 1, "Oh, Well", {0, 2})
    how = replace(LLM, describe="query")
    rows, counts = smoothed(write(tmp_path, {"scores": [*pair, both]}), how, here(model), tmp_path / "out.parquet")
    assert [row["anchors"] for row in rows] == [[["Oh"], ["Well"]], [["Oh", "Well"]]]
    assert (len({*written}), counts[DISTINCT]) == (2, 2)


# --- many ways to one result ------------------------------------------------------------------------------------------


def bytes_of(data: Path, how: Settings, by: Smoother, output: Path, **scope: Any) -> bytes:
    """The file that comes of a run."""
    smooth(data, how, by, output, **{"chunk_users": 2, **scope})
    return output.read_bytes()


@pytest.mark.parametrize("how", [LLM, JOIN, RAW], ids=lambda how: how.mode)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_shards_merge_to_the_whole(how: Settings, count: int, data: Path, model: Path, tmp_path: Path) -> None:
    by: Smoother = here(model) if how is LLM else Nobody()
    whole = bytes_of(data, how, by, tmp_path / "whole.parquet")
    paths = [tmp_path / f"{index}-of-{count}.parquet" for index in range(1, count + 1)]
    for index, path in enumerate(paths, 1):
        bytes_of(data, how, by, path, shard=Shard(index, count))
    merge(paths, tmp_path / "merged.parquet", False, False, Silent())
    assert (tmp_path / "merged.parquet").read_bytes() == whole


def test_the_size_of_chunks_changes_no_row(data: Path, model: Path, tmp_path: Path) -> None:
    one, some, all_of_them = (
        smoothed(data, LLM, here(model), tmp_path / "out.parquet", chunk_users=users) for users in (1, 4, 64)
    )
    assert one[0] == some[0] == all_of_them[0]
    assert one[1][DISTINCT] > all_of_them[1][DISTINCT], "what crosses no chunk is smoothed in each"


@pytest.mark.parametrize("stopped_at", [1, 3])
@pytest.mark.parametrize("how", [LLM, JOIN], ids=lambda how: how.mode)
def test_interrupted_between_chunks_and_resumed_it_is_the_same(
    how: Settings, stopped_at: int, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by: Smoother = here(model) if how is LLM else Nobody()
    whole = bytes_of(data, how, by, tmp_path / "whole.parquet")
    done = stop_before(stopped_at, cast(Any, type(by)), monkeypatch)
    with pytest.raises(Interrupted):
        bytes_of(data, how, by, tmp_path / "resumed.parquet")
    assert bytes_of(data, how, by, tmp_path / "resumed.parquet") == whole
    assert len(done) == 3 + 1, "what was finished is not done again"


def kill_and_resume(data: Path, model: Path, folder: Path) -> None:
    """Be killed before any line that writes, and resume; says what was written, and how many lines came."""
    compute = here(model).prepare(LLM, folder)  # loaded once, and every copy of this process has it
    OnThisMachine.prepare = lambda *_: compute  # type: ignore[method-assign]
    assert forked(bytes_of, data, LLM, here(model), folder / "whole" / "out.parquet") == 0
    expected, killed, line = state_of(folder / "whole"), folder / "killed", 0
    killed.mkdir()
    work = (bytes_of, data, LLM, here(model), killed / "new" / "out.parquet")
    for line in killed_before_lines(killed, *work):
        assert forked(*work) == 0
        assert state_of(killed / "new") == expected, f"killed before line {line}"
    print(sorted(expected), line)


def test_killed_before_any_line_that_writes_it_ends_with_the_same_bytes(
    model: Path, tmp_path: Path, programs: Path
) -> None:
    code, out, err = fresh(
        programs, kill_and_resume, write(tmp_path / "few", {"scores": people("abd")}), aged(model), tmp_path
    )
    assert code == 0, err
    names, lines = out.rsplit(maxsplit=1)
    assert names == "['out.parquet']"
    assert int(lines) > 400, "the run was shorter than it can be"
