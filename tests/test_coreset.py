"""Eq. (5) and Algorithm 1: the greedy coreset, its covering radius, and ψ."""

from fractions import Fraction
from importlib import import_module
from math import comb, dist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from patchcore_edu import coreset_race, covering_radius, definitions, greedy_coreset, random_projection

coreset = import_module("patchcore_edu.coreset")


def random_vectors(n, d, seed=0, dtype=torch.float32):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small_numbers(n, d):
    """n vectors of small whole numbers, so that many are equal and many distances tie."""
    return arrays("float32", (n, d), elements=st.integers(-2, 2))


banks = st.tuples(st.integers(1, 14), st.integers(1, 3)).flatmap(lambda shape: small_numbers(*shape))
seeds, few = st.integers(0, 99), st.sampled_from([1, 2, 5, 1024])


# --- Algorithm 1 ------------------------------------------------------------------------------------------------


def test_by_hand():
    """10 is farthest from 0. Next is 4, at 4 from its nearest pick. 1 and 9 tie at 1: the lower row, 9, goes first."""
    line = torch.tensor([[0.0], [9.0], [4.0], [1.0], [10.0]])
    chosen = next(c for c in (greedy_coreset(line, size=5, seed=seed) for seed in range(99)) if c[0] == 0)
    assert chosen.tolist() == [0, 4, 2, 1, 3]
    assert [covering_radius(line, chosen[:size]) for size in (1, 2, 3, 4, 5)] == [10, 4, 1, 1, 0]


@given(banks, seeds, few, st.sampled_from([1, 5, 1024]))
def test_equals_the_definition_even_in_ties(bank, seed, candidates, block):
    M = torch.from_numpy(bank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreset_race, "CANDIDATES", candidates)
        patch.setattr(coreset_race, "BLOCK", block)
        chosen = greedy_coreset(M, size=len(M), seed=seed).tolist()
    assert chosen == definitions.greedy_coreset(M.tolist(), len(M), start=chosen[0])


@pytest.mark.parametrize("candidates", [1, 2, 5, 64, 1024])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_definition_on_real_numbers(monkeypatch, candidates, dtype):
    monkeypatch.setattr(coreset_race, "CANDIDATES", candidates)
    M = random_vectors(70, 5, dtype=dtype) * 3 + 7
    M[50:60] = M[:10]  # duplicates
    chosen = greedy_coreset(M, size=50, seed=candidates).tolist()
    assert chosen == definitions.greedy_coreset(M.tolist(), 50, start=chosen[0])


def test_any_number_of_candidates_gives_the_same_rows(monkeypatch):
    M = random_vectors(2000, 8, dtype=torch.float64)
    chosen = greedy_coreset(M, ratio=0.2)
    for candidates in (7, 300, 2000):
        monkeypatch.setattr(coreset_race, "CANDIDATES", candidates)
        assert torch.equal(greedy_coreset(M, ratio=0.2), chosen)


@given(banks, seeds, st.data())
def test_the_radius_is_at_most_twice_the_optimum(bank, seed, data):
    M = torch.from_numpy(bank)
    size = data.draw(st.integers(1, len(M)).filter(lambda size: comb(len(M), size) < 500))
    optimum = definitions.covering_radius(M.tolist(), definitions.optimal_coreset(M.tolist(), size))
    assert covering_radius(M, greedy_coreset(M, size=size, seed=seed)) <= 2 * optimum + 1e-6


@given(banks, seeds, st.sampled_from(coreset.STARTS), few)
def test_each_row_once(bank, seed, start, candidates):
    M = torch.from_numpy(bank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreset_race, "CANDIDATES", candidates)
        chosen = greedy_coreset(M, size=len(M), seed=seed, start=start)
    assert chosen.sort().values.tolist() == list(range(len(M)))
    assert chosen.dtype == torch.int64


@pytest.mark.parametrize("ratio, size", [(1, 50), (0.5, 25), (0.1, 5), (0.099, 4), (0.01, 1), (1e-9, 1)])
def test_ratio_is_rounded_down_to_at_least_one_row(ratio, size):
    M = random_vectors(50, 3)
    assert len(greedy_coreset(M, ratio)) == size
    assert torch.equal(greedy_coreset(M, ratio), greedy_coreset(M, size=size))


def test_29_percent_of_a_hundred_rows_are_29():
    """0.29 · 100 is 28.999999999999996 in floating point."""
    M = random_vectors(100, 2)
    assert [len(greedy_coreset(M, percent / 100)) for percent in range(1, 101)] == list(range(1, 101))


def test_a_smaller_coreset_is_the_beginning_of_a_larger_one():
    M = random_vectors(2000, 8, dtype=torch.float64)
    large = greedy_coreset(M, size=1200, seed=3)
    for size in (1, 2, 700):
        assert torch.equal(greedy_coreset(M, size=size, seed=3), large[:size])


# --- equal to the literal algorithm in double precision ---------------------------------------------------------------


def literal(M, size, start):
    """Algorithm 1 from differences in double precision. `M` is scaled by a power of two, which is exact."""
    M = M.double() / 2.0 ** M.double().abs().amax().log2().floor().clamp(-1000, 1000)
    nearest, chosen = torch.full((len(M),), torch.inf, dtype=torch.float64), [start]
    while len(chosen) < size:
        squared = (M - M[chosen[-1]]).square().sum(1)
        nearest = torch.minimum(nearest, squared)
        nearest[chosen] = -1
        chosen.append(int((nearest == nearest.max()).nonzero()[0]))
    return chosen


def assert_each_is_the_farthest(M, chosen):
    """Each pick is the farthest row; of rows that differ only by rounding in double precision, any will do."""
    M = M.double() / 2.0 ** M.double().abs().amax().log2().floor().clamp(-1000, 1000)
    nearest = (M - M[chosen[0]]).square().sum(1)
    for k in range(1, len(chosen)):
        nearest[chosen[k - 1]] = -1
        assert nearest[chosen[k]] >= nearest.max() * (1 - 1e-14), k
        nearest = torch.minimum(nearest, (M - M[chosen[k]]).square().sum(1))
        nearest[chosen[:k]] = -1


def near_copies():
    base = random_vectors(40, 152) * 10
    return torch.cat([base.repeat(30, 1), base[:20] + 1e-3 * random_vectors(20, 152, seed=1) / 152**0.5])


HARD = {
    "near copies": (near_copies, 60),
    "a cluster at 10⁴": (lambda: torch.cat([random_vectors(1500, 16), random_vectors(500, 16, seed=1) + 1e4]), 100),
    "all at 10⁸": (lambda: random_vectors(1500, 16, dtype=torch.float64) + 1e8, 150),
    "all at 10⁸, single": (lambda: random_vectors(1500, 16) + 1e8, 150),
    "clusters at 0 and 10⁸": (
        lambda: torch.cat([random_vectors(300, 8).double(), random_vectors(300, 8, seed=1).double() + 1e8]),
        200,
    ),
    "10¹⁹": (lambda: random_vectors(2000, 16) * 1e19, 200),
    "10⁻²³": (lambda: random_vectors(2000, 16) * 1e-23, 200),
    "10²⁰⁰": (lambda: random_vectors(400, 4, dtype=torch.float64) * 1e200, 100),
    "10⁻²⁰ and 10²⁰": (lambda: torch.cat([random_vectors(300, 8) * 1e-20, random_vectors(300, 8, seed=1) * 1e20]), 400),
    "more ties than candidates": (lambda: (random_vectors(2500, 3) * 2).round(), 300),
    "zeros and ones": (lambda: (random_vectors(2500, 6) > 0).float(), 200),
    "half precision": (lambda: (random_vectors(1500, 16) * 100).half(), 200),
    "many picks": (lambda: random_vectors(1500, 16), 1400),
}


@pytest.mark.parametrize("vectors, size", HARD.values(), ids=HARD)
def test_the_picks_are_those_of_double_precision(vectors, size):
    M = vectors()
    chosen = greedy_coreset(M, size=size).tolist()
    assert chosen == literal(M, size, chosen[0])


@given(
    st.integers(-20, 20),
    st.sampled_from([0.0, 1.0, 1e3, 1e8]),
    st.sampled_from([torch.float32, torch.float64]),
    seeds,
    few,
)
def test_any_scale_offset_and_dtype(exponent, offset, dtype, seed, candidates):
    near, far = random_vectors(12, 3, seed, torch.float64), random_vectors(12, 3, seed + 1, torch.float64) + offset
    M = (torch.cat([near, far, (near * 2).round(), near[:5]]) * 2.0 ** round(3.32 * exponent)).to(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreset_race, "CANDIDATES", candidates)
        chosen = greedy_coreset(M, size=len(M), seed=seed).tolist()
    assert_each_is_the_farthest(M, chosen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(banks, seeds, few)
def test_exact_ties_go_to_the_lowest_row(dtype, bank, seed, candidates):
    M = torch.from_numpy(bank).to(dtype) / 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coreset_race, "CANDIDATES", candidates)
        chosen = greedy_coreset(M, size=len(M), seed=seed).tolist()
    assert chosen == literal(M, len(M), chosen[0])


@pytest.mark.parametrize("seed", range(40))
def test_among_ties_broken_by_rounding_each_pick_is_the_farthest_up_to_the_last_digit(seed):
    """Checked with exact fractions: after scaling by a random factor, whole numbers that tied differ by rounding."""
    rng = np.random.default_rng(seed)
    M = torch.from_numpy(rng.integers(-3, 4, (30, 6)) * 10 ** rng.uniform(-20, 20))
    exact = [[Fraction(x) for x in row] for row in M.tolist()]

    def squared(i, j):
        return sum((a - b) ** 2 for a, b in zip(exact[i], exact[j], strict=True))

    first, *picks = greedy_coreset(M, size=20, seed=seed).tolist()
    nearest = {i: squared(i, first) for i in range(30) if i != first}
    for pick in picks:
        assert nearest[pick] >= max(nearest.values()) * (1 - 4 * Fraction(torch.finfo(torch.float64).eps))
        del nearest[pick]
        nearest = {i: min(distance, squared(i, pick)) for i, distance in nearest.items()}


@pytest.mark.parametrize("n", [70, 200, 900, 2000])
def test_rows_that_differ_by_rounding_alone_are_all_picked(n):
    """Unit vectors around the first pick: all are equally far, and some `n` exceed the number of candidates."""
    M = random_vectors(n, 16, dtype=torch.float64)
    M = torch.cat([torch.zeros(1, 16, dtype=torch.float64), M / M.norm(dim=1, keepdim=True)])
    seed = next(s for s in range(10_000) if greedy_coreset(M, size=1, seed=s) == 0)
    chosen = greedy_coreset(M, size=n, seed=seed).tolist()
    assert len(set(chosen)) == n
    assert_each_is_the_farthest(M, chosen)


def test_threads_give_the_same_picks():
    M, threads = random_vectors(9000, 16), torch.get_num_threads()
    alone = greedy_coreset(M, size=300)
    torch.set_num_threads(3)
    try:
        assert torch.equal(greedy_coreset(M, size=300), alone)
    finally:
        torch.set_num_threads(threads)


def test_memory_does_not_grow_with_the_number_of_distances(at_most):
    M = random_vectors(30_000, 32)
    with at_most(60):  # all distances at once would take 3,433 MiB
        greedy_coreset(M, size=300)


# --- starts -----------------------------------------------------------------------------------------------------


def greedy_by_loops(M, size, nearest, chosen):
    """Algorithm 1, where `nearest` holds the distance that each row's minimum starts from."""
    nearest = list(nearest)
    chosen = list(chosen)
    while len(chosen) < size:
        rest = [i for i in range(len(M)) if i not in chosen]
        i = max(rest, key=lambda i: nearest[i])
        chosen.append(i)
        nearest = [min(nearest[n], dist(M[n], M[i])) for n in range(len(M))]
    return chosen


@pytest.mark.parametrize("start", coreset.STARTS)
@pytest.mark.parametrize("candidates", [1, 5, 1024])
@pytest.mark.parametrize("n", [1, 7, 25])
def test_starts_equal_their_description(monkeypatch, start, candidates, n):
    monkeypatch.setattr(coreset_race, "CANDIDATES", candidates)
    M = random_vectors(n, 4, seed=n, dtype=torch.float64)
    for seed in range(3):
        rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
        from_first = [dist(m, M[rows[0]]) for m in M.tolist()]
        middle = torch.tensor(M.tolist(), dtype=torch.float64).mean(0).tolist()
        outer = max(range(n), key=lambda i: dist(M[i], middle))
        to_ten = [sum(dist(m, M[i]) for i in rows[:10]) / min(n, 10) for m in M.tolist()]
        expected = {
            "random": greedy_by_loops(M.tolist(), n, from_first, rows[:1]),
            "random, dropped": greedy_by_loops(M.tolist(), n, from_first, []),
            "mean of ten": greedy_by_loops(M.tolist(), n, to_ten, []),
            "far from the mean": greedy_by_loops(M.tolist(), n, [dist(m, M[outer]) for m in M.tolist()], [outer]),
        }[start]
        assert greedy_coreset(M, size=n, seed=seed, start=start).tolist() == expected


def test_the_row_far_from_the_mean_has_the_largest_norm_of_distances():
    M = random_vectors(60, 5, dtype=torch.float64)
    norms = torch.cdist(M, M).norm(dim=1)
    assert greedy_coreset(M, size=1, start="far from the mean").item() == norms.argmax()


@pytest.mark.parametrize("start", coreset.STARTS)
def test_gradients_do_not_matter(start):
    M = random_vectors(30, 3)
    assert torch.equal(
        greedy_coreset(M.clone().requires_grad_(), 0.5, start=start), greedy_coreset(M, 0.5, start=start)
    )


def test_the_start_is_random_and_seeded():
    M = random_vectors(20, 3)
    starts = [int(greedy_coreset(M, size=1, seed=seed)) for seed in range(40)]
    assert len(set(starts)) > 10
    assert starts == [int(greedy_coreset(M, size=1, seed=seed)) for seed in range(40)]


def test_a_dropped_start_is_chosen_last():
    M = random_vectors(30, 3)
    kept, dropped = (greedy_coreset(M, size=30, seed=4, start=s).tolist() for s in ("random", "random, dropped"))
    assert dropped == [*kept[1:], kept[0]]


# --- covering radius --------------------------------------------------------------------------------------------


@given(banks, seeds, st.data())
def test_covering_radius_equals_the_definition(bank, seed, data):
    M = torch.from_numpy(bank)
    chosen = greedy_coreset(M, size=data.draw(st.integers(1, len(M))), seed=seed)
    expected = definitions.covering_radius(M.tolist(), M[chosen].tolist())
    assert covering_radius(M, chosen) == pytest.approx(expected, rel=1e-6)


def test_covering_radius_takes_a_list_too():
    M = random_vectors(9, 2)
    assert covering_radius(M, [0, 1]) == covering_radius(M, torch.tensor([0, 1]))


def test_covering_radius_shrinks_to_0():
    M = random_vectors(200, 6)
    chosen = greedy_coreset(M, ratio=1)
    radii = [covering_radius(M, chosen[:size]) for size in (1, 10, 50, 199, 200)]
    assert radii == sorted(radii, reverse=True) and radii[-2] > 0 and radii[-1] == 0


# --- ψ ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", coreset.PROJECTIONS)
def test_projection_is_linear_seeded_and_of_the_size_asked_for(kind):
    x, y = random_vectors(9, 40), random_vectors(9, 40, seed=1)
    psi = random_projection(x, 16, seed=5, kind=kind)
    assert psi.shape == (9, 16) and psi.dtype == torch.float32
    assert random_projection(x.double(), 16, seed=5, kind=kind).dtype == torch.float64
    assert torch.equal(psi, random_projection(x, 16, seed=5, kind=kind))
    assert not torch.allclose(psi, random_projection(x, 16, seed=6, kind=kind))
    both = psi + 2 * random_projection(y, 16, seed=5, kind=kind)
    torch.testing.assert_close(random_projection(x + 2 * y, 16, seed=5, kind=kind), both, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind, scale", [("gaussian", 1), ("sparse", 1), ("linear", (256 / (3 * 600)) ** 0.5)])
def test_projection_nearly_keeps_distances(kind, scale):
    x = random_vectors(60, 600)
    ratio = torch.pdist(random_projection(x, 256, seed=1, kind=kind)) / torch.pdist(x) / scale
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert 0.75 < ratio.min() and ratio.max() < 1.25


def test_weights_are_drawn_as_described():
    d, dim = 400, 300
    eye = torch.eye(d)
    gaussian, linear, sparse = (random_projection(eye, dim, kind=kind) for kind in ("gaussian", "linear", "sparse"))
    assert gaussian.std() * dim**0.5 == pytest.approx(1, abs=0.02)
    assert (gaussian.abs() < dim**-0.5).float().mean() == pytest.approx(0.683, abs=0.01)  # one sigma
    assert linear.abs().max() <= d**-0.5
    assert (linear.abs() < 0.5 * d**-0.5).float().mean() == pytest.approx(0.5, abs=0.01)
    assert (sparse != 0).float().mean() == pytest.approx(d**-0.5, abs=0.002)
    assert sparse[sparse != 0].abs().unique() == pytest.approx((d**0.5 / dim) ** 0.5)
    assert sparse.sign().sum() / (sparse != 0).sum() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("n, dim", [(1, 1), (2, 17), (1568, 181), (100_352, 284)])
def test_without_a_size_the_bound_of_johnson_and_lindenstrauss_is_taken(n, dim):
    assert random_projection(torch.ones(n, 2), None, kind="sparse").shape == (n, dim)


def test_projection_guides_the_choice_nearly_as_well_as_the_full_vectors():
    M = random_vectors(1000, 300)
    guided = covering_radius(M, greedy_coreset(random_projection(M, 128), size=100))
    assert guided < 1.1 * covering_radius(M, greedy_coreset(M, size=100))


# --- bad input --------------------------------------------------------------------------------------------------

four = torch.ones(4, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"ratio": 0}, "ratio was 0; it must be a number in (0, 1]"),
        ({"ratio": 1.5}, "ratio was 1.5; it must be a number in (0, 1]"),
        ({"ratio": float("nan")}, "ratio was nan; it must be a number in (0, 1]"),
        ({"size": 0}, "size was 0; it must be a whole number from 1 to 4"),
        ({"size": 5}, "size was 5; it must be a whole number from 1 to 4"),
        ({"size": 2, "seed": "one"}, "seed was 'one'; it must be a whole number of at least 0"),
        ({"size": 2, "seed": -1}, "seed was -1; it must be a whole number of at least 0"),
        ({"size": 2, "seed": 0.5}, "seed was 0.5; it must be a whole number of at least 0"),
        ({"size": 2.0}, "size was 2.0; it must be a whole number from 1 to 4"),
        ({}, "ratio was None and size was None; give exactly one of them"),
        ({"ratio": 0.5, "size": 2}, "ratio was 0.5 and size was 2; give exactly one of them"),
        (
            {"size": 1, "start": "first"},
            "start was 'first'; it must be one of 'random', 'random, dropped', 'mean",
        ),
        ({"vectors": four[0], "size": 1}, "vectors was a tensor of shape (3,) and dtype float32; it must be"),
        ({"vectors": four / 0, "size": 1}, "vectors holds NaN or infinite values; all its values must be finite"),
    ],
)
def test_bad_input_of_the_coreset(arguments, message):
    with pytest.raises(ValueError) as error:
        greedy_coreset(**{"vectors": four} | arguments)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: random_projection(four, 0), "dim was 0; it must be a whole number from 1 to 1048576"),
        (
            lambda: random_projection(four, kind="pca"),
            "kind was 'pca'; it must be one of 'gaussian', 'linear'",
        ),
        (lambda: random_projection(four[0]), "vectors was a tensor of shape (3,) and dtype float32; it must be"),
        (
            lambda: covering_radius(four, torch.tensor([])),
            "chosen was a tensor of shape (0,) and dtype float32; it must be",
        ),
        (
            lambda: covering_radius(four, torch.tensor([4])),
            "chosen held numbers from 4 to 4; they must be from 0 to 3",
        ),
        (lambda: covering_radius(four, [0.5]), "chosen was a tensor of shape (1,) and dtype float32; it must be"),
        (lambda: covering_radius(four, "0"), "chosen was of type str; it must be a tensor of whole numbers"),
        (
            lambda: covering_radius(four, torch.tensor([[0]])),
            "chosen was a tensor of shape (1, 1) and dtype",
        ),
        (lambda: random_projection(four, seed=None), "seed was None; it must be a whole number of at least 0"),
        (lambda: covering_radius(four, torch.tensor([-1])), "chosen held numbers from -1 to -1; they must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)
