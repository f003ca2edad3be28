"""`Pipeline` without a browser: its numbers equal the package's."""

import csv

import pytest
import torch

from patchcore_edu import PatchCore, auroc, pro
from patchcore_edu.explorers import Pipeline
from patchcore_edu.explorers.machinery.photographs import model, photographs
from patchcore_edu.explorers.patchcore import PHOTOGRAPHS, RESULTS, SETTINGS, on_pixels


@pytest.fixture(scope="module")
def masks():
    return torch.stack([sample.mask for sample in photographs("brick", "test").dataset])


SETTINGS_TRIED = [
    {},
    {"p": 5, "s": 2, "ratio": 0.1, "b": 2},
    {"levels": (3,), "conventions": "anomalib"},
    {"levels": (2, 3, 4), "s": 4, "b": 50, "conventions": "official"},
    {"category": "gravel", "levels": (4,), "ratio": 0.001, "b": 1},
]


@pytest.mark.parametrize("setting", SETTINGS_TRIED)
def test_pipeline_agrees_with_the_package(backbone, setting):
    category, ratio = setting.get("category", "brick"), setting.get("ratio", 0.01)
    own = {name: value for name, value in setting.items() if name not in ("category", "ratio")}
    fitted = PatchCore(backbone, coreset_ratio=ratio, **own)  # test_cache.py shows that φ is the package's
    good = {j: maps[:PHOTOGRAPHS] for j, maps in photographs(category, "train").phi.items()}
    fitted.fit_patches(fitted.patches_of(good))
    prediction = fitted.predict_patches(fitted.patches_of(photographs(category, "test").phi), 224)
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
    (tmp_path / "patchcore_settings.csv").unlink()
    (tmp_path / "patchcore_settings.csv").mkdir()
    explorer.widget.children[-1].children[0].click()
    assert explorer._saved.value.startswith("Not saved: ") and "a folder is there" in explorer._saved.value
