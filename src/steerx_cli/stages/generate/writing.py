"""Questions → rows of `generations`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from steerx_cli.core.job import Counts, Tables, table_of
from steerx_cli.core.order import lot
from steerx_cli.core.schemas import GENERATIONS
from steerx_cli.lm.answers import Reader
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.decode import Decoder, Decoding
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.request import Request, Written
from steerx_cli.lm.steer import Vector
from steerx_cli.stages.generate.givers import Giver
from steerx_cli.stages.generate.prompts import Prompted, Prompter
from steerx_cli.stages.generate.questions import Question, questions_of
from steerx_cli.stages.generate.settings import BY_LOGITS, BY_VECTOR, H, S, Settings, weights


class Rule(NamedTuple):
    """What is done with the streams of a question."""

    weights: tuple[float, ...]  # of their logits
    gamma2: float = 0.0  # of the vector that is added to their hidden states

    def of(self, vector: Vector) -> Vector | None:
        """γ2 · a; nothing where that is 0."""
        return np.float32(self.gamma2) * vector if self.gamma2 else None


class Generations:
    """Answers the questions of one chunk of users after the other."""

    def __init__(self, lm: CausalLM, settings: Settings, others: Giver | None) -> None:
        frame = make_frame(settings.prompt_format, lm.tokenizer)
        self._settings, self._others, self._window = settings, others, lm.window
        self._prompter = Prompter(lm.tokenizer, frame, settings, lm.window)
        self._decoder = Decoder(
            lm, Decoding(settings.batch_size, settings.batch_tokens, settings.sampling, settings.steering)
        )
        self._reader = Reader(lm.tokenizer, frame)

    def __call__(self, tables: Tables) -> tuple[pl.DataFrame, Counts]:
        """One row for each question and λ or γ2, and what had to be done to get it."""
        prompted = self._prompter.prompted(questions_of(tables, self._settings, self._others))
        written, counts = self._decoder.write([self._request(each) for each in prompted if each.limit])
        answers = iter(written)
        rows = [row for each in prompted for row in self._rows(each, next(answers) if each.limit else [])]
        return table_of(GENERATIONS, rows), {**counts, **shortfalls(rows)}

    def _rules(self, prompted: Prompted) -> list[Rule]:
        """What decides the text, for each λ or γ2."""
        steered = prompted.basis in BY_VECTOR
        return [
            Rule(
                tuple(weights(prompted.basis, lam)[stream] for stream in prompted.streams),
                gamma2 or 0.0 if steered else 0.0,
            )
            for lam, gamma2 in self._settings.strengths
        ]

    def _request(self, prompted: Prompted) -> Request:
        """What comes to the same for several λ or γ2 is written once."""
        rules = list(dict.fromkeys(self._rules(prompted)))
        direction, pushed = prompted.question.direction, any(rule.gamma2 for rule in rules)
        return Request(
            tuple(prompted.streams.values()),
            tuple(rule.weights for rule in rules),
            prompted.limit,
            self._seed(prompted.question),
            tuple(rule.of(direction.vector) for rule in rules) if direction and pushed else (),
        )

    def _seed(self, question: Question) -> int:
        """Of the text that is asked for, so that all methods and λ draw alike."""
        names = question.user_id, question.query_id or "", question.item_id or ""
        return int.from_bytes(lot(self._settings.seed, "draws", *names)[:4], "big")

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _rows(self, prompted: Prompted, written: Sequence[Written]) -> list[dict[str, Any]]:
        """One for each λ or γ2."""
        if not prompted.limit:
            tokens = max(map(len, prompted.streams.values()))
            what = f"no room for an answer: the input has {tokens} tokens, and the model takes {self._window}"
            written = [Written([], "failed", what)] * len(self._settings.strengths)
        rules = self._rules(prompted)
        of_rule = dict(zip(dict.fromkeys(rules), written, strict=False))
        strengths = ({"lam": lam, "gamma2": gamma2} for lam, gamma2 in self._settings.strengths)
        return [self._row(prompted, of_rule[rule]) | strength for strength, rule in zip(strengths, rules, strict=True)]

    def _row(self, prompted: Prompted, written: Written) -> dict[str, Any]:
        question = prompted.question
        answer = self._reader.answer(written.ids)
        cut_short = written.finish == "limit" and prompted.limit < self._settings.max_new_tokens
        return {
            "user_id": question.user_id,
            "query_id": question.query_id,
            "item_id": question.item_id,
            "method": self._settings.method,
            "donor_id": question.donor_id,
            "basis": prompted.basis,
            "histories": question.history_ids[: prompted.shown],
            "history_cut": prompted.gone.get(H, 0),
            "description_cut": prompted.gone.get(S, 0),
            "prompt_tokens": [len(ids) for ids in prompted.streams.values()],
            "response": "" if written.error else answer.text,
            "token_ids": written.ids,
            "thought": answer.thought,
            "finish": "window" if cut_short else written.finish,
            "seed": self._seed(question) if self._settings.sampling else None,
            "error": written.error,
        }


def shortfalls(rows: Sequence[dict[str, Any]]) -> Counts:
    """How many answers are not what was asked for, or not as they were written."""

    def finished(how: str) -> int:
        return sum(row["finish"] == how for row in rows)

    bases = [(row["basis"], row["method"]) for row in rows]
    return {
        "answers": len(rows),
        "tokens written": sum(len(row["token_ids"]) for row in rows),
        "answers without histories, as by non-perso": sum(b == "non-perso" != method for b, method in bases),
        **{
            f"answers without a {what}, as by rag": sum(b == "rag" and method in methods for b, method in bases)
            for what, methods in (("description", BY_LOGITS), ("vector", BY_VECTOR))
        },
        "answers without a description in their vector, as by cas": sum(b == "cas" != method for b, method in bases),
        "answers whose histories were cut to the model's window": sum(row["history_cut"] > 0 for row in rows),
        "answers whose description was cut to the model's window": sum(row["description_cut"] > 0 for row in rows),
        "answers that reached --max-new-tokens": finished("limit"),
        "answers that reached the end of the model's window": finished("window"),
        "answers that are empty": sum(not row["response"].strip() and row["finish"] != "failed" for row in rows),
        "answers that failed": finished("failed"),
        "think blocks taken out": sum(row["thought"] for row in rows),
    }
