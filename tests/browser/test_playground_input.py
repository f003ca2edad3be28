"""Input to the playground: files, a camera, an address; and browsers that lack something. Errors say what to do."""

from base64 import b64encode
from io import BytesIO

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
    opened.settled()  # the message stays after the work is done
    expect(opened.page.locator("#message")).to_contain_text("p=banana")
    opened.page.evaluate("location.hash = '#p=5&s=many'")
    opened.until("patchcore.state.bank?.settings.p === 5 && patchcore.state.settings.source === 'brick'")
    expect(opened.page.locator("#message")).to_contain_text("s=many")
    assert opened.errors == []


def test_a_reloaded_tab_has_lost_nothing(open_playground):
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


@pytest.mark.parametrize("missing", ["WebAssembly", "DecompressionStream", "OffscreenCanvas"])
def test_a_browser_that_lacks_something(open_playground, missing):
    opened = open_playground(before=f"delete globalThis.{missing}")
    expect(opened.page.locator("#loading-text")).to_contain_text(f"{missing} is missing")
    assert opened.page.locator("#verdict").text_content().startswith("score s = ")  # of the precomputed picture


def test_own_photographs(shared_playground, tmp_path):
    """Photographs of any size are resized as by `ImageFolder`. Files that are not pictures are named and left out."""
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
    expect(page.locator("#message")).to_contain_text("cannot read words.png as a picture")
    shared_playground.until("patchcore.state.groups.test.length === 2 && patchcore.state.verdict?.pixels.length")
    found = page.evaluate("Array.from(patchcore.state.groups.test[0].pixels)")
    image = read_photograph(tmp_path / "4.png")
    wanted, _ = resize_sample(image, torch.zeros(image.shape[1:], dtype=torch.bool))
    assert float((torch.tensor(found).view(3, 224, 224) - wanted).abs().max()) < 1e-4
    expect(page.get_by_role("button", name="large.jpg")).to_be_visible()
    shared_playground.settled()


def test_the_lines_of_python_take_the_same_files(shared_playground, tmp_path, monkeypatch):
    """Both sort the files by name and split them in the same way, in whatever order they were chosen."""
    page = shared_playground.page
    rng = np.random.default_rng(1)
    files = {"good": "cabdefg", "test": "yx"}
    for folder, names in files.items():
        (tmp_path / folder).mkdir()
        for name in names:
            image = rng.integers(0, 256, (300, 280, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / folder / f"{name}.png")
    page.evaluate("patchcore.set({source: 'files'})")
    for folder, names in files.items():
        page.locator(f"#{folder}-files").set_input_files([str(tmp_path / folder / f"{name}.png") for name in names])
        expect(page.locator("#own-text")).to_contain_text("7 good (5 for the bank, 2 held out")
    shared_playground.until("patchcore.state.groups.test.length === 2 && patchcore.state.threshold !== null")
    assert page.evaluate("patchcore.state.groups.test.map((one) => one.name)") == ["x.png", "y.png"]
    scores = page.evaluate("patchcore.state.groups.test.map((one) => patchcore.state.scores.get(one).score)")
    monkeypatch.chdir(tmp_path)
    found = shared_playground.run_lines()
    # The browser resizes with the exported graph; `test_resize` says how close that is.
    assert torch.allclose(torch.tensor(scores), found, rtol=1e-3)


DROP = """([id, files]) => {
    const transfer = new DataTransfer();
    for (const [name, text] of files) {
        transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    }
    const drop = new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true});
    document.getElementById(id).dispatchEvent(drop);
    return drop.defaultPrevented;
}"""


def png(seed: int) -> str:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (60, 60), dtype=np.uint8)).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def test_dropped_files(shared_playground):
    """Dropped on a target they are used; dropped elsewhere they must not replace the page."""
    page = shared_playground.page
    assert page.evaluate(DROP, ["map", [["a.png", png(0)]]])
    expect(page.locator("#message")).to_contain_text("Choose “your files”")
    page.evaluate("patchcore.set({source: 'files'})")
    assert page.evaluate(DROP, ["drop-good", [[f"{i}.png", png(i)] for i in range(3)]])
    expect(page.locator("#own-text")).to_contain_text("3 good (2 for the bank, 1 held out")
    name = "<b id=injected>&amp;.png"
    assert page.evaluate(DROP, ["drop-test", [[name, png(9)], ["z.txt", "aGVsbG8="]]])
    expect(page.locator("#message")).to_contain_text("cannot read z.txt as a picture")
    expect(page.locator("#own-text")).to_contain_text("1 to test")
    expect(page.locator("#photograph-text")).to_contain_text(name)
    shared_playground.settled()
    page.evaluate("patchcore.set({p: 5})")
    expect(page.locator("#scores-text")).to_contain_text("of 1 photographs raise")
    assert page.locator("#injected").count() == 0
    # Dropping something that is not a picture, or nothing, removes nothing.
    for files in ([["z.txt", "aGVsbG8="]], []):
        assert page.evaluate(DROP, ["drop-good", files])
        shared_playground.settled()
        expect(page.locator("#own-text")).to_contain_text("3 good")


def test_many_files_that_are_not_pictures(shared_playground):
    page = shared_playground.page
    page.evaluate("patchcore.set({source: 'files'})")
    page.evaluate(DROP, ["drop-test", [[f"{i:02}.txt", "aGVsbG8="] for i in range(40)]])
    expect(page.locator("#message")).to_contain_text("cannot read 04.txt as a picture")
    expect(page.locator("#message")).to_contain_text("35 more cannot be used either")
    expect(page.locator("#message")).not_to_contain_text("05.txt")


def test_leaving_asks_first_if_photographs_would_be_lost(open_playground):
    opened = open_playground().ready()
    asked = []

    def stay(dialog):
        asked.append(dialog.type)
        dialog.dismiss()

    opened.page.on("dialog", stay)
    opened.page.locator("#controls [value=files]").check(force=True)
    opened.page.evaluate(DROP, ["drop-good", [["a.png", png(0)]]])
    expect(opened.page.locator("#own-text")).to_contain_text("1 good")
    with opened.page.expect_event("dialog"):
        opened.page.evaluate("setTimeout(() => location.reload())")
    expect(opened.page.locator("#own-text")).to_contain_text("1 good")
    assert asked == ["beforeunload"]


def test_copying_without_permission(open_playground):
    opened = open_playground(before="navigator.clipboard.writeText = () => Promise.reject(new Error('no'))").ready()
    page = opened.page
    page.get_by_role("button", name="Code").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#copied")).to_contain_text("copy it with the keyboard")
    assert page.evaluate("getSelection().toString().trim()") == page.locator("#code-text").text_content()
    assert opened.errors == []


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
    """`with_camera(*flags)` starts a Chromium whose camera shows the film."""
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
    expect(page.locator("#live-text")).to_contain_text("pictures per second")
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
    expect(opened.page.locator("#message")).to_contain_text("Access to the camera was refused")
    expect(opened.page.locator("#message")).to_contain_text("press “Take ten good pictures”")
    opened.page.locator("[name=source][value=grass]").check(force=True)
    opened.until("patchcore.state.bank?.settings.source === 'grass'")
    assert opened.errors == []


def test_an_address_that_asks_for_a_refused_camera(with_camera, open_playground):
    """The page is ready all the same, with the initial photographs."""
    opened = open_playground("#source=camera&p=5", within=with_camera("--deny-permission-prompts")).ready()
    expect(opened.page.locator("#message")).to_contain_text("Access to the camera was refused")
    assert opened.page.evaluate("patchcore.bank.picks.length") == 62
    opened.page.locator("[name=source][value=gravel]").check(force=True)
    opened.until("patchcore.state.bank?.settings.source === 'gravel'")
    assert opened.errors == []


def test_an_address_that_asks_for_files(open_playground):
    """Until some are chosen, the page keeps scoring the initial photographs."""
    opened = open_playground("#source=files").ready()
    expect(opened.page.locator("#own-text")).to_contain_text("Choose at least two good ones")
    score = opened.page.evaluate("patchcore.judge(new Float32Array(3 * 224 * 224).fill(0.5)).then(({score}) => score)")
    assert score > 0
    # It is clear that they are not the user's own.
    opacity = "getComputedStyle(document.querySelector('main')).opacity"
    expect(opened.page.locator("#borrowed")).to_have_text("brick is still shown until you choose pictures")
    assert float(opened.page.evaluate(opacity)) < 0.5
    opened.page.evaluate(DROP, ["drop-good", [[f"{i}.png", png(i)] for i in range(3)]])
    opened.page.evaluate(DROP, ["drop-test", [["9.png", png(9)]]])
    expect(opened.page.locator("#borrowed")).to_be_hidden()
    assert opened.page.evaluate(opacity) == "1" and opened.errors == []


def test_a_camera_that_was_unplugged_can_be_plugged_in_again(with_camera, open_playground):
    opened = open_playground("#source=camera", within=with_camera("--use-fake-ui-for-media-stream")).ready()
    page = opened.page
    opened.until("document.getElementById('video').srcObject !== null")
    page.evaluate("document.getElementById('video').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator("#message")).to_contain_text("press “Take ten good pictures”")
    page.get_by_role("button", name="Take ten good pictures").click()
    expect(page.locator("#live-text")).to_contain_text("pictures per second")
    expect(page.locator("#message")).to_be_hidden()
    assert opened.errors == []


def test_a_machine_without_a_camera(shared_playground):
    page = shared_playground.page
    page.locator("[name=source][value=camera]").check(force=True)
    expect(page.locator("#message")).to_contain_text("No camera is available")
