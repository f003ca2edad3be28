"""The exercise of 03: f_agg, the mean over N_p (eq. 2)."""

from torch.nn.functional import avg_pool2d, max_pool2d, pad

from patchcore_edu.aggregation import aggregate
from patchcore_edu.checks.machinery.answers import tensors
from patchcore_edu.checks.machinery.cases import counted, generated
from patchcore_edu.checks.machinery.exercise import Exercise


def _box(phi_j, p, **options):
    return avg_pool2d(phi_j, 2 * (p // 2) + 1, stride=1, **options)


def _padded(phi_j, p, mode):
    return _box(pad(phi_j, [p // 2] * 4, mode=mode), p)


def _cells(p):
    """How many cells N_p has."""
    return (2 * (p // 2) + 1) ** 2


AGGREGATE = Exercise(
    "03_aggregation",
    "aggregate(phi_j, p) → tensor (n, c, h*, w*)",
    "Eq. (2): at every place of phi_j (n, c, h*, w*), the mean over the cells of N_p, each channel by itself. A cell "
    "past the border counts as 0.",
    aggregate,
    {
        "two channels of 3 × 4 cells": (counted(1, 2, 3, 4) ** 2, 3),
        "p = 1": (generated(1, 1, 2, 3, 4), 1),
        "p = 5, two images": (generated(2, 2, 3, 6, 7), 5),
        "even p": (generated(3, 1, 2, 5, 6), 2),
        "even p, as large as the map": (generated(4, 2, 2, 4, 4), 4),
    },
    {
        "cells past the border not counted": (
            "A cell past the border counts as 0, in a corner too. Divide by how many cells?",
            lambda phi_j, p: aggregate(phi_j, p, border="clip"),
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
            lambda phi_j, p: avg_pool2d(phi_j, 2 * p + 1, stride=1, padding=p),
            lambda phi_j, p: avg_pool2d(phi_j, 2 * p + 1, stride=1, padding=p, count_include_pad=False),
        ),
        "windows side by side": (
            "Every place has its own N_p, so windows overlap. What is the default stride of a pooling layer?",
            lambda phi_j, p: avg_pool2d(phi_j, p),
            lambda phi_j, p: avg_pool2d(phi_j, p, padding=p // 2),
            lambda phi_j, p: avg_pool2d(phi_j, p, padding=p // 2, count_include_pad=False),
        ),
        "places at the border left out": (
            "The result has as many places as phi_j.",
            lambda phi_j, p: aggregate(phi_j, p, border="valid"),
        ),
        "cells past the border made up": (
            "Past the border there are no copies of cells: everything there counts as 0.",
            lambda phi_j, p: _padded(phi_j, p, "replicate"),
            lambda phi_j, p: _padded(phi_j, p, "reflect"),
            lambda phi_j, p: _padded(phi_j, p, "circular"),
        ),
        "sum instead of mean": (
            "An average of equal numbers is that number. Is yours?",
            lambda phi_j, p: aggregate(phi_j, p) * _cells(p),
        ),
        "maximum instead of mean": (
            "f_agg smooths. What does one outlier do to yours?",
            lambda phi_j, p: max_pool2d(phi_j, 2 * (p // 2) + 1, stride=1, padding=p // 2),
        ),
        "(h, w) itself left out": (
            "Is (h, w) itself one of the cells of N_p^(h,w)?",
            lambda phi_j, p: (aggregate(phi_j, p) * _cells(p) - phi_j) / (_cells(p) - 1),
        ),
        "p cells across for an even p": (
            "Eq. (1), read literally: N_2 = N_3.",
            lambda phi_j, p: _even(phi_j, p, p // 2),
            lambda phi_j, p: _even(phi_j, p, (p - 1) // 2),
            lambda phi_j, p: avg_pool2d(phi_j, p, 1, p // 2),
        ),
    },
    tensors("map"),
)


def _even(phi_j, p, before):
    """Means over p × p windows that begin `before` cells before the place."""
    return avg_pool2d(pad(phi_j, [before, p - 1 - before] * 2), p, stride=1)
