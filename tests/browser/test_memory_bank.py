"""The explorer of M in JupyterLab."""

from playwright.sync_api import expect


def test_memory_bank(open_explorer):
    shown = open_explorer("Bank")
    expect(shown.formula).to_contain_text("32 · 28 · 28 = 25,088")
    shown.slider("s, stride").press("ArrowRight")
    expect(shown.formula).to_contain_text("32 · 14 · 14 = 6,272")
    shown.slider("n, photographs").press("ArrowLeft")
    expect(shown.formula).to_contain_text("31 · 14 · 14 = 6,076")
    entry = shown.number("entry")
    before = entry.text_content()
    shown.point(0.7, 0.3)
    expect(entry).not_to_have_text(before)
    assert entry.text_content() == shown.notebook.run_code("print(explorer.picture().numbers['entry'])")
    assert shown.notebook.run_code("print(explorer.state.h, explorer.state.w)") == "14 34"
    shown.slider("Levels").press("ArrowRight")
    expect(shown.caption).to_contain_text("d = 472 numbers")
    for _ in range(6):
        shown.slider("p,").press("ArrowRight")
    expect(shown.caption).to_contain_text("Nothing to show: p was 9")
    shown.assert_right()
