"""The explorer of s in JupyterLab."""

from playwright.sync_api import expect

from patchcore_edu.explorers.machinery.photographs import model


def test_anomaly_score(open_explorer):
    shown = open_explorer("AnomalyScore")
    fitted, tests = model("brick")

    def expect_nearest(i: int, h: int, w: int) -> None:
        row = int(tests.nearest[i, h, w])
        where = ", ".join(map(str, fitted.bank.position[row].tolist()))
        text = f"row {row:,}: photograph {int(fitted.bank.image[row])}, (h, w) = ({where})"
        expect(shown.number("m*")).to_have_text(text)

    expect_nearest(16, 12, 9)
    expect(shown.caption).to_contain_text(f"its score is s = {tests.score[16]:.2f}")
    shown.canvas.press("ArrowDown")
    expect_nearest(16, 13, 9)
    shown.point(0.99, 0.01)
    expect_nearest(16, 0, 27)
    shown.slider("b,").press("ArrowLeft")
    expect(shown.formula).to_contain_text("… 1 more")
    shown.slider("Photograph").press("ArrowRight")
    expect_nearest(17, 0, 27)
    shown.assert_right()
