"""How fast explorers respond in JupyterLab in headless Chromium, from the key press to the changed pixels.

    python -m pytest -n 0 -s tests/benchmarks/explorers.py

Each case is an explorer, a control moved by keys, and two limits in milliseconds for the 95th percentile of at least
40 steps: for settings shown before, and for new ones. A stroke is measured separately: its map is always new.
"""

from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import TimeoutError

HARNESS = Path(__file__).parent.parent / "browser" / "conftest.py"
spec = spec_from_file_location("browser_harness", HARNESS)
harness = module_from_spec(spec)
spec.loader.exec_module(harness)
launch, browser = harness.launch, harness.browser
jupyter_server, lab = harness.jupyter_server, harness.lab
open_explorer = harness.open_explorer

STEPS = 40
# explorer, settings, the trait that keys move ("h": the canvas), limits for visited and for new settings
CASES = [
    ("FeatureMap", "", "h", 100, 250),
    ("FeatureMap", "", "c", 100, 250),
    ("FeatureMap", "", "level", 300, 300),
    ("Neighbourhood", "h=14, w=14", "p", 100, 250),
    ("Neighbourhood", "p=5", "h", 100, 250),
    ("Aggregation", "", "p", 100, 250),
    ("Aggregation", "", "k", 100, 250),
    ("Aggregation", "", "dim", 100, 250),
    ("Aggregation", "", "h", 100, 250),
    ("PatchSet", "", "p", 100, 250),
    ("PatchSet", "", "s", 100, 250),
    ("PatchSet", "", "levels", 300, 300),
    ("Bank", "", "n", 100, 250),
    ("Bank", "", "p", 100, 250),
    ("Bank", "", "s", 100, 250),
    ("Bank", "", "levels", 300, 300),
    ("Bank", "", "h", 100, 250),
    ("Coreset", "", "l", 100, 250),
    ("Coreset", "", "start", 100, 250),
    ("Coreset", "", "psi", 100, 250),
    ("AnomalyScore", "", "b", 100, 250),
    ("AnomalyScore", "", "h", 100, 250),
    ("AnomalyScore", "", "photograph", 100, 250),
    ("AnomalyMap", "", "sigma", 100, 250),
    ("AnomalyMap", "", "threshold", 100, 250),
    ("Pipeline", "", "p", 100, 250),
    ("Pipeline", "", "s", 100, 250),
    ("Pipeline", "", "b", 100, 250),
    ("Pipeline", "", "ratio", 100, 250),
    ("Pipeline", "", "levels", 100, 300),
    ("PaintDefect", "", "photograph", 100, 250),
]
STROKE_LIMIT = 150

# The clock starts with the key press (or pointer event) and stops when the frame with the new pixels is drawn. Where
# two settings give the same picture (p = 2 and 3), only the text beside it changes.
WATCH = """() => {
    const watched = window.latencies; // all cases share one page
    [window.latencies, window.started] = [[], null];
    if (watched) return;
    const start = (event) => (window.started ??= event.timeStamp);
    for (const kind of ["keydown", "pointermove"]) document.addEventListener(kind, start, true);
    const stop = (view) => {
        if (window.started === null || [...view.querySelectorAll("img")].some((image) => !image.complete)) return;
        const from = window.started;
        window.started = null;
        // A frame is on the screen after its callbacks and its painting: then messages are delivered again.
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => window.latencies.push(performance.now() - from);
        requestAnimationFrame(() => port2.postMessage(null));
    };
    document.addEventListener("load", (event) => {
        if (event.target.matches(".patchcore-figure")) stop(event.target.closest(".patchcore-view"));
    }, true);
    new MutationObserver((changes) => {
        const caption = changes.map((change) => change.target).find((at) => at.matches?.(".patchcore-caption"));
        if (caption) stop(caption.parentElement);
    }).observe(document.body, { childList: true, subtree: true });
}"""
# The kernel takes a second per picture, so what changes on the canvas at once is drawn by the browser.
FRAMES = """async (canvas) => {
    const before = canvas.toDataURL();
    canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowDown", bubbles: true}));
    let frames = 0;
    do {
        await new Promise(requestAnimationFrame);
        frames += 1;
    } while (canvas.toDataURL() === before && frames < 60);
    return frames;
}"""
# Forgets all that the explorer's own module keeps, but not what is computed once per process (φ, a model).
FORGET = """
import sys
explorer._kept.clear()
for kept in vars(sys.modules[type(explorer).__module__]).values():
    if hasattr(kept, "cache_clear"):
        kept.cache_clear()
"""
START = """
control = explorer.controls.get({trait!r})
values = range(explorer.canvas.rows) if control is None else (
    list(dict(control.options).values()) if hasattr(control, "options") else
    [control.min + i * control.step for i in range(round((control.max - control.min) / control.step) + 1)])
explorer.state.{trait} = values[0]
explorer.picture()
print(control.description if control else "", len(values), sep="|")
"""


def latencies(shown, act, steps: int) -> list[float]:
    """Return the milliseconds of each step; the next one begins when the last is on the screen.

    A step after which nothing changes for five seconds is not timed: two places may have the same nearest entry.
    """
    times = []
    for step in range(steps):
        shown.page.evaluate("() => { [window.latencies, window.started] = [[], null]; }")
        act(step)
        with suppress(TimeoutError):
            shown.page.wait_for_function("() => window.latencies.length", timeout=5000)
        times += shown.page.evaluate("() => window.latencies")
    return times


def report(what: str, times: list[float]) -> float:
    p50, p95 = np.percentile(times, [50, 95])
    print(f"\n  {what:<44} median {p50:6.0f} ms   p95 {p95:6.0f} ms   ({len(times)} steps)", end="")
    return p95


@pytest.mark.parametrize("name, settings, trait, visited_limit, new_limit", CASES)
def test_from_key_press_to_pixels(open_explorer, name, settings, trait, visited_limit, new_limit):
    shown = open_explorer(name, settings)
    shown.page.evaluate(WATCH)
    there, back = ("ArrowDown", "ArrowUp") if trait == "h" else ("ArrowRight", "ArrowLeft")
    new, visited = [], []
    while len(visited) < STEPS:
        shown.notebook.run_code(FORGET)
        label, count = shown.notebook.run_code(START.format(trait=trait)).split("|")
        shown.page.wait_for_timeout(1000)
        (shown.slider(label) if label else shown.canvas).focus()
        span = min(int(count) - 1, STEPS // 2)
        new += latencies(shown, lambda _: shown.page.keyboard.press(there), span)
        visited += latencies(shown, lambda _: shown.page.keyboard.press(back), span - 1)
    slow_new = report(f"{name}, {trait}: new", new)
    slow_visited = report(f"{name}, {trait}: visited", visited)
    shown.assert_right()
    assert slow_visited <= visited_limit and slow_new <= new_limit


def test_from_brush_to_map(open_explorer):
    shown = open_explorer("PaintDefect", "strokes=[]")
    shown.page.evaluate(WATCH)
    box, mouse = shown.canvas.bounding_box(), shown.page.mouse

    def move(step: int) -> None:
        mouse.move(box["x"] + 30 + 7 * step, box["y"] + 100 + 4 * step)

    move(0)
    mouse.down()
    shown.page.wait_for_timeout(1000)
    slow = report("PaintDefect, brush to map", latencies(shown, lambda step: move(step + 1), STEPS))
    mouse.up()
    shown.assert_right()
    assert slow <= STROKE_LIMIT


def test_the_canvas_draws_within_one_frame(open_explorer, tmp_path):
    shown, hold = open_explorer("Neighbourhood", "h=5, w=5"), tmp_path / "hold"
    hold.touch()
    shown.hold_while(hold)
    frames = [shown.canvas.evaluate(FRAMES) for _ in range(10)]
    hold.unlink()
    print(f"\n  Neighbourhood, key to N_p on the canvas: at most {max(frames)} frames", end="")
    assert max(frames) <= 1
