"""Eq. (1): the neighbourhood N_p of a location."""

from collections.abc import Sequence
from math import inf

from patchcore_edu.validation import shown, whole_number

LARGEST = 1001  # cells across: a million cells, more than any feature map has; a list of many more fills the memory


def neighbourhood(h: int, w: int, p: int, shape: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """Eq. (1): the cells of N_p^(h,w), row by row.

    N_p^(h,w) = {(a, b) : a ∈ [h − ⌊p/2⌋, …, h + ⌊p/2⌋], b ∈ [w − ⌊p/2⌋, …, w + ⌊p/2⌋]}

    p counts cells across; it is not a radius. The formula is taken literally, so an even p gives (p + 1)² cells and
    N_2 = N_3. The paper does not say what happens past the border: with `shape`, only cells inside the map are
    listed; `aggregate` decides what the others count as.

    Args:
        h, w: the location, 0-based row and column of the feature map, in cells.
        p: the patch size, in cells, from 1 to 1,001.
        shape: (h*, w*), the size of the map in cells; None for an unbounded map.

    Returns:
        A list of (a, b): (2⌊p/2⌋ + 1)² cells inside the map, fewer at its border.

    Raises:
        ValueError: if p is not a whole number from 1 to 1,001, (h, w) lies outside `shape`, `shape` is not a pair, or
            p is larger than the map.

    Example:
        >>> neighbourhood(1, 1, p=3)
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
        >>> neighbourhood(0, 0, p=3, shape=(28, 28))
        [(0, 0), (0, 1), (1, 0), (1, 1)]

    Source: §3.1, eq. (1).
    """
    r = radius(whole_number("p", p, at_most=LARGEST), shape)
    for name, place, below in zip("hw", (h, w), shape or (None, None), strict=True):
        whole_number(name, place, at_least=-inf if below is None else 0, at_most=None if below is None else below - 1)
    rows, columns = range(h - r, h + r + 1), range(w - r, w + r + 1)
    if shape is not None:
        rows = range(max(rows.start, 0), min(rows.stop, shape[0]))
        columns = range(max(columns.start, 0), min(columns.stop, shape[1]))
    return [(a, b) for a in rows for b in columns]


def radius(p: int, shape: tuple[int, int] | None = None) -> int:
    """⌊p/2⌋, the reach of N_p in cells, after checking that p is valid and no larger than a map of `shape`.

    >>> radius(3), radius(2), radius(1)
    (1, 1, 0)
    """
    if shape is not None:
        if not isinstance(shape, Sequence) or len(shape) != 2:
            raise ValueError(f"shape was {shown(shape)}; it must be (h*, w*), the size of the map in cells")
        for cells in shape:
            whole_number("shape", cells)
    return whole_number("p", p, at_most=None if shape is None else min(shape)) // 2
