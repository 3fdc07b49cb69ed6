"""The tables of anchors: their arithmetic by counting pairs, what is true of a token by reading the texts."""

import re
from itertools import pairwise, product
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.schemas import EFFECTS
from steerx_cli.demo import anchors
from steerx_cli.demo.__main__ import main
from steerx_cli.demo.anchors import (
    METHODS,
    TOGETHER,
    Found,
    Truth,
    areas,
    compare,
    distinct,
    found_by,
    planted_in,
    read_world,
    recall_by_habit,
    recalls,
    truth_of,
    values_of,
)
from steerx_cli.demo.files import place_for_table
from steerx_cli.demo.slots import SLOTS
from steerx_cli.lm.models import ModelRequest, identify
from steerx_cli.stages.score_tokens.cut import Cut, cut
from support import Steerx

Row = dict[str, Any]
ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data" / "demo"
WORLD = read_world(DEMO / "truth.parquet")
ITEM, OTHERS = "person-03-1", [f"person-03-{number}" for number in (2, 3, 4, 5)]  # those of the truth's own Δ


def row(item: str = ITEM, others: list[str] = OTHERS, **more: Any) -> Row:
    """A history in words, each with the space before it, and effects that rise from one to the next."""
    text = WORLD.reviews[item].text
    words = [match.span() for match in re.finditer(r" ?[\w'-]+| ?[^\w ]+", text)]
    count = len(words)
    return {
        **{"user_id": item[:9], "query_id": "q", "item_id": item, "rank": 1, "lam": None, "response": text},
        **{"others": others, "context_cut": 0, "response_cut": 0, "token_ids": list(range(count))},
        **{"tokens": [text[start:end] for start, end in words]},
        **{"starts": [start for start, _ in words], "ends": [end for _, end in words]},
        **{"log_p_history": [-1.0] * count, "log_p_empty": [-0.5 * place for place in range(count)]},
        "delta": [0.125 * place for place in range(count)],
        "anchors": [place % 3 == 0 for place in range(count)],
        **more,
    }


# --- arithmetic -------------------------------------------------------------------------------------------------------


@st.composite
def found(draw: st.DrawFn) -> Found:
    """Some tokens of choices of two kinds and of none."""
    tokens = draw(st.lists(st.tuples(st.sampled_from(["", "hedge", "mark"]), *[st.booleans()] * 3, st.integers(0, 4))))
    slot, first, told, anchor, value = ([token[column] for token in tokens] for column in range(5))
    own = np.array([bool(name) for name in slot], bool)
    truth = Truth(
        np.array(slot, object), np.array(first, bool) & own, np.array(told, bool) & own, np.where(own, value, 0.0)
    )
    return Found(truth, np.array(anchor, bool), np.array(value, float))


def shares(pairs: list[bool]) -> float:
    return sum(pairs) / len(pairs) if pairs else float("nan")


def above(sought: list[float], other: list[float]) -> float:
    """How often one of the first is larger, a tie counting half."""
    pairs = list(product(sought, other))
    return sum((left > right) + (left == right) / 2 for left, right in pairs) / len(pairs)


@given(found())
def test_shares_are_counted_token_by_token(found: Found) -> None:
    tokens = list(zip(found.truth.slot, found.anchor.tolist(), strict=True))
    assert found.precision() == pytest.approx(shares([slot != "" for slot, anchor in tokens if anchor]), nan_ok=True)
    for slot, wanted in (("hedge", ["hedge"]), (TOGETHER, ["hedge", "mark"])):
        expected = shares([anchor for name, anchor in tokens if name in wanted])
        assert found.recall(found.truth.of_user(slot)) == pytest.approx(expected, nan_ok=True)


@given(found().filter(lambda found: {"", "hedge"} <= set(found.truth.slot)))
def test_the_area_leaves_out_the_tokens_of_other_habits(found: Found) -> None:
    tokens = list(zip(found.truth.slot, found.value.tolist(), strict=True))
    other = [value for slot, value in tokens if not slot]
    assert found.area("hedge") == pytest.approx(above([value for slot, value in tokens if slot == "hedge"], other))
    assert found.area() == pytest.approx(above([value for slot, value in tokens if slot], other))


@given(found())
def test_the_area_of_first_tokens_is_against_everything_that_begins_no_choice(found: Found) -> None:
    tokens = list(zip(found.truth.slot, found.truth.first, found.value.tolist(), strict=True))
    sought = [value for slot, first, value in tokens if first and slot == "hedge"]
    other = [value for _, first, value in tokens if not first]
    if sought and other:
        assert found.area_of_firsts("hedge") == pytest.approx(above(sought, other))


def test_a_kind_without_a_choice_has_no_figures() -> None:
    nothing = Found(Truth(*(np.array([kind]) for kind in ("", False, False, 0.0))), np.array([True]), np.array([1.0]))
    assert (recalls(nothing, "hedge"), areas(nothing, "hedge")) == ("– / –", "– / –")


# --- what is true of a token ------------------------------------------------------------------------------------------


def found_in(row: Row) -> list[anchors.Planted]:
    return list(planted_in(row, WORLD))


def user_spans(item: str) -> list[Row]:
    return [dict(span) for span in WORLD.spans[item] if span["source"] == "user"]


def test_a_choice_is_the_words_of_its_value() -> None:
    tokens = row()["tokens"]
    said = [(planted.slot, "".join(tokens[token] for token in planted.tokens).strip()) for planted in found_in(row())]
    true = user_spans(ITEM)
    assert [slot for slot, _ in said] == [span["slot"] for span in true]
    for (slot, text), span in zip(said, true, strict=True):
        assert text == span["value"] if slot != "length" else text in ("The", "As")


def test_the_exact_delta_is_the_truth_s_for_the_same_others() -> None:
    true = [span["delta"] for span in user_spans(ITEM)]
    assert [planted.exact for planted in found_in(row())] == pytest.approx(true, abs=1e-6)
    assert [planted.exact for planted in found_in(row(others=OTHERS[:1]))] != pytest.approx(true, abs=1e-6)


def test_a_choice_is_told_where_one_of_the_others_says_the_same() -> None:
    told = set()
    item, every = "person-05-8", [f"person-05-{number}" for number in range(1, 8)]
    for others in [[other] for other in every] + [list(pair) for pair in pairwise(every)]:
        texts = [WORLD.reviews[other].text for other in others]
        for span, planted in zip(user_spans(item), found_in(row(item, others)), strict=True):
            if planted.slot in ("opener", "hedge", "closer"):  # phrases that stand nowhere else
                said = [span["value"] in text for text in texts]
                assert planted.told == any(said)
                told.add((*said,))
    assert told >= {(True,), (False,), (True, False), (False, True)}


def test_tokens_know_the_choice_that_they_belong_to() -> None:
    rows = [row(), row(others=OTHERS[:1])]
    truth, size = truth_of(rows, WORLD), len(rows[0]["starts"])
    for start, each in ((0, rows[0]), (size, rows[1])):
        planted = found_in(each)
        assert [start + choice.tokens[0] for choice in planted] == [
            place for place in np.flatnonzero(truth.first).tolist() if start <= place < start + size
        ]
        for choice in planted:
            places = [start + token for token in choice.tokens]
            assert set(truth.slot[places]) == {choice.slot}
            assert set(truth.told[places]) == {choice.told}
            assert set(truth.exact[places]) == {choice.exact}
    assert truth.of_user().sum() == sum(len(choice.tokens) for each in rows for choice in found_in(each))


def test_a_text_counts_once_for_the_same_others() -> None:
    again = row(query_id="another")
    assert distinct([row(), again, row(others=OTHERS[:2]), again]) == [row(), row(others=OTHERS[:2])]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"item_id": "person-99-1"}, "the truth does not speak of the text 'person-99-1'"),
        ({"response": "Something else."}, "the truth does not speak of"),
        ({"others": ["person-99-2"]}, "the truth does not speak of"),
        ({"delta": None}, "was scored without others"),
        ({"context_cut": 1}, "was scored without others, or cut"),
        ({"response_cut": 1}, "was scored without others, or cut"),
        ({"starts": [0], "ends": [0]}, "has no token of its own"),
    ],
)
def test_what_cannot_be_compared_is_refused(wrong: Row, said: str) -> None:
    with pytest.raises(SteerxError, match=said):
        found_in({**row(), **wrong})


# --- what a method made of it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["causal", "surprisal", "random"])
def test_anchors_are_the_tokens_of_largest_value(method: str) -> None:
    effects = pa.Table.from_pylist([{**row(), "anchors": None}], schema=EFFECTS.columns)
    how = Cut(method, tau=None, top_percent=20, seed=5)
    (made,) = cut(cast(pl.DataFrame, pl.from_arrow(effects)), how)[0].to_dicts()
    values, mask = values_of(made, how.parameters()), np.array(made["anchors"])
    assert 0 < mask.sum() < len(mask)
    assert values[mask].min() > values[~mask].max()


@pytest.mark.parametrize("method", ["lexicon", "all"])
def test_a_method_without_an_order_has_its_anchors_before_the_rest(method: str) -> None:
    assert values_of(row(), {"method": method}).tolist() == [float(anchor) for anchor in row()["anchors"]]


def test_texts_are_laid_end_to_end() -> None:
    rows = [row(), row(others=OTHERS[:1], anchors=[True] * len(row()["starts"]))]
    found = found_by(rows, {"method": "causal"}, truth_of(rows, WORLD))
    assert found.anchor.tolist() == rows[0]["anchors"] + rows[1]["anchors"]
    assert found.value.tolist() == rows[0]["delta"] + rows[1]["delta"]


# --- tables -----------------------------------------------------------------------------------------------------------


def test_the_table_of_recall_tells_what_can_be_found() -> None:
    truth = Truth(
        slot=np.array(["hedge", "hedge", "hedge", "", "hedge"], object),
        first=np.array([True, False, True, False, True]),
        told=np.array([True, True, True, False, False]),
        exact=np.array([2.0, 2.0, 0.5, 0.0, 0.25]),
    )
    causal = Found(truth, np.array([True, True, False, False, False]), np.zeros(5))
    lines = recall_by_habit(dict.fromkeys(METHODS, causal), tau=1.0)
    assert lines[:2] == [
        "| habit | choices | told | found of those | Δ can reach τ | found of those "
        "| causal | random | surprisal | lexicon |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    (hedge,) = [line for line in lines if line.startswith("| hedge ")]
    assert hedge == f"| hedge | 3 | 0.67 | 0.50 | 0.33 | 1.00 |{' 0.33 / 0.50 |' * 4}"
    assert lines[-1] == hedge.replace("hedge", "all together")
    assert len(lines) == 2 + len(SLOTS) + 1


def test_the_commands_scores_become_the_tables(tmp_path: Path, alone: Path, steerx: Steerx) -> None:
    write_scores(tmp_path / "run", steerx)
    world = tmp_path / "world"
    world.mkdir()
    (world / "truth.parquet").write_bytes((DEMO / "truth.parquet").read_bytes())
    (world / "README.md").write_text(f"above\n{anchors._BEGIN}\nold\n{anchors._END}\nbelow\n")
    assert main(["anchors", str(world), "--run", str(tmp_path / "run")]) == 0
    page = (world / "README.md").read_text()
    assert page.startswith("above\n")
    assert page.endswith("\nbelow\n")
    assert "\nold\n" not in page
    assert f"\n2 people, scored by weights {weights()}. τ = 1.\n" in page
    assert len(re.findall(r"^\| opener \|", page, re.MULTILINE)) == 4
    (everything,) = re.findall(r"^\| all of the person's others \| all \|(.*)$", page, re.MULTILINE)
    assert re.fullmatch(r" [\d,]+ \| 1\.00 \| 0\.\d\d \| 1\.00 / 1\.00 \| 0\.50 / 0\.50 \|", everything)


def write_scores(run: Path, steerx: Steerx) -> None:
    """What `make demo-anchors` does, for two people."""
    asked = {"retrieved": ([], []), "all": (["--retriever", "all"], ["--context", "all"])}
    for context, (retrieve, measure) in asked.items():
        common = ["--preset", "demo", "--run", run / context]
        assert steerx("retrieve", *common, *retrieve, "--limit", 2).code == 0
        assert steerx("score-tokens", *common, *measure).code == 0
        for method in METHODS:
            cuts = ["--method", method, "--output", run / context / f"scores-{method}.parquet"]
            assert steerx("score-tokens", *common, "--effects", run / context / "effects.parquet", *cuts).code == 0
    other = run / "all" / "scores-all.parquet"
    for wrong in (run / "all" / "scores-random.parquet", run / "retrieved" / "scores-all.parquet"):
        refused(other, wrong)


def refused(place: Path, wrong: Path) -> None:
    """Scores of another method, or cut from other effects."""
    right = place.read_bytes()
    place.write_bytes(wrong.read_bytes())
    with pytest.raises(SteerxError, match="is not by all, or not of the same effects"):
        anchors.open_scores(place.parent)
    place.write_bytes(right)


def weights() -> str:
    return identify(ModelRequest(str(DEMO / "model"))).weights[:12]


def test_the_tables_that_ship_are_of_the_model_that_ships() -> None:
    page = (DEMO / "README.md").read_text()
    _, _, tables = page.partition(anchors._BEGIN)
    assert f"\n72 people, scored by weights {weights()}. τ = 1.\n" in tables
    assert all(len(re.findall(rf"^\| {slot} \|", tables, re.MULTILINE)) == 4 for slot in (*SLOTS, TOGETHER))


def test_a_readme_without_a_place_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    with pytest.raises(SteerxError, match="has no place for the table"):
        place_for_table(readme, anchors._BEGIN, anchors._END)
    readme.write_text(anchors._END + anchors._BEGIN)
    with pytest.raises(SteerxError, match="has no place for the table"):
        compare(tmp_path, tmp_path)
    assert readme.read_text() == anchors._END + anchors._BEGIN
