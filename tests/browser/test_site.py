"""The pages of the course, opened from disk in a browser: search, theme, keyboard, phone, no errors."""

from base64 import b64encode
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from patchcore_edu.commands.site import write

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
WIDTHS = (390, 800, 1280, 1920)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The course as pages, without outputs, as these tests do not need the notebooks to run."""
    out = tmp_path_factory.mktemp("site")
    books = {file.stem: nbformat.read(file, 4) for file in sorted(NOTEBOOKS.glob("*.ipynb"))}
    drawn = nbformat.v4.new_output("stream", name="stdout", text="wide " * 200)
    books["00_tour"].cells.append(nbformat.v4.new_code_cell("print(wide)", outputs=[drawn]))
    for width in (600, 900):
        file = BytesIO()
        Image.new("L", (width, 200)).save(file, "PNG")
        data = {"text/plain": f"{width} wide", "image/png": b64encode(file.getvalue()).decode()}
        cell = nbformat.v4.new_code_cell("plot()", outputs=[nbformat.v4.new_output("display_data", data)])
        books["00_tour"].cells.append(cell)
    write(books, NOTEBOOKS, out, False)
    return out.as_uri()


@contextmanager
def new_page(browser):
    """A new page, on which no errors may occur."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture
def page(browser):
    with new_page(browser) as page:
        yield page


@pytest.fixture(scope="module")
def scrolled(browser, address):
    """{width of the window: {name: width of that page}}, with all folds open. Each page is loaded once."""
    found = {width: {} for width in WIDTHS}
    with new_page(browser) as page:
        for name in ("index", *(file.stem for file in sorted(NOTEBOOKS.glob("*.ipynb")))):
            page.goto(f"{address}/{name}.html")
            page.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 844})
                found[width][name] = page.evaluate("document.documentElement.scrollWidth")
    return found


def test_the_search_leads_to_the_section(page, address):
    page.goto(f"{address}/00_tour.html")
    page.keyboard.press("/")
    page.keyboard.type("covering radius")
    assert page.locator("#found p").inner_text().endswith("sections")
    first = page.locator("#found a").first
    assert "06" in first.inner_text() and first.locator("mark").count()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/06_coreset.html**")
    page.goto(f"{address}/00_tour.html")
    page.get_by_role("searchbox").fill("<img src=x onerror=alert(1)> zzz")
    assert page.locator("#found p").inner_text() == "0 sections" and not page.locator("#found img").count()
    page.keyboard.press("Escape")
    assert page.locator("#found").is_hidden()


def test_the_theme_follows_the_system_until_one_is_chosen(page, address):
    page.goto(f"{address}/index.html")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="light theme").wait_for()
    dark = page.evaluate(paper)
    assert light == "rgb(255, 255, 255)" and dark != light
    page.get_by_role("button", name="light theme").click()
    assert page.evaluate(paper) == light
    page.goto(f"{address}/07_anomaly_score.html")
    assert page.evaluate(paper) == light
    page.get_by_role("button", name="dark theme").click()
    assert page.evaluate(paper) == dark


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(scrolled, width):
    assert scrolled[width] == dict.fromkeys(scrolled[width], width) and len(scrolled[width]) == 13


def test_on_a_phone_the_text_in_a_wide_picture_can_be_read(page, address):
    """A wide picture scrolls in place; a smaller one shrinks to fit the page."""
    page.goto(f"{address}/00_tour.html")
    shown = [page.get_by_alt_text(f"{width} wide") for width in (600, 900)]
    small, large = [picture.bounding_box()["width"] for picture in shown]
    assert small == 600 and 860 <= large < 900  # as wide as the text
    page.set_viewport_size({"width": 390, "height": 844})
    small, large = [picture.bounding_box()["width"] for picture in shown]
    assert small < 390 and 799 < large < 801 and page.evaluate("document.documentElement.scrollWidth") == 390


def test_norm_bars_are_level_and_links_lead_on(page, address):
    page.goto(f"{address}/07_anomaly_score.html")
    bars = page.evaluate(
        """[...document.querySelectorAll('.formula mo')].filter((mo) => mo.textContent === '‖')
        .map((mo) => [mo.getBoundingClientRect().top, mo.getBoundingClientRect().height])"""
    )
    assert len(bars) >= 6
    for (top, height), (other_top, other_height) in zip(bars[::2], bars[1::2], strict=True):
        assert abs(top - other_top) < 1 and abs(height - other_height) < 1
    page.get_by_role("link", name="Next: 08").click()
    page.wait_for_url("**/08_anomaly_map.html")
    page.get_by_role("link", name="Glossary", exact=True).click()
    page.wait_for_url("**/index.html#Terms")
    assert 0 <= page.locator("#Terms").bounding_box()["y"] < 300
