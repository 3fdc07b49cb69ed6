"""People's texts on a terminal: whatever they hold, they stay on their line and change nothing around it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerx_cli.core.text import visible

# Every character there is, lone surrogates included; control and format characters more often than chance would.
ANY_TEXT = st.text(
    st.one_of(
        st.characters(), st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), st.sampled_from("\r\n\x1b\x9b")
    )
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain, naïve, 日本語, עברית", "plain, naïve, 日本語, עברית"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;a title\x07", "␛]0;a title␇"),
        ("nothing\x00there", "nothing␀there"),
        ("back\x08space and\x7fdelete", "back␈space and␡delete"),
        ("a\ttab", "a␉tab"),
        ("\x9b31mred", "\\x9b31mred"),
        ("next\x85line", "next\\x85line"),
        ("two\nlines", "two⏎lines"),
        ("two\r\nlines", "two␍⏎lines"),
        ("a\x0bb\x0cc\x1cd", "a␋b␌c␜d"),
        ("separated\u2028lines\u2029paragraphs", "separated⏎lines⏎paragraphs"),
        ("half a pair \ud83d here", "half a pair \\ud83d here"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
    ],
)
def test_control_characters_become_signs(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    "code", [0x061C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
)
def test_what_reorders_or_hides_text_is_spelled_out(code: int) -> None:
    assert visible(f"user{chr(code)}name") == f"user\\u{code:04x}name"


@pytest.mark.parametrize("text", ["👩‍👩‍👧", "🏳️‍🌈", "👍🏽", "🇯🇵", "می‌خواهم", "क्‍ष", "e\u0301"])
def test_emoji_and_scripts_that_need_joiners_are_kept(text: str) -> None:
    assert visible(text) == text


@given(ANY_TEXT)
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert {character for character in shown if unicodedata.category(character) == "Cf"} <= {"\u200c", "\u200d"}
    shown.encode()
    assert visible(shown) == shown


@given(ANY_TEXT)
def test_any_text_without_control_characters_stays_as_it_is(text: str) -> None:
    kept = "".join(character for character in text if unicodedata.category(character)[0] in "LMNPS" or character == " ")
    assert visible(kept) == kept
