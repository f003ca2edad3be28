"""The exercises of 07: nearest neighbours, the weight w, the image score s (eqs. 6 and 7)."""

import math

import torch

from patchcore_edu.anomaly_score import image_score, reweighting_factor
from patchcore_edu.checks.machinery.answers import tensors
from patchcore_edu.checks.machinery.cases import counted, generated, line
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.nearest_neighbours import nearest_neighbours


def _column(answer, *arguments):
    """Both tensors; the package returns k columns, so one column counts as none."""
    value = tensors("distance", "index")(answer)
    return {name: part[:, 0] if part.ndim == 2 and part.shape[1] == 1 else part for name, part in value.items()}


NEAREST_NEIGHBOURS = Exercise(
    "07_anomaly_score",
    "nearest_neighbours(queries, vectors) → distance (q,), index (q,)",
    "Eq. (6), inner argmin: for each query (q, d), the Euclidean distance to the nearest row of vectors (N, d), and "
    "that row's number.",
    nearest_neighbours,
    {
        "two queries in a plane": (torch.tensor([[0.0, 3.0], [4.0, 7.0]]), torch.tensor([[3.0, 7], [0, 1], [9, 9]])),
        "entries of the bank": (line(5, 3, 0), line(0, 3, 5, 9)),
        "four numbers each": (generated(24, 3, 4), generated(25, 12, 4)),
        "more queries than rows": (10 * generated(26, 20, 6), 10 * generated(27, 7, 6)),
    },
    {
        "squared distance": ("‖q − v‖₂ has a root.", lambda q, v: torch.cdist(q, v).square().min(1)),
        "sum of absolute differences": (
            "‖·‖₂ squares the differences before it adds them.",
            lambda q, v: torch.cdist(q, v, p=1).min(1),
        ),
        "mean over the dimensions": (
            "‖·‖₂ adds up the squares. Where would a division come from?",
            lambda q, v: (torch.cdist(q, v) / v.shape[1] ** 0.5).min(1),
            lambda q, v: (torch.cdist(q, v).square() / v.shape[1]).min(1),
        ),
        "farthest instead of nearest": ("A good patch resembles one row of M.", lambda q, v: torch.cdist(q, v).max(1)),
        "argmax beside min": (
            "Distance and index must belong to the same row.",
            lambda q, v: (torch.cdist(q, v).amin(1), torch.cdist(q, v).argmax(1)),
        ),
        "largest scalar product": (
            "A long vector has large products with many others. Here, distances decide.",
            lambda q, v: (torch.cdist(q, v).gather(1, (q @ v.T).argmax(1)[:, None])[:, 0], (q @ v.T).argmax(1)),
            lambda q, v: (q @ v.T).max(1),
        ),
        "nearest query of each row": (
            "For each query, look at all rows of vectors: which axis of the distances is that?",
            lambda q, v: torch.cdist(q, v).min(0),
        ),
        "distance and index exchanged": (
            "The distance comes first.",
            lambda q, v: tuple(torch.cdist(q, v).min(1))[::-1],
        ),
        "all distances": (
            "Each query keeps one of its N distances.",
            lambda q, v: torch.cdist(q, v),
        ),
    },
    _column,
)


def _factor(m_test, m_star, vectors, b):
    nearest = torch.cdist(m_star[None], vectors).argmin(1)
    return reweighting_factor(m_test[None], nearest, vectors, b)[0]


def _around(centre, vectors, first, last):
    """The rows from the `first`-th to before the `last`-th nearest to `centre`."""
    return vectors[torch.cdist(centre[None], vectors)[0].argsort(stable=True)[first:last]]


def _share(m_test, m_star, entries, change=lambda d: d, numerator=None):
    """exp of a distance, as a share of the sum over `entries`."""
    top = change(torch.dist(m_test, m_star)) if numerator is None else numerator
    return torch.exp(top - change(torch.cdist(m_test[None], entries)[0]).logsumexp(0))


def _naive(m_test, m_star, vectors, b):
    if b == 1:
        return 1.0
    distances = torch.cdist(m_test[None], _around(m_star, vectors, 0, b))[0]
    return 1 - torch.exp(torch.dist(m_test, m_star)) / torch.exp(distances).sum()


def _naive_floats(m_test, m_star, vectors, b):
    if b == 1:
        return 1.0
    distances = torch.cdist(m_test[None], _around(m_star, vectors, 0, b))[0].tolist()
    return 1 - math.exp(math.dist(m_test.tolist(), m_star.tolist())) / sum(map(math.exp, distances))


# {name: (hint, wrong w, …)}: mistakes in w spoil the score too, so both exercises on eq. (7) know them.
WRONG_FACTORS = {
    "N_b of the test patch": (
        "In N_b(m*), what is in the brackets?",
        lambda t, m, v, b: 1 - _share(t, m, _around(t, v, 0, b)),
    ),
    "m* left out of N_b": (
        "Which entry of M is nearest to m*?",
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, 1, b + 1)),
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, 1, b)),
    ),
    "all of M instead of N_b": ("The sum has b terms.", lambda t, m, v, b: 1 - _share(t, m, v)),
    "1 − forgotten": ("What is subtracted from what?", lambda t, m, v, b: _share(t, m, _around(m, v, 0, b))),
    "1 + instead of 1 −": (
        "Eq. (7) never raises the score.",
        lambda t, m, v, b: 1 + _share(t, m, _around(m, v, 0, b)),
    ),
    "distances from m*": (
        "Every exponent in eq. (7) is a distance from the same patch. Which one?",
        lambda t, m, v, b: 1 - _share(m, m, _around(m, v, 0, b), numerator=torch.dist(t, m)),
        lambda t, m, v, b: 1 - _share(m, m, _around(m, v, 0, b)),
    ),
    "squared distance in the exponent": (
        "The exponents are distances, with the root.",
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, 0, b), torch.square),
    ),
    "minus in the exponent": (
        "Look at the sign in exp(…): far entries weigh most in the sum.",
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, 0, b), torch.neg),
    ),
    "exp left out": (
        "Eq. (7) divides exponentials, not distances.",
        lambda t, m, v, b: 1 - torch.dist(t, m) / torch.cdist(t[None], _around(m, v, 0, b)).sum(),
    ),
    "exponents divided by √d": (
        "Some codes do that. Eq. (7) does not.",
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, 0, b), lambda d: d / v.shape[1] ** 0.5),
    ),
    "farthest entry in the numerator": (
        "Whose distance is in the numerator: that of m*, or the largest?",
        lambda t, m, v, b: (
            1 - _share(t, m, _around(m, v, 0, b), numerator=torch.cdist(t[None], _around(m, v, 0, b)).max())
        ),
    ),
    "farthest entries instead of nearest": (
        "N_b holds the nearest entries.",
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, len(v) - b, len(v))),
    ),
    "exp overflows": (
        "exp(1000) is too large for any float. By what can numerator and denominator be divided first?",
        _naive,
        _naive_floats,
    ),
    "b = 1 gives 0": (
        "Read literally, b = 1 makes every image score 0. Here it means: no re-weighting.",
        lambda t, m, v, b: 1 - _share(t, m, _around(m, v, 0, b)),
    ),
}

FIVE = line(1, -1.5, 2, 2.3, 9)  # from 0, the nearest three are not those nearest to 1

REWEIGHTING_FACTOR = Exercise(
    "07_anomaly_score",
    "reweighting_factor(m_test, m_star, vectors, b) → number",
    "Eq. (7): w = 1 − exp‖m_test − m_star‖ / Σ exp‖m_test − m‖, the sum over the b rows of vectors (N, d) nearest to "
    "m_star (d,), itself among them; m_test is (d,). For b = 1, w is 1: no re-weighting.",
    _factor,
    {
        "five entries on a line, b = 3": (torch.tensor([0.0]), torch.tensor([1.0]), FIVE, 3),
        "four numbers each, b = 5": (generated(30, 4), generated(31, 12, 4)[2], generated(31, 12, 4), 5),
        "b = N": (torch.tensor([0.0]), torch.tensor([1.0]), FIVE, 5),
        "distances near 1000": (torch.tensor([-999.0]), torch.tensor([1.0]), line(1, 1.5, 2, 2.3, 9), 3),
        "b = 1": (torch.tensor([0.0]), torch.tensor([1.0]), FIVE, 1),
    },
    WRONG_FACTORS,
    tensors("w"),
)


def _score(patches, vectors, b, factor=_factor, worst=torch.argmax):
    """Eqs. (6) and (7) with parts replaced."""
    distance, nearest = nearest_neighbours(patches.flatten(0, 1), vectors)
    i = int(worst(distance[:, 0]))
    return factor(patches.flatten(0, 1)[i], vectors[nearest[i, 0]], vectors, b) * distance[i, 0]


def _each_weighted(patches, vectors, b):
    distance, nearest = nearest_neighbours(patches.flatten(0, 1), vectors)
    return reweighting_factor(patches.flatten(0, 1), nearest[:, 0], vectors, b) * distance[:, 0]


def _with(factor):
    return lambda patches, vectors, b: _score(patches, vectors, b, factor)


IMAGE_SCORE = Exercise(
    "07_anomaly_score",
    "image_score(patches, vectors, b) → number",
    "Eqs. (6) and (7) for one image: s = w · s*, from its patches (h', w', d) and the bank vectors (N, d), with w as "
    "in `reweighting_factor`.",
    lambda patches, vectors, b: image_score(patches[None], vectors, b)[0],
    {
        "two patches, b = 3": (line(-0.1, 10.05)[None], FIVE, 3),
        "3 × 4 patches, b = 5": (generated(32, 3, 4, 6), generated(33, 15, 6), 5),
        "distances near 1000": (line(-999, 0)[None], line(1, 1.5, 2, 2.3, 9), 3),
        "b = 1": (counted(2, 2, 3), 10 * generated(34, 8, 3), 1),
    },
    {
        "no re-weighting": (
            "s is w times s*. Where does b come in?",
            lambda patches, vectors, b: _score(patches, vectors, 1),
        ),
        "w without s*": (
            "w says how much of s* is kept.",
            lambda patches, vectors, b: _score(patches, vectors, b) / _score(patches, vectors, 1),
        ),
        "squared distance": (
            "s* is the distance, with its root.",
            lambda patches, vectors, b: _score(patches, vectors, b) * _score(patches, vectors, 1),
        ),
        "mean instead of max": (
            "A small defect would drown among many good patches.",
            lambda patches, vectors, b: _each_weighted(patches, vectors, b).mean(),
            lambda patches, vectors, b: _each_weighted(patches, vectors, 1).mean(),
        ),
        "nearest patch instead of the farthest": (
            "The argmax runs over the patches of the image, the argmin over M.",
            lambda patches, vectors, b: _score(patches, vectors, b, worst=torch.argmin),
        ),
        "a score for each patch": (
            "The image has one score, that of its worst patch.",
            lambda patches, vectors, b: _each_weighted(patches, vectors, b).view(patches.shape[:2]),
            lambda patches, vectors, b: _each_weighted(patches, vectors, 1).view(patches.shape[:2]),
        ),
        "max after the re-weighting": (
            "First, eq. (6) finds the patch. Eq. (7) weights only that one.",
            lambda patches, vectors, b: _each_weighted(patches, vectors, b).max(),
        ),
    }
    | {name: (hint, *map(_with, factors)) for name, (hint, *factors) in WRONG_FACTORS.items()},
    tensors("s"),
)
