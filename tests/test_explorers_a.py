"""The explorers of the feature map and the patch set without a browser: their numbers against the package."""

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from patchcore_edu import auroc, feature_maps, merge_levels, patch_set
from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.backbone import receptive_field
from patchcore_edu.explorers import FeatureMap, PatchSet
from patchcore_edu.explorers.patch_set import LEVELS
from patchcore_edu.explorers.photographs import backbone, photographs


def number(value: float) -> str:
    return f"{float(value):.1f}".replace("-", "−")


def drawn(ax, n: int = 0) -> np.ndarray:
    """The n-th map that an axes shows."""
    return np.asarray(ax.images[n].get_array())


@pytest.mark.parametrize(
    "level, h, w, c", [(1, 0, 0, 0), (1, 55, 55, 23), (2, 12, 9, 39), (3, 13, 0, 111), (4, 6, 6, 319), (4, 3, 2, 0)]
)
def test_feature_map_agrees_with_the_package(level, h, w, c):
    picture = FeatureMap(photograph=17, level=level, h=h, w=w, c=c).picture()
    phi_j = feature_maps(photographs("brick", "test").images[[17]], backbone(), [level])[level][0]
    vector, (rows, columns) = phi_j[:, h, w], phi_j.shape[1:]
    assert picture.formula.startswith(f"φ_{level}({h}, {w}) = ({number(vector[0])}, {number(vector[1])}, ")
    assert picture.formula.endswith(f", {len(vector)} numbers; number {c} is {number(vector[c])}")
    assert np.allclose(drawn(picture.figure.axes[0]), phi_j[c], atol=1e-4)
    assert (picture.canvas["rows"], picture.canvas["columns"]) == (rows, columns)
    unusual = (vector - phi_j.mean((1, 2))) / phi_j.std((1, 2))
    strongest = int(unusual.abs().argmax())
    text = f"channel {strongest}: {float(unusual[strongest]):+.1f} sd".replace("-", "−")
    assert picture.numbers["most unusual here"].startswith(text)


@pytest.mark.parametrize("level, h, w", [(1, 30, 4), (2, 12, 9), (2, 0, 27), (3, 6, 6), (4, 3, 3)])
def test_feature_map_frames_the_receptive_field(level, h, w):
    picture = FeatureMap(level=level, h=h, w=w).picture()
    top, left, side = receptive_field(backbone(), level, h, w)
    [box] = picture.canvas["boxes"]
    seen = torch.zeros(224, 224, dtype=torch.bool)
    seen[max(top, 0) : top + side, max(left, 0) : left + side] = True
    framed = torch.zeros_like(seen)
    framed[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = True
    assert torch.equal(framed, seen)
    assert f"sees {side} × {side}: {float(seen.float().mean()):.0%} of" in picture.caption
    assert ("padding" in picture.numbers["what it sees"]) == (int(seen.sum()) < side**2)


def test_the_place_stays_on_the_photograph_when_the_level_changes():
    explorer = FeatureMap(level=1, h=30, w=41)
    explorer.state.level = 2
    assert (explorer.state.h, explorer.state.w) == (explorer.canvas.h, explorer.canvas.w) == (15, 20)
    explorer.state.level = 4
    assert (explorer.canvas.rows, explorer.canvas.h, explorer.canvas.w) == (7, 3, 5)
    assert explorer._kept.cache_info().misses == 3, "no picture of a level with the place of another"
    explorer.controls["c"].value = 319
    explorer.state.level = 3
    assert explorer.state.c == explorer.controls["c"].max == 111
    assert explorer.picture().formula.split("; number ")[1].startswith("111 is ")
    moved = PatchSet(levels=(2, 3), h=27, w=0)
    moved.controls["levels"].value = (4,)
    assert (moved.state.h, moved.state.w) == (moved.canvas.h, moved.canvas.w) == (6, 0)


def test_a_place_or_channel_outside_the_map_says_so():
    assert FeatureMap(level=4, h=50).picture().caption == (
        "Nothing to show: h was 50; it must be a whole number from 0 to 6"
    )
    with pytest.raises(ValueError, match="c was 40; level 2 has the channels 0 to 39"):
        FeatureMap.render(FeatureMap.State(c=40))
    assert PatchSet(levels=(4,), w=7).picture().caption.startswith("Nothing to show: w was 7")


@pytest.mark.parametrize("levels", LEVELS.values())
@pytest.mark.parametrize("p, s", [(1, 1), (3, 3), (4, 2), (7, 8)])
def test_patch_set_agrees_with_the_package(levels, p, s):
    explorer = PatchSet(photograph=20, levels=levels, p=p, s=s)
    picture = explorer.picture()
    maps = feature_maps(photographs("brick", "test").images[[20]], backbone(), levels)
    patches = patch_set(maps, p, s, border="zero")
    _, rows, columns, d = patches.shape
    across = maps[levels[0]].shape[2]
    assert picture.caption.startswith(f"P holds {rows} × {columns} = {rows * columns} of {across**2} places, each a")
    assert picture.numbers["|P|, one photograph"].endswith(f" = {rows * columns}")
    assert picture.numbers["d, numbers of a patch"].split(" = ")[-1] == str(d)
    assert f"{patches.numel() * 4 / 1024:.1f} KiB" in picture.numbers["memory"]
    good = patch_set({j: photographs("brick", "train").phi[j][:4] for j in levels}, p, s, border="zero")
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
