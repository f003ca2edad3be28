"""The explorers of the feature map and the patch set in JupyterLab, moved by keys and the pointer."""

from playwright.sync_api import expect

from patchcore_edu.backbone import receptive_field
from patchcore_edu.explorers.photographs import backbone, photographs


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


def test_patch_set(open_explorer):
    shown = open_explorer("PatchSet", "s=2")
    expect(shown.caption).to_contain_text("14 × 14 = 196 of 784 places, each a vector of 152 numbers")
    shown.slider("s, stride").press("ArrowRight")
    expect(shown.caption).to_contain_text("10 × 10 = 100 of 784 places")
    expect(shown.caption).to_contain_text("(12, 9) is patch 43.")
    shown.canvas.press("ArrowRight")
    expect(shown.caption).to_contain_text("(12, 10) is not kept.")
    expect(shown.formula).to_contain_text("12 mod 3 = 0, 10 mod 3 = 1")
    shown.slider("Levels").press("ArrowRight")
    expect(shown.caption).to_contain_text("(h, w) = (6, 5) is not kept.")
    expect(shown.number("d, numbers of a patch")).to_have_text("112 + 320 = 432")
    shown.slider("p, cells across").press("End")
    expect(shown.number("final map")).to_contain_text("224 × 224")
    shown.assert_right()
