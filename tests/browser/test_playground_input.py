"""What the playground is given: files, a camera, an address, a browser that lacks something. Each says what to do."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from playwright.sync_api import expect

from patchcore_edu.datasets.photograph_files import read_photograph, resize_sample

expect.set_options(timeout=60_000)  # on a shared machine


def test_a_setting_that_makes_no_sense_is_refused(shared_playground):
    page = shared_playground.page
    for settings, message in [
        ({"p": 4}, "p was 4"),
        ({"levels": []}, "levels was"),
        ({"levels": [4], "p": 9}, "at most 7"),
        ({"ratio": 0}, "ratio was 0"),
        ({"q": 1}, "q was 1"),
    ]:
        said = page.evaluate("(s) => patchcore.set(s).then(() => '', (error) => error.message)", settings)
        assert message in said
    said = page.evaluate("patchcore.judge(new Float32Array(3)).then(() => '', (error) => error.message)")
    assert "150528" in said


def test_the_address_opens_a_setting_and_names_nonsense(open_playground):
    fragment = "#source=grass&levels=3&p=5&s=2&border=valid&ratio=0.02&selection=random&b=4&sigma=2&p=banana&x=1&%=%&="
    opened = open_playground(fragment).ready()
    settings = opened.page.evaluate("patchcore.state.settings")
    assert settings == {
        **{"source": "grass", "levels": [3], "p": 5, "s": 2, "border": "valid", "ratio": 0.02},
        **{"selection": "random", "b": 4, "sigma": 2},
    }
    expect(opened.page.locator("#message")).to_contain_text("p=banana")
    assert opened.errors == []


def test_a_tab_that_is_loaded_again_has_lost_nothing(open_playground):
    opened = open_playground("#p=5").ready()
    page = opened.page
    page.get_by_role("button", name="brick, good 2").click()
    page.locator("#photograph").focus()
    page.keyboard.press("Space")
    opened.settled()
    before = page.evaluate("[patchcore.state.verdict.score, patchcore.state.strokes.length, location.hash]")
    page.reload()
    opened.ready().settled()
    assert page.evaluate("[patchcore.state.verdict.score, patchcore.state.strokes.length, location.hash]") == before
    assert before[1] == 1 and opened.errors == []


def test_without_webassembly(open_playground):
    opened = open_playground(before="delete globalThis.WebAssembly")
    expect(opened.page.locator("#loading-text")).to_contain_text("no WebAssembly")
    assert opened.page.locator("#verdict").text_content().startswith("s = ")  # of the picture that was made before


def test_own_photographs(shared_playground, tmp_path):
    """Any size is resized as `ImageFolder` does; what is no picture is named, and the others are taken."""
    page = shared_playground.page
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (300, 260 + 20 * i, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    Image.new("RGB", (1, 5000)).save(tmp_path / "long.png")
    Image.fromarray(np.tile(skimage.data.brick(), (10, 16))[:5000]).save(tmp_path / "large.jpg")  # 41 megapixels
    (tmp_path / "words.png").write_text("no picture")
    page.evaluate("patchcore.set({source: 'files'})")
    page.locator("#good-files").set_input_files([str(tmp_path / f"{i}.png") for i in range(4)])
    expect(page.locator("#own-text")).to_contain_text("4 good (3 for the bank, 1 held out")
    names = ("4.png", "long.png", "words.png", "large.jpg")
    page.locator("#test-files").set_input_files([str(tmp_path / name) for name in names])
    expect(page.locator("#message")).to_contain_text("1 × 5000")
    expect(page.locator("#message")).to_contain_text("words.png is no picture")
    shared_playground.until("patchcore.state.groups.test.length === 2 && patchcore.state.verdict?.pixels.length")
    found = page.evaluate("Array.from(patchcore.state.groups.test[0].pixels)")
    image = read_photograph(tmp_path / "4.png")
    wanted, _ = resize_sample(image, torch.zeros(image.shape[1:], dtype=torch.bool))
    assert float((torch.tensor(found).view(3, 224, 224) - wanted).abs().max()) < 1e-4
    expect(page.get_by_role("button", name="large.jpg")).to_be_visible()
    shared_playground.settled()


def test_five_hundred_files(shared_playground, tmp_path):
    page = shared_playground.page
    for i in range(500):
        Image.new("L", (30, 30), i % 256).save(tmp_path / f"{i}.png")
    page.evaluate("patchcore.set({source: 'files'})")
    page.locator("#test-files").set_input_files([str(tmp_path / f"{i}.png") for i in range(500)])
    expect(page.locator("#message")).to_contain_text("The first 60 of 500 files were taken")
    expect(page.locator("#own-text")).to_contain_text("60 to test")


@pytest.fixture
def with_camera(launch, film_of_a_wall):
    """`with_camera(*flags)`: a Chromium that sees the film."""
    launched = []

    def with_camera(*flags):
        fake = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film_of_a_wall}"]
        launched.append(launch(*fake, *flags))
        return launched[-1]

    yield with_camera
    for browser in launched:
        browser.close()


def test_the_camera(with_camera, open_playground):
    opened = open_playground(within=with_camera("--use-fake-ui-for-media-stream")).ready()
    page = opened.page
    page.locator("[name=source][value=camera]").check(force=True)
    page.get_by_role("button", name="Take ten good pictures").click()
    expect(page.locator("#live-text")).to_contain_text("pictures a second")
    assert page.evaluate("patchcore.bank.rows") == 8 * 784  # two of the ten set the threshold
    opened.until("patchcore.state.threshold !== null")
    held = page.evaluate(
        "patchcore.state.groups.held.map((one) => patchcore.state.scores.get(one).score)",
    )
    assert len(held) == 2 and page.evaluate("patchcore.state.threshold") == max(held) > 0
    first = page.evaluate("patchcore.state.verdict.score")
    opened.until(f"patchcore.state.verdict.score !== {first}")  # the next picture
    expect(page.locator("#verdict")).to_contain_text("alarm")
    page.evaluate("document.getElementById('video').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator("#message")).to_contain_text("The camera was unplugged")
    page.locator("[name=source][value=brick]").check(force=True)
    opened.until("patchcore.state.groups.test.length === 10")
    assert opened.errors == []


def test_a_refused_camera_says_what_to_do(with_camera, open_playground):
    opened = open_playground(within=with_camera("--deny-permission-prompts")).ready()
    opened.page.locator("[name=source][value=camera]").check(force=True)
    expect(opened.page.locator("#message")).to_contain_text("The camera was refused")
    assert opened.errors == []


def test_a_machine_without_a_camera(shared_playground):
    page = shared_playground.page
    page.locator("[name=source][value=camera]").check(force=True)
    expect(page.locator("#message")).to_contain_text("No camera answers")
