"""Reading what a learner's function returned, comparing it with the right answer, and showing both."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from numbers import Number
from operator import index

import torch

MOST = 10_000  # cells that are looked at: a generator may give them without end
TOLERANCE = 1e-3  # float32 and another order of summation stay far below; every common mistake is far above


class Unreadable(Exception):
    """An answer of another kind than the exercise asks for; the message says what it was."""


def tensors(*names: str) -> Callable:
    """A reader of answers that are one tensor or number, or several of them in a tuple: {name: tensor}."""
    return partial(_tensors, names)


def _tensors(names: tuple[str, ...], answer: object, *arguments: object) -> dict[str, torch.Tensor]:
    if len(names) == 1:
        return {names[0]: _tensor(names[0], answer)}
    if not isinstance(answer, tuple | list) or len(answer) != len(names):
        raise Unreadable(f"{kind(answer)}; it must be ({', '.join(names)})")
    return {name: _tensor(name, part) for name, part in zip(names, answer, strict=True)}


def _tensor(name: str, answer: object) -> torch.Tensor:
    try:
        value = torch.as_tensor(answer).detach().cpu()
        value = value.to_dense() if value.layout is not torch.strided else value
    except Exception:  # a learner's own object may raise anything while it is read
        raise Unreadable(f"{kind(answer)}; {name} must be a number or a tensor") from None
    if value.is_complex() or value.is_nested or value.is_quantized:
        raise Unreadable(f"{kind(answer)}; {name} must be one real tensor")
    return value


def cells(answer: object, *arguments: object) -> list[tuple[int, int]]:
    """A reader of answers that are cells (a, b), in any order: a list in rising order."""
    try:
        return sorted((index(a), index(b)) for a, b in islice(answer, MOST))
    except (TypeError, ValueError, RuntimeError):
        raise Unreadable(f"{kind(answer)}; it must be a list of cells (a, b), whole numbers") from None


def kind(answer: object) -> str:
    if isinstance(answer, torch.Tensor):
        without = ", on a device that holds no numbers" if answer.is_meta else ""
        return f"a tensor of shape {tuple(answer.shape)}{without}"
    if isinstance(answer, tuple | list):
        return f"a {type(answer).__name__} of {len(answer)}"
    return f"of type {type(answer).__name__}"


def difference(yours: object, expected: object) -> dict[str, str] | None:
    """The rows that show where two answers first differ; None if they agree."""
    if isinstance(expected, list):
        return _cells_apart(yours, expected)
    for name, value in expected.items():
        rows = _tensors_apart(name, yours[name], value)
        if rows:
            return rows
    return None


def _cells_apart(yours: list, expected: list) -> dict[str, str] | None:
    if yours == expected:
        return None
    rows = {"yours": f"{len(yours)} cells: {show(yours)}", "expected": f"{len(expected)} cells: {show(expected)}"}
    twice = sorted(cell for cell, times in Counter(yours).items() if times > 1)
    apart = {
        "missing": sorted(set(expected) - set(yours)),
        "too many": sorted(set(yours) - set(expected)),
        "more than once": twice,
    }
    return rows | {name: show(found) for name, found in apart.items() if found}


def _tensors_apart(name: str, yours: torch.Tensor, expected: torch.Tensor) -> dict[str, str] | None:
    if yours.shape != expected.shape:
        return {"yours": f"{name} of {_shape(yours)}", "expected": f"{name} of {_shape(expected)}"}
    if expected.ndim and yours.is_floating_point() != expected.is_floating_point():
        dtypes = [str(value.dtype).removeprefix("torch.") for value in (yours, expected)]
        return {"yours": f"{name} of dtype {dtypes[0]}", "expected": f"{name} of dtype {dtypes[1]}"}
    a, b = yours.double(), expected.double()
    apart = ~torch.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    if not apart.any():
        return None
    if expected.numel() <= 12:
        rows = {"yours": f"{name} = {show(yours)}", "expected": f"{name} = {show(expected)}"}
    else:
        at = tuple(apart.nonzero()[0].tolist())
        place = f"{name}[{', '.join(map(str, at))}]"
        rows = {
            "yours": f"{place} = {show(yours[at])}",
            "expected": f"{place} = {show(expected[at])}",
            "differ": f"{int(apart.sum())} of {apart.numel()} numbers",
        }
    if factor := _factor(a, b):
        rows["factor"] = f"each number is {factor:.4g} times the expected one"
    if (a.isnan() & ~b.isnan()).any():
        rows["NaN"] = "comes from 0/0, ∞/∞, ∞ − ∞ or the root of a negative number"
    return rows


def _factor(a: torch.Tensor, b: torch.Tensor) -> float | None:
    """The number by which all of b were multiplied to give a; None if there is none, or b has only one number."""
    ratio = (a / b)[b != 0]
    if len(ratio) < 2 or (a[b == 0] != 0).any() or not torch.isclose(ratio, ratio[0], rtol=TOLERANCE).all():
        return None
    return float(ratio[0])


def _shape(value: torch.Tensor) -> str:
    return f"shape {tuple(value.shape)}" if value.ndim else "shape (), a single number"


def show(value: object) -> str:
    """An argument or an answer, short enough for a line.

    >>> show({2: torch.zeros(1, 40, 28, 28)}), show(torch.tensor([[1.0, 2 / 3]])), show(0.25)
    ('{2: a tensor of shape (1, 40, 28, 28)}', '[[1, 0.666667]]', '0.25')
    """
    if isinstance(value, torch.Tensor):
        return show(value.tolist()) if value.numel() <= 16 else f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {show(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list | tuple):
        left, right = "[]" if isinstance(value, list) else "()"
        return f"{left}{', '.join(map(show, value))}{right}"
    return f"{value:.6g}" if isinstance(value, Number) and not isinstance(value, bool) else str(value)
