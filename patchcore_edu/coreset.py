"""Eq. (5) and Algorithm 1: the coreset M_C, a small part of M that still covers it."""

from collections.abc import Sequence
from math import floor

import torch
from tqdm.auto import tqdm

from patchcore_edu.aggregation import LONGEST
from patchcore_edu.coreset_race import BLOCK, between, races
from patchcore_edu.nearest_neighbours import nearest_neighbours, single_or_double
from patchcore_edu.threads import without_barriers
from patchcore_edu.validation import one_of, real_number, real_tensor, row_numbers, shown, whole_number

PROJECTIONS = ("gaussian", "linear", "sparse")
STARTS = ("random", "random, dropped", "mean of ten", "far from the mean")


@without_barriers()
def greedy_coreset(
    vectors: torch.Tensor,
    ratio: float | None = None,
    size: int | None = None,
    seed: int = 0,
    start: str = "random",
) -> torch.Tensor:
    """Algorithm 1: a greedy solution of eq. (5), l rows of M that leave no row of M far away.

    M_C* = argmin_{M_C ⊂ M} max_{m ∈ M} min_{n ∈ M_C} ‖m − n‖₂
    m_i ← argmax_{m ∈ M − M_C} min_{n ∈ M_C} ‖ψ(m) − ψ(n)‖₂, l times

    To let ψ guide the choice, pass the projected vectors: row numbers are returned, so the full vectors are kept.

    The algorithm picks one row, then reads all N rows to see how far each still is from the picks. This function
    makes the same picks in the same order, and reads few rows for each. It takes the B rows that are farthest now;
    every other row is at most as far as the B-th, the *bound*. Distances only shrink when rows are picked. So the
    farthest of the B candidates is the farthest of all as long as it is above the bound, and the next picks need only
    the candidates' distances to one another. The next candidates are found in the same way: a row is measured from
    the new picks, by a matrix product, only if what it was last found to be puts it among the farthest. Where rounding
    could decide between two rows, their distances are computed from the differences, in double precision; where it
    could decide between many, those of all rows are.

    Args:
        vectors: (N, d), the bank M, or ψ(M).
        ratio: the share to keep, in (0, 1]; l = max(1, ⌊ratio · N⌋). Give either this or `size`.
        size: l, the number of rows to keep, from 1 to N.
        seed: of the random start.
        start: the paper's first minimum is over an empty set. "random" begins with a random row and keeps it;
            "random, dropped" measures the first distances from a random row that is not kept (anomalib's earlier
            releases; 2.7.0 keeps it); "mean of ten" begins with every row's mean distance to ten random rows, which
            stays in the minimum (the authors' code); "far from the mean" begins with the row farthest from
            the mean of all rows and keeps it: that with the largest norm of distances (the authors' exact sampler).

    Returns:
        (l,) int64, row numbers in the order chosen, each once: those of the algorithm in double precision, whatever
        the scale and the offset (how far products round is measured, not proven). Equal distances go to the lowest row;
        those that differ only in the last digit of double precision may change places.
        Some 20 MiB, 32 bytes a row and the chosen rows are used; where many rows are nearly equal, a copy in double.

    Raises:
        ValueError: for a ratio outside (0, 1], a size outside 1 … N, both or neither, an unknown start,
            a seed that is not a whole number.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
        >>> (chosen := greedy_coreset(line, size=3, seed=0)), covering_radius(line, chosen)
        (tensor([4, 0, 2]), 1.0)

    Source: §3.2, eq. (5) and Algorithm 1. The start and the order of ties are our choice.
    """
    real_tensor("vectors", vectors, "(N, d)")
    size = _coreset_size(len(vectors), ratio, size)
    vectors, seed = single_or_double(vectors), whole_number("seed", seed, at_least=0)
    chosen, dropped, first_distance = _start(vectors, one_of("start", start, STARTS), seed)
    with tqdm(total=size, initial=len(chosen), desc="coreset", unit="row", delay=1, leave=False) as bar:
        for precision in races(vectors.dtype):
            race = precision(vectors, chosen, dropped, first_distance)
            while len(chosen) < size and (picks := race.picks(size - len(chosen))):
                chosen += picks
                if len(chosen) < size:
                    race.cover(picks)
                bar.update(len(picks))
            if len(chosen) == size:
                break
    return torch.tensor(chosen)


def _coreset_size(n: int, ratio: float | None, size: int | None) -> int:
    if (ratio is None) == (size is None):
        raise ValueError(f"ratio was {shown(ratio)} and size was {shown(size)}; give exactly one of them")
    if size is not None:
        return whole_number("size", size, at_most=n)
    rows = real_number("ratio", ratio, 0, 1, open_below=True) * n
    return max(1, floor(rows + 1e-9 * rows))  # 0.29 · 100 is 28.999999999999996 in floating point


def _start(vectors: torch.Tensor, start: str, seed: int) -> tuple[list[int], list[int], torch.Tensor | None]:
    """The first picks, a row that is measured from but not kept, and the initial distance of every row."""
    if start == "far from the mean":
        mean = vectors.mean(0, dtype=torch.float64)
        first = int(torch.cat([(part - mean).square().sum(1) for part in vectors.split(BLOCK)]).argmax())
        return [first], [], None
    ten = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:10].tolist()
    if start == "mean of ten":
        entries = vectors[ten].double()
        return [], [], torch.cat([between(part.double(), entries).mean(1) for part in vectors.split(BLOCK)])
    return (ten[:1], [], None) if start == "random" else ([], ten[:1], None)


def random_projection(
    vectors: torch.Tensor, dim: int | None = 128, seed: int = 0, kind: str = "gaussian"
) -> torch.Tensor:
    """Algorithm 1: ψ : ℝ^d → ℝ^d*, a random linear map that nearly preserves distances (Johnson and Lindenstrauss).

    Args:
        vectors: (N, d).
        dim: d*, the number of dimensions after it. None takes the Johnson–Lindenstrauss bound for N rows and a
            distortion of 0.9, as anomalib does: some 250 to 350, whatever d is.
        seed: of the random matrix.
        kind: "gaussian" draws every weight from N(0, 1/d*); "linear" from an untrained linear layer, uniform in
            ±1/√d (the authors' code), which multiplies all distances by about √(d*/3d), leaves the choice unchanged,
            and is skipped if d = d* already; "sparse" sets most weights to zero (anomalib, through scikit-learn).

    Returns:
        (N, d*), of the vectors' dtype.

    Raises:
        ValueError: for another rank, dim outside 1 … 2²⁰, an unknown kind, a seed that is not a whole number, or
            vectors whose projection overflows the dtype.

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
    whole_number("dim", dim, at_most=LONGEST)
    d = vectors.shape[1]
    generator = torch.Generator().manual_seed(whole_number("seed", seed, at_least=0))
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
    projected = vectors @ weights.to(vectors.dtype)
    if not torch.isfinite(projected.sum()) and not torch.isfinite(projected).all():
        raise ValueError(f"vectors are so large that ψ overflows {vectors.dtype}; divide them all by the same number")
    return projected


def covering_radius(vectors: torch.Tensor, chosen: torch.Tensor | Sequence[int]) -> float:
    """Eq. (5): max_{m ∈ M} min_{n ∈ M_C} ‖m − n‖₂, how far the worst covered row is from the coreset.

    Args:
        vectors: (N, d), the bank M.
        chosen: (l,), the row numbers of M_C.

    Returns:
        The radius, in the unit of the features.

    Raises:
        ValueError: if `chosen` is empty or holds a number that is not a row of `vectors`.

    Example:
        >>> covering_radius(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0]))
        5.0

    Source: §3.2, eq. (5).
    """
    real_tensor("vectors", vectors, "(N, d)")
    distance, _ = nearest_neighbours(vectors, vectors[row_numbers("chosen", chosen, len(vectors))])
    return float(distance.max())
