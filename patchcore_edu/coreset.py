"""Eq. (5) and Algorithm 1: the coreset M_C, a small part of M that still covers it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import dist, floor, inf, isfinite

import numpy as np
import torch
from tqdm.auto import tqdm

from patchcore_edu.nearest_neighbours import centre, nearest_neighbours, ranking_blocks, single_or_double
from patchcore_edu.threads import in_parts, shares, without_barriers
from patchcore_edu.validation import one_of, real_number, real_tensor, row_numbers, whole_number

PROJECTIONS = ("gaussian", "linear", "sparse")
STARTS = ("random", "random, dropped", "mean of ten", "far from the mean")
CANDIDATES = 1024
BLOCK_MIB = 2  # the rows and distances of one block: they then stay in a processor's cache
PART = 4096  # rows: fewer take longer with a thread more
# Machine epsilons, as a part of the squares, by which a squared distance from a product may be wrong: on photographs
ROUNDING = 6  # and random vectors 2 in the mean square, and at most 13. Two are compared, so 12 are allowed for.
FEW = 32  # candidates too close to call that are worth a look of their own


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
    makes the same picks in the same order, and reads the N rows only once for many picks. It takes the B rows that
    are farthest now; every other row is at most as far as the B-th, the *bound*. Distances only shrink when rows
    are picked. So the farthest of the B candidates is the farthest of all for as long as it is above the bound,
    and the next picks need the mutual distances of the candidates only. All N rows are then brought up to date
    by one matrix product. Where its rounding could decide between two rows, their distances are computed from the
    differences, in double precision; where it could decide between many, those of all rows are.

    Args:
        vectors: (N, d), the bank M, or ψ(M).
        ratio: the part to keep, in (0, 1]; l = max(1, ⌊ratio · N⌋). Give either this or `size`.
        size: l, the number of rows to keep, from 1 to N.
        seed: of the random start.
        start: the paper's first minimum is over an empty set. "random" begins with a random row and keeps it;
            "random, dropped" measures the first distances from a random row that is not kept (anomalib's earlier
            releases; 2.7.0 keeps it); "mean of ten" begins with every row's mean distance to ten random rows, which
            stays in the running minimum (the authors' code); "far from the mean" begins with the row farthest from
            the mean of all rows and keeps it: that with the largest norm of distances (the authors' exact sampler).

    Returns:
        (l,) int64, row numbers in the order chosen, each once: those of the algorithm in double precision, whatever
        the scale and the offset (how far products round is measured, not proven). Equal distances go to the lowest row.
        Some 20 MiB, 16 bytes a row and the chosen rows are used; where many rows are nearly equal, a copy in double.

    Raises:
        ValueError: for a ratio outside (0, 1], a size outside 1 … N, both or neither, an unknown start,
            a seed that is no whole number.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [9.0], [10.0]])
        >>> (chosen := greedy_coreset(line, size=3, seed=0)), covering_radius(line, chosen)
        (tensor([4, 0, 2]), 1.0)

    Source: §3.2, eq. (5) and Algorithm 1. The start and the order of ties are our choice.
    """
    real_tensor("vectors", vectors, "(N, d)")
    size = _coreset_size(len(vectors), ratio, size)
    vectors, seed = single_or_double(vectors), whole_number("seed", seed, at_least=0)
    chosen, anchors, first_distance = _start(vectors, one_of("start", start, STARTS), seed)
    with tqdm(total=size, initial=len(chosen), desc="coreset", unit="row", delay=1, leave=False) as bar:
        for precision in _precisions(vectors.dtype):
            race = precision(vectors, chosen, anchors, first_distance)
            while len(chosen) < size and (picks := race.picks(size - len(chosen))):
                chosen += picks
                anchors += picks
                if len(chosen) < size:
                    race.cover(picks)
                bar.update(len(picks))
            if len(chosen) == size:
                break
    return torch.tensor(chosen)


def _coreset_size(n: int, ratio: float | None, size: int | None) -> int:
    if (ratio is None) == (size is None):
        raise ValueError(f"ratio was {ratio!r} and size was {size!r}; give exactly one of them")
    if size is not None:
        return whole_number("size", size, at_most=n)
    rows = real_number("ratio", ratio, 0, 1, open_below=True) * n
    return max(1, floor(rows + 1e-9 * rows))  # 0.29 · 100 is 28.999999999999996 in floating point


def _start(vectors: torch.Tensor, start: str, seed: int) -> tuple[list[int], list[int], torch.Tensor | None]:
    """The first picks, the rows that distances are measured from, and what every row's distance begins with."""
    if start == "far from the mean":
        mean = vectors.mean(0, dtype=torch.float64)
        first = int(torch.cat([(part - mean).square().sum(1) for part in vectors.split(PART)]).argmax())
        return [first], [first], None
    rows = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed)).tolist()
    if start == "mean of ten":
        ten = vectors[rows[:10]].double()
        return [], [], torch.cat([_between(part.double(), ten).mean(1) for part in vectors.split(PART)])
    return rows[:1] if start == "random" else [], rows[:1], None


def _between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _precisions(dtype: torch.dtype) -> Iterator[Callable]:
    """From the fastest way to measure distances to the most precise: the next begins where the last cannot decide."""
    for each in dict.fromkeys((dtype, torch.float64)):
        yield partial(_Race, dtype=each)
    yield _CloseRace


class _Race:
    """How far every row still is from the rows chosen, squared, by matrix products of a dtype.

    Attributes:
        nearest: (N,), the squared distance to the nearest anchor; picked rows left the race at −∞.
        error: as a part of `nearest` and of the row's own square, by how much `nearest` may be wrong.
    """

    def __init__(
        self,
        vectors: torch.Tensor,
        chosen: list[int],
        anchors: list[int],
        first_distance: torch.Tensor | None,
        dtype: torch.dtype = torch.float64,
    ):
        self.vectors, self.anchors, self.first_distance = vectors, vectors[:0], first_distance
        self.shift = centre(vectors).to(dtype)
        self.square = torch.empty_like(vectors[:, 0], dtype=dtype)
        self.error = ROUNDING * torch.finfo(dtype).eps
        self.nearest = torch.full((len(vectors),), inf, dtype=dtype)
        if first_distance is not None:
            self.nearest = first_distance.square().to(dtype)
        if anchors:
            self._lower(anchors)
        else:
            torch.cat([(part - self.shift).square_().sum(1) for part in vectors.split(PART)], out=self.square)
        self.nearest[chosen] = -inf

    def cover(self, picks: list[int]) -> None:
        """Lower every row's distance to its nearest anchor; picked rows leave the race."""
        self._lower(picks)
        self.nearest[picks] = -inf

    def _lower(self, anchors: list[int]) -> None:
        entries = self.vectors[anchors]
        self.anchors = torch.cat([self.anchors, entries])
        in_parts(lambda rows: self._lower_part(rows, entries), shares(len(self.vectors), PART))

    def _lower_part(self, rows: slice, entries: torch.Tensor) -> None:
        step = max(1, BLOCK_MIB * 2**18 // (entries.shape[1] + len(entries)))
        nearest, square = self.nearest[rows], self.square[rows]
        for block, q, ranking, _ in ranking_blocks(self.vectors[rows], entries, self.shift, step):
            square[block] = q.square().sum(1)
            squared = ranking.amin(1).add_(square[block]).clamp_(min=0)
            torch.minimum(nearest[block], squared, out=nearest[block])

    def picks(self, at_most: int) -> list[int]:
        """As many picks of Algorithm 1 as are certain without reading all rows again; none if rounding hides the next.

        The candidates are in row order, so that ties go to the lowest row.
        """
        errors = self._errors()
        upper = self.nearest + errors
        rows = upper.topk(min(CANDIDATES, len(upper))).indices.sort().values
        slack = float(errors[rows].max())
        if not isfinite(slack):
            return []
        bound = float(upper[rows].min()) if len(rows) < len(upper) else -inf
        far = self.nearest[rows].numpy()
        candidates = self.vectors[rows]
        mutual, picks = self._squared(candidates, candidates).numpy(), []
        while len(picks) < at_most:
            i = far.argmax()
            best, far[i] = far[i], -inf
            if best - slack <= bound or far[far.argmax()] >= best - 2 * slack:
                far[i] = best
                i = self._close_call(far, slack, bound, rows, mutual, picks)
                if i is None:
                    break
                far[i] = -inf
            picks.append(i)
            np.minimum(far, mutual[i], out=far)
        return rows[picks].tolist()

    def _close_call(
        self, far: np.ndarray, slack: float, bound: float, rows: torch.Tensor, mutual: np.ndarray, picks: list[int]
    ) -> int | None:
        """Which of the candidates that may be the farthest is it, by differences; None if it cannot be told here."""
        close = np.flatnonzero(far >= far.max() - 2 * slack)
        if len(close) > FEW:
            return None
        dtype = self.nearest.dtype
        squared = _between(self.vectors[rows[close]].to(dtype), self.anchors.to(dtype)).square_().numpy()
        squared = np.concatenate([squared, mutual[np.ix_(close, picks)]], axis=1)
        near = squared <= squared.min(1, initial=inf, keepdims=True) + 2 * slack
        exact = [self._exact(rows[i], np.flatnonzero(few), rows, picks) for i, few in zip(close, near, strict=True)]
        return close[exact.index(max(exact))] if max(exact) ** 2 > bound else None

    def _exact(self, row: int, entries: np.ndarray, rows: torch.Tensor, picks: list[int]) -> float:
        """From a row to the nearest of these entries of the anchors and, after them, of the picks."""
        m, n = self.vectors[row].tolist(), len(self.anchors)
        near = [self.anchors[i] if i < n else self.vectors[rows[picks[i - n]]] for i in entries]
        begin = inf if self.first_distance is None else float(self.first_distance[row])
        return min([begin, *(dist(m, vector.tolist()) for vector in near)])

    def _errors(self) -> torch.Tensor:
        underflow = self.vectors.shape[1] * torch.finfo(self.nearest.dtype).tiny
        return (self.nearest.clamp(min=0) + self.square).mul_(self.error).add_(underflow)

    def _squared(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        [(_, q, ranking, _)] = ranking_blocks(a, b, self.shift, step=len(a))
        return ranking.add_(q.square().sum(1, keepdim=True)).clamp_(min=0)


class _CloseRace(_Race):
    """The same by differences, in double precision and in a unit near the vectors: slow, for what the rest leaves."""

    def __init__(
        self, vectors: torch.Tensor, chosen: list[int], anchors: list[int], first_distance: torch.Tensor | None
    ):
        unit = 2.0 ** vectors.double().abs().amax().log2().floor().clamp(-1000, 1000)  # a power of two rounds nothing
        first_distance = None if first_distance is None else first_distance / unit
        super().__init__(vectors.double() / unit, chosen, anchors, first_distance)

    def _lower(self, anchors: list[int]) -> None:
        if nearest_neighbours(self.vectors, self.vectors[anchors])[0].any():
            super()._lower(anchors)
        else:  # only copies of the anchors are left
            self.nearest.clamp_(max=0)

    def _lower_part(self, rows: slice, entries: torch.Tensor) -> None:
        for block in entries.split(CANDIDATES):
            squared = _between(self.vectors[rows], block).square_().amin(1)
            torch.minimum(self.nearest[rows], squared, out=self.nearest[rows])

    def picks(self, at_most: int) -> list[int]:
        farthest = float(self.nearest.max())
        least = farthest - 2 * farthest * self.error
        rows = (self.nearest >= least).nonzero()[:CANDIDATES, 0]
        if len(rows) < CANDIDATES:
            return super().picks(at_most)
        # More rows are as far than there are candidates: in their order, each that none before it has come near to.
        candidates = self.vectors[rows]
        mutual, picks = self._squared(candidates, candidates).numpy(), []
        for i in range(len(rows)):
            if len(picks) < at_most and (mutual[picks, i] >= least).all():
                picks.append(i)
        return rows[picks].tolist()

    def _close_call(self, far: np.ndarray, slack: float, bound: float, *rest) -> int | None:
        i = far.argmax()
        if (far[far >= far[i] - 2 * slack] == far[i]).all():
            return i if far[i] > bound else None
        return super()._close_call(far, slack, bound, *rest)

    def _errors(self) -> torch.Tensor:
        return self.nearest.clamp(min=0).mul_(self.error)

    def _squared(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return _between(a, b).square_()


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
        ValueError: for another rank, dim below 1, an unknown kind, a seed that is no whole number.

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
    return vectors @ weights.to(vectors.dtype)


def covering_radius(vectors: torch.Tensor, chosen: torch.Tensor | Sequence[int]) -> float:
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
    distance, _ = nearest_neighbours(vectors, vectors[row_numbers("chosen", chosen, len(vectors))])
    return float(distance.max())
