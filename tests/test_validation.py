"""Every error names the argument, what it was, and what it may be."""

from functools import partial

import numpy as np
import pytest
import torch

from patchcore_edu.validation import image_batch, one_of, real_number, real_tensor, whole_number


@pytest.mark.parametrize("value", [0, -1, 5, 1.0, 2.5, True, "2", None, float("nan")])
def test_what_is_not_a_whole_number_from_1_to_4(value):
    with pytest.raises(ValueError, match=rf"^j was {value!r}; it must be a whole number from 1 to 4$"):
        whole_number("j", value, at_most=4)


def test_whole_numbers():
    assert [whole_number("k", k, at_most=4) for k in (1, 4, np.int64(2))] == [1, 4, 2]
    assert type(whole_number("k", np.int64(2))) is int
    with pytest.raises(ValueError, match=r"^k was 0; it must be a whole number of at least 1$"):
        whole_number("k", 0)


@pytest.mark.parametrize(
    "value", [10**5000, [[10**5000]], "p" * 10**6, list(range(10**6))], ids=["number", "nested", "text", "list"]
)
def test_a_message_is_short(value):
    for check in (whole_number, partial(real_number, at_least=0, at_most=1), partial(one_of, allowed="ab")):
        with pytest.raises(ValueError, match=r"^p was .{,300}; it must be"):
            check("p", value)


@pytest.mark.parametrize("value", [0, -0.1, 1.1, True, "1", None, float("nan"), float("inf")])
def test_what_is_not_a_number_from_0_to_1(value):
    with pytest.raises(ValueError, match=rf"^ratio was {value!r}; it must be a number in \(0, 1\]$"):
        real_number("ratio", value, 0, 1, open_below=True)


def test_numbers():
    assert [real_number("x", x, 0, 1) for x in (0, 1, 0.5, np.float32(0.25))] == [0, 1, 0.5, 0.25]
    assert real_number("sigma", 1e9, 0) == 1e9
    with pytest.raises(ValueError, match=r"^sigma was inf; it must be a number in \[0, inf\)$"):
        real_number("sigma", float("inf"), 0)


@pytest.mark.parametrize("value", ["Clip", None, 3, ["clip"], np.array(["clip"]), np.array([]), np.ones(2)])
def test_what_is_not_an_allowed_value(value):
    with pytest.raises(ValueError) as error:
        one_of("border", value, ("clip", "zero"))
    assert str(error.value) == f"border was {value!r}; it must be one of 'clip', 'zero'"


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    "value, what",
    [
        ([[1.0]], "was of type list; it must be a floating-point tensor of shape (N, d)"),
        (np.ones((1, 1)), "was of type ndarray; it must be"),
        (torch.ones(2), "was a tensor of shape (2,) and dtype float32; it must be"),
        (torch.ones(2, 2, dtype=torch.int64), "was a tensor of shape (2, 2) and dtype int64; it must be"),
        (torch.ones(0, 2), "was a tensor of shape (0, 2) and dtype float32; it must be"),
        (torch.tensor([[1.0, nan]]), "holds NaN or infinite values; all its values must be finite"),
        (torch.tensor([[1.0, inf]]), "holds NaN or infinite values"),
        (torch.tensor([[inf, -inf]]), "holds NaN or infinite values"),
    ],
)
def test_what_is_not_a_real_tensor(value, what):
    with pytest.raises(ValueError) as error:
        real_tensor("M", value, "(N, d)")
    assert str(error.value).startswith(f"M {what}")


def test_large_finite_numbers_are_finite():
    huge = torch.full((4, 4), 3e38)
    assert real_tensor("M", huge, "(N, d)") is huge


@pytest.mark.parametrize(
    "images, what",
    [
        (torch.zeros(3, 8, 8), "was a tensor of shape (3, 8, 8) and dtype float32"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "was a tensor of shape (1, 3, 8, 8) and dtype uint8"),
        (torch.zeros(0, 3, 8, 8), "was a tensor of shape (0, 3, 8, 8)"),
        (torch.zeros(1, 1, 8, 8), "had 1 channels (shape (1, 1, 8, 8)); they must have 3"),
        (torch.zeros(1, 8, 8, 3), "had 8 channels"),
        (torch.full((1, 3, 8, 8), 1.5), "held values from 1.5 to 1.5; they must lie in [0, 1]"),
        (torch.full((1, 3, 8, 8), -0.5), "held values from -0.5 to -0.5"),
        (torch.full((1, 3, 8, 8), nan), "holds NaN"),
        (np.zeros((1, 3, 8, 8)), "was of type ndarray"),
    ],
)
def test_what_is_not_a_batch_of_photographs(images, what):
    with pytest.raises(ValueError) as error:
        image_batch(images)
    assert str(error.value).startswith(f"images {what}")
