"""Pixels of all test maps, counted at thresholds: sorting two million would be too slow for a slider."""

from functools import lru_cache

import torch

from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.metrics import region_share

THRESHOLDS = 65536


def counted(maps: torch.Tensor, category: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Thresholds from 0 to the maps' maximum, and what is counted between each and the next.

    Returns:
        thresholds, good pixels, pixels of a defect, and the sum of their `region_share`, (65536,) each.
    """
    inside, share = _defects(category)
    unit = maps.max() / (THRESHOLDS - 1)
    step = (maps / unit).flatten().int()
    defective, shares = step[inside].bincount(minlength=THRESHOLDS), step[inside].bincount(share, THRESHOLDS)
    return torch.arange(THRESHOLDS) * unit, step.bincount(minlength=THRESHOLDS) - defective, defective, shares


@lru_cache(maxsize=3)
def _defects(category: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The few pixels of the test maps that lie inside a mask, and each one's share of its region."""
    masks = torch.stack([sample.mask for sample in photographs(category, "test").dataset])
    inside = masks.flatten().nonzero()[:, 0]
    return inside, region_share(masks).flatten()[inside]
