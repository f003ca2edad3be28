"""The explorer of eqs. (6) and (7) without a browser: its numbers equal the package's."""

import pytest
import torch

from patchcore_edu import auroc
from patchcore_edu.definitions import image_score
from patchcore_edu.explorers import AnomalyScore
from patchcore_edu.explorers.machinery.photographs import model, photographs


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
