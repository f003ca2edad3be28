"""Photographs that need no download: crops of brick, grass and gravel, with drawn defects."""

from functools import lru_cache

import numpy as np
import skimage.data
import torch
from torch.utils.data import Dataset

from patchcore_edu.datasets.drawn_defects import DRAW, visibly_changed
from patchcore_edu.datasets.sample import GOOD, SPLITS, Sample
from patchcore_edu.validation import one_of, whole_number


class PhotoTextures(Dataset):
    """Crops of a real photograph of a brick wall, grass or gravel; it comes with scikit-image, so no network.

    Training crops (32) come from rows 0–255 of the photograph and test crops from rows 256–511, so no pixel is
    in both. The test split has 16 good crops, and 8 for each of three defects drawn on them: a scratch (a thin
    curved line), a blob (an irregular stain that shifts brightness and lowers contrast) and a smear (a blur in
    one direction). A mask is True where drawing changed the picture visibly: by more than 3 % of full scale,
    averaged over a pixel's close surroundings. The crops are grey, so their three channels are equal.

    The photographs are in the public domain (CC0): brick and gravel from CC0Textures, grass by linolafett on
    DeviantArt.

    Args:
        category: "brick", "grass" or "gravel".
        split: "train" or "test".
        size: H = W in pixels, from 64 to 256.
        seed: decides the crops and the defects; the same seed gives the same samples.

    Raises:
        ValueError: one of the arguments is not allowed.

    Example:
        >>> test = PhotoTextures("brick", "test", size=64)
        >>> len(test), test[0].image.shape, test[0].source
        (40, torch.Size([3, 64, 64]), 'skimage brick, rows ..., columns ...')
        >>> sorted({sample.defect for sample in test})
        ['blob', 'good', 'scratch', 'smear']
    """

    categories = ("brick", "grass", "gravel")

    def __init__(self, category: str = "brick", split: str = "train", size: int = 224, seed: int = 0):
        self.category = one_of("category", category, self.categories)
        self.split = one_of("split", split, SPLITS)
        self.size = whole_number("size", size, at_least=64, at_most=256)
        self._samples = _samples(self.category, self.split, self.size, whole_number("seed", seed, at_least=0))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples[index]
        return sample._replace(image=sample.image.repeat(3, 1, 1), mask=sample.mask.clone())


@lru_cache(maxsize=6)  # both splits of every category
def _samples(category: str, split: str, size: int, seed: int) -> tuple[Sample, ...]:
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    photograph = getattr(skimage.data, category)() / 255.0
    middle = len(photograph) // 2
    names = [GOOD] * 32 if split == "train" else [GOOD] * 16 + [name for name in DRAW for _ in range(8)]

    def sample(defect: str) -> Sample:
        top = (0 if split == "train" else middle) + rng.integers(middle - size + 1)
        left = rng.integers(photograph.shape[1] - size + 1)
        crop = photograph[top : top + size, left : left + size]
        mask = np.zeros(crop.shape, dtype=bool)
        if defect != GOOD:
            drawn = DRAW[defect](crop, rng).clip(0, 1)
            mask = visibly_changed(crop, drawn)
            # A smear along a plain brick changes nothing visible. Then another place is tried.
            if mask.mean() < 1 / 500:
                return sample(defect)
            crop = drawn
        rows, columns = f"rows {top}-{top + size - 1}", f"columns {left}-{left + size - 1}"
        image = torch.from_numpy(crop.astype(np.float32))
        return Sample(image, defect != GOOD, torch.from_numpy(mask), defect, f"skimage {category}, {rows}, {columns}")

    return tuple(map(sample, names))  # data sets share it
