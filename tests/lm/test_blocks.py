"""Where hidden states are read: the same as transformers tells of, for every family."""

from typing import Any

import pytest
import torch

from families import FAMILIES, random_model
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.blocks import block, blocks_of, changing, outputs_of, width_of

IDS = torch.tensor([[5, 9, 7, 11, 6, 30]])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_block_gives_the_hidden_state_of_its_number(family: str) -> None:
    model = random_model(family, num_hidden_layers=3, **({"n_layer": 3} if family == "gpt2" else {}))
    with torch.no_grad():
        told = model(IDS, output_hidden_states=True).hidden_states
        found = outputs_of(model, [1, 2], lambda: model(IDS))
    assert len(blocks_of(model)) == 3
    assert width_of(model) == told[0].shape[-1]
    for layer in (1, 2):  # what transformers tells of the last is behind the final norm
        torch.testing.assert_close(found[layer], told[layer], rtol=0, atol=0)


def test_what_lies_behind_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("qwen3", num_hidden_layers=4)
    monkeypatch.setattr(model.model.layers[2], "forward", lambda *_, **__: pytest.fail("run for nothing"))
    assert list(outputs_of(model, [2], lambda: model(IDS))) == [2]


def test_nothing_is_left_behind() -> None:
    model = random_model("llama")
    outputs_of(model, [1], lambda: model(IDS))
    with pytest.raises(ZeroDivisionError), changing(model, 2, lambda _: None):
        raise ZeroDivisionError
    assert all(not part._forward_hooks for part in model.modules())


def test_a_change_goes_on_in_blocks_that_give_tuples_too() -> None:
    class Tuple(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *given: Any, **named: Any) -> Any:
            return (self.inner(*given, **named), "more")

    model = random_model("qwen3")
    with torch.no_grad():
        with changing(model, 1, lambda output: output + 1):
            true = outputs_of(model, [2], lambda: model(IDS))[2]
        model.model.layers[0], untupled = Tuple(model.model.layers[0]), model.model.layers[1].forward
        model.model.layers[1].forward = lambda given, *rest, **named: untupled(given[0], *rest, **named)
        with changing(model, 1, lambda output: output + 1):
            found = outputs_of(model, [1, 2], lambda: model(IDS))
    torch.testing.assert_close(found[2], true, rtol=0, atol=0)
    assert isinstance(found[1], torch.Tensor)


@pytest.mark.parametrize("layer", [0, -1, 3])
def test_a_block_that_is_not_there_is_refused(layer: int) -> None:
    said = rf"^model '.*' has 2 decoder blocks, and --layer is {layer}: name one from 1 to 2$"
    with pytest.raises(SteerxError, match=said):
        block(random_model("qwen3"), layer)


def test_a_model_without_a_list_of_blocks_is_refused() -> None:
    model = random_model("qwen3")
    model.config.num_hidden_layers = 7
    with pytest.raises(SteerxError, match=r"^model '.*' has no list of its 7 decoder blocks that steerx finds"):
        blocks_of(model)
