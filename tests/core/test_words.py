"""What a word is: the quick way for ASCII gives what the way for all scripts gives."""

from hypothesis import given
from hypothesis import strategies as st

from steerx_cli.core import words

TEXTS = st.text(st.characters(max_codepoint=127)) | st.text("ab_1'- .\n")


@given(TEXTS)
def test_the_words_of_ascii_are_those_of_any_script(text: str) -> None:
    every = words._words(words._APOSTROPHES + words._HYPHENS).finditer(text)
    assert [match.span() for match in words.words(text)] == [match.span() for match in every]
