"""The explorer of the anomaly map in JupyterLab."""

from playwright.sync_api import expect

from patchcore_edu import anomaly_map
from patchcore_edu.explorers.machinery.photographs import model


def test_anomaly_map(open_explorer):
    shown = open_explorer("AnomalyMap")
    _, tests = model("brick")

    def expect_alarms(threshold: float) -> None:
        alarm = tests.score > threshold
        found, false = int(alarm[16:].sum()), int(alarm[:16].sum())
        text = f"{found} defects found, {24 - found} missed; {false} false alarms, {16 - false} good ones pass"
        expect(shown.number("confusion")).to_have_text(text)

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
    shown.page.get_by_label("Draw the map on its own scale").check()
    expect(shown.number("scale of the map")).to_have_text(f"{anomaly.min():.1f} to {anomaly.max():.1f}")
    shown.slider("Photograph").press("Home")
    expect(shown.caption).to_contain_text(f"Good: s = {tests.score[0]:.1f}")
    shown.assert_right()
