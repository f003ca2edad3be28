"""Pixels of all test maps counted at thresholds: a slider cannot wait for two million to be sorted."""

from functools import lru_cache

import torch

from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.metrics import region_share

THRESHOLDS = 65536


def counted(maps: torch.Tensor, category: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Thresholds from 0 to the maps' maximum, and what lies from each to the next.

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
    """The few pixels inside a mask, of all that the test maps have, and the share of its region that each is."""
    masks = torch.stack([sample.mask for sample in photographs(category, "test").dataset])
    inside = masks.flatten().nonzero()[:, 0]
    return inside, region_share(masks).flatten()[inside]
