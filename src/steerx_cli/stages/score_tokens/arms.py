"""The two arms of a text: its tokens after a prompt with the user's others, and after one that says there are none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Block, EmptyHistory, Histories, History, NoBlock, Prompt, render
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.score import Asked
from steerx_cli.lm.tokens import Tokens, cut, encode, encode_placed, lengths, response_in
from steerx_cli.stages.score_tokens.texts import Measure, Text

if TYPE_CHECKING:
    from steerx_cli.lm.models import Tokenizer


@dataclass(frozen=True)
class Arms:
    """A text in tokens, and what stands before them in either arm."""

    text: Text  # its others are those that found room
    tokens: Tokens
    empty: Ids
    informed: Ids | None  # None where there is no other history
    context_cut: int = 0  # tokens of the others that did not fit the window
    response_cut: int = 0  # tokens at the text's end that did not

    @property
    def asked(self) -> list[Asked]:
        """What the model is asked: the empty arm, and the informed one where there is one."""
        text = np.array(self.tokens.ids, np.int32)
        return [Asked(before, text) for before in (self.empty, self.informed) if before is not None]


class _Prompts(NamedTuple):
    whole: Prompt  # the empty arm with the response: its tokens are taken from here
    empty: Prompt
    informed: Prompt | None


class Prompter:
    """Renders and tokenises both arms of texts."""

    def __init__(self, tokenizer: "Tokenizer", frame: Frame, measure: Measure, window: int | None) -> None:
        self._tokenizer, self._frame, self._measure, self._window = tokenizer, frame, measure, window

    def arms(self, texts: Sequence[Text]) -> list[Arms]:
        """Both arms of each text; the same prompt is tokenised once."""
        prompts = [self._prompts(text) for text in texts]
        whole = _distinct(each.whole for each in prompts)
        placed = dict(zip(whole, encode_placed(self._tokenizer, list(whole.values())), strict=True))
        open_ended = _distinct(prompt for each in prompts for prompt in each[1:] if prompt)
        encoded = (np.array(some, np.int32) for some in encode(self._tokenizer, list(open_ended.values())))
        ids = dict(zip(open_ended, encoded, strict=True))
        return [self._fitted(*pair, placed, ids) for pair in zip(texts, prompts, strict=True)]

    def lengths(self, histories: Sequence[History]) -> list[int]:
        """Of histories as they stand in a prompt, in tokens, with what parts each from the text above it."""
        task = self._measure.task
        blocks = [render(task, self._frame, None, Histories((history,))) for history in histories]
        pieces = [
            prompt.text[slice(*prompt.block)].removeprefix(task.history_heading) for prompt in blocks if prompt.block
        ]
        return lengths(self._tokenizer, pieces)

    def room(self, texts: Sequence[Text]) -> int | None:
        """What the window leaves beside the longest of these texts; half of it at least, since that can be cut."""
        if self._window is None:
            return None
        whole = encode(self._tokenizer, [self._prompts(replace(text, others=())).whole for text in texts])
        return max(self._window // 2, self._window - max(map(len, whole)))

    def _prompts(self, text: Text) -> _Prompts:
        def prompt(block: Block, response: str = "") -> Prompt:
            return render(self._measure.task, self._frame, text.item, block, response, own=text.own)

        nothing: Block = EmptyHistory() if self._measure.empty_arm == "none" else NoBlock()
        informed = prompt(Histories(tuple(other.history for other in text.others))) if text.others else None
        return _Prompts(prompt(nothing, text.response), prompt(nothing), informed)

    # --- the window ---------------------------------------------------------------------------------------------------

    def _fitted(self, text: Text, prompts: _Prompts, placed: Mapping[str, Tokens], ids: Mapping[str, Ids]) -> Arms:
        """What the window does not hold is cut off: the others first, from their end, then the text's end."""
        tokens, empty = response_in(prompts.whole, placed[prompts.whole.text]), ids[prompts.empty.text]
        kept = len(tokens.ids) if self._window is None else min(len(tokens.ids), max(0, self._window - len(empty)))
        arms = Arms(
            text,
            Tokens(tokens.ids[:kept], tokens.offsets[:kept]),
            empty,
            ids[prompts.informed.text] if prompts.informed else None,
            response_cut=len(tokens.ids) - kept,
        )
        excess = 0 if self._window is None or arms.informed is None else len(arms.informed) + kept - self._window
        return self._cut(arms, prompts.informed, excess) if prompts.informed and excess > 0 else arms

    def _cut(self, arms: Arms, prompt: Prompt, excess: int) -> Arms:
        """Take so many tokens from the end of the others; one that loses all of them is no longer there."""
        found = cut(self._tokenizer, prompt, excess)
        text = replace(arms.text, others=arms.text.others[: found.histories])
        informed = np.array(found.ids, np.int32) if found.left else None
        return replace(arms, text=text, informed=informed, context_cut=found.gone)


def _distinct(prompts: Iterable[Prompt]) -> dict[str, Prompt]:
    return {prompt.text: prompt for prompt in prompts}
