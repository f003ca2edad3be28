"""The explorer of N_p without a browser: its numbers against the package."""

import pytest

from patchcore_edu import neighbourhood
from patchcore_edu.explorers import Neighbourhood
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
        assert one == "none, the location is left out"
    else:
        share = len(cells) / len(neighbourhood(h, w, p)) if border == "zero" else 1
        assert float(one) == pytest.approx(share, abs=5e-4)
