"""The test harness itself: a key moves a slider, the kernel responds, and errors on either side are found."""

import pytest
from playwright.sync_api import expect

SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=5, min=0, max=10, description="p")
answer = ipywidgets.HTML()
def show(change):
    answer.value = f"<b class='answer'>p² = {change['new'] ** 2}</b>"
slider.observe(show, names="value")
ipywidgets.VBox([slider, answer])
"""


def test_errors_are_found(lab):
    notebook = lab.open_notebook([SLIDER, "slider.observe(lambda change: 1 / 0, names='value')"])
    notebook.page.get_by_role("slider").press("ArrowRight")
    expect(notebook.page.locator(".widget-readout")).to_have_text("6")
    expect(notebook.page.locator(".answer")).to_have_text("p² = 36")
    assert notebook.run_code("print(slider.value)") == "6"
    notebook.page.wait_for_function("() => window.kernelErrors.length")
    assert "ZeroDivisionError" in notebook.kernel_errors()[0]
    notebook.page.evaluate("() => console.error('from the page')")
    assert notebook.console_errors == ["from the page"]
    with pytest.raises(RuntimeError, match="NameError"):
        notebook.run_code("nothing_of_that_name")
    # The page receives this error too, but later. Wait for it, so that it is not counted in the next test.
    notebook.page.wait_for_function("() => window.kernelErrors.some((error) => error.includes('NameError'))")
