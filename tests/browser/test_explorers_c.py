"""The explorers of the map and of the whole pipeline in JupyterLab, moved by keys and the pointer."""

import pytest
from playwright.sync_api import expect

from patchcore_edu import PatchCore, anomaly_map, auroc
from patchcore_edu.explorers.photographs import model, photographs
from patchcore_edu.explorers.pipeline import PHOTOGRAPHS


def test_anomaly_map(open_explorer):
    shown = open_explorer("AnomalyMap")
    _, tests = model("brick")

    def expect_alarms(threshold: float) -> None:
        alarm = tests.score > threshold
        text = f"{alarm[16:].sum()} of 24 defects, {alarm[:16].sum()} of 16 good photographs"
        expect(shown.number("alarms")).to_have_text(text)

    expect_alarms(29.5)
    for _ in range(4):
        shown.slider("Threshold").press("ArrowLeft")
    expect_alarms(27.5)
    shown.slider("σ").press("ArrowRight")
    anomaly = anomaly_map(tests.patch_distance[[16]], 224, 4.5)[0]
    expect(shown.formula).to_contain_text(f"with σ = 4.5: {anomaly[100, 76]:.1f}")
    shown.point(0.01, 0.99)
    expect(shown.formula).to_contain_text(f"at (h, w) = (27, 0): distance {tests.patch_distance[16, 27, 0]:.1f}")
    shown.canvas.press("ArrowUp")
    expect(shown.formula).to_contain_text(f"at (h, w) = (26, 0): distance {tests.patch_distance[16, 26, 0]:.1f}")
    shown.page.get_by_label("Draw the map on a scale of its own").check()
    expect(shown.number("scale of the map")).to_have_text(f"{anomaly.min():.1f} to {anomaly.max():.1f}")
    shown.slider("Photograph").press("Home")
    expect(shown.caption).to_contain_text(f"Good: s = {tests.score[0]:.1f}")
    shown.assert_right()


def test_pipeline(open_explorer):
    shown = open_explorer("Pipeline", "s=2")
    good, tests = (photographs("brick", split) for split in ("train", "test"))
    anomalous = [sample.anomalous for sample in tests.dataset]

    def image_auroc(**setting) -> str:
        fitted = PatchCore(coreset_ratio=0.01, **setting).fit(good.images[:PHOTOGRAPHS])
        return f"{auroc(fitted.predict(tests.images).score, anomalous):.3f}"

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
    # Ten quick changes: the last value wins.
    shown.slider("Levels").press("ArrowLeft")
    shown.slider("p,").press("Home")
    for key in ["ArrowRight"] * 6 + ["ArrowLeft"] * 3 + ["End"]:
        shown.slider("p,").press(key, delay=0)
    expect(shown.caption).to_contain_text(" → 9: ")
    assert shown.notebook.run_code("print(explorer.state.p)") == "9"
    shown.assert_right()
