"""Prompts: their wording, and that every part lies where the prompt says."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.frames import PLAIN, Frame
from steerx_cli.lm.prompt import (
    Block,
    Description,
    EmptyHistory,
    Histories,
    History,
    Item,
    NoBlock,
    Prompt,
    Span,
    render,
    render_smoothing,
    tokens_in,
)
from steerx_cli.lm.templates import Task, load_smoothing, load_task, task_names

TASKS = task_names()
CHAT = Frame("chat", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
FRAMES = [PLAIN, CHAT]


def item(text: str = "A film") -> Item:
    names = ["title", "description", "rating", "headline", "summary", "points", "abstract", "text", "tags"]
    return Item(text, dict.fromkeys(names, text))


def histories(*responses: str) -> Histories:
    return Histories(tuple(History(item(), response) for response in responses))


BLOCKS: list[Block] = [histories("One.", "Two."), EmptyHistory(), Description("Brief."), NoBlock()]


def cut(prompt: Prompt, span: Span | None) -> str:
    assert span is not None
    return prompt.text[span.start : span.end]


# --- the wording: a change here is a change of version ----------------------------------------------------------------

FILM = Item("Review the film.", {"title": "The Night Train", "description": "A western on rails.", "rating": "4"})
OTHER = History(Item("", {"title": "Bleak Sea", "description": " "}), "Well. It was wet.")
THIRD = History(Item("", {"title": "Two Keys", "rating": "5"}), "Well! Loved it.")

INSTRUCTION = "Write a review of the item given last. Reply with the review only."
TARGET = "Title: The Night Train\nDescription: A western on rails.\nRating: 4"
WITH_HISTORIES = f"""{INSTRUCTION}

Write as this person would. Earlier reviews by this person:

Title: Bleak Sea
Review:
Well. It was wet.

Title: Two Keys
Rating: 5
Review:
Well! Loved it.

{TARGET}
Review:
"""
WITH_EMPTY_HISTORY = f"""{INSTRUCTION}

Write as this person would. Earlier reviews by this person:
None

{TARGET}
Review:
"""
WITH_DESCRIPTION = f"""{INSTRUCTION}

Write as this person would. Description of this person:
Opens with "Well".

{TARGET}
Review:
"""
WITHOUT_BLOCK = f"""{INSTRUCTION}

{TARGET}
Review:
"""
STATES: list[tuple[Block, str]] = [
    (Histories((OTHER, THIRD)), WITH_HISTORIES),
    (EmptyHistory(), WITH_EMPTY_HISTORY),
    (Description('Opens with "Well".'), WITH_DESCRIPTION),
    (NoBlock(), WITHOUT_BLOCK),
]


@pytest.mark.parametrize(("block", "expected"), STATES)
def test_the_review_task_in_plain_format_is_worded_like_this(block: Block, expected: str) -> None:
    assert render(load_task("review"), PLAIN, FILM, block).text == expected
    assert render(load_task("review"), PLAIN, FILM, block, "Well then.").text == expected + "Well then."


@pytest.mark.parametrize(("block", "expected"), STATES)
def test_in_a_chat_the_message_has_no_label_and_the_frame_stands_around_it(block: Block, expected: str) -> None:
    message = expected.removesuffix("\nReview:\n")
    framed = f"<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert render(load_task("review"), CHAT, FILM, block).text == framed


SMOOTHING_END = (
    "They show what is this person's own.\n"
    "Describe in 2 to 4 sentences how this person writes and what this person likes. "
    "Say nothing that the pieces do not show. Reply with the description only.\n\n"
)


def test_the_smoothing_prompt_for_one_history_is_worded_like_this() -> None:
    prompt = render_smoothing(load_smoothing(), load_task("review"), PLAIN, [["Well", "{kind} of"]])
    assert prompt.text == (
        "The pieces below are from one text by one person (kind of text: review). "
        + SMOOTHING_END
        + "Pieces of one text:\n- Well\n- {kind} of\nDescription:\n"
    )
    assert cut(prompt, prompt.input) == cut(prompt, prompt.histories[0]) == "- Well\n- {kind} of"


def test_the_smoothing_prompt_for_several_histories_leaves_out_those_without_anchors() -> None:
    prompt = render_smoothing(load_smoothing(), load_task("review"), PLAIN, [["Well"], [], ["loved"]], "Says Well.")
    assert prompt.text == (
        "The pieces below are from several texts by one person (kind of text: review). "
        + SMOOTHING_END
        + "Pieces of one text:\n- Well\n\nPieces of one text:\n- loved\nDescription:\nSays Well."
    )
    assert [cut(prompt, span) for span in prompt.histories] == ["- Well", "- loved"]
    assert cut(prompt, prompt.response) == "Says Well."


def test_the_smoothing_prompt_in_a_chat_has_no_label() -> None:
    prompt = render_smoothing(load_smoothing(), load_task("topic"), CHAT, [["Well"]])
    assert prompt.text.startswith(CHAT.prefix + "The pieces below")
    assert prompt.text.endswith("Pieces of one text:\n- Well" + CHAT.suffix)
    assert not prompt.add_special_tokens


# --- where the parts lie ----------------------------------------------------------------------------------------------

TEXTS = st.text() | st.sampled_from(["{title}", "{", "%s $x \\1 \\g<0>", " a ", "\n\n", "Review:\n", "👩‍👧 שלום\u2028"])
INPUTS = TEXTS.filter(str.strip)  # a blank one is refused
LOADED = [load_task(name) for name in TASKS]


@settings(max_examples=300, deadline=None)
@given(
    task=st.sampled_from(LOADED),
    frame=st.sampled_from(FRAMES),
    x=INPUTS,
    own=st.booleans(),
    pairs=st.lists(st.tuples(INPUTS, TEXTS), min_size=1),
    y=TEXTS,
)
def test_spans_give_back_every_history_and_response(
    task: Task, frame: Frame, x: str, own: bool, pairs: list[tuple[str, str]], y: str
) -> None:
    block = Histories(tuple(History(item(of), text) for of, text in pairs))
    prompt = render(task, frame, item(x), block, y, own=own)
    assert [cut(prompt, span) for span in prompt.responses] == [text for _, text in pairs]
    assert cut(prompt, prompt.response) == y
    assert prompt.response.end == len(prompt.text)
    assert cut(prompt, prompt.input) == (task.fill_item if own else task.fill_input)(item(x).values)
    for whole, response, (of, _) in zip(prompt.histories, prompt.responses, pairs, strict=True):
        assert prompt.block is not None
        assert prompt.block.start < whole.start < response.start
        assert response.end == whole.end <= prompt.block.end < prompt.input.start + 1
        assert task.fill_item(item(of).values) in cut(prompt, whole)


@settings(deadline=None)
@given(task=st.sampled_from(LOADED), frame=st.sampled_from(FRAMES), texts=st.lists(TEXTS, min_size=1), y=TEXTS)
def test_without_an_item_the_block_is_the_whole_message(task: Task, frame: Frame, texts: list[str], y: str) -> None:
    block = histories(*texts)
    prompt, full = render(task, frame, None, block, y), render(task, frame, item(), block, y)
    assert cut(prompt, prompt.block) == cut(full, full.block)
    assert [cut(prompt, span) for span in prompt.responses] == texts
    assert cut(prompt, prompt.input) == ""
    assert cut(prompt, prompt.response) == y
    label = f"\n\n{task.label}\n" if frame is PLAIN else ""
    assert prompt.text == frame.prefix + cut(full, full.block) + label + frame.suffix + y


@settings(deadline=None)
@given(frame=st.sampled_from(FRAMES), x=INPUTS, description=TEXTS)
def test_the_span_of_a_description_gives_it_back(frame: Frame, x: str, description: str) -> None:
    prompt = render(load_task("generic"), frame, Item(x), Description(description))
    assert cut(prompt, prompt.description) == description
    assert cut(prompt, prompt.block).endswith(description)
    assert cut(prompt, prompt.input) == f"Request: {x}"
    assert cut(prompt, prompt.response) == ""


@settings(deadline=None)
@given(anchors=st.lists(st.lists(TEXTS)), frame=st.sampled_from(FRAMES))
def test_the_smoothing_prompt_holds_every_anchor_but_for_white_space(anchors: list[list[str]], frame: Frame) -> None:
    anchors = [["Well"], *anchors]
    prompt = render_smoothing(load_smoothing(), load_task("review"), frame, anchors)
    groups = [[anchor.strip() for anchor in group if anchor.strip()] for group in anchors if "".join(group).strip()]
    expected = ["\n".join(f"- {anchor}" for anchor in group) for group in groups]
    assert [cut(prompt, span) for span in prompt.histories] == expected


def test_braces_in_a_persons_texts_stay_what_they_are() -> None:
    sly = Item("x", {"title": "{description} {0}", "description": "{title} %s", "rating": "{nothing}"})
    prompt = render(load_task("review"), PLAIN, sly, NoBlock())
    assert cut(prompt, prompt.input) == "Title: {description} {0}\nDescription: {title} %s\nRating: {nothing}"


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("frame", FRAMES)
def test_every_task_renders_in_every_state(name: str, block: Block, frame: Frame) -> None:
    task = load_task(name)
    prompt = render(task, frame, item(), block, "Yes.")
    assert prompt.text.startswith(frame.prefix + task.instruction)
    assert prompt.text.endswith(frame.suffix + "Yes.")
    assert "\n\n\n" not in prompt.text.removeprefix(frame.prefix).partition(frame.suffix or "Yes.")[0]
    assert (prompt.block is None) == isinstance(block, NoBlock)
    assert (prompt.description is None) != isinstance(block, Description)
    assert len(prompt.histories) == len(prompt.responses) == (2 if isinstance(block, Histories) else 0)
    assert prompt.add_special_tokens == (frame is PLAIN)


def test_the_block_of_the_same_histories_is_the_same_text_for_every_use() -> None:
    task, block = load_task("review"), histories("One.", "Two.")
    scored = render(task, PLAIN, FILM, block, "Three.")
    generated = render(task, CHAT, item("Another"), block)
    assert cut(scored, scored.block) == cut(generated, generated.block)


def test_a_history_reads_the_same_wherever_it_stands() -> None:
    prompt = render(load_task("review"), PLAIN, FILM, histories("Same.", "Other.", "Same."))
    assert cut(prompt, prompt.histories[0]) == cut(prompt, prompt.histories[2])


@pytest.mark.parametrize("name", TASKS)
def test_in_plain_format_a_history_opens_like_a_completion(name: str) -> None:
    prompt = render(load_task(name), PLAIN, item(), histories("One.", "Two."))
    opener = f"\n{load_task(name).label}\n"
    places = [*prompt.responses, prompt.response]
    assert [prompt.text[place.start - len(opener) : place.start] for place in places] == [opener] * 3


TWEETS = Histories((History(Item(""), "good morning"), History(Item(" "), "good night")))
TWEETS_TEXT = """Write as this person would. Earlier tweets by this person:

Tweet:
good morning

Tweet:
good night
"""
PAPERS = Histories((History(Item("", {"abstract": "Bees dance."}), "On bees"),))
PAPERS_TEXT = """Choose as this person would. Earlier papers by this person:

Abstract: Bees dance.
Paper:
On bees
"""
ASKED = "Say which of the two papers in the question given last is cited. Reply with [1] or [2] only."
CITATION = Item("Which is cited, [1] A or [2] B?", {"abstract": "Ants walk."})


@pytest.mark.parametrize(
    ("name", "x", "block", "own", "expected"),
    [
        (
            "lamp-7",
            Item("hi all"),
            TWEETS,
            False,
            "Reword the tweet given last. Reply with the new tweet only.\n\n"
            f"{TWEETS_TEXT}\nTweet to reword: hi all\nTweet:\n",
        ),
        ("lamp-7", Item(""), TWEETS, True, f"Write a tweet. Reply with the tweet only.\n\n{TWEETS_TEXT}\nTweet:\n"),
        ("lamp-7", Item(" "), NoBlock(), True, "Write a tweet. Reply with the tweet only.\n\nTweet:\n"),
        (
            "lamp-1",
            CITATION,
            PAPERS,
            False,
            f"{ASKED}\n\n{PAPERS_TEXT}\nQuestion: Which is cited, [1] A or [2] B?\nPaper:\n",
        ),
        (
            "lamp-1",
            CITATION,
            PAPERS,
            True,
            "Write the title of the paper given last. Reply with the title only.\n\n"
            f"{PAPERS_TEXT}\nAbstract: Ants walk.\nPaper:\n",
        ),
        (
            "abstract",
            Item("", {"title": "On ants", "points": "They walk."}),
            NoBlock(),
            True,
            "Write the abstract of the paper given last. Reply with the abstract only.\n\nTitle: On ants\nAbstract:\n",
        ),
    ],
)
def test_the_input_of_a_history_is_asked_as_histories_are(
    name: str, x: Item, block: Block, own: bool, expected: str
) -> None:
    label = expected.splitlines()[-1]
    message = expected.removesuffix(f"{label}\n").rstrip()
    assert render(load_task(name), PLAIN, x, block, "so", own=own).text == f"{expected}so"
    assert render(load_task(name), CHAT, x, block, own=own).text == CHAT.prefix + message + CHAT.suffix


@pytest.mark.parametrize("name", sorted({*TASKS} - {"lamp-1", "lamp-2", "lamp-7", "abstract"}))
@pytest.mark.parametrize("frame", FRAMES)
def test_where_histories_are_of_the_same_kind_their_input_reads_as_a_querys(name: str, frame: Frame) -> None:
    for block in BLOCKS:
        assert render(load_task(name), frame, item(), block) == render(load_task(name), frame, item(), block, own=True)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Histories((OTHER,)), "Title: Bleak Sea\nReview:\nWell. It was wet."),
        (EmptyHistory(), "None"),
    ],
)
def test_without_an_item_instruction_and_input_are_left_out(block: Block, message: str) -> None:
    heading = "Write as this person would. Earlier reviews by this person:\n"
    message = heading + ("\n" if isinstance(block, Histories) else "") + message
    task = load_task("review")
    assert render(task, PLAIN, None, block, "So.").text == f"{message}\n\nReview:\nSo."
    assert render(task, CHAT, None, block, "So.").text == f"{CHAT.prefix}{message}{CHAT.suffix}So."


def test_without_an_item_and_a_block_the_label_is_left() -> None:
    assert render(load_task("review"), PLAIN, None, NoBlock(), "So.").text == "Review:\nSo."
    assert render(load_task("review"), CHAT, None, NoBlock(), "So.").text == f"{CHAT.prefix}{CHAT.suffix}So."


@pytest.mark.parametrize("name", TASKS)
def test_a_blank_query_is_refused_and_the_histories_of_a_task_without_required_fields_may_be_blank(name: str) -> None:
    blank = Histories((History(item(" "), "So."),))
    with pytest.raises(SteerxError, match=f"the task {name} "):
        render(load_task(name), PLAIN, item(" "), NoBlock())
    if load_task(name).required:
        with pytest.raises(SteerxError, match=f"the task {name} needs text in the field"):
            render(load_task(name), PLAIN, item(), blank)
        with pytest.raises(SteerxError, match=f"the task {name} needs text in the field"):
            render(load_task(name), PLAIN, item(" "), NoBlock(), own=True)
    else:
        prompt = render(load_task(name), PLAIN, item(), blank)
        assert cut(prompt, prompt.histories[0]) == f"{load_task(name).label}\nSo."


def test_white_space_is_no_part_of_an_anchor() -> None:
    anchors = [[" four", "\n", "Well \n"], [" ", "\t"], []]
    prompt = render_smoothing(load_smoothing(), load_task("review"), PLAIN, anchors)
    assert prompt.text.startswith("The pieces below are from one text ")
    assert [cut(prompt, span) for span in prompt.histories] == ["- four\n- Well"]


def test_nothing_has_to_be_said_by_its_kind() -> None:
    with pytest.raises(ValueError, match="no histories"):
        Histories(())
    with pytest.raises(ValueError, match="no anchors"):
        render_smoothing(load_smoothing(), load_task("review"), PLAIN, [[], [" ", "\n"]])


# --- characters → tokens ----------------------------------------------------------------------------------------------

SENTENCES = ["a great film 🎬 really, a great film", "so good 😀 so very good", "Review:\nWell, well. 👩‍👧 é\n\n"]


_FAST: Any = PreTrainedTokenizerFast  # its constructor has no types


def byte_level(trim: bool) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=trim)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    made: PreTrainedTokenizerFast = _FAST(tokenizer_object=bpe)
    return made


BYTE_LEVEL = {trim: byte_level(trim) for trim in (False, True)}


def tokenised(text: str, trim: bool) -> tuple[list[int], list[tuple[int, int]]]:
    encoded = BYTE_LEVEL[trim](text, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]


@pytest.mark.parametrize("trim", [False, True])
def test_the_tokens_of_a_response_are_all_of_its_own(trim: bool) -> None:
    texts = ["Well, a great film 🎬🥳", "so  good 😀 \n é", " so very good"]
    prompt = render(load_task("review"), PLAIN, FILM, histories(*texts[:2]), texts[2])
    ids, offsets = tokenised(prompt.text, trim)
    found = [tokens_in(span, prompt.text, offsets) for span in (*prompt.responses, prompt.response)]
    assert [BYTE_LEVEL[trim].decode([ids[index] for index in some]) for some in found] == texts


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(TEXTS | st.sampled_from([" good", "film ", "🎬"]), min_size=1), trim=st.booleans())
def test_every_token_belongs_to_one_piece(pieces: list[str], trim: bool) -> None:
    pieces = ["P", *pieces]  # as a prompt, whose first character is never a person's
    text = "".join(pieces)
    ids, offsets = tokenised(text, trim)
    ends = [len("".join(pieces[: number + 1])) for number in range(len(pieces))]
    spans = [Span(end - len(piece), end) for piece, end in zip(pieces, ends, strict=True)]
    found = [index for span in spans for index in tokens_in(span, text, offsets)]
    assert found == list(range(len(ids)))


def offsets_of(words: Sequence[str]) -> list[tuple[int, int]]:
    starts = [len("".join(words[:number])) for number in range(len(words))]
    return [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]


@pytest.mark.parametrize(
    ("words", "span", "expected"),
    [
        (["one", " two", " three"], Span(4, 7), [1]),  # the swallowed space is outside, the word inside
        (["one", " two", " three"], Span(3, 7), [1]),
        (["one", " two", " three"], Span(5, 8), []),  # "two" begins before the span, " three" after it
        (["one", " two", " three"], Span(4, 6), [1]),  # straddles the end
        (["one", "\n\n", "two"], Span(4, 8), [2]),  # white space alone: by its first character
        (["one", "\n\n", "two"], Span(0, 4), [0, 1]),
        (["one", ":\n\n", "two"], Span(5, 9), [2]),  # a response's own line break, swallowed by the label
        (["one"], Span(3, 3), []),
    ],
)
def test_tokens_that_straddle_go_where_their_first_character_is(
    words: list[str], span: Span, expected: list[int]
) -> None:
    assert tokens_in(span, "".join(words), offsets_of(words)) == expected


def test_special_tokens_that_the_tokenizer_adds_belong_nowhere() -> None:
    assert tokens_in(Span(0, 7), "one two", [(0, 0), (0, 3), (3, 7), (0, 0)]) == [1, 2]
