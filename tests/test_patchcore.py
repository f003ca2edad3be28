"""The whole method of §3: `PatchCore`."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from patchcore_edu import (
    CONVENTIONS,
    Conventions,
    MemoryBank,
    PatchCore,
    anomaly_map,
    auroc,
    feature_maps,
    greedy_coreset,
    image_score,
    load_backbone,
    memory_bank,
    patch_neighbours,
    patch_set,
    random_projection,
)
from patchcore_edu.datasets import PhotoTextures


class Samples(Dataset):
    """A data set as in torchvision: no __iter__; it ends only by its length and an IndexError."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return self.samples[i]


@pytest.fixture(scope="module")
def good():
    return Samples([PhotoTextures("brick", "train", size=64)[i] for i in range(18)])


@pytest.fixture(scope="module")
def test():
    return Samples([PhotoTextures("brick", "test", size=64)[i] for i in (0, 1, 20, 30)])


def images_of(samples):
    return torch.stack([samples[i].image for i in range(len(samples))])


def assert_same(one, other):
    """Check that two banks, or two predictions, are equal to the last digit."""
    for field in fields(one):
        if field.name != "settings":
            assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


@pytest.fixture(scope="module")
def fitted(backbone, good):
    return PatchCore(backbone).fit(good)


# --- fit and predict --------------------------------------------------------------------------------------------


def test_stored_feature_maps_give_the_same_bank_and_the_same_prediction(backbone, good, test):
    model = PatchCore(backbone, levels=(3, 2), p=3, s=2, b=5, conventions="anomalib")
    phi = backbone(images_of(test), (1, 2, 3))
    kept = PatchCore(backbone, levels=(3, 2), p=3, s=2, b=5, conventions="anomalib")
    # `fit` passes 16 images at a time through the network.
    kept.fit_patches([model.patches(images_of(good)[:16]), model.patches(images_of(good)[16:])])
    assert_same(kept.bank, model.fit(good).bank)
    assert torch.equal(model.patches_of(phi), model.patches(images_of(test)))
    assert_same(kept.predict_patches(kept.patches_of(phi), (64, 64)), model.predict(test))
    with pytest.raises(ValueError, match="bank was None; call fit before predict"):
        PatchCore(backbone).predict_patches(model.patches(images_of(test)), 64)


def test_it_equals_the_equations_one_after_another(backbone, good, test):
    model = PatchCore(backbone, levels=(3, 2), p=3, s=2, coreset_ratio=0.2, b=4, seed=7).fit(good)
    P = patch_set(backbone(images_of(good), (2, 3)), p=3, s=2)
    M = memory_bank(P, s=2)
    M_C = M.take(greedy_coreset(random_projection(M.vectors, 128, seed=7), ratio=0.2, seed=7))
    assert model.rows_before == len(M) == 18 * 4 * 4 and len(model.bank) == int(0.2 * len(M))
    # The model works in batches of 16 images, which may round differently.
    torch.testing.assert_close(model.bank.vectors, M_C.vectors, rtol=1e-3, atol=1e-3)
    assert torch.equal(model.bank.image, M_C.image) and torch.equal(model.bank.position, M_C.position)

    prediction = model.predict(test)
    P_test = patch_set(backbone(images_of(test), (2, 3)), p=3, s=2)
    distance, nearest = patch_neighbours(P_test, model.bank.vectors)
    torch.testing.assert_close(prediction.patch_distance, distance)
    assert torch.equal(prediction.nearest, nearest)
    torch.testing.assert_close(prediction.score, image_score(P_test, model.bank.vectors, b=4))
    torch.testing.assert_close(prediction.anomaly_map, anomaly_map(distance, 64))


def test_the_eight_steps_of_the_tour_give_its_numbers(backbone):
    """Composing the functions with their defaults, as 00_tour does, gives the scores and maps of `PatchCore()`."""
    train, test = PhotoTextures("brick", "train"), PhotoTextures("brick", "test")
    good, images = images_of(train), images_of(test)
    bank = memory_bank(patch_set(feature_maps(good, backbone)))
    coreset = bank.take(greedy_coreset(random_projection(bank.vectors), ratio=0.1))
    patches = patch_set(feature_maps(images, backbone))
    distance, nearest = patch_neighbours(patches, coreset.vectors)
    score = image_score(patches, coreset.vectors, neighbours=(distance, nearest))
    prediction = PatchCore(backbone).fit(train).predict(test)
    torch.testing.assert_close(score, prediction.score, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(anomaly_map(distance, 224), prediction.anomaly_map, rtol=1e-5, atol=1e-5)
    assert auroc(score, torch.tensor([sample.anomalous for sample in test])) > 0.99


def test_it_tells_good_from_bad(fitted, test):
    score = fitted.predict(test).score
    assert score[2:].min() > score[:2].max()


def test_images_in_any_form_give_the_same_bank_and_prediction(backbone, good, test, fitted):
    tensor = images_of(good)
    forms = {
        "tensor": tensor,
        "list of batches": list(tensor.split(4)),
        "images and batches": [tensor[0], tensor[1:4], tensor[4], tensor[5:]],
        "loader": DataLoader(good, batch_size=5),
        "generator": (batch for batch in tensor.split(7)),
    }
    assert len(fitted.bank) == 18 * 8 * 8 // 10
    for form, images in forms.items():
        seen = []
        first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
        hook = first.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(len(given[0])))
        model = PatchCore(backbone).fit(images)
        hook.remove()
        assert seen == [1] * 18, form  # the last digits may depend on the other images in the batch
        assert model.rows_before == fitted.rows_before, form
        assert_same(model.bank, fitted.bank)
    expected = fitted.predict(test)
    for images in (list(images_of(test)), DataLoader(test, batch_size=3)):
        assert_same(fitted.predict(images), expected)


def test_feature_maps_of_different_numbers_of_images_are_refused(backbone):
    phi = {2: torch.zeros(2, 40, 8, 8), 3: torch.zeros(1, 112, 4, 4)}
    with pytest.raises(ValueError, match=r"phi held \[2, 1\] images; every level must have as many"):
        PatchCore(backbone).patches_of(phi)


def test_one_seed_one_bank(backbone, good, test, fitted):
    again, other = PatchCore(backbone).fit(good), PatchCore(backbone, seed=1).fit(good)
    assert_same(again.bank, fitted.bank)
    assert_same(again.predict(test), fitted.predict(test))
    assert not torch.equal(other.bank.vectors, fitted.bank.vectors)


def test_every_row_of_the_bank_names_its_patch(backbone, good):
    model = PatchCore(backbone, coreset_ratio=0.05, s=3).fit(good)
    P = PatchCore(backbone).patches(images_of(good))
    h, w = model.bank.position.T
    torch.testing.assert_close(model.bank.vectors, P[model.bank.image, h, w], rtol=1e-3, atol=1e-3)


def test_entries_of_the_bank_score_0(backbone, good):
    model = PatchCore(backbone, coreset_ratio=1, p=4).fit(good)
    prediction = model.predict(good)
    assert not prediction.patch_distance.any() and not prediction.score.any()
    assert torch.equal(prediction.nearest.flatten(), torch.arange(18 * 8 * 8))


def test_the_whole_bank_is_kept_in_order(backbone, good):
    model = PatchCore(backbone, coreset_ratio=1).fit(good)
    assert len(model.bank) == model.rows_before
    assert_same(model.bank, memory_bank(torch.cat([model.patches(batch) for batch in images_of(good).split(16)])))


@pytest.mark.parametrize("s, side", [(1, 8), (2, 4), (5, 2), (8, 1)])
def test_a_stride_thins_the_patches_but_not_the_anomaly_map(backbone, good, test, s, side):
    model = PatchCore(backbone, s=s, coreset_ratio=0.5).fit(good)
    prediction = model.predict(test)
    assert model.rows_before == 18 * side**2
    assert prediction.patch_distance.shape == prediction.nearest.shape == (4, side, side)
    assert prediction.anomaly_map.shape == (4, 64, 64) and prediction.score.shape == (4,)


def test_a_saved_bank_gives_the_same_prediction(backbone, fitted, test, tmp_path):
    fitted.bank.save(tmp_path / "bank.npz")
    model = PatchCore(backbone)
    model.bank = MemoryBank.load(tmp_path / "bank.npz")
    assert_same(model.predict(test), fitted.predict(test))


def test_a_saved_model_gives_the_same_prediction(backbone, fitted, good, test, tmp_path):
    own = {"levels": (1, 3), "p": 4, "s": 2, "coreset_ratio": 0.05, "b": 3, "conventions": "anomalib", "seed": 7}
    for model in (fitted, PatchCore(backbone, **own).fit(good)):
        model.save(tmp_path / "model.npz")
        again = PatchCore.load(str(tmp_path / "model.npz"))
        assert again.settings() == model.settings() and again.rows_before == model.rows_before
        assert_same(again.bank, model.bank)
        assert_same(again.predict(test), model.predict(test))


def test_a_saved_model_holds_plain_arrays(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    with np.load(tmp_path / "model", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["image", "position", "settings", "vectors"]
        assert json.loads(str(arrays["settings"]))["border"] == "zero"


@pytest.mark.parametrize(
    "name, own",
    [
        ("levels", {"levels": (1, 2)}),
        ("p", {"p": 5}),
        ("s", {"s": 2}),
        ("border", {"conventions": Conventions(border="clip")}),
        ("pooling", {"conventions": Conventions(pooling="flattened")}),
        ("merge", {"conventions": Conventions(merge="pool")}),
        ("stride_on", {"conventions": Conventions(stride_on="level")}),
    ],
)
def test_a_bank_of_other_settings_is_refused(backbone, fitted, tmp_path, name, own):
    """A bank made with p = 3 in a model with p = 9 gave an AUROC of 0.682 instead of 0.997, without a warning."""
    fitted.bank.save(tmp_path / "bank.npz")
    model = PatchCore(backbone, **own)
    model.bank = MemoryBank.load(tmp_path / "bank.npz")
    for use in (lambda: model.predict(images), lambda: model.save(tmp_path / "model.npz")):
        with pytest.raises(ValueError, match=f"^bank was made with {name} = .*, but this model has "):
            use()


def test_a_setting_that_is_changed_after_fit_is_refused(backbone):
    model = PatchCore(backbone).fit(images)
    model.p = 5
    with pytest.raises(ValueError, match=r"^bank was made with p = 3, but this model has 5"):
        model.predict(images)
    model.p, model.b = 3, 5
    assert model.predict(images).score.isfinite().all()


def test_a_bank_of_other_weights_is_refused(fitted, tmp_path):
    torch.manual_seed(0)
    untrained = PatchCore(load_backbone(weights=None)).fit(images)
    untrained.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"^bank was made with weights = "):
        PatchCore.load(tmp_path / "model.npz")
    again = PatchCore.load(tmp_path / "model.npz", untrained.backbone)
    assert_same(again.predict(images), untrained.predict(images))


def test_a_bank_alone_is_loaded_as_a_bank(backbone, fitted, test, tmp_path):
    bank = fitted.bank
    MemoryBank(bank.vectors, bank.image, bank.position).save(tmp_path / "bank.npz")
    with pytest.raises(ValueError, match=r"holds a bank and not a whole model"):
        PatchCore.load(tmp_path / "bank.npz")
    model = PatchCore(backbone, p=4)
    model.bank = MemoryBank.load(tmp_path / "bank.npz")
    assert model.predict(test).score.isfinite().all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 2}, "version was 2; it must be one of 1"),
        ({"p": 0}, "p was 0; it must be a whole number"),
        ({"p": "3"}, "p was '3'; it must be a whole number"),
        ({"levels": [5]}, r"levels was \(5,\); it must name"),
        ({"backbone": "vgg"}, "name was 'vgg'; it must be"),
        ({"backbone": None}, "backbone was None; it must be"),
        ({"border": "wrap"}, "border was 'wrap'; it must be"),
        ({"colour": 1}, "path was .*, whose settings are missing or unknown: \\['colour'\\]"),
        ({"rows_before": -1}, "rows_before was -1"),
        ({"rows_before": 1}, r"rows_before was 1; it must be a whole number of at least 1\d\d$"),
        ({"p": json.loads("[" * 900 + "]" * 900)}, r"p was \[{7}\.{3}\]{7}; it must be a whole number"),
        ({"border": "wrap" * 10**6}, "border was 'wrap.{,200}'; it must be"),
        ({"sigma": 10**400}, "sigma was 10+...0+; it must be a number"),
    ],
)
def test_unknown_settings_are_refused_by_name(fitted, tmp_path, change, message):
    replace(fitted.bank, settings=fitted.settings() | {"rows_before": fitted.rows_before} | change).save(
        tmp_path / "model.npz"
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        PatchCore.load(tmp_path / "model.npz")


def test_settings_nested_beyond_reading_are_refused(fitted, tmp_path):
    bank = {name: getattr(fitted.bank, name).numpy() for name in ("vectors", "image", "position")}
    np.savez(tmp_path / "model.npz", **bank, settings=np.array("[" * 10**5))
    with pytest.raises(ValueError, match=r"not a complete saved memory bank: it is nested too deeply$"):
        PatchCore.load(tmp_path / "model.npz")


def test_a_model_with_an_assigned_bank_is_saved(backbone, good, fitted, tmp_path):
    model = PatchCore(backbone).fit(images_of(good)[:1])
    model.bank = fitted.bank  # more entries than the model has seen patches
    model.save(tmp_path / "model.npz")
    assert PatchCore.load(tmp_path / "model.npz").rows_before == 0


def test_a_bank_of_another_type(backbone):
    model = PatchCore(backbone)
    model.bank = torch.zeros(9, 152)
    with pytest.raises(ValueError, match=r"^bank was of type Tensor; it must be a MemoryBank$"):
        model.predict(images)


def test_saving_before_fitting(backbone, tmp_path):
    with pytest.raises(ValueError, match="bank was None; call fit before save"):
        PatchCore(backbone).save(tmp_path / "model.npz")


@pytest.mark.parametrize("wrong", [None, 3, torch.nn.Identity()])
def test_a_backbone_of_another_type(wrong):
    with pytest.raises(ValueError, match=r"^backbone was .*; it must be a Backbone from load_backbone"):
        PatchCore(wrong)


def test_patches_of_three_axes(fitted):
    with pytest.raises(ValueError, match=r"patches was a tensor of shape \(8, 8, 152\)"):
        fitted.predict_patches(torch.zeros(8, 8, 152), 64)


def test_fitting_again_replaces_the_bank(backbone, good, fitted):
    model = PatchCore(backbone).fit(images_of(good)[:3])
    assert model.rows_before == 3 * 64
    assert_same(model.fit(good).bank, fitted.bank)


def test_photographs_that_are_not_square(backbone):
    images = torch.rand(2, 3, 64, 100, generator=torch.Generator().manual_seed(0))
    prediction = PatchCore(backbone).fit(images).predict(images[:1])
    assert prediction.anomaly_map.shape == (1, 64, 100) and prediction.patch_distance.shape == (1, 8, 13)


def test_a_name_loads_its_backbone(fitted, good, test):
    assert_same(PatchCore("efficientnet_lite0").fit(good).predict(test), fitted.predict(test))


# --- conventions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_by_name_and_by_record(backbone, good, test, name):
    by_name = PatchCore(backbone, conventions=name).fit(good).predict(test)
    by_record = PatchCore(backbone, conventions=replace(CONVENTIONS[name])).fit(good).predict(test)
    assert_same(by_name, by_record)
    assert by_name.score[2:].min() > by_name.score[:2].max()


def test_the_authors_scores_are_the_largest_squared_distances(backbone, good, test):
    model = PatchCore(backbone, conventions="official").fit(good)
    prediction = model.predict(test)
    distance, _ = patch_neighbours(model.patches(images_of(test)), model.bank.vectors)
    torch.testing.assert_close(prediction.patch_distance, distance.square(), rtol=1e-4, atol=1e-4)
    assert torch.equal(prediction.score, prediction.patch_distance.amax((1, 2)))


@pytest.mark.parametrize(
    "change, what",
    [
        ({"border": "clip"}, "bank"),
        ({"pooling": "flattened", "dim": 200}, "bank"),
        ({"merge": "pool", "dim": 100}, "bank"),
        ({"projection": None}, "bank"),
        ({"projection": "sparse"}, "bank"),
        ({"projection_dim": 16}, "bank"),
        ({"start": "mean of ten"}, "bank"),
        ({"squared": True}, "patch_distance"),
        ({"reweighting": False}, "score"),
        ({"upsampling": "nearest"}, "anomaly_map"),
        ({"sigma": 1}, "anomaly_map"),
        ({"edge": "constant"}, "anomaly_map"),
    ],
)
def test_every_choice_changes_its_own_stage_and_none_before(backbone, good, test, fitted, change, what):
    model = PatchCore(backbone, conventions=replace(CONVENTIONS["paper"], **change)).fit(good)
    before, after = fitted.predict(test), model.predict(test)
    changed = [
        name for name in ("patch_distance", "score", "anomaly_map")
        if not torch.equal(getattr(before, name), getattr(after, name))
    ]  # fmt: skip
    if not torch.equal(model.bank.vectors, fitted.bank.vectors):
        changed.insert(0, "bank")
    assert changed[0] == what
    assert what not in ("score", "anomaly_map") or changed == [what]


def test_a_stride_on_each_level_gives_another_bank(backbone, good):
    change = {"stride_on": "level"}
    merged, level = (
        PatchCore(backbone, s=2, conventions=replace(CONVENTIONS["paper"], **c)).fit(good) for c in ({}, change)
    )
    assert merged.rows_before == level.rows_before
    assert not torch.equal(merged.bank.vectors, level.bank.vectors)


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"backbone": "vgg16"},
            "name was 'vgg16'; it must be one of 'efficientnet_lite0', 'resnet18', 'wide_resnet50_2'",
        ),
        ({"levels": (2, 5)}, "levels was (2, 5); it must name different levels from 1, 2, 3, 4"),
        ({"p": 0}, "p was 0; it must be a whole number of at least 1"),
        ({"p": 3.0}, "p was 3.0; it must be a whole number of at least 1"),
        ({"s": 0}, "s was 0; it must be a whole number from 1 to 1001"),
        ({"b": 0}, "b was 0; it must be a whole number of at least 1"),
        ({"coreset_ratio": 0}, "coreset_ratio was 0; it must be a number in (0, 1]"),
        ({"coreset_ratio": 10}, "coreset_ratio was 10; it must be a number in (0, 1]"),
        ({"conventions": "mine"}, "conventions was 'mine'; it must be one of 'paper', 'official', 'anomalib'"),
        ({"seed": -1}, "seed was -1; it must be a whole number of at least 0"),
    ],
)
def test_bad_arguments(backbone, arguments, message):
    with pytest.raises(ValueError) as error:
        PatchCore(**{"backbone": backbone} | arguments)
    assert str(error.value) == message


images = torch.zeros(2, 3, 96, 96)


@pytest.mark.parametrize(
    "bad, message",
    [
        ([], "images held no image; {} needs at least one"),
        (images[:0], "images held no image; {} needs at least one"),
        (images[0], "images had shape (3, 96, 96); it must be (n, 3, H, W)"),
        (7, "images was of type int; it must be a tensor, a data set or batches"),
        ("photographs", "images was of type str; it must be a floating-point tensor of shape (n, 3, H, W)"),
        (
            [images, images[:, :, :64]],
            "images held images of shapes (3, 96, 96) and (3, 64, 96); all must have one shape",
        ),
        ([images[0], images[0, :, :64]], "images held images of shapes (3, 96, 96) and (3, 64, 96); all must have one"),
        ([images[:, :1]], "images had 1 channels (shape (2, 1, 96, 96)); they must have 3"),
        ([images.byte()], "images was a tensor of shape (2, 3, 96, 96) and dtype uint8; it must be a floating-point"),
        ([images.numpy()], "images was of type ndarray; it must be a floating-point tensor of shape (n, 3, H, W)"),
        ([(images, 0)], "images was of type tuple; it must be a floating-point tensor of shape (n, 3, H, W)"),
        ([images / 0], "images holds NaN or infinite values; all its values must be finite"),
        ([images + 2], "images held values from 2 to 2; they must lie in [0, 1]"),
    ],
)
def test_bad_images(backbone, fitted, bad, message):
    for function, doing in ((PatchCore(backbone).fit, "fit"), (fitted.predict, "predict")):
        with pytest.raises(ValueError) as error:
            function(bad)
        assert str(error.value).startswith(message.format(doing))


def test_p_larger_than_a_map(backbone):
    with pytest.raises(ValueError, match="p was 7; it must be a whole number from 1 to 6"):
        PatchCore(backbone, p=7).fit(images)


def test_predicting_before_fitting(backbone):
    with pytest.raises(ValueError, match="bank was None; call fit before predict"):
        PatchCore(backbone).predict(images)


def test_a_bank_of_another_dimension(backbone):
    model = PatchCore(backbone, levels=(2,))
    model.bank = memory_bank(torch.zeros(1, 2, 2, 152))
    with pytest.raises(ValueError, match="bank held vectors of 152 dimensions; this model's patches have 40"):
        model.predict(images)


def test_a_failed_fit_leaves_the_old_bank(fitted):
    bank = fitted.bank
    with pytest.raises(ValueError):
        fitted.fit([images, images / 0])
    assert fitted.bank is bank


# --- progress ---------------------------------------------------------------------------------------------------


def test_a_progress_bar_appears_when_it_takes_long(backbone, fitted, monkeypatch, capsys):
    import time

    def slow(batches):
        for batch in batches:
            time.sleep(1.1)
            yield batch

    fitted.predict(images)
    assert capsys.readouterr().err == ""
    fitted.predict(slow([images, images]))
    assert "predict" in capsys.readouterr().err
