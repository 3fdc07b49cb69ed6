"""Logits → the token that is written: the most probable one, or one that is drawn."""

from collections.abc import Sequence

import torch

from steerx_cli.lm.sampling import Sampling


def choose(logits: torch.Tensor, draws: Sequence[float] | None, sampling: Sampling | None) -> list[int | None]:
    """A token for each row, by a draw in [0, 1) if there is any; None where the logits are no numbers."""
    largest, tokens = logits.max(-1)
    sound = largest.isfinite()
    if sampling and draws is not None:
        logits = logits.where(sound[:, None], 0)
        tokens = _drawn(logits, torch.tensor(draws, dtype=torch.float64, device=logits.device), sampling)
    return [token if fine else None for token, fine in zip(tokens.tolist(), sound.tolist(), strict=True)]


def _drawn(logits: torch.Tensor, draws: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The token in whose share of the line the draw falls; the shares lie in order, the largest first."""
    below = logits - logits.max(-1, keepdim=True).values  # so that no temperature is too small to divide by
    shares, order = torch.sort(
        (below.double() / sampling.temperature).softmax(-1), dim=-1, descending=True, stable=True
    )
    ends = shares.cumsum(-1)
    kept = ends - shares < sampling.top_p  # the first one always
    whole = shares.where(kept, 0).sum(-1)
    place = (ends <= (draws * whole)[:, None]).sum(-1)
    last = kept.sum(-1) - 1  # where rounding leaves the draw behind all of them
    tokens: torch.Tensor = order.gather(-1, place.minimum(last)[:, None])[:, 0]
    return tokens
