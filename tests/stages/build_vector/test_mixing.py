"""How the parts of a vector become the vector: arithmetic alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scorers import Row, vector
from steerx_cli.core.job import table_of
from steerx_cli.core.schemas import VECTORS
from steerx_cli.stages.build_vector.mixing import Parts, closest, columns_of, cosine, mixed, remixed
from steerx_cli.stages.build_vector.settings import Mix

RIGHT, UP, ZERO = (np.array(some, np.float64) for some in ([2, 0], [0, 4], [0, 0]))
STREAM = np.array([3.0, 4.0])


def drawn(seed: int, described: bool = True) -> Parts:
    """Numbers that float32 does not hold."""
    draw = np.random.default_rng(seed)
    histories, descriptions, neutral = draw.standard_normal((3, 16)) * 7
    return Parts(histories, descriptions if described else None, neutral)


# --- one vector -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gamma1", "expected"), [(0.0, [0, 4]), (0.25, [0.5, 3]), (1.0, [2, 0]), (2.0, [4, -4]), (-1.0, [-2, 8])]
)
def test_gamma1_weighs_histories_against_descriptions(gamma1: float, expected: list[float]) -> None:
    assert mixed(Parts(RIGHT, UP, STREAM), Mix(gamma1)).tolist() == expected


@pytest.mark.parametrize("gamma1", [0.0, 0.3, 1.0, 5.0])
def test_without_descriptions_it_is_the_histories_whatever_gamma1_is(gamma1: float) -> None:
    assert mixed(Parts(RIGHT, None, STREAM), Mix(gamma1)).tolist() == RIGHT.tolist()


def test_of_length_1_it_points_where_it_did() -> None:
    parts = drawn(0)
    one, whole = mixed(parts, Mix(0.4, normalize=True)), mixed(parts, Mix(0.4))
    assert np.linalg.norm(one) == pytest.approx(1)
    np.testing.assert_allclose(one * np.linalg.norm(whole), whole)
    assert mixed(Parts(RIGHT, None, STREAM), Mix(1.0, normalize=True)).tolist() == [1, 0]


def test_what_has_no_length_is_left_as_it_is() -> None:
    assert mixed(Parts(ZERO, None, STREAM), Mix(1.0, normalize=True)).tolist() == [0, 0]
    assert mixed(Parts(RIGHT, -RIGHT, STREAM), Mix(0.5, normalize=True)).tolist() == [0, 0]


# --- directions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (RIGHT, 9 * RIGHT, 1.0),
        (RIGHT, -RIGHT, -1.0),
        (RIGHT, UP, 0.0),
        (RIGHT, STREAM, 0.6),
        (STREAM, UP, 0.8),
        (ZERO, UP, 0.0),
        (UP, ZERO, 0.0),
    ],
)
def test_a_cosine_is_that_of_the_angle(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    expected: float,
) -> None:
    assert cosine(one, other) == pytest.approx(expected)


HISTORIES = np.array([[0, 5], [1, 1], [-1, 0], [0, 0], [7, 0.1], [2, 2]], np.float64)


@pytest.mark.parametrize(
    ("most", "kept"), [(1, [4]), (2, [1, 4]), (3, [1, 4, 5]), (4, [0, 1, 4, 5]), (5, [0, 1, 3, 4, 5]), (9, [*range(6)])]
)
def test_the_closest_point_where_it_is_pointed_to_however_long_they_are(most: int, kept: list[int]) -> None:
    """In their own order; of those that point alike the first goes first; what points nowhere is at right angles."""
    for towards in (RIGHT, 0.001 * RIGHT):
        assert closest(HISTORIES, towards, most) == kept


def test_where_nothing_is_pointed_to_the_first_are_kept() -> None:
    assert closest(HISTORIES, ZERO, 2) == [0, 1]


# --- a row's columns --------------------------------------------------------------------------------------------------


def test_columns_tell_of_the_vector_and_of_the_stream_it_is_added_to() -> None:
    columns = columns_of(Parts(RIGHT, UP, STREAM), Mix(0.5))
    assert {name: np.asarray(value).tolist() for name, value in columns.items()} == {
        "vector": [1, 2],
        "from_histories": [2, 0],
        "from_descriptions": [0, 4],
        "neutral": [3, 4],
        "basis": "steerx",
        "norm": pytest.approx(5**0.5),
        "cosine": pytest.approx(11 / 5 / 5**0.5),
    }
    short = columns_of(Parts(RIGHT, UP, STREAM), Mix(0.5, normalize=True))
    assert short["norm"] == pytest.approx(1)
    assert short["cosine"] == pytest.approx(columns["cosine"])
    assert short["from_histories"].tolist() == [2, 0], "the parts stay as they are"


@pytest.mark.parametrize(
    ("described", "gamma1", "basis"),
    [(True, 0.4, "steerx"), (True, 1.0, "cas"), (False, 0.4, "cas"), (False, 1.0, "cas"), (True, 0.0, "steerx")],
)
def test_a_vector_of_histories_alone_is_called_cas(described: bool, gamma1: float, basis: str) -> None:
    columns = columns_of(drawn(1, described), Mix(gamma1))
    assert columns["basis"] == basis
    assert (columns["from_descriptions"] is not None) == described


def test_a_vector_is_mixed_from_what_is_stored() -> None:
    """In float64, of parts in float32."""
    for seed in range(50):
        columns = columns_of(drawn(seed), Mix(0.3))
        histories, descriptions = (columns[name].astype(np.float64) for name in ("from_histories", "from_descriptions"))
        assert columns["vector"].dtype == columns["neutral"].dtype == np.float32
        assert columns["vector"].tolist() == (0.3 * histories + 0.7 * descriptions).astype(np.float32).tolist()


# --- mixed again ------------------------------------------------------------------------------------------------------


def row_of(parts: Parts, mix: Mix) -> Row:
    return vector("a", "q", 2, []) | {"stream_norm": 2.5} | columns_of(parts, mix)


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("mix", [Mix(0.7), Mix(1.0), Mix(-2.0, normalize=True)])
def test_mixed_again_they_are_what_they_would_have_been(mix: Mix, described: bool) -> None:
    for seed in range(100):
        parts = drawn(seed, described)
        stored, true = (table_of(VECTORS, [row_of(parts, how)]) for how in (Mix(0.4), mix))
        found, counts = remixed({"vectors": stored}, mix)
        assert found.equals(true)
        assert counts == {}


def test_a_vector_of_nothing_stays_one() -> None:
    nothing = table_of(VECTORS, [vector("a", "q", 2, None), row_of(drawn(0), Mix(0.4)), vector("b", "q", 2, None)])
    found, _ = remixed({"vectors": nothing}, Mix(0.9))
    assert found[[0, 2]].equals(nothing[[0, 2]])
    assert not found[1].equals(nothing[1])
