"""Algorithm 1 without reading all of M for every pick: a race in which only the rows in front are watched."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import dist, inf, isfinite

import numpy as np
import torch

from patchcore_edu.nearest_neighbours import centre, for_products, nearest_neighbours
from patchcore_edu.threads import in_parts

CANDIDATES = 1024
BLOCK, ENTRIES = 2048, 256  # rows and entries of one product: its distances, 2 MiB, stay in a processor's cache
A_ROW = 16  # distances, roughly: fetching a row takes as long
WORTH_A_THREAD = 2**27  # multiplications: fewer take longer with another thread
# Machine epsilons, as a part of the squares, by which a squared distance from a product may be wrong: on photographs
ROUNDING = 6  # and random vectors 2 in the mean square, and at most 13. Two are compared, so 12 are allowed for.
FEW = 64  # candidates that are considered together


def races(dtype: torch.dtype) -> Iterator[Callable]:
    """From the fastest way to measure distances to the most precise: the next begins where the last cannot decide.

    >>> len(list(races(torch.float32))), len(list(races(torch.float64)))
    (3, 2)
    """
    for each in dict.fromkeys((dtype, torch.float64)):
        yield partial(Race, dtype=each)
    yield CloseRace


def between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(n, k) distances between the rows of a (n, d) and of b (k, d), by differences.

    >>> between(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class Race:
    """How far every row still is from the rows chosen, squared, by matrix products of a dtype.

    Distances only shrink. So a row is measured from new picks only when what it was last found to be puts it in front.

    Attributes:
        anchors: the rows that distances are measured from: those chosen, and perhaps one that was dropped.
        entries: (l, d + 1), what products need of them.
        nearest: (N,), the squared distance to the nearest anchor of those seen; picked rows left the race at −∞.
        seen: (N,), from how many anchors a row was measured.
        error: as a part of `nearest` and of the row's own square, by how much `nearest` may be wrong.
    """

    def __init__(
        self,
        vectors: torch.Tensor,
        chosen: list[int],
        dropped: list[int],
        first_distance: torch.Tensor | None,
        dtype: torch.dtype = torch.float64,
    ):
        n = len(vectors)
        self.vectors, self.first_distance = vectors, first_distance
        self.shift, self.error = centre(vectors).to(dtype), ROUNDING * torch.finfo(dtype).eps
        self.square, self.seen = torch.empty(n, dtype=dtype), torch.zeros(n, dtype=torch.int64)
        self.nearest = torch.full((n,), inf, dtype=dtype)
        if first_distance is not None:
            self.nearest = first_distance.square().to(dtype)
        self.mutual = torch.empty(2 * [min(CANDIDATES, n)], dtype=dtype).numpy()
        self.anchors = np.array(dropped + chosen, dtype=np.int64)
        self.entries = self._entries(self.anchors)
        self._in_blocks(self._begin, n, distances=n)
        self.nearest[chosen], self.seen[:] = -inf, len(self.anchors)

    def cover(self, picks: list[int]) -> None:
        """Picked rows leave the race, and the others must be measured from them."""
        self.anchors = np.append(self.anchors, picks)
        self.entries = torch.cat([self.entries, self._entries(np.array(picks))])
        self.nearest[picks] = -inf

    def _begin(self, rows: slice) -> None:
        q = self._with_one(rows)
        self.square[rows] = torch.linalg.vector_norm(q[:, :-1], dim=1).square_()  # without an array of all squares
        self._lower(self.nearest[rows], self.seen[rows], self.square[rows], q)

    def _lower(self, nearest: torch.Tensor, seen: torch.Tensor, square: torch.Tensor, q: torch.Tensor) -> None:
        """Lower `nearest` to the anchors that its rows have not seen. The rows that have seen least come first."""
        for first in range(int(seen[0]), len(self.anchors), ENTRIES):
            entries = self.entries[first : first + ENTRIES]
            n = int(torch.searchsorted(seen, first + len(entries)))
            torch.minimum(nearest[:n], self._to_nearest(entries, q[:n], square[:n]), out=nearest[:n])

    def _to_nearest(self, entries: torch.Tensor, q: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return torch.mm(entries, q.T).amin(0).add_(square).clamp_(min=0)

    def _squared(self, rows: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
        """(n, k) squared distances of n rows from k entries."""
        return torch.mm(self._with_one(rows), entries.T).add_(self.square[rows][:, None]).clamp_(min=0)

    def _entries(self, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        return for_products(self.vectors.index_select(0, torch.as_tensor(rows)), self.shift)

    def _with_one(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """(n, d + 1): [q, 1] for the vectors q of n rows. All vectors are counted from `shift`, near their centre."""
        # index_select copies scattered rows about six times as fast as [rows].
        vectors = self.vectors[rows] if isinstance(rows, slice) else self.vectors.index_select(0, rows)
        q = torch.empty(len(vectors), len(self.shift) + 1, dtype=self.shift.dtype)
        torch.sub(vectors, self.shift, out=q[:, :-1])
        q[:, -1] = 1
        return q

    def _farthest(self) -> torch.Tensor:
        """The candidates: the rows that are farthest now, in row order, so that ties go to the lowest row."""
        few = min(CANDIDATES, len(self.nearest))
        look = step = max(few, len(self.nearest) // 8)
        while True:
            upper = (self.nearest + self._errors()).numpy()
            rows = torch.from_numpy(upper.argpartition(-few)[-few:])
            if (self.seen[rows] == len(self.anchors)).all():
                return rows.sort().values
            rows = torch.from_numpy(upper.argpartition(-look)[-look:])
            look = min(look + step, len(upper))
            self._catch_up(rows)

    def _catch_up(self, rows: torch.Tensor) -> None:
        """Measure these rows from the anchors that they have not seen."""
        seen, order = self.seen.index_select(0, rows).sort()
        behind = int(torch.searchsorted(seen, len(self.anchors)))
        rows, seen = rows[order[:behind]], seen[:behind]
        nearest, square = self.nearest[rows], self.square[rows]

        def catch_up(block: slice) -> None:
            self._lower(nearest[block], seen[block], square[block], self._with_one(rows[block]))

        self._in_blocks(catch_up, behind, distances=int((len(self.anchors) - seen).sum()))
        self.nearest[rows], self.seen[rows] = nearest, len(self.anchors)

    def picks(self, at_most: int) -> list[int]:
        """As many picks of Algorithm 1 as are certain from the candidates alone; none if rounding hides the next."""
        rows, errors = self._farthest(), self._errors()
        upper = self.nearest + errors
        slack = float(errors[rows].max())
        if not isfinite(slack):
            return []
        bound = float(upper[rows].min()) if len(rows) < len(upper) else -inf
        far, entries = self.nearest[rows].numpy(), self._entries(rows)
        picks, n, known = np.empty(min(at_most, len(far)), int), 0, np.zeros(len(far), bool)
        pairs = []

        def measure(i: int) -> None:
            if not known[i]:
                value, far[i] = far[i], inf  # to be among the few even where many are as far
                few = far.argpartition(-min(FEW, len(far)))[-FEW:]  # the next picks are likely to be among them, too
                self.mutual[few], known[few], far[i] = self._squared(rows[few], entries).numpy(), True, value

        while n < len(picks):
            i = far.argmax()
            best, far[i] = far[i], -inf
            j = far.argmax()
            second, far[i] = far[j], best
            following = [i]
            if best - slack <= bound or second >= best - 2 * slack:
                measure(i)
                if n + 2 <= len(picks) and second - slack > bound and self._both_follow(far, i, j, slack):
                    following = sorted((i, j))
                    pairs.append((n, best + 2 * slack))
                elif (i := self._close_call(far, slack, bound, rows, picks[:n])) is None:
                    break
                else:
                    following = [i]
            for i in following:
                measure(i)
                picks[n] = i
                n += 1
                np.minimum(far, self.mutual[i], out=far)
                far[i] = -inf
        for start in range(0, len(pairs), FEW // 2):
            self._order(pairs[start : start + FEW // 2], rows, picks[:n])
        # The candidates are up to date already, the picks of this time included.
        self.nearest[rows], self.seen[rows] = torch.from_numpy(far), len(self.anchors) + n
        return rows[picks[:n]].tolist()

    def _both_follow(self, far: np.ndarray, i: int, j: int, slack: float) -> bool:
        """Whether i and j, the farthest, are the next two picks, whichever comes first."""
        values = far[[i, j]]
        far[[i, j]] = -inf
        third, far[[i, j]] = far.max(), values
        return third < values[1] - 2 * slack and self.mutual[i, j] >= values[0] + 2 * slack

    def _order(self, pairs: list[tuple[int, float]], rows: torch.Tensor, picks: np.ndarray) -> None:
        """Put pairs in order, by differences: of equally far picks the lower row is first already.

        A pair is the place of its first pick, and the square within which the nearest entry is.
        """
        places = [n + k for n, _ in pairs for k in (0, 1)]
        near, before = [within for _, within in pairs for _ in (0, 1)], [n for n, _ in pairs for _ in (0, 1)]
        exact = self._by_differences(picks[places], near, rows, picks, before)
        for (n, _), first, second in zip(pairs, exact[::2], exact[1::2], strict=True):
            if second > first:
                picks[[n, n + 1]] = picks[[n + 1, n]]

    def _close_call(
        self, far: np.ndarray, slack: float, bound: float, rows: torch.Tensor, picks: np.ndarray
    ) -> int | None:
        """The farthest of the candidates that may be it, by differences; None if it cannot be told here."""
        close = np.flatnonzero(far >= far.max() - 2 * slack)
        if len(close) > FEW:
            return None
        exact = self._by_differences(close, far[close] + 2 * slack, rows, picks, [len(picks)] * len(close))
        return close[exact.index(max(exact))] if max(exact) ** 2 > bound else None

    def _by_differences(
        self, close: np.ndarray, near: Sequence[float], rows: torch.Tensor, picks: np.ndarray, before: list[int]
    ) -> list[float]:
        """From each of these candidates to its nearest anchor or pick, of so many picks: it is within √near."""
        exact, picked = [], rows.numpy()[picks]
        to_anchors, to_picks = self._squared(rows[close], self.entries).numpy(), self.mutual[picks[:, None], close].T
        for i, within, n, anchors, others in zip(close, near, before, to_anchors, to_picks, strict=True):
            nearest = *self.anchors[anchors <= within], *picked[:n][others[:n] <= within]
            exact.append(self._exact(rows[i], *nearest))
        return exact

    def _exact(self, row: int, *entries: int) -> float:
        """The distance from a row to the nearest of these entries."""
        m = self.vectors[row].tolist()
        begin = inf if self.first_distance is None else float(self.first_distance[row])
        return min([begin, *(dist(m, self.vectors[i].tolist()) for i in entries)])

    def _errors(self) -> torch.Tensor:
        underflow = self.vectors.shape[1] * torch.finfo(self.nearest.dtype).tiny
        return (self.nearest.clamp(min=0) + self.square).mul_(self.error).add_(underflow)

    def _in_blocks(self, function: Callable[[slice], None], n: int, distances: int) -> None:
        shared = (A_ROW * n + distances) * self.vectors.shape[1] >= WORTH_A_THREAD
        step = min(max(BLOCK // 2, n // 4), BLOCK) if shared else BLOCK
        blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        if shared:
            in_parts(function, blocks)
        else:
            for block in blocks:
                function(block)


class CloseRace(Race):
    """The same from differences, in double precision and in a unit near the vectors: slow, for what others leave."""

    def __init__(
        self, vectors: torch.Tensor, chosen: list[int], dropped: list[int], first_distance: torch.Tensor | None
    ):
        unit = 2.0 ** vectors.double().abs().amax().log2().floor().clamp(-1000, 1000)  # a power of two rounds nothing
        first_distance = None if first_distance is None else first_distance / unit
        super().__init__(vectors.double() / unit, chosen, dropped, first_distance)

    def cover(self, picks: list[int]) -> None:
        super().cover(picks)
        if nearest_neighbours(self.vectors, self.vectors[picks])[0].any():
            self._catch_up(torch.arange(len(self.vectors)))
        else:  # only copies of the picks are left
            self.nearest.clamp_(max=0)
            self.seen[:] = len(self.anchors)

    def _begin(self, rows: slice) -> None:
        self._lower(self.nearest[rows], self.seen[rows], self.square[rows], self._with_one(rows))

    def _with_one(self, rows: slice | torch.Tensor) -> torch.Tensor:
        return self.vectors[rows]

    def _to_nearest(self, entries: torch.Tensor, q: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return between(q, entries).square_().amin(1)

    def _squared(self, rows: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
        return between(self.vectors[rows], entries).square_()

    def _entries(self, rows: np.ndarray | torch.Tensor) -> torch.Tensor:
        return self.vectors[rows]

    def picks(self, at_most: int) -> list[int]:
        farthest = float(self.nearest.max())
        rows = (self.nearest == farthest).nonzero()[:CANDIDATES, 0]
        if len(rows) < CANDIDATES:
            return super().picks(at_most)
        # More rows are as far than there are candidates: in their order, each that none before it has come near to.
        mutual, picks = self._squared(rows, self._entries(rows)).numpy(), []
        for i in range(len(rows)):
            if len(picks) < at_most and (mutual[picks, i] >= farthest).all():
                picks.append(i)
        return rows[picks].tolist()

    def _close_call(self, far: np.ndarray, slack: float, bound: float, *rest) -> int | None:
        i = far.argmax()
        return i if far[i] > bound else None  # rows that are no candidates may be as far as the last of them

    def _errors(self) -> torch.Tensor:
        return torch.zeros_like(self.nearest)  # what differences say in double precision decides
