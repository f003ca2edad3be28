"""§3.1: the feature maps φ_{i,j}, and the vector φ_{i,j}(h, w) at one place."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from patchcore_edu.threads import without_barriers
from patchcore_edu.validation import image_batch, real_tensor, shown, whole_number

if TYPE_CHECKING:
    from patchcore_edu.backbone import Backbone


@without_barriers()
def feature_maps(images: torch.Tensor, backbone: "Backbone", levels: Iterable[int] = (2, 3)) -> dict[int, torch.Tensor]:
    """§3.1: φ_{i,j} = φ_j(x_i), for every image i and level j asked for.

    Args:
        images: (n, 3, H, W), float, values in [0, 1].
        backbone: a pretrained network cut into its levels, from `load_backbone`.
        levels: the levels j, each from 1 (fine, generic) to 4 (coarse, close to the classes it was trained on).

    Returns:
        {j: (n, c_j, h_j, w_j)}, in rising order of j.

    Raises:
        ValueError: for images of another rank, channel count or range, an unknown level, or no network.

    Example:
        >>> from patchcore_edu.backbone import load_backbone
        >>> phi = feature_maps(torch.zeros(1, 3, 224, 224), load_backbone("efficientnet_lite0"))
        >>> {j: tuple(phi_j.shape) for j, phi_j in phi.items()}
        {2: (1, 40, 28, 28), 3: (1, 112, 14, 14)}

    Source: §3.1.
    """
    if not callable(backbone):
        raise ValueError(f"backbone was {shown(backbone)}; it must be a network from load_backbone")
    return backbone(image_batch(images), levels)


def feature_vector(phi_j: torch.Tensor, h: int, w: int) -> torch.Tensor:
    """§3.1: φ_{i,j}(h, w) ∈ ℝ^c, one column through all channels of the map.

    Args:
        phi_j: (n, c, h*, w*), feature maps of one level.
        h, w: row and column, 0-based, in cells of the map.

    Returns:
        (n, c), a vector for each image.

    Raises:
        ValueError: if phi_j has another rank or (h, w) lies outside the map.

    Example:
        >>> phi_j = torch.arange(8.0).view(1, 2, 2, 2)
        >>> feature_vector(phi_j, 0, 1)
        tensor([[1., 5.]])

    Source: §3.1.
    """
    real_tensor("phi_j", phi_j, "(n, c, h, w)")
    whole_number("h", h, at_least=0, at_most=phi_j.shape[2] - 1)
    whole_number("w", w, at_least=0, at_most=phi_j.shape[3] - 1)
    return phi_j[:, :, h, w]
