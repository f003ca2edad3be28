"""Eq. (2): f_agg turns the vectors of a neighbourhood into one vector."""

from collections.abc import Callable
from math import isfinite

import torch
from torch.nn.functional import adaptive_avg_pool1d, avg_pool2d, unfold

from patchcore_edu.neighbourhood import radius
from patchcore_edu.validation import one_of, real_tensor, whole_number

BORDERS = ("zero", "clip", "valid")
POOLINGS = ("spatial", "flattened")
LONGEST = 2**20  # numbers of a patch vector: many more fill the memory


def aggregate(
    phi_j: torch.Tensor, p: int, border: str = "zero", pooling: str = "spatial", dim: int = 1024
) -> torch.Tensor:
    """Eq. (2): f_agg at every location (h, w) of a feature map.

    φ_{i,j}(N_p^(h,w)) = f_agg({φ_{i,j}(a, b) : (a, b) ∈ N_p^(h,w)})

    The default averages over height and width, each channel by itself: the p × p neighbours of a cell become one
    vector with as many channels as before. Channels are not mixed.

    Args:
        phi_j: (n, c, h*, w*), feature maps of one level.
        p: the patch size, in cells; at least 1.
        border: what happens where N_p reaches past the map (spatial pooling only). "zero" counts the missing cells
            as zeros and divides by all (2⌊p/2⌋ + 1)² cells; "clip" averages the cells that exist; "valid" leaves out
            locations whose N_p is incomplete, so the map shrinks by 2⌊p/2⌋.
        pooling: "spatial" is the mean over N_p per channel. "flattened" is the authors' code: the zero-padded
            p × p window is flattened to one list of c·p·p numbers, channel by channel, and a one-dimensional
            adaptive average pooling shortens it to `dim` numbers. Its padding is ⌊(p − 1)/2⌋, so an even p gives a
            map one cell smaller.
        dim: length of the result for pooling="flattened"; unused otherwise.

    Returns:
        Same shape as phi_j for the default; (n, c, h* − 2⌊p/2⌋, w* − 2⌊p/2⌋) for border="valid";
        (n, dim, h*, w*) for pooling="flattened" with odd p.

    Raises:
        ValueError: for a phi_j of another rank, NaN, p < 1 or larger than the map, an unknown border or pooling.

    Example:
        >>> phi_j = torch.tensor([[[[0.0, 3.0], [6.0, 9.0]]]])
        >>> aggregate(phi_j, p=1)
        tensor([[[[0., 3.], [6., 9.]]]])
        >>> aggregate(torch.arange(9.0).view(1, 1, 3, 3), p=3)
        tensor([[[[0.8889, 1.6667, 1.3333], [2.3333, 4.0000, 3.0000], [2.2222, 3.6667, 2.6667]]]])

    Source: §3.1, eq. (2): adaptive average pooling, similar to local smoothing of each feature map. The paper is
    silent on the border. "zero" is our choice because every published code that pads counts zeros, and because it
    ranks photographs better than "clip" does: the network's own padding distorts the vectors at the border, and
    zeros shrink them and their distances. The price is that a defect at the very rim is found less often.
    "flattened" follows the authors' published code.
    """
    real_tensor("phi_j", phi_j, "(n, c, h, w)")
    one_of("border", border, BORDERS)
    r = radius(p, phi_j.shape[-2:])
    if one_of("pooling", pooling, POOLINGS) == "flattened":
        return _flattened(phi_j, p, whole_number("dim", dim, at_most=LONGEST))
    width = 2 * r + 1  # an even p reaches as far as p + 1
    if border == "valid" and width > min(phi_j.shape[-2:]):
        raise ValueError(
            f"p was {p}; with border='valid' the {width} × {width} cells of N_p must fit into the map, "
            f"which has {phi_j.shape[-2]} × {phi_j.shape[-1]}"
        )
    padding = 0 if border == "valid" else r
    return averaged(lambda maps: avg_pool2d(maps, width, 1, padding, count_include_pad=border == "zero"), phi_j)


def averaged(average: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """`average(values)`, even where an intermediate sum overflows the dtype: a mean of finite numbers never does.

    >>> averaged(lambda values: values.mean(0), torch.tensor([3e38, 1e38]))
    tensor(2.0000e+38)
    """
    means = average(values)
    if torch.compiler.is_exporting() or isfinite(means.sum().item()):
        return means
    smaller = average(values * 2.0**-32) * 2.0**32  # a power of two rounds nothing; sums of 2³² numbers then fit
    largest = torch.finfo(values.dtype).max
    return torch.where(means.isfinite(), means, smaller.clamp(-largest, largest))


def _flattened(phi_j: torch.Tensor, p: int, dim: int) -> torch.Tensor:
    n, _, height, width = phi_j.shape
    padding = (p - 1) // 2
    windows = unfold(phi_j, p, padding=padding).transpose(1, 2)  # (n, h·w, c·p·p)
    pooled = averaged(lambda numbers: adaptive_avg_pool1d(numbers, dim), windows)
    return pooled.transpose(1, 2).reshape(n, dim, height + 2 * padding - p + 1, width + 2 * padding - p + 1)
