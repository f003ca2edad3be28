"""The exercises on whole images: the anomaly map (§3.3), AUROC, and a threshold."""

import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.checks.machinery.answers import Unreadable, kind, tensors
from patchcore_edu.checks.machinery.cases import generated
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.metrics import auroc


def _map(distance, size, sigma, **options):
    return anomaly_map(distance[None], size, sigma, **options)[0]


def _upsampled(distance, size, **options):
    return interpolate(distance[None, None], size, **options)[0, 0]


def _smooth(values, sigma, **options):
    return torch.from_numpy(gaussian_filter(values.numpy(), sigma, **options)) if sigma else values


def _spot(height: int, width: int) -> torch.Tensor:
    """One hot cell in the middle, so far from the border that its treatment does not matter."""
    distance = torch.zeros(height, width)
    distance[height // 2, width // 2] = 10
    return distance


ANOMALY_MAP = Exercise(
    "08_anomaly_map",
    "anomaly_map(distance, size, sigma) → tensor (H, W)",
    "§3.3: upsample distance (h', w') bilinearly, by its cells' centres, to size (H, W), then smooth it with a "
    "Gaussian of sigma pixels (none for 0). Past its border, the map continues with its own values, not with zeros.",
    _map,
    {
        "1 × 2 cells, no smoothing": (torch.tensor([[0.0, 4.0]]), (2, 4), 0),
        "no smoothing": (generated(40, 4, 5).abs(), (12, 20), 0),
        "one hot cell, sigma = 2": (_spot(11, 13), (44, 52), 2),
        "all equal, sigma = 4": (torch.full((4, 4), 3.0), (16, 24), 4),
    },
    {
        "nearest instead of bilinear": (
            "A pixel between two cells' centres takes a bit of both.",
            lambda distance, size, sigma: _map(distance, size, sigma, upsampling="nearest"),
        ),
        "align_corners=True": (
            "What is aligned: the centres of the outermost cells, or the borders of the maps?",
            lambda distance, size, sigma: _smooth(
                _upsampled(distance, size, mode="bilinear", align_corners=True), sigma
            ),
        ),
        "bicubic instead of bilinear": (
            "Bilinear interpolation never goes beyond the values of the surrounding cells.",
            lambda distance, size, sigma: _smooth(_upsampled(distance, size, mode="bicubic"), sigma),
        ),
        "(H, W) swapped": (
            "size is (H, W), rows first.",
            lambda distance, size, sigma: _map(distance, size[::-1], sigma),
        ),
        "squared distance": (
            "The map holds the distances themselves.",
            lambda distance, size, sigma: _map(distance**2, size, sigma),
        ),
        "scaled to 0 … 1": (
            "On its own scale, every image has a pixel of 1, even a good one.",
            lambda distance, size, sigma: _scaled(_map(distance, size, sigma)),
            lambda distance, size, sigma: _map(distance, size, sigma) / _map(distance, size, sigma).max(),
        ),
        "not smoothed": ("What should sigma change?", lambda distance, size, sigma: _map(distance, size, 0)),
        "smoothed before upsampling": (
            "sigma counts pixels of the image. How many cells is that?",
            lambda distance, size, sigma: _map(_smooth(distance, sigma), size, 0),
        ),
        "variance taken as sigma": (
            "sigma is the standard deviation. Where does σ² belong?",
            lambda distance, size, sigma: _map(distance, size, sigma**0.5),
            lambda distance, size, sigma: _map(distance, size, sigma**2),
        ),
        "kernel that does not add up to 1": (
            "Smoothing spreads values out. Their sum stays the same.",
            lambda distance, size, sigma: _map(distance, size, sigma) * (2 * torch.pi * sigma**2 if sigma else 1),
            lambda distance, size, sigma: _map(distance, size, sigma) * ((2 * torch.pi) ** 0.5 * sigma or 1),
        ),
        "zeros counted at the border": (
            "A map of equal distances stays as it is, even at its border.",
            lambda distance, size, sigma: _map(distance, size, sigma, edge="constant"),
        ),
    },
    tensors("map"),
)


def _scaled(values):
    return (values - values.min()) / (values.max() - values.min())


def _pairs(score, anomalous, tie):
    difference = score[anomalous][:, None] - score[~anomalous][None]
    return ((difference > 0) + tie * (difference == 0)).double().mean()


def _thresholded(cut):
    return lambda score, anomalous: auroc((score > cut(score)).double(), anomalous)


def _average_precision(score: torch.Tensor, anomalous: torch.Tensor) -> float:
    from sklearn.metrics import average_precision_score  # here: it would take 37 MiB of every kernel

    return average_precision_score(anomalous.numpy(), score.numpy())


AUROC = Exercise(
    "08_anomaly_map",
    "auroc(score, anomalous) → number",
    "The probability that an anomalous image scores above a normal one, over all pairs of one of each; a tie counts "
    "one half. score (n,) is float, anomalous (n,) is bool.",
    auroc,
    {
        "five images": (torch.tensor([0.1, 0.7, 0.6, 2.0, 0.3]), torch.tensor([False, False, True, True, True])),
        "distances beyond 1": (
            5 + generated(41, 12).abs() * 4,
            torch.tensor([True, False, False, True, True, False, True, False, True, True, False, False]),
        ),
        "ties": (
            torch.tensor([1.0, 2, 2, 2, 3, 2, 1]),
            torch.tensor([False, False, True, False, True, True, True]),
        ),
        "all right": (torch.tensor([1.0, 2, 8, 9]), torch.tensor([False, False, True, True])),
        "all wrong": (torch.tensor([8.0, 9, 1, 2]), torch.tensor([False, False, True, True])),
    },
    {
        "the same number for all images": (
            "The answer depends on the scores.",
            lambda score, anomalous: 0.5,
            lambda score, anomalous: 1.0,
            lambda score, anomalous: 0.0,
        ),
        "reversed": (
            "Anomalous images should have the larger score.",
            lambda score, anomalous: auroc(-score, anomalous),
        ),
        "scores cut at a threshold first": (
            "AUROC needs no threshold. The scores themselves are compared.",
            _thresholded(torch.mean),
            _thresholded(torch.median),
            _thresholded(lambda score: 0.5),
        ),
        "share classified correctly": (
            "That is accuracy at one threshold. AUROC compares pairs.",
            lambda score, anomalous: ((score > 0.5) == anomalous).double().mean(),
            lambda score, anomalous: ((score > score.mean()) == anomalous).double().mean(),
            lambda score, anomalous: ((score > score.median()) == anomalous).double().mean(),
        ),
        "average precision": (
            "That is the area under another curve, precision over recall.",
            _average_precision,
        ),
        "all pairs counted": (
            "A pair has one normal and one anomalous image.",
            lambda score, anomalous: _pairs(score, anomalous, 0.5) * _mixed_share(anomalous),
        ),
        "pairs not divided by their number": (
            "A probability lies between 0 and 1.",
            lambda score, anomalous: _pairs(score, anomalous, 0.5) * anomalous.sum() * (~anomalous).sum(),
        ),
        "ties counted as lost": ("A tie counts one half.", lambda score, anomalous: _pairs(score, anomalous, 0)),
        "ties counted as won": ("A tie counts one half.", lambda score, anomalous: _pairs(score, anomalous, 1)),
    },
    tensors("AUROC"),
)


def _mixed_share(anomalous):
    return anomalous.sum() * (~anomalous).sum() / len(anomalous) ** 2


def _flagged(answer, held_out, rate):
    """How many held-out images lie above the threshold: many thresholds are right, and all flag the same number."""
    threshold = tensors("threshold")(answer)["threshold"]
    if threshold.ndim or threshold.isnan():
        raise Unreadable(f"{'NaN' if threshold.ndim == 0 else kind(threshold)}; it must be one number")
    return {"flagged good images": (held_out > threshold).sum()}


THRESHOLD = Exercise(
    "08_anomaly_map",
    "threshold(held_out, rate) → number",
    "held_out (n,) are scores of good images that are not in the bank. An image is flagged if its score is *above* "
    "the threshold. Choose it so that the share `rate` of them is flagged; rate · n is a whole number here.",
    lambda held_out, rate: torch.quantile(held_out, 1 - rate),
    {
        "ten scores, rate 0.2": (torch.tensor([4.1, 3.0, 5.2, 3.3, 4.0, 9.0, 3.9, 6.5, 4.4, 3.6]), 0.2),
        "none flagged": (torch.tensor([4.1, 3.0, 5.2, 3.3, 60.0]), 0.0),
        "40 scores, rate 0.1": (10 + generated(42, 40), 0.1),
        "50 scores, rate 0.3": (generated(43, 50).exp(), 0.3),
    },
    {
        "rate taken from the wrong end": (
            "How many good images lie above yours? rate is the share above, not below.",
            lambda held_out, rate: torch.quantile(held_out, rate),
        ),
        "rate of the range": (
            "Scores are not spread evenly. Count them instead of measuring from min to max.",
            lambda held_out, rate: held_out.max() - rate * (held_out.max() - held_out.min()),
            lambda held_out, rate: (1 - rate) * held_out.max(),
        ),
        "one too few": (
            "A score equal to the threshold is not above it.",
            lambda held_out, rate: held_out.sort(descending=True).values[max(round(rate * len(held_out)) - 1, 0)],
        ),
        "one too many": (
            "How many scores lie above the k-th largest, counted from 0?",
            lambda held_out, rate: held_out.sort(descending=True).values[round(rate * len(held_out)) + 1],
        ),
        "maximum, whatever the rate": (
            "Then nothing is flagged. What does rate ask for?",
            lambda held_out, rate: held_out.max(),
        ),
        "mean and standard deviations, whatever the rate": (
            "That assumes a bell curve, and ignores rate. Count scores instead.",
            *(lambda held_out, rate, k=k: held_out.mean() + k * held_out.std() for k in (1, 2, 3)),
        ),
        "fixed at 0.5": ("The score is a distance, not a probability.", lambda held_out, rate: 0.5),
        "rate itself": ("The threshold is a score, in the unit of the scores.", lambda held_out, rate: rate),
    },
    _flagged,
)
