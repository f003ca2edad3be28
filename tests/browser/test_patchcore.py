"""`Pipeline` in JupyterLab."""

import pytest
from playwright.sync_api import expect

from patchcore_edu import PatchCore, auroc
from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.explorers.patchcore import PHOTOGRAPHS


def test_pipeline(open_explorer, backbone):
    shown = open_explorer("Pipeline", "s=2")
    good, tests = (photographs("brick", split) for split in ("train", "test"))
    anomalous = [sample.anomalous for sample in tests.dataset]
    good_phi = {j: maps[:PHOTOGRAPHS] for j, maps in good.phi.items()}  # test_cache.py shows that φ is the package's

    def image_auroc(**setting) -> str:
        model = PatchCore(backbone, coreset_ratio=0.01, **setting)
        model.fit_patches(model.patches_of(good_phi))
        return f"{auroc(model.predict_patches(model.patches_of(tests.phi), 224).score, anomalous):.3f}"

    first, second = image_auroc(s=2), image_auroc(s=2, p=4)
    expect(shown.number("image AUROC")).to_have_text(first)
    shown.slider("p,").press("ArrowRight")
    expect(shown.number("image AUROC")).to_have_text(f"{second} (before: {first})")
    expect(shown.caption).to_contain_text(f"p 3 → 4: image AUROC {first} → {second}")
    shown.slider("Levels").press("ArrowRight")
    third = image_auroc(s=2, p=4, levels=(2, 3, 4))
    expect(shown.number("image AUROC")).to_have_text(f"{third} (before: {second})")
    shown.assert_right()
    table = shown.page.locator("table", has_text="settings tried").locator("tr")
    expect(table).to_have_count(4)
    expect(table.last).to_contain_text(third)
    shown.page.get_by_role("button", name="Save as CSV").press("Enter")
    expect(shown.page.get_by_text("3 settings are in")).to_be_visible()
    saved = shown.notebook.run_code("print(open('patchcore_settings.csv', encoding='utf-8').read())")
    rows = [line.split(",") for line in saved.strip().splitlines()]
    assert [row[2:4] for row in rows] == [["levels", "p"], ["2+3", "3"], ["2+3", "4"], ["2+3+4", "4"]]
    assert [float(row[7]) for row in rows[1:]] == pytest.approx([float(x) for x in (first, second, third)], abs=6e-4)
    # Ten quick changes: the last one wins.
    shown.slider("Levels").press("ArrowLeft")
    shown.slider("p,").press("Home")
    for key in ["ArrowRight"] * 6 + ["ArrowLeft"] * 3 + ["End"]:
        shown.slider("p,").press(key, delay=0)
    expect(shown.caption).to_contain_text(" → 9: ")
    assert shown.notebook.run_code("print(explorer.state.p)") == "9"
    shown.assert_right()
