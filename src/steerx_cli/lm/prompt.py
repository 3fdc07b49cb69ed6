"""The one renderer: templates and people's texts → a prompt that knows in which characters each part lies.

Instruction P, block, input x, response; one blank line between the first three. A text is tokenised once, whole, and
its parts are looked up by `tokens_in`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from steerx_cli.lm.frames import Frame
from steerx_cli.lm.templates import Smoothing, Task, put

# --- what goes in -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """What a person responds to: the input as a whole and the named fields, as templates draw on them."""

    input: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Item":
        """That of a history or a query, from its artifact's columns."""
        return cls(row["input"], {field["name"]: field["value"] for field in row["fields"]})

    @property
    def values(self) -> Mapping[str, str]:
        """Everything that a template can name."""
        return {**self.fields, "input": self.input}


@dataclass(frozen=True)
class History:
    """A pair (x_i, h_i)."""

    item: Item
    response: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "History":
        """From its artifact's columns."""
        return cls(Item.of(row), row["response"])


@dataclass(frozen=True)
class Histories:
    """H, in this order."""

    items: tuple[History, ...]

    def __post_init__(self) -> None:
        """Which kind of nothing is meant is for the caller to say."""
        if not self.items:
            raise ValueError("no histories: say EmptyHistory() or NoBlock()")


@dataclass(frozen=True)
class EmptyHistory:
    """∅ of Eq. 12: the history block, saying that there is none."""


@dataclass(frozen=True)
class Description:
    """S, in the history block's place."""

    text: str


@dataclass(frozen=True)
class NoBlock:
    """∅ of Eq. 2, 15 and 16: nothing between instruction and input, as in `non-perso`."""


Block: TypeAlias = Histories | EmptyHistory | Description | NoBlock


# --- what comes out ---------------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """Characters of a text, `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """A rendered text and where its parts lie in it."""

    text: str
    message: Span  # what the frame stands around
    add_special_tokens: bool  # for the tokenizer: a chat frame holds them already, a plain text does not
    block: Span | None  # heading included
    histories: tuple[Span, ...]  # each as a whole; for the smoothing prompt, each history's anchors
    responses: tuple[Span, ...]  # each history's response
    description: Span | None
    input: Span  # empty where there is none; for the smoothing prompt, all anchors
    response: Span  # to the end of the text; empty where the model is to write it


# --- rendering --------------------------------------------------------------------------------------------------------


class _Draft:
    """A text that grows piece by piece and tells where each piece lies."""

    def __init__(self, opening: str) -> None:
        self._pieces = [opening]
        self._opened = self.length = len(opening)

    def add(self, piece: str) -> Span:
        start = self.length
        self._pieces.append(piece)
        self.length += len(piece)
        return Span(start, self.length)

    def inside(self, last: str) -> Span:
        """Everything since the opening, with this as its end."""
        self.add(last)
        return Span(self._opened, self.length)

    def part(self) -> None:
        """What follows is a part of its own: a blank line, if anything stands above it."""
        if self.length > self._opened:
            self.add("\n\n")

    def text(self) -> str:
        return "".join(self._pieces)


@dataclass(frozen=True)
class _Placed:
    """Where a block and its parts came to lie."""

    block: Span | None = None
    histories: tuple[Span, ...] = ()
    responses: tuple[Span, ...] = ()
    description: Span | None = None


def render(
    task: Task, frame: Frame, item: Item | None, block: Block, response: str = "", *, own: bool = False
) -> Prompt:
    """The prompt for x with H, ∅ or S before it, and the response, given or still to come.

    With `own` the item is a history's own x_i, not the query's x; without an item P is left out, too.
    """
    draft = _Draft(frame.prefix)
    filled = ""
    if item is not None:
        draft.add(task.own_instruction if own else task.instruction)
        filled = task.fill_item(item.values) if own else task.fill_input(item.values)
    placed = _add_block(draft, task, block)
    plain = frame.format == "plain"
    if filled or plain:
        draft.part()
    asked = draft.add(filled)
    message = draft.inside(_label(task, filled) if plain else "")
    draft.add(frame.suffix)
    answer = draft.add(response)
    return Prompt(
        text=draft.text(),
        message=message,
        add_special_tokens=plain,
        block=placed.block,
        histories=placed.histories,
        responses=placed.responses,
        description=placed.description,
        input=asked,
        response=answer,
    )


def _label(task: Task, above: str) -> str:
    """The label on a line of its own, so that in plain format a history and a completion open with the same tokens."""
    return f"\n{task.label}\n" if above else f"{task.label}\n"


def _add_block(draft: _Draft, task: Task, block: Block) -> _Placed:
    if isinstance(block, NoBlock):
        return _Placed()
    draft.part()
    start = draft.length
    match block:
        case Histories(items):
            draft.add(task.history_heading)
            pairs = [_add_history(draft, task, history) for history in items]
            return _Placed(Span(start, draft.length), tuple(whole for whole, _ in pairs), tuple(h for _, h in pairs))
        case EmptyHistory():
            draft.add(f"{task.history_heading}\n{task.empty_history}")
            return _Placed(Span(start, draft.length))
        case Description(text):
            draft.add(f"{task.description_heading}\n")
            described = draft.add(text)
            return _Placed(Span(start, draft.length), description=described)


def _add_history(draft: _Draft, task: Task, history: History) -> tuple[Span, Span]:
    """The item as a whole and its response; no number, so that it reads the same wherever it stands."""
    draft.part()
    start = draft.length
    filled = task.fill_item(history.item.values)
    draft.add(filled + _label(task, filled))
    response = draft.add(history.response)
    return Span(start, draft.length), response


def render_smoothing(
    smoothing: Smoothing, task: Task, frame: Frame, anchors: Sequence[Sequence[str]], response: str = ""
) -> Prompt:
    """The prompt that turns each history's anchors into a description (Eq. 14); histories without any are left out.

    White space at an anchor's ends does not count, so that one of white space alone is none.
    """
    stripped = [[anchor.strip() for anchor in group if anchor.strip()] for group in anchors]
    groups = [group for group in stripped if group]
    if not groups:
        raise ValueError("no anchors: there is nothing to describe")
    plain = frame.format == "plain"
    instruction = smoothing.one if len(groups) == 1 else smoothing.joint
    draft = _Draft(frame.prefix)
    draft.add(put(instruction, {"kind": task.kind}))
    histories = tuple(_add_anchors(draft, smoothing, group) for group in groups)
    asked = Span(histories[0].start, draft.length)
    message = draft.inside(f"\n{smoothing.label}\n" if plain else "")
    draft.add(frame.suffix)
    answer = draft.add(response)
    return Prompt(draft.text(), message, plain, None, histories, (), None, asked, answer)


def _add_anchors(draft: _Draft, smoothing: Smoothing, anchors: Sequence[str]) -> Span:
    draft.add(f"\n\n{smoothing.heading}\n")
    return draft.add("\n".join(put(smoothing.anchor, {"anchor": anchor}) for anchor in anchors))


# --- characters → tokens ----------------------------------------------------------------------------------------------


def tokens_in(span: Span, text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Which tokens belong to a span, by the `offset_mapping` of the whole text; each belongs to one place only.

    A token belongs to the span that holds its first character which is not white space (BPE tokens swallow the space
    before a word), and a token of nothing but white space to the span that holds its first: a token that straddles a
    span's start from a character outside is not in it, one that straddles its end is.
    """
    return [
        index
        for index, (start, end) in enumerate(offsets)
        if start <= span.end and end > span.start and span.start <= _place(text, start, end) < span.end
    ]


def _place(text: str, start: int, end: int) -> int:
    if start == end:
        # GPT-2's kind trim the space from offsets, so that a token of spaces alone is left empty, just behind them.
        # A special token that the tokenizer adds has (0, 0), and so lies nowhere.
        return end - 1
    return next((place for place in range(start, end) if not text[place].isspace()), start)
