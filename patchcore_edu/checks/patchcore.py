"""The exercise at the end of the course: all of PatchCore except the network and the coreset, from memory."""

import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.anomaly_score import image_score, max_patch_score, patch_neighbours
from patchcore_edu.checks.machinery.answers import difference, tensors
from patchcore_edu.checks.machinery.cases import generated
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.memory_bank import memory_bank
from patchcore_edu.nearest_neighbours import nearest_neighbours
from patchcore_edu.patch_set import patch_set


def _found(good, test, p, border="zero"):
    """The test images' patches, the bank's rows, and every patch's distance to its nearest row with its number."""
    bank = memory_bank(patch_set(good, p, border=border)).vectors
    patches = patch_set(test, p, border=border)
    return patches, bank, patch_neighbours(patches, bank)


def _whole(good, test, p, b, size, border="zero", sigma=4.0):
    patches, bank, found = _found(good, test, p, border)
    return image_score(patches, bank, b, found), anomaly_map(found[0], size, sigma)


def _factor(*arguments):
    """w of each image, (n, 1, 1)."""
    good, test, p, _, size = arguments
    return (_whole(*arguments)[0] / _whole(good, test, p, 1, size)[0])[:, None, None]


def _distance(good, test, p):
    return _found(good, test, p)[2][0]


def _around_the_test_patch(good, test, p, b):
    patches, bank, (distance, _) = _found(good, test, p)
    s_star, worst = max_patch_score(distance)
    m_test = patches.flatten(1, 2)[torch.arange(len(worst)), worst]
    around, _ = nearest_neighbours(m_test, bank, b)
    return s_star * (1 - around.softmax(1)[:, 0] if b > 1 else 1)


def _corners_aligned(distance, size):
    upsampled = interpolate(distance[:, None], size, mode="bilinear", align_corners=True)[:, 0]
    return torch.from_numpy(gaussian_filter(upsampled.numpy(), 4, axes=(1, 2)))


def _lowest(phi):
    return {min(phi): phi[min(phi)]}


NEW = {
    "one patch in the bank": "the bank (does it hold good images only?), or the distance of two patches",
    "one level, p = 1, b = 1": "the bank (are all its rows there?), or the nearest entry",
    "one level, p = 3, b = 2": "the patches: f_agg over N_p",
    "two levels, p = 3, b = 3": "the patches: the merge of the levels",
    "two levels, p = 2, b = 1": "the patches: N_p for an even p",
}
"""What is new in each case, and is therefore wrong if score and map are wrong in it and were right before."""


def _stage(case: str, yours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str:
    wrong = [name for name in expected if difference({name: yours[name]}, {name: expected[name]})]
    if wrong == ["map"]:
        return "the map, upsampling or smoothing; the score is right, so patches, bank and distances are right, too"
    if wrong == ["score"]:
        part = (
            "eq. (6), the largest distance" if "b = 1" in case or "one patch" in case else "eq. (7), the re-weighting"
        )
        return f"the score: {part}; the map is right, so patches, bank and distances are right, too"
    return NEW.get(case, "the distances")


def _maps(seed: int, n: int, channels: dict[int, int], side: int) -> dict[int, torch.Tensor]:
    """{level: (n, c, h*, w*)}: each level has half as many rows and columns as the one before."""
    return {j: generated(seed + j, n, c, side >> k, side >> k) for k, (j, c) in enumerate(channels.items())}


PATCHCORE = Exercise(
    "09_patchcore",
    "patchcore(good, test, p, b, size) → score (n,), map (n, H, W)",
    "All of PatchCore except the network and the coreset, with stride 1. good and test hold feature maps, "
    "{level: (n, c, h*, w*)}. A cell past the border counts as 0, the bank keeps all rows, b = 1 means no "
    "re-weighting, and the map, of size (H, W), is smoothed as gaussian_filter does with sigma = 4.",
    _whole,
    {
        "one patch in the bank": (_maps(50, 1, {2: 4}, 1), _maps(60, 2, {2: 4}, 1), 1, 1, (4, 4)),
        "one level, p = 1, b = 1": (_maps(50, 2, {2: 4}, 6), _maps(60, 3, {2: 4}, 6), 1, 1, (24, 24)),
        "one level, p = 1, b = 2": (_maps(50, 2, {2: 4}, 6), _maps(60, 3, {2: 4}, 6), 1, 2, (24, 24)),
        "one level, p = 3, b = 2": (_maps(50, 2, {2: 4}, 6), _maps(60, 3, {2: 4}, 6), 3, 2, (24, 24)),
        "two levels, p = 3, b = 3": (_maps(70, 2, {2: 3, 3: 4}, 8), _maps(80, 2, {2: 3, 3: 4}, 8), 3, 3, (32, 32)),
        "two levels, p = 2, b = 1": (_maps(70, 2, {2: 3, 3: 4}, 8), _maps(80, 2, {2: 3, 3: 4}, 8), 2, 1, (32, 32)),
    },
    {
        "cells past the border not counted": (
            "A cell past the border counts as 0, in a corner too. Divide by how many cells?",
            lambda *arguments: _whole(*arguments, border="clip"),
        ),
        "p taken as a radius": (
            "p counts all cells across. How many lie on each side?",
            lambda good, test, p, b, size: _whole(good, test, 2 * p + 1, b, size),
        ),
        "not averaged": ("Where is f_agg?", lambda good, test, p, b, size: _whole(good, test, 1, b, size)),
        "one level only": (
            "A patch has the numbers of all levels.",
            lambda good, test, p, b, size: _whole(_lowest(good), _lowest(test), p, b, size),
        ),
        "test patches in the bank": (
            "Which images may the bank have seen?",
            lambda good, test, p, b, size: _whole({j: torch.cat([good[j], test[j]]) for j in good}, test, p, b, size),
        ),
        "squared distance": (
            "The unit of the score is that of the features.",
            lambda good, test, p, b, size: (
                _whole(good, test, p, b, size)[0] ** 2,
                anomaly_map(_distance(good, test, p) ** 2, size),
            ),
        ),
        "mean instead of max": (
            "One odd patch makes an image anomalous, however good the others are.",
            lambda good, test, p, b, size: (
                _distance(good, test, p).mean((1, 2)),
                _whole(good, test, p, b, size)[1],
            ),
        ),
        "score taken from the map": (
            "Smoothing lowers peaks. The score comes from the distances before that.",
            lambda *arguments: (_whole(*arguments)[1].amax((1, 2)), _whole(*arguments)[1]),
        ),
        "map not smoothed": ("What did §3.3 do last?", lambda *arguments: _whole(*arguments, sigma=0)),
        "no re-weighting": (
            "Where is eq. (7)?",
            lambda good, test, p, b, size: _whole(good, test, p, 1, size),
        ),
        "b = 1 gives 0": (
            "Read literally, eq. (7) is 0 for b = 1. What does b = 1 mean here?",
            lambda good, test, p, b, size: (
                _whole(good, test, p, b, size)[0] * (b > 1),
                _whole(good, test, p, b, size)[1],
            ),
        ),
        "N_b of the test patch": (
            "In N_b(m*), what is in the brackets?",
            lambda *arguments: (_around_the_test_patch(*arguments[:4]), _whole(*arguments)[1]),
        ),
        "align_corners=True": (
            "What is aligned: the centres of the outermost cells, or the borders of the maps?",
            lambda good, test, p, b, size: (
                _whole(good, test, p, b, size)[0],
                _corners_aligned(_distance(good, test, p), size),
            ),
        ),
        "map re-weighted": (
            "Eq. (7) changes only the score.",
            lambda *arguments: (_whole(*arguments)[0], _whole(*arguments)[1] * _factor(*arguments)),
        ),
    },
    tensors("score", "map"),
    _stage,
)
