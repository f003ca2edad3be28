"""The exercise of 02: the neighbourhood N_p (eq. 1)."""

from random import Random

from patchcore_edu.checks.machinery.answers import cells
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.neighbourhood import neighbourhood


def _square(h, w, shape, rows, columns=None):
    """The cells at these offsets from (h, w) that lie inside a map of `shape`."""
    pairs = [(h + a, w + b) for a in rows for b in (rows if columns is None else columns)]
    return [(a, b) for a, b in pairs if 0 <= a < shape[0] and 0 <= b < shape[1]]


def _offsets(p):
    return range(-(p // 2), p // 2 + 1)


def _place(seed):
    """Arguments of a random place in a random map."""
    random = Random(seed)
    shape = random.randint(7, 12), random.randint(7, 12)
    return random.randrange(shape[0]), random.randrange(shape[1]), random.randint(1, 6), shape


NEIGHBOURHOOD = Exercise(
    "02_neighbourhood",
    "neighbourhood(h, w, p, shape) → list of (a, b)",
    "Eq. (1): the cells of N_p^(h,w) that lie inside a map of shape (h*, w*), in any order. An even p is read "
    "literally.",
    neighbourhood,
    {
        "inside the map": (2, 4, 3, (8, 9)),
        "p = 1": (2, 4, 1, (8, 9)),
        "the first corner": (0, 0, 3, (4, 6)),
        "the last corner": (3, 5, 3, (4, 6)),
        "at an edge, p = 5": (0, 3, 5, (6, 7)),
        "even p": (3, 4, 2, (8, 9)),
        "p = 7, a wide map": (2, 9, 7, (7, 12)),
        "p = 4, a tall map": (9, 1, 4, (11, 5)),
        "generated 1": _place(1),
        "generated 2": _place(2),
        "generated 3": _place(3),
    },
    {
        "p taken as a radius": (
            "p counts all cells across. How many lie on each side?",
            lambda h, w, p, shape: _square(h, w, shape, range(-p, p + 1)),
        ),
        "(h, w) swapped": (
            "a goes with the row h, b with the column w.",
            lambda h, w, p, shape: [(a, b) for b, a in _square(h, w, shape[::-1], _offsets(p))],
            lambda h, w, p, shape: _square(w, h, shape, _offsets(p)),
        ),
        "shape swapped": (
            "shape is (h*, w*): which of the two limits the rows?",
            lambda h, w, p, shape: _square(h, w, shape[::-1], _offsets(p)),
        ),
        "the last row and column missing": (
            "The interval in eq. (1) includes both its ends. Does range?",
            lambda h, w, p, shape: _square(h, w, shape, _offsets(p)[:-1]),
        ),
        "(h, w) itself left out": (
            "Is (h, w) at most ⌊p/2⌋ cells away from itself?",
            lambda h, w, p, shape: [cell for cell in _square(h, w, shape, _offsets(p)) if cell != (h, w)],
        ),
        "a diamond or a disc": (
            "The row and the column are limited separately, not their sum or the distance.",
            lambda h, w, p, shape: [
                (a, b) for a, b in neighbourhood(h, w, p, shape) if abs(a - h) + abs(b - w) <= p // 2
            ],
            lambda h, w, p, shape: [
                (a, b) for a, b in neighbourhood(h, w, p, shape) if (a - h) ** 2 + (b - w) ** 2 <= (p // 2) ** 2
            ],
        ),
        "cells outside the map": (
            "The first row is 0, and the last is h* − 1.",
            lambda h, w, p, shape: neighbourhood(h, w, p),
            lambda h, w, p, shape: neighbourhood(h, w, p, (shape[0] + 1, shape[1] + 1)),
        ),
        "wrapped around the border": (
            "Left of the first column there is nothing, not the last column.",
            lambda h, w, p, shape: [(a % shape[0], b % shape[1]) for a, b in neighbourhood(h, w, p)],
        ),
        "pushed back at the border": (
            "Cells outside the map are left out. What does clamping a and b to the map do to them?",
            lambda h, w, p, shape: [
                (min(max(a, 0), shape[0] - 1), min(max(b, 0), shape[1] - 1)) for a, b in neighbourhood(h, w, p)
            ],
        ),
        "p cells across for an even p": (
            "Put p = 2 into eq. (1): which a lie from h − ⌊p/2⌋ to h + ⌊p/2⌋?",
            lambda h, w, p, shape: _square(h, w, shape, range(-(p // 2), p - p // 2)),
            lambda h, w, p, shape: _square(h, w, shape, range(-((p - 1) // 2), p // 2 + 1)),
        ),
    },
    cells,
)
