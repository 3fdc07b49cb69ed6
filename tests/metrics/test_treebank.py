"""Words of a sentence, against NLTK's own tokenizer."""

import random
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize.destructive import NLTKWordTokenizer

from passages import ODD, paragraphs
from steerx_cli.metrics.treebank import words_of

PEER = NLTKWordTokenizer()
MARKS = (
    "a b I he can N X é ß 好 1 2,000 3.5 x.y U.S. e.g. No.",
    "' '' ''' ` `` \" “ ” ‘ ’ „ « » . .. ... …",
    "'s 'S 'm 'M 'd 'D 'll 'LL 'Ll 're 'RE 've 'VE 't n't N'T n'T 'n don't DON'T it's we'll they'RE '90s 'em",
    "cannot Cannot d'ye gimme gonna GONNA gotta lemme more'n wanna 'tis 'Twas 'tisn't whaddya scannot",
    ", : ; @ # $ % & ? ! * ( ) [ ] { } < > - -- --- – — ― ‒ _ / \\ | ~ ^ + = § 😀",
)
PIECES = (*" ".join(MARKS).split(), " ", "  ", "\n", "\t", "\u00a0", "\u3000", "\u200d", "\u0301", "\x1c")

pytestmark = pytest.mark.skipif(
    not version("nltk").startswith("3.9."), reason="NLTK cuts words by other rules since 3.10"
)


def assert_as_nltk(sentence: str) -> None:
    assert list(words_of(sentence)) == PEER.tokenize(sentence), repr(sentence)


def test_strings_of_quotes_clitics_and_punctuation_are_cut_as_nltk_cuts_them() -> None:
    draw = random.Random(1)
    for number in range(5000):
        between = " " if number % 3 == 0 else ""
        assert_as_nltk(between.join(draw.choices(PIECES, k=draw.randint(1, 12))))


def test_every_two_pieces_are_cut_as_nltk_cuts_them() -> None:
    for one in PIECES:
        for other in PIECES[::2] if len(one) < 3 else PIECES[-9:]:
            assert_as_nltk(one + other)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_pieces_in_any_order_are_cut_as_nltk_cuts_them(sentence: str) -> None:
    assert_as_nltk(sentence)


@settings(deadline=None, max_examples=300)
@given(st.text())
def test_any_text_is_cut_as_nltk_cuts_it(sentence: str) -> None:
    assert_as_nltk(sentence)


@pytest.mark.parametrize(("answer", "reference"), ODD)
def test_odd_text_is_cut_as_nltk_cuts_it(answer: str, reference: str) -> None:
    assert_as_nltk(answer)
    assert_as_nltk(reference)


def test_real_paragraphs_are_cut_as_nltk_cuts_them(material: Path) -> None:
    for paragraph in paragraphs(material)[:300]:
        assert_as_nltk(paragraph)
        assert_as_nltk(f'"{paragraph}"')


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("\"It's the dogs' bowl,\" she said.", "`` It 's the dogs ' bowl , '' she said ."),
        ("They'll pay $3.88 (3,36 euros)...", "They 'll pay $ 3.88 ( 3,36 euros ) ..."),
        ("I cannot, won't, and shouldn't: gonna!", "I can not , wo n't , and should n't : gon na !"),
        ("'Tis «mine» -- he'd wanna know?", "'T is « mine » -- he 'd wan na know ?"),
        ("Mr. X of the U.S. left at 10:30.", "Mr. X of the U.S. left at 10:30 ."),
        ("don’t", "don ’ t"),
        ("'tis'twas", "'t is 't was"),
        ("a—b", "a — b"),
    ],
)
def test_words_that_anyone_can_check(sentence: str, words: str) -> None:
    assert " ".join(words_of(sentence)) == words
