"""JupyterLab in a real headless Chromium: `lab.open_notebook([code, ...])` runs the cells and returns a `Notebook`.

    def test_slider(lab):
        notebook = lab.open_notebook(["import ipywidgets; slider = ipywidgets.IntSlider(5); slider"])
        notebook.page.get_by_role("slider").press("ArrowRight")
        assert notebook.run_code("print(slider.value)") == "6"
        notebook.assert_no_errors()

The browser, its page, the server and its kernel are shared by all tests of this folder, as starting any of them takes
longer than a test. Each test gets new cells.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
import skimage.data
from jupyter_client import BlockingKernelClient
from playwright.sync_api import sync_playwright

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The pop-ups of the address bar take half a second for each page. Playwright's own list, which this one replaces,
    # has the last name too.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,DestroyProfileOnBrowserClose",
    # Nothing may come from other servers: a widget that requests something leaves an error in the console.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

TOKEN = "secret"

READY = """async () => {
    await window.jupyterapp.restored;
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    window.kernelErrors = [];
    panel.sessionContext.iopubMessage.connect((_, message) => {
        const {header, content} = message;
        if (header.msg_type === 'error') window.kernelErrors.push(content.traceback.join('\\n'));
    });
    return panel.sessionContext.session.kernel.id;
}"""

REPLACE = """(notebook) => {
    window.jupyterapp.shell.currentWidget.context.model.fromJSON(notebook);
    window.kernelErrors = [];
}"""


class Notebook:
    """A notebook that is open in the browser: its `page`, its kernel, and the errors of both."""

    def __init__(self, page, url: str, runtime_dir: Path):
        self.page = page
        self.console_errors = []
        page.on("console", lambda message: message.type == "error" and self.console_errors.append(message.text))
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.goto(url)
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context")
        kernel = page.evaluate(READY)
        self.client = BlockingKernelClient(connection_file=str(runtime_dir / f"kernel-{kernel}.json"))
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run_all(self) -> None:
        """Run all cells and wait until the kernel has finished the last one."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def run_code(self, code: str, timeout: float = 60) -> str:
        """Run `code` in the notebook's kernel, outside its cells, and return what it printed."""
        printed = []

        def collect(message: dict) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=timeout, output_hook=collect)["content"]
        if reply["status"] != "ok":
            raise RuntimeError("\n".join(reply["traceback"]))
        return "".join(printed).rstrip("\n")

    def kernel_errors(self) -> list[str]:
        """Return every traceback that the kernel has sent, including those from callbacks."""
        return self.page.evaluate("() => window.kernelErrors")

    def assert_no_errors(self) -> None:
        assert self.kernel_errors() == []
        assert self.console_errors == []

    def close(self) -> None:
        self.client.stop_channels()
        self.page.close()


class Lab:
    """A running JupyterLab with one notebook open in one page of the browser."""

    def __init__(self, browser, address: str, folder: Path, token: str):
        name = "notebook.ipynb"
        kernel = ask(f"{address}/api/kernels", name="python3", path="")["id"]
        nbformat.write(nbformat.v4.new_notebook(), folder / "root" / name)
        ask(f"{address}/api/sessions", path=name, name=name, type="notebook", kernel={"id": kernel})
        page = browser.new_page()
        page.set_viewport_size({"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        self.notebook = Notebook(page, f"{address}/doc/tree/{name}?token={token}", folder / "runtime")

    def open_notebook(self, cells: list[str]) -> Notebook:
        """Replace all cells by these, run them, and return the notebook; earlier errors are cleared."""
        file = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
        self.notebook.page.evaluate(REPLACE, file)
        self.notebook.console_errors.clear()
        self.notebook.run_all()
        return self.notebook


@pytest.fixture(scope="package")
def launch(require):
    """`launch(*flags)` starts the machine's own Chromium, headless."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    require(chromium, "Chromium")
    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_FLAGS, *flags])


@pytest.fixture(scope="package")
def browser(launch):
    """The Chromium that the tests share."""
    browser = launch()
    yield browser
    browser.close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """JupyterLab on a free port of the loopback, without any of the user's settings; yields its address.

    Its address has a prefix and it requires a token, like the seats of a hub. Its files are in folder/root.
    """
    news = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    (folder / "root").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.root_dir": folder / "root",
        "ServerApp.base_url": "/user/someone",
        "ServerApp.disable_check_xsrf": True,
        "IdentityProvider.token": TOKEN,
        "LabApp.expose_app_in_browser": True,
    }
    homes = {
        "HOME": folder,
        "IPYTHONDIR": folder / "ipython",
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "server.log").open("wb") as log:
        environment = os.environ | {name: str(path) for name, path in homes.items()}
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}{options['ServerApp.base_url']}"
    try:
        wait_for(address, server, folder / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="package")
def jupyter_server(browser, tmp_path_factory):
    """A server for all tests: (address, folder, token)."""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder) as address:
        yield address, folder, TOKEN


def ask(url: str, **content) -> dict:
    """Post `content` to the server as JSON, and return its reply."""
    headers = {"Content-Type": "application/json", "Authorization": f"token {TOKEN}"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    """Return as soon as the server responds; if it exits or takes too long, raise an error with its log."""
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture(scope="package")
def lab(browser, jupyter_server):
    lab = Lab(browser, *jupyter_server)
    yield lab
    lab.notebook.close()


class OpenExplorer:
    """An explorer as its user sees it: move its controls, point at its canvas, read its text."""

    PIXELS = """async (images) => (await Promise.all(images.map(async (image) => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
        return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
    }))).join()"""
    FRESH = """
import hashlib, io
from PIL import Image
from patchcore_edu.explorers.machinery.base import DPI, render_png
pictures = [Image.open(io.BytesIO(render_png(figure, DPI))).convert("RGBA") for figure in explorer.picture().figures]
print(*[hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures], sep=",")
"""

    HELD = """
import time
from pathlib import Path
def held(state, render=explorer.render, file=Path({file!r})):
    end = time.monotonic() + 10  # a test that fails must not stop the kernel
    while file.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return render(state)
explorer.__class__ = type("Held", (type(explorer),), {{"render": staticmethod(held)}})
"""

    def __init__(self, notebook: Notebook):
        self.notebook, self.page = notebook, notebook.page
        self.caption = self.page.locator(".patchcore-caption")
        self.formula = self.page.locator(".patchcore-formula")
        self.figure = self.page.locator(".patchcore-figure")
        self.canvas = self.page.locator(".patchcore-canvas canvas")
        # The first explorer of a kernel computes φ of all crops; some fit a model as well.
        self.figure.first.wait_for(timeout=300_000)

    def slider(self, label: str):
        """The handle of a slider, which arrow keys move."""
        return self.page.locator(".widget-hslider", has_text=label).get_by_role("slider")

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a dropdown by its text."""
        self.page.locator(".widget-dropdown", has_text=label).locator("select").select_option(label=option)

    def number(self, label: str):
        """The text beside a label in the table of numbers."""
        row = self.page.get_by_role("rowheader", name=label, exact=True).locator("xpath=..")
        return row.locator("td")

    def point(self, x: float, y: float) -> None:
        """Click on the canvas; x and y are fractions of its width and height."""
        box = self.canvas.bounding_box()
        self.canvas.click(position={"x": x * box["width"], "y": y * box["height"]})

    def wait_until(self, code: str, printed: str) -> None:
        """Wait until `code` prints `printed` in the kernel: then all earlier keys and strokes have arrived there."""
        deadline = time.monotonic() + 20
        while (now := self.notebook.run_code(code)) != printed:
            assert time.monotonic() < deadline, f"the kernel printed {now}, not {printed}"

    def hold_while(self, file: Path) -> None:
        """Draw no new picture as long as this file exists. A sleeping cell would not do: widgets may have a thread."""
        self.notebook.run_code(self.HELD.format(file=str(file)))

    def assert_right(self) -> None:
        """Check that the browser shows what `render` draws for the kernel's state, to the pixel."""
        wanted = self.notebook.run_code(self.FRESH)
        deadline = time.monotonic() + 20
        while self.figure.evaluate_all(self.PIXELS) != wanted:
            assert time.monotonic() < deadline, "the picture in the browser is not that of the state"
            time.sleep(0.1)
        self.notebook.assert_no_errors()


@pytest.fixture
def open_explorer(lab):
    """`open_explorer("Neighbourhood", "p=5")` runs a cell that shows this explorer, named `explorer` in the kernel."""

    def open_explorer(name: str, settings: str = "") -> OpenExplorer:
        code = f"from patchcore_edu.explorers import {name}\nexplorer = {name}({settings})\nexplorer"
        return OpenExplorer(lab.open_notebook([code]))

    return open_explorer


class OpenPlayground:
    """The playground in its own page, with the errors that it has reported."""

    def __init__(self, browser, address: str, before: str = ""):
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if before:
            self.page.add_init_script(before)
        self.page.goto(address)

    def ready(self) -> "OpenPlayground":
        self.page.evaluate("patchcore.ready")
        return self

    def until(self, expression: str, seconds: float = 60) -> None:
        """Wait until `expression` is true. Playwright's own waiting uses eval, which the page's policy forbids."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"it never became true: {expression}"
            time.sleep(0.05)

    def run_lines(self) -> object:
        """Run the lines of Python shown under "Code" and return the value of the last one, as a notebook cell does."""
        *lines, last = self.page.locator("#code-text").text_content().splitlines()
        names = {}
        exec("\n".join(lines), names)
        return eval(last, names)

    def settled(self) -> "OpenPlayground":
        """Wait until all work is done."""
        self.page.evaluate("patchcore.set({})")
        return self


@pytest.fixture
def open_playground(browser, playground):
    """`open_playground(fragment)` opens it from file:// or `address`; `before` is a script, `within` a browser."""
    opened = []

    def open_playground(fragment="", address=None, before="", within=None) -> OpenPlayground:
        address = address or (playground / "playground.html").as_uri()
        opened.append(OpenPlayground(within or browser, address + fragment, before))
        return opened[-1]

    yield open_playground
    for one in opened:
        one.page.close()


@pytest.fixture(scope="module")
def played(browser, playground):
    """One playground for all tests of a file, so that it starts only once."""
    opened = OpenPlayground(browser, (playground / "playground.html").as_uri()).ready()
    yield opened
    opened.page.close()


@pytest.fixture
def shared_playground(played):
    """The playground with its initial settings and photographs, nothing painted, and no errors so far."""
    played.errors.clear()
    start = {"source": "brick", "levels": [2, 3], "p": 3, "s": 1, "border": "zero", "ratio": 0.01}
    start |= {"selection": "greedy", "b": 9, "sigma": 4}
    played.page.evaluate("(s) => patchcore.set(s)", start)
    played.page.locator("#dots button").nth(0).click()
    yield played
    assert played.errors == []


def film(path) -> None:
    """Write a film of 640 × 480 pixels for the fake camera: a brick wall that moves a little."""
    wall = np.tile(skimage.data.brick(), (1, 2))
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n")
        for i in range(30):
            left = abs(15 - i)
            file.write(b"FRAME\n" + wall[:480, left : left + 640].tobytes() + bytes([128]) * (2 * 320 * 240))


@pytest.fixture
def film_of_a_wall(tmp_path):
    """The path of a film written by `film`."""
    film(tmp_path / "wall.y4m")
    return tmp_path / "wall.y4m"
