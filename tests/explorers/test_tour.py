"""`PaintDefect` without a browser: its numbers equal the package's."""

import io

import numpy as np
import pytest
import torch
import traitlets
from matplotlib.image import imread

from patchcore_edu.explorers import PaintDefect
from patchcore_edu.explorers.machinery.photographs import model, photographs
from patchcore_edu.explorers.tour import SCRATCH, paint


def pixels(png: bytes):
    return imread(io.BytesIO(png))


def test_paint_defect_agrees_with_the_package():
    fitted, tests = model("brick")
    explorer = PaintDefect(photograph=3, strokes=[])
    highest = tests.score[:16].max()
    clean, caption = explorer.picture().numbers, explorer.picture().caption
    assert caption.startswith("Nothing painted yet") and "not above" in caption
    assert clean["score s"] == f"{tests.score[3]:.2f}" and clean["highest s of 16 good photographs"] == f"{highest:.2f}"
    explorer.state.strokes = [SCRATCH, {"path": [[20, 20]], "brush": 12, "grey": 0.0, "smear": False}]
    image = torch.from_numpy(pixels(explorer.canvas.image)[..., :3]).permute(2, 0, 1)
    score = fitted.predict(image[None]).score
    # The browser's picture is rounded to 256 grey levels.
    assert float(explorer.picture().numbers["score s"]) == pytest.approx(float(score), rel=0.01)
    assert score > highest and f"is above {highest:.1f}" in explorer.picture().caption
    explorer.state.strokes = []
    assert explorer.picture().numbers == clean


def test_a_stroke_changes_only_what_lies_under_it():
    image = photographs("brick", "test").images[0, 0].numpy()
    across = {"path": [[50, 100], [150, 100]], "brush": 9}
    for smear in (False, True):
        painted = paint(image, **across, grey=0.9, smear=smear)
        assert painted.shape == image.shape and painted is not image
        rows, columns = np.nonzero(painted != image)
        assert (rows.min(), rows.max()) == (96, 104) and 46 <= columns.min() and columns.max() <= 154
    assert (paint(image, **across, grey=0.9, smear=False)[96:105, 50:151] == np.float32(0.9)).all()
    even = np.full((64, 64), 0.3, dtype=np.float32)
    assert paint(even, [[0, 0], [63, 63]], 15, 0.9, True) == pytest.approx(even)
    edge = np.where(np.arange(64) < 32, np.float32(0.1), np.float32(0.8)) * np.ones((64, 1), np.float32)
    dragged = paint(edge, [[24, 30], [44, 30]], 8, 0.9, True)
    assert 0.1 < dragged[30, 40] < 0.75, "dark is carried over the edge, and thins out"


def test_a_stroke_that_leaves_the_photograph_ends_at_its_edge(at_most):
    """A path to 10⁹ used to take 22 GB of memory."""
    explorer = PaintDefect(strokes=[])
    for far in (10**9, 1e308):
        with at_most(200):
            explorer.state.strokes = [SCRATCH | {"path": [[100, 100], [far, -far]], "smear": True}]
        assert explorer.state.strokes[0]["path"] == [[100, 100], [223, 0]]


def test_many_strokes_at_once():
    """600 used to end in a RecursionError."""
    explorer = PaintDefect(strokes=[])
    strokes = [SCRATCH | {"path": [[i % 200, i // 10]], "brush": 2} for i in range(700)]
    explorer.state.strokes = strokes
    assert explorer.picture().numbers["strokes"] == "700"
    all_at_once = explorer.canvas.image
    explorer.state.strokes = strokes[:-1]
    explorer.state.strokes = strokes
    assert explorer.canvas.image == all_at_once


@pytest.mark.parametrize(
    "change",
    [
        {"path": []},
        {"path": [[1, float("nan")]]},
        {"path": [[1, 2, 3]]},
        {"path": [["1", "2"]]},
        {"path": 3},
        {"path": [[1, 1]] * 100_001},
        {"brush": 0},
        {"brush": 10**9},
        {"grey": float("nan")},
        {"grey": 2},
        {"smear": "yes"},
        {"colour": "red"},
    ],
)
def test_what_is_not_a_stroke_is_named_and_refused(change):
    explorer = PaintDefect()
    before = explorer.canvas.image
    for wrong in (SCRATCH | change, {"path": [[1, 1]]}, None):
        with pytest.raises(traitlets.TraitError, match=r"^strokes\[1\]"):
            explorer.state.strokes = [SCRATCH, wrong]
        assert explorer.state.strokes == [SCRATCH] and explorer.canvas.image == before


@pytest.mark.parametrize(
    "strokes",
    [[SCRATCH | {"path": [[1, 1]]}] * 1001, [SCRATCH | {"path": [[0, 0], [223, 0]] * 300, "smear": True}]],
    ids=["too many", "too long"],
)
def test_the_amount_of_painting_is_limited(strokes):
    explorer = PaintDefect()
    with pytest.raises(traitlets.TraitError, match=r"^strokes .* may"):
        explorer.state.strokes = strokes
    assert explorer.state.strokes == [SCRATCH]
