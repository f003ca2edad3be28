"""Arguments to try a function on."""

import torch


def generated(seed: int, *shape: int) -> torch.Tensor:
    """Normally distributed numbers, always the same for one seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def counted(*shape: int) -> torch.Tensor:
    """0, 1, 2, … in this shape."""
    return torch.arange(float(torch.Size(shape).numel())).view(shape)


def line(*numbers: float) -> torch.Tensor:
    """Vectors of one number each: points on a line."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None]
