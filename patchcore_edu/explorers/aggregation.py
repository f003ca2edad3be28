"""Explorer of eq. (2): what one number of f_agg's output averages, under four variants."""

from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from torch.nn.functional import pad

from patchcore_edu import colours
from patchcore_edu.aggregation import aggregate
from patchcore_edu.anomaly_score import patch_neighbours
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, steps, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import photographs

LEVEL, CHANNELS, SHAPE = 2, 40, (28, 28)
GOOD = 4
"""Photographs in each bank: enough for the maps to differ, few enough to fill a new bank while a slider moves."""
VARIANTS = {
    "zero": ("missing cells count as 0", {"border": "zero"}),
    "clip": ("cells that exist", {"border": "clip"}),
    "valid": ("no padding", {"border": "valid"}),
    "flattened": ("official, 1-D pooling", {"pooling": "flattened"}),
}
ZEROS = ("zero", "flattened")
"""Variants that count a cell past the border as 0."""
MIDDLE = 14
SHOWN = 3
"""Channels whose weights are drawn."""
TABLE, VECTOR, MAPS = 0.12, 3.2, 5.68
"""Where the three columns begin, in inches."""
WINDOW, STEP, WIDE, MAP = 0.74, 1.05, 2.2, 1.05
"""The width of a window of the table, the step to the next, the widths of a vector and of a map, in inches."""
TOP, HEIGHT, HIGH = 0.2, 0.56, 0.8
"""In rows of the figure: where pictures begin, the height of a window or a vector, and of a map."""


class State(traitlets.HasTraits):
    """A cell of the level-2 map of a test photograph, p, one number of the output, and the official code's `dim`."""

    photograph = whole("Photograph, 0–39", 16, 0, 39)
    p = steps("p, cells across", 3, (1, 3, 5, 7, 9))
    k = whole("Number k of the output", 10, 0, CHANNELS - 1)
    dim = steps("dim of flattened", 80, {"40 = c": 40, "60 = 1.5 c": 60, "80 = 2 c": 80, "160 = 4 c": 160})
    h = Whole(0, min=0, max=SHAPE[0] - 1)
    w = Whole(9, min=0, max=SHAPE[1] - 1)


def render(state: State) -> Picture:
    """For each variant: the weights behind number k of the output, the output vector, and the map of distances."""
    photograph, h, w, p, k, dim = (getattr(state, name) for name in ("photograph", "h", "w", "p", "k", "dim"))
    weights = {name: _weights(name, p, dim, h, w, k) for name in VARIANTS}
    vectors = {name: _at(_aggregated(name, p, dim, "test", photograph)[0], h, w) for name in VARIANTS}
    distances = {name: _distances(name, p, dim, photograph) for name in VARIANTS}
    words = {name: _words(name, weights[name], _complete(name, p, dim, k)) for name in VARIANTS}
    numbers = {}
    for name in VARIANTS:
        row, column = divmod(int(distances[name].nan_to_num(-1).argmax()), SHAPE[1])
        value = "(h, w) is left out" if vectors[name] is None else f"{_signed(vectors[name][k])} = {words[name]}"
        far = distances[name][row, column]
        numbers[f"{name}, number {k}"] = f"{value}; largest distance {far:.1f} at ({row}, {column})"
    return Picture(
        figure=_figure(state, weights, vectors, distances),
        caption=f"Channels, or height and width? Number {k} under zero: {words['zero']}. "
        f"Under flattened with dim = {dim}: {words['flattened']}.",
        formula=_formula(weights["zero"], photographs("brick", "test").phi[LEVEL][photograph], vectors["zero"][k]),
        numbers=numbers,
        canvas={
            "image": _photograph(photograph),
            "alt": f"Test photograph {photograph} of a brick wall under the 28 × 28 cells of level 2.",
            "rows": SHAPE[0],
            "columns": SHAPE[1],
            "p": p,
        },
    )


def _words(name: str, weights: torch.Tensor, complete: torch.Tensor) -> str:
    """In words, which channels and cells these weights (c, h*, w*) average."""
    channels = weights.amax((1, 2)).nonzero().flatten().tolist()
    numbers, cells = int((weights > 0).sum()), int((weights.amax(0) > 0).sum())
    zeros = int((complete > 0).sum()) - numbers if name in ZEROS else 0
    if not channels:
        return f"mean of {zeros} zeros from past the border"
    of = f"channel {channels[0]}" if len(channels) == 1 else f"channels {channels[0]} to {channels[-1]}"
    count = f"{cells} cell{'s' * (cells > 1)}"
    count = count if len(channels) == 1 else f"{numbers} numbers at {count}"
    return f"mean of {count} of {of}" + f" and {zeros} zeros" * (zeros > 0)


def _signed(value: float, digits: int = 3) -> str:
    return f"{float(value):.{digits}f}".replace("-", "−")


def _formula(weights: torch.Tensor, phi: torch.Tensor, value: float) -> str:
    [channel] = weights.amax((1, 2)).nonzero().flatten().tolist()
    terms = [_signed(number, 2) for number in phi[channel][weights[channel] > 0]]
    divisor = round(1 / float(weights.max()))
    shown = " + ".join(terms if len(terms) <= 9 else [*terms[:7], f"… {len(terms) - 7} more"]).replace("+ −", "− ")
    zeros = f" + {divisor - len(terms)} zeros" if divisor > len(terms) else ""
    return f"f_agg, zero, channel {channel}: ({shown}{zeros}) / {divisor} = {_signed(value)}"


def _complete(name: str, p: int, dim: int, k: int) -> torch.Tensor:
    """The weights in the middle of the map, where no border cuts them."""
    return _weights(name, p, dim, MIDDLE, MIDDLE, k)


@lru_cache(maxsize=256)
def _weights(name: str, p: int, dim: int, h: int, w: int, k: int) -> torch.Tensor:
    """(c, h*, w*): how much each number of φ contributes to number k at (h, w): its gradient, since f_agg is linear."""
    phi, aggregated = _traced(name, p, dim)
    with torch.inference_mode(False), torch.enable_grad():  # even if the reader has switched gradients off
        vector = _at(aggregated, h, w)
        if vector is None:
            return torch.zeros(phi.shape[1:])
        [[weights]] = torch.autograd.grad(vector[k], phi, retain_graph=True)
    return weights.clone()  # a copy, without the rest of the memory that the gradient keeps alive


@lru_cache(maxsize=len(VARIANTS))
def _traced(name: str, p: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Some φ and its f_agg, with the graph that links them."""
    with torch.inference_mode(False), torch.enable_grad():
        phi = torch.zeros(1, CHANNELS, *SHAPE, requires_grad=True)
        return phi, aggregate(phi, p, **VARIANTS[name][1], dim=dim)[0]


def _at(aggregated: torch.Tensor, h: int, w: int) -> torch.Tensor | None:
    """The vector at (h, w) of a map (d, h', w') that may have lost its border, or None where it has."""
    lost = (SHAPE[0] - aggregated.shape[1]) // 2
    kept = lost <= h < SHAPE[0] - lost and lost <= w < SHAPE[1] - lost
    return aggregated[:, h - lost, w - lost] if kept else None


@lru_cache(maxsize=16)
def _aggregated(name: str, p: int, dim: int, split: str, photograph: int | None = None) -> torch.Tensor:
    which = slice(GOOD) if photograph is None else [photograph]
    return aggregate(photographs("brick", split).phi[LEVEL][which], p, **VARIANTS[name][1], dim=dim)


@lru_cache(maxsize=256)
def _distances(name: str, p: int, dim: int, photograph: int) -> torch.Tensor:
    """(h*, w*): each patch's distance to the nearest patch of the good photographs, same variant; NaN: left out."""
    patches = _aggregated(name, p, dim, "test", photograph).permute(0, 2, 3, 1)
    bank = _aggregated(name, p, dim, "train").permute(0, 2, 3, 1).flatten(0, 2)
    distance, _ = patch_neighbours(patches, bank)
    lost = (SHAPE[0] - distance.shape[1]) // 2
    return pad(distance[0], [lost] * 4, value=torch.nan)


@lru_cache(maxsize=40)
def _photograph(photograph: int) -> bytes:
    return png(photographs("brick", "test").images[photograph])


def _figure(state: State, weights: dict, vectors: dict, distances: dict) -> Figure:
    """A row for each variant: row i reaches from y = i to i + 1."""
    figure = Figure(figsize=(6.8, 5.4))
    # One set of axes, with x in inches: every further one takes as long to create as all the numbers in it.
    ax = figure.add_axes((0, 0, 1, 0.95))
    ax.set_axis_off()
    for x, title in ((TABLE, f"Number {state.k} averages"), (VECTOR, "Vector at (h, w)"), (MAPS, "Distances")):
        ax.text(x, -0.1, title, fontsize=10)
    for row, name in enumerate(VARIANTS):
        ax.text(TABLE, row + 0.14, f"{name}: {VARIANTS[name][0]}", fontsize=10, weight="bold")
    _maps(ax, torch.stack(list(distances.values())), state)
    _table(ax, weights, state)
    _vectors(ax, list(vectors.values()), state.k)
    ax.set(xlim=(0, 6.8), ylim=(4, 0))
    return figure


def _table(ax: Axes, weights: dict[str, torch.Tensor], state: State) -> None:
    """The p × p windows of three channels, and what a cell weighs; off the map: grey, or pale where a 0 counts."""
    p, r = state.p, state.p // 2
    side = WINDOW / p
    corners, colour = [], []
    for row, (name, of_phi) in enumerate(weights.items()):
        complete = _complete(name, state.p, state.dim, state.k)
        used = complete.amax((1, 2)).nonzero().flatten().tolist()
        first = min(max(used[0] - (len(used) < SHOWN), 0), CHANNELS - SHOWN)
        padded = pad(of_phi[first : first + SHOWN], [r] * 4, value=torch.nan)
        windows = padded[:, state.h : state.h + p, state.w : state.w + p].numpy()
        middle = slice(MIDDLE - r, MIDDLE + r + 1)
        padding = (complete[first : first + SHOWN, middle, middle] > 0).numpy() & (name in ZEROS)
        for (i, a, b), weight in np.ndenumerate(windows):
            corners.append((TABLE + STEP * i + side * b, row + TOP + HEIGHT / p * a))
            off = np.isnan(weight)
            counts = padding[i, a, b] if off else weight > 0
            colour.append((colours.NEIGHBOURHOOD, 0.3 if off else 1) if counts else "lightgrey" if off else "white")
        text = f"channels {first} to {first + SHOWN - 1}"
        if of_phi.any():
            text += f"; orange cells weigh 1/{1 / of_phi.max():.0f}"
        ax.text(TABLE, row + TOP + HEIGHT + 0.12, text, fontsize=9)
    _boxes(ax, np.array(corners), (side, HEIGHT / p), facecolors=colour, edgecolors="grey", linewidths=0.6)


def _vectors(ax: Axes, vectors: list[torch.Tensor | None], k: int) -> None:
    largest = max(float(vector.abs().max()) for vector in vectors if vector is not None)
    for row, vector in enumerate(vectors):
        middle = row + TOP + HEIGHT / 2
        if vector is None:
            ax.text(VECTOR + WIDE / 2, middle, "(h, w) is left out", ha="center", va="center", fontsize=9)
            continue
        step = WIDE / len(vector)
        left = VECTOR + step * np.arange(len(vector))
        size = np.stack([np.full(len(vector), step), -HEIGHT / 2 * vector.numpy() / largest], 1)  # y grows downwards
        colour = np.where(np.arange(len(vector)) == k, colours.QUERY, colours.NEIGHBOURHOOD)
        _boxes(ax, np.stack([left, np.full(len(vector), middle)], 1), size, facecolors=colour)
        ax.plot([VECTOR, VECTOR + WIDE], [middle] * 2, color="grey", lw=0.6)
        ax.plot([left[k] + step / 2] * 2, [row + TOP + HEIGHT, row + TOP + HEIGHT + 0.06], color=colours.QUERY)
        text = f"{len(vector)} numbers, number {k} = {_signed(vector[k], 2)}"
        ax.text(VECTOR, row + TOP + HEIGHT + 0.17, text, fontsize=9)


def _boxes(ax: Axes, corner: np.ndarray, size: np.ndarray | tuple[float, float], **style) -> None:
    """Rectangles, all at once, from corners (n, 2) and their width and height."""
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    ax.add_collection(PolyCollection(corner[:, None] + unit * np.reshape(size, (-1, 1, 2)), **style))


def _maps(ax: Axes, distances: torch.Tensor, state: State) -> None:
    """The four maps on one scale."""
    largest = distances.nan_to_num(0).amax((1, 2))
    colour = colormaps[colours.MAP].with_extremes(bad="lightgrey")
    for row, distance in enumerate(distances):
        top = row + TOP - 0.06
        extent = (MAPS, MAPS + MAP, top + HIGH, top)
        ax.imshow(distance.numpy(), cmap=colour, vmin=0, vmax=largest.max(), extent=extent, aspect="auto")
        ax.text(MAPS, top - 0.03, f"largest {largest[row]:.1f}", fontsize=9)
    place = (np.array([state.w, state.h]) + 0.5) / SHAPE
    x, y = MAPS + MAP * place[0], TOP - 0.06 + HIGH * place[1]
    ax.plot([x] * 4, y + np.arange(4), "s", ms=4, mfc="none", mec="white")


class Aggregation(Explorer):
    """Point at a cell: what one output number averages, the vector and the map, under four variants of f_agg."""

    State = State
    render = staticmethod(render)
