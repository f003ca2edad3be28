"""How fast the playground is in headless Chromium, from file://: `python tests/benchmarks/playground.py FOLDER [PART]`.

Prints a table, row by row. If FOLDER holds no playground, one is built there. PART is one or more of start, sliders,
pointing, painting, camera and memory; without any, all are measured.
"""

import gzip
import runpy
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Page, sync_playwright

from patchcore_edu.playground import build

film = runpy.run_path(str(Path(__file__).parent.parent / "browser" / "conftest.py"))["film"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info"]
FLAGS += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
CHANGE = """async (settings) => {
    const times = [];
    for (const p of [1, 3, 5, 3, 1, 5, 1, 3, 5, 3, 1, 5, 1, 3, 5, 3, 1, 5, 1, 3, 5, 3, 1, 5]) {
        const start = performance.now();
        const done = patchcore.set({...settings, p});
        while (!(patchcore.state.verdict && patchcore.state.bank.settings.p === p)) {
            await new Promise((resolve) => setTimeout(resolve, 1));
        }
        const map = performance.now() - start;
        // The pictures that explain the map are drawn in a timer, which was set before this one.
        await new Promise((resolve) => setTimeout(resolve));
        times.push([map, performance.now() - start]);
        await done;
    }
    return times;
}"""
# The radius is known once all photographs are scored.
IDLE = """async () => {
    while (patchcore.state.radius === null) await new Promise((resolve) => setTimeout(resolve, 1));
}"""
# One stroke after another, each timed from the pointer event to the map that shows it.
PAINT = """async (strokes) => {
    const canvas = document.getElementById('photograph');
    const box = canvas.getBoundingClientRect();
    const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        pointerId: 1, clientX: box.left + x, clientY: box.top + y, bubbles: true}));
    canvas.setPointerCapture = () => {};
    const times = [];
    for (let k = 0; k < strokes; k++) {
        const [x, y] = [20 + (37 * k) % 200, 20 + (53 * k) % 200];
        send('pointerdown', x, y);
        const before = patchcore.state.verdict;
        const start = performance.now();
        send('pointermove', x + 9, y + 5);
        while (patchcore.state.verdict === before) await new Promise((resolve) => setTimeout(resolve, 1));
        times.push(performance.now() - start);
        send('pointerup', x + 9, y + 5);
        if (k % 20 === 19) document.getElementById('clear').click();
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return times;
}"""
POINT = """() => {
    const canvas = document.getElementById('photograph');
    const box = canvas.getBoundingClientRect();
    const times = [];
    for (let k = 0; k < 100; k++) {
        const start = performance.now();
        canvas.dispatchEvent(new PointerEvent('pointermove', {
            clientX: box.left + (k * 37) % box.width, clientY: box.top + (k * 53) % box.height}));
        times.push(performance.now() - start);
    }
    return times;
}"""


Row = tuple[str, str]


def start(page: Page, folder: Path) -> Iterator[Row]:
    files = [folder / "playground.html", *sorted((folder / "playground").iterdir())]
    size = sum(file.stat().st_size for file in files) / 1e6
    yield "files, raw / gzip", f"{size:.1f} / {sum(len(gzip.compress(f.read_bytes())) for f in files) / 1e6:.1f} MB"
    ready, all_judged = [], []
    for _ in range(5):
        page.reload()
        page.evaluate("patchcore.ready")
        ready.append(page.evaluate("performance.now()"))
        page.evaluate(IDLE)
        all_judged.append(page.evaluate("performance.now()"))
    yield "ready, from file://: bank filled, the photograph shown scored and drawn", spread(ready)
    yield "all photographs scored, from file://", spread(all_judged)


def sliders(page: Page, _: Path) -> Iterator[Row]:
    for ratio, name in ((0.01, "62 rows"), (0.1, "627 rows")):
        page.evaluate("(ratio) => patchcore.set({ratio, p: 3})", ratio)
        to_map, to_all = zip(*page.evaluate(CHANGE, {"ratio": ratio}), strict=True)
        yield f"a change of p, to the map: 8 photographs fitted, one scored and drawn, {name}", spread(to_map)
        yield f"the same, to the last picture of that photograph, {name}", spread(to_all)


def pointing(page: Page, _: Path) -> Iterator[Row]:
    yield "pointing at a cell, all pictures drawn", spread(page.evaluate(POINT))


def painting(page: Page, _: Path) -> Iterator[Row]:
    yield "pointer to drawn map, network included", spread(page.evaluate(PAINT, 100))


def camera(page: Page, _: Path) -> Iterator[Row]:
    page.evaluate("patchcore.set({source: 'camera'})")
    page.get_by_role("button", name="Take ten good pictures").click()
    text = page.locator("#live-text")
    page.locator("#live-text:has-text('pictures per second')").wait_for()
    said = []
    for _ in range(20):
        time.sleep(0.25)
        said.append(text.inner_text().split(" pictures per second")[0].split()[-1])
    yield "camera, pictures per second", f"median {np.median(np.float64(said)):.1f}"


def memory(page: Page, _: Path) -> Iterator[Row]:
    page.evaluate(PAINT, 20)
    used = []
    for _ in range(6):
        used.append(page.evaluate("performance.memory.usedJSHeapSize / 1e6"))
        if len(used) < 6:
            page.evaluate(PAINT, 100)
    yield "JavaScript heap after 0, 100 … 500 strokes", " ".join(f"{megabytes:.0f}" for megabytes in used) + " MB"


def spread(milliseconds: list[float]) -> str:
    ordered = sorted(milliseconds)
    return f"median {ordered[len(ordered) // 2]:.0f}, p95 {ordered[int(0.95 * (len(ordered) - 1))]:.0f} ms"


def main(folder: Path, parts: list[str]) -> None:
    if not (folder / "playground.html").exists():
        build(folder)
    with TemporaryDirectory() as aside, sync_playwright() as playwright:
        film(Path(aside) / "wall.y4m")
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={aside}/wall.y4m"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(90_000)
        page.goto((folder / "playground.html").as_uri())
        page.evaluate("patchcore.ready")
        for part in (start, sliders, pointing, painting, memory, camera):
            if not parts or part.__name__ in parts:
                for name, value in part(page, folder):
                    print(f"| {name} | {value} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
