"""Eq. (3): the patch set P_{s,p}, and the merge of several levels into one."""

from collections.abc import Mapping, Sequence

import torch
from torch.nn.functional import adaptive_avg_pool1d, interpolate

from patchcore_edu.aggregation import LONGEST, aggregate, averaged
from patchcore_edu.neighbourhood import LARGEST
from patchcore_edu.validation import one_of, real_tensor, shown, whole_number

MERGES = ("concatenate", "pool")
STRIDE_GRIDS = ("merged", "level")


def patch_set(
    phi: Mapping[int, torch.Tensor],
    p: int = 3,
    s: int = 1,
    border: str = "zero",
    pooling: str = "spatial",
    merge: str = "concatenate",
    dim: int = 1024,
    stride_on: str = "merged",
    merged_dim: int | None = None,
) -> torch.Tensor:
    """Eq. (3): P_{s,p}, the aggregated vectors at every s-th row and column.

    P_{s,p}(φ_{i,j}) = {φ_{i,j}(N_p^(h,w)) : h, w mod s = 0, h < h*, w < w*, h, w ∈ ℕ}

    The paper's set is kept here as a grid, so that every vector still knows its place. Each level is aggregated on
    its own map; the levels are then merged on the grid of the lowest level.

    Args:
        phi: {j: (n, c_j, h_j, w_j)}, the feature maps of the levels to use.
        p: the patch size, in cells of each level's own map.
        s: the stride, in cells; locations 0, s, 2s, … are kept.
        border, pooling, dim: see `aggregate`.
        merge: see `merge_levels`.
        stride_on: "merged" skips locations after the levels are merged; "level" skips them before, on every level's
            own map, as the authors' code does.
        merged_dim: length of the result for merge="pool"; None takes `dim`. The authors' code has two lengths too:
            1024 for each level, and 1024 or, in its ensembles, 384 after the merge.

    Returns:
        (n, h', w', d): with "merged", h' = ⌈h*/s⌉ and d = Σ c_j (or `merged_dim`).

    Raises:
        ValueError: for p or s below 1, p larger than a map, levels that do not fit together, an unknown option.

    Example:
        >>> phi = {2: torch.zeros(1, 40, 28, 28), 3: torch.zeros(1, 112, 14, 14)}
        >>> patch_set(phi).shape
        torch.Size([1, 28, 28, 152])
        >>> patch_set(phi, s=2).shape
        torch.Size([1, 14, 14, 152])

    Source: §3.1, eq. (3). The paper does not say on which grid the stride acts when levels are merged.
    """
    whole_number("s", s, at_most=LARGEST)
    one_of("stride_on", stride_on, STRIDE_GRIDS)
    if not isinstance(phi, Mapping) or not phi:
        raise ValueError(f"phi was {shown(phi)}; it must map at least one level j to a tensor (n, c, h, w)")
    try:
        levels = sorted(phi)
    except TypeError:
        raise ValueError(f"phi was {shown(phi)}; its levels must be whole numbers") from None
    aggregated = [aggregate(phi[j], p, border, pooling, dim) for j in levels]
    length = dim if merged_dim is None else whole_number("merged_dim", merged_dim, at_most=LONGEST)
    if stride_on == "level":
        merged = merge_levels([level[:, :, ::s, ::s] for level in aggregated], merge, length)
    else:
        merged = merge_levels(aggregated, merge, length)[:, :, ::s, ::s]
    return merged.permute(0, 2, 3, 1).contiguous()  # every later step reads vector by vector


def merge_levels(maps: list[torch.Tensor], merge: str = "concatenate", dim: int = 1024) -> torch.Tensor:
    """§3.1: rescale every level bilinearly to the size of the first, and join the vectors at each location.

    Args:
        maps: [(n, c_j, h_j, w_j), …], aggregated maps, lowest level first.
        merge: "concatenate" joins the channels of all levels; "pool" then shortens them to `dim` numbers by
            one-dimensional adaptive average pooling, as the authors' code does.
        dim: length of the result for merge="pool"; unused otherwise.

    Returns:
        (n, d, h, w), with h and w of the first map, d = Σ c_j or `dim`.

    Raises:
        ValueError: if there is no map, the maps hold different numbers of images, or a later level is larger than
            the first.

    Example:
        >>> fine, coarse = torch.zeros(1, 1, 2, 2), torch.tensor([[[[8.0]]]])
        >>> merge_levels([fine, coarse])[0, :, 0, 0]
        tensor([0., 8.])

    Source: §3.1. The paper does not say how the vectors are joined; "bilinear" is its word, align_corners=False
    (cell centres) is our choice and that of the published codes.
    """
    one_of("merge", merge, MERGES)
    if isinstance(maps, torch.Tensor) or not isinstance(maps, Sequence) or not maps:
        what = "empty" if isinstance(maps, Sequence) else f"of type {type(maps).__name__}"
        raise ValueError(f"maps was {what}; it must be a list of at least one tensor (n, c, h, w)")
    finest = maps[0]
    for level in maps:
        real_tensor("phi", level, "(n, c, h, w)")
        if len(level) != len(finest) or any(a > b for a, b in zip(level.shape[2:], finest.shape[2:], strict=True)):
            raise ValueError(
                f"phi held maps of shapes {[tuple(m.shape) for m in maps]}; all must have the same number of "
                "images, and no level may have a larger map than the lowest one"
            )
    if merge == "concatenate":
        return _joined(maps)
    whole_number("dim", dim, at_most=LONGEST)
    n, _, height, width = finest.shape
    pooled = finest.new_empty(n, height * width, dim)
    for i in range(n):  # one by one: the joined maps of all images would be several times as large as the result
        joined = _joined([level[i : i + 1] for level in maps])[0].flatten(1).T
        pooled[i] = averaged(lambda numbers: adaptive_avg_pool1d(numbers, dim), joined)
    return pooled.transpose(1, 2).reshape(n, dim, height, width)


def _joined(maps: list[torch.Tensor]) -> torch.Tensor:
    size = maps[0].shape[2:]
    rescaled = [interpolate(level, size, mode="bilinear", align_corners=False) for level in maps[1:]]
    return torch.cat([maps[0], *rescaled], dim=1)
