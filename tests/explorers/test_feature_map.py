"""The explorer of φ without a browser: its numbers equal the package's."""

import numpy as np
import pytest
import torch

from patchcore_edu import feature_maps
from patchcore_edu.backbone import receptive_field
from patchcore_edu.explorers import FeatureMap, PatchSet
from patchcore_edu.explorers.machinery.base import NothingToShow
from patchcore_edu.explorers.machinery.photographs import backbone, photographs


def number(value: float) -> str:
    return f"{float(value):.1f}".replace("-", "−")


def drawn(ax, n: int = 0) -> np.ndarray:
    """The n-th map that the axes show."""
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
    assert len(explorer._kept) == 3, "no picture of a level with the place of another"
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
    with pytest.raises(NothingToShow, match="c was 40; level 2 has the channels 0 to 39"):
        FeatureMap.render(FeatureMap.State(c=40))
    assert PatchSet(levels=(4,), w=7).picture().caption.startswith("Nothing to show: w was 7")


def test_a_place_outside_the_map_comes_back_with_the_next_level():
    """It used to be stuck on "Nothing to show"."""
    explorer = FeatureMap(level=3)
    explorer.state.w = 50
    explorer.state.level = 1
    assert explorer.state.w == 55 and "level 1 are 4 pixels apart" in explorer._view.caption
