"""The playground's handwritten JavaScript, run by Node, equals the Python: brush, greedy choice, shuffle."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from patchcore_edu import greedy_coreset
from patchcore_edu.explorers.tour import paint
from patchcore_edu.playground.bundle import PAGE


@pytest.fixture
def node(require):
    """`node(files, code, value)` runs the files and then the code, which can read `value` and returns by `give(…)`."""
    require(shutil.which("node"), "Node.js")

    def node(files: list[str], code: str, value: object) -> object:
        text = "".join((PAGE / file).read_text("utf-8") for file in files)
        start = "const value = JSON.parse(require('fs').readFileSync(0));"
        start += "const give = (x) => console.log(JSON.stringify(x));"
        command = ["node", "-e", f"{text}\n{start}\n{code}"]
        done = subprocess.run(command, input=json.dumps(value), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return node


def strokes(seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    found = []
    for brush in (1, 2, 3, 8, 15, 26, 40):
        path = rng.integers(0, 224, (rng.integers(1, 7), 2)).tolist()
        path += path[-1:] if brush == 3 else []  # one corner twice
        found.append({"path": path, "brush": brush, "grey": float(rng.random()), "smear": bool(rng.random() < 0.5)})
    return found


@pytest.mark.parametrize("seed", range(4))
def test_brush(node, seed):
    """Several strokes on top of one another give the same bits."""
    image = np.random.default_rng(seed).random((224, 224), dtype=np.float32)
    drawn = strokes(seed)
    code = """
    let pixels = Float32Array.from(value.image);
    for (const stroke of value.strokes) pixels = paint(pixels, 224, stroke);
    give(Array.from(pixels));"""
    found = node(["brush.js"], code, {"image": image.flatten().tolist(), "strokes": drawn})
    for stroke in drawn:
        image = paint(image, **stroke)
    assert np.array_equal(np.float32(found).reshape(224, 224), image)


@pytest.mark.parametrize("n, size", [(1, 1), (2, 2), (624, 624), (6272, 1300), (25088, 3)])
@pytest.mark.parametrize("seed", [0, 7])
def test_shuffle(node, n, size, seed):
    found = node(["random.js"], "give(Array.from(randomRows(...value)))", [n, size, seed])
    assert found == torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:size].tolist()


@pytest.mark.parametrize("kind", ["normal", "ties", "doubled"])
def test_greedy_choice(node, kind):
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(500, 16, generator=generator)
    if kind == "ties":
        vectors = (2 * vectors).round()
    if kind == "doubled":
        vectors[250:] = vectors[:250]
    code = """
    const rows = Float32Array.from(value.flat());
    give(Array.from(greedyCoreset(rows, 16, 240, randomRows(500, 1)[0]).picks));"""
    found = node(["random.js", "coreset.js"], code, vectors.tolist())
    assert found == greedy_coreset(vectors, size=240).tolist()
