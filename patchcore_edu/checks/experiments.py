"""Experiments whose answer is one number: the check says whether yours is too small or too large, and by how much."""

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from patchcore_edu.backbone import load_backbone
from patchcore_edu.checks.machinery.verdict import OPEN, RIGHT, WRONG, Verdict
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.feature_map import feature_maps
from patchcore_edu.neighbourhood import neighbourhood
from patchcore_edu.validation import one_of, real_number

NEAR = 0.01


class Experiment(NamedTuple):
    """What is asked, and how the package finds it."""

    question: str
    answer: Callable[[], float]


def _largest_step() -> float:
    image = next(sample.image for sample in PhotoTextures("brick", "test") if sample.defect == "scratch")
    maps = feature_maps(image[None], load_backbone("efficientnet_lite0"), (2,))[2][0]
    return float((maps[:, :, 1:] - maps[:, :, :-1]).norm(dim=0).max())


EXPERIMENTS = {
    "01 ex. 2": Experiment(
        "the largest distance between the level-2 vectors of a cell and its right neighbour, first scratched crop",
        _largest_step,
    ),
    "02 ex. 2": Experiment(
        "how many cells N_1 to N_5 hold together, added up over all 30 places of a 6 × 5 map",
        lambda: sum(len(neighbourhood(h, w, p, (6, 5))) for p in range(1, 6) for h in range(6) for w in range(5)),
    ),
    "05 ex. 2": Experiment(
        "the size in GiB of a bank of 209 images with 28 × 28 patches of 1024 numbers of 4 bytes",
        lambda: 209 * 28**2 * 1024 * 4 / 2**30,
    ),
    "09 ex. 3": Experiment("how many of 66 pairs of images change their order when distances are squared", lambda: 0),
    "10 ex. 1": Experiment(
        "the authors' mean at level 2 of a WideResNet-50 for p = 5, where 24 cells hold 1 and the middle one 27",
        lambda: (24 + 27 + 27) / (5**2 + 1),
    ),
}


def experiment(name: str, number: float | None) -> Verdict:
    """Compare a number found in an experiment with what the package finds: right if within 1 %.

    Raises:
        ValueError: for an unknown experiment, or something that is not a number.

    >>> experiment("05 ex. 2", 0.5)
    ✗ 05 ex. 2: too small
      asked   the size in GiB of a bank of 209 images with 28 × 28 patches of 1024 numbers of 4 bytes
      yours   0.5
      off by  0.125 (20 %)
    """
    question, answer = EXPERIMENTS[one_of("name", name, EXPERIMENTS)]
    if number is None:
        return Verdict(OPEN, f"{name}: no number yet", {"asked": question})
    yours, expected = real_number("number", number, -inf), answer()
    off = yours - expected
    rows = {"asked": question, "yours": f"{yours:g}"}
    if abs(off) <= NEAR * abs(expected):
        return Verdict(RIGHT, f"{name}: right", rows)
    share = f" ({abs(off / expected):.0%})".replace("%", " %") if expected else ""
    return Verdict(WRONG, f"{name}: too {'small' if off < 0 else 'large'}", rows | {"off by": f"{abs(off):.3g}{share}"})
