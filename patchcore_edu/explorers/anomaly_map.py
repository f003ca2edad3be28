"""Explorer of §3.3: from distances to a map, on a shared scale or its own, and what lies above a threshold."""

from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from skimage.measure import find_contours

from patchcore_edu import colours, figures
from patchcore_edu.anomaly_map import UPSAMPLINGS, anomaly_map
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, choice, real, switch, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import model, photographs
from patchcore_edu.explorers.machinery.pixels import counted
from patchcore_edu.metrics import PRO_LIMIT, auroc, curve, curve_area

SIDE, STRIDE, SIZE = 28, 8, 224
TOP = 29
"""Where the two pictures begin on their sheet."""
FOUND, MISSED, FALSE = colours.ANOMALY, "white", colours.QUERY


class State(traitlets.HasTraits):
    """A test photograph, how its map is made and drawn, a threshold, and the cell pointed at."""

    photograph = whole("Photograph, 0–39", 16, 0, 39)
    sigma = real("σ, pixels", 4.0, 0, 16, 0.5)
    upsampling = choice("Upsampling", "bilinear", UPSAMPLINGS)
    threshold = real("Threshold, a distance", 29.5, 15, 55, 0.5)
    own_scale = switch("Draw the map on its own scale")
    h = Whole(12, min=0, max=SIDE - 1)
    w = Whole(9, min=0, max=SIDE - 1)


def render(state: State) -> Picture:
    """The map and what lies above the threshold: its overlap with the mask, and the images that score above it."""
    _, tests = model("brick")
    sample = photographs("brick", "test").dataset[state.photograph]
    distance = tests.patch_distance[state.photograph]
    anomaly = anomaly_map(distance[None], SIZE, state.sigma, state.upsampling)[0].numpy()
    mask, above = sample.mask.numpy(), anomaly > state.threshold
    anomalous, flagged = _anomalous(), tests.score.numpy() > state.threshold
    s = float(tests.score[state.photograph])
    y, x = (int(cell * STRIDE + STRIDE // 2) for cell in (state.h, state.w))
    verdict = "raises an alarm" if s > state.threshold else "passes"
    return Picture(
        figure=_figure(state, anomaly, mask, above),
        caption=f"{sample.defect.capitalize()}: s = {s:.1f}, so photograph {state.photograph} {verdict} at "
        f"{state.threshold:.1f}. The map's maximum is {anomaly.max():.1f}, not s."
        + " On its own scale, something is always bright."
        * state.own_scale,
        formula=f"at (h, w) = ({state.h}, {state.w}): distance {distance[state.h, state.w]:.1f}; "
        f"the map there, with σ = {state.sigma:g}: {anomaly[y, x]:.1f}",
        numbers={
            "pixels of this photograph": _judged(above, mask)
            + (f", overlap {(above & mask).sum() / (above | mask).sum():.2f}" if mask.any() else ""),
            "all 40 photographs": _judged(flagged, anomalous),
            "confusion": f"{(flagged & anomalous).sum()} defects found, {(~flagged & anomalous).sum()} missed; "
            f"{(flagged & ~anomalous).sum()} false alarms, {(~flagged & ~anomalous).sum()} good ones pass",
            "scale of the map": "{:.1f} to {:.1f}".format(*_scale(state, anomaly)),
        },
        canvas={
            "image": _photograph(state.photograph),
            "alt": f"Test photograph {state.photograph} of a brick wall, {sample.defect}.",
            "rows": SIDE,
            "columns": SIDE,
            "boxes": _outlines(state.photograph),
        },
    )


def _judged(above: np.ndarray, anomalous: np.ndarray) -> str:
    both = (above & anomalous).sum()
    precision = f"{both / above.sum():.2f}" if above.any() else "undefined, nothing lies above"
    recall = f"{both / anomalous.sum():.2f}" if anomalous.any() else "undefined, there is no defect"
    return f"precision {precision}, recall {recall}"


def _scale(state: State, anomaly: np.ndarray) -> tuple[float, float]:
    if state.own_scale:
        return float(anomaly.min()), float(anomaly.max())
    return 0.0, float(model("brick")[1].patch_distance.max())


@lru_cache(maxsize=1)
def _anomalous() -> np.ndarray:
    return np.array([sample.anomalous for sample in photographs("brick", "test").dataset])


@lru_cache(maxsize=40)
def _photograph(i: int) -> bytes:
    return png(photographs("brick", "test").images[i])


@lru_cache(maxsize=40)
def _outlines(i: int) -> list[dict[str, object]]:
    """The edges of the mask's regions, as the canvas takes them."""
    mask = photographs("brick", "test").dataset[i].mask.numpy()
    return [
        {"points": (path[::3, ::-1] - 0.5).tolist(), "colour": colours.ANOMALY, "label": ""}
        for path in find_contours(np.pad(mask, 1).astype(float))
    ]


def _figure(state: State, anomaly: np.ndarray, mask: np.ndarray, above: np.ndarray) -> Figure:
    figure = Figure(figsize=(6.8, 4.4))
    ax = figures.sheet(figure, (0, 0.4, 1, 0.6), 663, 257)  # in pixels of the photograph
    low, high = _scale(state, anomaly)
    extent = (5, 5 + SIZE, TOP + SIZE, TOP)
    ax.imshow(anomaly, colours.MAP, vmin=low, vmax=high, extent=extent)
    figures.outline(ax, mask, extent=extent)
    scale = "its own scale" if state.own_scale else "the shared scale"
    ax.text(5, 20, f"map, on {scale}; a distance", fontsize=10)
    y = figures.ruler(ax, low, high, (268, 281, TOP + SIZE, TOP))
    if low <= state.threshold <= high:
        ax.plot([268, 281], [y(state.threshold)] * 2, color=colours.QUERY, lw=3)
    _overlap(ax, state.photograph, mask, above)
    _histogram(figure.add_axes((0.06, 0.115, 0.42, 0.25)), state)
    _roc(figure.add_axes((0.58, 0.115, 0.155, 0.25)), state)
    _pro(figure.add_axes((0.82, 0.115, 0.155, 0.25)), state)
    return figure


def _overlap(ax: Axes, photograph: int, mask: np.ndarray, above: np.ndarray) -> None:
    picture = 0.5 * photographs("brick", "test").images[photograph].numpy().transpose(1, 2, 0)
    kinds = ((above & mask, FOUND, "found"), (mask & ~above, MISSED, "missed"), (above & ~mask, FALSE, "false alarm"))
    left, right = 320, 320 + SIZE
    for i, (where, colour, name) in enumerate(kinds):
        picture[where] = to_rgb(colour)
        y = TOP + 60 + 45 * i
        ax.plot(right + 14, y, "s", color=colour, mec="black", mew=0.5)
        ax.text(right + 24, y, f"{name}\n{where.sum():,}", va="center", fontsize=9)
    ax.imshow(picture, extent=(left, right, TOP + SIZE, TOP), interpolation="nearest")
    ax.text(left, 20, "pixels above the threshold", fontsize=10)


def _histogram(ax: Axes, state: State) -> None:
    score, anomalous = model("brick")[1].score.numpy(), _anomalous()
    edges = np.arange(15, 56)
    good, defective = (np.histogram(score[kind], edges)[0] for kind in (~anomalous, anomalous))
    # A separate bar for each number takes ten times as long.
    ax.stairs(good, edges, fill=True, color=colours.BANK)
    ax.stairs(good + defective, edges, baseline=good, fill=True, color=colours.ANOMALY)
    ax.axvline(state.threshold, color=colours.QUERY, lw=2)
    ax.plot(score[state.photograph], 0.3, "v", color="black", ms=8)
    ax.set(xlim=(15, 55), ylim=(0, 1.05 * (good + defective).max()))
    xlabel = "image score s; ▼ this photograph, line: the threshold"
    figures.ticks(ax, range(15, 56, 5), (0, 5), xlabel=xlabel)
    for x, text, colour in ((0.02, "■ good", colours.BANK), (0.56, "■ with a defect", colours.ANOMALY)):
        ax.text(x, 0.82, text, transform=ax.transAxes, color=colour, fontsize=9)


def _roc(ax: Axes, state: State) -> None:
    score, anomalous = model("brick")[1].score, torch.from_numpy(_anomalous())
    above = score > state.threshold
    point = [float(above[kind].double().mean()) for kind in (~anomalous, anomalous)]
    _curve(
        ax,
        curve(score, ~anomalous, anomalous),
        point,
        f"ROC, area {auroc(score, anomalous):.3f}",
        1,
        "false-positive rate",
        "recall",
    )


def _pro(ax: Axes, state: State) -> None:
    threshold, good, share, line, area = _overlaps(state.sigma, state.upsampling)
    above = threshold > state.threshold
    point = [float(pixels[above].sum() / pixels.sum()) for pixels in (good, share)]
    _curve(ax, line, point, f"PRO, area {area:.3f}", PRO_LIMIT, "false pixels", "overlap")


def _curve(
    ax: Axes,
    line: tuple[torch.Tensor, torch.Tensor],
    point: tuple[float, float],
    title: str,
    end: float,
    xlabel: str,
    ylabel: str,
) -> None:
    ax.plot(*line, color="dimgrey")
    ax.plot(*point, "o", color=colours.QUERY, clip_on=False, zorder=3)
    ax.set(xlim=(0, end), ylim=(0, 1.02))
    figures.ticks(ax, (0, end), (0, 1), title, xlabel, ylabel)


@lru_cache(maxsize=8)
def _overlaps(
    sigma: float, upsampling: str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor], float]:
    """Of all test maps: good pixels and overlap at each threshold, the PRO curve in 200 points, and its area."""
    maps = anomaly_map(model("brick")[1].patch_distance, SIZE, sigma, upsampling)
    threshold, good, _, share = counted(maps, "brick")
    x, y = curve(threshold, good, share)
    shown = torch.searchsorted(x, torch.linspace(0, PRO_LIMIT, 200, dtype=x.dtype))
    return threshold, good, share, (x[shown], y[shown]), curve_area(threshold, good, share, PRO_LIMIT)


class AnomalyMap(Explorer):
    """Move σ and the threshold: the map, its overlap with the defect, and which photographs raise an alarm."""

    State = State
    render = staticmethod(render)
