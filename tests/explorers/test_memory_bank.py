"""The explorer of eq. (4) without a browser: its numbers equal the package's."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from patchcore_edu import memory_bank, patch_set
from patchcore_edu.explorers import Bank
from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.explorers.memory_bank import _plane


def bank(n: int):
    """The memory bank M of the first n good crops of brick, filled as by `PatchCore`."""
    phi = photographs("brick", "train").phi
    return memory_bank(patch_set({j: phi[j][:n] for j in (2, 3)}))


@pytest.mark.parametrize("h, w", [(0, 0), (20, 30)])
@pytest.mark.parametrize(
    "n, p, s, levels", [(1, 1, 1, (3,)), (2, 3, 2, (2, 3)), (32, 9, 4, (1, 2)), (3, 7, 3, (2, 3, 4))]
)
def test_memory_bank_agrees_with_the_package(n, p, s, levels, h, w):
    explorer = Bank(n=n, p=p, s=s, levels=levels, h=h, w=w)
    picture = explorer.picture()
    phi = photographs("brick", "train").phi
    M = memory_bank(patch_set({j: phi[j][:n] for j in levels}, p, s), s)
    N, d = M.vectors.shape
    assert f" = {N:,}, " in picture.formula and f"N = {N:,} entries of d = {d} numbers" in picture.caption
    row = int(picture.numbers["entry"].split(":")[0].removeprefix("row ").replace(",", ""))
    at = ", ".join(map(str, M.position[row].tolist()))
    assert picture.numbers["entry"].endswith(f"photograph {int(M.image[row])}, (h, w) = ({at})")
    other = picture.numbers["most similar in another photograph"]
    if n == 1:
        assert other == "there is no other photograph"
    else:
        distance = (M.vectors[M.image != M.image[row]] - M.vectors[row]).norm(dim=1).min()
        assert other.endswith(f", {distance:.1f} away")


def test_memory_bank_points_at_the_nearest_entry_on_the_plane_of_the_principal_directions():
    place = _plane(4, 3, 1, (2, 3)).place
    for axis, principal in enumerate(PCA(2).fit_transform(bank(4).vectors.numpy()).T):
        assert abs(np.corrcoef(place[:, axis], principal)[0, 1]) > 0.9999
    for h, w in ((10, 40), (24, 24), (48, 0)):
        member = Bank(n=4, h=h, w=w).picture().numbers["entry"]
        row = int(member.split(":")[0].removeprefix("row ").replace(",", ""))
        away = np.hypot(*(place - (8 * w + 4, 8 * h + 4)).T)
        assert away[row] == away.min()


def test_memory_bank_says_why_p_does_not_fit():
    explorer = Bank(levels=(2, 3, 4), p=9)
    assert explorer.picture().caption.startswith("Nothing to show: p was 9")
