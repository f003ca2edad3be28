"""The playground in a headless Chromium, from file://: its numbers against the package's, and what one can do on it."""

import time
from base64 import b64decode, b64encode
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from patchcore_edu import CONVENTIONS, PatchCore
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.datasets.photograph_files import read_photograph, resize_sample
from patchcore_edu.explorers.tour import paint

# (levels, p, s, border, ratio, selection, b, sigma, source)
SETTINGS = [
    ([2, 3], 3, 1, "zero", 0.01, "greedy", 9, 4, "brick"),
    ([2, 3], 1, 1, "zero", 0.01, "greedy", 9, 4, "brick"),
]
expect.set_options(timeout=60_000)  # on a shared machine
NAMES = "levels p s border ratio selection b sigma source".split()

JUDGE = """async ([settings, images]) => {
    const text64 = (array) => {
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let text = '';
        for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
        return btoa(text);
    };
    await patchcore.set(settings);
    const answers = [];
    for (const text of images) {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const {score, map, distance, index} = await patchcore.judge(new Float32Array(bytes.buffer));
        answers.push({score, map: text64(map), distance: text64(distance), index: Array.from(index)});
    }
    return {rows: patchcore.bank.rows, picks: patchcore.bank.picks, answers};
}"""


def until(page, expression: str, seconds: float = 60) -> None:
    """Wait until it holds. Playwright's own waiting evaluates text in the page, which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"it never held: {expression}"
        time.sleep(0.05)


class Page:
    """The playground in a page of the browser, with the errors it has shown."""

    def __init__(self, browser, folder, fragment=""):
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto((folder / "playground.html").as_uri() + fragment)

    def ready(self) -> "Page":
        self.page.evaluate("patchcore.ready")
        return self


@pytest.fixture(scope="module")
def opened(browser, playground):
    """One page for all tests of this file; each puts back what it changed."""
    page = Page(browser, playground).ready()
    yield page
    page.page.close()


def fitted(settings: dict, backbone) -> PatchCore:
    conventions = replace(CONVENTIONS["paper"], border=settings["border"], sigma=float(settings["sigma"]))
    random = settings["selection"] == "random"
    model = PatchCore(
        backbone,
        settings["levels"],
        settings["p"],
        settings["s"],
        1.0 if random else settings["ratio"],
        settings["b"],
        conventions,
    )
    train = PhotoTextures(settings["source"], "train")
    model.fit(torch.stack([train[i].image for i in range(8)]))
    if random:
        rows = torch.randperm(len(model.bank), generator=torch.Generator().manual_seed(0))
        model.bank = model.bank.take(rows[: max(1, int(settings["ratio"] * len(rows)))])
    return model


def test_images(source: str) -> torch.Tensor:
    """Ten: good ones, one of each defect, painted and smeared ones, and one that was never seen anywhere."""
    test = PhotoTextures(source, "test")
    images = [test[i].image for i in (0, 3, 16, 24, 32)]
    for i, smear in ((1, False), (2, True), (5, False), (6, True)):
        stroke = {
            "path": [[30 + 9 * i, 40], [150, 60 + 20 * i], [170, 190]],
            "brush": 4 * i,
            "grey": 0.9,
            "smear": smear,
        }
        painted = np.float32(paint(test[i].image[0].numpy(), **stroke))
        images.append(torch.from_numpy(painted).expand(3, -1, -1))
    images.append(torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0)))
    return torch.stack(images)


test_images.__test__ = False


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(map(str, setting)))
def test_numbers_are_the_package_s(opened, backbone, setting):
    settings = dict(zip(NAMES, setting, strict=True))
    images = test_images(settings["source"])
    model = fitted(settings, backbone)
    wanted = model.predict(images)
    found = opened.page.evaluate(JUDGE, [settings, [b64encode(image.numpy().tobytes()).decode() for image in images]])
    assert found["rows"] == model.rows_before
    grid = wanted.patch_distance.shape[1:].numel()
    place = (model.bank.position // settings["s"]) @ torch.tensor([wanted.patch_distance.shape[2], 1])
    assert found["picks"] == (model.bank.image * grid + place).tolist()
    for i, answer in enumerate(found["answers"]):
        for name, field in (("map", "anomaly_map"), ("distance", "patch_distance"), ("score", "score")):
            value = answer[name]
            if isinstance(value, str):
                value = np.frombuffer(b64decode(value), np.float32).copy()
            value, want = torch.as_tensor(value), getattr(wanted, field)[i].flatten()
            assert float((value - want).abs().max()) <= 1e-5 * float(want.abs().max()), (i, name)
        assert answer["index"] == wanted.nearest[i].flatten().tolist(), i
    assert opened.errors == []


@pytest.fixture
def page(opened):
    """The page with its first settings, nothing painted, and no error so far."""
    opened.errors.clear()
    start = {"source": "brick", "levels": [2, 3], "p": 3, "s": 1, "border": "zero", "ratio": 0.01}
    opened.page.evaluate("(s) => patchcore.set(s)", start | {"selection": "greedy", "b": 9, "sigma": 4})
    opened.page.locator("#dots button").nth(0).click()
    yield opened.page
    assert opened.errors == []


def test_keys_point_and_paint(page):
    canvas = page.locator("#photograph")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    [h, w] = page.evaluate("patchcore.state.cell")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("patchcore.state.cell") == [h, w + 1]
    page.keyboard.press("Space")
    until(page, "patchcore.state.painted !== null && patchcore.state.strokes.length === 1")
    page.get_by_role("button", name="Clear").click()


def test_the_tour_moves_the_controls(page):
    page.get_by_role("button", name="Take the tour").click()
    for step in range(1, 9):
        expect(page.locator("#story-count")).to_have_text(f"{step} of 8")
        page.locator("#story-next").click()
    expect(page.locator("#story")).to_be_hidden()
    assert page.evaluate("patchcore.state.settings.selection") == "random"


def test_a_setting_that_makes_no_sense_is_refused(page):
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


def test_the_address_opens_a_setting_and_names_nonsense(browser, playground):
    fragment = "#source=grass&levels=3&p=5&s=2&border=clip&ratio=0.02&selection=random&b=4&sigma=2&p=banana&x=1"
    opened = Page(browser, playground, fragment).ready()
    settings = opened.page.evaluate("patchcore.state.settings")
    assert settings == {
        **{"source": "grass", "levels": [3], "p": 5, "s": 2, "border": "clip", "ratio": 0.02},
        **{"selection": "random", "b": 4, "sigma": 2},
    }
    expect(opened.page.locator("#message")).to_contain_text("p=banana")
    assert opened.errors == []
    opened.page.close()


def test_nothing_may_be_sent_anywhere(playground):
    """The page's Content-Security-Policy names no origin but its own, and its files name no other."""
    page = (playground / "playground.html").read_text("utf-8")
    policy = page.split('Content-Security-Policy" content="')[1].split('"')[0]
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy
    assert "http" not in policy and "*" not in policy and "unsafe-inline" not in policy
    body = page[page.index("<script>") :]
    assert "http://" not in body and "https://" not in body


def test_own_photographs(page, tmp_path):
    """Any size is resized as `ImageFolder` does; what is no picture is named, and the others are taken."""
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (300, 260 + 20 * i, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    Image.new("RGB", (1, 5000)).save(tmp_path / "long.png")
    (tmp_path / "words.png").write_text("no picture")
    page.evaluate("patchcore.set({source: 'files'})")
    page.locator("#good-files").set_input_files([str(tmp_path / f"{i}.png") for i in range(4)])
    expect(page.locator("#own-text")).to_contain_text("4 good (3 for the bank, 1 held out")
    page.locator("#test-files").set_input_files([str(tmp_path / name) for name in ("4.png", "long.png", "words.png")])
    expect(page.locator("#message")).to_contain_text("1 × 5000")
    expect(page.locator("#message")).to_contain_text("words.png is no picture")
    until(page, "patchcore.state.groups.test.length === 1 && patchcore.state.verdict?.pixels.length")
    found = page.evaluate("Array.from(patchcore.state.groups.test[0].pixels)")
    image = read_photograph(tmp_path / "4.png")
    wanted, _ = resize_sample(image, torch.zeros(image.shape[1:], dtype=torch.bool))
    assert float((torch.tensor(found).view(3, 224, 224) - wanted).abs().max()) < 1e-4
