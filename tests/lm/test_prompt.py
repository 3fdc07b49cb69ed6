"""Prompts: their wording, and that every part lies where the prompt says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.prompt import (
    PLAIN,
    Block,
    Description,
    EmptyHistory,
    Frame,
    Histories,
    History,
    Item,
    NoBlock,
    Prompt,
    Span,
    make_frame,
    render,
    render_smoothing,
    tokens_in,
)
from steerx_cli.lm.templates import load_smoothing, load_task, task_names

TASKS = [
    "abstract",
    "generic",
    "lamp-1",
    "lamp-2",
    "lamp-3",
    "lamp-4",
    "lamp-5",
    "lamp-6",
    "lamp-7",
    "review",
    "topic",
]

# Chat templates in the manner of the public families, in few words.
CHATML = """
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""
TRIMMING = """
{{- bos_token }}
{%- for message in messages %}
{{- '<|head|>' + message['role'] + '<|/head|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|head|>assistant<|/head|>\\n\\n' }}{%- endif %}"""
NO_SYSTEM = """
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}
{%- for message in messages %}
{%- set role = 'model' if message.role == 'assistant' else message.role %}
{{- '<turn>' + role + '\\n' + message.content | trim + '</turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<turn>model\\n' }}{%- endif %}"""
FAMILIES = {"chatml": CHATML, "trimming": TRIMMING, "no system": NO_SYSTEM}


_FAST: Any = PreTrainedTokenizerFast  # its constructor has no types


def tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1}, unk_token="<unk>"))
    made: PreTrainedTokenizerFast = _FAST(tokenizer_object=words, bos_token="<s>", unk_token="<unk>")
    made.chat_template = template
    return made


CHAT = make_frame("chat", tokenizer(CHATML))
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


@settings(max_examples=300)
@given(task=st.sampled_from(TASKS), frame=st.sampled_from(FRAMES), x=TEXTS, texts=st.lists(TEXTS, min_size=1), y=TEXTS)
def test_spans_give_back_every_history_and_response(task: str, frame: Frame, x: str, texts: list[str], y: str) -> None:
    block = Histories(tuple(History(item(text[::-1]), text) for text in texts))
    prompt = render(load_task(task), frame, item(x), block, y)
    assert [cut(prompt, span) for span in prompt.responses] == texts
    assert cut(prompt, prompt.response) == y
    assert prompt.response.end == len(prompt.text)
    assert cut(prompt, prompt.input) == load_task(task).fill(load_task(task).input, item(x).values)
    for whole, response, text in zip(prompt.histories, prompt.responses, texts, strict=True):
        assert prompt.block is not None
        assert prompt.block.start < whole.start < response.start
        assert response.end == whole.end <= prompt.block.end < prompt.input.start + 1
        assert load_task(task).fill(load_task(task).item, item(text[::-1]).values) in cut(prompt, whole)


@given(frame=st.sampled_from(FRAMES), x=TEXTS, description=TEXTS)
def test_the_span_of_a_description_gives_it_back(frame: Frame, x: str, description: str) -> None:
    prompt = render(load_task("generic"), frame, Item(x), Description(description))
    assert cut(prompt, prompt.description) == description
    assert cut(prompt, prompt.block).endswith(description)
    assert cut(prompt, prompt.input) == f"Request: {x}"
    assert cut(prompt, prompt.response) == ""


@given(anchors=st.lists(st.lists(TEXTS, min_size=1), min_size=1), frame=st.sampled_from(FRAMES))
def test_the_smoothing_prompt_holds_every_anchor_as_it_is(anchors: list[list[str]], frame: Frame) -> None:
    prompt = render_smoothing(load_smoothing(), load_task("review"), frame, anchors)
    for span, group in zip(prompt.histories, anchors, strict=True):
        assert cut(prompt, span) == "\n".join(f"- {anchor}" for anchor in group)


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


def test_a_history_without_an_input_begins_with_its_label() -> None:
    tweets = Histories((History(Item(""), "good morning"), History(Item(" "), "good night")))
    task = load_task("lamp-7")
    heading = f"{task.instruction}\n\n{task.history_heading}\n\n"
    text = f"{heading}Tweet:\ngood morning\n\nTweet:\ngood night"
    assert render(task, PLAIN, Item(""), tweets, "hello").text == f"{text}\n\nTweet:\nhello"
    assert render(task, CHAT, Item(""), tweets).text == CHAT.prefix + text + CHAT.suffix


def test_nothing_has_to_be_said_by_its_kind() -> None:
    with pytest.raises(ValueError, match="no histories"):
        Histories(())
    with pytest.raises(ValueError, match="no anchors"):
        render_smoothing(load_smoothing(), load_task("review"), PLAIN, [[], []])


# --- the frame of a chat ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize(("block", "_"), STATES)
def test_the_frame_is_what_the_chat_template_gives(template: str, block: Block, _: str) -> None:
    model = tokenizer(template)
    frame = make_frame("chat", model)
    prompt = render(load_task("review"), frame, FILM, block)
    message = render(load_task("review"), Frame("chat"), FILM, block).text
    conversation = [{"role": "user", "content": message}]
    assert prompt.text == model.apply_chat_template(
        conversation, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )


def test_no_template_trims_a_persons_text_or_branches_on_it() -> None:
    branching = "{% if '/think' in messages[0].content %}deep: {% endif %}<u>{{ messages[0].content | trim }}</u>"
    frame = make_frame("chat", tokenizer(branching))
    prompt = render(load_task("generic"), frame, Item("why /think \n"), NoBlock(), " so")
    assert (
        prompt.text == "<u>Answer the request given last. Reply with the answer only.\n\nRequest: why /think \n</u> so"
    )


def test_a_template_that_writes_the_date_as_llama_does_writes_the_same_one_every_day() -> None:
    dated = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    frame = make_frame("chat", tokenizer(dated + "{{ date_string }}<u>{{ messages[0].content }}</u>"))
    assert frame == Frame("chat", "26 Jul 2024<u>", "</u>")


def test_plain_format_looks_at_no_chat_template() -> None:
    assert make_frame("plain", tokenizer(CHATML)) is PLAIN


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "this model's tokenizer has no chat template: use --prompt-format plain"),
        (
            "{{ messages[0].content }} {{ messages[0].content }}",
            "this model's chat template gives a user's message back 2 times, not once as it is: "
            "use --prompt-format plain",
        ),
        (
            "{{ messages[0].content | upper }}",
            "this model's chat template gives a user's message back 0 times, not once as it is: "
            "use --prompt-format plain",
        ),
        (
            "{{ raise_exception('a system turn must come first') }}",
            "this model's chat template does not take a single user turn (a system turn must come first): "
            "use --prompt-format plain",
        ),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_refused(template: str | None, sentence: str) -> None:
    with pytest.raises(SteerxError) as caught:
        make_frame("chat", tokenizer(template))
    assert str(caught.value) == sentence


# --- files of templates -----------------------------------------------------------------------------------------------


def test_the_shipped_tasks_are_these_and_named_as_their_files() -> None:
    assert task_names() == TASKS
    assert [load_task(name).name for name in TASKS] == TASKS
    assert {load_task(name).version for name in TASKS} == {1}
    assert len({load_task(name).fingerprint for name in TASKS}) == len(TASKS)


SHIPPED = Path(__file__).parents[2] / "src" / "steerx_cli"
REVIEW = (SHIPPED / "tasks" / "review.toml").read_text(encoding="utf-8")
SMOOTHING = (SHIPPED / "prompts" / "smoothing.toml").read_text(encoding="utf-8")


def test_a_task_of_ones_own_is_known_by_its_content(tmp_path: Path) -> None:
    own, other = tmp_path / "own.toml", tmp_path / "other.toml"
    own.write_text(f"# mine\r\n{REVIEW}", encoding="utf-8", newline="")
    other.write_text(REVIEW.replace('label = "Review:"', 'label = "Verdict:"'), encoding="utf-8")
    assert load_task(str(own)) == load_task("review")
    assert load_task(str(own)).fingerprint == load_task("review").fingerprint
    assert load_task(str(other)).fingerprint != load_task("review").fingerprint


def test_a_smoothing_prompt_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(SMOOTHING.replace("- {anchor}", "* {anchor}"), encoding="utf-8")
    prompt = render_smoothing(load_smoothing(str(own)), load_task("review"), PLAIN, [["Well"]])
    assert cut(prompt, prompt.input) == "* Well"
    assert load_smoothing(str(own)).fingerprint != load_smoothing().fingerprint


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            REVIEW + 'colour = "red"\n',
            "the task file {file} has the unknown key 'colour': take it out, or name one of name, version, kind, "
            "required, optional, instruction, history_heading, empty_history, description_heading, label, input, item",
        ),
        (REVIEW.replace("label =", "# label ="), "the task file {file} lacks the key 'label': add it"),
        (
            REVIEW.replace("version = 1", "version = true"),
            "the task file {file} has a key 'version' that is not a whole number: correct it",
        ),
        (
            REVIEW.replace('required = ["title"]', 'required = "title"'),
            "the task file {file} has a key 'required' that is not a list of field names: correct it",
        ),
        (
            REVIEW.replace('label = "Review:"', 'label = " "'),
            "the task file {file} has a key 'label' that is not a text that is not blank: correct it",
        ),
        (
            REVIEW.replace("{rating}", "{stars}"),
            "the task file {file} has the unknown placeholder {stars} in its key 'input': "
            "correct it (known there: title, description, rating, headline)",
        ),
        (
            REVIEW.replace("the item given last", "{title}"),
            "the task file {file} has the unknown placeholder {title} in its key 'instruction': "
            "correct it (known there: none)",
        ),
        (
            REVIEW.replace("{rating}", "{rating"),
            "the task file {file} has a brace of no placeholder in its key 'input': take it out",
        ),
        ("name = ", "the task file {file} is not TOML: Invalid value (at end of document)"),
        (None, "the task file {file} cannot be read (No such file or directory): name a file that is there"),
    ],
)
def test_a_wrong_task_file_is_refused(text: str | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(SteerxError) as caught:
        load_task(str(file))
    assert str(caught.value) == sentence.replace("{file}", str(file))


def test_a_smoothing_prompt_without_its_anchors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(SMOOTHING.replace("- {anchor}", "-"), encoding="utf-8")
    with pytest.raises(SteerxError) as caught:
        load_smoothing(str(file))
    assert str(caught.value) == (
        f"the smoothing prompt {file} has no {{anchor}} in its key 'anchor': put it where an anchor's text belongs"
    )


def test_an_unknown_task_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SteerxError) as caught:
        load_task("poem")
    assert str(caught.value) == f"there is no task 'poem': name one of {', '.join(TASKS)}, or a TOML file of your own"


def test_a_missing_field_is_named_without_the_persons_text() -> None:
    with pytest.raises(SteerxError) as caught:
        render(load_task("review"), PLAIN, Item("secret", {"rating": "secret"}), NoBlock())
    assert str(caught.value) == (
        "the task review needs the field 'title', and a row has only input, rating: "
        "name that field when the data is imported, or choose another task"
    )


# --- characters → tokens ----------------------------------------------------------------------------------------------

SENTENCES = ["a great film 🎬 really, a great film", "so good 😀 so very good", "Review:\nWell, well. 👩‍👧 é\n\n"]


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


@settings(max_examples=200)
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
