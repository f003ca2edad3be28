"""The explorer of eq. (3) without a browser: its numbers equal the package's."""

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from patchcore_edu import auroc, feature_maps, merge_levels, patch_set
from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.explorers import PatchSet
from patchcore_edu.explorers.machinery.photographs import backbone, photographs
from patchcore_edu.explorers.patch_set import LEVELS


def drawn(ax, n: int = 0) -> np.ndarray:
    """The n-th map that the axes show."""
    return np.asarray(ax.images[n].get_array())


@pytest.mark.parametrize("levels", LEVELS.values())
@pytest.mark.parametrize("p, s", [(1, 1), (3, 3), (4, 2), (7, 8)])
def test_patch_set_agrees_with_the_package(levels, p, s):
    explorer = PatchSet(photograph=20, levels=levels, p=p, s=s)
    picture = explorer.picture()
    maps = feature_maps(photographs("brick", "test").images[[20]], backbone(), levels)
    patches = patch_set(maps, p, s)
    _, rows, columns, d = patches.shape
    across = maps[levels[0]].shape[2]
    assert picture.caption.startswith(f"P holds {rows} × {columns} = {rows * columns} of {across**2} places, each a")
    assert picture.numbers["|P|, one photograph"].endswith(f" = {rows * columns}")
    assert picture.numbers["d, numbers per patch"].split(" = ")[-1] == str(d)
    assert f"{patches.numel() * 4 / 1024:.1f} KiB" in picture.numbers["memory"]
    good = patch_set({j: photographs("brick", "train").phi[j][:4] for j in levels}, p, s)
    distance = torch.cdist(patches.flatten(1, 2)[0], good.flatten(0, 2), compute_mode="donot_use_mm_for_euclid_dist")
    heat = anomaly_map(distance.amin(1).view(1, rows, columns), 224)
    shown = drawn(picture.figure.axes[1], 1)
    assert shown.shape == (224, 224) and np.allclose(shown, heat[0], atol=1e-2)
    mask = photographs("brick", "test").dataset[20].mask[None]
    assert picture.numbers["pixel AUROC, this photograph"].endswith(f"{auroc(heat, mask):.3f} at s = {s}")


def test_patch_set_shows_the_merge():
    levels = PatchSet(p=1).picture().figure.axes[0]
    phi = photographs("brick", "test").phi
    merged = merge_levels([phi[2][[16]], phi[3][[16]]])[0]
    fine, coarse, rescaled = (drawn(levels, n) for n in range(3))
    assert coarse.shape == (14, 14)
    channel = int(levels.texts[1].get_text().split(":")[0].split()[-1])
    assert np.allclose(coarse, phi[3][16, channel]) and np.allclose(rescaled, merged[40 + channel], atol=1e-5)
    assert any(np.allclose(fine, merged[c]) for c in range(40))
    assert levels.images[1].get_clim() == levels.images[2].get_clim(), "one scale before and after"


@pytest.mark.parametrize("s, h, w", [(1, 27, 27), (3, 12, 9), (3, 12, 10), (8, 24, 8), (8, 1, 0)])
def test_patch_set_marks_the_places_it_keeps(s, h, w):
    explorer = PatchSet(s=s, h=h, w=w)
    image = imread(BytesIO(explorer.canvas.image))[..., :3].transpose(2, 0, 1)
    marked = (np.abs(image - photographs("brick", "test").images[16].numpy()) > 0.05).any(0)
    cells = marked.reshape(28, 8, 28, 8).any((1, 3))
    rows, columns = np.nonzero(cells)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        (a, b) for a in range(28) for b in range(28) if a % s == b % s == 0
    }
    places = [(a, b) for a in range(0, 28, s) for b in range(0, 28, s)]
    end = f"is patch {places.index((h, w))}." if (h, w) in places else "is not kept."
    assert explorer.picture().caption.endswith(f"(h, w) = ({h}, {w}) {end}")


def test_patch_set_of_a_good_photograph_has_no_mask_to_compare_with():
    assert PatchSet(photograph=0).picture().numbers["pixel AUROC, this photograph"] == "no defect in it"
