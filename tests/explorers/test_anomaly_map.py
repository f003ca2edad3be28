"""The explorer of the anomaly map without a browser: its numbers equal the package's."""

import numpy as np
import pytest
import torch

from patchcore_edu import anomaly_map
from patchcore_edu.explorers import AnomalyMap
from patchcore_edu.explorers.machinery.photographs import model, photographs


@pytest.fixture(scope="module")
def masks():
    return torch.stack([sample.mask for sample in photographs("brick", "test").dataset])


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("photograph, sigma, threshold", [(16, 4, 29.5), (0, 0, 20), (39, 16, 15), (20, 1.5, 25)])
def test_anomaly_map_agrees_with_the_package(photograph, sigma, threshold, upsampling, masks):
    picture = AnomalyMap(photograph=photograph, sigma=sigma, threshold=threshold, upsampling=upsampling, h=3, w=20)
    picture = picture.picture()
    _, tests = model("brick")
    anomaly = anomaly_map(tests.patch_distance[[photograph]], 224, sigma, upsampling)[0]
    assert picture.formula.endswith(f"the map there, with σ = {sigma}: {anomaly[28, 164]:.1f}")
    assert f"maximum is {anomaly.max():.1f}, not s" in picture.caption
    mask, above = masks[photograph], anomaly > threshold
    both = (mask & above).sum()
    pixels = picture.numbers["pixels of this photograph"]
    assert f"precision {both / above.sum():.2f}," in pixels
    if mask.any():
        assert pixels.endswith(f"recall {both / mask.sum():.2f}, overlap {both / (mask | above).sum():.2f}")
    else:
        assert pixels.endswith("recall undefined, there is no defect")
    found, alarms = (tests.score > threshold)[16:].sum(), (tests.score > threshold)[:16].sum()
    missed, passed = 24 - found, 16 - alarms
    counts = f"{found} defects found, {missed} missed; {alarms} false alarms, {passed} good ones pass"
    assert picture.numbers["confusion"] == counts
    assert picture.numbers["all 40 photographs"] == f"precision {found / (found + alarms):.2f}, recall {found / 24:.2f}"


def test_it_says_when_nothing_is_above_the_threshold():
    explorer = AnomalyMap(threshold=55, photograph=0)
    numbers = explorer.picture().numbers
    undefined = "precision undefined, nothing lies above, recall "
    assert numbers["pixels of this photograph"].startswith(undefined)
    assert numbers["all 40 photographs"] == undefined + "0.00"
    assert "passes" in explorer.picture().caption


def test_the_shared_scale_is_the_same_for_all_photographs():
    scales = {AnomalyMap(photograph=i).picture().numbers["scale of the map"] for i in (0, 16, 39)}
    assert scales == {f"0.0 to {model('brick')[1].patch_distance.max():.1f}"}
    own = AnomalyMap(photograph=0, own_scale=True).picture()
    anomaly = model("brick")[1].anomaly_map[0]
    assert own.numbers["scale of the map"] == f"{anomaly.min():.1f} to {anomaly.max():.1f}"
    assert "something is always bright" in own.caption


def test_the_outline_on_the_photograph_is_the_mask_s(masks):
    [box, *_] = AnomalyMap(photograph=24).picture().canvas["boxes"]
    x, y = np.array(box["points"]).T
    rows, columns = masks[24].nonzero().T
    assert y.min() >= rows.min() and y.max() <= rows.max() + 1 and abs(y.mean() - rows.double().mean()) < 6
    assert x.min() >= columns.min() and x.max() <= columns.max() + 1


def test_the_dots_lie_on_their_curves_and_move_with_the_threshold():
    places = []
    for threshold in (24.0, 29.5, 40.0):
        *_, roc, pro = AnomalyMap(threshold=threshold).picture().figures[0].axes
        for ax in (roc, pro):
            line, dot = ((artist.get_xdata(), artist.get_ydata()) for artist in ax.lines[:2])
            if dot[0][0] <= line[0][-1]:  # the PRO curve is drawn only up to its limit
                off = np.abs(np.subtract(line, dot)).max(0).min()  # from the nearest point, or straight up
                assert min(off, abs(np.interp(dot[0][0], *line) - dot[1][0])) < 0.02
        places.append([float(ax.lines[1].get_ydata()[0]) for ax in (roc, pro)])
    assert places[0] > places[1] > places[2]
