"""The explorer of eq. (7) in the plane, without a browser."""

import pytest

from patchcore_edu.definitions import image_score
from patchcore_edu.explorers import Reweighting
from patchcore_edu.explorers.reweighting import CROWD, SIDE, _bank, _entries, _factors, _places


@pytest.mark.parametrize("b", [1, 2, 9, 31])
@pytest.mark.parametrize(("h", "w"), [(14, 11), (20, 37), (0, 0), (SIDE - 1, SIDE - 1)])
def test_s_is_that_of_the_definition(h, w, b):
    s = image_score([_places()[h, w].tolist()], _bank().tolist(), b)
    picture = Reweighting(h=h, w=w, b=b).picture()
    assert float(picture.formula.rpartition(" = ")[2]) == pytest.approx(s, abs=0.01)
    assert len(picture.figure.axes[0].lines) == b  # a line to each entry of N_b(m*)


def test_w_is_lower_in_the_crowd_than_beside_the_single_entry():
    factors, beside = _factors(9), (_places() - _bank()[CROWD]).norm(dim=2) < 1
    crowd = (_places() - _bank()[:CROWD].mean(0)).norm(dim=2) < 1
    assert factors[crowd].max() < factors[beside].min()
    assert (factors >= 1 - 1 / 9 - 1e-6).all() and (factors < 1).all()


def test_the_entries_have_the_same_places_on_the_canvas_as_in_the_plane():
    box = _entries()[CROWD]
    h, w = (int((box[key] + 2) / 7) for key in ("y", "x"))
    assert (_places()[h, w] - _bank()[CROWD]).norm() < 0.2
