"""The playground in headless Chromium, from file://: its numbers equal the package's, and every control works."""

from base64 import b64decode, b64encode
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from patchcore_edu import CONVENTIONS, PatchCore
from patchcore_edu.commands.pages import POLICY
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.explorers.tour import paint
from patchcore_edu.playground.material import chosen

# (levels, p, s, border, ratio, selection, b, sigma, source)
SETTINGS = [
    ([2, 3], 3, 1, "zero", 0.01, "greedy", 9, 4, "brick"),
    ([2, 3], 1, 1, "zero", 0.01, "greedy", 9, 4, "brick"),
    ([2, 3], 5, 1, "clip", 0.02, "greedy", 5, 4, "brick"),
    ([2, 3], 9, 1, "zero", 0.01, "greedy", 9, 8, "brick"),
    ([2, 3], 9, 1, "valid", 0.01, "random", 2, 4, "brick"),
    ([2, 3], 3, 2, "zero", 0.05, "greedy", 9, 4, "brick"),
    ([2, 3], 3, 3, "clip", 0.05, "greedy", 1, 0, "brick"),
    ([2, 3], 3, 1, "valid", 0.1, "greedy", 9, 4, "brick"),
    ([2, 3], 3, 1, "zero", 0.01, "random", 9, 4, "brick"),
    ([2, 3], 3, 4, "zero", 1, "greedy", 30, 2, "brick"),
    ([2], 3, 1, "zero", 0.01, "greedy", 9, 4, "brick"),
    ([3], 3, 1, "zero", 0.02, "greedy", 9, 12, "brick"),
    ([3], 7, 1, "clip", 0.01, "greedy", 9, 1, "brick"),
    ([4], 3, 1, "zero", 0.1, "greedy", 9, 4, "brick"),
    ([3, 4], 5, 1, "zero", 0.02, "greedy", 4, 4, "brick"),
    ([1], 3, 3, "zero", 0.01, "greedy", 9, 4, "brick"),
    ([1, 2, 3], 3, 2, "zero", 0.01, "greedy", 9, 4, "brick"),
    ([2, 3], 3, 1, "zero", 0.1, "greedy", 9, 4, "grass"),
    ([2, 3], 3, 1, "zero", 0.01, "greedy", 20, 4, "gravel"),
    ([2, 3, 4], 3, 2, "clip", 0.02, "greedy", 16, 4, "gravel"),
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
    const {bank: {kept}, verdict: {patches, pixels}, selected} = patchcore.state;
    return {
        selected,
        rows: patchcore.bank.rows, picks: patchcore.bank.picks, answers,
        kept: text64(kept), patches: text64(patches), pixels: text64(pixels),
    };
}"""


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
    """Ten images: good ones, one with each kind of defect, painted and smeared ones, and one of noise."""
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


def array(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(b64decode(text), np.float32).copy())


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return float((found - wanted.flatten()).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(map(str, setting)))
def test_numbers_are_the_package_s(played, backbone, setting):
    settings = dict(zip(NAMES, setting, strict=True))
    images = test_images(settings["source"])
    model = fitted(settings, backbone)
    wanted = model.predict(images)
    found = played.page.evaluate(JUDGE, [settings, [b64encode(image.numpy().tobytes()).decode() for image in images]])
    assert found["rows"] == model.rows_before
    grid = wanted.patch_distance.shape[1:].numel()
    place = (model.bank.position // settings["s"]) @ torch.tensor([wanted.patch_distance.shape[2], 1])
    assert found["picks"] == (model.bank.image * grid + place).tolist()
    assert close(array(found["kept"]), model.bank.vectors)
    _, _, judged = chosen(settings["source"])
    shown = judged[found["selected"]].image  # the first scratch, unless an earlier test has selected another image
    assert torch.equal(array(found["pixels"]), shown.flatten())
    assert close(array(found["patches"]), model.patches(shown[None]))
    for i, answer in enumerate(found["answers"]):
        assert close(array(answer["map"]), wanted.anomaly_map[i]), i
        assert close(array(answer["distance"]), wanted.patch_distance[i]), i
        assert close(torch.tensor([answer["score"]]), wanted.score[i]), i
        assert answer["index"] == wanted.nearest[i].flatten().tolist(), i
    assert played.errors == []


def test_painting_updates_the_numbers(shared_playground, backbone):
    """With the pointer: the pixels are those of `paint`, the score is the package's, and undo restores both."""
    page = shared_playground.page
    expect(page.locator("#photograph-text")).to_contain_text("good 1")
    clean = page.evaluate("patchcore.state.verdict.score")
    page.locator("#photograph").scroll_into_view_if_needed()
    box = page.locator("#photograph").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 170, steps=15)
    page.mouse.up()
    expect(page.locator("#now")).to_be_visible()
    shared_playground.settled()
    found = page.evaluate(
        """({strokes: patchcore.state.strokes, score: patchcore.state.verdict.score,
             pixels: Array.from(patchcore.state.painted)})"""
    )
    [stroke] = found["strokes"]
    painted = torch.from_numpy(np.float32(paint(PhotoTextures("brick", "test")[0].image[0].numpy(), **stroke)))
    assert torch.equal(torch.tensor(found["pixels"]), painted.expand(3, -1, -1).flatten())
    settings = dict(zip(NAMES, SETTINGS[0], strict=True))
    wanted = fitted(settings, backbone).predict(painted.expand(1, 3, -1, -1))
    assert abs(found["score"] - float(wanted.score)) <= 1e-5 * float(wanted.score) and found["score"] > clean + 3
    page.get_by_role("button", name="Undo").click()
    shared_playground.until(f"patchcore.state.verdict.score === {clean}")


def test_keys_point_and_paint(shared_playground):
    page = shared_playground.page
    page.locator("#photograph").focus()
    page.keyboard.press("ArrowDown")
    [h, w] = page.evaluate("patchcore.state.cell")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("patchcore.state.cell") == [h, w + 1]
    page.keyboard.press("Space")
    shared_playground.until("patchcore.state.painted !== null && patchcore.state.strokes.length === 1")
    page.get_by_role("button", name="Clear").click()


def test_every_control(shared_playground):
    """Each changes its setting, the address and the picture; the bank is filled anew when it must be."""
    page = shared_playground.page
    for name, value in [
        *[("levels", 4), ("p", 5), ("s", 2), ("border", "valid"), ("ratio", 0.1), ("selection", "random")],
        *[("b", 5), ("sigma", 8), ("source", "gravel")],
    ]:
        page.evaluate("patchcore.state.verdict = null")
        page.locator(f"#controls [name={name}][value='{value}']").check(force=True)
        address = "2,3,4" if name == "levels" else str(value)
        shared_playground.until(f"String(patchcore.state.settings.{name}) === '{address}'")
        shared_playground.settled().until("patchcore.state.verdict !== null")
        assert f"{name}={address}" in page.url
        filled = page.evaluate(f"String(patchcore.state.bank.settings.{name})")
        assert filled == address or name in ("b", "sigma")  # these two do not change the bank


def test_each_control_is_explained(shared_playground):
    """One line about the control under the pointer or in focus; a screen reader reads it with the control."""
    page = shared_playground.page
    groups = page.locator("#controls fieldset")
    for group in groups.all():
        line = page.locator(f"#{group.get_attribute('aria-describedby')}")
        group.locator("input").last.hover(force=True)
        expect(page.locator("#help span:visible")).to_have_count(1)
        expect(line).to_be_visible()
    page.locator("#controls [name=s]:checked").focus()
    expect(page.locator("#help span:visible")).to_contain_text("Stride s: a patch is taken only at every s-th cell")


def test_the_outcome_is_on_the_first_screen(shared_playground):
    page = shared_playground.page
    outcome = page.locator("#outcome")
    seen = page.evaluate("""async () => {
        const texts = [];
        const watcher = new MutationObserver(() => texts.push(document.getElementById("outcome").textContent));
        watcher.observe(document.getElementById("outcome"), {childList: true});
        await patchcore.set({p: 5});
        watcher.disconnect();
        return texts;
    }""")
    assert "scoring …" in seen and any("scoring 5 of 16 …" in text for text in seen)
    score, threshold = page.evaluate("[patchcore.state.verdict.score, patchcore.state.threshold]")
    expect(outcome).to_contain_text(f"score s = {score:.1f}, threshold {threshold:.1f}: no alarm · ")
    expect(outcome).to_contain_text("of 6 defects are found; ")
    page.evaluate("window.scrollTo(0, 0)")
    box = outcome.bounding_box()
    assert box["y"] + box["height"] < 400


@pytest.mark.parametrize("picture", ["#photograph", "#map", "#tiles canvas >> nth=1"])
def test_a_click_holds_a_patch(shared_playground, picture):
    page = shared_playground.page
    farthest = page.locator("#photograph-text").text_content()
    canvas = page.locator(picture)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def at(x, y):
        return {"x": x * box["width"], "y": y * box["height"]}

    for let_go in (lambda: page.keyboard.press("Escape"), page.get_by_role("button", name="Farthest patch").click):
        canvas.click(position=at(0.52, 0.27))
        canvas.hover(position=at(0.8, 0.8))
        page.mouse.move(0, 0)
        assert page.evaluate("patchcore.state.cell") == [7, 14]
        expect(page.locator("#photograph-text")).to_contain_text("held patch at (h, w) = (7, 14)")
        canvas.click(position=at(0.8, 0.8))
        assert page.evaluate("patchcore.state.cell") == [22, 22]
        page.mouse.move(0, 0)
        let_go()
        page.mouse.move(0, 0)
        expect(page.locator("#photograph-text")).to_have_text(farthest)
    assert page.evaluate("patchcore.state.strokes") == []


def test_painting_on_a_good_photograph(shared_playground):
    page = shared_playground.page
    page.get_by_role("button", name="brick, scratch 1").click()
    page.get_by_role("button", name="Paint on a good one").click()
    expect(page.locator("#photograph-text")).to_contain_text("good")
    shared_playground.settled()
    before = page.evaluate("patchcore.state.verdict.score")
    assert before < page.evaluate("patchcore.state.threshold")
    box = page.locator("#photograph").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 170, steps=5)
    page.mouse.up()
    said = f"Before you painted, its score s was {before:.1f}: this was good, and you made it an alarm."
    expect(page.locator("#verdict")).to_contain_text(said)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#verdict")).not_to_contain_text("painted")


def test_words_are_explained(shared_playground):
    """The explanation under the pointer is the same as in the list at the end of the page."""
    page = shared_playground.page
    page.get_by_text("Words", exact=True).click()
    for text in ("receptive field", "patch embedding", "channels", "ψ", "m*", "Nb(m*)"):
        told = page.locator("main abbr").filter(has_text=text).first.get_attribute("title")
        expect(page.locator("#words dd").get_by_text(told, exact=True)).to_be_visible()
    expect(page.locator("#support-text")).to_contain_text("w = 1 − ed(m*) / Σ ed(m)")
    page.get_by_text("Words", exact=True).click()


@pytest.mark.parametrize("settings, spread", [({}, False), ({"s": 4, "sigma": 0}, True), ({"border": "valid"}, True)])
def test_the_map_says_when_the_glow_may_lie_beside_the_frame(shared_playground, settings, spread):
    page = shared_playground.page
    page.evaluate("(settings) => patchcore.set(settings)", settings)
    assert ("may lie beside its frame" in page.locator("#map-text").text_content()) == spread


def test_every_stage_follows_the_others(shared_playground):
    """The map and the feature maps select a cell; the bank's pictures and slider show where an entry is the nearest."""
    page = shared_playground.page
    farthest = page.locator("#photograph-text").text_content()
    for picture in ("#map", "#tiles canvas >> nth=2"):
        picture = page.locator(picture)
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        picture.hover(position={"x": box["width"] * 0.52, "y": box["height"] * 0.27})
        assert page.evaluate("patchcore.state.cell") == [7, 14]
        expect(page.locator("#photograph-text")).to_contain_text("(7, 14)")
        expect(page.locator("#nearest-text")).to_contain_text("The patch farthest from the bank is at")
        page.mouse.move(0, 0)
        expect(page.locator("#photograph-text")).to_have_text(farthest)
    nearest = "patchcore.state.verdict.index.filter((row) => row === patchcore.state.entry).length"
    clean = page.evaluate("document.getElementById('map').toDataURL()")
    for i, move in enumerate(("Home", "ArrowRight")):  # the first picks, in order
        page.get_by_role("slider", name="How many picks are shown").press(move)
        assert page.evaluate("patchcore.state.entry") == i
        expect(page.locator("#nearest-text")).to_contain_text(f"for {page.evaluate(nearest)} of the 784 patches")
    page.get_by_role("slider", name="How many picks are shown").press("End")
    index, picks = page.evaluate("[Array.from(patchcore.state.verdict.index), patchcore.bank.picks]")
    row = max(set(index), key=index.count)  # of the bank: nearest to the most patches
    image, place = divmod(picks[row], 28 * 28)
    top, left = divmod(place, 28)
    thumb = page.locator("#thumbs canvas").nth(image)
    thumb.scroll_into_view_if_needed()
    box = thumb.bounding_box()
    thumb.hover(position={"x": box["width"] * (left + 0.5) / 28, "y": box["height"] * (top + 0.5) / 28})
    assert page.evaluate("patchcore.state.entry") == row
    assert page.evaluate("document.getElementById('map').toDataURL()") != clean
    page.mouse.move(0, 0)
    assert page.evaluate("patchcore.state.entry") is None
    assert page.evaluate("document.getElementById('map').toDataURL()") == clean


@pytest.mark.parametrize("b, shown", [(1, 1), (5, 5), (20, 10)])
def test_the_neighbours_of_eq_7_are_shown(shared_playground, b, shown):
    page = shared_playground.page
    page.evaluate("(b) => patchcore.set({b})", b)
    shared_playground.until(f"patchcore.state.verdict?.support.length === {b}")
    expect(page.locator("#support figure:visible")).to_have_count(shown)
    reach = page.evaluate("Array.from(patchcore.state.verdict.reach)")
    s_star, score = page.evaluate("[patchcore.state.verdict.sStar, patchcore.state.verdict.score]")
    assert reach == sorted(reach) and abs(reach[0] - s_star) < 1e-4
    w = 1 - 1 / sum(np.exp(np.float64(reach) - reach[0])) if b > 1 else 1
    assert abs(w - score / s_star) < 1e-5
    expect(page.locator("#support figcaption").first).to_have_text(f"{s_star:.1f}")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"source": "grass", "levels": [2], "p": 5, "border": "clip", "sigma": 8, "b": 2},
        {"selection": "random", "s": 2, "border": "valid"},
        {"ratio": 0.0001, "b": 20},
    ],
    ids=str,
)
def test_the_lines_of_python_give_the_same_numbers(shared_playground, settings):
    page = shared_playground.page
    page.evaluate("(settings) => patchcore.set(settings)", settings)
    scores = page.evaluate("patchcore.state.groups.test.map((one) => patchcore.state.scores.get(one).score)")
    found = shared_playground.run_lines()
    assert len(scores) == 10 and close(torch.tensor(scores), found)


def test_picks_appear_one_by_one(shared_playground):
    page = shared_playground.page
    count = page.get_by_role("slider", name="How many picks are shown")
    expect(count).to_have_value("62")
    count.press("Home")
    expect(page.locator("#count-text")).to_have_text("pick 1 of 62")
    page.get_by_role("button", name="Watch it choose").click()
    expect(page.locator("#count-text")).to_contain_text("pick 62 of 62")


def test_each_break_says_what_it_does(shared_playground):
    page = shared_playground.page
    page.get_by_role("button", name="Break it").click()
    for name, changed in {
        "p = 9": {"p": 9},
        "clip at the border": {"border": "clip"},
        "random 1 %": {"selection": "random"},
        "b = 2": {"b": 2},
        "level 4": {"levels": [4]},
    }.items():
        before = page.locator("#break-text").text_content()
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator("#break-text")).not_to_have_text(before)
        settings = page.evaluate("patchcore.state.settings")
        start = {"p": 3, "border": "zero", "selection": "greedy", "b": 9, "levels": [2, 3]}
        assert {name: settings[name] for name in start} == start | changed
        told = "None crossed it" if name == "b = 2" else "Crossed the threshold: brick"
        expect(page.locator("#break-text")).to_contain_text("The threshold")
        for text in ("#break-text", "#scores-text"):
            expect(page.locator(text)).to_contain_text("of 6 defects are found")
            expect(page.locator(text)).to_contain_text(told)
        sides = page.locator("#dots button:not([data-side=''])")
        assert sides.count() == page.locator("#scores-text").text_content().count("(score s ")
    page.get_by_role("button", name="defaults").click()
    shared_playground.until("patchcore.state.bank.settings.levels.length === 2")
    page.get_by_role("button", name="Code").click()  # only one is open at a time, so that the photograph stays in view
    expect(page.locator("#breaks")).to_be_hidden()
    page.get_by_role("button", name="Break it").click()
    expect(page.locator("#code")).to_be_hidden()
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#breaks")).to_be_hidden()
    expect(page.get_by_role("button", name="Break it")).to_be_focused()


def test_the_tour_moves_the_controls(shared_playground, backbone):
    page = shared_playground.page
    numbers = []  # with p = 3 and 5, the score of the first scratch and the threshold
    _, held, judged = chosen("brick")
    images = torch.stack([sample.image for sample in [judged[4], *held]])
    for p in (3, 5):
        scratch, *good = fitted(dict(zip(NAMES, SETTINGS[0], strict=True)) | {"p": p}, backbone).predict(images).score
        numbers += [float(scratch), float(max(good))]
    s, threshold = (f"falls from {numbers[k]:.1f} to {numbers[k + 2]:.1f}" for k in (0, 1))
    went = f"Here the score s {s}, and the threshold {threshold}. The next step returns to p = 3."
    before = page.evaluate("[patchcore.state.radius, patchcore.state.threshold]")
    page.get_by_role("button", name="Take the tour").click()
    for step in range(1, 9):
        expect(page.locator("#story-count")).to_have_text(f"{step} of 8")
        if step == 8:  # check what its text says
            shared_playground.until("patchcore.state.bank?.settings.selection === 'random'")
            shared_playground.settled()
            after = page.evaluate("[patchcore.state.radius, patchcore.state.threshold]")
            assert after[0] > before[0] and after[1] > before[1]
            for text in ("#scores-text", "#story-added"):
                expect(page.locator(text)).to_contain_text("Crossed the threshold: brick, blob")
            # The distances shown for the forgotten patch are those of the package's models.
            expect(page.locator("#forgotten canvas")).to_be_visible()
            patch = page.evaluate("patchcore.state.cover.indexOf(patchcore.state.radius)")
            photograph = PhotoTextures("brick", "train")[patch // 784].image[None]
            told = page.locator("#forgotten b").all_text_contents()
            for selection, number in zip(("greedy", "random"), told, strict=True):
                model = fitted(dict(zip(NAMES, SETTINGS[0], strict=True)) | {"selection": selection}, backbone)
                assert f"{float(model.predict(photograph).patch_distance.flatten()[patch % 784]):.1f}" == number
        shared_playground.until(f"patchcore.state.settings.sigma === {0 if step == 6 else 4}")
        shared_playground.until(f"patchcore.state.settings.p === {5 if step == 4 else 3}")
        shared_playground.settled()
        if step == 4:  # the numbers are those of the package's models
            expect(page.locator("#story-added")).to_have_text(went)
        page.locator("#story-next").click()
    expect(page.locator("#story")).to_be_hidden()
    assert page.evaluate("patchcore.state.settings.selection") == "random"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_tour_s_text_does_not_hide_what_it_is_about(shared_playground, width):
    page = shared_playground.page
    page.set_viewport_size({"width": width, "height": 844})
    page.get_by_role("button", name="Take the tour").click()
    for step in range(1, 9):
        expect(page.locator("#story-count")).to_have_text(f"{step} of 8")
        shared_playground.settled()
        story, lit = page.locator("#story").bounding_box(), page.locator(".lit").bounding_box()
        assert story["y"] >= 0 and lit["y"] >= story["y"] + story["height"], step
        assert lit["y"] + lit["height"] <= 845, step
        page.locator("#story-next").click()
    page.set_viewport_size({"width": 1280, "height": 900})


def test_on_a_phone_the_tour_brings_the_control_into_view(shared_playground):
    page = shared_playground.page
    page.set_viewport_size({"width": 390, "height": 844})
    strip = page.locator("#controls")
    page.evaluate("document.getElementById('controls').scrollTo(0, 0)")
    expect(strip).to_have_class("more")
    page.get_by_role("button", name="Break it").click()
    for button, name in (("b = 2", "b"), ("clip at the border", "border"), ("level 4", "levels")):
        page.get_by_role("button", name=button, exact=True).click()
        shared_playground.settled()
        box = page.locator(f"#group-{name}").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, name
        expect(page.locator(f"#help-{name}")).to_be_visible()
    page.evaluate("document.getElementById('controls').scrollTo(9999, 0)")
    expect(strip).not_to_have_class("more")
    page.get_by_role("button", name="Close").click()
    page.set_viewport_size({"width": 1280, "height": 900})


def test_without_a_pointer(shared_playground):
    """Everything that can be reached by keyboard has a name for a screen reader, and so has every picture."""
    page = shared_playground.page
    client = page.context.new_cdp_session(page)
    nodes = client.send("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "slider", "radio", "checkbox", "combobox", "link", "image", "img", "application", "canvas"}
    seen = set()
    for node in nodes:
        role = node.get("role", {}).get("value", "").lower()
        if role in named and not node["ignored"]:
            seen.add(role)
            assert node.get("name", {}).get("value"), node
    assert {"button", "slider", "radio", "checkbox", "combobox", "link", "application"} <= seen
    page.locator("#controls [name=p]:checked").focus()
    page.keyboard.press("ArrowRight")
    shared_playground.until("patchcore.state.bank.settings.p === 5")
    shared_playground.settled()  # a photograph without a score has no button
    page.get_by_role("button", name="Code").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#code-text")).to_contain_text("PatchCore(levels=(2, 3), p=5")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="brick, scratch 1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#photograph-text")).to_contain_text("scratch 1")


@pytest.mark.parametrize("width", [390, 800, 1280, 1920])
def test_it_is_no_wider_than_the_window(shared_playground, width):
    page = shared_playground.page
    page.set_viewport_size({"width": width, "height": 844})
    for button in ("Break it", "Code"):
        page.get_by_role("button", name=button).click()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.get_by_role("button", name="Code").click()
    page.set_viewport_size({"width": 1280, "height": 900})


class Charset(SimpleHTTPRequestHandler):
    """A plain server that, like some, declares all text to be UTF-8, which the packed scripts are not."""

    def guess_type(self, path):
        kind = super().guess_type(path)
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind

    def log_message(self, *_):
        pass


def test_from_a_plain_server(open_playground, playground):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Charset, directory=playground))
    Thread(target=server.serve_forever, daemon=True).start()
    opened = open_playground(address=f"http://127.0.0.1:{server.server_port}/playground.html").ready()
    assert opened.page.evaluate("patchcore.bank.picks.length") == 62 and opened.errors == []
    server.shutdown()


def test_offline_in_a_page_of_the_course(open_playground, playground):
    """It runs in a frame, from file://, under the policy of the course's pages."""
    page = playground / "framed.html"
    page.write_text(
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><iframe src="playground.html#p=5" width="890" '
        'height="900"></iframe>'
    )
    opened = open_playground(address=page.as_uri(), before="")
    opened.page.context.set_offline(True)
    opened.page.reload()
    frame = opened.page.frames[1]
    frame.evaluate("patchcore.ready")
    assert frame.evaluate("patchcore.state.bank.settings.p") == 5
    expect(opened.page.frame_locator("iframe").locator("#map")).to_be_visible()
    expect(opened.page.frame_locator("iframe").get_by_role("link", name="Open the full playground")).to_be_visible()
    expect(opened.page.frame_locator("iframe").locator("#tour-button")).to_be_hidden()
    assert opened.errors == []
    opened.page.context.set_offline(False)


def test_nothing_may_be_sent_anywhere(playground):
    """The page's Content-Security-Policy allows no other origin, and its files name none."""
    page = (playground / "playground.html").read_text("utf-8")
    policy = page.split('Content-Security-Policy" content="')[1].split('"')[0]
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy
    assert "http" not in policy and "*" not in policy and "unsafe-inline" not in policy
    body = page[page.index("<script>") :]
    assert "http://" not in body and "https://" not in body


SENDING = """async (address) => {
    const violated = [];
    document.addEventListener("securitypolicyviolation", (event) => violated.push(event.effectiveDirective));
    const image = new Image();
    image.src = address;
    const form = Object.assign(document.createElement("form"), {action: address, method: "post"});
    document.body.append(form);
    form.submit();
    navigator.sendBeacon(address, "secret");
    const fetched = await fetch(address, {mode: "no-cors"}).then(() => "sent", () => "refused");
    try { new WebSocket(address.replace("http", "ws")); } catch {}
    try { new EventSource(address); } catch {}
    const script = Object.assign(document.createElement("script"), {src: address});
    document.head.append(script);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return [fetched, violated];
}"""


def test_every_attempt_to_send_is_stopped(shared_playground):
    """Tested by trying: nothing reaches a server that listens."""
    asked = []

    class Listening(Charset):
        def do_GET(self):
            asked.append(self.path)

        do_POST = do_HEAD = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Listening) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/stolen"
        fetched, violated = shared_playground.page.evaluate(SENDING, address)
        server.shutdown()
    assert fetched == "refused" and asked == []
    assert {"connect-src", "img-src", "form-action", "script-src-elem"} <= set(violated)
    shared_playground.errors.clear()  # one from the browser for each attempt
