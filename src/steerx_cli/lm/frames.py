"""What stands around a message: a model's own chat format, or nothing."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from steerx_cli.core.errors import SteerxError

PromptFormat: TypeAlias = Literal["chat", "plain"]


@dataclass(frozen=True)
class Frame:
    """What stands around a message: a chat template's user turn, or nothing."""

    format: PromptFormat
    prefix: str = ""
    suffix: str = ""


PLAIN = Frame("plain")

_SENTINEL = "The-place-of-the-message-0f9a3c"  # no white space at its ends, nothing that a template looks for
_DAY = "26 Jul 2024"  # Llama's templates write today's date where they are given none; this is their own fall-back


class ChatTokenizer(Protocol):
    """As much of a transformers tokenizer as a frame is made from."""

    chat_template: object

    def apply_chat_template(
        self,
        conversation: list[dict[str, str]],
        /,
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        enable_thinking: bool,
        date_string: str,
    ) -> object:
        """The conversation in the model's own format; keywords that a template does not know have no effect."""


def make_frame(prompt_format: PromptFormat, tokenizer: ChatTokenizer) -> Frame:
    """The frame of all prompts of one tokenizer: one user turn, thinking off."""
    return PLAIN if prompt_format == "plain" else _chat_frame(tokenizer)


def _chat_frame(tokenizer: ChatTokenizer) -> Frame:
    # A sentinel is rendered in the message's place: no template can trim a person's text, or branch on it.
    if not tokenizer.chat_template:
        raise SteerxError("this model's tokenizer has no chat template: use --prompt-format plain")
    around = _rendered(tokenizer).split(_SENTINEL)
    if len(around) != 2:
        raise SteerxError(
            f"this model's chat template gives a user's message back {len(around) - 1} times, not once as it is: "
            "use --prompt-format plain"
        )
    return Frame("chat", *around)


def _rendered(tokenizer: ChatTokenizer) -> str:
    from jinja2 import TemplateError

    try:
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": _SENTINEL}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
            date_string=_DAY,
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise SteerxError(
            f"this model's chat template does not take a single user turn ({error}): use --prompt-format plain"
        ) from error
    return str(rendered)
