"""Hostile input: the error names the argument. No function returns a wrong number or fails deep inside."""

import numpy as np
import pytest
import torch

from patchcore_edu import (
    Conventions,
    MemoryBank,
    PatchCore,
    Prediction,
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

patches, known = torch.ones(1, 2, 2, 3), (torch.ones(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
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
        (lambda: patch_set({2: maps, None: maps}), "phi was {2: tensor("),
        (lambda: patch_set({2: maps}, s=2**62), "s was 4611686018427387904; it must be a whole number from 1 to 1001"),
        (lambda: patch_set({2: maps}, merge="pool", merged_dim=0), "merged_dim was 0; it must be a whole number from"),
        (lambda: patch_set({2: maps}, border=np.array(["zero"])), "border was array(['zero'], dtype='<U4'); it must"),
        (lambda: aggregate(maps, 1, pooling="flattened", dim=2**31), "dim was 2147483648; it must be a whole number"),
        (lambda: merge_levels([maps], "pool", 2**62), "dim was 4611686018427387904; it must be a whole number from 1"),
        (lambda: random_projection(patches[0, 0], 2**31), "dim was 2147483648; it must be a whole number from 1 to"),
        (lambda: random_projection(torch.full((4, 300), 3e38), 3), "vectors are so large that ψ overflows torch."),
        (lambda: greedy_coreset(patches[0, 0], 10**5000, 1), "ratio was of type int and size was 1; give exactly one"),
        (lambda: memory_bank(np.array(1.0)), "patches was of type ndarray; it must be tensors (n, h', w', d)"),
        (lambda: memory_bank(patches).origin(4), "row held numbers from 4 to 4; they must be from 0 to 3"),
        (lambda: memory_bank(patches).origin(None), "row was of type NoneType; it must be"),
        (lambda: memory_bank(patches).take(torch.tensor([9], dtype=torch.uint16)), "rows held numbers from 9 to 9"),
        (lambda: image_score(patches, None, 2, known), "vectors was of type NoneType; it must be"),
        (lambda: image_score(patches * 1e20, patches[0, 0] * -1e20, 2, known), "patches and vectors are farther apart"),
        (lambda: image_score(patches, torch.ones(4, 3).double()), "patches had dtype torch.float32; they must have"),
        (lambda: anomaly_map(patches[0], 2**31), "size was 2147483648; it must be a whole number from 1 to 8192"),
        (lambda: anomaly_map(patches[0], (1, 2**14)), "size was 16384; it must be a whole number from 1 to 8192"),
        (lambda: anomaly_map(patches[0], 8, sigma=10**6), "sigma was 1000000; it must be a number in [0, 1000]"),
        (lambda: Conventions(sigma=10**6), "sigma was 1000000; it must be a number in [0, 1000]"),
        (lambda: Conventions(squared=torch.tensor(1)), "squared was tensor(1); it must be one of False, True"),
        (lambda: Prediction.joined([]), "parts was []; it must hold at least one Prediction"),
        (
            lambda: MemoryBank.load(0),
            "path was '0', which is not a complete saved memory bank: path was of type int; it must",
        ),
        (lambda: memory_bank(patches).save("a\0b"), "path was 'a\\x00b'; it must be the path of a file"),
        (lambda: memory_bank(patches).save("\ud800"), "path was '\\ud800'; it must be the path of a file"),
        (lambda: memory_bank(patches).save(""), "path was ''; it must be the path of a file"),
        (lambda: neighbourhood(0.5, 0, 3), "h was 0.5; it must be a whole number"),
        (lambda: neighbourhood(0, "0", 3), "w was '0'; it must be a whole number"),
        (lambda: real_tensor("M", torch.zeros(0, 3), "(N, d)"), "M was a tensor of shape (0, 3) and dtype float32; "),
        (lambda: image_batch(images + 1 + 1e-6), "images held values from 1.00000095 to 1.00000095; they must lie in"),
    ],
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)


def test_an_empty_tensor_is_called_empty():
    with pytest.raises(ValueError, match=r"this one is empty$"):
        real_tensor("M", torch.zeros(0, 3), "(N, d)")


@pytest.mark.parametrize("levels", [(2.0, 3.0), (True, 2), torch.tensor(5), torch.tensor([2.0]), 2.5, None, "23"])
def test_levels_are_whole_numbers(backbone, levels):
    with pytest.raises(ValueError, match=r"^levels was .*; it must name different levels from 1, 2, 3, 4$"):
        feature_maps(images, backbone, levels)


@pytest.mark.parametrize("levels", [torch.tensor([2, 3]), range(2, 4), {3, 2}, [3, 2]])
def test_levels_in_any_kind_of_collection(backbone, levels):
    assert list(feature_maps(images, backbone, levels)) == [2, 3]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to_sparse(),
        lambda t: t.to_mkldnn(),
        lambda t: torch.nested.nested_tensor([t, t], layout=torch.jagged),
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
def test_a_tensor_of_another_kind_is_refused(call, change):
    function, tensor = TAKES_A_TENSOR[call]
    with pytest.raises(ValueError):
        function(change(tensor))


@pytest.mark.parametrize("wrong", [10**30, -(10**30), 1.5, True, "1", None, float("nan"), 1j, [1], torch.tensor(1.0)])
def test_what_is_not_a_whole_number_is_named(wrong):
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


@pytest.mark.parametrize(
    "wrong", [images.to_sparse(), images.to("meta"), [images.to_sparse()], np.array(1), np.bool_(1)]
)
def test_an_invalid_batch_is_named(backbone, wrong):
    with pytest.raises(ValueError, match=r"^images was "):
        PatchCore(backbone).fit(wrong)


@pytest.mark.parametrize("wrong", [None, 3, [], "23", maps, {2: maps}, {2: maps, 3: None}, {2: maps[:0], 3: maps[:0]}])
def test_invalid_maps_are_named(backbone, wrong):
    with pytest.raises(ValueError, match=r"^phi was "):
        PatchCore(backbone).patches_of(wrong)


MEANS = {
    "zero": lambda maps: aggregate(maps, 3),
    "clip": lambda maps: aggregate(maps, 3, "clip"),
    "valid": lambda maps: aggregate(maps, 3, "valid"),
    "flattened": lambda maps: aggregate(maps, 3, pooling="flattened", dim=4),
    "pool": lambda maps: merge_levels([maps, maps[:, :, ::2, ::2]], "pool", 3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("mean", MEANS.values(), ids=MEANS)
def test_a_mean_of_huge_numbers_is_right_although_their_sum_is_beyond_the_dtype(mean, dtype):
    """It used to come out infinite, without an error. Cells with small numbers in the same maps stay accurate."""
    largest = torch.finfo(dtype).max
    for factor in (largest, largest / 2, -largest / 4):
        numbers = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
        numbers[0, :, :4] *= factor
        found, unit = mean(numbers), abs(factor)
        expected = mean(numbers.double() / unit) if dtype != torch.float64 else mean(numbers / unit)
        bound = 4 * torch.finfo(dtype).eps
        torch.testing.assert_close(found.double() / unit, expected, rtol=bound, atol=bound)
        torch.testing.assert_close(found[1], mean(numbers[1:])[0])


def test_half_precision_is_weighted_in_single():
    """Half precision ends at 65,504, so the squares of distances above 256 overflowed and gave NaN."""
    bank, query = torch.tensor([[0.0], [600.0], [601.0]]), torch.tensor([[[[1100.0]]]])
    expected = image_score(query, bank, 2)
    assert image_score(query.half(), bank.half(), 2) == expected == pytest.approx(499 * (1 - 1 / (1 + np.e)))


def test_a_generator_that_ends_midway_leaves_the_old_model(backbone):
    model = PatchCore(backbone, coreset_ratio=1).fit(images)

    def broken():
        yield images
        raise OSError("the camera is gone")

    bank = model.bank
    with pytest.raises(OSError, match="camera"):
        model.fit(broken())
    assert model.bank is bank and model.rows_before == len(bank)
