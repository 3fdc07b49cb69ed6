"""Sequences of tokens → a tree in which what they begin with together stands once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from steerx_cli.lm.rows import Ids


@dataclass
class Node:
    """A run of tokens, `sequences[sequence][start:stop]`, that follows its parent's."""

    sequence: int
    start: int
    stop: int
    parent: "Node | None" = None
    children: "list[Node]" = field(default_factory=list)

    def path(self) -> "list[Node]":
        """From the root's child down to this node."""
        found, node = [self], self.parent
        while node:
            found.append(node)
            node = node.parent
        return found[::-1]


@dataclass(frozen=True)
class Trie:
    """All nodes without a parent, and for each sequence the node in which it ends."""

    roots: list[Node]
    ends: list[Node]

    def nodes(self) -> Iterator[Node]:
        """Every node, parents first."""
        waiting = self.roots[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children[::-1]

    @property
    def tokens(self) -> int:
        """How many there are in all nodes."""
        return sum(node.stop - node.start for node in self.nodes())


class _Builder:
    def __init__(self, sequences: Sequence[Ids], least: float, most: int) -> None:
        self._least, self._most = least, most
        keys = [sequence.astype(">i4").tobytes() for sequence in sequences]
        firsts = {key: place for place, key in reversed([*enumerate(keys)])}
        self._same = [firsts[key] for key in keys]  # equal sequences are one
        self._order = sorted(set(self._same), key=keys.__getitem__)
        self._lengths = [len(sequences[index]) for index in self._order]
        ordered = [sequences[index] for index in self._order]
        self._shared = np.array([common(*pair) for pair in pairwise(ordered)], dtype=np.int64)
        self.roots: list[Node] = []
        self._ends: dict[int, Node] = {}

    def build(self) -> Trie:
        """Divide the sorted sequences where they part, again and again."""
        waiting: list[tuple[int, int, int, Node | None]] = [(0, len(self._order), 0, None)] if self._order else []
        while waiting:
            first, last, depth, parent = waiting.pop()
            if last - first == 1:
                self._ends[self._order[first]] = self._add(first, depth, self._lengths[first], parent)
                continue
            shared = self._shared[first : last - 1]
            parted = int(shared.min())
            if (parted - depth) * (last - first - 1) >= self._least:
                parent, depth = self._add(first, depth, parted, parent), parted
            cuts = [first, *(np.flatnonzero(shared == parted) + first + 1).tolist(), last]
            waiting += [(*pair, depth, parent) for pair in pairwise(cuts)][::-1]
        return Trie(self.roots, [self._ends[place] for place in self._same])

    def _add(self, place: int, start: int, stop: int, parent: Node | None) -> Node:
        """A node, or a chain of them where it would be too long, or the parent where nothing follows it."""
        if start == stop and parent:
            return parent
        while True:
            node = Node(self._order[place], start, min(stop, start + self._most), parent)
            (parent.children if parent else self.roots).append(node)
            if node.stop == stop:
                return node
            parent, start = node, node.stop


def build(sequences: Sequence[Ids], least: float, most: int) -> Trie:
    """The tree of these sequences, none of them empty.

    A beginning gets a node of its own only where that saves at least `least` tokens, and no node is longer than `most`.
    """
    return _Builder(sequences, least, most).build()


def common(one: Ids, other: Ids) -> int:
    """With how many tokens both begin."""
    length = min(len(one), len(other))
    differing = np.flatnonzero(one[:length] != other[:length])
    return int(differing[0]) if len(differing) else length
