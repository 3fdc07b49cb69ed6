"""A question → the prompts of its method in tokens, as far as the model's window holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Block, Description, Histories, NoBlock, Prompt, render
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.tokens import cut, encode
from steerx_cli.stages.generate.questions import Question
from steerx_cli.stages.generate.settings import NEEDS, NONE, STREAMS, VECTOR, WITHOUT, H, S, Settings

if TYPE_CHECKING:
    from steerx_cli.lm.models import Tokenizer


@dataclass(frozen=True)
class Prompted:
    """The streams of a question."""

    question: Question
    basis: str  # the method that it comes to
    limit: int  # tokens that there is room for; none where the input alone takes all
    streams: Mapping[str, Ids] = field(default_factory=dict)
    shown: int = 0  # histories of which something is there
    gone: Mapping[str, int] = field(default_factory=dict)  # tokens that were cut off, by stream


class Prompter:
    """Renders, tokenises and cuts the prompts of questions."""

    def __init__(self, tokenizer: "Tokenizer", frame: Frame, settings: Settings, window: int | None) -> None:
        self._tokenizer, self._frame, self._settings, self._window = tokenizer, frame, settings, window

    def prompted(self, questions: Sequence[Question]) -> list[Prompted]:
        """The streams of each; the same prompt is tokenised once."""
        methods = [self._method(question) for question in questions]
        rendered = [
            {stream: self._render(question, stream) for stream in dict.fromkeys((*STREAMS[method], NONE))}
            for question, method in zip(questions, methods, strict=True)
        ]
        texts = {prompt.text: prompt for prompts in rendered for prompt in prompts.values()}
        ids = (np.array(some, np.int32) for some in encode(self._tokenizer, list(texts.values())))
        encoded = dict(zip(texts, ids, strict=True))
        return [self._fitted(*each, encoded) for each in zip(questions, methods, rendered, strict=True)]

    def _method(self, question: Question) -> str:
        """What the method comes to with what there is."""
        has = {H: bool(question.histories), S: question.description is not None, VECTOR: question.direction is not None}
        what = {H: "no histories", S: "no description", VECTOR: "no vector"}
        for need in NEEDS[self._settings.method]:
            if not has.get(need, True):  # without histories, nothing else counts
                return self._without(question, need, what[need])
        if self._settings.method == "steerx-cas" and question.direction and not question.direction.described:
            self._let_pass(question, "no description in its vector")
            return "cas"
        return self._settings.method

    def _without(self, question: Question, need: str, what: str) -> str:
        """The method that is left without it."""
        self._let_pass(question, what)
        return WITHOUT[need]

    def _let_pass(self, question: Question, what: str) -> None:
        if self._settings.missing == "error":
            raise SteerxError(
                f"query {question.query_id!r} of user {question.user_id!r} has {what}, and --missing error does not "
                "let it pass"
            )

    def _render(self, question: Question, stream: str) -> Prompt:
        block: Block = NoBlock()
        if stream == H or (stream == S and self._settings.raw and question.donor_id is None):
            block = Histories(question.histories)
        elif stream == S and question.description is not None:
            block = Description(question.description)
        return render(self._settings.task, self._frame, question.item, block, own=question.own)

    # --- the window ---------------------------------------------------------------------------------------------------

    def _fitted(
        self, question: Question, method: str, prompts: Mapping[str, Prompt], encoded: Mapping[str, Ids]
    ) -> Prompted:
        """Histories or a description that do not fit are cut; if nothing is left of them, it goes on without."""
        streams: dict[str, Ids] = {}
        gone: dict[str, int] = {}
        shown = len(question.histories) if H in STREAMS[method] else 0
        for stream in STREAMS[method]:
            ids = encoded[prompts[stream].text]
            excess = 0 if self._room is None else len(ids) - self._room
            if excess > 0 and stream != NONE:
                found = cut(self._tokenizer, prompts[stream], excess)
                ids, gone[stream] = np.array(found.ids, np.int32), found.gone
                if not found.left:
                    what = {H: "histories", S: "a description"}[stream]
                    method = self._without(question, stream, f"{what} of which nothing fits the model's window")
                    without = self._fitted(question, method, prompts, encoded)
                    return replace(without, gone={**without.gone, **gone})
                shown = found.histories if stream == H else shown
            streams[stream] = ids
        return Prompted(question, method, self._limit(streams), streams, shown, gone)

    @property
    def _room(self) -> int | None:
        """What a prompt may take: the answer's room is kept free, if that is not more than half of all."""
        if self._window is None:
            return None
        return self._window - min(self._settings.max_new_tokens, self._window // 2)

    def _limit(self, streams: Mapping[str, Ids]) -> int:
        most = self._settings.max_new_tokens
        return most if self._window is None else max(0, min(most, self._window - max(map(len, streams.values()))))
