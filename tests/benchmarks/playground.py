"""How fast the playground is in headless Chromium, from file://: `python tests/benchmarks/playground.py [FOLDER]`.

Prints a table. FOLDER holds a playground built before; without it one is built.
"""

import gzip
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from patchcore_edu.playground import build

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info"]
CHANGE = """async (settings) => {
    const times = [];
    for (const p of [1, 3, 5, 3, 1, 5]) {
        const start = performance.now();
        const done = patchcore.set({...settings, p});
        while (!(patchcore.state.verdict && patchcore.state.bank.settings.p === p)) {
            await new Promise((resolve) => setTimeout(resolve, 1));
        }
        times.push(performance.now() - start);
        await done;
    }
    return times;
}"""
# One stroke after another; each time from the pointer's event to the map that shows it.
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


def measure(folder: Path) -> dict[str, str]:
    """The rows of the table."""
    files = [folder / "playground.html", *sorted((folder / "playground").iterdir())]
    size = sum(file.stat().st_size for file in files) / 1e6
    rows = {"files, raw / gzip": f"{size:.1f} / {sum(len(gzip.compress(f.read_bytes())) for f in files) / 1e6:.1f} MB"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((folder / "playground.html").as_uri())
        page.evaluate("patchcore.ready")
        rows["ready after"] = f"{page.evaluate('performance.now()') / 1000:.1f} s"
        for ratio, name in ((0.01, "62 entries"), (0.1, "627 entries")):
            rows[f"a change of p, until the map is drawn, {name}"] = spread(page.evaluate(CHANGE, {"ratio": ratio}))
        page.evaluate("patchcore.set({ratio: 0.01, p: 3})")
        rows["pointing at a cell"] = spread(page.evaluate(POINT))
        rows["pointer to drawn map"] = spread(page.evaluate(PAINT, 100))
        memory = "performance.memory.usedJSHeapSize / 1e6"
        before = page.evaluate(memory)
        page.evaluate(PAINT, 400)
        rows["JavaScript heap before and after 400 strokes"] = f"{before:.0f}, {page.evaluate(memory):.0f} MB"
        browser.close()
    return rows


def spread(milliseconds: list[float]) -> str:
    ordered = sorted(milliseconds)
    return f"median {ordered[len(ordered) // 2]:.0f}, p95 {ordered[int(0.95 * (len(ordered) - 1))]:.0f} ms"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        if len(sys.argv) < 2:
            build(folder)
        for name, value in measure(folder).items():
            print(f"| {name} | {value} |")
