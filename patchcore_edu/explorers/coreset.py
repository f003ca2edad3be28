"""Explorer of eq. (5) and Algorithm 1: entries chosen one by one, and the worst covered patch."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.cluster import kmeans_plusplus
from sklearn.decomposition import PCA

from patchcore_edu import colours, figures
from patchcore_edu.coreset import greedy_coreset, random_projection
from patchcore_edu.explorers.machinery.base import Explorer, Picture, steps, whole
from patchcore_edu.explorers.machinery.photographs import photographs, seen_in
from patchcore_edu.memory_bank import MemoryBank, memory_bank
from patchcore_edu.patch_set import patch_set

PHOTOGRAPHS = 4
SIZES = (*range(1, 21), 25, 30, 40, 50, 60, 80, 100, 125, 157, 200, 250, 313)
"""The values of l, up to 10 % of the bank."""
PSI = {"none": 0, "128": 128, "32": 32, "8": 8, "2": 2}
STYLES = {"greedy": (colours.CORESET, "-"), "random": ("dimgrey", "--"), "k-means++": ("black", "-.")}
STRIDE = 8
BINS = 64
TOP, BOTTOM, WIDE = 35, 347, 325
"""Where each of the two planes lies on the sheet."""


class State(traitlets.HasTraits):
    """l, the random start, and how many dimensions ψ leaves to guide the choice."""

    l = steps("l, rows kept", 12, SIZES)  # noqa: E741 - the paper's letter
    start = whole("Start, a seed", 0, 0, 9)
    psi = steps("ψ, dimensions", 0, PSI)


@dataclass(frozen=True)
class Cover:
    """Rows in the order chosen, and for each of `SIZES` every entry's distance to the rows chosen so far."""

    chosen: torch.Tensor
    distance: np.ndarray

    @property
    def radius(self) -> np.ndarray:
        """Eq. (5) for each of `SIZES`."""
        return self.distance.max(1)


def render(state: State) -> Picture:
    """The entries chosen greedily and at random on the plane, and the covering radius against l."""
    size, step = state.l, SIZES.index(state.l)
    covers = {
        "greedy": _greedy(state.start, state.psi),
        "random": _random(state.start),
        "k-means++": _seeding(),
    }
    radius = {name: float(cover.radius[step]) for name, cover in covers.items()}
    bank = _bank()
    n = len(bank)
    guide = f"guided by ψ({state.psi}), " if state.psi else ""
    worse = radius["random"] - radius["greedy"]
    verdict = f"{abs(worse):.1f} {'farther' if worse > 0 else 'nearer'}" if abs(worse) >= 0.05 else "as far"
    return Picture(
        figure=_figure(covers, step),
        caption=f"With {size} of {n:,} rows, {guide}the worst covered patch is {radius['greedy']:.1f} from the greedy "
        f"M_C; the random choice leaves one {verdict}. Bright: badly covered.",
        formula="max over m ∈ M of min over n ∈ M_C of ‖m − n‖₂ = "
        + ", ".join(f"{value:.1f} ({name})" for name, value in radius.items()),
        numbers={
            "l": f"{size} of N = {n:,} ({size / n:.1%})",
            "M": f"the patches of {PHOTOGRAPHS} of the 32 good photographs: few, so every slider responds at once",
            "mean distance to M_C": ", ".join(
                f"{cover.distance[step].mean():.1f} ({name})" for name, cover in covers.items()
            )
            + ": greedy lowers the worst distance, not the mean",
            "k-means++": "the seeding of k-means, always from seed 0; the start moves the other two",
            "last row chosen by greedy": seen_in(bank, int(covers["greedy"].chosen[size - 1])),
            "worst covered by greedy": seen_in(bank, int(covers["greedy"].distance[step].argmax())),
            "worst covered by random": seen_in(bank, int(covers["random"].distance[step].argmax())),
        },
    )


@lru_cache(maxsize=1)
def _bank() -> MemoryBank:
    phi = photographs("brick", "train").phi
    return memory_bank(patch_set({j: phi[j][:PHOTOGRAPHS] for j in (2, 3)}))


@lru_cache(maxsize=1)
def _plane() -> np.ndarray:
    return PCA(2, random_state=0).fit_transform(_bank().vectors.numpy())


@lru_cache(maxsize=1)
def _squares() -> tuple[np.ndarray, tuple[float, ...]]:
    """The square of the plane that each entry falls into, counted row by row, and the plane's extent."""
    low, high = _plane().min(0) - 1, _plane().max(0) + 1
    column, row = ((_plane() - low) / (high - low) * BINS).astype(int).T
    return row * BINS + column, (low[0], high[0], low[1], high[1])


@lru_cache(maxsize=16)
def _greedy(seed: int, psi: int) -> Cover:
    vectors = _bank().vectors
    guide = random_projection(vectors, psi, seed) if psi else vectors
    return _cover(greedy_coreset(guide, size=SIZES[-1], seed=seed))


@lru_cache(maxsize=16)
def _random(seed: int) -> Cover:
    # The first row is the one that greedy starts from with the same seed.
    return _cover(torch.randperm(len(_bank()), generator=torch.Generator().manual_seed(seed))[: SIZES[-1]])


@lru_cache(maxsize=1)
def _seeding() -> Cover:
    # With one trial per step, a shorter choice is the beginning of a longer one.
    _, rows = kmeans_plusplus(_bank().vectors.numpy(), SIZES[-1], random_state=0, n_local_trials=1)
    return _cover(torch.from_numpy(rows).long())


def _cover(chosen: torch.Tensor) -> Cover:
    vectors = _bank().vectors
    added = torch.cdist(vectors[chosen], vectors).split(np.diff(SIZES, prepend=0).tolist())
    return Cover(chosen, torch.stack([distance.amin(0) for distance in added]).cummin(0).values.numpy())


def _figure(covers: dict[str, Cover], step: int) -> Figure:
    figure = Figure(figsize=(11, 3.9))
    sheet = figures.sheet(figure, (0, 0, 1, 1), 1100, 390)
    high = float(covers["greedy"].radius[0])
    for left, name in ((33, "greedy"), (380, "random")):
        _entries(sheet, left, covers[name], step, high, name)
    sheet.text(24, 191, "second principal direction", fontsize=9, rotation=90, ha="right", va="center")
    size = SIZES[step]
    _close_up(sheet, 780, int(covers["greedy"].chosen[size - 1]), f"greedy: row {size}", colours.CORESET)
    worst = int(covers["random"].distance[step].argmax())
    _close_up(sheet, 950, worst, "random: worst covered", colours.ANOMALY)
    high *= 1.05
    ax = figure.add_axes((0.7, 0.48, 0.29, 0.43), xlim=(0.8, 400), ylim=(0, high), xscale="log")
    for i, (name, cover) in enumerate(covers.items()):
        colour, dashes = STYLES[name]
        ax.plot(SIZES, cover.radius, color=colour, ls=dashes, lw=2)
        ax.plot(SIZES[step], cover.radius[step], "o", color=colour)
        y = 0.09 * (3 - i)
        ax.plot([0.03, 0.11], [y, y], color=colour, ls=dashes, lw=2, transform=ax.transAxes)
        ax.text(0.14, y, name, fontsize=9, va="center", transform=ax.transAxes)
    ax.axvline(SIZES[step], color="lightgrey", zorder=0)
    figures.ticks(ax, (1, 10, 100, 313), figures.round_numbers(0, high, 5), "covering radius against l")
    return figure


def _entries(ax: Axes, left: float, cover: Cover, step: int, high: float, name: str) -> None:
    """The plane, coloured by the distance of what is worst covered in each square, and the entries chosen so far."""
    distance = cover.distance[step]
    square, (x0, x1, y0, y1) = _squares()
    worst_in = np.full(BINS * BINS, -np.inf)
    np.maximum.at(worst_in, square, distance)
    shown = np.where(np.isinf(worst_in), np.nan, worst_in).reshape(BINS, BINS)
    # An image of squares is drawn many times as fast as thousands of dots.
    colour = colormaps[colours.MAP].with_extremes(bad="gainsboro")
    ax.imshow(shown[::-1], colour, vmin=0, vmax=high, extent=(left, left + WIDE, BOTTOM, TOP), aspect="auto")
    at = _plane() - (x0, y0)
    place = (left, BOTTOM) + at / (x1 - x0, y1 - y0) * (WIDE, TOP - BOTTOM)
    chosen = place[cover.chosen[: SIZES[step]].numpy()]
    ax.plot(*chosen.T, "o", ms=5 if len(chosen) <= 60 else 3, color=colours.CORESET, mec="white", mew=0.6)
    label = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
    for i, at in enumerate(chosen if name == "greedy" and len(chosen) <= 20 else ()):
        ax.annotate(str(i + 1), at, (4, 4), textcoords="offset points", fontsize=9, bbox=label)
    worst = place[distance.argmax()]
    ax.plot(*worst, "o", ms=13, mfc="none", mec=colours.ANOMALY, mew=2.5)
    middle = left + WIDE / 2
    ax.text(middle, TOP - 9, f"{name}: worst covered at {distance.max():.1f}", fontsize=10, ha="center")
    ax.text(middle, BOTTOM + 6, "first principal direction", fontsize=9, ha="center", va="top")


def _close_up(ax: Axes, left: float, row: int, title: str, colour: str) -> None:
    """The surroundings of an entry on its photograph, at 130 %, with its 3 × 3 cells framed."""
    bank, reach, side, below = _bank(), 48, 124, 382
    h, w = (bank.position[row] * STRIDE + STRIDE // 2).tolist()
    top, first = (min(max(at - reach, 0), 224 - 2 * reach) for at in (h, w))
    crop = photographs("brick", "train").images[bank.image[row], 0, top : top + 2 * reach, first : first + 2 * reach]
    ax.imshow(crop.numpy(), "gray", vmin=0, vmax=1, extent=(left, left + side, below, below - side))
    scale = side / (2 * reach)
    y, x = below - side + (h - 12 - top) * scale, left + (w - 12 - first) * scale
    figures.frame(ax, y, x, 24 * scale, 24 * scale, colour)
    ax.text(left + side / 2, below - side - 6, title, ha="center", fontsize=9)


class Coreset(Explorer):
    """Move l, the start and ψ: the chosen entries on a plane, and the covering radius of three ways to choose."""

    State = State
    render = staticmethod(render)
