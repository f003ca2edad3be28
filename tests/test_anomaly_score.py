"""Eqs. (6) and (7): the anomaly score."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patchcore_edu import definitions, image_score, max_patch_score, patch_neighbours, reweighting_factor


def random_vectors(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def patches_and_banks(draw):
    """The patches (n, h', w', d) of some test images, and a bank (N, d)."""
    n, height, width, size, d = (draw(st.integers(1, most)) for most in (3, 3, 3, 12, 3))
    seed, scale = draw(st.integers(0, 99)), draw(st.sampled_from([0.1, 1, 30]))
    bank = random_vectors(size, d, seed=seed) * scale
    return random_vectors(n, height, width, d, seed=seed + 100) * scale, bank


# --- eq. (6) ----------------------------------------------------------------------------------------------------


def test_eq_6_by_hand():
    patches = torch.tensor([[[[0.0, 1.0], [4.0, -2.0]]], [[[0.0, 0.0], [1.0, 0.0]]]])
    bank = torch.tensor([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0], [4.0, 3.0]])
    distance, nearest = patch_neighbours(patches, bank)
    assert distance.tolist() == [[[1, 2]], [[0, 0]]] and nearest.tolist() == [[[0, 2]], [[0, 1]]]
    s_star, patch = max_patch_score(distance)
    assert s_star.tolist() == [2, 0] and patch[0] == 1


@given(patches_and_banks())
def test_eq_6_equals_the_definition(given):
    patches, bank = given
    distance, nearest = patch_neighbours(patches, bank)
    s_star, patch = max_patch_score(distance)
    for i, P_test in enumerate(patches.flatten(1, 2)):
        m_test, m_star, s = definitions.max_patch_score(P_test.tolist(), bank.tolist())
        assert s_star[i].item() == pytest.approx(s)
        assert P_test[patch[i]].tolist() == m_test
        assert bank[nearest[i].flatten()[patch[i]]].tolist() == m_star


@given(patches_and_banks(), st.integers(1, 9))
def test_entries_of_the_bank_score_0(given, b):
    patches, _ = given
    distance, _ = patch_neighbours(patches, patches.flatten(0, 2))
    assert not distance.any()
    assert not image_score(patches, patches.flatten(0, 2), b).any()


def test_the_patch_is_counted_row_by_row():
    distance = torch.zeros(2, 3, 4)
    distance[0, 2, 1] = distance[1, 0, 3] = 7
    s_star, patch = max_patch_score(distance)
    assert s_star.tolist() == [7, 7] and patch.tolist() == [2 * 4 + 1, 3]


# --- eq. (7) ----------------------------------------------------------------------------------------------------


def test_eq_7_by_hand():
    """N_2(m*) = {3, 1}, at distances ln 2 and 2 + ln 2 from the test patch."""
    bank, patch = torch.tensor([[3.0], [1.0], [-9.0]]), torch.tensor([[3 + log(2)]])
    w = 1 - 2 / (2 + 2 * exp(2))
    assert reweighting_factor(patch, torch.tensor([0]), bank, b=2).item() == pytest.approx(w, rel=1e-6)
    assert image_score(patch[None, None], bank, b=2).item() == pytest.approx(w * log(2), rel=1e-6)


def test_the_neighbours_are_those_of_m_star_not_of_the_test_patch():
    """The test patch, at 5, lies between m* = 3 and 8; but 1 is nearer to m* than 8 is."""
    bank, patch = torch.tensor([[3.0], [1.0], [8.0]]), torch.tensor([[5.0]])
    w = reweighting_factor(patch, torch.tensor([0]), bank, b=2)
    assert w.item() == pytest.approx(1 - exp(2) / (exp(2) + exp(4)))


@given(patches_and_banks(), st.integers(1, 15))
def test_eq_7_equals_the_definition(given, b):
    patches, bank = given
    b = min(b, len(bank))
    expected = [definitions.image_score(P_test, bank.tolist(), b) for P_test in patches.flatten(1, 2).tolist()]
    assert image_score(patches, bank, b).tolist() == pytest.approx(expected, rel=1e-9)


@given(patches_and_banks(), st.integers(2, 15))
def test_eq_7_lowers_the_score_by_at_most_one_in_b(given, b):
    patches, bank = given
    distance, nearest = patch_neighbours(patches, bank)
    w = reweighting_factor(patches[:, 0, 0], nearest[:, 0, 0], bank, b)
    b = min(b, len(bank))
    if b == 1:
        assert w.tolist() == [1] * len(w)
    else:
        assert (w >= 1 - 1 / b - 1e-12).all()
        assert (w < 1).all() or distance.max() > 10  # 1 − e⁻⁴⁰ is 1 in floating point
        assert (w <= 1).all()


def test_an_isolated_match_is_discounted_less():
    crowd, apart = torch.zeros(9, 1), torch.tensor([[90.0]])
    w = reweighting_factor(torch.tensor([[1.0], [91.0]]), torch.tensor([0, 9]), torch.cat([crowd, apart]), b=9)
    assert w.tolist() == pytest.approx([1 - 1 / 9, 1])


def test_distances_of_ten_thousand_do_not_overflow():
    bank = torch.tensor([[0.0], [0.0], [1.0]])
    score = image_score(torch.tensor([[[[-1e4]]], [[[1e4 + 1]]]]), bank, b=2)
    # m* = 0, one of two; then m* = 1, whose neighbour 0 is 1 farther away.
    assert score.tolist() == pytest.approx([1e4 / 2, 1e4 * (1 - 1 / (1 + exp(1)))])


@given(patches_and_banks())
def test_b_1_leaves_the_score_alone(given):
    patches, bank = given
    s_star, _ = max_patch_score(patch_neighbours(patches, bank)[0])
    assert torch.equal(image_score(patches, bank, b=1), s_star)


@given(patches_and_banks())
def test_b_larger_than_the_bank_takes_all_of_it(given):
    patches, bank = given
    assert torch.equal(image_score(patches, bank, b=99), image_score(patches, bank, b=len(bank)))


def test_known_neighbours_are_used():
    patches, bank = random_vectors(2, 3, 3, 4), random_vectors(20, 4, seed=1)
    neighbours = patch_neighbours(patches, bank)
    assert torch.equal(image_score(patches, bank, 5, neighbours), image_score(patches, bank, 5))
    doubled = neighbours[0] * 2, neighbours[1]
    assert torch.equal(image_score(patches, bank, 5, doubled), 2 * image_score(patches, bank, 5))


# --- bad input --------------------------------------------------------------------------------------------------

patches, bank = torch.ones(2, 1, 1, 3), torch.ones(4, 3)
rows = torch.tensor([0, 1])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: image_score(patches, bank, b=0), "b was 0; it must be a whole number of at least 1"),
        (lambda: image_score(patches, bank, b=2.0), "b was 2.0; it must be a whole number of at least 1"),
        (lambda: image_score(patches[0], bank), "patches was a tensor of shape (1, 1, 3) and dtype float32; it must"),
        (lambda: image_score(patches, bank[:, :2]), "patches had 3 dimensions; they must have the vectors' 2"),
        (lambda: image_score(patches / 0, bank), "patches holds NaN or infinite values; all its values must be"),
        (lambda: patch_neighbours(patches, bank[0]), "vectors was a tensor of shape (3,) and dtype float32; it must"),
        (lambda: patch_neighbours(patches[0, 0], bank), "patches was a tensor of shape (1, 3) and dtype float32; it"),
        (lambda: max_patch_score(bank), "distance was a tensor of shape (4, 3) and dtype float32; it must be a"),
        (lambda: max_patch_score(patches[0] / 0), "distance holds NaN or infinite values; all its values must be"),
        (
            lambda: reweighting_factor(bank[:2, :1], rows, bank),
            "patches had 1 dimensions; they must have the vectors' 3",
        ),
        (
            lambda: reweighting_factor(bank[:2], rows - 1, bank),
            "nearest held numbers from -1 to 0; they must be from 0 to 3",
        ),
        (lambda: reweighting_factor(bank[:2], rows + 3, bank), "nearest held numbers from 3 to 4; they must be from"),
        (
            lambda: reweighting_factor(bank, rows[:1], bank),
            "nearest was a tensor of shape (1,) and dtype int64; it must be whole numbers of shape (4,)",
        ),
        (lambda: reweighting_factor(bank[:2], rows.float(), bank), "nearest was a tensor of shape (2,) and dtype fl"),
        (lambda: reweighting_factor(bank[:2], [0, 1.5], bank), "nearest was a tensor of shape (2,) and dtype float32"),
        (lambda: reweighting_factor(bank[:2], rows.to_sparse(), bank), "nearest"),
        (lambda: reweighting_factor(bank[:2], rows.to("meta"), bank), "nearest"),
        (
            lambda: image_score(torch.ones(1, 2, 3, 3), bank, 9, (torch.ones(1, 3, 2), torch.zeros(1, 3, 2).long())),
            "neighbours had distances of shape (1, 3, 2); it must be (1, 2, 3), one for each patch",
        ),
        (
            lambda: image_score(torch.ones(1, 2, 3, 3), bank, 9, (torch.ones(1, 2, 3), torch.zeros(1, 3, 2).long())),
            "neighbours was a tensor of shape (1, 3, 2) and dtype int64; it must be whole numbers of shape (1, 2, 3)",
        ),
        (lambda: reweighting_factor(bank[:2], rows, bank, b=-1), "b was -1; it must be a whole number of at least 1"),
        (lambda: reweighting_factor(bank[0], rows, bank), "patches was a tensor of shape (3,) and dtype float32; it"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("seed", range(60))
def test_ties_are_broken_as_in_the_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    n, b = (int(torch.randint(low, 12, (1,), generator=generator)) for low in (4, 1))
    vectors = torch.randint(0, 4, (n, 2), generator=generator).double()
    patches = torch.randint(0, 6, (1, 1, 5, 2), generator=generator).double()
    expected = definitions.image_score(patches[0, 0].tolist(), vectors.tolist(), min(b, n))
    assert float(image_score(patches, vectors, b)) == pytest.approx(expected)
