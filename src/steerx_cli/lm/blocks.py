"""A model's decoder blocks, counted from 1: where a hidden state is read is where a vector is added (Eq. 5, 6, 17, 18).

Both are at a block's output, before any final norm. In transformers that is `layers[ℓ - 1]`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.models import no_such_layer

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model


def blocks_of(model: "Model") -> Sequence[torch.nn.Module]:
    """All of them, in order."""
    count = model.config.get_text_config().num_hidden_layers
    lists = (part for part in model.base_model.modules() if isinstance(part, torch.nn.ModuleList))
    found = next((some for some in lists if len(some) == count), None)  # the outermost: experts lie inside of one
    if found is None:
        raise SteerxError(
            f"model {model.config.name_or_path!r} has no list of its {count} decoder blocks that steerx finds: "
            "name another"
        )
    return list(found)


def block(model: "Model", layer: int) -> torch.nn.Module:
    """The one with this number."""
    blocks = blocks_of(model)
    if not 1 <= layer <= len(blocks):
        raise no_such_layer(model.config.name_or_path, len(blocks), layer)
    return blocks[layer - 1]


def width_of(model: "Model") -> int:
    """How many numbers a hidden state has."""
    return int(model.config.get_text_config().hidden_size)


Change = Callable[[torch.Tensor], torch.Tensor | None]  # of a block's output; None leaves it as it is


@contextmanager
def changing(model: "Model", layer: int, change: Change) -> Iterator[None]:
    """Let what a block gives be changed, or only looked at. Some families give a tuple, the hidden state first."""

    def hook(_: torch.nn.Module, __: Any, output: Any) -> Any:
        given = output if isinstance(output, torch.Tensor) else output[0]
        changed = change(given)
        if changed is None:
            return None
        return changed if isinstance(output, torch.Tensor) else (changed, *output[1:])

    handle = block(model, layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class _Enough(Exception):
    """What was asked for has been seen."""


def outputs_of(model: "Model", layers: Sequence[int], run: Callable[[], object]) -> Mapping[int, torch.Tensor]:
    """What some blocks give when a model is run, which is stopped behind the last of them."""
    found: dict[int, torch.Tensor] = {}

    def look(layer: int, output: torch.Tensor) -> None:
        found[layer] = output
        if layer == max(layers):
            raise _Enough

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(changing(model, layer, partial(look, layer)))
        try:
            run()
        except _Enough:
            return found
    raise SteerxError(f"model {model.config.name_or_path!r} does not run its decoder blocks in order: name another")
