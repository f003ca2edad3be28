"""AUROC, and PRO up to a limit on the false positive rate (AUPRO)."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from patchcore_edu import auroc, pro

# --- AUROC ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "score, anomalous, area",
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0),
        ([1, 3, 2, 4], [0, 0, 1, 1], 3 / 4),  # of the four pairs, only (3, 2) is in the wrong order
        ([1, 1, 1, 1], [0, 0, 1, 1], 1 / 2),
        ([1, 2, 2, 3], [0, 0, 1, 1], 7 / 8),  # a tie counts half
        ([5, 1, 2], [1, 0, 0], 1),
    ],
)
def test_auroc_by_hand(score, anomalous, area):
    assert auroc(torch.tensor(score), torch.tensor(anomalous, dtype=torch.bool)) == pytest.approx(area)


@given(
    arrays("int64", st.integers(2, 20), elements=st.integers(0, 5)).flatmap(
        lambda score: st.tuples(st.just(score), arrays("bool", score.shape))
    )
)
def test_auroc_is_the_chance_that_an_anomalous_one_scores_higher(given):
    score, anomalous = given
    if anomalous.any() and not anomalous.all():
        pairs = score[anomalous][:, None] - score[~anomalous]
        chance = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
        assert auroc(torch.from_numpy(score), torch.from_numpy(anomalous)) == pytest.approx(chance)


def test_auroc_of_maps():
    maps, masks = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 5, 5, dtype=bool)
    masks[1, 2:, 2:] = True
    assert auroc(maps, masks) == auroc(maps.flatten(), masks.flatten())
    assert auroc(maps + masks, masks) == 1


# --- PRO --------------------------------------------------------------------------------------------------------


def pro_by_thresholds(maps, masks, limit):
    """The definition: at each threshold, the mean overlap with the regions; then the area under that curve."""
    regions = []
    for image, mask in zip(maps, masks, strict=True):
        numbered, n = label(mask, np.ones((3, 3)))
        regions += [image[numbered == i] for i in range(1, n + 1)]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.flatten()), reverse=True):
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append(((maps[~masks] >= threshold).mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit < x1:
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def test_pro_by_hand():
    """Regions of one and of three pixels, six normal pixels, all on one row.

    threshold 9: a third of the large region, nothing else:       overlap (0 + 1/3) / 2 = 1/6, rate 0
    threshold 8: the small region and a normal pixel more:        overlap (1 + 1/3) / 2 = 2/3, rate 1/6
    threshold 7: two more pixels of the large region:             overlap 1,                   rate 1/6
    threshold 0: everything:                                      overlap 1,                   rate 1
    """
    maps = torch.tensor([[[8.0, 8.0, 0.0, 0.0, 9.0, 7.0, 7.0, 0.0, 0.0, 0.0]]])
    masks = torch.tensor([[[1, 0, 0, 0, 1, 1, 1, 0, 0, 0]]], dtype=torch.bool)
    first = (1 / 6 + 2 / 3) / 2 * (1 / 6)
    assert pro(maps, masks, limit=1) == pytest.approx(first + 5 / 6)
    assert pro(maps, masks) == pytest.approx((first + (0.3 - 1 / 6)) / 0.3)
    # Halfway up the slope from 1/6 to 2/3, the overlap is 5/12.
    assert pro(maps, masks, limit=Fraction(1, 12)) == pro(maps, masks, limit=1 / 12)
    assert pro(maps, masks, limit=1 / 12) == pytest.approx((1 / 6 + 5 / 12) / 2)


@pytest.mark.parametrize("limit", [0.1, 0.3, 1])
def test_a_perfect_map_and_a_useless_one(limit):
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    masks[0, 1, 1:4] = masks[1, 3, 4] = True
    assert pro(masks.float(), masks, limit) == pytest.approx(1, abs=1e-12)
    assert pro(masks.float(), masks, limit) <= 1
    assert pro(-masks.float(), masks, limit) == pytest.approx(0, abs=1e-12)
    # If all pixels have one value, the curve is a straight line from (0, 0) to (1, 1).
    assert pro(torch.zeros(2, 4, 5), masks, limit) == pytest.approx(limit / 2)


@given(
    arrays(
        "int64", st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 6)
    ).flatmap(lambda maps: st.tuples(st.just(maps.astype("float64")), arrays("bool", maps.shape))),
    st.sampled_from([0.05, 0.3, 0.5, 1]),
)
def test_pro_equals_its_definition(given, limit):
    maps, masks = given
    if masks.any() and not masks.all():
        ours = pro(torch.from_numpy(maps), torch.from_numpy(masks), limit)
        assert ours == pytest.approx(pro_by_thresholds(maps, masks, limit))


def test_regions_touch_at_corners_and_end_at_the_image():
    diagonal = torch.eye(3, dtype=torch.bool)
    found = torch.zeros(2, 3, 3)
    found[0, 0, 0] = 1  # one third of the region, in one of the two images
    masks = torch.stack([diagonal, diagonal])
    assert pro(found, masks, limit=1e-9) == pytest.approx((1 / 3) / 2)


def test_a_large_defect_counts_as_much_as_a_small_one():
    masks = torch.zeros(1, 10, 10, dtype=torch.bool)
    masks[0, :5] = masks[0, 8, 8] = True
    large, small = torch.zeros(1, 10, 10), torch.zeros(1, 10, 10)
    large[0, :5] = small[0, 8, 8] = 1
    assert pro(large, masks, 1e-9) == pytest.approx(0.5) and pro(small, masks, 1e-9) == pytest.approx(0.5)


def test_only_the_order_of_the_values_counts():
    maps = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masks = maps + torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1)) > 1.2
    assert pro(maps, masks) == pro(maps.exp() * 1000, masks)
    assert pro(maps, masks) == pro(maps.flip(0, 2), masks.flip(0, 2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_masks_of_numbers(dtype):
    maps, masks = torch.arange(12.0).view(1, 3, 4), torch.arange(12).view(1, 3, 4) % 3 == 0
    assert pro(maps, masks.to(dtype)) == pro(maps, masks)
    assert auroc(maps, masks.to(dtype)) == auroc(maps, masks)


def test_masks_of_0_and_255():
    maps, masks = torch.arange(12.0).view(1, 3, 4), torch.arange(12).view(1, 3, 4) % 3 == 0
    assert pro(maps, masks * 255) == pro(maps, masks.numpy() * np.float32(255)) == pro(maps, masks)
    assert auroc(maps.bfloat16().requires_grad_(), masks * 255) == auroc(maps, masks)


@given(
    st.sampled_from([0, 1, 255]),
    st.one_of(st.floats(width=32), st.integers(-300, 300)).filter(lambda label: label not in (0, 1, 255)),
)
def test_a_label_that_is_neither_is_refused(kind, label):
    """A soft edge of 0.004 in a mask raised PRO from 0.246 to 0.944; a NaN raised AUROC from 0.75 to 1."""
    labels = torch.tensor([[[0, kind], [label, 0]]])
    for call in (pro, auroc):
        with pytest.raises(ValueError, match=r"^(masks|anomalous) held .* neither normal nor anomalous"):
            call(maps, labels)


# --- bad input --------------------------------------------------------------------------------------------------

maps, masks = torch.zeros(1, 2, 2), torch.eye(2, dtype=torch.bool)[None]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: auroc(maps, masks[0]), "score had shape (1, 2, 2) and anomalous (2, 2); they must match"),
        (lambda: auroc(maps, masks & False), "anomalous held only one kind; AUROC needs normal and anomalous ones"),
        (lambda: auroc(maps, masks | True), "anomalous held only one kind; AUROC needs normal and anomalous ones"),
        (lambda: auroc(maps / 0, masks), "score held NaN, infinite or complex values; all scores must"),
        (lambda: auroc(maps * 1j, masks), "score held NaN, infinite or complex values; all scores must be finite"),
        (lambda: auroc(None, masks), "score was of type NoneType; it must be a tensor of numbers"),
        (lambda: auroc(maps, "good"), "anomalous was of type str; it must be a tensor of bool"),
        (lambda: pro(maps, None), "masks was of type NoneType; it must be a tensor of bool"),
        (lambda: pro(maps, masks[:, :1]), "maps had shape (1, 2, 2) and masks (1, 1, 2); they must match"),
        (lambda: pro(maps, masks & False), "masks held only one kind of pixel; PRO needs normal and anomalous ones"),
        (lambda: pro(maps, masks | True), "masks held only one kind of pixel; PRO needs normal and anomalous ones"),
        (lambda: pro(maps[0], masks[0]), "maps was a tensor of shape (2, 2) and dtype float32; it must be a floating-"),
        (lambda: pro(maps / 0, masks), "maps holds NaN or infinite values; all its values must be finite"),
        (lambda: pro(maps, masks, 0), "limit was 0; it must be a number in (0, 1]"),
        (lambda: pro(maps, masks, 1.5), "limit was 1.5; it must be a number in (0, 1]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("score, anomalous", [(torch.float8_e4m3fn, torch.bool), (torch.float32, torch.float8_e5m2)])
def test_floats_of_8_bits_are_refused(score, anomalous):
    with pytest.raises(ValueError, match=r"^(score|anomalous) was of dtype torch.float8_.*convert it"):
        auroc(torch.tensor([0.5, 1.0]).to(score), torch.tensor([0, 1]).to(anomalous))
