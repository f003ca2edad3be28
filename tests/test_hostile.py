"""What is no use is refused by its name: no function answers with a wrong number, or an error from within."""

import pytest
import torch

from patchcore_edu import (
    PatchCore,
    aggregate,
    anomaly_map,
    feature_maps,
    feature_vector,
    greedy_coreset,
    image_score,
    max_patch_score,
    memory_bank,
    merge_levels,
    nearest_neighbours,
    neighbourhood,
    patch_set,
    pro,
    random_projection,
)
from patchcore_edu.validation import image_batch, real_tensor

maps, images = torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 64, 64)

TAKES_A_TENSOR = {
    "aggregate": (lambda t: aggregate(t, 3), maps + 1),
    "anomaly_map": (lambda t: anomaly_map(t, 16), torch.ones(1, 4, 4)),
    "feature_vector": (lambda t: feature_vector(t, 1, 1), maps + 1),
    "greedy_coreset": (lambda t: greedy_coreset(t, 0.5), torch.ones(4, 3)),
    "max_patch_score": (max_patch_score, torch.ones(1, 4, 4)),
    "memory_bank": (memory_bank, torch.ones(1, 2, 2, 3)),
    "merge_levels": (lambda t: merge_levels([t]), maps + 1),
    "nearest_neighbours": (lambda t: nearest_neighbours(t, torch.ones(4, 3)), torch.ones(4, 3)),
    "patch_set": (lambda t: patch_set({2: t}), maps + 1),
    "pro": (lambda t: pro(t, torch.eye(4)[None]), torch.ones(1, 4, 4)),
    "random_projection": (random_projection, torch.ones(4, 3)),
}


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
        (
            lambda: image_score(torch.ones(1, 2, 2, 3), torch.ones(4, 3), 2, 5),
            "neighbours was of type int; it must be a",
        ),
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


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to_sparse(),
        lambda t: t.to("meta"),
        lambda t: t.to(torch.float8_e4m3fn),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        lambda t: t.to(torch.complex64),
        lambda t: t.long(),
        lambda t: t.bool(),
        lambda t: t / 0,
        lambda t: t[:0],
        lambda t: t[None],
        lambda t: t.tolist(),
        lambda t: t.numpy(),
        lambda t: None,
    ],
)
@pytest.mark.parametrize("call", TAKES_A_TENSOR, ids=TAKES_A_TENSOR)
def test_a_tensor_of_another_kind_is_named(call, change):
    function, tensor = TAKES_A_TENSOR[call]
    with pytest.raises(ValueError):
        function(change(tensor))


@pytest.mark.parametrize("wrong", [10**30, -(10**30), 1.5, True, "1", None, float("nan"), 1j, [1], torch.tensor(1.0)])
def test_a_whole_number_of_another_kind_is_named(wrong):
    patches = torch.ones(1, 2, 2, 3)
    for call in (
        lambda: neighbourhood(1, 1, wrong),
        lambda: memory_bank(patches, wrong),
        lambda: patch_set({2: maps}, s=wrong),
        lambda: random_projection(patches[0, 0], 3, seed=wrong),
        lambda: greedy_coreset(patches[0, 0], size=1, seed=wrong),
        lambda: PatchCore(seed=wrong),
    ):
        with pytest.raises(ValueError, match=r"^(p|s|seed) was "):
            call()


def test_a_generator_that_ends_midway_leaves_the_old_model(backbone):
    model = PatchCore(backbone, coreset_ratio=1).fit(images)

    def broken():
        yield images
        raise OSError("the camera is gone")

    bank = model.bank
    with pytest.raises(OSError, match="camera"):
        model.fit(broken())
    assert model.bank is bank and model.rows_before == len(bank)
