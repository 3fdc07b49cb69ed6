"""What stands around a message is what the model's own chat template gives."""

from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.frames import PLAIN, Frame, make_frame
from steerx_cli.lm.prompt import Block, EmptyHistory, Histories, History, Item, NoBlock, render
from steerx_cli.lm.templates import load_task

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


@pytest.mark.parametrize("template", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("block", [Histories((History(Item("Why?"), "Well."),)), EmptyHistory(), NoBlock()])
def test_the_frame_is_what_the_chat_template_gives(template: str, block: Block) -> None:
    model = tokenizer(template)
    prompt = render(load_task("generic"), make_frame("chat", model), Item("How?"), block)
    message = render(load_task("generic"), Frame("chat"), Item("How?"), block).text
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
