"""Where the time of `steerx score-tokens` goes, by torch's profiler."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from bench import score_peers as peers
from bench.score_inputs import Shape, Texts, make_model
from steerx_cli.lm.causal import CausalLM

PARTS = ("linear layers", "attention", "head", "other operations", "Python and the rest")


class Marked(CausalLM):
    """Tells the profiler where its head works."""

    def log_p(self, states: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """The same."""
        with record_function("head"):
            return super().log_p(states, tokens)


def shares(texts: Texts, shape: Shape) -> dict[str, float]:
    """The part of steerx's time that each kind of work takes."""
    torch.set_num_threads(1)
    score, asked = peers.steerx(make_model(shape), Marked), texts(shape)
    score(asked[:1])
    with profile(activities=[ProfilerActivity.CPU]) as profiled, record_function("all"):
        score(asked)
    taken: Counter[str] = Counter()
    for event in profiled.events() or ():
        taken[part_of(names_of(event))] += event.self_cpu_time_total
    return {part: taken[part] / taken.total() for part in PARTS}


def names_of(event: FunctionEvent) -> list[str]:
    """An operation and those that called it."""
    above = event.cpu_parent
    return [event.name, *(names_of(above) if above else ())]


def part_of(names: Sequence[str]) -> str:
    """The kind of work that an operation is part of."""
    if "head" in names:
        return "head"
    if "aten::_scaled_dot_product_flash_attention_for_cpu" in names:
        return "attention"
    if names[0] in ("aten::mm", "aten::addmm"):
        return "linear layers"
    return "Python and the rest" if names[0] == "all" else "other operations"
