"""The ids that the model is given, against prompts that are written out here by hand, whole and cut to a window."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorers import REVIEW, SHORT, Row, beside, generate, history, profile, query, save_model, write
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.decode import Decoder
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.pretrain import CHAT, make_tokenizer
from steerx_cli.lm.prompt import History, Item
from steerx_cli.lm.request import Request, Written
from steerx_cli.stages.generate.prompts import Prompted, Prompter
from steerx_cli.stages.generate.questions import Question
from steerx_cli.stages.generate.settings import NONE, H, S, Settings

FIRST, SECOND = history("a", "first", "Loved it.\n\nTwice!"), history("a", "second", "  Not for me…")
DESCRIPTION = "Brief, and fond of cafés. 🙂"
TASK = "Write a review of the item given last. Reply with the review only."
EARLIER = "Write as this person would. Earlier reviews by this person:"
PERSON = "Write as this person would. Description of this person:"
BARE = "Title: Next one"
ONE, TWO = "Title: Film first\nReview:\nLoved it.\n\nTwice!", "Title: Film second\nReview:\n  Not for me…"
MESSAGES = {
    H: f"{TASK}\n\n{EARLIER}\n\n{ONE}\n\n{TWO}\n\n{BARE}",
    S: f"{TASK}\n\n{PERSON}\n{DESCRIPTION}\n\n{BARE}",
    NONE: f"{TASK}\n\n{BARE}",
}
FRAMES = {"plain": ("", "\nReview:\n"), "chat": ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")}
PROMPTS = {
    kind: {name: before + text + after for name, text in MESSAGES.items()} for kind, (before, after) in FRAMES.items()
}
STREAMS = {"non-perso": [NONE], "rag": [H], "cos": [H, NONE], "steerx-cos": [H, S, NONE]}
STEERX = Settings("steerx-cos", REVIEW.task, lams=(0.5,), max_new_tokens=10, prompt_format="plain")
QUESTION = Question(
    "a",
    "one",
    None,
    Item.of(query("a", "one")),
    ("first", "second"),
    (History.of(FIRST), History.of(SECOND)),
    DESCRIPTION,
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer([TASK, EARLIER, *SHORT], 320)


def prompted(tokenizer: Any, how: Settings = STEERX, window: int | None = None, **changed: Any) -> Prompted:
    """The question's streams, some of it changed."""
    frame = CHAT if how.prompt_format == "chat" else PLAIN
    (found,) = Prompter(tokenizer, frame, how, window).prompted([replace(QUESTION, **changed)])
    return found


def ids_of(found: Prompted) -> Mapping[str, list[int]]:
    return {name: ids.tolist() for name, ids in found.streams.items()}


def by_hand(tokenizer: Any, names: list[str], kind: str = "plain") -> Mapping[str, list[int]]:
    return {name: tokenizer(PROMPTS[kind][name])["input_ids"] for name in names}


# --- whole ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "chat"])
@pytest.mark.parametrize("method", STREAMS)
def test_each_stream_is_the_prompt_that_one_would_write(method: str, kind: Any, tokenizer: Any) -> None:
    found = prompted(tokenizer, replace(STEERX, method=method, prompt_format=kind))
    assert ids_of(found) == by_hand(tokenizer, STREAMS[method], kind)
    assert [*found.streams] == STREAMS[method], "in this order"
    assert (found.basis, found.limit, found.gone) == (method, 10, {})
    assert found.shown == (2 if H in STREAMS[method] else 0)


def test_a_raw_description_stands_as_the_histories_do(tokenizer: Any) -> None:
    expected = by_hand(tokenizer, [H, NONE])
    assert ids_of(prompted(tokenizer, replace(STEERX, raw=True))) == {**expected, S: expected[H]}
    others = prompted(tokenizer, replace(STEERX, raw=True), donor_id="b")
    assert ids_of(others) == by_hand(tokenizer, [H, S, NONE]), "another user's are words, not one's own histories"


@pytest.mark.parametrize(
    ("method", "lacks", "basis"),
    [
        ("rag", {"histories": ()}, "non-perso"),
        ("cos", {"histories": ()}, "non-perso"),
        ("steerx-cos", {"histories": ()}, "non-perso"),
        ("steerx-cos", {"histories": (), "description": None}, "non-perso"),
        ("steerx-cos", {"description": None}, "rag"),
        ("cos", {"description": None}, "cos"),
        ("non-perso", {"histories": (), "description": None}, "non-perso"),
    ],
)
def test_what_is_lacking_leaves_a_simpler_method_or_is_refused(
    method: str, lacks: dict[str, Any], basis: str, tokenizer: Any
) -> None:
    how = replace(STEERX, method=method)
    found = prompted(tokenizer, how, **lacks)
    assert (found.basis, ids_of(found)) == (basis, by_hand(tokenizer, STREAMS[basis]))
    assert found.shown == (0 if basis == "non-perso" else 2)
    if basis == method:
        assert prompted(tokenizer, replace(how, missing="error"), **lacks).basis == basis
        return
    with pytest.raises(SteerxError) as refused:
        prompted(tokenizer, replace(how, missing="error"), **lacks)
    what = "description" if "histories" not in lacks else "histories"
    said = f"query 'one' of user 'a' has no {what}, and --missing error does not let it pass"
    assert str(refused.value) == said


# --- cut --------------------------------------------------------------------------------------------------------------


def inside(tokenizer: Any, text: str, part: str) -> list[int]:
    """The places of the tokens that lie in a part of a text; none may lie astride its ends."""
    start = text.index(part)
    end = start + len(part)
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert not any(first < bound < last for first, last in offsets for bound in (start, end))
    return [place for place, (first, last) in enumerate(offsets) if start <= first and last <= end]


def cut_to(tokenizer: Any, text: str, part: str, room: int) -> tuple[list[int], int, int]:
    """The ids without the last tokens of a part, how many of those went, and how many stayed."""
    ids, places = tokenizer(text)["input_ids"], inside(tokenizer, text, part)
    gone = min(len(ids) - room, len(places))
    end = places[-1] + 1
    return ids[: end - gone] + ids[end:], gone, len(places) - gone


PARTS = {H: f"{ONE}\n\n{TWO}", S: DESCRIPTION}


def expected(
    tokenizer: Any, method: str, room: int, kind: str, gone: dict[str, int]
) -> tuple[str, dict[str, list[int]]]:
    """What a method comes to in some room, and its streams; what is cut off goes into `gone`."""
    streams = {}
    for name in STREAMS[method]:
        text = PROMPTS[kind][name]
        streams[name] = tokenizer(text)["input_ids"]
        if name in PARTS and len(streams[name]) > room:
            streams[name], gone[name], left = cut_to(tokenizer, text, PARTS[name], room)
            if not left:
                return expected(tokenizer, "non-perso" if name == H else "rag", room, kind, gone)
    return method, streams


@pytest.mark.parametrize("kind", ["plain", "chat"])
@pytest.mark.parametrize("method", STREAMS)
def test_in_any_window_what_is_known_of_the_user_is_cut_from_its_end(method: str, kind: Any, tokenizer: Any) -> None:
    """And the answer has its room, or half of the window; what is asked is never cut."""
    how, most, bases = replace(STEERX, method=method, prompt_format=kind), STEERX.max_new_tokens, set()
    longest = max(map(len, by_hand(tokenizer, [H, S], kind).values()))
    for window in range(1, longest + most + 3):
        found, gone = prompted(tokenizer, how, window), dict[str, int]()
        basis, streams = expected(tokenizer, method, window - min(most, window // 2), kind, gone)
        assert (found.basis, ids_of(found), found.gone) == (basis, streams, gone)
        assert found.limit == max(0, min(most, window - max(map(len, streams.values()))))
        for name, ids in streams.items():
            assert tokenizer.decode(ids).endswith(MESSAGES[name][-len(BARE) :] + FRAMES[kind][1])
        bases.add(basis)
    assert bases == {"non-perso", method} | ({"rag"} if method == "steerx-cos" else set())
    assert (found.gone, found.limit) == ({}, most)


def test_a_history_of_which_a_token_is_left_is_shown(tokenizer: Any) -> None:
    text, counts = PROMPTS["plain"][H], []
    first, second = (len(inside(tokenizer, text, one)) for one in (ONE, TWO))
    both, whole = len(inside(tokenizer, text, PARTS[H])), len(tokenizer(text)["input_ids"])
    for gone in range(1, both):
        found = prompted(tokenizer, replace(STEERX, method="rag"), whole - gone + STEERX.max_new_tokens)
        assert found.gone == {H: gone}
        counts.append(found.shown)
    # The blank line between the two is part of neither.
    assert counts == [2] * (second - 1) + [1] * (both - second)
    assert both > first + second


def test_a_raw_description_is_cut_as_the_histories_are(tokenizer: Any) -> None:
    found = prompted(tokenizer, replace(STEERX, raw=True), 100)
    assert ids_of(found)[S] == ids_of(found)[H]
    assert found.gone[S] == found.gone[H] > 0


# --- cut, in the stage ------------------------------------------------------------------------------------------------

WINDOW, MOST = 128, 30
LONG = " ".join(SHORT * 9)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GPT-2's kind has no place for a token past its window."""
    return save_model(tmp_path_factory.mktemp("models") / "narrow", "gpt2", window=WINDOW)


def asked(name: str, title: str) -> Row:
    return {**query("a", name), "fields": [{"name": "title", "value": title}]}


def test_a_row_that_does_not_fit_fails_alone(narrow: Path, tmp_path: Path) -> None:
    queries = [asked("fits", "Night"), asked("huge", LONG), asked("tight", " ".join(SHORT)), asked("last", "Train")]
    own = [history("a", "first", LONG), history("a", "second", SHORT[0])]
    tables = {"queries": queries, "retrieved": [row for each in queries for row in beside(each["query_id"], own)]}
    tables["profiles"] = [profile("a", each["query_id"], LONG) for each in queries]
    how = replace(STEERX, lams=(0.5, 2.0), max_new_tokens=MOST)
    rows, counts = generate(write(tmp_path, tables), narrow, how)
    assert [(row["query_id"], row["lam"]) for row in rows] == [
        (q["query_id"], lam) for q in queries for lam in how.lams
    ]
    failed = [row for row in rows if row["query_id"] == "huge"]
    for row in failed:
        (tokens,) = row["prompt_tokens"]
        assert tokens > WINDOW
        assert row["error"] == f"no room for an answer: the input has {tokens} tokens, and the model takes {WINDOW}"
        assert (row["finish"], row["response"], row["token_ids"], row["thought"]) == ("failed", "", [], False)
        assert (row["basis"], row["histories"]) == ("non-perso", [])
        assert row["history_cut"] > 100, "what was gone before it failed is kept"
    for row in (row for row in rows if row not in failed):
        tight = row["query_id"] == "tight"
        assert row["error"] is None
        assert (row["basis"], row["histories"]) == (("non-perso", []) if tight else ("steerx-cos", ["first"]))
        assert (row["history_cut"] > 0, row["description_cut"] > 0) == (True, not tight)
        assert row["prompt_tokens"][:2] == ([row["prompt_tokens"][0]] if tight else [WINDOW - MOST] * 2)
        room = WINDOW - max(row["prompt_tokens"])
        assert (row["finish"], len(row["token_ids"])) == (("window", room) if tight else ("limit", MOST))
    told = ("answers that failed", "answers that reached the end of the model's window", "answers that are empty")
    assert [counts.get(name, 0) for name in told] == [2, 2, 0]
    assert counts["answers whose histories were cut to the model's window"] == 8
    assert counts["answers whose description was cut to the model's window"] == 4
    assert counts["answers that reached --max-new-tokens"] == 4
    assert counts["answers"] == 8


def test_when_every_row_fails_the_run_ends_well(narrow: Path, tmp_path: Path) -> None:
    tables = {"queries": [asked("huge", LONG)]}
    rows, counts = generate(write(tmp_path, tables), narrow, replace(STEERX, method="non-perso", lams=(None,)))
    assert [row["finish"] for row in rows] == ["failed"]
    assert counts == {"answers": 1, "answers that failed": 1}


def test_a_row_that_fails_on_its_way_keeps_its_tokens_and_has_no_response(
    narrow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_one(decoder: Decoder, requests: list[Request]) -> tuple[list[list[Written]], Mapping[str, int]]:
        done = Written([70, 71], "end"), Written([72, 73], "failed", "the reason")
        return [[done[place]] for place, _ in enumerate(requests)], {"of the decoder": 7}

    monkeypatch.setattr(Decoder, "write", write_one)
    tables = {"queries": [asked("good", "Night"), asked("bad", "Train")]}
    rows, counts = generate(write(tmp_path, tables), narrow, replace(STEERX, method="non-perso", lams=(None,)))
    told = [(row["query_id"], row["finish"], row["token_ids"], row["error"]) for row in rows]
    assert told == [("good", "end", [70, 71], None), ("bad", "failed", [72, 73], "the reason")]
    assert [row["response"] == "" for row in rows] == [False, True]
    assert counts == {"answers": 2, "answers that failed": 1, "tokens written": 4, "of the decoder": 7}
