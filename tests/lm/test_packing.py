"""Attention over pieces, against the whole square of scores of each text by itself."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from families import obvious_attention
from steerx_cli.lm import attention, packing
from steerx_cli.lm.attention import Unsupported, attend
from steerx_cli.lm.packing import Packing, Piece

HEADS, KEY_HEADS, WIDTH = 4, 2, 8


class Layer(torch.nn.Module):
    layer_idx = 1

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(**settings)


class Texts:
    """Two texts that begin alike, a third by itself: what is kept, and what is run now."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(1)
        self.root, self.middle = Piece(5, kept=True), Piece(4, kept=True)
        self.middle.above = (self.root,)
        self.pieces = [
            Piece(3, (self.root, self.middle)),
            Piece(6, (self.root, self.middle)),
            Piece(2, (self.root,)),
            Piece(7),
        ]
        self.made = {
            piece: [
                torch.randn(1, heads, piece.length, WIDTH, generator=draw) for heads in (HEADS, KEY_HEADS, KEY_HEADS)
            ]
            for piece in [self.root, self.middle, *self.pieces]
        }
        for piece in (self.root, self.middle):
            piece.layers[Layer.layer_idx] = self.made[piece][1], self.made[piece][2]

    def row(self) -> Any:
        return [torch.cat([self.made[piece][part] for piece in self.pieces], 2) for part in range(3)]

    def expected(self, scaling: float, window: int | None = None, *special: Any) -> Any:
        found = []
        for piece in self.pieces:
            keys, values = (torch.cat([self.made[one][part] for one in (*piece.above, piece)], 2) for part in (1, 2))
            found.append(obvious_attention(self.made[piece][0], keys, values, scaling, window, *special))
        return torch.cat(found, 1)


@pytest.fixture
def texts() -> Any:
    made = Texts()
    token = attention._way.set(Packing(made.pieces))
    yield made
    attention._way.reset(token)


def attended(texts: Texts, **settings: Any) -> Any:
    """What a layer finds for the row."""
    query, key, value = texts.row()
    return attend(Layer(), query, key, value, None, **settings)[0]


@pytest.mark.parametrize("sinks", [None, torch.tensor([-1.0, 0.0, 1.0, 3.0])])
@pytest.mark.parametrize("cap", [None, 0.7])
@pytest.mark.parametrize("window", [None, 100, 6, 1])
@pytest.mark.parametrize("scaling", [0.3, 1.0])
def test_every_text_sees_itself_and_what_it_continues(
    texts: Texts, scaling: float, window: int | None, cap: float | None, sinks: torch.Tensor | None
) -> None:
    found = attended(texts, scaling=scaling, sliding_window=window, softcap=cap, s_aux=sinks)
    torch.testing.assert_close(found.double(), texts.expected(scaling, window, cap, sinks), rtol=0, atol=1e-6)


def test_the_way_of_gpus_finds_the_same(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_merged", packing._masked)
    found = attended(texts, scaling=0.3)
    torch.testing.assert_close(found.double(), texts.expected(0.3), rtol=0, atol=1e-6)


def test_without_a_scale_it_is_that_of_the_width(texts: Texts) -> None:
    found = attended(texts)
    torch.testing.assert_close(found.double(), texts.expected(WIDTH**-0.5), rtol=0, atol=1e-6)
    capped = attended(texts, softcap=0.7)
    torch.testing.assert_close(capped.double(), texts.expected(WIDTH**-0.5, None, 0.7), rtol=0, atol=1e-6)


def test_what_says_nothing_is_taken(texts: Texts) -> None:
    told = {"dropout": 0.0, "is_causal": None, "position_ids": torch.zeros(1), "softcap": None, "unheard_of": None}
    torch.testing.assert_close(attended(texts, **told).double(), texts.expected(WIDTH**-0.5), rtol=0, atol=1e-6)


def test_positions_go_on_where_the_pieces_above_end() -> None:
    root = Piece(2)
    assert Packing([Piece(2, (root,)), Piece(3), Piece(1, (root, Piece(4)))]).positions().tolist() == [2, 3, 0, 1, 2, 6]


def test_only_what_is_to_be_continued_is_kept(texts: Texts) -> None:
    texts.pieces[1].kept = True
    query, key, value = texts.row()
    attend(Layer(), query, key, value, None)
    assert [bool(piece.layers) for piece in texts.pieces] == [False, True, False, False]
    keys, values = texts.pieces[1].layers[Layer.layer_idx]
    torch.testing.assert_close((keys, values), (key[:, :, 3:9], value[:, :, 3:9]))
    key.zero_()
    assert keys.any()  # a copy: the row's own memory is let go


WINDOWED: list[dict[str, Any]] = [
    {"layer_types": ["full_attention", "sliding_attention"]},
    {"sliding_window": 5},
    {"layer_types": None, "sliding_window": 5, "use_sliding_window": True},
]
OPEN: list[dict[str, Any]] = [
    {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 5},
    {"sliding_window": None},
    {"sliding_window": 5, "use_sliding_window": False},
]


def test_a_window_that_a_layer_does_not_tell_is_refused(texts: Texts) -> None:
    query, key, value = texts.row()
    for settings in WINDOWED:
        with pytest.raises(Unsupported):
            attend(Layer(**settings), query, key, value, None)
        attend(Layer(**settings), query, key, value, None, sliding_window=5)
    for settings in OPEN:
        attend(Layer(**settings), query, key, value, None)


@pytest.mark.parametrize("wanted", [{"position_bias": torch.zeros(1)}, {"unheard_of": 1}])
def test_what_is_not_done_is_refused(texts: Texts, wanted: Any) -> None:
    query, key, value = texts.row()
    with pytest.raises(Unsupported):
        attend(Layer(), query, key, value, None, **wanted)
    with pytest.raises(Unsupported):
        attend(Layer(), query, key, value, torch.ones(1, 1, 18, 18))
