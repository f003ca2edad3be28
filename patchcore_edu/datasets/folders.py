"""Photographs in folders: MVTec AD, magnetic tiles, and your own."""

from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple
from warnings import warn

import numpy as np
import torch
from torch.utils.data import Dataset

from patchcore_edu.datasets.photograph_files import (
    SUFFIXES,
    check_geometry,
    folder_called,
    photographs_in,
    provide,
    read_mask,
    read_photograph,
    resize_sample,
)
from patchcore_edu.datasets.sample import GOOD, SPLITS, UNKNOWN, Sample
from patchcore_edu.validation import one_of, whole_number


class _Record(NamedTuple):
    photograph: Path
    defect: str
    mask: Path | None = None
    labelled: bool = True


class _PhotographFiles(Dataset):
    """Photographs that are read from their files on access. A subclass fills `_records`."""

    _records: list[_Record]

    def __init__(self, split: str, size: int, resize: int, aspect: str):
        self.split = one_of("split", split, SPLITS)
        check_geometry(size, resize, aspect)
        self.size, self.resize, self.aspect = size, resize, aspect

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        photograph, defect, mask_file, labelled = self._records[index]
        image = read_photograph(photograph)
        mask = read_mask(mask_file) if mask_file else torch.zeros(image.shape[1:], dtype=torch.bool)
        if mask.shape != image.shape[1:]:
            sizes = f"{tuple(mask.shape)} pixels, but its photograph {photograph} {tuple(image.shape[1:])}"
            raise ValueError(f"mask {mask_file} has {sizes}; the two must have the same size")
        if mask_file and not mask.any():
            warn(f"mask {mask_file} marks no pixel of {photograph}; pixel AUROC and PRO count it as good", stacklevel=2)
        image, mask = resize_sample(image, mask, self.size, self.resize, self.aspect)
        return Sample(image, labelled and defect != GOOD, mask, defect, str(photograph), labelled)


class MVTecAD(_PhotographFiles):
    """MVTec AD, in its own layout: root/category/{train/good, test/DEFECT, ground_truth/DEFECT}.

    The data set comes from MVTec's own page, https://www.mvtec.com/company/research/datasets/mvtec-ad, under
    CC BY-NC-SA 4.0: not for commercial use. That page offers no lasting direct link, so nothing is fetched here.
    If root/category is missing and root/CATEGORY.tar.xz is there, it is unpacked.

    Args:
        root: the folder that holds the categories' folders or archives.
        category: one of the 15 names in `MVTecAD.categories`.
        split: "train" (good photographs only) or "test".
        size, resize, aspect: see `resize_sample`.
        download: True changes nothing but the error: there is no public link to fetch from.

    Raises:
        ValueError: an argument is not allowed; the archive is damaged or holds a path that leads outside; on
            access, a photograph or mask cannot be read.
        FileNotFoundError: a folder, its photographs, or a defect's mask is missing.

    Example:
        >>> MVTecAD("no/such/folder", "bottle")
        Traceback (most recent call last):
        FileNotFoundError: ...bottle is missing. Get bottle.tar.xz from MVTec's own page for MVTec AD...
    """

    categories = tuple(
        "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor wood"
        " zipper".split()
    )

    def __init__(
        self,
        root: str | Path,
        category: str,
        split: str = "train",
        size: int = 224,
        resize: int = 256,
        aspect: str = "keep",
        download: bool = False,
    ):
        super().__init__(split, size, resize, aspect)
        self.root, self.category = folder_called("root", root), one_of("category", category, self.categories)
        advice = f"Get {category}.tar.xz from MVTec's own page for MVTec AD and put it in {self.root}"
        if download:
            advice = f"There is no public link to download it from. {advice}"
        provide(self.root, [category], f"{category}.tar.xz", f"{advice}, or unpack it there")
        folder = self.root / category
        if split == "train":
            self._records = [_Record(file, GOOD) for file in photographs_in(folder / "train" / GOOD)]
        else:
            photographs_in(folder / "test" / GOOD)
            self._records = _labelled(folder / "test", folder / "ground_truth")
            if all(record.defect == GOOD for record in self._records):
                raise FileNotFoundError(f"{folder / 'test'} holds no folder of defective photographs")


class MagneticTiles(_PhotographFiles):
    """The Magnetic Tile Defects data set: root/MT_{Free, Blowhole, …}/Imgs, masks (png) beside photographs (jpg).

    The test split holds all defective photographs and a fifth of the defect-free ones (MT_Free), chosen by `seed`.
    The tiles have many sizes, up to six times as long as wide. So the default here is aspect="squash": "keep" cuts the
    ends off a long tile. A defect there is then not in the picture, although the sample still counts as anomalous.

    The data set's page states no licence. It asks for a citation: Huang et al., "Surface defect saliency of
    magnetic tile", 2018.

    Args:
        root: the folder that holds the six MT_ folders, or the archive of the data set's GitHub repository.
        split: "train" (defect-free photographs only) or "test".
        size, resize, aspect: see `resize_sample`.
        seed: decides which defect-free photographs are held out.
        download: fetch the archive if a folder is missing.

    Raises:
        ValueError: as for `MVTecAD`.
        FileNotFoundError: a folder, its photographs, or a defect's mask is missing; the download failed.
    """

    url = "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/master.zip"
    archive = "Magnetic-tile-defect-datasets.-master.zip"
    defects = ("blowhole", "break", "crack", "fray", "uneven")

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        size: int = 224,
        resize: int = 256,
        aspect: str = "squash",
        seed: int = 0,
        download: bool = False,
    ):
        super().__init__(split, size, resize, aspect)
        self.root = folder_called("root", root)
        rng = np.random.default_rng(whole_number("seed", seed, at_least=0))
        folders = {name: f"MT_{name.capitalize()}" for name in ("free", *self.defects)}
        advice = f"Put the file from {self.url} at {self.root / self.archive}, or unpack it so that "
        advice += f"{self.root / 'MT_Free' / 'Imgs'} and the five folders beside MT_Free exist"
        provide(self.root, list(folders.values()), self.archive, advice, self.url if download else None)
        files = {name: photographs_in(self.root / folder / "Imgs", (".jpg",)) for name, folder in folders.items()}
        free = files.pop("free")
        held_out = set(rng.permutation(len(free))[: max(1, round(0.2 * len(free)))].tolist())
        chosen = [file for i, file in enumerate(free) if (i in held_out) == (split == "test")]
        self._records = [_Record(file, GOOD) for file in chosen]
        if split == "test":
            for name, photographs in files.items():
                self._records += [_Record(file, name, _mask_of(file, file.parent)) for file in photographs]


class ImageFolder(_PhotographFiles):
    """Your own photographs.

    `train_dir` holds good photographs. `test_dir` holds one subfolder for each defect, named after it, and one
    named "good". Or it holds only photographs: their defect is "unknown", `labelled` is False, and `anomalous` is
    False for want of a label, so look at their scores but compute no AUROC. The mask of DEFECT/NAME.jpg is
    mask_dir/DEFECT/NAME_mask.png or NAME.png. Without `mask_dir`, every mask is all False, even for anomalous
    photographs: then pixel metrics mean nothing.

    Args:
        train_dir: a folder of good photographs (png, jpg, bmp, tif, webp).
        test_dir: as above; needed for split="test".
        mask_dir: as above; if given, every anomalous photograph must have its mask.
        split: "train" or "test".
        size, resize, aspect: see `resize_sample`.

    Raises:
        ValueError: an argument is not allowed; `test_dir` mixes photographs and subfolders, or has one whose name
            is nearly "good"; two photographs would share a mask; on access, a photograph or mask cannot be read.
        FileNotFoundError: a folder, its photographs, or a mask is missing.
    """

    def __init__(
        self,
        train_dir: str | Path,
        test_dir: str | Path | None = None,
        mask_dir: str | Path | None = None,
        split: str = "train",
        size: int = 224,
        resize: int = 256,
        aspect: str = "keep",
    ):
        super().__init__(split, size, resize, aspect)
        if split == "train":
            self._records = [_Record(file, GOOD) for file in photographs_in(folder_called("train_dir", train_dir))]
        elif test_dir is None:
            raise ValueError("test_dir was None; for split='test' it must be a folder of photographs")
        else:
            masks = None if mask_dir is None else folder_called("mask_dir", mask_dir)
            self._records = _labelled(folder_called("test_dir", test_dir), masks)


def _labelled(folder: Path, mask_dir: Path | None) -> list[_Record]:
    subfolders = sorted(path for path in folder.glob("*") if path.is_dir() and path.name[0] != ".")
    if not subfolders:
        return [_Record(file, UNKNOWN, labelled=False) for file in photographs_in(folder)]
    if any(file.suffix.lower() in SUFFIXES and not file.is_dir() for file in folder.iterdir()):
        raise ValueError(f"{folder} holds photographs and subfolders; it must hold one or the other")
    records = []
    for subfolder in subfolders:
        if subfolder.name != GOOD and _means_good(subfolder.name):
            raise ValueError(
                f"{subfolder} would count as a defect called {subfolder.name!r}; "
                f"the folder of good photographs must be called {GOOD!r}"
            )
        masked, stems = mask_dir is not None and subfolder.name != GOOD, {}
        for file in photographs_in(subfolder):
            if masked and (twin := stems.setdefault(file.stem, file)) != file:
                raise ValueError(f"{twin} and {file.name} would share a mask; their names must differ before the dot")
            mask = _mask_of(file, mask_dir / subfolder.name) if masked else None
            records.append(_Record(file, subfolder.name, mask))
    return records


def _means_good(name: str) -> bool:
    """Whether it is a slip of "good" or another word for it: "Good", "goood", "OK"."""
    name = name.casefold().strip()
    return name in ("ok", "okay", "normal") or SequenceMatcher(None, name, GOOD).ratio() > 0.8


def _mask_of(photograph: Path, folder: Path) -> Path:
    names = [f"{photograph.stem}_mask.png", f"{photograph.stem}.png"]
    for name in names:
        # A png is not its own mask.
        if (folder / name).is_file() and folder / name != photograph:
            return folder / name
    raise FileNotFoundError(f"photograph {photograph} has no mask; it must be {folder / names[0]} or {names[1]}")
