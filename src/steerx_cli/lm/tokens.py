"""Prompts → tokens. What a person wrote is never taken for one of a model's special tokens."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.prompt import Prompt, Span, tokens_in

if TYPE_CHECKING:
    from steerx_cli.lm.models import Tokenizer


_CHARACTERS_AT_ONCE = 2_000_000  # a tokenizer keeps about 100 bytes a token until it has done the whole list


@dataclass(frozen=True)
class Tokens:
    """A text in tokens: their ids, and which characters of the text each stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


def encode(tokenizer: "Tokenizer", prompts: Sequence[Prompt]) -> Iterator[list[int]]:
    """The ids of prompts, each tokenised as a whole."""
    some: list[Prompt] = []
    characters = 0
    for prompt in prompts:
        some.append(prompt)
        characters += len(prompt.text)
        if characters > _CHARACTERS_AT_ONCE:
            yield from (tokens.ids for tokens in _encode(tokenizer, some, offsets=False))
            some, characters = [], 0
    yield from (tokens.ids for tokens in _encode(tokenizer, some, offsets=False))


def encode_placed(tokenizer: "Tokenizer", prompts: Sequence[Prompt]) -> list[Tokens]:
    """The same, with the characters that each token stands for."""
    return _encode(tokenizer, prompts, offsets=True)


def lengths(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[int]:
    """How many tokens each text has by itself."""
    if not texts:
        return []
    return [len(tokens.ids) for tokens in _call(tokenizer, list(texts), split=True, offsets=False)]


def response_in(prompt: Prompt, tokens: Tokens) -> Tokens:
    """The response's tokens, as they are where it stands in its prompt; their characters are the response's own."""
    start = prompt.response.start
    inside = tokens_in(prompt.response, prompt.text, tokens.offsets)
    places = [tokens.offsets[index] for index in inside]
    return Tokens([tokens.ids[index] for index in inside], [(max(a - start, 0), b - start) for a, b in places])


class Cut(NamedTuple):
    """What is left of a prompt when the end of its histories, or of its description, was cut off."""

    ids: list[int]
    gone: int  # tokens
    left: int
    histories: int  # of which something is left


def cut(tokenizer: "Tokenizer", prompt: Prompt, excess: int) -> Cut:
    """Take so many tokens away, as far as there are any; what is asked is never cut."""
    tokens = encode_placed(tokenizer, [prompt])[0]
    histories = prompt.histories
    span = Span(histories[0].start, histories[-1].end) if histories else prompt.description
    inside = tokens_in(span, prompt.text, tokens.offsets) if span else []
    gone = set(inside[max(0, len(inside) - excess) :])
    ids = [token for place, token in enumerate(tokens.ids) if place not in gone]
    left = inside[: len(inside) - len(gone)]
    shown = sum(history.start <= tokens.offsets[left[-1]][0] for history in histories) if left else 0
    return Cut(ids, len(gone), len(left), shown)


def _encode(tokenizer: "Tokenizer", prompts: Sequence[Prompt], offsets: bool) -> list[Tokens]:
    special = _special(tokenizer)
    found: dict[int, Tokens] = {}
    for kept in (False, True):
        some = [place for place, prompt in enumerate(prompts) if _keeps_special(prompt, special) is kept]
        if kept:
            found |= {place: _in_segments(tokenizer, prompts[place], special) for place in some}
        elif some:
            texts, plain = [prompts[place].text for place in some], prompts[some[0]].add_special_tokens
            first = first_tokens(tokenizer) if plain else []
            bare = _call(tokenizer, texts, split=plain, offsets=offsets)
            found |= zip(some, (_after(first, tokens) for tokens in bare), strict=True)
    return [found[place] for place in range(len(prompts))]


def first_tokens(tokenizer: "Tokenizer") -> list[int]:
    """The special tokens before a bare text. Those that a tokenizer puts behind one would stand before its response."""
    marked, bare = (tokenizer("a", add_special_tokens=add)["input_ids"] for add in (True, False))
    starts = [place for place in range(len(marked)) if marked[place : place + len(bare)] == bare]
    if not starts:
        raise SteerxError("this model's tokenizer changes a text that it marks the ends of: name another model")
    return list(marked[: starts[0]])


def _after(first: list[int], tokens: Tokens) -> Tokens:
    return Tokens(first + tokens.ids, [(0, 0)] * len(first) + tokens.offsets if tokens.offsets else [])


def _call(tokenizer: "Tokenizer", texts: list[str], *, split: bool, offsets: bool) -> list[Tokens]:
    """Bare tokens; with `split` a special token that a text spells out is cut like any word."""
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        split_special_tokens=split,
        return_offsets_mapping=offsets,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    places = encoded["offset_mapping"] if offsets else [[]] * len(texts)
    return [Tokens(ids, of_text) for ids, of_text in zip(encoded["input_ids"], places, strict=True)]


# --- a chat frame's special tokens, and a person's --------------------------------------------------------------------


def _special(tokenizer: "Tokenizer") -> re.Pattern[str]:
    names = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)")


def _persons(prompt: Prompt) -> tuple[Span, Span]:
    """What is not the frame's."""
    return prompt.message, prompt.response


def _keeps_special(prompt: Prompt, special: re.Pattern[str]) -> bool:
    """Whether a prompt has both: special tokens of its frame, and a person's text that spells one."""
    if prompt.add_special_tokens:  # plain: the frame is empty, and nothing in the text is special
        return False
    return any(special.search(prompt.text, start, end) for start, end in _persons(prompt))


def _in_segments(tokenizer: "Tokenizer", prompt: Prompt, special: re.Pattern[str]) -> Tokens:
    """The text between the frame's special tokens piece by piece, as tokenizers cut it themselves."""
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    for start, end, name in _segments(prompt, special):
        if name:
            ids.append(int(tokenizer.convert_tokens_to_ids(name)))  # type: ignore[arg-type]  # one name, one id
            offsets.append((start, end))
        elif start < end:
            (tokens,) = _call(tokenizer, [prompt.text[start:end]], split=True, offsets=True)
            ids += tokens.ids
            offsets += [(start + first, start + last) for first, last in tokens.offsets]
    return Tokens(ids, offsets)


def _segments(prompt: Prompt, special: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
    """The text cut at the frame's special tokens: start, end, and the token's name where it is one."""
    done = 0
    for match in special.finditer(prompt.text):
        if not any(start < match.end() and match.start() < end for start, end in _persons(prompt)):
            yield done, match.start(), ""
            yield match.start(), match.end(), match[0]
            done = match.end()
    yield done, len(prompt.text), ""
