"""The explorer of φ in JupyterLab."""

from playwright.sync_api import expect

from patchcore_edu.backbone import receptive_field
from patchcore_edu.explorers.machinery.photographs import backbone, photographs


def test_feature_map(open_explorer):
    shown = open_explorer("FeatureMap")

    def expect_value(level: int, h: int, w: int, c: int) -> None:
        value = f"{photographs('brick', 'test').phi[level][16, c, h, w]:.1f}".replace("-", "−")
        expect(shown.formula).to_contain_text(f"φ{level}({h}, {w}) = (")
        expect(shown.formula).to_contain_text(f"number {c} is {value}")

    expect_value(2, 12, 9, 31)
    shown.canvas.press("ArrowDown")
    expect_value(2, 13, 9, 31)
    shown.slider("Channel c").press("ArrowRight")
    expect_value(2, 13, 9, 32)
    shown.slider("Level j").press("ArrowRight")
    expect_value(3, 6, 4, 32)
    shown.point(0.99, 0.01)
    expect_value(3, 0, 13, 32)
    shown.notebook.run_code("explorer.state.c = 110")
    for _ in range(3):
        shown.slider("Channel c").press("ArrowRight")
    expect_value(3, 0, 13, 111)
    shown.slider("Level j").press("ArrowLeft")
    expect_value(2, 1, 27, 39)
    shown.slider("Level j").press("ArrowLeft")
    expect_value(1, 3, 55, 23)
    side = receptive_field(backbone(), 1, 3, 55)[2]
    expect(shown.caption).to_contain_text(f"sees {side} × {side}:")
    assert shown.notebook.run_code("print(explorer.canvas.rows, explorer.canvas.h, explorer.canvas.w)") == "56 3 55"
    shown.assert_right()
