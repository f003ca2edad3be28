"""The explorer of N_p, and the canvas, in JupyterLab."""

from playwright.sync_api import expect

from patchcore_edu import neighbourhood
from patchcore_edu.explorers.neighbourhood import RULES

SHAPE = (28, 28)
# The colour in the middle of each cell.
MIDDLES = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const middle = (k, size) => Math.floor(((k + 0.5) * size) / 28);
    return Array.from({ length: 28 * 28 }, (_, k) => {
        const at = 4 * (middle(Math.floor(k / 28), canvas.height) * canvas.width + middle(k % 28, canvas.width));
        return Array.from(data.slice(at, at + 3));
    });
}"""


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
    expect(shown.number("a one after fagg")).to_have_text("none: the location is left out")
    shown.assert_right()
    # Ten quick changes: the last one wins.
    slider = shown.slider("p,")
    slider.press("Home")
    slider.press("b")  # would insert a cell
    assert shown.page.locator(".jp-CodeCell").count() == 1
    for key in ["ArrowRight"] * 6 + ["ArrowLeft"] * 3 + ["End"]:
        slider.press(key, delay=0)
    expect(shown.number("|N9|")).to_contain_text("45 of 81")
    assert shown.notebook.run_code("print(explorer.state.p)") == "9"
    shown.assert_right()


def test_the_canvas_fills_the_cells_of_the_neighbourhood_under_every_border_rule(open_explorer):
    shown = open_explorer("Neighbourhood", "h=0, w=0, p=1")

    def middles(border: str, h: int, w: int, p: int) -> list:
        changes = f"state.set_trait('border', {border!r}); state.h, state.w, state.p = {h}, {w}, {p}"
        shown.notebook.run_code(f"state = explorer.state\nwith state.hold_trait_notifications(): {changes}")
        expect(shown.formula).to_contain_text(f"N{p}({h}, {w}) =")
        shown.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return shown.canvas.evaluate(MIDDLES)

    places = ((0, 0, 3), (26, 13, 5), (14, 14, 4))
    bare = {(h, w): middles("zero", h, w, 1) for h, w, _ in places}
    for border in RULES.values():
        for h, w, p in places:
            cells = neighbourhood(h, w, p, SHAPE)
            pairs = enumerate(zip(bare[h, w], middles(border, h, w, p), strict=True))
            filled = [divmod(k, 28) for k, (a, b) in pairs if max(abs(x - y) for x, y in zip(a, b, strict=True)) > 8]
            left_out = border == "valid" and len(cells) < len(neighbourhood(h, w, p))
            assert filled == ([] if left_out else cells), (border, h, w, p)


def test_the_canvas_draws_the_cell_before_the_kernel_answers(open_explorer, tmp_path):
    shown, hold = open_explorer("Neighbourhood", "h=5, w=5"), tmp_path / "hold"
    shown.hold_while(hold)
    shown.canvas.focus()
    for key, old, new in (("ArrowDown", "N3(5, 5)", "N3(6, 5)"), ("ArrowRight", "N3(6, 5)", "N3(6, 6)")):
        hold.touch()
        before = shown.canvas.evaluate("(canvas) => canvas.toDataURL()")
        shown.page.keyboard.press(key)
        shown.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert shown.canvas.evaluate("(canvas) => canvas.toDataURL()") != before
        assert old in shown.formula.text_content()
        hold.unlink()
        expect(shown.formula).to_contain_text(new)
    shown.assert_right()
