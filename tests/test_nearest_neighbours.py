"""The inner argmin of eq. (6): the nearest-neighbour search."""

from importlib import import_module

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from patchcore_edu import definitions
from patchcore_edu.nearest_neighbours import centre, nearest_neighbours

# The module; as an attribute of the package, the name is the function.
search = import_module("patchcore_edu.nearest_neighbours")


def random_vectors(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_brute_force(queries, vectors):
    """All distances in double precision, computed from the differences."""
    return torch.cdist(queries.double(), vectors.double(), compute_mode="donot_use_mm_for_euclid_dist")


def assert_nearest(queries, vectors, k, rtol=1e-5):
    """Check for the k smallest distances in rising order, with the rows they belong to, no row twice."""
    distance, index = nearest_neighbours(queries, vectors, k)
    everything = by_brute_force(queries, vectors)
    expected = everything.sort(dim=1).values[:, :k]
    torch.testing.assert_close(distance.double(), expected, rtol=rtol, atol=0)
    torch.testing.assert_close(everything.gather(1, index), expected, rtol=rtol, atol=0)
    assert all(len(set(rows)) == k for rows in index.tolist())


def test_by_hand():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    distance, index = nearest_neighbours(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), vectors, k=3)
    torch.testing.assert_close(distance, torch.tensor([[0, 1, 5], [3, 10**0.5, 4]]))
    assert index.tolist() == [[0, 2, 1], [0, 2, 1]]


whole_numbers = st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 3)).flatmap(
    lambda n: st.tuples(
        arrays("float32", (n[0], n[2]), elements=st.integers(-9, 9)),
        arrays("float32", (n[1], n[2]), elements=st.integers(-9, 9)),
    )
)


@given(whole_numbers, st.sampled_from([1, 2, 5]), st.sampled_from([1, 2, 5]))
def test_every_k_by_brute_force_in_small_blocks(numbers, tile, step):
    queries, vectors = map(torch.from_numpy, numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "TILE", tile)
        patch.setattr(search, "STEP", step)
        for k in range(1, len(vectors) + 1):
            assert_nearest(queries, vectors, k)


@given(whole_numbers)
def test_equals_the_definition(numbers):
    queries, vectors = map(torch.from_numpy, numbers)
    _, index = nearest_neighbours(queries, vectors)
    for query, row in zip(queries.tolist(), index[:, 0], strict=True):
        assert vectors[row].tolist() == definitions.nearest_entry(query, vectors.tolist())


@pytest.mark.parametrize("k", [1, 9])
def test_many_blocks(k):
    """Several tiles of vectors, each in a different region of space, and several steps of queries."""
    vectors = random_vectors(3 * search.TILE + 7, 6) + torch.linspace(0, 9, 3 * search.TILE + 7)[:, None]
    assert_nearest(random_vectors(2 * search.STEP + 3, 6, seed=1) * 3, vectors, k)


def test_more_neighbours_than_a_block_has():
    vectors = random_vectors(search.TILE + 100, 2)
    assert_nearest(vectors[:2] + 0.01, vectors, k=search.TILE + 50)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_entries_are_at_distance_0_from_themselves(dtype):
    vectors = random_vectors(5000, 152).to(dtype) * 10 + 5
    distance, index = nearest_neighbours(vectors[::5], vectors)
    assert not distance.any()
    assert index[:, 0].tolist() == list(range(0, 5000, 5))


@pytest.mark.parametrize("k", [1, 2, 9])
def test_entries_are_told_apart_from_their_near_copies(k):
    """The copies are too close for ‖v‖² − 2 q·v to resolve in single precision. Three vectors have ten copies each."""
    vectors = random_vectors(1000, 152) * 10 + 5
    copies = vectors[:200] + random_vectors(200, 152, seed=1) * 1e-4
    more = vectors[:3].repeat(10, 1) + random_vectors(30, 152, seed=2) * 1e-4
    vectors = torch.cat([copies, vectors, more])
    assert not nearest_neighbours(vectors, vectors)[0].any()
    assert_nearest(vectors, vectors, k)


def test_neighbours_closer_than_rounding_are_still_in_order():
    """Distances of 10⁻⁵ of the vectors' length are too small for ‖v‖² − 2 q·v to resolve in single precision."""
    vectors = random_vectors(50, 152) * 1e-3 + random_vectors(1, 152, seed=1) * 100
    vectors[::10] += 100  # so that subtracting the centre does not help
    distance, index = nearest_neighbours(vectors, vectors, k=50)
    torch.testing.assert_close(distance.double(), by_brute_force(vectors, vectors).gather(1, index), rtol=1e-5, atol=0)
    assert (distance.diff(dim=1) >= 0).all()


def test_an_offset_far_larger_than_the_distances_does_no_harm():
    vectors, queries = random_vectors(6000, 8) + 1e4, random_vectors(100, 8, seed=1) + 1e4
    assert_nearest(queries, vectors, k=3)


def test_distances_of_ten_thousand():
    vectors, queries = random_vectors(500, 8), random_vectors(20, 8, seed=1) * 1e4
    assert_nearest(queries, vectors, k=3)


@given(whole_numbers)
def test_the_centre_keeps_whole_numbers_whole(numbers):
    shift = centre(torch.from_numpy(numbers[1]))
    assert torch.equal(shift, shift.round())


@pytest.mark.parametrize("k", [1, 3])
def test_threads_share_the_queries(k):
    queries, vectors = random_vectors(2 * search.STEP + 5, 6), random_vectors(70, 6, seed=1)
    alone, threads = nearest_neighbours(queries, vectors, k), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = nearest_neighbours(queries, vectors, k)
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, alone, together))


# --- scales, offsets, dtypes ------------------------------------------------------------------------------------


def assert_nearest_at_any_scale(queries, vectors, k, rtol=1e-4):
    unit = torch.cat([queries, vectors]).double().abs().amax()
    distance, index = nearest_neighbours(queries, vectors, k)
    everything = by_brute_force(queries.double() / unit, vectors.double() / unit)
    expected = everything.sort(dim=1).values[:, :k]
    torch.testing.assert_close(distance.double() / unit, expected, rtol=rtol, atol=0)
    torch.testing.assert_close(everything.gather(1, index), expected, rtol=rtol, atol=0)


@given(
    st.integers(-20, 20),
    st.sampled_from([0.0, 1.0, 1e3, 1e8]),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([1, 3, 9]),
    st.integers(0, 99),
)
def test_every_scale_and_offset(exponent, offset, dtype, k, seed):
    """Two clusters, one of them far away. A quarter of the rows are duplicates."""
    near = random_vectors(60, 5, seed).double()
    vectors = torch.cat([near, near + offset, near[:40]]) * 10.0**exponent
    queries = torch.cat([vectors[::9], vectors[:50] + random_vectors(50, 5, seed + 1) * 0.1 * 10.0**exponent])
    assert_nearest_at_any_scale(queries.to(dtype), vectors.to(dtype), k)


@pytest.mark.parametrize("k", [1, 9])
def test_double_precision_between_clusters_at_0_and_a_hundred_million(k):
    vectors = torch.cat([random_vectors(500, 8).double(), random_vectors(500, 8, seed=1).double() + 1e8])
    assert_nearest(vectors[::30] + 0.1, vectors, k)


@pytest.mark.parametrize("scale", [1e19, 1e-23, 1e-38, 1e37])
def test_squares_that_overflow_or_vanish(scale):
    assert_nearest_at_any_scale(random_vectors(200, 6) * scale, random_vectors(900, 6, seed=1) * scale, 3)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e300])
def test_squares_that_overflow_or_vanish_in_double_precision(scale):
    assert_nearest_at_any_scale(
        random_vectors(20, 6).double() * scale, random_vectors(90, 6, seed=1).double() * scale, 3
    )


def test_the_small_and_the_huge_in_one_bank():
    vectors = torch.cat([random_vectors(50, 4) * 1e-20, random_vectors(50, 4, seed=1) * 1e20])
    distance, _ = nearest_neighbours(vectors[:9] + vectors[9:18], vectors)
    torch.testing.assert_close(
        distance, by_brute_force(vectors[:9] + vectors[9:18], vectors[:50]).amin(1)[:, None].float()
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_in_single(dtype):
    queries, vectors = (random_vectors(50, 152, seed).mul(40).to(dtype) for seed in (0, 1))
    assert nearest_neighbours(queries, vectors)[0].dtype == torch.float32
    assert_nearest(queries.float(), vectors.float(), 3)
    assert all(
        map(torch.equal, nearest_neighbours(queries, vectors), nearest_neighbours(queries.float(), vectors.float()))
    )


def test_distances_beyond_the_dtype_are_refused():
    far = torch.full((1, 2), 3e38)
    with pytest.raises(ValueError, match="queries and vectors are farther apart than"):
        nearest_neighbours(far, -far)
    assert nearest_neighbours(far, torch.cat([-far, far]))[1].item() == 1


def test_memory_does_not_grow_with_the_number_of_distances(at_most):
    vectors, queries = random_vectors(30_000, 16), random_vectors(5_000, 16, seed=1)
    with at_most(50):  # all distances at once would take 572 MiB
        nearest_neighbours(queries, vectors)


three = torch.ones(4, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((three, three, 0), "k was 0; it must be a whole number from 1 to 4"),
        ((three, three, 5), "k was 5; it must be a whole number from 1 to 4"),
        ((three, three, 1.0), "k was 1.0; it must be a whole number from 1 to 4"),
        ((three[:, :2], three), "queries had 2 dimensions; they must have the vectors' 3"),
        ((three.double(), three), "queries had dtype torch.float64; they must have the vectors' torch.float32"),
        ((three[0], three), "queries was a tensor of shape (3,) and dtype float32; it must be a floating-point"),
        ((three, three[:0]), "vectors was a tensor of shape (0, 3) and dtype float32; it must be a floating-point"),
        ((three, three / 0), "vectors holds NaN or infinite values; all its values must be finite"),
        ((three / 0, three), "queries holds NaN or infinite values; all its values must be finite"),
        ((three.tolist(), three), "queries was of type list; it must be a floating-point tensor of shape (q, d)"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError) as error:
        nearest_neighbours(*arguments)
    assert str(error.value).startswith(message)
