"""The exercises of 06: the greedy coreset and its covering radius (eq. 5, Algorithm 1)."""

import torch

from patchcore_edu import definitions
from patchcore_edu.checks.machinery.answers import tensors
from patchcore_edu.checks.machinery.cases import generated, line
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.coreset import covering_radius


def _greedy(distance, size, start, score=lambda d: d.amin(1), keep=True, mask=True):
    """Algorithm 1 with parts replaced; `score` ranks every row by its distances (N, l) to the rows chosen so far."""
    chosen, kept = [start], [start] if keep else []
    while len(kept) < size:
        value = score(distance[:, chosen]).clone()
        if mask:
            value[chosen] = -torch.inf
        chosen.append(int(value.argmax()))
        kept.append(chosen[-1])
    return kept


GREEDY_CORESET = Exercise(
    "06_coreset",
    "greedy_coreset(vectors, size, start) → list of row numbers",
    "Algorithm 1 without ψ: begin with row `start` of vectors (N, d) and keep it; add the farthest row until there "
    "are `size` of them, `start` among them. In the order chosen, each row once.",
    lambda vectors, size, start: definitions.greedy_coreset(vectors.tolist(), size, start),
    {
        "five points on a line": (line(0, 1, 2, 9, 10), 3, 0),
        "the start alone": (line(0, 1, 2, 9, 10), 1, 2),
        "a start in the middle": (line(0, 1, 3, 7, 12, 20), 4, 3),
        "equal rows, all to be kept": (line(5, 0, 5), 3, 0),
        "points in a plane": (generated(20, 12, 2), 6, 4),
        "twenty rows of five numbers": (generated(21, 20, 5), 9, 0),
    },
    {
        "start ignored": (
            "Row `start` comes first, whichever it is.",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, 0),
        ),
        "nearest instead of farthest": (
            "The next row is the one that the chosen rows cover worst: the farthest.",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: -d.amin(1)),
        ),
        "start not kept": (
            "`start` is the first row of the coreset.",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, keep=False),
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start)[1:],
        ),
        "one row too many": (
            "`size` counts the start too.",
            lambda v, size, start: _greedy(torch.cdist(v, v), size + 1, start),
        ),
        "distance to the last chosen row only": (
            "A row is covered if any chosen row is near. Earlier ones still count.",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d[:, -1]),
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d[:, -1], mask=False),
        ),
        "distance to the start only": (
            "After each choice, distances to the coreset can shrink. Do you update them?",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d[:, 0]),
        ),
        "farthest chosen row instead of the nearest": (
            "Algorithm 1 has a max and a min. Which of them runs over M_C?",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d.amax(1)),
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d.amax(1), mask=False),
        ),
        "mean distance instead of the nearest": (
            "Far from most is not far from all.",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d.mean(1)),
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, lambda d: d.mean(1), mask=False),
        ),
        "a row chosen twice": (
            "The argmax runs over M − M_C. What if all remaining rows have distance 0?",
            lambda v, size, start: _greedy(torch.cdist(v, v), size, start, mask=False),
        ),
        "sorted": (
            "Keep the order in which the rows were chosen.",
            lambda v, size, start: sorted(_greedy(torch.cdist(v, v), size, start)),
        ),
        "vectors instead of row numbers": (
            "Return the row numbers, not the rows themselves.",
            lambda v, size, start: v[_greedy(torch.cdist(v, v), size, start)],
        ),
    },
    tensors("rows"),
)

COVERING_RADIUS = Exercise(
    "06_coreset",
    "covering_radius(vectors, chosen) → number",
    "Eq. (5), what is minimised: how far the worst covered row of vectors (N, d) is from its nearest row in "
    "vectors[chosen]; chosen is a tensor of row numbers.",
    covering_radius,
    {
        "four points on a line": (line(0, 3, 7, 12), torch.tensor([0, 2])),
        "all chosen": (line(0, 3, 7, 12), torch.tensor([0, 1, 2, 3])),
        "points in a plane": (10 * generated(22, 12, 2), torch.tensor([3, 8, 5])),
        "twenty rows of five numbers": (10 * generated(23, 20, 5), torch.tensor([0, 19])),
    },
    {
        "squared distance": (
            "‖m − n‖₂ has a root.",
            lambda v, chosen: covering_radius(v, chosen) ** 2,
        ),
        "mean instead of max": (
            "One far row must count, however many are near.",
            lambda v, chosen: torch.cdist(v, v[chosen]).amin(1).mean(),
        ),
        "sum instead of max": (
            "The radius is one distance, that of the worst covered row.",
            lambda v, chosen: torch.cdist(v, v[chosen]).amin(1).sum(),
        ),
        "max over the chosen rows": (
            "A row is covered by its nearest chosen row, so which of max and min runs over M_C?",
            lambda v, chosen: torch.cdist(v, v[chosen]).max(),
        ),
        "max and min exchanged": (
            "Read eq. (5) from the inside: for one m in M, first look at all n in M_C.",
            lambda v, chosen: torch.cdist(v, v[chosen]).amax(0).min(),
            lambda v, chosen: torch.cdist(v, v[chosen]).amax(1).min(),
        ),
        "minimum over the wrong axis, or instead of the maximum": (
            "A row of M_C is at distance 0 from itself. Whose minimum do you take, and what is then the worst of all?",
            lambda v, chosen: torch.cdist(v, v[chosen]).amin(0).max(),
            lambda v, chosen: torch.cdist(v, v[chosen]).min(),
        ),
        "the row instead of its distance": (
            "max returns the value, argmax where it is.",
            lambda v, chosen: torch.cdist(v, v[chosen]).amin(1).argmax(),
        ),
    },
    tensors("radius"),
)
