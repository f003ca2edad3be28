"""§3.3: the anomaly map."""

from importlib import import_module
from math import exp

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchcore_edu import anomaly_map, definitions

module = import_module("patchcore_edu.anomaly_map")


def random_distances(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_upsampling_by_hand():
    distance = torch.tensor([[[0.0, 8.0], [16.0, 24.0]]])
    assert anomaly_map(distance, (2, 4), sigma=0).tolist() == [[[0, 2, 6, 8], [16, 18, 22, 24]]]
    assert anomaly_map(distance, (2, 4), 0, "nearest").tolist() == [[[0, 0, 8, 8], [16, 16, 24, 24]]]


@given(*[st.integers(1, 5)] * 2, *[st.integers(1, 12)] * 2)
def test_bilinear_upsampling_equals_the_definition(height, width, up, across):
    distance = random_distances(2, height, width)
    upsampled = anomaly_map(distance, (up, across), sigma=0)
    expected = [definitions.rescale(channel, (up, across)) for channel in distance.tolist()]
    torch.testing.assert_close(upsampled, torch.tensor(expected))


@pytest.mark.parametrize("sigma", [1e-300, 1e-9, 0.12])
def test_a_gaussian_that_ends_within_its_pixel_changes_nothing(sigma):
    """Its square underflowed to zero, and was then divided by."""
    distance = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert anomaly_map(distance, 8, sigma).equal(anomaly_map(distance, 8, 0))


@pytest.mark.parametrize("sigma", [0.5, 1, 4])
def test_smoothing_spreads_a_point_as_a_gaussian_that_ends_at_four_sigma(sigma):
    reach = int(4 * sigma + 0.5)
    side = 2 * reach + 3
    point = torch.zeros(1, side, side)
    point[0, reach + 1, reach + 1] = 1
    smooth = anomaly_map(point, side, sigma)[0]
    weights = torch.tensor([exp(-(x**2) / (2 * sigma**2)) for x in range(-reach, reach + 1)])
    weights = torch.cat([torch.zeros(1), weights / weights.sum(), torch.zeros(1)])
    torch.testing.assert_close(smooth, torch.outer(weights, weights), rtol=1e-4, atol=1e-7)


def test_each_image_is_smoothed_alone():
    distance = random_distances(3, 4, 4)
    alone = [anomaly_map(one[None], 20) for one in distance]
    torch.testing.assert_close(anomaly_map(distance, 20), torch.cat(alone))


@pytest.mark.parametrize("edge", module.EDGES)
@pytest.mark.parametrize("upsampling", module.UPSAMPLINGS)
def test_a_constant_map_stays_constant_unless_there_are_zeros_around_it(edge, upsampling):
    smooth = anomaly_map(torch.full((1, 3, 5), 2.0), (30, 50), upsampling=upsampling, edge=edge)
    if edge == "constant":
        assert smooth[0, 0, 0] == pytest.approx(2 / 4, abs=0.15) and smooth[0, 15, 25] == pytest.approx(2, abs=0.01)
    else:
        torch.testing.assert_close(smooth, torch.full((1, 30, 50), 2.0))


@pytest.mark.parametrize(
    "edge, beyond", [("reflect", [1, 0]), ("mirror", [2, 1]), ("nearest", [0, 0]), ("constant", None)]
)
def test_what_edge_puts_past_the_border(edge, beyond):
    """It equals smoothing a longer map whose first two values are what `edge` puts before the border."""
    row = random_distances(1, 1, 9)
    before = row[..., beyond] if beyond else torch.zeros(1, 1, 2)
    longer = torch.cat([before, row], dim=2)
    smooth = anomaly_map(row, (1, 9), sigma=0.5, edge=edge)  # the kernel reaches two pixels
    expected = anomaly_map(longer, (1, 11), sigma=0.5, edge=edge)
    # `edge` also decides what lies above and below the single row, so both maps use it.
    torch.testing.assert_close(smooth[..., :6], expected[..., 2:8])


@pytest.mark.parametrize(
    "size, shape", [(17, (17, 17)), ((8, 30), (8, 30)), ([3, 2], (3, 2)), (torch.Size([5, 6]), (5, 6))]
)
def test_sizes(size, shape):
    assert anomaly_map(random_distances(2, 4, 7), size).shape == (2, *shape)


def test_smoothing_lowers_the_peak_and_keeps_the_mean():
    distance = random_distances(1, 6, 9)
    sharp, smooth = anomaly_map(distance, (48, 72), sigma=0), anomaly_map(distance, (48, 72))
    assert smooth.max() < sharp.max() <= distance.max()
    assert smooth.mean() == pytest.approx(sharp.mean().item(), rel=1e-4)


distance = torch.ones(1, 2, 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"distance": distance[0]}, "distance was a tensor of shape (2, 2) and dtype float32; it must be a floating-"),
        ({"distance": distance / 0}, "distance holds NaN or infinite values; all its values must be finite"),
        ({"size": 0}, "size was 0; it must be a whole number from 1 to 8192"),
        ({"size": 8.0}, "size was 8.0; it must be a whole number from 1 to 8192"),
        ({"size": (8, -1)}, "size was -1; it must be a whole number from 1 to 8192"),
        ({"size": (3, 8, 8)}, "size was (3, 8, 8); it must be (H, W), or one number for a square"),
        ({"sigma": -1}, "sigma was -1; it must be a number in [0, 1000]"),
        ({"sigma": float("inf")}, "sigma was inf; it must be a number in [0, 1000]"),
        ({"upsampling": "cubic"}, "upsampling was 'cubic'; it must be one of 'bilinear', 'nearest'"),
        ({"edge": "wrap"}, "edge was 'wrap'; it must be one of 'reflect', 'mirror', 'constant', 'nearest'"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError) as error:
        anomaly_map(**{"distance": distance, "size": 8} | arguments)
    assert str(error.value).startswith(message)
