"""Texts → a vector for each of their tokens, behind one layer of a model: what BERTScore compares."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.encode import fitting, longest_input
from steerx_cli.lm.led import exact_up_to, read_whole
from steerx_cli.lm.memory import ran_out
from steerx_cli.lm.models import ModelRequest, load_encoder
from steerx_cli.lm.rows import Ids, pad, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LAYERS = (
    "encoder.layer",
    "encoder.block",
    "encoder.layers",
    "transformer.layer",
    "layers",
    "layer",
    "block",
    "h",
)  # where models have them


class States(NamedTuple):
    """One text, read: the states of its tokens, and which of them are its own, not special ones."""

    states: torch.Tensor  # [tokens, width], float32
    own: NDArray[np.bool_]
    cut: bool  # the text is longer than the model takes


class Reader:
    """A loaded encoder, or the encoder of an encoder and decoder, without the layers behind the one that is read."""

    def __init__(self, request: ModelRequest, layer: int) -> None:
        model, self._tokenizer = load_encoder(request)
        self.trained = is_trained(model)
        two = hasattr(model, "decoder") and hasattr(model, "encoder")
        self._model = cast("PreTrainedModel", model.encoder) if two else model
        _keep_layers(self._model, request.name, layer)
        self._longest = longest_input(self._model, self._tokenizer)
        self.halved = 0  # times that a batch was halved for memory; with any, states are equal to 1e-5 only
        self._short = exact_up_to(model.config) if model.config.model_type == "led" else 0

    def read(self, texts: Sequence[str], batch_tokens: int) -> dict[str, States]:
        """The states of each distinct text, at most `batch_tokens` tokens at a time, padding counted."""
        distinct = list(dict.fromkeys(texts))
        ids, cut = tokenize(self._tokenizer, [text.strip() for text in distinct], self._longest)
        found: dict[str, States] = {}
        for batch in self._batches(ids, batch_tokens):
            for row, states in zip(batch, self._fitting([ids[row] for row in batch]), strict=True):
                found[distinct[row]] = States(states, self._own(ids[row]), cut[row])
        return found

    def _batches(self, ids: Sequence[Ids], batch_tokens: int) -> Iterator[list[int]]:
        """Texts of about one length together, the longest first: memory runs out at once."""
        waiting = sorted(range(len(ids)), key=lambda row: (-len(ids[row]), row))
        while waiting:
            size = fitting(len(ids[waiting[0]]), batch_tokens)
            long = sum(len(ids[row]) > self._short for row in waiting[:size])  # LED reads them in another way
            batch, waiting = waiting[: long or size], waiting[long or size :]
            yield batch

    def _fitting(self, ids: list[Ids]) -> list[torch.Tensor]:
        """The states of rows together, or in halves where memory does not hold them."""
        try:
            return self._read(ids)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if len(ids) == 1:
                raise SteerxError(
                    f"one text of {len(ids[0])} tokens does not fit in memory beside the BERTScore model: choose a "
                    "smaller --bertscore-model"
                ) from error
        torch.cuda.empty_cache()
        self.halved += 1
        half = len(ids) // 2
        return self._fitting(ids[:half]) + self._fitting(ids[half:])

    @torch.inference_mode()
    def _read(self, ids: list[Ids]) -> list[torch.Tensor]:
        tokens, mask = pad(ids, self._tokenizer.pad_token_id or 0)
        rows = torch.from_numpy(tokens).to(self._model.device)
        kept = torch.from_numpy(mask).to(self._model.device)
        if rows.shape[1] <= self._short:
            states = read_whole(self._model, rows, kept)
        else:
            states = self._model(input_ids=rows, attention_mask=kept.long())[0]
        return [some[: len(row)].float().cpu().clone() for some, row in zip(states, ids, strict=True)]

    def _own(self, ids: Ids) -> NDArray[np.bool_]:
        special = [self._tokenizer.sep_token_id, self._tokenizer.cls_token_id]
        return ~np.isin(ids, [token for token in special if token is not None])


def _keep_layers(model: "PreTrainedModel", name: str, count: int) -> None:
    """Take out the layers behind the one that is read."""
    for path in _LAYERS:
        holder_path, _, attribute = path.rpartition(".")
        try:
            holder = model.get_submodule(holder_path)
        except AttributeError:
            continue
        layers = getattr(holder, attribute, None)
        if isinstance(layers, torch.nn.ModuleList):
            if not 1 <= count <= len(layers):
                raise SteerxError(
                    f"model {name!r} has {len(layers)} layers, and --bertscore-layer is {count}: name one from 1 to "
                    f"{len(layers)}"
                )
            setattr(holder, attribute, layers[:count])
            return
    raise SteerxError(f"model {name!r} has no list of layers that steerx finds: name another --bertscore-model")


def is_trained(model: "PreTrainedModel") -> bool:
    """Whether anybody trained it: all that a new model's norms scale by is one number, and no training leaves it so."""
    norms = (module for module in model.modules() if "norm" in type(module).__name__.lower())
    scales = [scale for norm in norms if isinstance(scale := getattr(norm, "weight", None), torch.Tensor)]
    return not scales or any(bool((scale != scale.flatten()[0]).any()) for scale in scales)
