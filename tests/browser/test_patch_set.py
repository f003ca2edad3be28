"""The explorer of P_{s,p} in JupyterLab."""

from playwright.sync_api import expect


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
    expect(shown.number("d, numbers per patch")).to_have_text("112 + 320 = 432")
    shown.slider("p, cells across").press("End")
    expect(shown.number("final map")).to_contain_text("224 × 224")
    shown.assert_right()
