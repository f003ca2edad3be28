"""Eq. (2): f_agg."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from patchcore_edu import aggregate, definitions

sizes = st.integers(1, 6)
maps = st.tuples(st.integers(1, 2), st.integers(1, 3), sizes, sizes).flatmap(
    lambda shape: arrays("float64", shape, elements=st.integers(-9, 9))
)
maps_and_p = maps.flatmap(lambda x: st.tuples(st.just(torch.from_numpy(x)), st.integers(1, min(x.shape[2:]))))


def at_every_location(f, phi_j):
    """Call f(one image's map as nested lists, h, w) at every (h, w); stack the vectors as (n, d, h*, w*)."""
    height, width = phi_j.shape[2:]
    vectors = [[[f(image, h, w) for w in range(width)] for h in range(height)] for image in phi_j.tolist()]
    return torch.tensor(vectors, dtype=phi_j.dtype).permute(0, 3, 1, 2)


def test_by_hand():
    phi_j = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    clipped = aggregate(phi_j, p=3, border="clip")[0, 0]
    assert clipped.tolist() == [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]
    zeros = aggregate(phi_j, p=3)[0, 0]
    torch.testing.assert_close(zeros * 9, torch.tensor([[12.0, 21, 16], [27, 45, 33], [24, 39, 28]]))
    assert aggregate(phi_j, p=3, border="valid").tolist() == [[[[5]]]]
    # The window is 0 0 0 | 0 1 2 | 0 4 5; each number is the mean of one third of it.
    flattened = aggregate(phi_j, p=3, pooling="flattened", dim=3)[0, :, 0, 0]
    assert flattened.tolist() == [0, 1, 3]


@given(maps_and_p)
def test_equals_the_definition(maps_and_p):
    phi_j, p = maps_and_p
    expected = at_every_location(lambda image, h, w: definitions.aggregate(image, h, w, p), phi_j)
    torch.testing.assert_close(aggregate(phi_j, p), expected)


@given(maps_and_p)
def test_clip_averages_only_the_cells_that_exist(maps_and_p):
    phi_j, p = maps_and_p

    def mean(image, h, w):
        cells = definitions.neighbourhood(h, w, p, shape=phi_j.shape[2:])
        return [sum(channel[a][b] for a, b in cells) / len(cells) for channel in image]

    torch.testing.assert_close(aggregate(phi_j, p, border="clip"), at_every_location(mean, phi_j))


@given(maps_and_p)
def test_valid_keeps_only_whole_neighbourhoods(maps_and_p):
    phi_j, p = maps_and_p
    r, (height, width) = p // 2, phi_j.shape[2:]
    if 2 * r < min(height, width):
        inside = aggregate(phi_j, p)[:, :, r : height - r, r : width - r]
        torch.testing.assert_close(aggregate(phi_j, p, border="valid"), inside)


@given(maps_and_p, st.integers(1, 30))
def test_flattened_equals_its_description(maps_and_p, dim):
    """List the zero-padded window channel by channel and cut it into `dim` parts; number i is the mean of part i."""
    phi_j, p = maps_and_p
    padding = (p - 1) // 2
    height, width = phi_j.shape[2:]

    def flattened(image, h, w):
        window = [
            channel[a][b] if 0 <= a < height and 0 <= b < width else 0.0
            for channel in image
            for a in range(h - padding, h - padding + p)
            for b in range(w - padding, w - padding + p)
        ]
        n = len(window)
        parts = [window[i * n // dim : -(-(i + 1) * n // dim)] for i in range(dim)]
        return [sum(part) / len(part) for part in parts]

    expected = at_every_location(flattened, phi_j)
    if p % 2 == 0:  # the last row and column have no whole window
        expected = expected[:, :, :-1, :-1]
    torch.testing.assert_close(aggregate(phi_j, p, pooling="flattened", dim=dim), expected)


@given(maps_and_p)
def test_channels_are_not_mixed(maps_and_p):
    phi_j, p = maps_and_p
    for border in ("clip", "zero"):
        alone = [aggregate(channel[:, None], p, border) for channel in phi_j.unbind(1)]
        torch.testing.assert_close(aggregate(phi_j, p, border), torch.cat(alone, dim=1))


@pytest.mark.parametrize("p", [1, 2, 3, 5, 6, 7])
def test_a_constant_map_stays_constant_where_the_border_is_clipped(p):
    phi_j = torch.full((1, 2, 7, 9), 3.0)
    torch.testing.assert_close(aggregate(phi_j, p, border="clip"), phi_j)
    assert p == 1 or aggregate(phi_j, p)[0, 0, 0, 0] < 3


phi_2 = torch.ones(1, 2, 4, 6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"p": 0}, "p was 0; it must be a whole number from 1 to 4"),
        ({"p": 5}, "p was 5; it must be a whole number from 1 to 4"),
        ({"p": 3.0}, "p was 3.0; it must be a whole number from 1 to 4"),
        ({"border": "wrap"}, "border was 'wrap'; it must be one of 'zero', 'clip', 'valid'"),
        ({"pooling": "max"}, "pooling was 'max'; it must be one of 'spatial', 'flattened'"),
        ({"pooling": "flattened", "dim": 0}, "dim was 0; it must be a whole number from 1 to 1048576"),
        (
            {"p": 4, "border": "valid"},
            "p was 4; with border='valid' the 5 × 5 cells of N_p must fit into the map, which has 4 × 6",
        ),
        ({"phi_j": phi_2[0]}, "phi_j was a tensor of shape (2, 4, 6) and dtype float32; it must be a"),
        ({"phi_j": phi_2 / 0}, "phi_j holds NaN or infinite values; all its values must be finite"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError) as error:
        aggregate(**{"phi_j": phi_2, "p": 3} | arguments)
    assert str(error.value).startswith(message)
