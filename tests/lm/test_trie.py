"""The tree of what sequences begin with, against all of their beginnings."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steerx_cli.lm.rows import Ids
from steerx_cli.lm.trie import Node, Trie, build, common

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=12)


def ids(*lists: list[int]) -> list[Ids]:
    return [np.array(some, np.int32) for some in lists]


def spelled(trie: Trie, sequences: list[Ids], place: int) -> list[int]:
    """What stands on the way to the node in which a sequence ends."""
    return [
        int(token) for node in trie.ends[place].path() for token in sequences[node.sequence][node.start : node.stop]
    ]


@given(SEQUENCES, st.integers(1, 9), st.integers(1, 9))
def test_the_way_to_every_end_spells_its_sequence(lists: list[list[int]], least: int, most: int) -> None:
    sequences = ids(*lists)
    trie = build(sequences, least, most)
    for place, tokens in enumerate(lists):
        assert spelled(trie, sequences, place)[: len(tokens)] == tokens
        assert trie.ends[place].stop == len(tokens)


@given(SEQUENCES, st.integers(1, 9))
def test_where_everything_is_shared_every_beginning_stands_once(lists: list[list[int]], most: int) -> None:
    beginnings = {tuple(tokens[:length]) for tokens in lists for length in range(1, len(tokens) + 1)}
    assert build(ids(*lists), 1, most).tokens == len(beginnings)


@given(SEQUENCES)
def test_where_nothing_is_shared_every_sequence_is_a_node(lists: list[list[int]]) -> None:
    trie, distinct = build(ids(*lists), np.inf, 100), {tuple(tokens) for tokens in lists}
    assert trie.tokens == sum(map(len, distinct))
    assert len(trie.roots) == len(distinct)
    assert len(trie.ends) == len(lists)


@given(SEQUENCES, st.integers(1, 9), st.integers(1, 9))
def test_a_node_is_worth_it_and_not_too_long(lists: list[list[int]], least: int, most: int) -> None:
    before: list[Node] = []
    for node in build(ids(*lists), least, most).nodes():
        assert 0 < node.stop - node.start <= most
        assert node.parent is None or node.parent in before
        assert node.start == (node.parent.stop if node.parent else 0)
        before.append(node)
    saved = sum(map(len, {tuple(tokens) for tokens in lists})) - sum(node.stop - node.start for node in before)
    several = [node for node in before if len(node.children) > 1]
    assert saved >= least * bool(several)


def test_a_beginning_that_saves_too_little_is_not_shared() -> None:
    sequences = ids([1, 2, 3, 4], [1, 2, 3, 5], [1, 9])
    assert build(sequences, 2, 99).tokens == 1 + 2 + 1 + 1 + 1  # all of it: the first saves 2 tokens, the second 2
    assert build(sequences, 3, 99).tokens == 3 + 1 + 1 + 2  # the three that two of them share, from the beginning on
    assert build(sequences, 4, 99).tokens == 4 + 4 + 2


def test_no_sequences_make_an_empty_tree() -> None:
    assert build([], 1, 1) == Trie([], [])


def test_common_counts_the_tokens_at_the_beginning() -> None:
    one, other, shorter = ids([1, 2, 3], [1, 2, 4], [1, 2])
    assert (common(one, other), common(one, shorter), common(one, one), common(one, ids([5])[0])) == (2, 2, 3, 0)


def test_a_tree_may_be_as_deep_as_there_are_sequences() -> None:
    longest = np.arange(4000, dtype=np.int32)
    trie = build([longest[:length] for length in range(2, 4001, 2)], 1, 99)
    assert trie.tokens == 4000
    assert [len(trie.ends[place].path()) for place in (0, 1999)] == [1, 2000]
    assert len(build([longest], 1, 2).ends[0].path()) == 2000
