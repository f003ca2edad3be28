"""Our results equal those of the published codes when both use the same feature maps and memory bank."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from patchcore_edu import PatchCore, greedy_coreset, load_backbone, memory_bank, nearest_neighbours, random_projection
from patchcore_edu.conventions import CONVENTIONS
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.patch_set import patch_set

close = {"rtol": 1e-4, "atol": 0}


# --- anomalib 2.7.0 ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anomalib(require):
    require(importlib.util.find_spec("anomalib"), "anomalib (pip install patchcore-edu[peers])")
    import anomalib

    assert anomalib.__version__ == "2.7.0"  # other releases made other choices
    return anomalib


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def photographs():
    def batch(split, rows):
        samples = PhotoTextures("gravel", split)
        return torch.stack([samples[i].image for i in rows])

    return batch("train", range(4)), batch("test", (0, 1, 16, 20, 24, 28, 32))


class OurFeatures(torch.nn.Module):
    """φ_2 and φ_3 of our backbone, under the names that anomalib asks for."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        phi = self.backbone(images, (2, 3))
        return {"layer2": phi[2], "layer3": phi[3]}


def their_model(backbone, b=9):
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False, num_neighbors=b)
    model.feature_extractor = OurFeatures(backbone)
    return model


def fitted_to_one_bank(backbone, photographs, b, **ours_differs):
    """Return their model and ours, both holding the same coreset of the same photographs."""
    conventions = replace(CONVENTIONS["anomalib"], **ours_differs)
    ours = PatchCore(backbone, coreset_ratio=0.1, b=b, conventions=conventions).fit(photographs[0])
    theirs = their_model(backbone, b).eval()
    theirs.memory_bank = ours.bank.vectors
    return theirs, ours


def test_anomalib_embeds_alike(anomalib, backbone, photographs):
    theirs = their_model(backbone).train()(photographs[0])
    ours = memory_bank(PatchCore(backbone, conventions="anomalib").patches(photographs[0])).vectors
    assert ours.shape == (4 * 28 * 28, 152)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("b", [9, 1])
def test_anomalib_scores_and_maps_alike(anomalib, backbone, photographs, b):
    theirs, ours = fitted_to_one_bank(backbone, photographs, b)
    answer = theirs(photographs[1])
    prediction = ours.predict(photographs[1])
    torch.testing.assert_close(prediction.score, answer.pred_score, **close)
    torch.testing.assert_close(prediction.anomaly_map, answer.anomaly_map[:, 0], **close)


def test_anomalib_measures_patches_alike(anomalib, backbone, photographs):
    theirs, ours = fitted_to_one_bank(backbone, photographs, b=9)
    patches = ours.patches(photographs[1])
    distance, row = theirs.nearest_neighbors(patches.flatten(0, 2), n_neighbors=1)
    prediction = ours.predict(photographs[1])
    torch.testing.assert_close(prediction.patch_distance.flatten(), distance, **close)
    # Their distances are rounded, so neighbours at nearly the same distance may swap places.
    assert (prediction.nearest.flatten() == row).double().mean() > 0.999


@pytest.mark.parametrize(
    "difference", [{"upsampling": "bilinear"}, {"edge": "reflect"}, {"squared": True}, {"border": "clip"}]
)
def test_one_difference_is_enough_to_disagree_with_anomalib(anomalib, backbone, photographs, difference):
    theirs, ours = fitted_to_one_bank(backbone, photographs, b=9, **difference)
    map_of_theirs = theirs(photographs[1]).anomaly_map[:, 0]
    assert not torch.allclose(ours.predict(photographs[1]).anomaly_map, map_of_theirs, **close)


@pytest.mark.parametrize("size", [1, 7, 400])
def test_anomalib_picks_the_same_coreset(anomalib, backbone, photographs, monkeypatch, size):
    """With the same ψ and the same start, Algorithm 1 is deterministic. 2.7.0 keeps its random start in the coreset."""
    from anomalib.models.components import KCenterGreedy

    vectors = memory_bank(PatchCore(backbone).patches(photographs[0])).vectors
    projected = random_projection(vectors, 64, seed=3)
    ours = greedy_coreset(projected, size=size, seed=3, start=CONVENTIONS["anomalib"].start)

    sampler = KCenterGreedy(vectors, sampling_ratio=(size + 0.5) / len(vectors))
    monkeypatch.setattr(sampler.model, "fit", lambda embedding: None)
    monkeypatch.setattr(sampler.model, "transform", lambda embedding: projected)
    monkeypatch.setattr(torch, "randint", lambda **_: ours[:1].clone())
    assert sampler.select_coreset_idxs() == ours.tolist()


def test_anomalib_projects_to_as_many_dimensions(anomalib):
    from anomalib.models.components import SparseRandomProjection

    c, vectors = CONVENTIONS["anomalib"], torch.randn(1568, 152, generator=torch.Generator().manual_seed(0))
    theirs = SparseRandomProjection(eps=0.9)
    theirs.fit(vectors)
    ours = random_projection(vectors, c.projection_dim, seed=0, kind=c.projection)
    assert ours.shape == theirs.transform(vectors).shape
    # Both draw at random, so only the share of non-zero weights and their size can agree.
    weights = random_projection(torch.eye(152), ours.shape[1], seed=0, kind=c.projection)
    share = [(w != 0).double().mean().item() for w in (weights, theirs.sparse_random_matrix)]
    assert share[0] == pytest.approx(share[1], abs=0.01)
    torch.testing.assert_close(weights.abs().max(), theirs.sparse_random_matrix.abs().max())


# --- faiss ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5])
def test_faiss_finds_the_same_neighbours(require, backbone, photographs, k):
    require(importlib.util.find_spec("faiss"), "faiss (pip install patchcore-edu[peers])")
    import faiss

    model = PatchCore(backbone)
    vectors, queries = (model.patches(batch).flatten(0, 2) for batch in photographs)
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors.numpy())
    squared, row = index.search(queries.numpy(), k)
    distance, ours = nearest_neighbours(queries, vectors, k)
    torch.testing.assert_close(distance, torch.from_numpy(squared).sqrt(), rtol=1e-4, atol=1e-4)
    assert (ours.numpy() == row).mean() > 0.999


# --- the authors' code ------------------------------------------------------------------------------------------


def pool_1d(numbers, dim):
    """1-D adaptive average pooling: number i is the mean of the n numbers from ⌊i·n/dim⌋ up to ⌈(i+1)·n/dim⌉."""
    n = len(numbers)
    return np.array([numbers[i * n // dim : -(-(i + 1) * n // dim)].mean() for i in range(dim)])


def official_embedding(phi, p, s, dim):
    """The authors' embedding as plain loops: window, 1-D pooling, rescaling, stacking, 1-D pooling again."""
    padding = (p - 1) // 2
    levels = []
    for j in sorted(phi):
        padded = np.pad(phi[j].double().numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        height, width = padded.shape[2:]
        pooled = [
            [[pool_1d(image[:, h : h + p, w : w + p].ravel(), dim) for w in range(0, width - p + 1, s)]
             for h in range(0, height - p + 1, s)]
            for image in padded
        ]  # fmt: skip
        levels.append(torch.from_numpy(np.array(pooled)).permute(0, 3, 1, 2))
    size = levels[0].shape[2:]
    levels = [levels[0]] + [interpolate(x, size, mode="bilinear", align_corners=False) for x in levels[1:]]
    stacked = torch.cat(levels, dim=1).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(np.apply_along_axis(pool_1d, 3, stacked, dim))


def random_maps(channels, sizes, n=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        j: torch.rand(n, c, *size, generator=generator, dtype=torch.float64)
        for j, c, size in zip((2, 3), channels, sizes, strict=True)
    }


def ours_official(phi, p, s, dim):
    c = CONVENTIONS["official"]
    return patch_set(phi, p, s, c.border, c.pooling, c.merge, dim, c.stride_on)


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("channels", "dim"), [((5, 9), 16), ((40, 112), 64), ((24, 40), 7)])
def test_official_embedding(channels, dim, p, s):
    phi = random_maps(channels, [(8, 6), (5, 5)], n=2, seed=p * 10 + s)
    ours = ours_official(phi, p, s, dim)
    torch.testing.assert_close(ours, official_embedding(phi, p, s, dim), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("channels", [(128, 256), (512, 1024)], ids=["resnet18", "wide_resnet50_2"])
def test_official_embedding_at_the_sizes_of_real_networks(channels, p):
    phi = random_maps(channels, [(4, 6), (3, 3)], seed=p)
    dim = CONVENTIONS["official"].dim
    torch.testing.assert_close(ours_official(phi, p, 1, dim), official_embedding(phi, p, 1, dim), rtol=1e-9, atol=1e-12)


def test_official_ensembles_have_another_length_after_the_merge():
    """Such as 1024 numbers for each level and 384 after the merge; here 16 and 6."""
    phi = random_maps((5, 9), [(8, 6), (5, 5)], seed=0)
    c = replace(CONVENTIONS["official"], dim=16, merged_dim=6)
    ours = patch_set(phi, 3, 1, c.border, c.pooling, c.merge, c.dim, c.stride_on, c.merged_dim)
    sixteen = official_embedding({2: phi[2]}, 3, 1, 16), official_embedding({3: phi[3]}, 3, 1, 16)
    size = phi[2].shape[2:]
    coarse = interpolate(sixteen[1].permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
    stacked = torch.cat([sixteen[0], coarse.permute(0, 2, 3, 1)], dim=3).numpy()
    expected = torch.from_numpy(np.apply_along_axis(pool_1d, 3, stacked, 6))
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_official_vectors_that_are_already_short_are_not_projected(backbone, photographs):
    """Projecting them anyway left only a third of the coreset's rows the same."""
    conventions = replace(CONVENTIONS["official"], dim=128)
    own = {"coreset_ratio": 0.1, "seed": 3}
    with_psi, without = (
        PatchCore(backbone, conventions=c, **own).fit(photographs[0])
        for c in (conventions, replace(conventions, projection=None))
    )
    assert torch.equal(with_psi.bank.vectors, without.bank.vectors)


@pytest.mark.parametrize("n", [2, 12])
def test_anomalib_with_a_bank_of_one_row_divides_by_the_batch(anomalib, backbone, photographs, n):
    """They take the softmax over the images of a batch, not over neighbours: 8 % less for twelve images. Ours is s*."""
    ours = PatchCore(backbone, conventions="anomalib").fit(photographs[0])
    ours.bank = ours.bank.take([0])
    theirs = their_model(backbone).eval()
    theirs.memory_bank = ours.bank.vectors
    images = photographs[1][:1].expand(n, -1, -1, -1).contiguous()
    ours, theirs = ours.predict(images), theirs(images)
    s_star = ours.patch_distance.amax((1, 2))
    torch.testing.assert_close(ours.score, s_star)
    torch.testing.assert_close(theirs.pred_score, s_star * (1 - 1 / n), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("p", [1, 3, 5])
def test_official_embedding_in_closed_form(p):
    """512 + 1024 channels: level 2 counts the centre twice, level 3 averages neighbouring channels in pairs."""
    phi = random_maps((512, 1024), [(8, 8), (8, 8)], seed=p)
    ours = ours_official(phi, p, 1, CONVENTIONS["official"].dim)
    window = {j: torch.nn.functional.avg_pool2d(phi[j], p, 1, p // 2) for j in phi}  # zeros are counted
    level_2 = (window[2] * p * p + phi[2]) / (p * p + 1)
    level_3 = window[3].unflatten(1, (512, 2)).mean(2)
    expected = torch.cat([level_2, level_3], dim=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
