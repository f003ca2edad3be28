"""The explorer of eq. (1) without a browser: its numbers and its pictures of N_p equal the package's."""

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from patchcore_edu import colours, neighbourhood
from patchcore_edu.explorers import Neighbourhood
from patchcore_edu.explorers.machinery.canvas import draw
from patchcore_edu.explorers.neighbourhood import RULES


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
        assert one == "none: the location is left out"
    else:
        share = len(cells) / len(neighbourhood(h, w, p)) if border == "zero" else 1
        assert float(one) == pytest.approx(share, abs=5e-4)


def test_the_static_canvas_fills_the_cells_of_the_neighbourhood_under_every_border_rule():
    for border in RULES.values():
        for h, w, p in ((0, 0, 3), (26, 13, 5), (14, 14, 4)):
            explorer = Neighbourhood(h=h, w=w, p=p, border=border)
            ax = draw(Figure().add_subplot(), {"h": h, "w": w, **explorer.picture().canvas})
            filled = [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_fill()]
            cells = [(round((box.get_y() + 0.5) / 8), round((box.get_x() + 0.5) / 8)) for box in filled]
            inside = neighbourhood(h, w, p, (28, 28))
            left_out = border == "valid" and len(inside) < len(neighbourhood(h, w, p))
            assert cells == ([] if left_out else inside)
            assert any(patch.get_linestyle() == "--" for patch in ax.patches) == left_out


def test_the_close_up_fills_the_cells_of_the_neighbourhood_under_every_border_rule():
    for border in RULES.values():
        for h, w, p in ((0, 0, 3), (26, 13, 5), (14, 14, 4)):
            [figure] = Neighbourhood(h=h, w=w, p=p, border=border).picture().figures
            drawn = figure.axes[0].collections[0]
            corners = [path.vertices.min(0) + 0.5 for path in drawn.get_paths()]
            inside = neighbourhood(h, w, p, (28, 28))
            assert [(round(y), round(x)) for x, y in corners] == inside
            left_out = border == "valid" and len(inside) < len(neighbourhood(h, w, p))
            [colour] = drawn.get_facecolor().tolist() or [None]
            assert colour is None if left_out else colour[:3] == list(to_rgb(colours.NEIGHBOURHOOD))
