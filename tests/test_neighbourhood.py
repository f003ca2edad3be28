"""Eq. (1): the neighbourhood N_p."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchcore_edu import definitions, neighbourhood

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def places(shape):
    return [(h, w) for h in range(shape[0]) for w in range(shape[1])]


@pytest.mark.parametrize(
    "h, w, p, count",
    [(0, 0, 3, 4), (4, 6, 3, 4), (0, 3, 3, 6), (2, 6, 3, 6), (2, 3, 3, 9), (0, 0, 5, 9), (1, 3, 5, 20), (2, 3, 5, 25)],
)
def test_how_many_cells_in_corners_at_edges_and_inside(h, w, p, count):
    assert len(neighbourhood(h, w, p, shape=(5, 7))) == count


@given(shapes, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9))
def test_equals_the_definition(shape, h, w, p):
    assert neighbourhood(h, w, p) == definitions.neighbourhood(h, w, p)
    if p <= min(shape):
        for h, w in places(shape):
            assert neighbourhood(h, w, p, shape) == definitions.neighbourhood(h, w, p, shape)


@pytest.mark.parametrize("r", range(1, 5))
def test_an_even_p_reaches_as_far_as_the_next_odd_one(r):
    assert neighbourhood(5, 5, 2 * r) == neighbourhood(5, 5, 2 * r + 1)
    assert len(neighbourhood(5, 5, 2 * r)) == (2 * r + 1) ** 2


@given(shapes, st.integers(1, 9))
def test_neighbours_are_mutual(shape, p):
    if p <= min(shape):
        of = {place: neighbourhood(*place, p, shape) for place in places(shape)}
        assert all(place in of[cell] for place in of for cell in of[place])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 0, 0), "p was 0; it must be a whole number from 1 to 1001"),
        ((0, 0, 10**9), "p was 1000000000; it must be a whole number from 1 to 1001"),
        ((0, 0, 1.5), "p was 1.5; it must be a whole number from 1 to 1001"),
        ((0, 0, 4, (5, 3)), "p was 4; it must be a whole number from 1 to 3"),
        ((5, 0, 3, (5, 3)), "h was 5; it must be a whole number from 0 to 4"),
        ((0, -1, 3, (5, 3)), "w was -1; it must be a whole number from 0 to 2"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError) as error:
        neighbourhood(*arguments)
    assert str(error.value) == message
