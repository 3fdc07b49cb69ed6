"""Texts go in in any order and come out by user."""

import errno
import os
import random
import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.core.order import user_order
from steerx_cli.tools.import_.spool import Candidate, Person, Reject, Spool
from steerx_cli.tools.import_.texts import Item, Text

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
texts = st.builds(
    Text,
    user_id=st.sampled_from(["a", "b", "ü", "user 4"]) | words,
    text_id=words,
    response=st.none() | words,
    fields=st.dictionaries(words, words, max_size=2),
    input=st.none() | words,
    rating=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    time=st.none() | st.integers(-(10**14), 10**14),
    split=st.sampled_from([None, "development", "test"]),
    about=st.none() | words,
    is_label=st.booleans(),
)


def filled(folder: Path, *given: Text) -> Spool:
    spool = Spool(folder)
    for text in given:
        spool.add(text, text.user_id)
    spool.sort()
    return spool


def people(count: int) -> list[Text]:
    """User n wrote n texts; all of them shuffled."""
    found = [Text(f"u{number:02}", f"t{text}", "words") for number in range(1, count + 1) for text in range(number)]
    return random.Random(1).sample(found, len(found))


def choose_all(spool: Spool) -> None:
    spool.choose(Candidate(name, texts[0].user_id, len(texts), name.encode()) for name, texts, _ in spool.people())


@given(st.lists(texts, max_size=30))
@settings(deadline=None)
def test_every_text_comes_back_as_it_was_with_its_user_s_others_in_the_shared_order(given: list[Text]) -> None:
    with filled(Path.cwd(), *given) as spool:
        found = list(spool.people())
    users = sorted({text.user_id for text in given}, key=user_order)
    assert found == [Person(user, [text for text in given if text.user_id == user]) for user in users]


def test_only_those_that_were_chosen_come_back(tmp_path: Path) -> None:
    with filled(tmp_path, *people(6)) as spool:
        users = [person.name for person in spool.people()]
        spool.choose(Candidate(user, user, 1, b"") for user in users if user != "u03")
        assert spool.users == 5
        assert [person.name for person in spool.chosen()] == [user for user in users if user != "u03"]


def test_the_longest_are_kept_and_of_equal_ones_the_first_by_id(tmp_path: Path) -> None:
    with filled(tmp_path, *people(9), Text("u11", "t", "x"), *(Text("u10", f"t{n}", "x") for n in range(8))) as spool:
        choose_all(spool)
        assert spool.keep_longest(2) == 9
        assert {person.name for person in spool.chosen()} == {"u09", "u08"}
        assert spool.keep_longest(10**30) == 0


def test_lots_are_drawn_among_those_that_are_kept(tmp_path: Path) -> None:
    with filled(tmp_path, *people(6)) as spool:
        choose_all(spool)
        spool.keep_longest(4)
        spool.draw("development", 2)
        drawn = {person.name: person.split for person in spool.chosen()}
    assert drawn == {"u03": "development", "u04": "development", "u05": None, "u06": None}


def test_another_name_changes_the_order_and_not_the_choice(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for text in people(4):
            spool.add(text, f"name of {text.user_id[::-1]}")
        spool.sort()
        names = [person.name for person in spool.people()]
        assert names == sorted(names, key=user_order)
        spool.choose(Candidate(name, texts[0].user_id, 1, b"") for name, texts, _ in spool.people())
        spool.keep_longest(1)
        assert [person.name for person in spool.chosen()] == ["name of 10u"]


def test_what_metadata_say_first_of_an_item_holds(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        assert spool.describe(Item("i", {"title": "one"}))
        assert not spool.describe(Item("i", {"title": "two"}))
        assert spool.item("i") == {"title": "one"}
        assert spool.item("j") is None


def test_rejects_come_back_in_order(tmp_path: Path) -> None:
    rejects = [Reject("b", 2, None, "late"), Reject("a", 1, 3, "early")]
    with Spool(tmp_path) as spool:
        for reject in rejects:
            spool.reject(reject)
        assert list(spool.rejects()) == rejects


def test_it_knows_whether_queries_came(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.add(Text("u", "t", "words"), "u")
        assert not spool.has_queries
        spool.add(Text("u", "t", "words", split="test"), "u")
        spool.add(Text("u", "t", "words"), "u")
        assert spool.has_queries


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_it_lies_beside_the_result_and_has_no_name(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for number in range(1000):
            spool.add(Text(f"u{number}", "t", "word " * 20_000), "u")
        files = [os.readlink(place) for place in Path("/proc/self/fd").iterdir() if place.is_symlink()]  # noqa: PTH115
        assert any(name.startswith(str(tmp_path)) and name.endswith("(deleted)") for name in files)
        assert list(tmp_path.iterdir()) == []
    connection = sqlite3.connect("")  # the place was for this work only
    assert connection.execute("PRAGMA temp_store_directory").fetchall() in ([], [("",)])
    connection.close()


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool._base.execute("PRAGMA max_page_count = 40")
        with pytest.raises(OSError, match="full") as caught:
            fill(spool)
    assert caught.value.errno == errno.ENOSPC


def fill(spool: Spool) -> None:
    for number in range(3000):
        spool.add(Text(f"u{number}", "t", "word " * 200), "u")
