"""Sequences of tokens through a model, batch by batch: what they begin with together goes through it once."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.attention import KeysValues
from steerx_cli.lm.memory import ran_out
from steerx_cli.lm.packing import Piece
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.trie import Node, Trie, build

if TYPE_CHECKING:
    from steerx_cli.lm.models import Model

_LEAST = 16  # tokens that a node of its own has to save; below that it costs more than it spares
_ROW_ON_CPU = 1024  # tokens in a batch: what a layer makes of more does not stay in the cache


class Body(Protocol):
    """What sequences are run through: a model that gives a state at every token, of whatever shape."""

    @property
    def model(self) -> "Model": ...
    @property
    def packs(self) -> bool: ...
    def states_packed(self, pieces: Sequence[tuple[Piece, Sequence[int]]]) -> torch.Tensor: ...
    def states_padded(self, rows: Sequence[Ids]) -> torch.Tensor: ...


class NoRoom(SteerxError):
    """Not even the least that could be run fits in memory."""


class Wanted(NamedTuple):
    """States of one sequence that lie in one node: from its token `first` on, the `start`-th to `stop`-th wanted."""

    sequence: int
    first: int  # of the node's tokens
    start: int
    stop: int

    def cut(self, start: int, stop: int) -> "Wanted":
        """What of it lies in these tokens of the node, as a node of their own."""
        first, last = max(self.first, start), min(self.first + self.stop - self.start, stop)
        return Wanted(self.sequence, first - start, self.start + first - self.first, self.start + last - self.first)


@dataclass(eq=False)
class Run:
    """One node on its way through the model."""

    node: Node
    parent: "Run | None"
    piece: Piece
    ids: Ids
    wanted: list[Wanted]
    unfinished: int  # of those below it, how many are not done
    rest: "Run | None" = None  # where it was too long for the memory: its second half, which stands below it then

    def layers(self) -> dict[int, KeysValues]:
        """The keys and values of all tokens up to its last, where they are kept: [heads, tokens, width] each."""
        pieces = [*self.piece.above, self.piece]

        def joined(layer: int, part: int) -> torch.Tensor:
            return torch.cat([piece.layers[layer][part][0] for piece in pieces], 1)

        return {layer: (joined(layer, 0), joined(layer, 1)) for layer in self.piece.layers}

    def halved(self) -> "Run":
        """The same tokens in two runs, the second below the first; what is above and below both stays as it is."""
        middle = len(self.ids) // 2
        first = Run(self.node, self.parent, Piece(middle), self.ids[:middle], self._wanted(0, middle), 1)
        after = self._wanted(middle, len(self.ids))
        piece = Piece(len(self.ids) - middle, kept=self.piece.kept)
        first.rest = Run(self.node, first, piece, self.ids[middle:], after, self.unfinished, self.rest)
        if self.rest:
            self.rest.parent = first.rest
        first.piece.above, run = self.piece.above, first
        while run.rest:  # each continues the one before it
            run.piece.kept, run.rest.piece.above = True, (*run.piece.above, run.piece)
            run = run.rest
        return first

    def _wanted(self, start: int, stop: int) -> list[Wanted]:
        cuts = [each.cut(start, stop) for each in self.wanted]
        return [each for each in cuts if each.start < each.stop]

    def done(self) -> None:
        """Nothing below it is left to be run: its keys and values can go, and so perhaps its parent's."""
        run: Run | None = self
        while run:
            run.piece.layers.clear()
            run = run.parent
            if run:
                run.unfinished -= 1
                run = None if run.unfinished else run


class _Nodes:
    """The nodes of a tree, and what is wanted in each."""

    def __init__(self, trie: Trie, sequences: Sequence[Ids], firsts: Sequence[int], keeps: bool) -> None:
        self._trie, self._sequences, self._keeps = trie, sequences, keeps
        self._wanted: dict[int, list[Wanted]] = {}
        for place, (end, first) in enumerate(zip(trie.ends, firsts, strict=True)):
            for node in end.path():
                start, stop = max(node.start, first), min(node.stop, len(sequences[place]))
                if start < stop:
                    each = Wanted(place, start - node.start, start - first, stop - first)
                    self._wanted.setdefault(id(node), []).append(each)

    def roots(self) -> list[Run]:
        """Those that stand below none."""
        return [self._of(node, None) for node in self._trie.roots]

    def below(self, run: Run) -> list[Run]:
        """Those that can be run once it has been."""
        return [run.rest] if run.rest else [self._of(node, run) for node in run.node.children]

    def _of(self, node: Node, parent: Run | None) -> Run:
        above = (*parent.piece.above, parent.piece) if parent else ()
        piece = Piece(node.stop - node.start, above, kept=self._keeps or bool(node.children))
        ids = self._sequences[node.sequence][node.start : node.stop]
        return Run(node, parent, piece, ids, self._wanted.get(id(node), []), len(node.children))


Read: TypeAlias = Callable[[Sequence[Run], torch.Tensor], None]


class Runner:
    """Runs a model over sequences; at most `batch_tokens` tokens go through it at once."""

    def __init__(self, lm: Body, batch_tokens: int, keeps: bool = False) -> None:
        """With `keeps`, the keys and values of every token are there when its batch is read."""
        self._lm, self._keeps = lm, keeps
        on_cpu = lm.model.device.type == "cpu"
        self._batch_tokens = min(batch_tokens, _ROW_ON_CPU) if on_cpu else batch_tokens

    def run(self, sequences: Sequence[Ids], firsts: Sequence[int], read: Read, tally: Counter[str]) -> None:
        """Run every node, parents first, and have the states from each sequence's first wanted token on read."""
        packs = self._lm.packs
        trie = build(sequences, _LEAST if packs else np.inf, self._batch_tokens if packs else 2**62)
        tally["tokens run through the model"] += trie.tokens
        self._run(_Nodes(trie, sequences, firsts, self._keeps), read, tally)

    # --- batches ------------------------------------------------------------------------------------------------------

    def _run(self, nodes: _Nodes, read: Read, tally: Counter[str]) -> None:
        """Batch by batch; the deepest first, so that few are kept at once."""
        budget = self._batch_tokens
        waiting = self._in_order(nodes.roots())
        while waiting:
            batch = self._next(waiting, budget)
            if not self._fits(batch, read):
                tally["batches halved for memory"] += 1
                budget = sum(len(run.ids) for run in batch) // 2
                if len(batch) == 1:
                    waiting[-1] = batch[0].halved()
                continue
            tally["batches without sharing, in the model's own attention"] += not self._lm.packs
            del waiting[-len(batch) :]
            for run in batch[::-1]:
                below = nodes.below(run)
                waiting += below[::-1]
                if not below:
                    run.done()

    def _in_order(self, roots: list[Run]) -> list[Run]:
        """The last is the first to be run. Where rows are padded, those of one length stand together."""
        return roots[::-1] if self._lm.packs else sorted(roots, key=lambda run: len(run.ids))

    def _next(self, waiting: Sequence[Run], budget: int) -> list[Run]:
        """The last of those that wait, as many as fit; one always does."""
        batch: list[Run] = []
        tokens = 0
        for run in reversed(waiting):
            # Padded rows come longest first, so that the first one's length is that of all.
            tokens += len(run.ids) if self._lm.packs or not batch else len(batch[0].ids)
            if batch and tokens > budget:
                break
            batch.append(run)
        return batch

    def _fits(self, batch: Sequence[Run], read: Read) -> bool:
        """Run a batch and read what it tells; whether there was memory for it."""
        try:
            read(batch, self._states(batch))
            return True
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if len(batch) == 1 and (len(batch[0].ids) == 1 or not self._lm.packs):
                raise NoRoom(
                    f"{len(batch[0].ids)} tokens do not fit in memory: choose a smaller --batch-tokens, dtype or model"
                ) from error
        for run in batch:
            run.piece.layers.clear()
        torch.cuda.empty_cache()
        return False

    def _states(self, batch: Sequence[Run]) -> torch.Tensor:
        if self._lm.packs:
            return self._lm.states_packed([(run.piece, run.ids.tolist()) for run in batch])
        return self._lm.states_padded([run.ids for run in batch])
