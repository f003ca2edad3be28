"""Eq. (5) and Algorithm 1: the coreset M_C, a small part of M that still covers it."""

import numpy as np
import torch
from tqdm.auto import tqdm

from patchcore_edu.nearest_neighbours import centre, nearest_neighbours, ranking_blocks
from patchcore_edu.validation import one_of, real_number, real_tensor, whole_number

PROJECTIONS = ("gaussian", "linear", "sparse")
STARTS = ("random", "random, dropped", "mean of ten")
CANDIDATES = 1024
BLOCK_MIB = 2  # the rows and distances of one block: they then stay in a processor's cache


def greedy_coreset(
    vectors: torch.Tensor,
    ratio: float | None = None,
    size: int | None = None,
    seed: int = 0,
    start: str = "random",
) -> torch.Tensor:
    """Algorithm 1: a greedy answer to eq. (5), l rows of M that leave no row of M far away.

    M_C* = argmin_{M_C ⊂ M} max_{m ∈ M} min_{n ∈ M_C} ‖m − n‖₂
    m_i ← argmax_{m ∈ M − M_C} min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂, l times

    To let ψ guide the choice, pass the projected vectors: the answer is row numbers, so the full vectors are kept.

    The algorithm picks one row, then reads all N rows to see how far each still is from the picks. This function
    makes the same picks in the same order, and reads the N rows only once for many picks. It takes the B rows that
    are farthest now; every other row is at most as far as the B-th, the *bound*. Distances only shrink when rows
    are picked. So the farthest of the B candidates is the farthest of all for as long as it is above the bound,
    and the next picks need the mutual distances of the candidates only. All N rows are then brought up to date
    by one matrix product.

    Args:
        vectors: (N, d), the bank M, or ψ(M).
        ratio: the part to keep, in (0, 1]; l = max(1, ⌊ratio · N⌋). Give either this or `size`.
        size: l, the number of rows to keep, from 1 to N.
        seed: of the random start.
        start: the paper's first minimum is over an empty set. "random" begins with a random row and keeps it;
            "random, dropped" measures the first distances from a random row that is not kept (anomalib's
            earlier releases; 2.7.0 keeps it);
            "mean of ten" begins with every row's mean distance to ten random rows, which stays in the running
            minimum (the authors' code).

    Returns:
        (l,) int64, row numbers in the order chosen, each once. Equal distances go to the lowest row. Besides
        `vectors`, some 20 MiB and 8 bytes a row are used.

    Raises:
        ValueError: for a ratio outside (0, 1], a size outside 1 … N, both or neither, an unknown start.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
        >>> chosen = greedy_coreset(line, size=3, seed=0)
        >>> chosen, covering_radius(line, chosen)
        (tensor([4, 0, 2]), 1.0)

    Source: §3.2, eq. (5) and Algorithm 1. The start and the order of ties are our choice.
    """
    real_tensor("vectors", vectors, "(N, d)")
    size = _coreset_size(len(vectors), ratio, size)
    chosen, nearest = _start(vectors, one_of("start", start, STARTS), seed)
    with tqdm(total=size, initial=len(chosen), desc="coreset", unit="row", delay=1, leave=False) as bar:
        while len(chosen) < size:
            picks = _pick(vectors, nearest, size - len(chosen))
            chosen += picks
            if len(chosen) < size:
                _cover(vectors, nearest, picks)
            bar.update(len(picks))
    return torch.tensor(chosen)


def _coreset_size(n: int, ratio: float | None, size: int | None) -> int:
    if (ratio is None) == (size is None):
        raise ValueError(f"ratio was {ratio!r} and size was {size!r}; give exactly one of them")
    if size is not None:
        return whole_number("size", size, at_most=n)
    return max(1, int(real_number("ratio", ratio, 0, 1, open_below=True) * n))


def _start(vectors: torch.Tensor, start: str, seed: int) -> tuple[list[int], torch.Tensor]:
    """The first picks, and for every row the squared distance that its minimum begins with."""
    rows = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    if start == "mean of ten":
        distance = torch.cdist(vectors, vectors[rows[:10]], compute_mode="donot_use_mm_for_euclid_dist")
        return [], distance.mean(1).square()
    first = [int(rows[0])]
    nearest = torch.full((len(vectors),), torch.inf, dtype=vectors.dtype)
    _cover(vectors, nearest, first)
    if start == "random":
        return first, nearest
    nearest[first] = 0
    return [], nearest


def _pick(vectors: torch.Tensor, nearest: torch.Tensor, at_most: int) -> list[int]:
    """As many picks of Algorithm 1 as are certain without reading all rows again; at least one."""
    # The candidates stand in row order, so that ties go to the lowest row.
    rows = nearest.topk(min(CANDIDATES, len(vectors))).indices.sort().values
    far = nearest[rows].numpy()
    bound = far.min() if len(rows) < len(vectors) else -np.inf
    if far.max() == bound:  # more rows tie for the farthest than there are candidates
        return [int((nearest == nearest.max()).nonzero()[0])]
    candidates = vectors[rows]
    [(_, q, ranking)] = ranking_blocks(candidates, candidates, centre(candidates), step=len(rows))
    mutual = ranking.add_(q.square().sum(1, keepdim=True)).clamp_(min=0).numpy()
    picks = []
    while len(picks) < at_most and far[i := far.argmax()] > bound:
        picks.append(i)
        np.minimum(far, mutual[i], out=far)
        far[i] = -np.inf
    return rows[picks].tolist()


def _cover(vectors: torch.Tensor, nearest: torch.Tensor, picks: list[int]) -> None:
    """Lower every row's squared distance to its nearest pick, in place; picked rows leave the race at −∞."""
    step = max(1, BLOCK_MIB * 2**18 // (vectors.shape[1] + len(picks)))
    members = vectors[picks]
    for rows, q, ranking in ranking_blocks(vectors, members, centre(members), step):
        squared = ranking.amin(1).add_(q.square().sum(1)).clamp_(min=0)
        torch.minimum(nearest[rows], squared, out=nearest[rows])
    nearest[picks] = -torch.inf


def random_projection(
    vectors: torch.Tensor, dim: int | None = 128, seed: int = 0, kind: str = "gaussian"
) -> torch.Tensor:
    """Algorithm 1: ψ : ℝ^d → ℝ^d*, a random linear map that nearly keeps distances (Johnson and Lindenstrauss).

    Args:
        vectors: (N, d).
        dim: d*, the number of dimensions after it. None takes the Johnson–Lindenstrauss bound for N rows and a
            distortion of 0.9, as anomalib does: some 250 to 350, whatever d is.
        seed: of the random matrix.
        kind: "gaussian" draws every weight from N(0, 1/d*); "linear" from an untrained linear layer, uniform in
            ±1/√d (the authors' code), which multiplies all distances by about √(d*/3d) and so leaves the choice
            alone, and which is left out where d is d* already; "sparse" sets most weights to zero (anomalib, through
            scikit-learn).

    Returns:
        (N, d*), of the vectors' dtype.

    Raises:
        ValueError: for another rank, dim below 1, an unknown kind.

    Example:
        >>> random_projection(torch.eye(3, 512), dim=128).shape
        torch.Size([3, 128])

    Source: §3.2, Algorithm 1. The paper does not give d*; 128 is the authors' code.
    """
    real_tensor("vectors", vectors, "(N, d)")
    if dim is None:
        # Imported only where it is needed: it takes 40 MiB.
        from sklearn.random_projection import johnson_lindenstrauss_min_dim

        dim = max(1, int(johnson_lindenstrauss_min_dim(len(vectors), eps=0.9)))  # for a single row the bound is 0
    whole_number("dim", dim)
    d = vectors.shape[1]
    generator = torch.Generator().manual_seed(seed)
    if one_of("kind", kind, PROJECTIONS) == "gaussian":
        weights = torch.randn(d, dim, generator=generator) / dim**0.5
    elif kind == "linear":
        if d == dim:
            return vectors
        weights = (torch.rand(d, dim, generator=generator) * 2 - 1) / d**0.5
    else:
        # Achlioptas and Li: a share of 1/√d of the weights is ±1, scaled so that distances keep their mean.
        sign = torch.randint(0, 2, (d, dim), generator=generator) * 2 - 1
        kept = torch.rand(d, dim, generator=generator) < d**-0.5
        weights = sign * kept * (d**0.5 / dim) ** 0.5
    return vectors @ weights.to(vectors.dtype)


def covering_radius(vectors: torch.Tensor, chosen: torch.Tensor) -> float:
    """Eq. (5): max_{m ∈ M} min_{n ∈ M_C} ‖m − n‖₂, how far the worst covered row is from the coreset.

    Args:
        vectors: (N, d), the bank M.
        chosen: (l,), the row numbers of M_C.

    Returns:
        The radius, in the unit of the features.

    Raises:
        ValueError: if `chosen` is empty or holds a number that is no row of `vectors`.

    Example:
        >>> covering_radius(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0]))
        5.0

    Source: §3.2, eq. (5).
    """
    real_tensor("vectors", vectors, "(N, d)")
    if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= len(vectors):
        raise ValueError(f"chosen was {chosen!r}; it must name at least one row from 0 to {len(vectors) - 1}")
    distance, _ = nearest_neighbours(vectors, vectors[chosen])
    return float(distance.max())
