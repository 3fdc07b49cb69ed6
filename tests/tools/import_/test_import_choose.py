"""What becomes a history and what a query."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerx_cli.tools.import_ import choose as words
from steerx_cli.tools.import_.choose import Chosen, Rules, choose
from steerx_cli.tools.import_.texts import Text

OWN = Rules()
LAST = Rules(last=1)


def text(name: str, response: str | None = None, **values: object) -> Text:
    """A text of one user, that says its own name."""
    made = Text(user_id="u", text_id=name, response=f"said {name}" if response is None else response)
    return replace(made, **values)  # type: ignore[arg-type]


def ids(texts: Sequence[Text]) -> str:
    return " ".join(text.text_id for text in texts)


def chosen(*texts: Text, rules: Rules = LAST) -> tuple[str, str]:
    found = choose(texts, rules)
    return ids(found.histories), ids(found.queries)


def noted(found: Chosen) -> dict[str, int]:
    return {what: number for what, number in found.counts.items() if number}


def test_the_last_texts_in_time_are_the_queries() -> None:
    texts = [text("c", time=30), text("a", time=10), text("d", time=40), text("b", time=20)]
    assert chosen(*texts) == ("a b c", "d")
    assert chosen(*texts, rules=Rules(last=2)) == ("a b", "c d")
    assert chosen(*texts, rules=Rules(last=0)) == ("a b c d", "")


def test_a_query_is_for_test_and_keeps_its_text_as_the_reference() -> None:
    (query,) = choose([text("a", time=1), text("b", time=2)], LAST).queries
    assert (query.split, query.response) == ("test", "said b")


def test_a_text_without_a_time_leaves_all_in_the_order_of_the_files() -> None:
    found = choose([text("c", time=30), text("a"), text("b", time=20)], LAST)
    assert (ids(found.histories), ids(found.queries)) == ("c a", "b")
    assert noted(found) == {words.UNDATED: 1}


def test_texts_of_one_time_stay_in_the_order_of_the_files() -> None:
    assert chosen(text("b", time=1), text("a", time=1), text("c", time=1)) == ("b a", "c")


def test_the_source_s_own_queries_stay_queries() -> None:
    texts = [text("q", split="development"), text("b", time=2), text("a", time=1), text("r", split="test")]
    assert chosen(*texts, rules=OWN) == ("a b", "q r")


def test_own_queries_are_texts_like_others_where_the_last_ones_are_asked_for() -> None:
    texts = [text("a"), text("q", split="development"), text("b"), replace(text("r", split="test"), response=None)]
    found = choose(texts, LAST)
    assert (ids(found.histories), ids(found.queries)) == ("a q", "b")
    assert found.histories[1].split is None
    assert noted(found) == {words.UNANSWERED: 1, words.UNDATED: 1}


def test_a_history_that_is_the_answer_to_a_query_is_left_out() -> None:
    texts = [text("a", time=1), text("b", "the answer", time=2), text("q", "the answer", split="test")]
    found = choose(texts, OWN)
    assert (ids(found.histories), ids(found.queries)) == ("a", "q")
    assert noted(found) == {words.ANSWERS: 1}


def test_a_label_is_the_same_only_with_the_same_input() -> None:
    texts = [
        text("a", "funny", input="one film", is_label=True, time=1),
        text("b", "funny", input="another", is_label=True, time=2),
        text("q", "funny", input="a third", is_label=True, split="test"),
    ]
    assert chosen(*texts, rules=OWN) == ("a b", "q")
    assert chosen(*texts, text("r", "funny", input="another", is_label=True, split="test"), rules=OWN) == ("a", "q r")


def test_of_equal_texts_the_latest_is_kept() -> None:
    texts = [text("a", "same", time=3), text("b", time=1), text("c", "same", time=2), text("d", time=4)]
    found = choose(texts, LAST)
    assert (ids(found.histories), ids(found.queries)) == ("b a", "d")
    assert noted(found) == {words.REPEATED: 1}
    assert chosen(*texts, rules=Rules(last=1, unique=False)) == ("b c a", "d")


def test_spaces_capitals_and_ways_to_write_an_accent_do_not_make_another_text() -> None:
    texts = [text("a", "Caf\u00e9  au\nlait ", time=1), text("b", "cafe\u0301 AU lait", time=2), text("c", "x", time=3)]
    found = choose(texts, LAST)
    assert (ids(found.histories), found.histories[0].response) == ("b", "cafe\u0301 AU lait")
    assert chosen(*texts, text("q", "CAFÉ au lait", split="test"), rules=Rules(unique=False)) == ("c", "q")


def test_queries_too_are_in_time_order() -> None:
    texts = [text("a"), text("late", time=2, split="test"), text("early", time=1, split="development")]
    assert chosen(*texts, rules=OWN) == ("a", "early late")


def test_what_is_left_out_of_users_who_are_left_out_is_counted_too() -> None:
    assert noted(choose([text("a", "no"), text("b", "yes, long")], Rules(1, 5))) == {
        words.SHORT: 1,
        words.FEW: 1,
        words.UNDATED: 1,
    }


def test_without_unique_no_history_is_the_answer_all_the_same() -> None:
    texts = [text("a", time=1), text("b", "same", time=2), text("c", "same", time=3)]
    assert chosen(*texts, rules=Rules(last=1, unique=False)) == ("a", "c")


def test_short_texts_are_left_out_before_the_last_are_taken() -> None:
    found = choose(
        [text("a", "long enough", time=1), text("b", "also long", time=2), text("c", "no", time=3)], Rules(1, 5)
    )
    assert (ids(found.histories), ids(found.queries)) == ("a", "b")
    assert noted(found) == {words.SHORT: 1}


@pytest.mark.parametrize(
    ("rules", "why"), [(Rules(last=2), words.FEW), (Rules(min_histories=3), words.FEW), (OWN, words.UNASKED)]
)
def test_a_user_with_too_little_is_left_out_and_told_of(rules: Rules, why: str) -> None:
    found = choose([text("a", time=1), text("b", time=2)], rules)
    assert found.is_empty
    assert noted(found) == {why: 1}


def test_a_user_may_have_no_histories_where_none_are_asked_for() -> None:
    assert chosen(text("a"), rules=Rules(last=1, min_histories=0)) == ("", "a")


def test_texts_without_ids_are_numbered_as_they_were_read() -> None:
    texts = [text("", f"text {number}", time=20 - number) for number in range(11)]
    assert chosen(*texts) == ("11 10 09 08 07 06 05 04 03 02", "01")


def test_ids_that_came_twice_are_numbered_and_stay_apart() -> None:
    texts = [text("a", str(n), time=n) for n in range(3)] + [text("a#2", "x", time=5), text("z", time=9)]
    found = choose(texts, LAST)
    assert ids(found.histories) == "a a#3 a#4 a#2"
    assert noted(found) == {words.RENAMED: 2}


def test_ten_thousand_texts_of_one_id_are_no_work() -> None:
    found = choose([text("same", str(number), time=number) for number in range(10_000)], LAST)
    assert len({text.text_id for text in found.histories}) == 9_999


@given(
    st.lists(
        st.builds(
            Text,
            user_id=st.just("u"),
            text_id=st.sampled_from(["", "a", "a#2", "b"]),
            response=st.sampled_from(["x", "y", "long text", None]),
            time=st.none() | st.integers(0, 3),
            split=st.sampled_from([None, None, "development", "test"]),
        ).filter(lambda text: text.split is not None or text.response is not None)
    ),
    st.builds(
        Rules,
        last=st.none() | st.integers(0, 3),
        min_chars=st.integers(1, 3),
        min_histories=st.integers(0, 2),
        unique=st.booleans(),
    ),
)
def test_whatever_comes_ids_are_apart_and_no_answer_is_given_away(texts: list[Text], rules: Rules) -> None:
    found = choose(texts, rules)
    for some in (found.histories, found.queries):
        assert len({text.text_id for text in some}) == len(some)
    assert not {text.response for text in found.histories} & {text.response for text in found.queries} - {None}
    assert all(text.split for text in found.queries)
    assert not any(text.split for text in found.histories)
    assert found.is_empty or len(found.histories) >= rules.min_histories
    assert rules.last is None or len(found.queries) <= rules.last
