"""Eq. (4): the memory bank M, which remembers where each of its patches was seen."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from patchcore_edu.files import from_json, ordinary, replacing
from patchcore_edu.neighbourhood import LARGEST
from patchcore_edu.validation import as_array, real_tensor, row_numbers, shown, whole_number

ARRAYS = ("vectors", "image", "position")


@dataclass(frozen=True)
class MemoryBank:
    """Eq. (4): M, with the origin of every row.

    Attributes:
        vectors: (N, d), float, one patch per row.
        image: (N,), int64, the number of the training image it was seen in, from 0.
        position: (N, 2), int64, its row h and column w on the merged map, in cells; the map of border="valid" begins
            ⌊p/2⌋ cells inside.
        settings: those of the `PatchCore` that made it, if one did; saved with the bank, they keep it from being used
            in another model.

    Example:
        >>> bank = memory_bank(torch.zeros(2, 3, 3, 5))
        >>> len(bank), int(bank.image[10]), bank.position[10].tolist()
        (18, 1, [0, 1])
    """

    vectors: torch.Tensor
    image: torch.Tensor
    position: torch.Tensor
    settings: Mapping[str, object] | None = field(default=None, repr=False)

    def __post_init__(self):
        real_tensor("vectors", self.vectors, "(N, d)")
        n = len(self.vectors)
        object.__setattr__(self, "image", row_numbers("image", self.image, shape=(n,)))
        object.__setattr__(self, "position", row_numbers("position", self.position, shape=(n, 2)))
        try:
            plain = self.settings is None or (isinstance(self.settings, Mapping) and json.dumps(self.settings))
        except (TypeError, ValueError, RecursionError):  # what `save` could not write
            plain = False
        if not plain:
            raise ValueError(f"settings was {shown(self.settings)}; it must map names to plain values, or be None")

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: torch.Tensor) -> "MemoryBank":
        """The bank M_C that keeps only these rows, (l,) whole numbers from 0 to N − 1, in this order."""
        rows = row_numbers("rows", rows, len(self))
        return MemoryBank(self.vectors[rows], self.image[rows], self.position[rows], self.settings)

    def origin(self, row: int) -> tuple[int, int, int]:
        """Where a row was seen: the number of the training image, and h and w on the merged map, in cells.

        >>> memory_bank(torch.zeros(2, 3, 3, 5)).origin(10)
        (1, 0, 1)
        """
        row = int(row_numbers("row", row, len(self), shape=()))
        return int(self.image[row]), *self.position[row].tolist()

    def save(self, path: str | Path) -> None:
        """Write the bank as plain arrays (NumPy's .npz format, no pickle) to exactly this path.

        Raises:
            OSError: if it cannot be written; an older file stays as it was.
        """
        arrays = {name: as_array(getattr(self, name)) for name in ARRAYS}
        if self.settings is not None:
            arrays["settings"] = np.array(json.dumps(self.settings))  # text is an array too
        with replacing(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "MemoryBank":
        """Read a saved bank.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is truncated, or is not a saved bank.
        """
        try:
            with np.load(ordinary(path), allow_pickle=False) as arrays:
                settings = from_json(str(arrays["settings"])) if "settings" in arrays else None
                return cls(*(torch.from_numpy(arrays[name]) for name in ARRAYS), settings)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"path was {str(path)!r}, which is not a complete saved memory bank: {error}") from error


def memory_bank(patches: torch.Tensor | Iterable[torch.Tensor], s: int = 1) -> MemoryBank:
    """Eq. (4): M = ⋃_{x_i ∈ X_N} P_{s,p}(φ_j(x_i)), the patches of all good images together.

    Args:
        patches: (n, h', w', d), the patch sets of all images, or an iterable of such tensors, batch by batch.
        s: the stride the patch sets were made with, so that positions are given on the full map.

    Returns:
        A `MemoryBank` of N = n·h'·w' rows. Batches are appended in place: at most the bank and one batch are in memory.

    Raises:
        ValueError: if there is no image, or the batches differ in h', w' or d.

    Example:
        >>> memory_bank([torch.zeros(2, 28, 28, 152), torch.zeros(1, 28, 28, 152)]).vectors.shape
        torch.Size([2352, 152])

    Source: §3.1, eq. (4).
    """
    whole_number("s", s, at_most=LARGEST)
    try:
        batches = iter([patches] if isinstance(patches, torch.Tensor) else patches)
    except TypeError:
        raise ValueError(f"patches was of type {type(patches).__name__}; it must be tensors (n, h', w', d)") from None
    rows, grid, n = np.empty((0, 0)), None, 0
    for batch in batches:
        numbers = as_array(real_tensor("patches", batch, "(n, h', w', d)"))
        if grid is None:
            grid = batch.shape[1:]
            rows = np.empty((0, grid[2]), dtype=numbers.dtype)
        if batch.shape[1:] != grid or numbers.dtype != rows.dtype:
            raise ValueError(
                f"patches held batches of shapes (…, {', '.join(map(str, grid))}) and {tuple(batch.shape)}, "
                f"of {rows.dtype} and {numbers.dtype}; the patch sets of all images must have one size and dtype"
            )
        added = batch.shape[:3].numel()
        # Growing in place lets the system move pages instead of copying them: a list and a final
        # concatenation would need the bank's memory twice.
        rows.resize((len(rows) + added, grid[2]), refcheck=False)
        rows[-added:] = numbers.reshape(added, -1)
        n += len(batch)
    if grid is None:
        raise ValueError("patches held no image; a memory bank needs at least one")
    height, width, _ = grid
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)) * s
    image = torch.arange(n).repeat_interleave(height * width)
    return MemoryBank(torch.from_numpy(rows), image, cells.repeat(n, 1))
