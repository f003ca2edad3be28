"""The playground in Firefox, from file://, through Marionette, Firefox's own remote control: no driver is needed."""

import json
import shutil
import socket
import subprocess
import time
from base64 import b64encode

import pytest
import torch

from patchcore_edu import PatchCore
from patchcore_edu.datasets import PhotoTextures

JUDGE = """const [image, done] = arguments;
patchcore.ready.then(async () => {
    const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
    const page = window.wrappedJSObject ?? window;  // scripts from outside have a Float32Array of their own
    const pixels = new page.Float32Array(bytes.length / 4);
    new Float32Array(bytes.buffer).forEach((value, i) => { pixels[i] = value; });
    const {score, map} = await page.patchcore.judge(pixels);
    done({score, map: Array.from(map), picks: patchcore.bank.picks});
}).catch((error) => done({error: error.message}));"""


class Marionette:
    """A client of the remote control: each message is its length, a colon, and JSON."""

    def __init__(self, port: int, seconds: float = 60):
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.connection = socket.create_connection(("127.0.0.1", port), timeout=120)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self.stream = self.connection.makefile("rb")
        self.last = 0
        self._receive()

    def ask(self, command: str, **parameters) -> object:
        self.last += 1
        text = json.dumps([0, self.last, command, parameters]).encode()
        self.connection.sendall(str(len(text)).encode() + b":" + text)
        _, _, error, result = self._receive()
        assert error is None, error
        return result

    def _receive(self) -> object:
        length = b""
        while (byte := self.stream.read(1)) != b":":
            length += byte
        return json.loads(self.stream.read(int(length)))


@pytest.fixture
def firefox(require, tmp_path):
    command = shutil.which("firefox-esr") or shutil.which("firefox")
    require(command, "Firefox")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "user.js").write_text(
        f'user_pref("marionette.port", {port});\nuser_pref("network.proxy.type", 1);\n'
        'user_pref("network.proxy.socks", "127.0.0.1");\nuser_pref("network.proxy.socks_port", 1);\n'  # no network
        'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
    )
    options = ["--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", tmp_path]
    with (tmp_path / "log").open("wb") as log:
        browser = subprocess.Popen([command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield Marionette(port)
    finally:
        browser.terminate()
        browser.wait(timeout=30)


def test_the_same_numbers_in_firefox(firefox, playground, backbone):
    train, test = PhotoTextures("brick", "train"), PhotoTextures("brick", "test")
    model = PatchCore(backbone, coreset_ratio=0.01).fit(torch.stack([train[i].image for i in range(8)]))
    image = test[16].image
    wanted = model.predict(image[None])
    firefox.ask("WebDriver:NewSession", capabilities={"alwaysMatch": {"timeouts": {"script": 90_000}}})
    firefox.ask("WebDriver:Navigate", url=(playground / "playground.html").as_uri())
    text = b64encode(image.numpy().tobytes()).decode()
    found = firefox.ask("WebDriver:ExecuteAsyncScript", script=JUDGE, args=[text])["value"]
    assert "error" not in found, found
    position = model.bank.position @ torch.tensor([28, 1])
    assert found["picks"] == (model.bank.image * 784 + position).tolist()
    assert abs(found["score"] - float(wanted.score)) <= 1e-5 * float(wanted.score)
    difference = (torch.tensor(found["map"]).view(224, 224) - wanted.anomaly_map[0]).abs().max()
    assert float(difference) <= 1e-5 * float(wanted.anomaly_map.max())
