"""The explorers of the bank, the coreset and the score without a browser: their numbers against the package."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from patchcore_edu import auroc, covering_radius, greedy_coreset, memory_bank, patch_set, random_projection
from patchcore_edu.definitions import image_score
from patchcore_edu.explorers import AnomalyScore, Coreset, MemoryBank
from patchcore_edu.explorers.memory_bank import _plane
from patchcore_edu.explorers.photographs import model, photographs


def bank(n: int):
    """M of the first n good crops of brick, as `PatchCore` fills it."""
    phi = photographs("brick", "train").phi
    return memory_bank(patch_set({j: phi[j][:n] for j in (2, 3)}, border="zero"))


@pytest.mark.parametrize("h, w", [(0, 0), (20, 30)])
@pytest.mark.parametrize(
    "n, p, s, levels", [(1, 1, 1, (3,)), (2, 3, 2, (2, 3)), (32, 9, 4, (1, 2)), (3, 7, 3, (2, 3, 4))]
)
def test_memory_bank_agrees_with_the_package(n, p, s, levels, h, w):
    explorer = MemoryBank(n=n, p=p, s=s, levels=levels, h=h, w=w)
    picture = explorer.picture()
    phi = photographs("brick", "train").phi
    M = memory_bank(patch_set({j: phi[j][:n] for j in levels}, p, s, border="zero"), s)
    N, d = M.vectors.shape
    assert f" = {N:,}, " in picture.formula and f"N = {N:,} rows of d = {d} numbers" in picture.caption
    row = int(picture.numbers["member"].split(":")[0].removeprefix("row ").replace(",", ""))
    at = ", ".join(map(str, M.position[row].tolist()))
    assert picture.numbers["member"].endswith(f"photograph {int(M.image[row])}, (h, w) = ({at})")
    other = picture.numbers["most like it in another photograph"]
    if n == 1:
        assert other == "there is no other photograph"
    else:
        distance = (M.vectors[M.image != M.image[row]] - M.vectors[row]).norm(dim=1).min()
        assert other.endswith(f", {distance:.1f} away")


def test_memory_bank_points_at_the_nearest_member_on_the_plane_of_the_principal_directions():
    place = _plane(4, 3, 1, (2, 3)).place
    for axis, principal in enumerate(PCA(2).fit_transform(bank(4).vectors.numpy()).T):
        assert abs(np.corrcoef(place[:, axis], principal)[0, 1]) > 0.9999
    for h, w in ((10, 40), (24, 24), (48, 0)):
        member = MemoryBank(n=4, h=h, w=w).picture().numbers["member"]
        row = int(member.split(":")[0].removeprefix("row ").replace(",", ""))
        away = np.hypot(*(place - (8 * w + 4, 8 * h + 4)).T)
        assert away[row] == away.min()


def test_memory_bank_says_why_p_does_not_fit():
    explorer = MemoryBank(levels=(2, 3, 4), p=9)
    assert explorer.picture().caption.startswith("Nothing to show: p was 9")


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


@pytest.mark.parametrize("b", [1, 2, 9, 50])
@pytest.mark.parametrize("photograph, h, w", [(16, 12, 9), (0, 0, 0), (39, 27, 27)])
def test_anomaly_score_agrees_with_the_definition(photograph, h, w, b):
    picture = AnomalyScore(photograph=photograph, h=h, w=w, b=b).picture()
    fitted, _ = model("brick")
    patches = fitted.patches(photographs("brick", "test").images[[photograph]])[0]
    s = image_score([patches[h, w].tolist()], fitted.bank.vectors.tolist(), b)
    assert float(picture.formula.rpartition(" = ")[2]) == pytest.approx(s, abs=0.06 if b == 1 else 0.006)


@pytest.mark.parametrize("b", [1, 2, 9])
def test_anomaly_score_ranks_as_predict_does(b):
    fitted, tests = model("brick")
    explorer = AnomalyScore(b=b)
    anomalous = torch.arange(40) >= 16
    image_auroc = explorer.picture().numbers["image AUROC"]
    s_star = tests.patch_distance.amax((1, 2))
    assert image_auroc.startswith(f"{auroc(s_star, anomalous):.3f} by s*")
    if b == 1:
        assert image_auroc.endswith(f" {auroc(s_star, anomalous):.3f} by s")
    if b == fitted.b:
        assert image_auroc.endswith(f" {auroc(tests.score, anomalous):.3f} by s")
        for i in (0, 16, 39):
            explorer.state.photograph = i
            assert explorer.picture().numbers["this photograph"].endswith(f"s = {tests.score[i]:.2f}")


def test_anomaly_score_names_the_worst_patch():
    _, tests = model("brick")
    h, w = divmod(int(tests.patch_distance[16].argmax()), 28)
    explorer = AnomalyScore()
    assert (explorer.state.h, explorer.state.w) == (h, w) and "the worst patch of this" in explorer.picture().caption
    explorer.state.h = 0
    assert f"the worst patch is at ({h}, {w})" in explorer.picture().caption
