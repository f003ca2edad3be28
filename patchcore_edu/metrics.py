"""How well scores and maps find the anomalies: AUROC and PRO."""

import torch
from skimage.measure import label

from patchcore_edu.validation import as_array, real_number, real_tensor, tensor_like, two_kinds

PRO_LIMIT = 0.3  # that of the MVTec AD evaluation


def auroc(score: torch.Tensor, anomalous: torch.Tensor) -> float:
    """Area under the ROC curve: the probability that an anomalous image (or pixel) scores above a normal one.

    Pass image scores with image labels for image AUROC, or maps with masks for pixel AUROC. It needs no threshold.

    Args:
        score: (…), any shape.
        anomalous: the same shape, bool; or 0 and 1, or 0 and 255.

    Returns:
        From 0 to 1; 0.5 is guessing.

    Raises:
        ValueError: if the shapes differ, a label is neither, or all are of one kind.

    Example:
        >>> auroc(torch.tensor([0.1, 0.4, 0.3, 0.8]), torch.tensor([False, False, True, True]))
        0.75

    Source: §4.1.
    """
    score, anomalous = tensor_like("score", score, "numbers").cpu(), two_kinds("anomalous", anomalous).cpu()
    if score.shape != anomalous.shape:
        raise ValueError(
            f"score had shape {tuple(score.shape)} and anomalous {tuple(anomalous.shape)}; they must match"
        )
    if score.is_complex() or not score.isfinite().all():
        raise ValueError("score held NaN, infinite or complex values; all scores must be finite real numbers")
    if anomalous.all() or not anomalous.any():
        raise ValueError("anomalous held only one kind; AUROC needs normal and anomalous ones")
    return curve_area(score, ~anomalous, anomalous)


def pro(maps: torch.Tensor, masks: torch.Tensor, limit: float = PRO_LIMIT) -> float:
    """PRO, per-region overlap (AUPRO): how much of each defect is found. Every defect counts the same, small or large.

    At each threshold, the overlap is the share of a connected region (8 neighbours) that lies above it, averaged over
    all regions. It is integrated over the false-positive rate, the share of all normal pixels above the threshold,
    from 0 to `limit`, and divided by `limit`.

    Args:
        maps: (n, H, W), anomaly maps.
        masks: (n, H, W), bool, true where the defect is; or 0 and 1, or 0 and 255.
        limit: the largest false-positive rate, in (0, 1].

    Returns:
        From 0 to 1.

    Raises:
        ValueError: if the shapes differ, a mask holds other values, no pixel is anomalous, or none is normal.

    Example:
        Two regions, of one and of two pixels. Only the larger one lies above all normal pixels.
        >>> masks = torch.tensor([[[True, False, False, True, True]]])
        >>> pro(torch.tensor([[[0.0, 1.0, 1.0, 2.0, 2.0]]]), masks)
        0.5...

    Source: §4.1; the paper gives no limit, 0.3 is that of the MVTec AD evaluation.
    """
    real_tensor("maps", maps, "(n, H, W)")
    masks = two_kinds("masks", masks)
    if maps.shape != masks.shape:
        raise ValueError(f"maps had shape {tuple(maps.shape)} and masks {tuple(masks.shape)}; they must match")
    if masks.all() or not masks.any():
        raise ValueError("masks held only one kind of pixel; PRO needs normal and anomalous ones")
    limit = real_number("limit", limit, 0, 1, open_below=True)
    return curve_area(maps, ~masks, region_share(masks), limit)


def curve(score: torch.Tensor, cost: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For every threshold from high to low: the share of all cost that lies above it, and the share of all gain.

    With good images as cost and defective ones as gain, it is the ROC curve.

    Args:
        score, cost, gain: one shape; what each score adds to cost and gain as soon as the threshold is below it.

    >>> [part.tolist() for part in curve(torch.tensor([3.0, 2.0]), torch.tensor([0, 1]), torch.tensor([1, 0]))]
    [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    """
    x, y = _above(score, cost, gain)
    return x / x[-1], y / y[-1]


def curve_area(score: torch.Tensor, cost: torch.Tensor, gain: torch.Tensor, limit: float = 1.0) -> float:
    """The area under `curve` up to `limit`.

    Args:
        score, cost, gain: as `curve` takes them.
        limit: the largest share of the cost, in (0, 1]; the area is divided by it.

    >>> curve_area(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0, 1, 1]), torch.tensor([1, 0, 1]))
    0.625
    """
    x, y = _above(score, cost, gain)
    end, height = limit * x[-1], y[-1]
    inside = int((x <= end).sum())
    if inside < len(x):  # the curve crosses the limit between two points
        slope = (y[inside] - y[inside - 1]) / (x[inside] - x[inside - 1])
        x = torch.cat([x[:inside], end[None]])
        y = torch.cat([y[:inside], y[inside - 1 : inside] + slope * (end - x[inside - 1])])
    # Divided last: areas between whole numbers are exact.
    return float(torch.trapezoid(y, x) / (end * height))


def _above(score: torch.Tensor, cost: torch.Tensor, gain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    score = score.flatten()
    order = torch.from_numpy(as_array(score).argsort()).flip(0)  # in a third of the time of torch's sort
    score = score[order]
    x, y = (part.flatten()[order].double().cumsum(0) for part in (cost, gain))
    # Equal scores pass the threshold together, so only the last of them is a point of the curve.
    last = torch.cat([score[1:] != score[:-1], torch.tensor([True])])
    return tuple(torch.cat([torch.zeros(1), part[last]]) for part in (x, y))


def region_share(masks: torch.Tensor) -> torch.Tensor:
    """What each pixel adds to the mean overlap of `pro`: 1 / (pixels of its region · number of regions).

    >>> region_share(torch.tensor([[[True, False, False, True, True]]])).tolist()
    [[[0.5, 0.0, 0.0, 0.25, 0.25]]]
    """
    share = torch.zeros(masks.shape, dtype=torch.float64)
    regions = 0
    for image_share, mask in zip(share, masks, strict=True):
        numbered = torch.from_numpy(label(mask.numpy(), connectivity=2))
        sizes = numbered.flatten().bincount()
        image_share[mask] = 1 / sizes[numbered[mask]].double()
        regions += len(sizes) - 1
    return share / regions
