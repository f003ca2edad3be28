"""The exported graphs, run by onnxruntime without a browser, equal the functions they were exported from."""

import gzip
import json
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchcore_edu import anomaly_map, feature_maps, nearest_neighbours, patch_set, random_projection
from patchcore_edu.anomaly_score import image_score, patch_neighbours, reweighting_factor
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.datasets.photograph_files import resize_sample
from patchcore_edu.playground.graphs import BORDERS, SIGMAS, P, S, nearest

SHAPES = {1: (24, 56), 2: (40, 28), 3: (112, 14), 4: (320, 7)}


def unpack(path) -> dict[str, bytes]:
    """Return the parts of one of the playground's files, read by other code than the code that writes them."""
    script = path.read_bytes().decode("utf-16")
    planes, length = (int(re.search(rf"{name}: (\d+)", script)[1]) for name in ("planes", "bytes"))
    bits = "".join(f"{ord(letter) - 0x3400:015b}" for letter in script.split('"')[3])
    apart = gzip.decompress(int(bits[: 8 * length], 2).to_bytes(length, "big"))
    whole, at = bytearray(len(apart)), 0
    for plane in range(planes):
        many = len(whole[plane::planes])
        whole[plane::planes] = apart[at : at + many]
        at += many
    start = 4 + int.from_bytes(whole[:4], "little")
    parts = {}
    for name, length in json.loads(whole[4:start]).items():
        parts[name], start = bytes(whole[start : start + length]), start + length
    return parts


@pytest.fixture(scope="module")
def run(playground, require):
    """`run(name, **inputs)` returns the outputs of a graph, as tensors by name."""
    onnxruntime = pytest.importorskip("onnxruntime")
    parts = {}
    for name in ("runtime", "network", "level4"):
        parts |= unpack(playground / "playground" / f"{name}.js")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def run(name: str, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        session = onnxruntime.InferenceSession(parts[name], options)
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return dict(zip(names, map(torch.from_numpy, found), strict=True))

    run.parts = parts
    return run


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_network(run, backbone):
    image = PhotoTextures("brick", "test")[16].image[None]
    wanted = feature_maps(image, backbone, (1, 2, 3, 4))
    found = run("phi", image=image)
    found |= run("phi4", phi3=found["phi3"])
    assert all(close(found[f"phi{j}"], wanted[j]) for j in wanted)


@pytest.mark.parametrize("levels", [(2, 3), (1,), (4,), (1, 2, 3), (1, 2, 3, 4)])
def test_patch_sets(run, levels):
    torch.manual_seed(0)
    phi = {j: torch.randn(3, SHAPES[j][0], SHAPES[j][1], SHAPES[j][1]) for j in levels}
    for p in (p for p in P if p <= SHAPES[max(levels)][1]):
        for border in BORDERS:
            maps = [run(f"aggregate_p{p}_{border}", phi_j=phi[j])["aggregated"] for j in levels]
            for s in S if p == 3 else (1,):
                found = run(f"merge_{len(levels)}", **{f"level{i}": level for i, level in enumerate(maps)})
                if s > 1:
                    found = run(f"stride_{s}", merged=found["patches"])
                assert close(found["patches"], patch_set(phi, p, s, border)), (p, s, border)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(0, 999))
def test_the_twin_of_the_search(q, n, d, k, seed):
    """Whole numbers, so that distances are exact and ties occur."""
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randint(-9, 10, (q, d), generator=generator).float()
    vectors = torch.randint(-9, 10, (n, d), generator=generator).float()
    k = min(k, n)
    distance, index = nearest(queries, vectors, k)
    wanted, _ = nearest_neighbours(queries, vectors, k)
    assert torch.equal(distance.sort(1).values, wanted)
    assert torch.equal((vectors[index] - queries[:, None]).square().sum(2).sqrt(), distance)
    assert all(len(set(row)) == k for row in index.tolist())


@pytest.mark.parametrize("n, b", [(1, 9), (2, 2), (5, 9), (62, 1), (62, 4), (62, 9), (200, 40)])
def test_search_and_score(run, n, b):
    torch.manual_seed(n)
    patches, vectors = torch.randn(1, 9, 8, 12) * 4, torch.randn(n, 12) * 4
    found = run("search", queries=patches.flatten(0, 2), vectors=vectors)
    distance, index = patch_neighbours(patches, vectors)
    assert close(found["distance"].view(1, 9, 8), distance) and torch.equal(found["index"].view(1, 9, 8), index)
    inputs = {"patches": patches, "vectors": vectors, "distance": distance, "index": index}
    b = min(b, n)
    if b == 1:
        found = run("score_b1", **inputs)
    else:
        found = run("score", **inputs, b=torch.tensor([b]))
    assert close(found["score"], image_score(patches, vectors, b))
    patch = int(found["patch"])
    assert patch == int(distance.argmax()) and close(found["s_star"], distance.max()[None])
    m_star = index.flatten()[patch]
    _, support = nearest_neighbours(vectors[m_star][None], vectors, b)
    rows = found["support"].flatten()
    assert set(rows.tolist()) == set(support.flatten().tolist()) and rows[0] == m_star
    m_test = patches.flatten(0, 2)[patch]
    assert close(found["reach"], (vectors[rows] - m_test).norm(dim=1)[None])
    w = reweighting_factor(patches.flatten(0, 2)[patch][None], m_star[None], vectors, b)
    assert close(found["score"], w * found["s_star"])


@pytest.mark.parametrize("sigma", SIGMAS)
def test_maps(run, sigma):
    distance = torch.rand(1, 14, 14) * 30
    assert close(run(f"map_sigma{sigma}", distance=distance)["map"], anomaly_map(distance, 224, sigma))


@pytest.mark.parametrize("d", [24, 40, 64, 112, 152, 176, 320, 432, 472, 496])
def test_projection(run, d):
    """The weights for shorter vectors are the first rows of those for the longest, whichever levels are merged."""
    vectors = torch.randn(7, d)
    weights = torch.frombuffer(bytearray(run.parts["psi_weights"]), dtype=torch.float32).view(-1, 128)
    assert torch.equal(weights[:d], random_projection(torch.eye(d)))
    assert close(run("psi", vectors=vectors, weights=weights[:d])["projected"], random_projection(vectors))


@pytest.mark.parametrize("shape, target", [((300, 400), (256, 341)), ((100, 90), (284, 256)), ((900, 256), (900, 256))])
def test_resize(run, shape, target):
    image = torch.rand(3, *shape)
    found = run("resize", image=image[None], size=torch.zeros(target))["resized"]
    wanted, _ = resize_sample(image, torch.zeros(shape, dtype=torch.bool))
    top, left = (round((side - 224) / 2) for side in target)
    # The runtime computes positions in float32. The error is far below 1/255, one grey level of a photograph.
    assert float((found[0, :, top : top + 224, left : left + 224] - wanted).abs().max()) < 1e-4
