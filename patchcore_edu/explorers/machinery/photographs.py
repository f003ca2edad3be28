"""What the explorers share, computed once for all kernels: photographs, their feature maps, and a fitted model."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from patchcore_edu.backbone import Backbone, load_backbone
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.datasets.sample import GOOD, Sample
from patchcore_edu.explorers.machinery.cache import kept
from patchcore_edu.feature_map import feature_maps
from patchcore_edu.memory_bank import ARRAYS, MemoryBank
from patchcore_edu.patchcore import PatchCore, Prediction

LEVELS = (1, 2, 3, 4)


def seen_in(bank: MemoryBank, row: int) -> str:
    """Where a row of the bank comes from, in words."""
    image, h, w = bank.origin(row)
    return f"row {row:,}: photograph {image}, (h, w) = ({h}, {w})"


@dataclass(frozen=True)
class Photographs:
    """The crops of one split and their feature maps.

    Attributes:
        dataset: the `Sample`s: image, anomalous, mask, defect, source.
        images: (n, 3, 224, 224), in [0, 1].
        phi: {j: (n, c_j, h_j, w_j)}, φ_{i,j} at levels 1 to 4.
    """

    dataset: list[Sample]
    images: torch.Tensor
    phi: dict[int, torch.Tensor]


@lru_cache(maxsize=1)
def backbone() -> Backbone:
    """φ: the network whose weights come with the installation."""
    return load_backbone("efficientnet_lite0")


@lru_cache(maxsize=6)
def photographs(category: str = "brick", split: str = "train") -> Photographs:
    """All crops of one split: 32 good ones in "train", 16 good and 24 with a drawn defect in "test"."""
    arrays = kept(f"{category}-{split}", lambda: _seen(PhotoTextures(category, split)))
    images = torch.from_numpy(arrays["grey"]).expand(-1, 3, -1, -1)
    samples = zip(images, torch.from_numpy(arrays["mask"]), arrays["defect"], arrays["source"], strict=True)
    return Photographs(
        [Sample(image, defect != GOOD, mask, str(defect), str(source)) for image, mask, defect, source in samples],
        images,
        {j: torch.from_numpy(arrays[f"phi_{j}"]).permute(0, 3, 1, 2) for j in LEVELS},
    )


@lru_cache(maxsize=2)
def model(category: str = "brick") -> tuple[PatchCore, Prediction]:
    """PatchCore with its default settings, fitted on the good crops, and what it predicts for the test crops."""
    fitted = PatchCore(backbone())
    arrays = {
        name: torch.from_numpy(array) for name, array in kept(f"{category}-model", lambda: _fit(category)).items()
    }
    fitted.rows_before = int(arrays.pop("rows_before"))
    fitted.bank = MemoryBank(*(arrays.pop(name) for name in ARRAYS), fitted.settings())
    return fitted, Prediction(**arrays)


def _seen(dataset: PhotoTextures) -> dict[str, np.ndarray]:
    images = torch.stack([sample.image for sample in dataset])
    batches = [feature_maps(batch, backbone(), LEVELS) for batch in images.split(8)]
    return {
        "grey": images[:, :1].numpy(),
        "mask": torch.stack([sample.mask for sample in dataset]).numpy(),
        "defect": np.array([sample.defect for sample in dataset]),
        "source": np.array([sample.source for sample in dataset]),
        # Channels last, as the network returns them.
        **{f"phi_{j}": torch.cat([phi[j] for phi in batches]).permute(0, 2, 3, 1).numpy() for j in LEVELS},
    }


def _fit(category: str) -> dict[str, np.ndarray]:
    fitted, good, test = PatchCore(backbone()), photographs(category, "train"), photographs(category, "test")
    fitted.fit_patches(fitted.patches_of(good.phi))
    prediction = fitted.predict_patches(fitted.patches_of(test.phi), test.images.shape[2:])
    bank = {name: getattr(fitted.bank, name).numpy() for name in ARRAYS}
    judged = {name: tensor.numpy() for name, tensor in vars(prediction).items()}
    return bank | judged | {"rows_before": np.array(fitted.rows_before)}
