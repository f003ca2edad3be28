"""What explorers share, computed once for each process: photographs, their feature maps, and a fitted model."""

from dataclasses import dataclass
from functools import lru_cache

import torch

from patchcore_edu.backbone import Backbone, load_backbone
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.feature_map import feature_maps
from patchcore_edu.memory_bank import MemoryBank
from patchcore_edu.patchcore import PatchCore, Prediction

LEVELS = (1, 2, 3, 4)


def seen_in(bank: MemoryBank, row: int) -> str:
    """In words: where a row of the bank was seen."""
    image, h, w = bank.origin(row)
    return f"row {row:,}: photograph {image}, (h, w) = ({h}, {w})"


@dataclass(frozen=True)
class Photographs:
    """The crops of one split and what the network sees in them.

    Attributes:
        dataset: the `Sample`s: image, anomalous, mask, defect, source.
        images: (n, 3, 224, 224), in [0, 1].
        phi: {j: (n, c_j, h_j, w_j)}, φ_{i,j} at levels 1 to 4.
    """

    dataset: PhotoTextures
    images: torch.Tensor
    phi: dict[int, torch.Tensor]


@lru_cache(maxsize=1)
def backbone() -> Backbone:
    """φ: the network that comes with its weights."""
    return load_backbone("efficientnet_lite0")


@lru_cache(maxsize=6)
def photographs(category: str = "brick", split: str = "train") -> Photographs:
    """All crops of one split: 32 good ones in "train", 16 good and 24 with a drawn defect in "test"."""
    dataset = PhotoTextures(category, split)
    images = torch.stack([sample.image for sample in dataset])
    batches = [feature_maps(batch, backbone(), LEVELS) for batch in images.split(8)]
    return Photographs(dataset, images, {j: torch.cat([phi[j] for phi in batches]) for j in LEVELS})


@lru_cache(maxsize=2)
def model(category: str = "brick") -> tuple[PatchCore, Prediction]:
    """PatchCore with its default settings, fitted on the good crops, and what it predicts for the test crops."""
    fitted, good, test = PatchCore(backbone()), photographs(category, "train"), photographs(category, "test")
    fitted.fit_patches(fitted.patches_of(good.phi))
    return fitted, fitted.predict_patches(fitted.patches_of(test.phi), test.images.shape[2:])
