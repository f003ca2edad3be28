"""The explorer of f_agg in JupyterLab, operated by keyboard and pointer."""

from playwright.sync_api import expect

from patchcore_edu import aggregate
from patchcore_edu.explorers.machinery.photographs import photographs


def test_aggregation(open_explorer):
    shown = open_explorer("Aggregation", "h=9, w=13")

    def expect_number(name: str, h: int, w: int, p: int, k: int, words: str, **f_agg) -> None:
        phi_j = photographs("brick", "test").phi[2][[16]]
        value = f"{aggregate(phi_j, p, **f_agg)[0, k, h, w]:.3f}".replace("-", "−")
        expect(shown.number(f"{name}, number {k}")).to_contain_text(f"{value} = mean of {words};")

    official = {"pooling": "flattened", "dim": 80}
    expect_number("flattened", 9, 13, 3, 10, "5 cells of channel 5", **official)
    expect(shown.caption).to_contain_text("Number 10 under zero: mean of 9 cells of channel 10.")
    shown.canvas.press("ArrowDown")
    shown.slider("Number k").press("ArrowRight")
    expect_number("clip", 10, 13, 3, 11, "9 cells of channel 11", border="clip")
    shown.point(0.01, 0.01)
    expect_number("zero", 0, 0, 3, 11, "4 cells of channel 11 and 5 zeros", border="zero")
    expect(shown.number("valid, number 11")).to_contain_text("(h, w) is left out")
    shown.slider("p, cells across").press("ArrowRight")
    expect_number("clip", 0, 0, 5, 11, "9 cells of channel 11", border="clip")
    shown.slider("dim of flattened").press("ArrowRight")
    official = {"pooling": "flattened", "dim": 160}
    expect_number("flattened", 0, 0, 5, 11, "5 cells of channel 2 and 2 zeros", **official)
    assert shown.notebook.run_code("print(explorer.state.dim, explorer.canvas.p)") == "160 5"
    shown.slider("Photograph").press("Home")
    shown.assert_right()
