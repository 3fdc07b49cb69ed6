"""Rows that grow token by token, against texts that are simply kept one by one."""

import random
from typing import Any, NamedTuple

import pytest
import torch

from families import obvious_attention
from steerx_cli.lm.attention import Lookup
from steerx_cli.lm.slots import Grain, Lane, Slots

HEADS, KEY_HEADS, WIDTH, SLOTS = 4, 2, 8, 5
CPU = torch.device("cpu")
SINKS = torch.tensor([-1.0, 0.0, 1.0, 3.0])


class Kind(NamedTuple):
    """What a layer does beside looking at everything."""

    window: int | None = None
    cap: float | None = None
    sinks: torch.Tensor | None = None
    scaling: float | None = None


KINDS = [
    Kind(),
    Kind(window=6),
    Kind(cap=0.7, scaling=1.0),
    Kind(6, 0.7, SINKS, 0.3),
    Kind(window=1),
    Kind(sinks=SINKS),
]


class Texts:
    """What each owner has, layer by layer: keys and values of [heads, tokens, width]."""

    def __init__(self, seed: int) -> None:
        self.draw, self.numbers = random.Random(seed), torch.Generator().manual_seed(seed)
        self.of: dict[str, dict[int, Any]] = {}

    def tensor(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.numbers)

    def new(self, owner: str, tokens: int) -> dict[int, Any]:
        """A text of an owner who had none."""
        made = {
            layer: (self.tensor(KEY_HEADS, tokens, WIDTH), self.tensor(KEY_HEADS, tokens, WIDTH))
            for layer in range(len(KINDS))
        }
        self.of[owner] = made
        return made

    def lookup(self, layer: int, rows: list[str | None]) -> Lookup:
        """One token more for every row that is somebody's; what it looks up."""
        kind, count = KINDS[layer], len(rows)
        query, *new = (self.tensor(count, heads, 1, WIDTH) for heads in (HEADS, KEY_HEADS, KEY_HEADS))
        for row, owner in enumerate(rows):
            if owner is not None:
                old = self.of[owner][layer]
                self.of[owner][layer] = tuple(torch.cat([had, got[row]], 1) for had, got in zip(old, new, strict=True))
        return Lookup(query, new[0], new[1], kind.scaling, kind.window, kind.cap, kind.sinks)

    def check(self, layer: int, rows: list[str | None], lookup: Lookup, found: torch.Tensor) -> None:
        """Every row that is somebody's sees what he has, and nothing else."""
        kind = KINDS[layer]
        assert found.shape == (len(rows), 1, HEADS, WIDTH)
        for row, owner in enumerate(rows):
            if owner is not None:
                keys, values = (tensor[None] for tensor in self.of[owner][layer])
                scaling = WIDTH**-0.5 if kind.scaling is None else kind.scaling
                query = lookup.query[row : row + 1]
                true = obvious_attention(query, keys, values, scaling, kind.window, kind.cap, kind.sinks)
                torch.testing.assert_close(found[row : row + 1].double(), true, rtol=0, atol=1e-5)


def rows_of(lane: Lane) -> list[str | None]:
    """Whose each row is that goes through the model."""
    return [*map(str, lane.owners), *[None] * (lane.rows - len(lane.owners))]


def step(slots: Slots, texts: Texts, fixed: bool) -> None:
    """One token more for everyone, through all layers."""
    rows = [owner for lane in slots.lanes for owner in rows_of(lane)]
    lengths = [0 if owner is None else texts.of[owner][0][0].shape[1] for owner in rows]
    slots.make_room()
    assert [at for at, owner in zip(slots.positions().tolist(), rows, strict=True) if owner is not None] == [
        length for length, owner in zip(lengths, rows, strict=True) if owner is not None
    ]
    slots.begin(fixed)
    for layer in range(len(KINDS)):
        lookup = texts.lookup(layer, rows)
        texts.check(layer, rows, lookup, slots.attend(layer, lookup))
    slots.advance()


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("grain", [Grain(), Grain(rows=1, tokens=4), Grain(rows=2, tokens=8), Grain(rows=8, tokens=8)])
def test_rows_that_come_and_go_each_see_their_own(grain: Grain, fixed: bool) -> None:
    """Some owners have a row in the first lane, some in the second, and some in texts."""
    texts, slots, most = Texts(1), Slots(2, SLOTS, CPU, grain), 0
    waiting = [f"owner {number}" for number in range(15)]
    while waiting:
        here = {owner for lane in slots.lanes for owner in rows_of(lane) if owner is not None}
        done = texts.draw.choice(["take", "take", "let go", "step", "step", "step"])
        if done == "take" and all(len(lane.owners) < SLOTS for lane in slots.lanes):
            owner = waiting.pop()
            for index in texts.draw.choice([(0,), (1,), (0, 1)]):
                name = f"{owner} in {index}"
                texts.new(name, texts.draw.choice([1, 2, 5, 9, 30]))
                slots.lanes[index].take(name, texts.of[name])
        elif done == "let go" and here:
            slots.let_go(texts.draw.choice(sorted(here)))
        elif here:
            step(slots, texts, fixed)
            most = max(most, len(here))
    assert most > SLOTS


def test_a_row_is_not_seen_by_whoever_has_its_slot_next() -> None:
    """Not even where it held what are no numbers: nothing times no number is no number."""
    texts, lane = Texts(0), Lane(SLOTS, Grain(), CPU)
    slots = Slots(1, SLOTS, CPU, Grain())
    slots.lanes = [lane]
    lane.take("long", texts.new("long", 20))
    lane.take("bad", {layer: (keys * torch.nan, keys * torch.nan) for layer, (keys, _) in texts.new("bad", 12).items()})
    lane.let_go("bad")
    lane.take("short", texts.new("short", 3))
    step(slots, texts, fixed=False)
    step(slots, texts, fixed=True)


def test_the_last_row_takes_the_place_of_one_that_is_let_go() -> None:
    texts, lane = Texts(0), Lane(SLOTS, Grain(), CPU)
    for number, name in enumerate("abcd"):
        lane.take(name, texts.new(name, 3 + number))
    lane.let_go("b")
    assert (lane.owners, lane.lengths, lane.filled.tolist()) == (["a", "d", "c"], [3, 6, 5], [3, 6, 5, 0, 0])
    lane.let_go("c")
    lane.let_go("a")
    assert (lane.owners, lane.lengths, lane.filled.tolist()) == (["d"], [6], [6, 0, 0, 0, 0])
    lane.advance()
    assert (lane.lengths, lane.filled.tolist()) == ([7], [7, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="is not in list"):
        lane.let_go("a")


def test_room_is_made_with_a_quarter_more_and_in_whole_grains() -> None:
    lane = Lane(SLOTS, Grain(tokens=16), CPU)
    assert lane.room == 0
    lane.take("a", Texts(0).new("a", 16))
    assert lane.room == 32  # 17 and a quarter more
    lane.take("b", Texts(0).new("b", 31))
    assert lane.room == 32
    lane.make_room(33)
    assert lane.room == 48
    lane.make_room(20)
    assert lane.room == 48


@pytest.mark.parametrize(("grain", "rows"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 2, 4, 4, 5]), (8, [0, *[5] * 5])])
def test_rows_go_through_the_model_in_whole_grains(grain: int, rows: list[int]) -> None:
    texts, lane, found = Texts(0), Lane(SLOTS, Grain(rows=grain), CPU), list[int]()
    for number in range(SLOTS + 1):
        found.append(lane.rows)
        if number < SLOTS:
            lane.take(str(number), texts.new(str(number), 2))
    assert found == rows


def test_an_owner_s_rows_lie_lane_after_lane() -> None:
    texts, slots = Texts(0), Slots(3, SLOTS, CPU, Grain(rows=2))
    for name, lanes in {"a": (0, 2), "b": (0, 1, 2), "c": (0,), "d": (2,)}.items():
        for lane in lanes:
            slots.lanes[lane].take(name, texts.new(name, 4))
    assert (slots.rows, slots.rooms) == ((4, 2, 4), (64, 64, 64))
    where = {name: slots.rows_of(name) for name in "abcd"}
    assert where == {"a": {0: 0, 2: 6}, "b": {0: 1, 1: 4, 2: 7}, "c": {0: 2}, "d": {2: 8}}
    of = {"a": 7, "b": 8, "c": 9, "d": 5}
    expected = [[7, 8, 9, 0], [8, 0], [7, 8, 5, 0]]
    assert slots.last_tokens(lambda name, lane: 10 * of[name] + lane) == [
        10 * token + lane if token else 0 for lane, tokens in enumerate(expected) for token in tokens
    ]
    slots.let_go("b")
    assert {name: slots.rows_of(name) for name in "abcd"} == {"a": {0: 0, 2: 2}, "b": {}, "c": {0: 1}, "d": {2: 3}}


def test_what_is_fixed_does_not_hang_on_the_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the whole room that is looked at, in the same tensors, until it grows."""
    texts, slots = Texts(0), Slots(1, SLOTS, CPU, Grain(rows=8, tokens=32))
    looked_at = set[Any]()

    def noted(lookup: Lookup, query: torch.Tensor, keys: Any, seen: torch.Tensor) -> torch.Tensor:
        looked_at.add((query.shape, *((tensor.shape, tensor.data_ptr()) for tensor in keys), seen.shape))
        return query

    monkeypatch.setattr("steerx_cli.lm.slots.under_mask", noted)
    slots.lanes[0].take("a", {0: texts.new("a", 3)[0]})
    for tokens in (4, 5, 31):
        if tokens == 31:
            slots.lanes[0].take("b", {0: texts.new("b", 30)[0]})
        slots.begin(fixed=True)
        slots.attend(0, texts.lookup(0, rows_of(slots.lanes[0])))
        slots.advance()
    assert len(looked_at) == 1


def test_lanes_that_nobody_is_in_take_no_part() -> None:
    texts, slots = Texts(0), Slots(3, SLOTS, CPU, Grain())
    slots.lanes[1].take("a", texts.new("a", 4))
    assert (slots.rows, slots.positions().tolist()) == ((0, 1, 0), [4])
    step(slots, texts, fixed=False)
    assert [lane.room > 0 for lane in slots.lanes] == [False, True, False]
