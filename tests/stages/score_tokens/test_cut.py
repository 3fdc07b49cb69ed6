"""Which tokens are anchors and which spans they make, against loops over lists."""

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.core.artifacts import conform
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.schemas import EFFECTS, SCORES
from steerx_cli.stages.score_tokens.cut import EMPTY, LARGEST, SKIPPED, UNREACHED, WHOLE, WITHOUT, Cut, cut
from steerx_cli.stages.score_tokens.lexicon import Lexicon, load_lexicon

Row = dict[str, Any]
CAUSAL = Cut("causal", tau=0.5, top_percent=None)
ALL = Cut("all", tau=None, top_percent=None)
FAMILY = "👩\u200d👧"
STYLE = load_lexicon("style")


def row(
    tokens: list[str], delta: list[float] | None, log_p: list[float] | None = None, item: str = "i", **more: Any
) -> Row:
    """A text of these tokens, one after the other."""
    ends = [sum(map(len, tokens[: place + 1])) for place in range(len(tokens))]
    return {
        **{"user_id": "u", "query_id": "q", "item_id": item, "rank": 1, "lam": None, "gamma2": None},
        "response": "".join(tokens),
        **{"others": ["j"] if delta is not None else [], "context_cut": 0, "response_cut": 0},
        **{"token_ids": list(range(len(tokens))), "tokens": tokens, "ends": ends},
        "starts": [end - len(token) for token, end in zip(tokens, ends, strict=True)],
        "log_p_history": None if delta is None else [-1.0] * len(tokens),
        **{"log_p_empty": log_p or [-1.0] * len(tokens), "delta": delta},
        **more,
    }


def frame(rows: list[Row]) -> pl.DataFrame:
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist(rows, schema=EFFECTS.columns)))


def scored(rows: list[Row], how: Cut) -> tuple[list[Row], Counter[str]]:
    """What is made of the rows, once it fits the schema, and what was counted."""
    made, counts = cut(frame(rows), how)
    return conform(made.to_arrow(), SCORES).to_pylist(), Counter(counts)


def anchors(made: Row) -> str:
    """The mask as one can read it."""
    return "".join("x" if anchor else "." for anchor in made["anchors"])


def spans(made: Row) -> list[str]:
    """The texts of the spans."""
    return [made["response"][span["start"] : span["end"]] for span in made["spans"]]


def one(how: Cut, tokens: list[str], delta: list[float] | None, **more: Any) -> tuple[str, str, list[str]]:
    """The anchors, basis and spans of a single text."""
    [made], _ = scored([row(tokens, delta, **more)], how)
    return anchors(made), made["basis"], spans(made)


# --- the same by loops ------------------------------------------------------------------------------------------------


@st.composite
def texts(draw: st.DrawFn, item: str) -> Row:
    """A text in tokens as tokenizers make them: with the space before a word or without, empty, or parts of a sign."""
    parts = draw(st.lists(st.sampled_from([*"abé'-.!ไ好", " ", " ", "\n", "a", "b", "🙂", FAMILY]), max_size=14))
    response, places = "".join(parts), []
    start = end = 0
    while end < len(response):
        end = min(start + draw(st.integers(0, 4)), len(response))
        shared = draw(st.integers(1, 3)) if end == start + 1 else 1
        trimmed = start + (response[start:end][:1] == " " and draw(st.booleans()))
        places += [(trimmed, end)] * shared
        start = end
    numbers = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75]), min_size=len(places), max_size=len(places))
    offsets = {"response": response, "starts": [start for start, _ in places], "ends": [end for _, end in places]}
    delta = draw(st.none() | numbers | numbers)
    tokens = [response[start:end] for start, end in places]
    return row(tokens, delta, draw(numbers), item=item, **offsets)


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    return [draw(texts(f"i{number}")) for number in range(draw(st.integers(0, 3)))]


CUTS = st.builds(
    Cut,
    method=st.sampled_from(["causal", "surprisal", "random", "all", "lexicon"]),
    tau=st.sampled_from([-2.0, 0.0, 0.5, 0.75, 9.0]),
    top_percent=st.none() | st.sampled_from([1, 10, 33.3, 50, 100]),
    unit=st.sampled_from(["tokens", "words"]),
    nothing=st.sampled_from(["largest", "empty"]),
    alone=st.sampled_from(["whole", "skip"]),
    lexicon=st.just(Lexicon("own", (("a",), ("b*",), ("é", " a"), ("好",), (FAMILY,)))),
)


def characters(text: Row, place: int) -> set[int]:
    return set(range(text["starts"][place], text["ends"][place]))


def grown(text: Row, places: set[int]) -> set[int]:
    """Every token that has a character of a word of which an anchor has one."""
    words = re.finditer(rf"[abé]+(?:['-][abé]+)*|{FAMILY}|\S", text["response"])
    whole = [set(range(*word.span())) for word in words]
    taken = set().union(*(word for word in whole if any(word & characters(text, place) for place in places)))
    return places | {place for place in range(len(text["starts"])) if taken & characters(text, place)}


def joined(text: Row, places: set[int]) -> list[tuple[int, int]]:
    """Groups of anchors, put together until none is a neighbour of another."""
    groups = [{place} for place in sorted(places)]
    for place in places:
        for other in places:
            if abs(place - other) == 1 or characters(text, place) & characters(text, other):
                near = [group for group in groups if group & {place, other}]
                groups = [group for group in groups if group not in near] + [set().union(*near)]
    found = []
    for group in groups:
        start, end = min(text["starts"][place] for place in group), max(text["ends"][place] for place in group)
        inside = [at for at in range(start, end) if not text["response"][at].isspace()]
        found += [(inside[0], inside[-1] + 1)] if inside else []
    return sorted(found)


def chosen(text: Row, how: Cut) -> tuple[set[int], str]:
    """The anchors of a text by the rules, word by word; where lots are drawn, none."""
    every = range(len(text["starts"]))
    if how.method == "all":
        return set(every), "method" if every else "none"
    if how.method == "lexicon" and how.lexicon:
        words = {at for span in how.lexicon.spans(text["response"]) for at in range(*span)}
        inside = {at for at in words if not text["response"][at].isspace()}
        found = {place for place in every if inside & characters(text, place)}
        return found, "method" if found else "none"
    if text["delta"] is None or not every:
        return (set(every), "whole") if every and how.alone == "whole" else (set(), "none")
    reached = [place for place in every if text["delta"][place] >= (how.tau or 0)]
    count = -(-Fraction(str(how.top_percent)) * len(every) // 100) if how.top_percent else len(reached)
    by = text["delta"] if how.method == "causal" else [-number for number in text["log_p_empty"]]
    order = sorted(every, key=lambda place: (-by[place], place))
    if count:
        found = set(order[: int(count)])
        return (grown(text, found) if how.unit == "words" else found), "method"
    if how.nothing == "largest" and max(text["delta"]) > 0:
        return grown(text, {order[0]}), "largest"
    return set(), "none"


@settings(max_examples=600, deadline=None)
@given(tables(), CUTS)
def test_every_method_chooses_as_loops_over_lists_do(rows: list[Row], how: Cut) -> None:
    made, counts = scored(rows, how)
    assert [{name: new[name] for name in EFFECTS.columns.names} for new in made] == frame(rows).to_dicts()
    for text, new in zip(rows, made, strict=True):
        places, basis = chosen(text, how)
        assert new["basis"] == basis
        found = {place for place, anchor in enumerate(new["anchors"]) if anchor}
        assert len(new["anchors"]) == len(text["starts"])
        if how.method == "random" and basis in ("method", "largest"):
            assert how.unit == "words" or basis == "largest" or len(found) == len(places)
        else:
            assert found == places
        assert [(span["start"], span["end"]) for span in new["spans"]] == joined(text, found)
    assert counts["tokens"] == sum(len(new["anchors"]) for new in made)
    assert counts["anchors"] == sum(sum(new["anchors"]) for new in made)
    bases = Counter(new["basis"] for new in made)
    assert (counts[LARGEST], counts[WHOLE], counts[WITHOUT]) == (bases["largest"], bases["whole"], bases["none"])
    empty = sum(not new["anchors"] for new in made)
    of_words = sum(new["basis"] == "none" for new in made) - empty if how.method == "lexicon" else 0
    assert (counts[EMPTY], counts[EMPTY] + counts[SKIPPED] + counts[UNREACHED] + of_words) == (empty, bases["none"])


# --- what the rules mean ----------------------------------------------------------------------------------------------


def test_tau_is_compared_as_the_effects_are_stored() -> None:
    assert one(replace(CAUSAL, tau=0.7), ["a", "b", "c"], [0.7, 0.69999, 0.70001]) == ("x.x", "method", ["a", "c"])


def test_a_share_is_of_each_text_and_rounded_up_as_it_was_typed() -> None:
    for percent, size, count in ((10, 30, 3), (10, 31, 4), (0.1, 5, 1), (1.1, 3000, 33), (70, 10, 7), (100, 3, 3)):
        text = row(["a "] * size, [0.0] * size)
        [made], _ = scored([text], replace(CAUSAL, tau=None, top_percent=percent))
        assert anchors(made) == "x" * count + "." * (size - count), (percent, size)


def test_a_share_goes_before_tau_and_takes_what_has_no_effect() -> None:
    how = Cut("causal", tau=9.0, top_percent=50)
    assert one(how, ["a", "b", "c", "d"], [-1, -3, -2, -4]) == ("x.x.", "method", ["a", "c"])


def test_where_nothing_reaches_tau_the_largest_effect_and_its_word_stand_in() -> None:
    tokens = ["un", "bear", "able", " so", " so"]
    assert one(CAUSAL, tokens, [0.1, 0.4, 0.2, 0.4, 0.3]) == ("xxx..", "largest", ["unbearable"])
    assert one(CAUSAL, tokens, [0, 0, -1, -2, 0]) == (".....", "none", [])
    assert one(replace(CAUSAL, nothing="empty"), tokens, [0.1, 0.4, 0.2, 0.4, 0.3]) == (".....", "none", [])


def test_surprisal_and_random_take_as_many_tokens_as_the_effect_does() -> None:
    tokens, delta, log_p = ["a", " b", " c", " d"], [0.9, 0.0, 0.8, 0.1], [-1.0, -5.0, -2.0, -4.0]
    assert one(replace(CAUSAL, method="surprisal"), tokens, delta, log_p=log_p) == (".x.x", "method", ["b", "d"])
    low = [0.1, 0.0, 0.2, 0.1]
    assert one(replace(CAUSAL, method="surprisal"), tokens, low, log_p=log_p) == (".x..", "largest", ["b"])
    random = [one(replace(CAUSAL, method="random", seed=seed), tokens, delta)[0] for seed in range(40)]
    assert {mask.count("x") for mask in random} == {2}
    assert len(set(random)) == 6, "every pair is drawn"


def test_lots_hang_on_the_text_alone() -> None:
    delta = [1.0] * 10 + [0.0] * 10
    names: list[Row] = [
        {},
        {"user_id": "v"},
        {"query_id": "r"},
        {"item_id": "j"},
        {"lam": 0.5},
        {"lam": 1.0},
        {"gamma2": 1.0},
    ]
    rows = [row(["a "] * 20, delta, **some) for some in names]
    how = replace(CAUSAL, method="random")
    masks = [anchors(made) for made in scored(rows, how)[0]]
    assert masks == [anchors(scored([text], how)[0][0]) for text in rows], "no chunk changes them"
    assert len(set(masks)) == len(names)
    assert masks[0] != anchors(scored(rows, replace(how, seed=1))[0][0])


@pytest.mark.parametrize(
    ("tokens", "anchor", "found"),
    [
        (["do", "n", "'", "t", " go"], 1, ["don't"]),
        (["well", "-", "known", " to"], 0, ["well-known"]),
        (["so", " great", "!", "!!"], 2, ["!"]),
        (["so", " great", "!", "!!"], 1, ["great"]),
        (["a", " ", "b"], 1, []),
        (["a", "...", " b"], 1, ["..."]),
        (["我", "喜", "欢", "它"], 1, ["喜"]),
        (["हिन", "्दी", " में"], 0, ["हिन्दी"]),
        (["👍", "🏽", " ok"], 0, ["👍🏽"]),
        (["🇫", "🇷", "🇩", "🇪"], 3, ["🇩🇪"]),
        (["👩", "\u200d", "👧", "!"], 2, [FAMILY]),
    ],
)
def test_whole_words_in_any_script(tokens: list[str], anchor: int, found: list[str]) -> None:
    delta = [float(place == anchor) for place in range(len(tokens))]
    assert one(replace(CAUSAL, unit="words"), tokens, delta)[2] == found


def test_tokens_that_share_a_sign_make_one_span() -> None:
    offsets: Row = {"response": "a 🙂!", "starts": [0, 1, 2, 2, 3], "ends": [1, 3, 3, 3, 4]}
    text = row(["a", " �", "�", "�", "!"], [0, 1, 0, 1, 0], **offsets)
    [made], _ = scored([text], CAUSAL)
    assert (anchors(made), spans(made)) == (".x.x.", ["🙂"])
    offsets = {"response": "🙂🙂!", "starts": [0, 0, 2], "ends": [2, 1, 3]}
    text = row(["🙂", "�", "!"], [1, 1, 0], **offsets)
    assert spans(scored([text], CAUSAL)[0][0]) == ["🙂🙂"]


def test_neighbours_are_one_span_and_white_space_at_its_ends_is_left_out() -> None:
    tokens = [" so", " very", " good", ".", "\n", "\n", "Yes", " "]
    assert one(CAUSAL, tokens, [1, 1, 0, 0, 1, 0, 1, 1]) == ("xx..x.xx", "method", ["so very", "Yes"])


def test_a_text_without_others_is_whole_or_without_anchors() -> None:
    assert one(CAUSAL, [" a", " b "], None) == ("xx", "whole", ["a b"])
    assert one(replace(CAUSAL, alone="skip"), [" a", " b "], None) == ("..", "none", [])
    assert one(CAUSAL, [], None) == ("", "none", [])


def test_a_lexicon_looks_at_neither_effects_nor_others(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("happ*\nno way")
    how = Cut("lexicon", None, None, alone="error", nothing="error", lexicon=load_lexicon(str(tmp_path / "words")))
    tokens = ["un", " ", "hap", "py", "!", " No", " ", "way"]
    for delta in (None, [9.0] * 8):
        assert one(how, tokens, delta) == ("..xx.x.x", "method", ["happy", "No", "way"])


def test_what_a_person_wants_to_know_of_stops_the_cut() -> None:
    rows = [row(["a"], None), row(["a", "b"], [0.0, 0.4], query_id="r"), row(["a"], None), row([], None), row([], [])]
    with pytest.raises(SteerxError) as alone:
        cut(frame(rows), replace(CAUSAL, alone="error"))
    assert str(alone.value) == (
        "2 texts have no others to compare with, the first for the user 'u' and the query 'q': "
        "retrieve more than one for each query, or let --alone be whole or skip"
    )
    with pytest.raises(SteerxError) as nothing:
        cut(frame(rows), replace(CAUSAL, nothing="error"))
    assert str(nothing.value) == (
        "1 texts have no token whose effect reaches 0.5 nats, the first for the user 'u' and the query 'r': "
        "lower --tau, or let --nothing be largest or empty"
    )
    cut(frame(rows), replace(ALL, alone="error", nothing="error"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tau": None}, "the method causal needs a number of nats: give --tau one, or use --top-percent"),
        ({"tau": float("nan")}, "the method causal needs a number of nats: give --tau one, or use --top-percent"),
        ({"top_percent": 0.0}, "--top-percent is 0.0: give it more than 0, and 100 at most"),
        ({"top_percent": 101}, "--top-percent is 101: give it more than 0, and 100 at most"),
        ({"top_percent": float("nan")}, "--top-percent is nan: give it more than 0, and 100 at most"),
        ({"method": "lexicon"}, "the method lexicon needs a lexicon: name one with --lexicon"),
    ],
)
def test_settings_that_cut_nothing_are_refused(settings: Row, sentence: str) -> None:
    with pytest.raises(SteerxError) as raised:
        replace(CAUSAL, **settings)
    assert str(raised.value) == sentence


def test_parameters_are_those_that_the_method_looks_at() -> None:
    by_tau = {"tau": 0.5, "nothing": "largest", "unit": "tokens", "alone": "whole"}
    assert CAUSAL.parameters() == {"method": "causal", **by_tau}
    assert replace(CAUSAL, method="random", seed=3).parameters() == {"method": "random", **by_tau, "seed": 3}
    by_share = {"method": "surprisal", "top_percent": 10, "unit": "tokens", "alone": "whole"}
    assert replace(CAUSAL, method="surprisal", top_percent=10).parameters() == by_share
    assert ALL.parameters() == {"method": "all"}
    lexicon = replace(ALL, method="lexicon", lexicon=STYLE)
    assert lexicon.parameters() == {"method": "lexicon", **STYLE.parameters()}
