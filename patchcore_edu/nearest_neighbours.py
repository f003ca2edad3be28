"""‖m − n‖₂: the nearest members of a set of vectors, searched exactly, in blocks of bounded memory."""

import torch

from patchcore_edu.validation import real_tensor, whole_number

BLOCK_MIB = 32  # a block of distances; a second one of the same size holds the vectors it is made from


def nearest_neighbours(queries: torch.Tensor, vectors: torch.Tensor, k: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The k rows of `vectors` nearest to each query, by true Euclidean distance, nearest first.

    ‖q − v‖² = ‖q‖² − 2 q·v + ‖v‖² turns the search into a matrix product, which finds the candidates. Their
    distances are then computed from the differences, so that a member of the bank is at distance 0 from itself.

    Args:
        queries: (q, d).
        vectors: (N, d).
        k: how many neighbours; from 1 to N.

    Returns:
        distance (q, k), in the unit of the features, and index (q, k), row numbers of `vectors`. Besides the
        result, at most about 2 × 32 MiB (`BLOCK_MIB`) are used, however large q and N are.

    Raises:
        ValueError: for another rank, different d, NaN, or k outside 1 … N.

    Example:
        >>> vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
        >>> distance, index = nearest_neighbours(torch.tensor([[0.0, 0.0]]), vectors, k=2)
        >>> distance, index
        (tensor([[0., 5.]]), tensor([[0, 1]]))

    Source: the inner argmin of eq. (6).
    """
    real_tensor("queries", queries, "(q, d)")
    real_tensor("vectors", vectors, "(N, d)")
    if queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"queries had {queries.shape[1]} dimensions; they must have the vectors' {vectors.shape[1]}")
    whole_number("k", k, at_most=len(vectors))
    shift = centre(vectors)
    best = torch.full((len(queries), k), torch.inf, dtype=queries.dtype)
    index = torch.zeros((len(queries), k), dtype=torch.int64)
    tile = max(k, BLOCK_MIB * 2**18 // vectors.shape[1])
    for first in range(0, len(vectors), tile):
        members = vectors[first : first + tile] - shift
        norms = members.square().sum(1)
        step = max(1, min(512, BLOCK_MIB * 2**18 // len(members)))
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            # ‖q‖² is the same for all members, so the ranking does without it.
            squared = torch.addmm(norms, queries[rows] - shift, members.T, alpha=-2)
            _keep_nearest(best[rows], index[rows], squared, first)
    return _exact(queries, vectors, index)


def centre(vectors: torch.Tensor) -> torch.Tensor:
    """(d,) about the mean of the vectors: subtracted first, it keeps ‖q‖² − 2 q·v + ‖v‖² from cancelling.

    It is a whole multiple of a power of two of about the vectors' spread. What floating point held exactly stays
    exact after the shift, so that equal distances stay equal.

    >>> centre(torch.tensor([[100.0, 7.0], [101.0, 7.0], [103.0, 7.0]]))
    tensor([101.5000,   7.0000])
    """
    mean = vectors.mean(0)
    _, exponent = torch.frexp(vectors.var(0, correction=0).mean().sqrt())
    unit = torch.ldexp(torch.ones_like(mean[0]), exponent - 1)
    return (mean / unit).round() * unit


def _keep_nearest(best: torch.Tensor, index: torch.Tensor, squared: torch.Tensor, first: int) -> None:
    k = best.shape[1]
    if k == 1:
        near, row = squared.min(1, keepdim=True)
    else:
        near, row = squared.topk(min(k, squared.shape[1]), largest=False)
    both = torch.cat([best, near], dim=1)
    order = both.topk(k, largest=False).indices
    best.copy_(both.gather(1, order))
    index.copy_(torch.cat([index, row + first], dim=1).gather(1, order))


def _exact(queries: torch.Tensor, vectors: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distance = torch.empty(index.shape, dtype=queries.dtype)
    step = max(1, BLOCK_MIB * 2**18 // (index.shape[1] * vectors.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        distance[rows] = (vectors[index[rows]] - queries[rows, None]).square_().sum(2).sqrt_()
    distance, order = distance.sort(dim=1, stable=True)
    return distance, index.gather(1, order)
