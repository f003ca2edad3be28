"""‖m − n‖₂: the nearest vectors of a set, searched exactly, in blocks of bounded memory."""

from collections.abc import Iterator, Sequence

import torch

from patchcore_edu.threads import in_parts, shares, without_barriers
from patchcore_edu.validation import real_tensor, same_space, whole_number

# By how many times the norm of a query may exceed a distance that a matrix product still tells from its neighbours:
# the error of the product is the machine epsilon times the norm squared.
TRUSTED = {torch.float32: 64, torch.float64: 2**16}
TILE, STEP = 2048, 1024  # vectors and queries of one block: its distances, 8 MiB, then stay in a processor's cache
WORTH_A_THREAD = 2**22  # distances: fewer take longer with another thread


@without_barriers()
def nearest_neighbours(queries: torch.Tensor, vectors: torch.Tensor, k: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The k rows of `vectors` nearest to each query, by true Euclidean distance, nearest first.

    ‖q − v‖² = ‖q‖² − 2 q·v + ‖v‖² turns the search into a matrix product, which finds the candidates. Their
    distances are then computed from the differences: an entry of the bank is at distance 0 from itself. Where they
    are so small, compared with the vectors, that rounding decided between candidates, the search is repeated in
    double precision, and where even that is not enough, from the differences alone. In single precision, distances
    are right to one part in ten thousand, whatever the scale and the offset, and mostly far better.

    Args:
        queries: (q, d).
        vectors: (N, d).
        k: how many neighbours; from 1 to N.

    Returns:
        distance (q, k), in the unit of the features, and index (q, k), row numbers of `vectors`. Distances of
        half-precision vectors are float32. Besides the result, some 100 · d KiB and 16 MiB per thread are used,
        however large q and N are.

    Raises:
        ValueError: for another rank, different d or dtype, NaN, k outside 1 … N, or distances beyond the dtype.

    Example:
        >>> vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
        >>> distance, index = nearest_neighbours(torch.tensor([[0.0, 0.0]]), vectors, k=2)
        >>> distance, index
        (tensor([[0., 5.]]), tensor([[0, 1]]))

    Source: the inner argmin of eq. (6).
    """
    real_tensor("queries", queries, "(q, d)")
    real_tensor("vectors", vectors, "(N, d)")
    same_space("queries", queries, vectors)
    whole_number("k", k, at_most=len(vectors))
    queries, vectors = single_or_double(queries), single_or_double(vectors)
    shift = centre(vectors)  # one for all parts: only then do their rankings compare
    parts = shares(len(queries), at_least=WORTH_A_THREAD // len(vectors))
    found = in_parts(lambda rows: _nearest(queries[rows], vectors, shift, k), parts)
    distance, index = map(torch.cat, zip(*found, strict=True))
    if not torch.isfinite(distance.amax()):
        raise ValueError(
            f"queries and vectors are farther apart than {queries.dtype} can hold; divide both by the same number"
        )
    return distance, index


def single_or_double(vectors: torch.Tensor) -> torch.Tensor:
    """The vectors without their gradients, half precision as float32: its squares end at 65,504.

    >>> single_or_double(torch.ones(1, 2, dtype=torch.float16)).dtype
    torch.float32
    """
    return vectors.detach() if vectors.dtype in TRUSTED else vectors.detach().float()


def _nearest(
    queries: torch.Tensor, vectors: torch.Tensor, shift: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    distance, index = _exact(queries, vectors, _candidates(queries, vectors, shift, k))
    for rows in _in_doubt(queries, vectors, shift, distance, index, STEP):
        again = queries[rows].double()
        precise = torch.full((len(rows), k), torch.nan, dtype=torch.float64), index[rows]
        if queries.dtype != torch.float64:
            precise = _exact(again, vectors, _candidates(again, vectors, shift.double(), k))
        for few in _in_doubt(again, vectors, shift.double(), *precise, max(1, 2 * TILE * STEP // len(vectors))):
            precise[0][few], precise[1][few] = _by_differences(again[few], vectors, k)
        distance[rows], index[rows] = precise[0].to(queries.dtype), precise[1]
    return distance, index


def _candidates(queries: torch.Tensor, vectors: torch.Tensor, shift: torch.Tensor, k: int) -> torch.Tensor:
    """(q, k) candidates for the k nearest, by a ranking as precise as the queries' dtype."""
    best = torch.full((len(queries), k), torch.inf, dtype=queries.dtype)
    index = torch.zeros((len(queries), k), dtype=torch.int64)
    for rows, ranking, first in _ranking_blocks(queries, vectors, shift):
        _keep_nearest(best[rows], index[rows], ranking, first)
    return index


def _in_doubt(
    queries: torch.Tensor,
    vectors: torch.Tensor,
    shift: torch.Tensor,
    distance: torch.Tensor,
    index: torch.Tensor,
    at_once: int,
) -> Sequence[torch.Tensor]:
    """The queries, so many at a time, whose neighbours are so near that rounding may hide a nearer one: mostly none.

    Vectors whose squares overflow or vanish leave every query in doubt.
    """
    dtype, farthest = queries.dtype, distance[:, -1]
    norm = torch.cat([(block - shift).square_().sum(1).sqrt_() for block in queries.split(TILE)])
    smallest, largest = torch.finfo(dtype).tiny ** 0.25, torch.finfo(dtype).max ** 0.25
    sure = (farthest * TRUSTED[dtype] >= norm) & (farthest >= smallest) & (norm <= largest) & (farthest <= largest)
    if max(map(abs, torch.stack(vectors.aminmax()).tolist())) > largest:
        sure.zero_()
    rows = (~sure).nonzero()[:, 0]
    # An entry of the bank has found itself, if the farthest of its k neighbours equals it in every number.
    unlike = [~(vectors[index[part, -1]] == queries[part]).all(1) for part in rows.split(TILE)]
    rows = rows[torch.cat(unlike)]
    return rows.split(at_once) if len(rows) else ()


def _by_differences(queries: torch.Tensor, vectors: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    vectors = vectors.double()
    # Divided by a power of two, which causes no rounding: squares of 10²⁰⁰ would overflow, and those of 10⁻²⁰⁰ vanish.
    unit = 2.0 ** torch.cat([queries, vectors]).abs().amax().log2().floor().clamp(-1000, 1000)
    queries, vectors = queries / unit, vectors / unit
    distance = torch.cdist(queries, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = distance.sort(dim=1, stable=True)
    return distance[:, :k] * unit, index[:, :k]


def _ranking_blocks(
    queries: torch.Tensor, vectors: torch.Tensor, shift: torch.Tensor
) -> Iterator[tuple[slice, torch.Tensor, int]]:
    """‖v‖² − 2 q·v for all vectors v, which ranks them as ‖q − v‖² does: that is larger by ‖q‖².

    Yields, for every STEP queries and every TILE vectors, the queries' row numbers, the (STEP, TILE) ranking and the
    first vector's row. Queries and vectors are counted from `shift`, near their centre, which keeps the difference
    from cancelling. The ranking is one matrix product, [q, 1] · [−2v, ‖v‖²]. The next block overwrites the last one.
    """
    step, tile = min(STEP, len(queries)), min(TILE, len(vectors))
    left = torch.ones(step, queries.shape[1] + 1, dtype=shift.dtype)
    memory = torch.empty(step * tile, dtype=shift.dtype)
    for first in range(0, len(vectors), tile):
        right = for_products(vectors[first : first + tile], shift).T
        for start in range(0, len(queries), step):
            rows = slice(start, min(start + step, len(queries)))
            n = rows.stop - start
            torch.sub(queries[rows], shift, out=left[:n, :-1])
            found = right.shape[1]
            yield rows, torch.mm(left[:n], right, out=memory[: n * found].view(n, found)), first


def for_products(vectors: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(N, d + 1): [−2v, ‖v‖²] for vectors v counted from `shift`. Its product with [q, 1] is ‖q − v‖² − ‖q‖².

    >>> for_products(torch.tensor([[3.0, 4.0]]), torch.zeros(2))
    tensor([[-6., -8., 25.]])
    """
    v = vectors - shift
    return torch.cat([-2 * v, v.square().sum(1, keepdim=True)], dim=1)


def centre(vectors: torch.Tensor) -> torch.Tensor:
    """(d,) the median of a hundred rows or so: a point amid the vectors.

    Each of its numbers occurs in the vectors. So differences from it are exact wherever floating point can hold them,
    as for whole numbers, and equal distances stay equal.

    >>> centre(torch.tensor([[100.0, 7.0], [101.0, 7.0], [103.0, 7.0]]))
    tensor([101.,   7.])
    """
    return vectors[:: 1 + len(vectors) // 100].median(0).values


def _keep_nearest(best: torch.Tensor, index: torch.Tensor, ranking: torch.Tensor, first: int) -> None:
    """Merge a tile's nearest rows into the nearest so far; of equally near rows, the lowest wins."""
    k = best.shape[1]
    if k == 1:
        row = torch.from_numpy(ranking.numpy().argmin(1))[:, None]  # several times as fast as torch's
    else:
        near = ranking.topk(min(k + 1, ranking.shape[1]), largest=False)
        row = near.indices[:, :k].sort(dim=1).values
        if ranking.shape[1] > k:
            tied = (near.values[:, k - 1] == near.values[:, k]).nonzero()[:, 0]  # topk may have kept any of these
            row[tied] = ranking[tied].argsort(dim=1, stable=True)[:, :k].sort(dim=1).values
    both = torch.cat([best, ranking.gather(1, row)], dim=1)
    order = both.sort(dim=1, stable=True).indices[:, :k]
    best.copy_(both.gather(1, order))
    index.copy_(torch.cat([index, row + first], dim=1).gather(1, order))


def _exact(queries: torch.Tensor, vectors: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distance = torch.empty(index.shape, dtype=queries.dtype)
    step = max(1, TILE // index.shape[1])
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        found = vectors.index_select(0, index[rows].flatten()).unflatten(0, index[rows].shape)
        distance[rows] = (found - queries[rows, None]).square_().sum(2).sqrt_()
    distance, order = distance.sort(dim=1, stable=True)
    return distance, index.gather(1, order)
