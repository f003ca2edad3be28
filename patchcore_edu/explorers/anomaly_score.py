"""Explorer of eqs. (6) and (7): the nearest entry to a test patch, its b neighbours, and what b does to the score."""

from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcore_edu import colours, figures
from patchcore_edu.anomaly_score import image_score, max_patch_score, reweighting_factor
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, steps, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import model, photographs, seen_in
from patchcore_edu.metrics import auroc
from patchcore_edu.nearest_neighbours import nearest_neighbours

SIDE, STRIDE = 28, 8
REACH = 20
"""Pixels shown on each side of a neighbour's middle."""
COLUMNS, ROWS = 5, 2


class State(traitlets.HasTraits):
    """A test photograph, one of its patches, and b."""

    photograph = whole("Photograph, 0–39", 16, 0, 39)
    b = steps("b, neighbours of m*", 9, (1, 2, 3, 5, 9, 20, 50))
    h = Whole(12, min=0, max=SIDE - 1)
    w = Whole(9, min=0, max=SIDE - 1)


def render(state: State) -> Picture:
    """The entry nearest to the patch at (h, w), N_b(m*), w and s with their numbers, and the ranking of all images."""
    fitted, tests = model("brick")
    bank, i, b = fitted.bank, state.photograph, state.b
    patch = _patches()[i, state.h, state.w]
    nearest = int(tests.nearest[i, state.h, state.w])
    _, support = nearest_neighbours(bank.vectors[[nearest]], bank.vectors, k=b)
    to_support = (bank.vectors[support[0]] - patch).norm(dim=1)
    distance = float((bank.vectors[nearest] - patch).norm())
    kept = float(reweighting_factor(patch[None], torch.tensor([nearest]), bank.vectors, b))

    s_star, worst = max_patch_score(tests.patch_distance)
    s = _scores(b)
    top = divmod(int(worst[i]), SIDE)
    here = f"({state.h}, {state.w})"
    role = (
        f"the worst patch of this photograph, so its score is s = {s[i]:.2f}"
        if top == (state.h, state.w)
        else f"the worst patch is at {top}, {s_star[i]:.1f} away, and it alone sets the score"
    )
    anomalous = torch.tensor([sample.anomalous for sample in photographs("brick", "test").dataset])
    return Picture(
        figure=_figure(state, nearest, support[0], to_support, s_star, s, anomalous),
        caption=f"The patch at {here} is {distance:.1f} from its nearest entry m*; {role}.",
        formula=_formula(b, distance, to_support, kept),
        numbers={
            "m*": seen_in(bank, nearest),
            "distances to N_b(m*)": ", ".join(f"{d:.1f}" for d in to_support[:10]) + ", …" * (b > 10),
            "this photograph": f"s* = {s_star[i]:.2f} at {top}, s = {s[i]:.2f}",
            "image AUROC": f"{auroc(s_star, anomalous):.3f} by s*, {auroc(s, anomalous):.3f} by s",
        },
        canvas={
            "image": _photograph(i),
            "alt": f"Test photograph {i} of a brick wall, {photographs('brick', 'test').dataset[i].defect}.",
            "rows": SIDE,
            "columns": SIDE,
            "p": 3,
            "boxes": [_box(*top, "worst patch")],
        },
    )


def _formula(b: int, distance: float, to_support: torch.Tensor, kept: float) -> str:
    if b == 1:
        return f"b = 1: no re-weighting, w = 1, and w · {distance:.1f} = {distance:.1f}"
    terms = [f"exp({d:.1f})" for d in to_support[:4]]
    below = " + ".join(terms) + (f" + … {b - 4} more" if b > 4 else "")
    return f"w = 1 − exp({distance:.1f}) / ({below}) = {kept:.5f}, and w · {distance:.1f} = {kept * distance:.2f}"


def _box(h: int, w: int, label: str) -> dict[str, object]:
    size = STRIDE + 2
    return {
        "x": w * STRIDE - 1,
        "y": h * STRIDE - 1,
        "width": size,
        "height": size,
        "colour": colours.QUERY,
        "label": label,
    }


@lru_cache(maxsize=1)
def _patches() -> torch.Tensor:
    return model("brick")[0].patches_of(photographs("brick", "test").phi)


@lru_cache(maxsize=16)
def _scores(b: int) -> torch.Tensor:
    fitted, tests = model("brick")
    return image_score(_patches(), fitted.bank.vectors, b, (tests.patch_distance, tests.nearest))


@lru_cache(maxsize=40)
def _photograph(i: int) -> bytes:
    return png(photographs("brick", "test").images[i])


def _figure(
    state: State,
    nearest: int,
    support: torch.Tensor,
    to_support: torch.Tensor,
    s_star: torch.Tensor,
    s: torch.Tensor,
    anomalous: torch.Tensor,
) -> Figure:
    figure = Figure(figsize=(6.8, 4.4))
    bank = model("brick")[0].bank
    i, h, w = bank.origin(nearest)
    h, w = h * STRIDE, w * STRIDE
    ax = figures.sheet(figure, (0, 0.39, 1, 0.61), 640, 253)  # in pixels of the photograph
    image = photographs("brick", "train").images[i, 0].numpy()
    ax.imshow(image, "gray", vmin=0, vmax=1, extent=(5.5, 229.5, 250.5, 26.5))
    ax.text(117, 20, f"m* in good photograph {i}", fontsize=10, ha="center")
    figures.frame(ax, 27 + h - STRIDE, 6 + w - STRIDE, 3 * STRIDE, 3 * STRIDE, colours.NEAREST)
    _neighbours(ax, 250, 27, support, to_support)
    _ranking(figure.add_axes((0.075, 0.105, 0.915, 0.22)), state.photograph, s_star, s, anomalous)
    return figure


def _neighbours(ax: Axes, left: int, top: int, support: torch.Tensor, to_support: torch.Tensor) -> None:
    """The first ten neighbours in rows of five, 1.7 times as large as on the photograph."""
    bank, images = model("brick")[0].bank, photographs("brick", "train").images[:, 0]
    side, below, beside = 68, 34, 9
    share = torch.softmax(to_support, 0)
    for k, row in enumerate(support[: ROWS * COLUMNS].tolist()):
        y, x = (bank.position[row] * STRIDE + STRIDE // 2).tolist()
        # A neighbour at the border is shown on white.
        image = np.pad(images[bank.image[row]].numpy(), REACH, constant_values=1)[y : y + 2 * REACH, x : x + 2 * REACH]
        y, x = top + k // COLUMNS * (side + below), left + k % COLUMNS * (side + beside)
        ax.imshow(image, "gray", vmin=0, vmax=1, extent=(x, x + side, y + side, y))
        colour = colours.NEAREST if k == 0 else colours.CORESET
        figures.frame(ax, y + 14, x + 14, 41, 41, colour)
        text = f"{'m*, ' if k == 0 else ''}{to_support[k]:.1f}\n{share[k]:.1%}"
        ax.text(x + side / 2, y + side + 2, text, ha="center", va="top", fontsize=9, linespacing=1.0)
    ax.text(left, 20, f"the b = {len(support)} nearest to m*: distance, share of Σ exp", fontsize=10)


def _ranking(ax: Axes, i: int, s_star: torch.Tensor, s: torch.Tensor, anomalous: torch.Tensor) -> None:
    both = torch.stack([s_star, s]).numpy()
    height = np.array([1, 0])
    for y, kind, colour, label in (
        (1, ~anomalous, colours.BANK, "good"),
        (0.5, anomalous, colours.ANOMALY, "defective"),
    ):
        ax.plot(both[:, kind], height, color=colour, lw=0.8)
        ax.plot(both[:, kind].ravel(), height.repeat(int(kind.sum())), "o", color=colour, ms=5)
        ax.text(1, y, f"● {label}", color=colour, fontsize=9, va="center")
    ax.plot(both[:, i], height, "o-", color=colours.QUERY, ms=8, mfc="none", mew=2)
    ax.text(1, 0, "○ this photograph", color=colours.QUERY, fontsize=9, va="center")
    end = float(s_star.max()) + 2
    ax.set(xlim=(0, end), ylim=(-0.4, 1.4))
    title = "all 40 test photographs by their score, a distance"
    figures.ticks(ax, figures.round_numbers(0, end, 8), {0: "s", 1: "s*"}, title)


class AnomalyScore(Explorer):
    """Point at a test patch, move b: its nearest entry as a photograph, N_b(m*), w and s, and the ranking."""

    State = State
    render = staticmethod(render)
