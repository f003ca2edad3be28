"""`PaintDefect` in JupyterLab."""

from playwright.sync_api import expect


def test_paint_defect(open_explorer):
    shown = open_explorer("PaintDefect", "strokes=[]")
    score = shown.number("score s")
    clean = score.text_content()
    expect(shown.caption).to_contain_text("Nothing painted yet")
    box = shown.canvas.bounding_box()
    mouse = shown.page.mouse
    mouse.move(box["x"] + 100, box["y"] + 100)
    mouse.down()
    mouse.move(box["x"] + 250, box["y"] + 160, steps=20)
    expect(shown.caption).to_contain_text("Painted")  # while the button is still down
    mouse.up()
    # A slow kernel may draw several maps before it reaches the last state.
    last = "print(len(explorer.state.strokes), explorer.state.strokes[0]['path'][-1])"
    shown.wait_until(last, "1 [166.0, 106.0]")
    shown.assert_right()
    one = score.text_content()
    assert float(one) > float(clean) + 5
    for key in ["ArrowDown"] * 14 + ["Space"]:
        shown.canvas.press(key)
    expect(shown.number("strokes")).to_have_text("2")
    shown.page.get_by_label("Smear").check()
    shown.canvas.press("Enter")
    expect(shown.number("strokes")).to_have_text("3")
    assert shown.notebook.run_code("print(explorer.state.strokes[2]['smear'], explorer.state.h)") == "True 20"
    shown.assert_right()
    undo = shown.page.get_by_role("button", name="Undo")
    undo.click()
    undo.click()
    expect(score).to_have_text(one)
    shown.page.get_by_role("button", name="Clear").click()
    expect(score).to_have_text(clean)
    expect(undo).to_be_disabled()
    shown.assert_right()
