"""What is no use is refused by its name: no function answers with a wrong number, or an error from within."""

import pytest
import torch

from patchcore_edu import feature_maps, merge_levels, neighbourhood, patch_set
from patchcore_edu.validation import image_batch, real_tensor

maps, images = torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 64, 64)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: feature_maps(images, "efficientnet_lite0"), "backbone was 'efficientnet_lite0'; it must be a network"),
        (lambda: feature_maps(images, None), "backbone was None; it must be a network from load_backbone"),
        (lambda: merge_levels([]), "maps was empty; it must be a list of at least one tensor (n, c, h, w)"),
        (lambda: merge_levels(maps), "maps was of type Tensor; it must be a list of at least one tensor"),
        (lambda: merge_levels(None), "maps was of type NoneType; it must be a list"),
        (lambda: merge_levels([maps, None]), "phi was of type NoneType; it must be"),
        (lambda: merge_levels([None, maps]), "phi was of type NoneType; it must be"),
        (lambda: patch_set({}), "phi was {}; it must map at least one level"),
        (lambda: neighbourhood(0, 0, 3, shape=28), "shape was 28; it must be (h*, w*), the size of the map in cells"),
        (lambda: neighbourhood(0, 0, 3, shape=(28,)), "shape was (28,); it must be (h*, w*)"),
        (lambda: neighbourhood(0, 0, 3, shape=(28, 2.5)), "shape was 2.5; it must be a whole number"),
        (lambda: neighbourhood(0.5, 0, 3), "h was 0.5; it must be a whole number"),
        (lambda: neighbourhood(0, "0", 3), "w was '0'; it must be a whole number"),
        (lambda: real_tensor("M", torch.zeros(0, 3), "(N, d)"), "M was a tensor of shape (0, 3) and dtype float32; "),
        (lambda: image_batch(images + 1 + 1e-6), "images held values from 1.00000095 to 1.00000095; they must lie in"),
    ],
)
def test_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)


def test_an_empty_tensor_is_called_empty():
    with pytest.raises(ValueError, match=r"this one is empty$"):
        real_tensor("M", torch.zeros(0, 3), "(N, d)")


@pytest.mark.parametrize("levels", [(2.0, 3.0), (True, 2), torch.tensor(5), torch.tensor([2.0]), 2.5, None, "23"])
def test_levels_are_whole_numbers(backbone, levels):
    with pytest.raises(ValueError, match=r"^levels was .*; it must name different levels out of 1, 2, 3, 4$"):
        feature_maps(images, backbone, levels)


@pytest.mark.parametrize("levels", [torch.tensor([2, 3]), range(2, 4), {3, 2}, [3, 2]])
def test_levels_of_any_kind_that_names_them(backbone, levels):
    assert list(feature_maps(images, backbone, levels)) == [2, 3]
