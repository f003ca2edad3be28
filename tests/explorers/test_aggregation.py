"""The explorer of eq. (2) without a browser: its weights, vectors and distances equal the package's."""

import re

import pytest
import torch

from patchcore_edu import aggregate
from patchcore_edu.explorers import Aggregation
from patchcore_edu.explorers.aggregation import GOOD, VARIANTS, _weights
from patchcore_edu.explorers.machinery.photographs import photographs


def phi(split: str, which: list | slice) -> torch.Tensor:
    return photographs("brick", split).phi[2][which]


@pytest.mark.parametrize("p, dim", [(1, 40), (3, 60), (9, 160)])
@pytest.mark.parametrize("h, w, k", [(0, 0, 0), (27, 13, 39), (14, 14, 8)])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_weights_reproduce_f_agg(name, h, w, k, p, dim):
    phi_j = phi("test", [20])
    aggregated = aggregate(phi_j, p, dim=dim, **VARIANTS[name][1])[0]
    weights = _weights(name, p, dim, h, w, k)
    assert weights.untyped_storage().nbytes() == weights.nbytes  # hundreds are kept
    number = float((weights * phi_j[0]).sum())
    text = Aggregation(photograph=20, p=p, dim=dim, h=h, w=w, k=k).picture().numbers[f"{name}, number {k}"]
    lost = p // 2 if name == "valid" else 0
    if min(h, w, 27 - h, 27 - w) < lost:
        assert number == 0 and text.startswith("(h, w) is left out;")
    else:
        assert number == pytest.approx(float(aggregated[k, h - lost, w - lost]), abs=1e-4)
        assert float(text.partition(" = ")[0].replace("−", "-")) == pytest.approx(number, abs=6e-4)


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("clip", {}, "mean of 9 cells of channel 10;"),
        ("clip", {"h": 0, "w": 27}, "mean of 4 cells of channel 10;"),
        ("zero", {"h": 0, "w": 27}, "mean of 4 cells of channel 10 and 5 zeros;"),
        ("flattened", {"dim": 40}, "mean of 9 cells of channel 10;"),
        ("flattened", {"dim": 80}, "mean of 5 cells of channel 5;"),
        ("flattened", {"dim": 60, "k": 11}, "mean of 6 cells of channel 7;"),
        ("flattened", {"dim": 60, "k": 10}, "mean of 6 numbers at 6 cells of channels 6 to 7;"),
        ("flattened", {"dim": 160, "p": 9, "h": 0, "k": 8}, "mean of 21 zeros from past the border;"),
    ],
)
def test_channels_and_cells_are_named_in_words(name, settings, words):
    explorer = Aggregation(**{"h": 9, "w": 13} | settings)
    assert words in explorer.picture().numbers[f"{name}, number {explorer.state.k}"]


@pytest.mark.parametrize("name", VARIANTS)
def test_distances_are_those_to_a_bank_of_the_same_variant(name):
    picture = Aggregation(photograph=30, p=5, dim=60).picture()
    test, good = (
        aggregate(part, 5, dim=60, **VARIANTS[name][1]).permute(0, 2, 3, 1).flatten(0, 2)
        for part in (phi("test", [30]), phi("train", slice(GOOD)))
    )
    largest = float(torch.cdist(test, good, compute_mode="donot_use_mm_for_euclid_dist").amin(1).max())
    assert f"largest distance {largest:.1f} at" in picture.numbers[f"{name}, number 10"]


@pytest.mark.parametrize("h, w", [(0, 9), (27, 27), (14, 14)])
def test_the_formula_adds_up(h, w):
    formula = Aggregation(h=h, w=w, k=10).picture().formula.replace("−", "-")
    terms, zeros, divisor, value = re.fullmatch(
        r"f_agg, zero, channel 10: \((.*?)(?: \+ (\d+) zeros)?\) / (\d+) = (.*)", formula
    ).groups()
    summed = sum(map(float, terms.replace("- ", "+ -").split(" + ")))
    assert float(value) == pytest.approx(summed / int(divisor), abs=0.01)
    assert int(divisor) == 9 == len(re.findall(r"\d\.\d", terms)) + int(zeros or 0)
    assert float(value) == pytest.approx(float(aggregate(phi("test", [16]), 3)[0, 10, h, w]), abs=6e-4)
