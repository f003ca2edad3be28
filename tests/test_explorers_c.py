"""The explorers of the map and of the whole pipeline without a browser: their numbers against the package."""

import csv

import numpy as np
import pytest
import torch

from patchcore_edu import PatchCore, anomaly_map, auroc, pro
from patchcore_edu.explorers import AnomalyMap, Pipeline
from patchcore_edu.explorers.photographs import model, photographs
from patchcore_edu.explorers.pipeline import PHOTOGRAPHS, RESULTS, SETTINGS, on_pixels


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
    assert picture.numbers["alarms"] == f"{found} of 24 defects, {alarms} of 16 good photographs"
    assert picture.numbers["all 40 photographs"] == f"precision {found / (found + alarms):.2f}, recall {found / 24:.2f}"


def test_nothing_above_the_threshold_is_said():
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


SETTINGS_TRIED = [
    {},
    {"p": 5, "s": 2, "ratio": 0.1, "b": 2},
    {"levels": (3,), "conventions": "anomalib"},
    {"levels": (2, 3, 4), "s": 4, "b": 50, "conventions": "official"},
    {"category": "gravel", "levels": (4,), "ratio": 0.001, "b": 1},
]


@pytest.mark.parametrize("setting", SETTINGS_TRIED)
def test_pipeline_agrees_with_the_package(setting):
    category, ratio = setting.get("category", "brick"), setting.get("ratio", 0.01)
    own = {name: value for name, value in setting.items() if name not in ("category", "ratio")}
    fitted = PatchCore(coreset_ratio=ratio, **own).fit(photographs(category, "train").images[:PHOTOGRAPHS])
    prediction = fitted.predict(photographs(category, "test").images)
    tests = photographs(category, "test").dataset
    wanted = {
        "image AUROC": auroc(prediction.score, [sample.anomalous for sample in tests]),
        "pixel AUROC": auroc(prediction.anomaly_map, torch.stack([sample.mask for sample in tests])),
        "PRO": pro(prediction.anomaly_map, torch.stack([sample.mask for sample in tests])),
    }
    numbers = Pipeline(**setting).picture().numbers
    assert {name: float(numbers[name]) for name in wanted} == pytest.approx(wanted, abs=2e-3)
    assert numbers["rows of M_C"] == f"{len(fitted.bank):,}, of N = {fitted.rows_before:,}"
    assert numbers["size of M_C"] == f"{fitted.bank.vectors.numel() * 4 / 2**20:.2f} MiB"


def test_counts_give_what_sorting_gives(masks):
    maps = model("brick")[1].anomaly_map
    assert on_pixels(maps, "brick") == pytest.approx((auroc(maps, masks), pro(maps, masks)), abs=2e-4)


def test_pipeline_compares_with_the_last_setting_and_collects_all():
    explorer = Pipeline(levels=(3,), s=4)
    first = explorer.picture().numbers["image AUROC"]
    explorer.state.p = 5
    assert explorer.picture().caption.startswith(f"p 3 → 5: image AUROC {first} → ")
    assert explorer.picture().numbers["image AUROC"].endswith(f"(before: {first})")
    explorer.state.ratio = 0.1
    assert explorer.picture().caption.startswith("ratio 0.01 → 0.1: ")
    explorer.state.ratio = 0.01
    assert len(explorer.tried) == 3 and "(before: " in explorer.picture().numbers["PRO"]


def test_a_setting_that_makes_no_sense_says_why_and_is_not_collected():
    explorer = Pipeline(levels=(4,), s=4)
    explorer.state.p = 9
    assert explorer._view.caption.startswith("Nothing to show: p was 9")
    explorer.state.p = 5
    assert explorer._view.caption.startswith("Image AUROC") and len(explorer.tried) == 2


def test_the_table_is_saved_and_bounded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = Pipeline(levels=(4,), s=4)
    for b in (1, 2, 3, 5, 20, 50):
        for p in (3, 5):
            explorer.state.set_trait("b", b)
            explorer.state.set_trait("p", p)
    explorer.save()
    lines = list(csv.reader(open("patchcore_settings.csv", encoding="utf-8")))
    assert lines[0] == [*SETTINGS, *RESULTS] and len(lines) == 1 + len(explorer.tried) > 12
    assert lines[1][:7] == ["brick", "paper", "4", "3", "4", "0.01", "9"]
    assert float(lines[1][7]) == pytest.approx(float(explorer.tried[next(iter(explorer.tried))][7]))
    assert explorer._table.value.count("<tr>") == 9, "a head and the last eight"
    assert str(tmp_path / "patchcore_settings.csv") in explorer._saved.value
