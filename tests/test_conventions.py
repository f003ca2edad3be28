"""The records of every choice that the paper leaves open."""

from dataclasses import FrozenInstanceError, fields, replace
from inspect import signature

import pytest

from patchcore_edu import CONVENTIONS, Conventions, aggregate, anomaly_map, greedy_coreset, patch_set, random_projection
from patchcore_edu.conventions import as_conventions


def test_names_refer_to_records():
    assert list(CONVENTIONS) == ["paper", "official", "anomalib"]
    for name, record in CONVENTIONS.items():
        assert as_conventions(name) is record and as_conventions(record) is record
    assert len(set(CONVENTIONS.values())) == 3


def test_the_paper_is_the_default():
    assert CONVENTIONS["paper"] == Conventions()


@pytest.mark.parametrize(
    "name, differs",
    [
        # The 1-D pooling over (c, p, p), twice; a linear ψ of 128 dimensions; L2 squared; no eq. (7).
        (
            "official",
            {
                "pooling": "flattened",
                "merge": "pool",
                "stride_on": "level",
                "projection": "linear",
                "start": "mean of ten",
                "squared": True,
                "reweighting": False,
            },
        ),
        # A sparse ψ whose size follows from the number of rows; nearest upsampling, a mirror at the border.
        ("anomalib", {"projection": "sparse", "projection_dim": None, "upsampling": "nearest", "edge": "mirror"}),
    ],
)
def test_what_published_codes_chose_differently(name, differs):
    assert CONVENTIONS[name] == replace(Conventions(), **differs)


def test_a_choice_defaults_to_that_of_its_function():
    """Calling the functions one after another with their defaults gives the results of `PatchCore()`."""
    differs = set()
    for function in (aggregate, patch_set, greedy_coreset, anomaly_map):
        for name, value in {name: p.default for name, p in signature(function).parameters.items()}.items():
            if name in {field.name for field in fields(Conventions)} and getattr(Conventions(), name) != value:
                differs.add((name, value, getattr(Conventions(), name)))
    assert differs == set()
    assert random_projection.__defaults__ == (Conventions().projection_dim, 0, Conventions().projection)


def test_a_record_is_frozen_and_replaced():
    paper = CONVENTIONS["paper"]
    with pytest.raises(FrozenInstanceError):
        paper.sigma = 1
    changed = replace(paper, sigma=1, projection=None, projection_dim=None)
    assert (changed.sigma, changed.projection, paper.sigma, paper.projection) == (1, None, 4, "gaussian")


@pytest.mark.parametrize(
    "field, value, allowed",
    [
        ("border", "wrap", "it must be one of 'zero', 'clip', 'valid'"),
        ("pooling", "max", "it must be one of 'spatial', 'flattened'"),
        ("merge", "add", "it must be one of 'concatenate', 'pool'"),
        ("stride_on", "image", "it must be one of 'merged', 'level'"),
        ("dim", 0, "it must be a whole number from 1 to 1048576"),
        ("merged_dim", 0, "it must be a whole number from 1 to 1048576"),
        ("projection", "pca", "it must be one of None, 'gaussian', 'linear', 'sparse'"),
        ("projection_dim", 0, "it must be a whole number from 1 to 1048576"),
        ("projection_dim", 2**31, "it must be a whole number from 1 to 1048576"),
        ("start", "first", "it must be one of 'random', 'random, dropped', 'mean of ten', 'far from the mean'"),
        ("squared", "yes", "it must be one of False, True"),
        ("reweighting", None, "it must be one of False, True"),
        ("upsampling", "cubic", "it must be one of 'bilinear', 'nearest'"),
        ("sigma", -1, "it must be a number in [0, 1000]"),
        ("edge", "wrap", "it must be one of 'reflect', 'mirror', 'constant', 'nearest'"),
    ],
)
def test_bad_input(field, value, allowed):
    with pytest.raises(ValueError) as error:
        Conventions(**{field: value})
    assert str(error.value) == f"{field} was {value!r}; {allowed}"


def test_every_field_is_checked():
    checked = {mark.args[1][i][0] for mark in test_bad_input.pytestmark for i in range(len(mark.args[1]))}
    assert checked == {field.name for field in fields(Conventions)}


@pytest.mark.parametrize("name", ["Paper", None, 3])
def test_an_unknown_name(name):
    with pytest.raises(ValueError) as error:
        as_conventions(name)
    assert str(error.value) == f"conventions was {name!r}; it must be one of 'paper', 'official', 'anomalib'"
