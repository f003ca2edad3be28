"""The explorer of N_p, and the canvas, in JupyterLab."""

from playwright.sync_api import expect

from patchcore_edu import neighbourhood

SHAPE = (28, 28)


def test_neighbourhood(open_explorer):
    shown = open_explorer("Neighbourhood", "h=0, w=0")
    cells = shown.number("cells (a, b)")
    expect(cells).to_have_text(" ".join(f"({a}, {b})" for a, b in neighbourhood(0, 0, 3, SHAPE)))
    shown.slider("p,").press("ArrowRight")
    expect(shown.caption).to_contain_text("16 of the 25 cells of N4 lie outside")
    shown.point(0.51, 0.77)
    expect(shown.formula).to_contain_text("N4(21, 14) =")
    expect(shown.caption).to_contain_text("p = 4 is even")
    shown.canvas.press("ArrowUp")
    shown.canvas.press("ArrowLeft")
    expect(cells).to_have_text(" ".join(f"({a}, {b})" for a, b in neighbourhood(20, 13, 4, SHAPE)))
    assert shown.notebook.run_code("print(explorer.state.h, explorer.state.w)") == "20 13"
    for _ in range(20):
        shown.canvas.press("ArrowUp")
    shown.choose("At the border", "valid: an incomplete N_p is left out")
    expect(shown.number("a one after fagg")).to_have_text("none, the location is left out")
    shown.assert_right()
    # Ten quick changes: the last value wins.
    slider = shown.slider("p,")
    slider.press("Home")
    slider.press("b")  # would insert a cell
    assert shown.page.locator(".jp-CodeCell").count() == 1
    for key in ["ArrowRight"] * 6 + ["ArrowLeft"] * 3 + ["End"]:
        slider.press(key, delay=0)
    expect(shown.number("|N9|")).to_contain_text("45 of 81")
    assert shown.notebook.run_code("print(explorer.state.p)") == "9"
    shown.assert_right()


def test_the_canvas_draws_the_cell_before_the_kernel_answers(open_explorer):
    shown = open_explorer("Neighbourhood", "h=5, w=5")
    shown.slow_down(seconds=2)
    shown.canvas.focus()
    for key, old, new in (("ArrowDown", "N3(5, 5)", "N3(6, 5)"), ("ArrowRight", "N3(6, 5)", "N3(6, 6)")):
        before = shown.canvas.evaluate("(canvas) => canvas.toDataURL()")
        shown.page.keyboard.press(key)
        shown.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert shown.canvas.evaluate("(canvas) => canvas.toDataURL()") != before
        assert old in shown.formula.text_content()
        expect(shown.formula).to_contain_text(new)
    shown.assert_right()
