"""What the playground says under "Break it", measured again with the package."""

import re
from functools import cache

import pytest
import torch

from patchcore_edu import PatchCore, feature_maps, image_score, nearest_neighbours, patch_set
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.playground.bundle import PAGE
from patchcore_edu.playground.material import BANK, GOOD, HELD_OUT

LOW, HIGH = 20, 24  # with the initial settings
DEFECTS = 24
DRAWS = (2, 5, 6, 7)
"""Of the page's eight draws of crops (seeds 0 to 7), those with the fewest and the most defects found."""


def said(button: str) -> tuple[int, int]:
    """Return the fewest and the most defects found, according to the page."""
    [line] = [line for line in (PAGE / "lessons.js").read_text("utf-8").splitlines() if f'["{button}"' in line]
    assert f"{LOW} to {HIGH}" in line
    return tuple(map(int, re.search(rf"(\d+) to (\d+) of {DEFECTS} defects", line).groups()))


class Trial:
    """One draw of crops. `found(…)` counts the defects that score above the threshold set by held-out good crops."""

    def __init__(self, backbone, seed: int):
        train, test = PhotoTextures("brick", "train", seed=seed), PhotoTextures("brick", "test", seed=seed)
        images = [train[i].image for i in range(BANK)] + [test[GOOD + i].image for i in range(HELD_OUT)]
        images += [sample.image for sample in test if sample.anomalous]
        self.backbone, self.phi = backbone, feature_maps(torch.stack(images), backbone, (2, 3, 4))

    @cache  # noqa: B019 - lives as long as its tests
    def fitted(self, levels=(2, 3), p=3, border="zero", draw=None) -> tuple[torch.Tensor, torch.Tensor]:
        """The patches of all crops, and the vectors in the memory bank."""
        patches = patch_set({j: self.phi[j] for j in levels}, p, border=border)
        if draw is not None:
            rows = patches[:BANK].flatten(0, 2)
            chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(draw))[: len(rows) // 100]
            return patches, rows[chosen]
        model = PatchCore(self.backbone, levels, p, coreset_ratio=0.01)
        return patches, model.fit_patches(patches[:BANK]).bank.vectors

    def found(self, b=9, **settings) -> int:
        patches, vectors = self.fitted(**settings)
        score = image_score(patches[BANK:], vectors, b)
        return int((score[HELD_OUT:] > score[:HELD_OUT].max()).sum())


@pytest.fixture(scope="module")
def trials(backbone):
    return [Trial(backbone, seed) for seed in DRAWS]


def held(found: list[int], low: int, high: int) -> bool:
    """The counts span the range that the page gives, up to one count, as machines may differ by one."""
    return low - 1 <= min(found) <= low + 1 and high - 1 <= max(found) <= high + 1


def test_the_initial_settings(trials):
    assert held([trial.found() for trial in trials], LOW, HIGH)


@pytest.mark.parametrize(
    "button, settings",
    [("p = 9", {"p": 9}), ("clip at the border", {"border": "clip"}), ("level 4", {"levels": (4,)})],
)
def test_it_finds_fewer_in_each_trial(trials, button, settings):
    found = [trial.found(**settings) for trial in trials]
    assert held(found, *said(button))
    assert all(few < trial.found() for few, trial in zip(found, trials, strict=True))


def test_two_neighbours_never_find_more(trials):
    found = [trial.found(b=2) for trial in trials]
    assert held(found, *said("b = 2"))
    assert all(few <= trial.found() for few, trial in zip(found, trials, strict=True))


def distance(patches: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return nearest_neighbours(patches.flatten(0, 2), vectors)[0].view(patches.shape[:3])


def test_a_random_choice_covers_less_and_depends_on_the_draw(trials):
    assert held([trial.found(draw=draw) for trial in trials for draw in range(4)], *said("random 1 %"))
    for trial in trials:
        fitted = [trial.fitted(draw=draw) for draw in (None, 0, 1, 2, 3)]
        greedy, *random = [distance(patches[:BANK], vectors).max() for patches, vectors in fitted]
        assert min(random) > greedy


def test_distances_shrink_to_less_than_half_with_p_9(trials):
    for trial in trials:
        usual, wide = (distance(*trial.fitted(p=p))[BANK:] for p in (3, 9))
        assert wide.median() < usual.median() / 2 and wide.amax((1, 2)).max() < usual.amax((1, 2)).max() / 2


def test_clip_moves_the_farthest_patch_of_good_crops_to_the_rim(trials):
    for trial in trials:
        far = distance(*trial.fitted(border="clip"))[BANK : BANK + HELD_OUT]
        inside = far[:, 1:-1, 1:-1].amax((1, 2))
        assert (far.amax((1, 2)) > inside).all()
