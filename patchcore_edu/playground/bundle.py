"""The playground as files: one page, and beside it what it loads, packed to open with a double click.

A page opened from file:// may neither fetch files nor load modules. So everything comes as classic scripts that hold
compressed bytes as text, and the engine runs in a worker created from memory.
"""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from patchcore_edu import colours
from patchcore_edu.backbone import load_backbone
from patchcore_edu.files import folder_to_write, replacing

HERE = Path(__file__).parent
PAGE = HERE / "page"
LAB = HERE / "lab"
"""An extension of JupyterLab: `links.js` says what it does."""
WORKER = ("random.js", "coreset.js", "engine.js")
SCRIPTS = (
    "settings.js",
    "brush.js",
    "client.js",
    "draw.js",
    "sources.js",
    "picture.js",
    "bank.js",
    "scores.js",
    "pointing.js",
    "controls.js",
    "lessons.js",
    "main.js",
)
EXPORTERS = ("onnx", "onnxscript")
FLOATS = ("network", "level4")
"""The payloads that are mostly float32."""
FIRST = 0x3400
"""The character for 0. The 32,768 from here on are letters: no quotes, no line ends, no half surrogate pairs."""


def build(out: str | Path, course: bool = False) -> None:
    """Write the playground: out/playground.html and the folder out/playground.

    Args:
        out: the folder to write to; created if missing.
        course: whether the course's pages are in `out` too: the playground then links to them.

    Raises:
        ModuleNotFoundError: if the exporters are missing; the message says how to install them.
        OSError: before anything is built, if `out` cannot be written to.
        RuntimeError: if Node.js is missing, or npm cannot fetch the runtime; the message says what to do.
    """
    missing = [name for name in EXPORTERS if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f"the playground needs {', '.join(missing)}: pip install 'patchcore-edu[site]'")
    from patchcore_edu.playground.graphs import export
    from patchcore_edu.playground.material import constants, first_screen, photographs

    out = folder_to_write(out)
    backbone = load_backbone()
    with tempfile.TemporaryDirectory() as folder:
        files = runtime(Path(folder))
    graphs = export(backbone)
    deep = {"phi4": graphs.pop("phi4")}
    known, weights = constants(backbone)
    known |= {"firstCharacter": FIRST, "course": course}
    network = {"phi": graphs.pop("phi"), "psi_weights": weights}
    payloads = {"runtime": files | graphs, "network": network, "level4": deep, **photographs()}
    folder = out / "playground"
    folder.mkdir(parents=True, exist_ok=True)
    for name, parts in payloads.items():
        script = f'patchcorePayloads["{name}"] = {pack(parts, planes=4 if name in FLOATS else 1)};\n'
        # It begins with a byte-order mark, which counts more than the encoding that a server declares.
        _write(folder / f"{name}.js", script.encode("utf-16"))
    _write(out / "playground.html", page(known | {"first": first_screen(backbone)}).encode())


def page(known: dict) -> str:
    """The page with its style and scripts inside. Its policy allows these by their hashes, and nothing else."""
    inside = json.dumps(known, separators=(",", ":")).replace("<", "\\u003c")
    script = f"(() => {{\n'use strict';\nconst KNOWN = {inside};\n{_joined(SCRIPTS)}}})();\n"
    style = _with_colours((PAGE / "style.css").read_text("utf-8"))
    text = (PAGE / "playground.html").read_text("utf-8")
    for mark, content in (("STYLE", style), ("SCRIPT", script)):
        text = text.replace(f"/*{mark}*/", content).replace(f"HASH_{mark}", _hash(content))
    return text


def runtime(folder: Path) -> dict[str, bytes]:
    """onnxruntime-web as package-lock.json pins it, and the worker: {"worker", "module", "wasm"}."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm was not found; the playground needs Node.js 18 or later, from https://nodejs.org")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"npm could not fetch what package-lock.json names: {done.stderr.strip()}")
    dist = folder / "node_modules" / "onnxruntime-web" / "dist"
    worker = (dist / "ort.wasm.min.js").read_text("utf-8") + "\n" + _joined(WORKER)
    return {
        "worker": re.sub(r"//# sourceMappingURL=.*", "", worker).encode(),
        "module": (dist / "ort-wasm-simd-threaded.mjs").read_bytes(),
        "wasm": (dist / "ort-wasm-simd-threaded.wasm").read_bytes(),
    }


def pack(parts: dict[str, bytes], planes: int = 1) -> str:
    """Named bytes as text in a script: {planes, bytes, text}.

    The bytes are the header's length, a header of names and lengths, and the parts. Of each `planes` bytes, all first
    ones come first, then all second ones …: the exponents of neighbouring floats resemble one another, and compress
    well side by side. Then gzip. Each character of the text holds 15 bits. In UTF-16 that adds 7 %; base64 adds 33 %.

    >>> len(pack({"a": bytes(1000)})) < 100
    True
    """
    header = json.dumps({name: len(part) for name, part in parts.items()}).encode()
    whole = len(header).to_bytes(4, "little") + header + b"".join(parts.values())
    packed = gzip.compress(b"".join(whole[plane::planes] for plane in range(planes)), mtime=0)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    words = np.pad(bits, (0, -len(bits) % 15)).reshape(-1, 15) @ (1 << np.arange(15)[::-1])
    text = (words + FIRST).astype("<u2").tobytes().decode("utf-16-le")
    return f'{{planes: {planes}, bytes: {len(packed)}, text: "{text}"}}'


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((PAGE / name).read_text("utf-8") for name in names)


def _with_colours(css: str) -> str:
    roles = "".join(f"  --{role}: {colour};\n" for role, colour in colours.ROLES.items())
    return f":root {{\n{roles}}}\n{css}"


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
