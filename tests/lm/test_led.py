"""LED's encoder with plain attention, against its own."""

from typing import Any

import pytest
import torch
from transformers import LEDConfig

from encoders import make_model
from steerx_cli.lm.led import exact_up_to, read_whole

WINDOWS: list[Any] = [16, [16, 16, 16], [32, 16, 32], [8, 16, 16], 4]


def rows_of(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of random tokens, filled up on the right, and which places are theirs."""
    kept = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(5, 200, kept.shape, generator=torch.Generator().manual_seed(1))
    return ids.masked_fill(~kept, 1), kept


@torch.inference_mode()
def difference(windows: Any, *lengths: int) -> float:
    """By how much the states of tokens differ at most."""
    encoder: Any = make_model("led", attention_window=windows).encoder
    ids, kept = rows_of(*lengths)
    own = encoder(input_ids=ids, attention_mask=kept.long()).last_hidden_state
    return float((read_whole(encoder, ids, kept) - own)[kept].abs().max())


@pytest.mark.parametrize("windows", WINDOWS)
def test_a_text_that_is_seen_whole_is_read_as_by_the_model(windows: Any) -> None:
    longest = exact_up_to(make_model("led", attention_window=windows).config)
    assert difference(windows, longest) < 1e-5
    assert difference(windows, longest, 2, longest - 1, 1) < 1e-5  # with filler beside it


@pytest.mark.parametrize("windows", WINDOWS)
def test_one_token_more_is_not(windows: Any) -> None:
    longest = exact_up_to(make_model("led", attention_window=windows).config)
    assert difference(windows, longest + 1) > 1e-3


@pytest.mark.parametrize(("windows", "tokens"), [(1024, 513), ([1024] * 6, 513), ([512, 64, 256], 33), (2, 2)])
def test_half_the_smallest_window_and_one_token(windows: Any, tokens: int) -> None:
    assert exact_up_to(LEDConfig(attention_window=windows)) == tokens


@torch.inference_mode()
def test_filler_changes_nothing() -> None:
    encoder: Any = make_model("led").encoder
    ids, kept = rows_of(9, 4)
    alone = read_whole(encoder, ids[1:, :4], kept[1:, :4])
    torch.testing.assert_close(read_whole(encoder, ids, kept)[1:, :4], alone, rtol=0, atol=1e-5)
