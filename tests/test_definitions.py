"""The definitions against results worked by hand. The rest of the package is tested against the definitions."""

from math import exp, sqrt

import pytest

from patchcore_edu import definitions

MAP = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], [[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]]
M = [(0.0, 0.0), (1.0, 0.0), (4.0, 0.0), (4.0, 3.0)]


def test_eq_1():
    assert definitions.neighbourhood(5, 7, 1) == [(5, 7)]
    assert definitions.neighbourhood(0, 0, 3) == [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    assert definitions.neighbourhood(2, 0, 3, shape=(3, 3)) == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_eq_2():
    assert definitions.feature_vector(MAP, 0, 2) == [3, 0]
    assert definitions.aggregate(MAP, 1, 1, p=3) == [5, 1]
    assert definitions.aggregate(MAP, 0, 0, p=3) == [(1 + 2 + 4 + 5) / 9, 9 / 9]


def test_eq_3():
    assert definitions.patch_set(MAP, p=1, s=2) == [[1, 0], [3, 0], [7, 0], [9, 0]]
    assert len(definitions.patch_set(MAP, p=3, s=1)) == 9


def test_merge():
    # The centres of 4 cells are at 1/8, 3/8, 5/8 and 7/8 of the width, those of 2 cells at 1/4 and 3/4.
    assert definitions.rescale([[0.0, 8.0]], (1, 4)) == [[0, 2, 6, 8]]
    assert definitions.rescale([[0.0, 8.0]], (3, 1)) == [[4], [4], [4]]
    assert definitions.merge([[[1.0, 2.0]]], [[[7.0]]]) == [[[1, 2]], [[7, 7]]]


def test_eq_4():
    assert definitions.memory_bank([[[1.0], [2.0]], [[1.0]]]) == [[1], [2], [1]]


def test_eq_5():
    assert definitions.covering_radius(M, M[:1]) == 5
    assert definitions.covering_radius(M, M[1:3]) == 3
    assert definitions.optimal_coreset(M, 2) == (M[0], M[2])  # radius 3; the first of several such sets
    assert definitions.greedy_coreset(M, 4, start=0) == [0, 3, 2, 1]


def test_eqs_6_and_7():
    P = [(0.0, 1.0), (4.0, -2.0)]
    assert definitions.nearest_entry(P[1], M) == (4, 0)
    assert definitions.max_patch_score(P, M) == ((4, -2), (4, 0), 2)
    assert definitions.image_score(P, M, b=1) == 2
    # The two entries nearest to m* = (4, 0) are m* and (1, 0), at 2 and √(3² + 2²) from the test patch.
    assert definitions.image_score(P, M, b=2) == pytest.approx((1 - exp(2) / (exp(2) + exp(sqrt(13)))) * 2)
