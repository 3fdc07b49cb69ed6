"""log p of texts after prompts, by teacher forcing: every distinct beginning is computed once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.causal import CausalLM
from steerx_cli.lm.packing import Piece
from steerx_cli.lm.rows import Ids
from steerx_cli.lm.trie import Node, Trie, build

_LEAST = 16  # tokens that a node of its own has to save; below that it costs more than it spares
_ROW_ON_CPU = 1024  # tokens in a batch: what a layer makes of more does not stay in the cache


class Asked(NamedTuple):
    """What comes before a text, and the text."""

    before: Ids
    text: Ids

    @property
    def seen(self) -> Ids:
        """What the model looks at: the last token is only foretold."""
        return np.concatenate([self.before, self.text[:-1]])


@dataclass(frozen=True)
class Scored:
    """log p of every token of each text, and what that took."""

    values: list[NDArray[np.float32]]
    counts: Mapping[str, int]


class Wanted(NamedTuple):
    """Tokens of one text that are foretold in one node: the states from `first` on tell `text[start:stop]`."""

    asked: int
    first: int  # of the node's tokens
    start: int
    stop: int

    def cut(self, start: int, stop: int) -> "Wanted":
        """What of it lies in these tokens of the node, as a node of their own."""
        first, last = max(self.first, start), min(self.first + self.stop - self.start, stop)
        return Wanted(self.asked, first - start, self.start + first - self.first, self.start + last - self.first)


@dataclass(eq=False)
class _Run:
    """One node on its way through the model."""

    node: Node
    parent: "_Run | None"
    piece: Piece
    ids: Ids
    wanted: list[Wanted]
    unfinished: int  # of those below it, how many are not done
    rest: "_Run | None" = None  # where it was too long for the memory: its second half, which stands below it then

    @classmethod
    def of(
        cls,
        node: Node,
        parent: "_Run | None",
        sequences: Sequence[Ids],
        wanted: Mapping[int, list[Wanted]],
    ) -> "_Run":
        """The run of a node whose parent's is known."""
        above = (*parent.piece.above, parent.piece) if parent else ()
        piece = Piece(node.stop - node.start, above, kept=bool(node.children))
        ids = sequences[node.sequence][node.start : node.stop]
        return cls(node, parent, piece, ids, wanted.get(id(node), []), len(node.children))

    def halved(self) -> "_Run":
        """The same tokens in two runs, the second below the first; what is above and below both stays as it is."""
        middle = len(self.ids) // 2
        first = _Run(self.node, self.parent, Piece(middle), self.ids[:middle], self._wanted(0, middle), 1)
        after = self._wanted(middle, len(self.ids))
        piece = Piece(len(self.ids) - middle, kept=self.piece.kept)
        first.rest = _Run(self.node, first, piece, self.ids[middle:], after, self.unfinished, self.rest)
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
        run: _Run | None = self
        while run:
            run.piece.layers.clear()
            run = run.parent
            if run:
                run.unfinished -= 1
                run = None if run.unfinished else run


Read: TypeAlias = Callable[[Sequence[_Run], torch.Tensor], None]


class Scorer:
    """Runs a model over texts; at most `batch_tokens` tokens go through it at once."""

    def __init__(self, lm: CausalLM, batch_tokens: int) -> None:
        self._lm = lm
        on_cpu = lm.model.device.type == "cpu"
        self._batch_tokens = min(batch_tokens, _ROW_ON_CPU) if on_cpu else batch_tokens

    def score(self, asked: Sequence[Asked]) -> Scored:
        """log p of each text's tokens given what comes before them."""
        values = [np.zeros(len(one.text), np.float32) for one in asked]
        places = [place for place, one in enumerate(asked) if len(one.text)]
        sequences = [asked[place].seen for place in places]
        packs = self._lm.packs
        trie = build(sequences, _LEAST if packs else np.inf, self._batch_tokens if packs else 2**62)
        wanted = _wanted(trie, places, asked)
        tally: Counter[str] = Counter({"tokens run through the model": trie.tokens})
        self._run(trie, sequences, wanted, tally, partial(self._read, asked, values))
        return Scored(values, tally)

    def _read(
        self, asked: Sequence[Asked], values: list[NDArray[np.float32]], runs: Sequence[_Run], states: torch.Tensor
    ) -> None:
        """Put the log p that a batch's states tell into their places."""
        starts = np.cumsum([0, *(len(run.ids) for run in runs)])
        found = [(start + each.first, each) for start, run in zip(starts, runs, strict=False) for each in run.wanted]
        if not found:
            return
        sizes = [each.stop - each.start for _, each in found]
        rows = np.concatenate([np.arange(at, at + size) for (at, _), size in zip(found, sizes, strict=True)])
        tokens = np.concatenate([asked[each.asked].text[each.start : each.stop] for _, each in found])
        # The same text asked for again is the same token at the same place: the head looks at it once.
        (rows, tokens), places = np.unique([rows, tokens], axis=1, return_inverse=True)
        told = self._lm.log_p(states[torch.from_numpy(rows).to(states.device)], tokens.tolist()).numpy()[places]
        for (_, each), some in zip(found, np.split(told, np.cumsum(sizes)[:-1]), strict=True):
            values[each.asked][each.start : each.stop] = some

    # --- batches ------------------------------------------------------------------------------------------------------

    def _run(
        self,
        trie: Trie,
        sequences: Sequence[Ids],
        wanted: Mapping[int, list[Wanted]],
        tally: Counter[str],
        read: Read,
    ) -> None:
        """Run every node, batch by batch, parents first; the deepest first, so that few are kept at once."""
        budget = self._batch_tokens
        waiting = self._in_order([_Run.of(node, None, sequences, wanted) for node in trie.roots])
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
                below = [run.rest] if run.rest else [_Run.of(n, run, sequences, wanted) for n in run.node.children]
                waiting += below[::-1]
                if not below:
                    run.done()

    def _in_order(self, roots: list[_Run]) -> list[_Run]:
        """The last is the first to be run. Where rows are padded, those of one length stand together."""
        return roots[::-1] if self._lm.packs else sorted(roots, key=lambda run: len(run.ids))

    def _next(self, waiting: Sequence[_Run], budget: int) -> list[_Run]:
        """The last of those that wait, as many as fit; one always does."""
        batch: list[_Run] = []
        tokens = 0
        for run in reversed(waiting):
            # Padded rows come longest first, so that the first one's length is that of all.
            tokens += len(run.ids) if self._lm.packs or not batch else len(batch[0].ids)
            if batch and tokens > budget:
                break
            batch.append(run)
        return batch

    def _fits(self, batch: Sequence[_Run], read: Read) -> bool:
        """Run a batch and read what it tells; whether there was memory for it."""
        try:
            read(batch, self._states(batch))
            return True
        except torch.OutOfMemoryError as error:
            if len(batch) == 1 and (len(batch[0].ids) == 1 or not self._lm.packs):
                raise SteerxError(
                    f"{len(batch[0].ids)} tokens do not fit in memory: choose a smaller --batch-tokens, dtype or model"
                ) from error
        for run in batch:
            run.piece.layers.clear()
        torch.cuda.empty_cache()
        return False

    def _states(self, batch: Sequence[_Run]) -> torch.Tensor:
        if self._lm.packs:
            return self._lm.states_packed([(run.piece, run.ids.tolist()) for run in batch])
        return self._lm.states_padded([run.ids for run in batch])


def _wanted(trie: Trie, places: Sequence[int], asked: Sequence[Asked]) -> dict[int, list[Wanted]]:
    """What is to be read in each node: the texts that are foretold there, and which of their tokens."""
    wanted: dict[int, list[Wanted]] = {}
    for end, place in zip(trie.ends, places, strict=True):
        first = len(asked[place].before) - 1
        for node in end.path():
            start, stop = max(node.start, first), min(node.stop, first + len(asked[place].text))
            if start < stop:
                each = Wanted(place, start - node.start, start - first, stop - first)
                wanted.setdefault(id(node), []).append(each)
    return wanted
