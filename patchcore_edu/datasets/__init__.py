"""Photographs to try PatchCore on: textures that need no download, two public data sets, and your own folder.

All are `torch.utils.data.Dataset`s of `Sample`s, with torchvision's conventions (`root`, `split`, `download`).
To add a data set, write a class like `MVTecAD` in `folders.py`, list it here, and test it on a small folder in
`tests/datasets/test_folders.py`.
"""

from patchcore_edu.datasets.folders import ImageFolder, MagneticTiles, MVTecAD
from patchcore_edu.datasets.photo_textures import PhotoTextures
from patchcore_edu.datasets.sample import Sample

__all__ = ["ImageFolder", "MVTecAD", "MagneticTiles", "PhotoTextures", "Sample"]
