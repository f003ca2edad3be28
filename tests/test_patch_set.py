"""Eq. (3): the patch set P_{s,p}, and the merge of levels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, interpolate

from patchcore_edu import aggregate, definitions, merge_levels, patch_set
from patchcore_edu.conventions import CONVENTIONS


def random_map(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def levels(draw):
    """One to three levels of one image: {j: (1, c_j, h_j, w_j)}, none larger than the one before."""
    phi, height, width = {}, draw(st.integers(2, 7)), draw(st.integers(2, 7))
    for j in range(1, draw(st.integers(1, 3)) + 1):
        phi[j] = random_map(1, draw(st.integers(1, 3)), height, width, seed=draw(st.integers(0, 9)))
        height, width = draw(st.integers(1, height)), draw(st.integers(1, width))
    return phi


def by_definition(phi, p, s):
    """Eqs. (1) to (3) and the merge, written as loops: {(h, w): vector}."""
    merged = None
    for j in sorted(phi):
        [phi_j] = phi[j].tolist()
        rows, columns = range(len(phi_j[0])), range(len(phi_j[0][0]))
        vectors = [[definitions.aggregate(phi_j, h, w, p) for w in columns] for h in rows]
        aggregated = [[[vector[c] for vector in row] for row in vectors] for c in range(len(phi_j))]
        merged = aggregated if merged is None else definitions.merge(merged, aggregated)
    rows, columns = range(0, len(merged[0]), s), range(0, len(merged[0][0]), s)
    return torch.tensor([[definitions.feature_vector(merged, h, w) for w in columns] for h in rows])[None]


def test_by_hand():
    phi_j = torch.arange(9.0).view(1, 1, 3, 3)
    assert patch_set({2: phi_j}, p=1, s=2)[0, :, :, 0].tolist() == [[0, 2], [6, 8]]
    coarse = torch.tensor([[[[10.0, 30.0]]]])
    merged = patch_set({3: coarse, 2: torch.zeros(1, 1, 1, 4)}, p=1)
    assert merged.tolist() == [[[[0, 10], [0, 15], [0, 25], [0, 30]]]]


@given(levels(), st.integers(1, 3), st.integers(1, 4))
def test_equals_the_definition(phi, p, s):
    if all(p <= min(phi_j.shape[2:]) for phi_j in phi.values()):
        expected = by_definition(phi, p, s).double()
        torch.testing.assert_close(patch_set(phi, p, s), expected, rtol=1e-6, atol=1e-6)
        if len(phi) == 1:
            [flat] = [definitions.patch_set(phi[1][0].tolist(), p, s)]
            torch.testing.assert_close(patch_set(phi, p, s)[0].flatten(0, 1), torch.tensor(flat).double())


@given(levels())
def test_merge_equals_the_definition(phi):
    maps = [phi[j] for j in sorted(phi)]
    merged = maps[0][0].tolist()
    for level in maps[1:]:
        merged = definitions.merge(merged, level[0].tolist())
    torch.testing.assert_close(merge_levels(maps)[0], torch.tensor(merged, dtype=torch.float64))


@given(levels(), st.integers(1, 20))
def test_pooled_merge_averages_parts_of_the_joined_vector(phi, dim):
    maps = [phi[j] for j in sorted(phi)]
    joined = merge_levels(maps)
    n = joined.shape[1]
    parts = [joined[:, i * n // dim : -(-(i + 1) * n // dim)].mean(1) for i in range(dim)]
    torch.testing.assert_close(merge_levels(maps, "pool", dim), torch.stack(parts, dim=1))


@pytest.mark.parametrize("s", [1, 2, 3, 5, 9])
def test_s_keeps_every_s_th_row_and_column(s):
    phi = {2: random_map(2, 3, 8, 7), 3: random_map(2, 4, 4, 4)}
    kept = patch_set(phi, s=s)
    assert kept.shape == (2, -(-8 // s), -(-7 // s), 7)
    assert torch.equal(kept, patch_set(phi)[:, ::s, ::s])


def test_a_stride_on_each_level_comes_before_the_merge():
    phi = {2: random_map(1, 3, 8, 8), 3: random_map(1, 4, 4, 4)}
    skipped = [aggregate(phi_j, 3)[:, :, ::2, ::2] for phi_j in phi.values()]
    expected = merge_levels(skipped).permute(0, 2, 3, 1)
    assert torch.equal(patch_set(phi, s=2, stride_on="level"), expected)
    assert not torch.allclose(patch_set(phi, s=2), expected)
    assert torch.equal(patch_set(phi, stride_on="level"), patch_set(phi))


def test_p_is_counted_on_the_map_of_each_level():
    phi = {2: torch.zeros(1, 1, 4, 4), 3: torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]])}
    assert patch_set(phi, p=2, border="clip")[..., 1].unique().tolist() == [1]


@pytest.mark.parametrize("p, side", [(1, 28), (2, 27), (3, 28), (4, 27), (5, 28)])
def test_flattened_pooling_makes_the_map_smaller_for_even_p(p, side):
    phi = {2: random_map(1, 6, 28, 28), 3: random_map(1, 8, 14, 14)}
    assert patch_set(phi, p, pooling="flattened", merge="pool", dim=5).shape == (1, side, side, 5)


@pytest.mark.parametrize("p", [1, 3, 5])
def test_official_pooling_of_wide_resnet50_in_closed_form(p):
    """Level 2 counts the centre twice; level 3 averages the channels 2k and 2k + 1."""
    phi = {2: random_map(2, 512, 10, 12, seed=1), 3: random_map(2, 1024, 5, 6, seed=2)}
    c = CONVENTIONS["official"]
    official = patch_set(phi, p, 1, c.border, c.pooling, c.merge, c.dim, c.stride_on)
    mean = {j: avg_pool2d(phi_j, p, stride=1, padding=p // 2) for j, phi_j in phi.items()}  # zeros are counted
    level_2 = (mean[2] * p**2 + phi[2]) / (p**2 + 1)
    level_3 = interpolate((mean[3][:, ::2] + mean[3][:, 1::2]) / 2, (10, 12), mode="bilinear")
    torch.testing.assert_close(official, torch.cat([level_2, level_3], dim=1).permute(0, 2, 3, 1))


fine, coarse = torch.ones(2, 3, 8, 8), torch.ones(2, 5, 4, 4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"p": 0}, "p was 0; it must be a whole number from 1 to 8"),
        ({"p": 5}, "p was 5; it must be a whole number from 1 to 4"),
        ({"s": 0}, "s was 0; it must be a whole number from 1 to 1001"),
        ({"s": 1.5}, "s was 1.5; it must be a whole number from 1 to 1001"),
        ({"border": "wrap"}, "border was 'wrap'; it must be one of 'zero', 'clip', 'valid'"),
        ({"pooling": "max"}, "pooling was 'max'; it must be one of 'spatial', 'flattened'"),
        ({"merge": "add"}, "merge was 'add'; it must be one of 'concatenate', 'pool'"),
        ({"merge": "pool", "dim": 0}, "dim was 0; it must be a whole number from 1 to 1048576"),
        ({"stride_on": "image"}, "stride_on was 'image'; it must be one of 'merged', 'level'"),
        ({"phi": {}}, "phi was {}; it must map at least one level j to a tensor (n, c, h, w)"),
        ({"phi": [fine, coarse]}, "phi was [tensor("),
        ({"phi": {2: coarse, 3: fine}}, "phi held maps of shapes [(2, 5, 4, 4), (2, 3, 8, 8)]; all must have the same"),
        ({"phi": {2: fine, 3: coarse[:1]}}, "phi held maps of shapes [(2, 3, 8, 8), (1, 5, 4, 4)]; all must have the"),
        ({"phi": {2: fine[0]}}, "phi_j was a tensor of shape (3, 8, 8) and dtype float32; it must be a floating-point"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError) as error:
        patch_set(**{"phi": {2: fine, 3: coarse}} | arguments)
    assert str(error.value).startswith(message)
