"""§3.1: the feature maps φ_{i,j} and the vector φ_{i,j}(h, w)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from patchcore_edu import definitions, feature_maps, feature_vector

images = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))


def test_one_map_for_each_image_and_level(backbone):
    phi = feature_maps(images, backbone, levels=(3, 1))
    assert {j: tuple(phi_j.shape) for j, phi_j in phi.items()} == {1: (2, 24, 24, 16), 3: (2, 112, 6, 4)}
    assert list(phi) == [1, 3]


def test_an_image_has_the_same_maps_in_any_batch(backbone):
    phi = feature_maps(images, backbone, levels=(2,))[2]
    alone = feature_maps(images[1:], backbone, levels=(2,))[2]
    torch.testing.assert_close(phi[1:], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(phi[0], phi[1], atol=0.1)


def test_by_hand():
    phi_j = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[5.0, 6.0]], [[7.0, 8.0]]]])
    assert feature_vector(phi_j, 0, 1).tolist() == [[2, 4], [6, 8]]


@given(arrays("float64", array_shapes(min_dims=4, max_dims=4, max_side=4), elements=st.integers(-9, 9)), st.data())
def test_equals_the_definition(phi_j, data):
    h, w = (data.draw(st.integers(0, side - 1)) for side in phi_j.shape[2:])
    vectors = feature_vector(torch.from_numpy(phi_j), h, w).tolist()
    assert vectors == [definitions.feature_vector(image, h, w) for image in phi_j.tolist()]


@pytest.mark.parametrize(
    "bad, message",
    [
        (
            images[0],
            "images was a tensor of shape (3, 96, 64) and dtype float32; it must be a floating-point tensor of",
        ),
        (images[:, :1], "images had 1 channels (shape (2, 1, 96, 64)); they must have 3"),
        ((images * 255).byte(), "images was a tensor of shape (2, 3, 96, 64) and dtype uint8; it must be a floating"),
        (images * 0 + 255, "images held values from 255 to 255; they must lie in [0, 1]"),
        (images / 0, "images holds NaN or infinite values; all its values must be finite"),
        (
            np.zeros((1, 3, 8, 8)),
            "images was of type ndarray; it must be a floating-point tensor of shape (n, 3, H, W)",
        ),
    ],
)
def test_bad_images(backbone, bad, message):
    with pytest.raises(ValueError) as error:
        feature_maps(bad, backbone)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("levels", [(0, 1), (5,), (), (2, 2), "23", (2, None), ([2, 3],), (1.5,)])
def test_bad_levels(backbone, levels):
    with pytest.raises(ValueError) as error:
        feature_maps(images, backbone, levels)
    assert str(error.value).startswith("levels was (")
    assert str(error.value).endswith("it must name different levels from 1, 2, 3, 4")


@pytest.mark.parametrize(
    "h, w, message",
    [
        (4, 0, "h was 4; it must be a whole number from 0 to 3"),
        (0, -1, "w was -1; it must be a whole number from 0 to 4"),
        (0.5, 0, "h was 0.5; it must be a whole number from 0 to 3"),
    ],
)
def test_a_place_outside_the_map(h, w, message):
    with pytest.raises(ValueError) as error:
        feature_vector(torch.zeros(1, 2, 4, 5), h, w)
    assert str(error.value) == message
