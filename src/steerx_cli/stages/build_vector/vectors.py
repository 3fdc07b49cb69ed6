"""Texts → hidden states → vectors (Eq. 5 and 17)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Counts, Tables, table_of
from steerx_cli.core.schemas import VECTORS
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.hidden import Hidden
from steerx_cli.stages.build_vector.histories import Contrast, Wanted, wanted_of
from steerx_cli.stages.build_vector.mixing import Parts, Vectors, closest, columns_of
from steerx_cli.stages.build_vector.settings import Settings
from steerx_cli.stages.build_vector.texts import Answer, Placed, Placer

EMPTY = "histories whose neutral text is empty: its state is that of the prompt's end"
CUT = "histories whose neutral text was cut at its limit"
LEFT_OUT = "histories left out, since a text of theirs is missing or fits nothing of the model's window"


class _Texts(NamedTuple):
    """A history's texts, by their places among all that are read; None where there is none."""

    item_id: str
    history: int | None
    neutral: int | None
    description: int | None


class _Usable(NamedTuple):
    """Those of a history that counts. One without a description has its own text in its place, as CAS has it."""

    item_id: str
    history: int
    neutral: int
    description: int
    described: bool

    @property
    def places(self) -> tuple[int, int, int]:
        """Of its three texts."""
        return self.history, self.neutral, self.description

    @classmethod
    def of(cls, texts: _Texts) -> "_Usable | None":
        """None where h_i or h̄_i is missing."""
        if texts.history is None or texts.neutral is None:
            return None
        if texts.description is None:
            return cls(texts.item_id, texts.history, texts.neutral, texts.history, False)
        return cls(texts.item_id, texts.history, texts.neutral, texts.description, True)


_AT_ONCE = 4096  # histories and layers whose states are held at once, a user's own at the least


def portions(wanted: Sequence[Wanted], layers: int) -> Iterator[list[Wanted]]:
    """Users who have so many histories together. Texts of different users have nothing to share but a task's prompt."""
    some: list[Wanted] = []
    for _, of_user in groupby(wanted, lambda one: one.user_id):
        own = list(of_user)
        if some and sum(len(one.contrasts) for one in (*some, *own)) * layers > _AT_ONCE:
            yield some
            some = []
        some += own
    if some:
        yield some


class Builder:
    """Builds the vectors of one chunk of users after the other."""

    def __init__(self, lm: CausalLM, settings: Settings) -> None:
        frame = make_frame(settings.prompt_format, lm.tokenizer)
        self._settings = settings
        self._placer = Placer(lm.tokenizer, frame, settings, lm.window)
        self._hidden = Hidden(lm, settings.layers, settings.batch_tokens)

    def __call__(self, tables: Tables) -> tuple[pl.DataFrame, Counts]:
        """A row for each query or user, and layer."""
        tally = Counter[str]()
        rows = [
            row
            for some in portions(wanted_of(tables, self._settings), len(self._settings.layers))
            for row in self._rows(some, tally)
        ]
        return table_of(VECTORS, rows), {**tally, **shortfalls(rows, self._settings)}

    def _rows(self, wanted: Sequence[Wanted], tally: Counter[str]) -> list[dict[str, Any]]:
        answers = {
            key: answer
            for one in wanted
            for each in one.contrasts
            for key, answer in _answers(one.user_id, each).items()
        }
        placed = dict(zip(answers, self._placer.placed([*answers.values()]), strict=True))
        read = {key: each for key, each in placed.items() if each}
        places = {key: place for place, key in enumerate(read)}
        cut = [each.gone > 0 for each in read.values()]
        states = self._states([*read.values()], tally)
        rows: list[dict[str, Any]] = []
        for one in wanted:
            found = [_Usable.of(_located(one.user_id, each, places)) for each in one.contrasts]
            usable = [each for each in found if each]
            tally[LEFT_OUT] += len(found) - len(usable)
            tally[EMPTY] += sum(
                each.neutral.text is not None and not each.neutral.text.strip() for each in one.contrasts
            )
            tally[CUT] += sum(each.neutral.cut for each in one.contrasts)
            for number, layer in enumerate(self._settings.layers):
                rows.append(self._row(one, layer, usable, states[:, number], cut))
        return rows

    def _states(self, placed: Sequence[Placed], tally: Counter[str]) -> NDArray[np.float64]:
        means = self._hidden.means([each.ids for each in placed], [each.first for each in placed], tally)
        if not np.isfinite(means).all():
            raise SteerxError("the model gives hidden states that are no finite numbers: try --dtype float32")
        return means.astype(np.float64)

    def _row(
        self, one: Wanted, layer: int, texts: Sequence[_Usable], states: Vectors, cut: Sequence[bool]
    ) -> dict[str, Any]:
        """Eq. 17 at one layer."""
        row: dict[str, Any] = {"user_id": one.user_id, "query_id": one.query_id, "layer": layer}
        kept = self._selected(texts, states)
        if not kept:
            return row | {"basis": "none", "histories": [], "described": [], "texts_cut": 0}
        histories, neutral, descriptions = (
            states[[each.history for each in kept]],
            states[[each.neutral for each in kept]],
            states[[each.description for each in kept]],
        )
        described = any(each.described for each in kept)
        parts = Parts(
            (histories - neutral).mean(0), (descriptions - neutral).mean(0) if described else None, neutral.mean(0)
        )
        return {
            **row,
            **columns_of(parts, self._settings.mix),
            "histories": [each.item_id for each in kept],
            "described": [each.item_id for each in kept if each.described],
            "stream_norm": float(np.linalg.norm(neutral, axis=1).mean()),
            "texts_cut": sum(cut[place] for place in {place for each in kept for place in each.places}),
        }

    def _selected(self, texts: Sequence[_Usable], states: Vectors) -> Sequence[_Usable]:
        """Those closest to what is said of all of them; all, where that is not asked for or nothing is said."""
        described = [states[each.description] - states[each.neutral] for each in texts if each.described]
        if self._settings.select is None or not described:
            return texts
        histories = np.stack([states[each.history] - states[each.neutral] for each in texts])
        return [texts[place] for place in closest(histories, np.mean(described, axis=0), self._settings.select)]


Key: TypeAlias = tuple[str, str, str]  # a user's history, and a text that answers its input


def _texts(contrast: Contrast) -> tuple[str | None, str | None, str | None]:
    return contrast.history.response, contrast.neutral.text, contrast.description


def _answers(user_id: str, contrast: Contrast) -> dict[Key, Answer]:
    item = contrast.history.item
    return {(user_id, contrast.item_id, text): Answer(item, text) for text in _texts(contrast) if text is not None}


def _located(user_id: str, contrast: Contrast, places: Mapping[Key, int]) -> _Texts:
    found = (None if text is None else places.get((user_id, contrast.item_id, text)) for text in _texts(contrast))
    return _Texts(contrast.item_id, *found)


def shortfalls(rows: Sequence[Mapping[str, Any]], settings: Settings) -> Counts:
    """How many vectors are not what was asked for; the layers of one count once."""
    first = [row for row in rows if row["layer"] == settings.layers[0]]
    made = [row for row in first if row["basis"] != "none"]
    counts = {
        "vectors of nothing, since no history is left": len(first) - len(made),
        "texts cut to the model's window": sum(row["texts_cut"] for row in first),
    }
    if settings.needs_descriptions:
        counts["vectors without any description, as by cas"] = sum(not row["described"] for row in made)
        counts["histories without a description, whose own text stands for it"] = sum(
            len(row["histories"]) - len(row["described"]) for row in made
        )
    return counts
