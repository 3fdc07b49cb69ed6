"""How well the anchors of each method agree with what was planted in the demo's reviews, kind of habit by kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import lot
from steerx_cli.core.provenance import Footer
from steerx_cli.core.schemas import SCORES, TRUTH
from steerx_cli.core.sources import Source
from steerx_cli.demo.exact import exact_deltas
from steerx_cli.demo.files import history_id, place_for_table
from steerx_cli.demo.gate import Bools, Floats, area
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import Review, authors
from steerx_cli.lm.prompt import Span, tokens_in

Row: TypeAlias = Mapping[str, Any]
Names: TypeAlias = npt.NDArray[np.object_]

METHODS = ("causal", "random", "surprisal", "lexicon", "all")
SELECTIVE = METHODS[:-1]  # `all` finds every habit: it stands in the first table only
CONTEXTS = {"retrieved": "the query's other history", "all": "all of the person's others"}  # folder → what is shown
TOGETHER = "all together"


class World(NamedTuple):
    """What is known of the demo's people: every history's truth and review, by its id."""

    spans: Mapping[str, Sequence[Row]]
    reviews: Mapping[str, Review]


class Planted(NamedTuple):
    """A choice that is there because of the person."""

    slot: str
    tokens: list[int]
    told: bool  # whether one of the shown others has the same value
    exact: float  # Δ, given these others


class Truth(NamedTuple):
    """What is true of each token."""

    slot: Names  # of the choice that is there because of the person; elsewhere empty
    first: Bools  # whether it begins such a choice
    told: Bools  # whether it belongs to one whose value the shown others have
    exact: Floats  # the exact Δ of that choice; elsewhere 0

    def of_user(self, slot: str = TOGETHER) -> Bools:
        """Those that are there because of the person, in one slot or in any."""
        return np.asarray(self.slot != "" if slot == TOGETHER else self.slot == slot)


@dataclass(frozen=True)
class Found:
    """What a method made of each token, beside what is true of it."""

    truth: Truth
    anchor: Bools
    value: Floats  # the method's own score

    def recall(self, among: Bools) -> float:
        """The share of these that are anchors."""
        return share(self.anchor, among)

    def precision(self) -> float:
        """The share of anchors that are there because of the person."""
        return share(self.truth.of_user(), self.anchor)

    def area(self, slot: str = TOGETHER) -> float:
        """Under the curve of the score telling a slot's own tokens from those that no person's habit decides."""
        return self._area(self.truth.of_user(slot), self.truth.of_user())

    def area_of_firsts(self, slot: str = TOGETHER) -> float:
        """Only the first token of a choice has to be told; from all tokens that begin none."""
        return self._area(self.truth.of_user(slot) & self.truth.first, self.truth.first)

    def _area(self, sought: Bools, left_out: Bools) -> float:
        counted = sought | ~left_out
        return area(self.value[counted], sought[counted]) if sought.any() else float("nan")


def share(mask: Bools, among: Bools) -> float:
    """How many of these are in the mask; of none there is no share."""
    return float(mask[among].mean()) if among.any() else float("nan")


Methods: TypeAlias = Mapping[str, Found]  # what each made of the same texts


# --- scores and truth → tokens ----------------------------------------------------------------------------------------


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Every text once for the others that it was measured by: two queries may show it the same."""
    texts: dict[tuple[str, ...], Row] = {}
    for row in rows:
        texts.setdefault((row["item_id"], *row["others"]), row)
    return list(texts.values())


def truth_of(rows: Iterable[Row], world: World) -> Truth:
    """What is true of the tokens of these texts."""
    return Truth(*(np.concatenate(parts) for parts in zip(*(_truth_of(row, world) for row in rows), strict=True)))


def _truth_of(row: Row, world: World) -> Truth:
    size = len(row["starts"])
    true = Truth(np.full(size, "", object), np.zeros(size, bool), np.zeros(size, bool), np.zeros(size))
    for planted in planted_in(row, world):
        true.slot[planted.tokens] = planted.slot
        true.first[planted.tokens[0]] = True
        true.told[planted.tokens] = planted.told
        true.exact[planted.tokens] = planted.exact
    return true


def planted_in(row: Row, world: World) -> Iterator[Planted]:
    """The choices of a text that are there because of the person."""
    check(row, world)
    item, others = row["item_id"], row["others"]
    shown = {(span["slot"], span["value"]) for other in others for span in world.spans[other]}
    deltas = exact_deltas(world.reviews[item], [world.reviews[other] for other in others])
    offsets = list(zip(row["starts"], row["ends"], strict=True))
    for span, delta in zip(world.spans[item], deltas, strict=True):
        if span["source"] == "user" and delta is not None:
            tokens = tokens_in(Span(span["start"], span["end"]), row["response"], offsets)
            if not tokens:
                raise SteerxError(f"a choice of the text {item!r} has no token of its own: score with the demo's model")
            yield Planted(span["slot"], tokens, (span["slot"], span["value"]) in shown, delta)


def check(row: Row, world: World) -> None:
    """Refuse a text that the truth does not speak of, or that was not measured as the table says."""
    item = row["item_id"]
    if not world.reviews.keys() >= {item, *row["others"]} or world.reviews[item].text != row["response"]:
        raise SteerxError(f"the truth does not speak of the text {item!r}: score the histories that lie beside it")
    if row["delta"] is None or row["context_cut"] or row["response_cut"]:
        raise SteerxError(f"the text {item!r} was scored without others, or cut: score it whole, with others that fit")


def found_by(rows: Sequence[Row], parameters: Mapping[str, Any], truth: Truth) -> Found:
    """What a method made of these texts."""
    anchors = np.concatenate([np.array(row["anchors"], bool) for row in rows])
    return Found(truth, anchors, np.concatenate([values_of(row, parameters) for row in rows]))


def values_of(row: Row, parameters: Mapping[str, Any]) -> Floats:
    """What a method puts tokens in order by, the largest first; without an order, anchors are before all others."""
    match parameters["method"]:
        case "causal":
            return np.array(row["delta"])
        case "surprisal":
            return -np.array(row["log_p_empty"])
        case "random":
            return _draws(parameters["seed"], row)
    return np.array(row["anchors"], float)


def _draws(seed: int, row: Row) -> Floats:
    """The lots that the random method draws: it takes the smallest first."""
    names = row["user_id"], row["query_id"], row["item_id"], ""  # a history has no λ
    lots = [lot(seed, *names, str(place)) for place in range(len(row["starts"]))]
    return np.array([-float(int.from_bytes(each, "big")) for each in lots])


# --- tables -----------------------------------------------------------------------------------------------------------


def overview(found: Mapping[str, Methods]) -> list[str]:
    """Every method, all kinds of habit together."""
    heads = ["shown", "method", "anchors", "of all tokens", "precision", "recall", "area under the curve"]
    rows = [
        [CONTEXTS[context], method, *_in_all(each)]
        for context, methods in found.items()
        for method, each in methods.items()
    ]
    return _table(heads, rows)


def _in_all(found: Found) -> list[str]:
    shares = map(_figure, (found.anchor.mean(), found.precision()))
    return [f"{found.anchor.sum():,}", *shares, recalls(found), areas(found)]


def recall_by_habit(methods: Methods, tau: float) -> list[str]:
    """A kind of habit a row: its choices, how many of them can be found, and how many each method finds."""
    heads = ["habit", "choices", "told", "found of those", "Δ can reach τ", "found of those", *SELECTIVE]
    rows = [
        [slot, *_can_be_found(methods["causal"], slot, tau), *(recalls(methods[method], slot) for method in SELECTIVE)]
        for slot in (*SLOTS, TOGETHER)
    ]
    return _table(heads, rows)


def _can_be_found(causal: Found, slot: str, tau: float) -> list[str]:
    truth = causal.truth
    choices = truth.of_user(slot) & truth.first
    shares = [
        figure
        for findable in (truth.told, truth.exact >= tau)
        for figure in (share(findable, choices), causal.recall(choices & findable))
    ]
    return [f"{choices.sum():,}", *map(_figure, shares)]


def area_by_habit(methods: Methods) -> list[str]:
    """A kind of habit a row, and how well each method's own score tells its tokens."""
    rows = [[slot, *(areas(methods[method], slot) for method in SELECTIVE)] for slot in (*SLOTS, TOGETHER)]
    return _table(["habit", *SELECTIVE], rows)


def recalls(found: Found, slot: str = TOGETHER) -> str:
    """Of choices, by their first tokens, and of all their tokens."""
    own = found.truth.of_user(slot)
    return f"{_figure(found.recall(own & found.truth.first))} / {_figure(found.recall(own))}"


def areas(found: Found, slot: str = TOGETHER) -> str:
    """Of the first tokens of choices, and of all their tokens."""
    return f"{_figure(found.area_of_firsts(slot))} / {_figure(found.area(slot))}"


def _figure(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in (heads, *rows)]
    return [lines[0], "|" + "---|" * len(heads), *lines[1:]]


# --- the whole --------------------------------------------------------------------------------------------------------

_BEGIN, _END = "<!-- the anchors' tables: make demo-anchors -->", "<!-- end of the anchors' tables -->"


def compare(folder: Path, run: Path) -> None:
    """Hold the scores of a run against the truth of a world, and write the tables into the world's README."""
    put = place_for_table(folder / "README.md", _BEGIN, _END)
    world = read_world(folder / "truth.parquet")
    sources = {context: open_scores(run / context) for context in CONTEXTS}
    found = {context: read_found(methods, world) for context, methods in sources.items()}
    put("\n".join(tables(found, sources["retrieved"]["causal"].footer)))


def open_scores(folder: Path) -> dict[str, Source]:
    """The scores of every method, which must all be cut from the same effects."""
    sources = {method: Source(SCORES, folder / f"scores-{method}.parquet") for method in METHODS}
    for method, source in sources.items():
        record, first = source.footer.record, sources["causal"].footer.record
        if record.parameters["method"] != method or record.inputs != first.inputs:
            raise SteerxError(f"{source.where} is not by {method}, or not of the same effects: `make demo-anchors`")
    return sources


def read_world(truth: Path) -> World:
    """The truth, and the reviews of the same seed."""
    source = Source(TRUTH, truth)
    spans = {row["text_id"]: row["spans"] for rows in source.batches() for row in rows.to_pylist()}
    people = authors(source.footer.record.parameters["seed"])
    reviews = {
        history_id(author, number): review for author in people for number, review in enumerate(author.histories)
    }
    return World(spans, reviews)


def read_found(sources: Mapping[str, Source], world: World) -> dict[str, Found]:
    """What each method made of the same texts."""
    texts = {method: distinct(_rows(source)) for method, source in sources.items()}
    truth = truth_of(texts["causal"], world)
    return {
        method: found_by(texts[method], source.footer.record.parameters, truth) for method, source in sources.items()
    }


def _rows(source: Source) -> Iterator[Row]:
    return (row for rows in source.batches() for row in rows.to_pylist())


def tables(found: Mapping[str, Methods], causal: Footer) -> list[str]:
    """All tables as Markdown, and what they were made with."""
    tau = causal.record.parameters["tau"]
    effects = causal.ancestry[causal.record.inputs["effects"]]["record"]
    weights = effects["models"]["scorer"]["weights"]
    lines = [f"{causal.users} people, scored by weights {weights[:12]}. τ = {tau:g}.", "", *overview(found)]
    for context, methods in found.items():
        lines += ["", f"Recall, shown {CONTEXTS[context]}:", "", *recall_by_habit(methods, tau)]
        lines += ["", f"Area under the curve, shown {CONTEXTS[context]}:", "", *area_by_habit(methods)]
    return lines
