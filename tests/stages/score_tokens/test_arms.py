"""The ids that the model is given in either arm, against prompts that are written out here by hand."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from scorers import REVIEW, history, save_model
from steerx_cli.lm.frames import PLAIN
from steerx_cli.lm.prompt import Item
from steerx_cli.stages.score_tokens.arms import Prompter
from steerx_cli.stages.score_tokens.texts import Text, other_of

OTHERS = [history("a", "first", "Loved it.\n\nTwice!"), history("a", "second", "  Not for me…")]
OWN = history("a", "own", "Well, a quiet café. 🙂")
NONE = """\
Write a review of the item given last. Reply with the review only.

Write as this person would. Earlier reviews by this person:
None

Title: Film own
Review:
"""
INFORMED = """\
Write a review of the item given last. Reply with the review only.

Write as this person would. Earlier reviews by this person:

Title: Film first
Review:
Loved it.

Twice!

Title: Film second
Review:
  Not for me…

Title: Film own
Review:
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def test_both_arms_are_the_prompts_that_one_would_write(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = Text({"user_id": "a"}, Item.of(OWN), True, OWN["response"], tuple(map(other_of, OTHERS)))
    (arms,) = Prompter(tokenizer, PLAIN, REVIEW, None).arms([text])
    empty, whole = (tokenizer(written)["input_ids"] for written in (NONE, NONE + OWN["response"]))
    assert arms.empty.tolist() == empty
    assert arms.informed is not None
    assert arms.informed.tolist() == tokenizer(INFORMED)["input_ids"]
    assert arms.tokens.ids == whole[len(empty) :]  # no token of this text straddles its beginning
    assert [[*asked.before, *asked.text] for asked in arms.asked] == [
        [*empty, *arms.tokens.ids],
        [*arms.informed, *arms.tokens.ids],
    ]
    spoken = {place for start, end in arms.tokens.offsets for place in range(start, end)}
    assert spoken == set(range(len(OWN["response"])))
