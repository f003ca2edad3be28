"""The textures that come with scikit-image, and the defects drawn on them."""

import itertools
import time

import numpy as np
import pytest
import skimage.data
import torch
from scipy import ndimage
from torch.utils.data import DataLoader

from patchcore_edu.datasets import PhotoTextures, Sample
from patchcore_edu.datasets.photo_textures import _samples


def origin(sample: Sample) -> np.ndarray:
    """The part of scikit-image's photograph that `source` names."""
    name, rows, columns = sample.source.removeprefix("skimage ").split(", ")
    (top, bottom), (left, right) = (map(int, part.split()[1].split("-")) for part in (rows, columns))
    return getattr(skimage.data, name)()[top : bottom + 1, left : right + 1] / 255


@pytest.mark.parametrize("category", PhotoTextures.categories)
def test_texture_samples_have_the_promised_types(category):
    for sample in itertools.chain(PhotoTextures(category, "train"), PhotoTextures(category, "test")):
        assert sample.image.shape == (3, 224, 224) and sample.image.dtype == torch.float32
        assert sample.image.min() >= 0 and sample.image.max() <= 1
        assert sample.mask.shape == (224, 224) and sample.mask.dtype == torch.bool
        assert type(sample.anomalous) is bool
        assert sample.anomalous == (sample.defect != "good") == bool(sample.mask.any())


def test_texture_counts():
    assert [sample.defect for sample in PhotoTextures("brick", "train")] == ["good"] * 32
    defects = [sample.defect for sample in PhotoTextures("brick", "test")]
    assert {name: defects.count(name) for name in defects} == {"good": 16, "scratch": 8, "blob": 8, "smear": 8}


@pytest.mark.parametrize("category", PhotoTextures.categories)
def test_good_crops_are_the_photograph_itself_and_train_and_test_share_no_row(category):
    for split, allowed in (("train", range(256)), ("test", range(256, 512))):
        for sample in PhotoTextures(category, split):
            rows = sample.source.split(", ")[1].removeprefix("rows ").split("-")
            assert all(int(row) in allowed for row in rows)
            if sample.defect == "good":
                np.testing.assert_allclose(sample.image[1], origin(sample), atol=1e-6)


@pytest.mark.parametrize("category", PhotoTextures.categories)
def test_a_mask_marks_what_was_visibly_changed(category):
    for sample in PhotoTextures(category, "test"):
        change = np.abs(sample.image[0].numpy() - origin(sample))
        mask = sample.mask.numpy()
        if sample.anomalous:
            assert 1 / 500 <= mask.mean() <= 0.06, "a small defect, but not an invisible one"
            assert change[mask].mean() > 0.06
            assert change[~mask].max() < 0.15 and change[~mask].mean() < 0.001
            far = ndimage.distance_transform_edt(~mask) > 12
            assert change[far].max() < 0.05
        else:
            assert change.max() < 1e-6


def test_no_defect_is_a_flat_patch():
    for category in PhotoTextures.categories:
        for sample in PhotoTextures(category, "test"):
            if sample.defect in ("blob", "smear"):
                assert sample.image[0][sample.mask].std() > 0.01
            if sample.defect == "scratch":
                # A thin defect: no pixel of it is far from the rest of the picture.
                assert ndimage.distance_transform_edt(sample.mask.numpy()).max() < 5


def test_textures_are_seeded():
    first, other = PhotoTextures("brick", "test"), PhotoTextures("brick", "test", seed=1)
    _samples.cache_clear()
    again = PhotoTextures("brick", "test", seed=0)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.image, b.image) and torch.equal(a.mask, b.mask) and a[3:] == b[3:]
    assert [s.source for s in again] != [s.source for s in other]


def test_changing_a_texture_sample_leaves_the_data_set_alone():
    data = PhotoTextures("brick", "test", size=64)
    data[20].image.zero_()
    data[20].mask.fill_(True)
    for sample in (data[20], PhotoTextures("brick", "test", size=64)[20]):
        assert sample.image.max() > 0 and not sample.mask.all()


def test_textures_are_made_in_under_two_seconds():
    seconds = []
    for _ in range(2):
        _samples.cache_clear()
        start = time.process_time()
        PhotoTextures("gravel", "test")
        seconds.append(time.process_time() - start)
    assert min(seconds) < 2


@pytest.mark.parametrize("category, size", [("brick", 64), ("grass", 64), ("gravel", 256)])
def test_textures_of_other_sizes(category, size):
    for sample in PhotoTextures(category, "test", size=size, seed=3):
        assert sample.image.shape == (3, size, size)
        assert sample.anomalous == bool(sample.mask.any())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(category="wood"), "category was 'wood'; it must be one of 'brick', 'grass', 'gravel'"),
        (dict(split="valid"), "split was 'valid'; it must be one of 'train', 'test'"),
        (dict(size=257), "size was 257; .* from 64 to 256"),
        (dict(size=63), "size was 63"),
        (dict(seed=-1), "seed was -1"),
    ],
)
def test_textures_refuse_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PhotoTextures(**arguments)


def test_a_data_loader_collates_samples():
    batches = list(DataLoader(PhotoTextures("grass", "test", size=64), batch_size=20))
    assert len(batches) == 2 and isinstance(batches[1], Sample)
    assert batches[1].image.shape == (20, 3, 64, 64) and batches[1].mask.shape == (20, 64, 64)
    assert batches[1].anomalous.tolist() == [True] * 20 and batches[1].mask.dtype == torch.bool
    assert batches[0].defect[:2] == ("good", "good") or batches[0].defect[:2] == ["good", "good"]
