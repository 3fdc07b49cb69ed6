"""What of all that a model wrote is its answer."""

from typing import Any

import pytest
from tokenizers import AddedToken

from steerx_cli.lm.answers import Reader, without_thoughts
from steerx_cli.lm.frames import PLAIN, Frame
from steerx_cli.lm.pretrain import CHAT, make_tokenizer

OPENED = Frame("chat", CHAT.prefix, f"{CHAT.suffix}<think>\n")
CLOSED = Frame("chat", CHAT.prefix, f"{CHAT.suffix}<think>\n\n</think>\n\n")


def tokenizer(*names: str, special: bool = False) -> Any:
    """One that knows some names as tokens of their own."""
    made = make_tokenizer(["Well, a quiet café."], 280)
    made.add_tokens([AddedToken(name, special=special, normalized=False) for name in names])
    return made


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Hm.</think>Yes.", "Yes."),
        ("<think>\nHm.\n\nWell.\n</think>\n\nYes.\n", "Yes.\n"),
        (" \n<think></think>Yes.", "Yes."),
        ("<think>Hm.", ""),
        ("Yes. <think>Hm.", "Yes."),
        ("<think>One.</think>\n<think>Two.</think>\nYes.", "Yes."),
        ("<think>One.</think>Yes.\n<think>Two, with no end", "Yes."),
        ("<think>a <think> b</think>Yes.", "Yes."),
        ("<think>", ""),
        ("<think></think>", ""),
    ],
)
def test_think_blocks_are_taken_out_with_the_white_space_around_them(text: str, answer: str) -> None:
    assert without_thoughts(text) == (answer, True)


@pytest.mark.parametrize(
    "text", ["", "Yes.", "  Yes.\n", "I think> so", "< think>Hm.</ think>", "Hm.</think>Yes.", "<THINK>Hm.</THINK>"]
)
def test_whatever_is_no_think_block_stays_as_it_is(text: str) -> None:
    assert without_thoughts(text) == (text, False)


@pytest.mark.parametrize("frame", [PLAIN, CHAT, CLOSED])
@pytest.mark.parametrize("known", ["as letters", "as a token", "as a special token"])
def test_a_think_block_is_one_however_its_marks_are_tokenised(known: str, frame: Frame) -> None:
    names = () if known == "as letters" else ("<think>", "</think>")
    made = tokenizer(*names, special="special" in known)
    ids = made("<think>\nHm, café?\n</think>\n\nA café. 🙂")["input_ids"]
    assert (made.convert_tokens_to_ids("<think>") in ids) == (known != "as letters")
    assert Reader(made, frame).answer(ids) == ("A café. 🙂", True)
    assert Reader(made, frame).answer(made("A café. 🙂")["input_ids"]) == ("A café. 🙂", False)


@pytest.mark.parametrize("special", [False, True])
def test_what_the_template_opened_is_a_think_block_too(special: bool) -> None:
    made = tokenizer("<think>", "</think>", special=special)
    reader = Reader(made, OPENED)
    assert reader.answer(made("Hm.\n</think>\n\nYes.")["input_ids"]) == ("Yes.", True)
    assert reader.answer(made("Hm, and no end")["input_ids"]) == ("", True)
    assert reader.answer(made("Hm.</think>Yes.<think>And?</think>")["input_ids"]) == ("Yes.", True)


def test_special_tokens_are_no_part_of_an_answer() -> None:
    made = tokenizer("<|tool|>", special=True)
    for frame in (PLAIN, CHAT):
        ids = made("<|im_start|>A<|tool|> café<|endoftext|>.<|im_end|>")["input_ids"]
        assert len(ids) > len(made("A café.")["input_ids"]) + 3
        assert Reader(made, frame).answer(ids) == ("A café.", False)


def test_other_added_tokens_are() -> None:
    made = tokenizer("<tool>", "<b>")
    assert Reader(made, CHAT).answer(made("A <b>café<tool>")["input_ids"]) == ("A <b>café<tool>", False)


@pytest.mark.parametrize("text", ["", " ", "\n A  b ,c .\n", "do n't ?", "🙂 東京", "<|im_end|>"])
def test_a_text_comes_back_letter_for_letter(text: str) -> None:
    """Spelled out, a special token is a text like any other; and no space is tidied away."""
    made = tokenizer()
    made.clean_up_tokenization_spaces = True
    assert Reader(made, CHAT).answer(made(text, split_special_tokens=True)["input_ids"]) == (text, False)
