"""The explorer of eq. (5) and Algorithm 1 without a browser: its numbers equal the package's."""

import pytest
import torch

from patchcore_edu import covering_radius, greedy_coreset, memory_bank, patch_set, random_projection
from patchcore_edu.explorers import Coreset
from patchcore_edu.explorers.machinery.photographs import photographs


def bank(n: int):
    """The memory bank M of the first n good crops of brick, filled as by `PatchCore`."""
    phi = photographs("brick", "train").phi
    return memory_bank(patch_set({j: phi[j][:n] for j in (2, 3)}))


@pytest.mark.parametrize("l, start, psi", [(1, 0, 0), (2, 3, 2), (50, 1, 128), (313, 9, 0)])
def test_coreset_agrees_with_the_package(l, start, psi):  # noqa: E741
    picture = Coreset(l=l, start=start, psi=psi).picture()
    M = bank(4)
    guide = random_projection(M.vectors, psi, start) if psi else M.vectors
    chosen = greedy_coreset(guide, size=l, seed=start)
    random = torch.randperm(len(M), generator=torch.Generator().manual_seed(start))[:l]
    greedy, chance = (covering_radius(M.vectors, rows) for rows in (chosen, random))
    assert f" {greedy:.1f} (greedy), {chance:.1f} (random)" in picture.formula
    assert f"{greedy:.1f} from the greedy M_C" in picture.caption
    last, (h, w) = int(chosen[-1]), M.position[chosen[-1]].tolist()
    assert picture.numbers["last row chosen by greedy"] == (
        f"row {last:,}: photograph {int(M.image[last])}, (h, w) = ({h}, {w})"
    )
    assert picture.numbers["l"].startswith(f"{l} of N = 3,136 (")
