"""The exercises on a place, its neighbourhood and their mean (§3.1, eqs. 1 and 2)."""

from random import Random

import torch
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from patchcore_edu.aggregation import aggregate
from patchcore_edu.checks.answers import cells, tensors
from patchcore_edu.checks.cases import counted, generated
from patchcore_edu.checks.exercise import Exercise
from patchcore_edu.feature_map import feature_vector
from patchcore_edu.neighbourhood import neighbourhood

FEATURE_VECTOR = Exercise(
    "01_feature_map",
    "feature_vector(phi_j, h, w) → tensor (n, c)",
    "§3.1: φ_{i,j}(h, w), the vector at row h and column w (0-based) of the maps phi_j (n, c, h*, w*).",
    feature_vector,
    {
        "row 0, column 1": (counted(1, 2, 2, 3), 0, 1),
        "the last row and column": (counted(1, 2, 2, 3), 1, 2),
        "three images": (generated(0, 3, 4, 5, 6), 4, 2),
    },
    {
        "(h, w) swapped": ("Which axis of (n, c, h*, w*) is the row?", lambda phi_j, h, w: phi_j[:, :, w, h]),
        "one channel only": ("A place has one number in each channel.", lambda phi_j, h, w: phi_j[:, 0, h, w]),
        "first image only": ("phi_j holds n images. Keep their axis.", lambda phi_j, h, w: phi_j[0, :, h, w]),
        "counted from 1": ("The first row is h = 0.", lambda phi_j, h, w: phi_j[:, :, h - 1, w - 1]),
        "channels taken for the last axis": (
            "The axes of phi_j are (n, c, h*, w*).",
            lambda phi_j, h, w: phi_j[:, h, w, :],
        ),
    },
    tensors("vector"),
)


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
            "The interval in eq. (1) contains both its ends. Does range?",
            lambda h, w, p, shape: _square(h, w, shape, _offsets(p)[:-1]),
        ),
        "(h, w) itself left out": (
            "Is (h, w) at most ⌊p/2⌋ cells away from itself?",
            lambda h, w, p, shape: [cell for cell in _square(h, w, shape, _offsets(p)) if cell != (h, w)],
        ),
        "a diamond or a disc": (
            "Rows and columns are limited one by one, not their sum or their distance.",
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
            "The cell beside the first column is not in the last one.",
            lambda h, w, p, shape: [(a % shape[0], b % shape[1]) for a, b in neighbourhood(h, w, p)],
        ),
        "pushed back at the border": (
            "Cells outside the map are left out. What does limiting a and b to the map do to them?",
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


def _box(phi_j, p, **options):
    return avg_pool2d(phi_j, 2 * (p // 2) + 1, stride=1, **options)


def _padded(phi_j, p, mode):
    return _box(pad(phi_j, [p // 2] * 4, mode=mode), p)


def _members(phi_j, p):
    """(1, 1, h*, w*): how many cells N_p has at each place."""
    return aggregate(torch.ones_like(phi_j[:1, :1]), p, border="zero") * (2 * (p // 2) + 1) ** 2


AGGREGATE = Exercise(
    "03_aggregation",
    "aggregate(phi_j, p) → tensor (n, c, h*, w*)",
    "Eq. (2): at every place of phi_j (n, c, h*, w*) the mean over the cells of N_p that exist, each channel alone.",
    aggregate,
    {
        "two channels of 3 × 4 cells": (counted(1, 2, 3, 4) ** 2, 3),
        "p = 1": (generated(1, 1, 2, 3, 4), 1),
        "p = 5, two images": (generated(2, 2, 3, 6, 7), 5),
        "even p": (generated(3, 1, 2, 5, 6), 2),
        "even p, as large as the map": (generated(4, 2, 2, 4, 4), 4),
    },
    {
        "zeros counted at the border": (
            "How many cells does N_p have in a corner? Divide by that many.",
            lambda phi_j, p: aggregate(phi_j, p, border="zero"),
        ),
        "pooled over channels": (
            "Each channel keeps its own mean.",
            lambda phi_j, p: aggregate(phi_j.mean(1, keepdim=True), p),
            lambda phi_j, p: aggregate(phi_j.mean(1, keepdim=True).expand_as(phi_j), p),
            lambda phi_j, p: aggregate(phi_j, p).mean(1),
            lambda phi_j, p: phi_j.mean(1, keepdim=True),
            lambda phi_j, p: phi_j.mean(1, keepdim=True).expand_as(phi_j),
        ),
        "p taken as a radius": (
            "p counts all cells across. How many lie on each side?",
            lambda phi_j, p: avg_pool2d(phi_j, 2 * p + 1, stride=1, padding=p, count_include_pad=False),
        ),
        "windows side by side": (
            "Every place has its own N_p, so windows overlap. What is the default stride of a pooling?",
            lambda phi_j, p: avg_pool2d(phi_j, p),
            lambda phi_j, p: avg_pool2d(phi_j, p, padding=p // 2),
            lambda phi_j, p: avg_pool2d(phi_j, p, padding=p // 2, count_include_pad=False),
        ),
        "places at the border left out": (
            "The result has as many places as phi_j.",
            lambda phi_j, p: aggregate(phi_j, p, border="valid"),
        ),
        "cells past the border made up": (
            "Cells outside the map do not exist; a copy of a cell is no substitute.",
            lambda phi_j, p: _padded(phi_j, p, "replicate"),
            lambda phi_j, p: _padded(phi_j, p, "reflect"),
            lambda phi_j, p: _padded(phi_j, p, "circular"),
        ),
        "sum instead of mean": (
            "A place with more neighbours must not get larger numbers.",
            lambda phi_j, p: aggregate(phi_j, p) * _members(phi_j, p),
        ),
        "maximum instead of mean": (
            "f_agg smooths. What does one outlier do to yours?",
            lambda phi_j, p: max_pool2d(phi_j, 2 * (p // 2) + 1, stride=1, padding=p // 2),
        ),
        "(h, w) itself left out": (
            "Is (h, w) a member of N_p^(h,w)?",
            lambda phi_j, p: (aggregate(phi_j, p) * _members(phi_j, p) - phi_j) / (_members(phi_j, p) - 1),
        ),
        "p cells across for an even p": (
            "Eq. (1), read literally: N_2 = N_3.",
            lambda phi_j, p: _even(phi_j, p, p // 2),
            lambda phi_j, p: _even(phi_j, p, (p - 1) // 2),
            lambda phi_j, p: avg_pool2d(phi_j, p, 1, p // 2, count_include_pad=False),
        ),
    },
    tensors("map"),
)


def _even(phi_j, p, before):
    """Means over p × p windows that begin `before` cells before the place."""
    around = [before, p - 1 - before] * 2
    return avg_pool2d(pad(phi_j, around), p, stride=1) / avg_pool2d(pad(torch.ones_like(phi_j), around), p, stride=1)
