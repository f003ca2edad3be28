"""Eqs. (6) and (7): the anomaly score of an image."""

import torch

from patchcore_edu.nearest_neighbours import nearest_neighbours, single_or_double
from patchcore_edu.validation import real_tensor, row_numbers, same_space, whole_number


def max_patch_score(distance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. (6): s*, the distance of the test patch farthest from the bank, and which patch that is.

    m^{test,*}, m* = argmax_{m^test ∈ P(x^test)} argmin_{m ∈ M} ‖m^test − m‖₂;  s* = ‖m^{test,*} − m*‖₂

    The inner argmin is `nearest_neighbours`; this is the outer argmax.

    Args:
        distance: (n, h', w'), every test patch's distance to its nearest entry of M.

    Returns:
        s* (n,), in the unit of the features, and the patch (n,), counted row by row: h' = patch // w'.

    Raises:
        ValueError: for another rank, or NaN.

    Example:
        >>> max_patch_score(torch.tensor([[[0.0, 1.0], [5.0, 2.0]]]))
        (tensor([5.]), tensor([2]))

    Source: §3.3, eq. (6).
    """
    s_star, patch = real_tensor("distance", distance, "(n, h', w')").flatten(1).max(1)
    return s_star, patch


def reweighting_factor(patches: torch.Tensor, nearest: torch.Tensor, vectors: torch.Tensor, b: int = 9) -> torch.Tensor:
    """Eq. (7): w, how much of s* is kept: less where m* sits in a crowded part of the bank.

    w = 1 − exp‖m^{test,*} − m*‖₂ / Σ_{m ∈ N_b(m*)} exp‖m^{test,*} − m‖₂

    That is one minus the softmax entry of m*. N_b(m*) holds the b entries of M nearest to m* (not to the test
    patch), m* among them. Because m* is the nearest of all to the test patch, 1 − 1/b ≤ w < 1: the factor only
    ever lowers the score. Read literally, b = 1 gives w = 0 and every image scores 0, so b = 1 is taken to mean
    "no re-weighting", w = 1.

    Args:
        patches: (n, d), the test patch m^{test,*} of each image.
        nearest: (n,), the row of its nearest entry m* in `vectors`.
        vectors: (N, d), the memory bank M.
        b: the number of neighbours of m*; if the bank is smaller, all of it.

    Returns:
        w (n,), without a unit. Both parts of the fraction are divided by exp‖m^{test,*} − m*‖₂, so exponents are only
        differences of distances. If one is too large, the fraction is 0, as it should be: distances of 10⁴ do no harm.

    Raises:
        ValueError: for b below 1, other ranks, vectors of another dimension or dtype, rows that `vectors` does not
            have, or distances beyond the dtype.

    Example:
        A bank with four equal entries and one apart. Both test patches are 1 away from their nearest entry.
        >>> vectors = torch.tensor([[0.0], [0.0], [0.0], [0.0], [9.0]])
        >>> reweighting_factor(torch.tensor([[1.0], [10.0]]), torch.tensor([0, 4]), vectors, b=4)
        tensor([0.7500, 1.0000])

    Source: §3.3, eq. (7). The paper does not give b; 9 is anomalib's.
    """
    real_tensor("patches", patches, "(n, d)")
    real_tensor("vectors", vectors, "(N, d)")
    same_space("patches", patches, vectors)
    patches, vectors = single_or_double(patches), single_or_double(vectors)
    nearest = row_numbers("nearest", nearest, len(vectors), patches.shape[:1])
    b = min(whole_number("b", b), len(vectors))
    if b == 1:
        return torch.ones(len(patches), dtype=patches.dtype)
    _, support = nearest_neighbours(vectors[nearest], vectors, k=b)
    to_support = (vectors[support] - patches[:, None]).square().sum(2).sqrt()
    to_nearest = (vectors[nearest] - patches).square().sum(1).sqrt()
    w = 1 - 1 / torch.exp(to_support - to_nearest[:, None]).sum(1)
    if not torch.compiler.is_exporting() and w.isnan().any():
        raise ValueError(
            f"patches and vectors are farther apart than {patches.dtype} can hold; divide both by the same number"
        )
    return w


def image_score(
    patches: torch.Tensor,
    vectors: torch.Tensor,
    b: int = 9,
    neighbours: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Eqs. (6) and (7): s = w · s*, one score for each image.

    s = (1 − exp‖m^{test,*} − m*‖₂ / Σ_{m ∈ N_b(m*)} exp‖m^{test,*} − m‖₂) · s*

    It is a distance: 0 or more, without an upper limit. It is not a probability.

    Args:
        patches: (n, h', w', d), the patch sets of the test images.
        vectors: (N, d), the memory bank M, or its coreset.
        b: see `reweighting_factor`; b = 1 leaves s = s*.
        neighbours: distance and row, (n, h', w') each, of every patch's nearest entry, if they are already known.

    Returns:
        s (n,), in the unit of the features.

    Raises:
        ValueError: for b below 1, other ranks, vectors of another dimension, or neighbours of another grid.

    Example:
        >>> vectors = torch.tensor([[0.0], [10.0]])
        >>> image_score(torch.tensor([[[[1.0], [13.0]]]]), vectors, b=1)
        tensor([3.])

    Source: §3.3, eqs. (6) and (7).
    """
    real_tensor("patches", patches, "(n, h', w', d)")
    same_space("patches", patches, vectors)
    if neighbours is None:
        neighbours = patch_neighbours(patches, vectors)
    if not isinstance(neighbours, tuple | list) or len(neighbours) != 2:
        raise ValueError(f"neighbours was of type {type(neighbours).__name__}; it must be a pair (distance, row)")
    distance, nearest = neighbours
    if real_tensor("neighbours", distance, "(n, h', w')").shape != patches.shape[:3]:
        raise ValueError(
            f"neighbours had distances of shape {tuple(distance.shape)}; it must be {tuple(patches.shape[:3])}, "
            "one for each patch"
        )
    nearest = row_numbers("neighbours", nearest, len(vectors), distance.shape)
    s_star, patch = max_patch_score(distance)
    image = torch.arange(len(patches))
    m_test, m_star = patches.flatten(1, 2)[image, patch], nearest.flatten(1)[image, patch]
    return reweighting_factor(m_test, m_star, vectors, b) * s_star


def patch_neighbours(patches: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. (6), inner argmin: for every test patch, the distance to its nearest entry m*, and m*'s row in M.

    Args:
        patches: (n, h', w', d), the patch sets of the test images.
        vectors: (N, d), the memory bank M, or its coreset.

    Returns:
        distance and row, (n, h', w') each.

    Raises:
        ValueError: for other ranks, NaN, or vectors of another dimension.

    Example:
        >>> patch_neighbours(torch.tensor([[[[1.0], [13.0]]]]), torch.tensor([[0.0], [10.0]]))
        (tensor([[[1., 3.]]]), tensor([[[0, 1]]]))

    Source: §3.3, eq. (6).
    """
    real_tensor("patches", patches, "(n, h', w', d)")
    same_space("patches", patches, vectors)
    distance, row = nearest_neighbours(patches.flatten(0, 2), vectors)
    return distance.view(patches.shape[:3]), row.view(patches.shape[:3])
