"""Steps that are run or played back, against whole texts without a cache."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch

from families import WORDS, random_model
from steerx_cli.lm.attention import Lookup, under_mask
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.packing import Piece
from steerx_cli.lm.playback import Play, Player, Record
from steerx_cli.lm.slots import Grain, Slots

ANY_TOKENIZER: Any = None
SLOTS = 12


class Texts:
    """Rows of a model, and the same texts whole."""

    def __init__(self, record: Record | None, grain: Grain) -> None:
        self.lm = CausalLM(random_model("gemma2"), ANY_TOKENIZER)
        self.exact = copy.deepcopy(self.lm.model.base_model).double()
        self.slots, self.tally = Slots(2, SLOTS, torch.device("cpu"), grain), Counter[str]()
        self.player = Player(self.lm, self.slots, record, self.tally)
        self.draw, self.ids = torch.Generator().manual_seed(0), dict[str, list[int]]()

    def more(self, count: int) -> list[int]:
        return torch.randint(3, WORDS, (count,), generator=self.draw).tolist()

    def take(self, lane: int, name: str, count: int) -> None:
        """Read a text, and give it a slot."""
        self.ids[name], piece = self.more(count), Piece(count, kept=True)
        self.lm.states_packed([(piece, self.ids[name])])
        layers = {layer: (keys[0], values[0]) for layer, (keys, values) in piece.layers.items()}
        self.slots.lanes[lane].take(name, layers)

    @torch.no_grad()
    def step(self) -> None:
        """One token more for every text: the states are those of whole texts."""
        for ids in self.ids.values():
            ids += self.more(1)
        self.slots.make_room()
        states = self.player.step(self.slots.last_tokens(lambda name, _: self.ids[name][-1])).double()
        for name, ids in self.ids.items():
            true = self.exact(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]
            for row in self.slots.rows_of(name).values():
                torch.testing.assert_close(states[row], true, rtol=0, atol=1e-4)

    def let_go(self, name: str) -> None:
        self.slots.let_go(name)
        del self.ids[name]


class Recorder:
    """Plays back what it has recorded, as long as that is the same work on the same memory: as a GPU has to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
        self.times, self.recorded, self._now = times, 0, list[Any]()

        def noted(lookup: Lookup, query: torch.Tensor, keys: Any, seen: torch.Tensor) -> torch.Tensor:
            self._now.append((query.shape, seen.shape, *((tensor.shape, tensor.data_ptr()) for tensor in keys)))
            return under_mask(lookup, query, keys, seen)

        def placed(slots: Slots) -> torch.Tensor:
            self._now += [(lane.filled.data_ptr(), lane._places.data_ptr()) for lane in slots.lanes]
            return positions(slots)

        def stepped(lm: CausalLM, slots: Slots, tokens: torch.Tensor) -> torch.Tensor:
            self._now.append(tokens.data_ptr())
            return states(lm, slots, tokens)

        positions, states = Slots.positions, CausalLM.states_stepped
        monkeypatch.setattr("steerx_cli.lm.slots.under_mask", noted)
        monkeypatch.setattr(Slots, "positions", placed)
        monkeypatch.setattr(CausalLM, "states_stepped", stepped)

    def __call__(self, work: Play) -> Play:
        self.recorded += 1
        for _ in range(self.times):
            self._now.clear()
            work()
        expected = [*self._now]

        def play() -> torch.Tensor:
            self._now.clear()
            states = work()
            assert self._now == expected
            return states

        return play


def come_and_go(texts: Texts) -> None:
    """Rows of two lanes: some are let go, others taken, and one outgrows its slot and a sliding window."""
    for name, count in {"a": 13, "b": 9, "c": 4}.items():
        texts.take(0, name, count)
    texts.take(1, "d", 2)
    for _ in range(3):
        texts.step()
    texts.let_go("a")
    texts.step()
    texts.take(0, "e", 5)
    for _ in range(13):
        texts.step()
    texts.let_go("d")
    texts.step()


@pytest.mark.parametrize("grain", [Grain(), Grain(rows=8, tokens=16)])
def test_steps_that_are_run_have_the_states_of_whole_texts(grain: Grain) -> None:
    texts = Texts(None, grain)
    come_and_go(texts)
    assert not texts.tally


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("grain", [Grain(tokens=8), Grain(rows=8, tokens=16)])
def test_steps_that_are_played_back_have_them_too(grain: Grain, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch, times)
    texts = Texts(recorder, grain)
    come_and_go(texts)
    assert 1 < recorder.recorded < 10
    assert not texts.tally


def test_a_step_is_recorded_once_for_its_rows_and_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, recorded = Recorder(monkeypatch), list[int]()
    texts = Texts(recorder, Grain(rows=4, tokens=16))

    def step(count: int = 1) -> None:
        for _ in range(count):
            texts.step()
        recorded.append(recorder.recorded)

    texts.take(0, "a", 8)
    step(3)
    texts.take(0, "b", 3)
    step(3)  # four rows go through the model as before
    texts.take(1, "c", 3)
    step()  # now eight
    texts.let_go("c")
    step()  # four, with the room of the second lane
    step(8)  # the seventeenth token of the longest
    assert recorded == [1, 1, 2, 3, 4]


def test_what_cannot_be_recorded_is_run_and_not_tried_again() -> None:
    tried = list[Play]()

    def record(work: Play) -> Play:
        tried.append(work)
        work()
        raise RuntimeError("operation not permitted when stream is capturing")

    texts = Texts(record, Grain(rows=8, tokens=16))
    come_and_go(texts)
    assert len(tried) == 1
    assert texts.tally == {"batches whose steps cannot be played back": 1}


def test_memory_that_runs_out_while_recording_is_told() -> None:
    def record(work: Play) -> Play:
        raise torch.OutOfMemoryError

    texts = Texts(record, Grain(rows=8, tokens=16))
    texts.take(0, "a", 5)
    with pytest.raises(torch.OutOfMemoryError):
        texts.step()
    assert not texts.tally
    assert texts.slots.lanes[0].lengths == [5]
