"""Explorers without a browser: the pure render, states at their extremes, bounded memory, static pictures."""

import io

import numpy as np
import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.image import imread

from patchcore_edu import aggregate, explorers, neighbourhood
from patchcore_edu.explorers import Neighbourhood, PaintDefect
from patchcore_edu.explorers.base import KEPT, Explorer, Picture, choice, switch, whole
from patchcore_edu.explorers.neighbourhood import RULES
from patchcore_edu.explorers.paint_defect import SCRATCH, paint
from patchcore_edu.explorers.photographs import model, photographs


class Toy(Explorer):
    """p and s of a map of 4 × 4; p larger than s says why not."""

    rendered = 0

    class State(traitlets.HasTraits):
        s = whole("s, stride", 1, 1, 200)
        p = whole("p, cells across", 1, 1, 9)
        border = choice("Border", "clip", ["clip", "zero"])
        shared = switch("Shared scale", True)

    @staticmethod
    def render(state):
        Toy.rendered += 1
        aggregate(torch.ones(1, 1, 4, 4), state.p)
        return Picture(Figure(figsize=(2, 1)), f"p = {state.p}", {"s": str(state.s)})


def pixels(png: bytes):
    return imread(io.BytesIO(png))


@pytest.mark.parametrize("name", explorers.__all__)
def test_every_explorer_is_complete_at_once_and_accessible(name):
    explorer = getattr(explorers, name)()
    picture = explorer.picture()
    view = explorer._view
    assert view.caption == picture.caption and "\n" not in picture.caption and 20 < len(picture.caption) < 200
    assert dict(view.numbers) == dict(picture.numbers) and picture.numbers
    assert pixels(view.pngs[0]).std() > 0.05
    assert explorer.canvas is None or (explorer.canvas.image[:4] == b"\x89PNG" and explorer.canvas.alt)
    data, metadata = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert metadata["image/png"]["alt"] == picture.caption == data["text/plain"]
    static = pixels(data["image/png"])
    assert static.shape[1] >= 800 and static.std() > 0.05
    assert isinstance(explorer.figure(), Figure)


def test_a_control_moves_the_state_and_the_state_moves_the_control():
    toy = Toy(p=3)
    assert list(toy.controls) == ["s", "p", "border", "shared"]
    toy.controls["p"].value = 4
    assert toy._view.caption == "p = 4" and toy.state.p == 4
    toy.state.p = 2
    assert toy.controls["p"].value == 2 and toy._view.caption == "p = 2"


def test_a_combination_that_makes_no_sense_says_why():
    toy = Toy()
    toy.state.p = 7
    assert toy._view.caption.startswith("Nothing to show: p was 7")
    assert pixels(toy._view.pngs[0])[..., :3].min() < 0.5, "the reason stands in the picture too"
    toy.state.p = 1
    assert toy._view.caption == "p = 1"


def test_settings_out_of_range_are_refused():
    with pytest.raises(traitlets.TraitError, match="'p'"):
        Toy(p=0)
    with pytest.raises(traitlets.TraitError, match="'border'"):
        Toy(border="wrap")
    with pytest.raises(ValueError, match=r"settings were \['q'\]; they may be \['border', 'p', 's', 'shared'\]"):
        Toy(q=1)


def test_visited_settings_are_kept_and_their_number_is_bounded():
    toy = Toy()
    for s in range(1, 201):
        toy.state.s = s
    assert toy._kept.cache_info().currsize == KEPT
    rendered = Toy.rendered
    for s in range(199, 201 - KEPT, -1):
        toy.state.s = s
        assert dict(toy._view.numbers) == {"s": str(s)}
    assert Toy.rendered == rendered
    toy.state.s = 1
    assert Toy.rendered == rendered + 1 and dict(toy._view.numbers) == {"s": "1"}


def test_pointing_renders_once():
    explorer = Neighbourhood()
    misses = explorer._kept.cache_info().misses
    explorer.canvas.set_state({"h": 5, "w": 6})
    assert (explorer.state.h, explorer.state.w) == (5, 6)
    assert explorer._kept.cache_info().misses == misses + 1
    explorer.state.h = 7
    assert explorer.canvas.h == 7


@pytest.mark.parametrize("border", RULES.values())
@pytest.mark.parametrize("p", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("h, w", [(0, 0), (27, 27), (0, 13), (14, 14)])
def test_neighbourhood_agrees_with_the_package(h, w, p, border):
    explorer = Neighbourhood(h=h, w=w, p=p, border=border)
    picture = explorer.picture()
    cells = neighbourhood(h, w, p, (28, 28))
    assert picture.numbers["cells (a, b)"] == " ".join(map(str, cells))
    assert picture.numbers[f"|N_{p}|"].startswith(f"{len(cells)} of {(2 * (p // 2) + 1) ** 2}")
    one = picture.numbers["a one after f_agg"]
    if border == "valid" and len(cells) < len(neighbourhood(h, w, p)):
        assert one == "none, the location is left out"
    else:
        share = len(cells) / len(neighbourhood(h, w, p)) if border == "zero" else 1
        assert float(one) == pytest.approx(share, abs=5e-4)


def test_paint_defect_agrees_with_the_package():
    fitted, tests = model("brick")
    explorer = PaintDefect(photograph=3, strokes=[])
    highest = tests.score[:16].max()
    clean, caption = explorer.picture().numbers, explorer.picture().caption
    assert caption.startswith("Nothing is painted yet") and "not above" in caption
    assert clean["score s"] == f"{tests.score[3]:.2f}" and clean["highest s of 16 good photographs"] == f"{highest:.2f}"
    explorer.state.strokes = [SCRATCH, {"path": [[20, 20]], "brush": 12, "grey": 0.0, "smear": False}]
    image = torch.from_numpy(pixels(explorer.canvas.image)[..., :3]).permute(2, 0, 1)
    score = fitted.predict(image[None]).score
    # The browser's picture is rounded to 256 greys.
    assert float(explorer.picture().numbers["score s"]) == pytest.approx(float(score), rel=0.01)
    assert score > highest and f"is above {highest:.1f}" in explorer.picture().caption
    explorer.state.strokes = []
    assert explorer.picture().numbers == clean


def test_a_stroke_changes_what_lies_under_it_alone():
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
