"""Clear errors for bad input: each names the argument, what it was, and what it may be."""

from collections.abc import Iterable
from math import inf, isfinite
from numbers import Integral, Real
from reprlib import Repr
from sys import float_info

import numpy as np
import torch

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def shown(value: object) -> str:
    """What a value was, for a message: its `repr`, shortened. A message must be short, and must never fail itself.

    >>> shown([[[[[[[[]]]]]]]]), shown(10**5000)
    ('[[[[[[[...]]]]]]]', 'of type int')
    """
    try:
        return _SHORT.repr(value)
    except Exception:  # a number of more than 4,300 digits, or a list that holds something that cannot be shown
        return f"of type {type(value).__name__}"


def whole_number(name: str, value: object, at_least: float = 1, at_most: int | None = None) -> int:
    """Return `value` as an int, or raise if it is not a whole number in [at_least, at_most].

    >>> whole_number("p", 3)
    3
    >>> whole_number("p", 0)
    Traceback (most recent call last):
    ValueError: p was 0; it must be a whole number of at least 1
    """
    # What does not fit into 64 bits cannot count cells, rows or images, nor be a seed.
    good = isinstance(value, Integral) and not isinstance(value, bool) and at_least <= value < 2**63
    if not good or (at_most is not None and value > at_most):
        limits = f" of at least {at_least}" if at_most is None else f" from {at_least} to {at_most}"
        raise ValueError(f"{name} was {shown(value)}; it must be a whole number{limits if at_least > -inf else ''}")
    return int(value)


def real_number(name: str, value: object, at_least: float, at_most: float = inf, open_below: bool = False) -> float:
    """Return `value` as a float, or raise if it lies outside [at_least, at_most] or is infinite.

    >>> real_number("ratio", 2, 0, 1, open_below=True)
    Traceback (most recent call last):
    ValueError: ratio was 2; it must be a number in (0, 1]
    """
    good = isinstance(value, Real) and not isinstance(value, bool) and at_least <= value <= min(at_most, float_info.max)
    if not good or (open_below and value == at_least):
        left, right = "(" if open_below else "[", ")" if at_most == inf else "]"
        raise ValueError(f"{name} was {shown(value)}; it must be a number in {left}{at_least:g}, {at_most:g}{right}")
    return float(value)


def one_of(name: str, value: object, allowed: Iterable) -> object:
    """Return `value` if it is one of `allowed`, or raise.

    >>> one_of("border", "wrap", ("clip", "zero"))
    Traceback (most recent call last):
    ValueError: border was 'wrap'; it must be one of 'clip', 'zero'
    """
    allowed = tuple(allowed)
    if not isinstance(value, tuple(map(type, allowed))) or value not in allowed:  # an array compares entry by entry
        raise ValueError(f"{name} was {shown(value)}; it must be one of {', '.join(map(repr, allowed))}")
    return value


def real_tensor(name: str, value: object, shape: str) -> torch.Tensor:
    """Return `value` if it is a finite floating-point tensor with as many axes as `shape` names.

    `shape` is written as in the docstrings, e.g. "(n, c, h, w)". Every axis must have at least one entry.

    >>> real_tensor("M", torch.zeros(2), "(N, d)")
    Traceback (most recent call last):
    ValueError: M was a tensor of shape (2,) and dtype float32; it must be a floating-point tensor of shape (N, d)
    """
    wanted = f"it must be a floating-point tensor of shape {shape}"
    if not isinstance(value, torch.Tensor) or value.is_nested:
        nested = "nested " if isinstance(value, torch.Tensor) else ""
        raise ValueError(f"{name} was of type {nested}{type(value).__name__}; {wanted}")
    held = holds_numbers(value)
    if not held or value.ndim != len(shape.split(",")) or value.dtype not in FLOATS or 0 in value.shape:
        dtype = str(value.dtype).removeprefix("torch.") + ("" if held else ", sparse or without data")
        empty = "; this one is empty" if 0 in value.shape else ""
        raise ValueError(f"{name} was a tensor of shape {tuple(value.shape)} and dtype {dtype}; {wanted}{empty}")
    if torch.compiler.is_exporting():  # a graph has no branch that depends on values
        return value
    # A sum is NaN or infinite as soon as one entry is, and needs no tensor of flags. Huge numbers may overflow, too.
    if not isfinite(value.sum().item()) and not torch.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinite values; all its values must be finite")
    return value


def holds_numbers(tensor: torch.Tensor) -> bool:
    """Whether a tensor is dense and has data: not sparse, not nested, not on the meta device.

    >>> holds_numbers(torch.eye(2)), holds_numbers(torch.eye(2).to_sparse())
    (True, False)
    """
    return tensor.layout == torch.strided and tensor.device.type != "meta" and not tensor.is_nested


def same_space(name: str, value: torch.Tensor, vectors: object) -> None:
    """Raise unless `vectors` is (N, d), and `value` (…, d) of its dtype.

    >>> same_space("queries", torch.zeros(4, 2), torch.zeros(5, 3))
    Traceback (most recent call last):
    ValueError: queries had 2 dimensions; they must have the vectors' 3
    """
    if not isinstance(vectors, torch.Tensor) or vectors.ndim != 2:
        real_tensor("vectors", vectors, "(N, d)")
    if value.shape[-1] != vectors.shape[1]:
        raise ValueError(f"{name} had {value.shape[-1]} dimensions; they must have the vectors' {vectors.shape[1]}")
    if value.dtype != vectors.dtype:
        raise ValueError(f"{name} had dtype {value.dtype}; they must have the vectors' {vectors.dtype}")


def two_kinds(name: str, value: object) -> torch.Tensor:
    """Return `value` as a bool tensor if it is bool, or holds only 0 and 1, or only 0 and 255.

    >>> two_kinds("masks", [0, 255, 255])
    tensor([False,  True,  True])
    >>> two_kinds("masks", [0.0, 0.004, 1.0])
    Traceback (most recent call last):
    ValueError: masks held 0.00400..., which is neither normal nor anomalous; it must be bool, or 0 and 1, or 0 and 255
    """
    labels = tensor_like(name, value, "bool")
    if labels.dtype == torch.bool or labels.numel() == 0:
        return labels.bool()
    top = 255 if (labels == 255).any() else 1
    other = labels[(labels != 0) & (labels != top)]
    if len(other):
        raise ValueError(
            f"{name} held {other[0].item()!r}, which is neither normal nor anomalous; "
            "it must be bool, or 0 and 1, or 0 and 255"
        )
    return labels == top


def tensor_like(name: str, value: object, what: str) -> torch.Tensor:
    """Return `value` as a tensor, or raise if it cannot be converted to one.

    >>> tensor_like("score", None, "numbers")
    Traceback (most recent call last):
    ValueError: score was of type NoneType; it must be a tensor of numbers
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} was of type {type(value).__name__}; it must be a tensor of {what}") from None
    if not holds_numbers(tensor) or tensor.is_quantized:
        raise ValueError(f"{name} was a nested, sparse or quantised tensor, or one without data; it must hold {what}")
    if tensor.is_floating_point() and tensor.dtype not in FLOATS:  # 8 bits or fewer: PyTorch can hardly compare them
        raise ValueError(f"{name} was of dtype {tensor.dtype}; convert it with .float() first")
    return tensor


def row_numbers(name: str, value: object, n: int | None = None, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """Return `value` as an int64 tensor of `shape`, or (l,) with l of at least 1, with numbers from 0 to n − 1.

    >>> row_numbers("chosen", [0, 4], n=3)
    Traceback (most recent call last):
    ValueError: chosen held numbers from 0 to 4; they must be from 0 to 2
    """
    numbers = tensor_like(name, value, "whole numbers")
    right_shape = numbers.ndim == 1 and len(numbers) > 0 if shape is None else numbers.shape == shape
    if not right_shape or numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        dtype = str(numbers.dtype).removeprefix("torch.")
        raise ValueError(
            f"{name} was a tensor of shape {tuple(numbers.shape)} and dtype {dtype}; "
            f"it must be whole numbers of shape {'(l,), l ≥ 1' if shape is None else tuple(shape)}"
        )
    if torch.compiler.is_exporting():  # a graph is traced for the browser: there are no values to look at
        return numbers.long()
    numbers = numbers.long()  # PyTorch can hardly compare long unsigned ones
    low, high = (int(end) for end in numbers.aminmax())
    if low < 0 or (n is not None and high >= n):
        below = "be at least 0" if n is None else f"be from 0 to {n - 1}"
        raise ValueError(f"{name} held numbers from {low} to {high}; they must {below}")
    return numbers


def as_array(numbers: torch.Tensor) -> np.ndarray:
    """A tensor's numbers for NumPy, which has no bfloat16: float32 holds each of them exactly.

    >>> as_array(torch.ones(1, dtype=torch.bfloat16, requires_grad=True))
    array([1.], dtype=float32)
    """
    return (numbers.float() if numbers.dtype == torch.bfloat16 else numbers).numpy(force=True)


def image_batch(images: object) -> torch.Tensor:
    """Return `images` if they are photographs: (n, 3, H, W), floating point, finite, in [0, 1].

    >>> image_batch(torch.full((1, 3, 8, 8), 255.0))
    Traceback (most recent call last):
    ValueError: images held values from 255 to 255; they must lie in [0, 1]
    """
    real_tensor("images", images, "(n, 3, H, W)")
    if images.shape[1] != 3:
        raise ValueError(f"images had {images.shape[1]} channels (shape {tuple(images.shape)}); they must have 3")
    if torch.compiler.is_exporting():
        return images
    low, high = images.aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"images held values from {low:.9g} to {high:.9g}; they must lie in [0, 1]")
    return images
