"""The exercise of 05: the memory bank M (eq. 4)."""

import torch

from patchcore_edu.checks.machinery.answers import tensors
from patchcore_edu.checks.machinery.cases import counted, generated
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.memory_bank import memory_bank


def _vectors(answer, *arguments):
    """The rows: the package returns a MemoryBank, which holds them and where they were seen."""
    return tensors("vectors")(getattr(answer, "vectors", answer))


MEMORY_BANK = Exercise(
    "05_memory_bank",
    "memory_bank(patches) → tensor (N, d)",
    "Eq. (4): the vectors of all patches (n, h', w', d) of all images, one per row: image by image, each row by row. "
    "Equal patches are kept, each in its own row.",
    memory_bank,
    {
        "two images of 2 × 3 patches": (counted(2, 2, 3, 2),),
        "equal patches": (torch.ones(2, 1, 2, 3),),
        "five images": (generated(15, 5, 3, 4, 6),),
    },
    {
        "one row per image": (
            "A row is one patch, a vector of d numbers.",
            lambda patches: patches.flatten(1),
            lambda patches: patches.mean((1, 2)),
        ),
        "averaged over the images": (
            "M is a union: nothing is averaged.",
            lambda patches: patches.mean(0).flatten(0, 1),
        ),
        "one image only": (
            "M holds the patches of all images. Is it overwritten on the way?",
            lambda patches: patches[-1].flatten(0, 1),
            lambda patches: patches[0].flatten(0, 1),
        ),
        "numbers of different patches mixed": (
            "d is already the last axis. Flattening the others needs no permute.",
            lambda patches: patches.permute(0, 3, 1, 2).reshape(-1, patches.shape[3]),
            lambda patches: patches.reshape(patches.shape[3], -1).T,
        ),
        "columns before rows": (
            "Within an image: the first row from left to right, then the second.",
            lambda patches: patches.transpose(1, 2).flatten(0, 2),
        ),
        "place by place instead of image by image": (
            "All patches of the first image come before those of the second.",
            lambda patches: patches.permute(1, 2, 0, 3).flatten(0, 2),
        ),
        "images kept apart": (
            "The rows of the bank are not grouped by image: n, h' and w' become one axis.",
            lambda patches: patches.flatten(1, 2),
        ),
        "equal patches merged or sorted": (
            "Here every patch keeps its own row, in the order it was seen.",
            lambda patches: patches.flatten(0, 2).unique(dim=0),
        ),
    },
    _vectors,
)
