"""The exercises of 04: the patch set P_{s,p} (eq. 3) and the merge of levels."""

import torch
from torch.nn.functional import avg_pool2d, interpolate

from patchcore_edu.checks.machinery.answers import tensors
from patchcore_edu.checks.machinery.cases import counted, generated
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.patch_set import merge_levels, patch_set


def _grid(phi, p):
    """(n, d, h*, w*): the merged map before the stride."""
    return patch_set(phi, p).permute(0, 3, 1, 2)


PATCH_SET = Exercise(
    "04_patch_set",
    "patch_set(phi, p, s) → tensor (n, h', w', d)",
    "Eq. (3): phi is {j: tensor (n, c_j, h_j, w_j)}. Aggregate each level as in `aggregate`, merge the levels as in "
    "`merge_levels`, then keep the places of the merged map whose row and column are multiples of s.",
    patch_set,
    {
        "one level, p = 1, s = 1": ({2: counted(1, 2, 3, 4)}, 1, 1),
        "s = 2": ({2: counted(1, 2, 5, 6)}, 1, 2),
        "p = 3": ({2: counted(1, 2, 4, 5) ** 2}, 3, 1),
        "two levels": ({2: generated(5, 2, 2, 6, 8), 3: generated(6, 2, 3, 3, 4)}, 3, 1),
        "two levels, s = 3": ({2: generated(7, 1, 2, 8, 10), 3: generated(8, 1, 3, 4, 5)}, 3, 3),
    },
    {
        "channels not last": (
            "A patch is one vector; its numbers lie along the last axis.",
            lambda phi, p, s: _grid(phi, p)[:, :, ::s, ::s],
        ),
        "reshaped instead of permuted": (
            "Moving an axis is not the same as reading the numbers in a new shape. Compare view with permute.",
            lambda phi, p, s: _grid(phi, p)[:, :, ::s, ::s].reshape(patch_set(phi, p, s).shape),
        ),
        "(h, w) swapped": (
            "The result is (n, h', w', d): rows before columns.",
            lambda phi, p, s: patch_set(phi, p, s).transpose(1, 2),
        ),
        "grid written out as a list": (
            "Keep h' and w' as two axes: every vector keeps its place.",
            lambda phi, p, s: patch_set(phi, p, s).flatten(1, 2),
            lambda phi, p, s: patch_set(phi, p, s).flatten(0, 2),
        ),
        "s as a crop": (
            "s crops nothing. It skips places all over the map.",
            lambda phi, p, s: patch_set(phi, p)[:, s:-s, s:-s] if s > 1 else patch_set(phi, p),
            lambda phi, p, s: _first(patch_set(phi, p), s, round_up=True),
            lambda phi, p, s: _first(patch_set(phi, p), s, round_up=False),
        ),
        "s ignored": (
            "Which places have h mod s = 0 and w mod s = 0?",
            lambda phi, p, s: patch_set(phi, p),
        ),
        "does not begin at place 0": (
            "Is 0 a multiple of s?",
            lambda phi, p, s: patch_set(phi, p)[:, s - 1 :: s, s - 1 :: s],
            lambda phi, p, s: patch_set(phi, p)[:, s // 2 :: s, s // 2 :: s],
        ),
        "s on the rows only": (
            "Both h and w must be multiples of s.",
            lambda phi, p, s: patch_set(phi, p)[:, ::s],
            lambda phi, p, s: patch_set(phi, p)[:, :, ::s],
        ),
        "averaged over s × s places": (
            "s skips places. It does not average them.",
            lambda phi, p, s: avg_pool2d(_grid(phi, p), s).permute(0, 2, 3, 1),
            lambda phi, p, s: avg_pool2d(_grid(phi, p), s, ceil_mode=True).permute(0, 2, 3, 1),
        ),
        "p ignored": ("Each vector is aggregated over N_p first.", lambda phi, p, s: patch_set(phi, 1, s)),
        "cells past the border not counted": (
            "A cell past the border counts as 0, in a corner too. Divide by how many cells?",
            lambda phi, p, s: patch_set(phi, p, s, border="clip"),
        ),
        "merged before aggregating": (
            "p counts cells of each level's own map. How large is a cell after the merge?",
            lambda phi, p, s: patch_set({0: _grid(phi, 1)}, p, s),
        ),
        "first level only": (
            "All levels of phi belong in the vector.",
            lambda phi, p, s: patch_set({0: phi[min(phi)]}, p, s),
        ),
        "s on each level's own map": (
            "Here s counts cells of the merged map. Some codes skip places on every level, before the merge.",
            lambda phi, p, s: patch_set(phi, p, s, stride_on="level"),
        ),
    },
    tensors("patches"),
)


def _first(patches, s, round_up):
    height, width = (size // s + (round_up and size % s > 0) for size in patches.shape[1:3])
    return patches[:, :height, :width]


def _merged(maps, size=None, **options):
    size = maps[0].shape[2:] if size is None else size
    return torch.cat([interpolate(level, size, **options) for level in maps], dim=1)


MERGE_LEVELS = Exercise(
    "04_patch_set",
    "merge_levels(maps) → tensor (n, c_1 + c_2 + …, h, w)",
    "§3.1: maps is a list of tensors (n, c_j, h_j, w_j), the finest first. Rescale each bilinearly, by its cells' "
    "centres, to the size (h, w) of the first, and concatenate all channels.",
    merge_levels,
    {
        "1 × 2 cells beside 2 × 4": ([torch.ones(1, 1, 2, 4), torch.tensor([[[[0.0, 8.0]]]])],),
        "one level": ([generated(9, 2, 3, 4, 5)],),
        "three levels": ([generated(10, 2, 2, 8, 12), generated(11, 2, 2, 4, 6), generated(12, 2, 2, 2, 3)],),
        "sizes that do not divide": ([generated(13, 1, 2, 7, 5), generated(14, 1, 3, 4, 3)],),
    },
    {
        "nearest instead of bilinear": (
            "A new cell between two old ones gets a bit of both.",
            lambda maps: _merged(maps, mode="nearest"),
        ),
        "align_corners=True": (
            "What is aligned: the centres of the outermost cells, or the borders of the maps?",
            lambda maps: _merged(maps, mode="bilinear", align_corners=True),
        ),
        "bicubic instead of bilinear": (
            "Bilinear interpolation never goes beyond the values of the surrounding cells.",
            lambda maps: _merged(maps, mode="bicubic"),
        ),
        "coarse level first": (
            "The finest level comes first, in the channels, too.",
            lambda maps: _merged(maps[::-1], size=maps[0].shape[2:], mode="bilinear"),
        ),
        "fine level made coarse": (
            "Which level's grid should the map have to keep small defects in place?",
            lambda maps: _merged(maps, size=maps[-1].shape[2:], mode="bilinear"),
        ),
        "(h, w) swapped": (
            "The size to rescale to is (h, w), rows first.",
            lambda maps: _merged(maps, size=maps[0].shape[:1:-1], mode="bilinear"),
        ),
        "levels added or averaged": (
            "Each level has its own channels. Adding them mixes them up.",
            lambda maps: sum(interpolate(level, maps[0].shape[2:], mode="bilinear") for level in maps),
            lambda maps: sum(interpolate(level, maps[0].shape[2:], mode="bilinear") for level in maps) / len(maps),
        ),
        "side by side in space": (
            "The number of channels grows, not the map.",
            lambda maps: torch.cat([interpolate(m, maps[0].shape[2:], mode="bilinear") for m in maps], dim=3),
            lambda maps: torch.cat([interpolate(m, maps[0].shape[2:], mode="bilinear") for m in maps], dim=2),
        ),
        "later levels left out": ("Every level of maps belongs in the result.", lambda maps: maps[0]),
    },
    tensors("map"),
)
