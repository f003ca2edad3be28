"""Explorer of eq. (4): how large the bank gets, and where each of its entries was seen."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.linalg import eigh

from patchcore_edu import colours, figures
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, settings_that_fit, steps, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import backbone, photographs, seen_in
from patchcore_edu.memory_bank import MemoryBank, memory_bank
from patchcore_edu.neighbourhood import radius
from patchcore_edu.patch_set import patch_set

SIDE = 49
"""Rows and columns of the plane's cells that can be pointed at, of 8 pixels each."""
PIXELS = 8 * SIDE
LEVELS = {"1": (1,), "2": (2,), "3": (3,), "1 and 2": (1, 2), "2 and 3": (2, 3), "2, 3 and 4": (2, 3, 4)}


class State(traitlets.HasTraits):
    """What the bank is made of, and the place on the plane pointed at."""

    n = whole("n, photographs", 32, 1, 32)
    p = whole("p, cells across", 3, 1, 9)
    s = whole("s, stride", 1, 1, 4)
    levels = steps("Levels", (2, 3), LEVELS)
    h = Whole(12, min=0, max=SIDE - 1)
    w = Whole(12, min=0, max=SIDE - 1)


@dataclass(frozen=True)
class Plane:
    """A bank and its entries' places on the plane, (N, 2): x and y in pixels of the canvas."""

    bank: MemoryBank
    place: np.ndarray
    grid: tuple[int, int]


def render(state: State) -> Picture:
    """The bank on a plane, its size, and the photograph of the entry pointed at."""
    with settings_that_fit():
        r = radius(state.p, photographs("brick", "train").phi[state.levels[-1]].shape[2:])
    plane = _plane(state.n, state.p, state.s, state.levels)
    bank, (height, width) = plane.bank, plane.grid
    n, d = bank.vectors.shape
    aim = (np.array([state.w, state.h]) + 0.5) * PIXELS / SIDE
    row = int(np.square(plane.place - aim).sum(1).argmin())
    size = 4 * n * d
    return Picture(
        figure=_figure(state, bank, row),
        caption=f"{state.n} photographs give N = {n:,} entries of d = {d} numbers, {_bytes(size)}. "
        f"The entry pointed at comes from photograph {int(bank.image[row])}; its other entries are black.",
        formula=f"N = n · h′ · w′ = {state.n} · {height} · {width} = {n:,},  N · d · 4 bytes = {_bytes(size)}",
        numbers={
            "an entry averages": f"{(2 * r + 1) ** 2} cells of each level, ⌊{state.p}/2⌋ = {r} each way",
            "entry": seen_in(bank, row),
            "most similar in another photograph": _lookalike(bank, row),
            "dot": "violet to yellow: photograph 0 to " + str(state.n - 1),
        },
        canvas={
            "image": _dots(plane, int(bank.image[row])),
            "place": "The pointer picks the nearest dot",
            "alt": f"The {n:,} entries of the bank on the plane of their two principal directions.",
            "rows": SIDE,
            "columns": SIDE,
            "boxes": [_ring(plane.place[row])],
        },
    )


def _lookalike(bank: MemoryBank, row: int) -> str:
    same = bank.image == bank.image[row]
    if same.all():
        return "there is no other photograph"
    distance = torch.cdist(bank.vectors[[row]], bank.vectors, compute_mode="donot_use_mm_for_euclid_dist")[0]
    distance[same] = torch.inf
    nearest = int(distance.argmin())
    return f"{seen_in(bank, nearest)}, {distance[nearest]:.1f} away"


def _bytes(size: float) -> str:
    k = min(int(np.log2(size) // 10), 3)
    return f"{size / 1024**k:,.1f} {('bytes', 'KiB', 'MiB', 'GiB')[k]}"


@lru_cache(maxsize=4)
def _plane(n: int, p: int, s: int, levels: tuple[int, ...]) -> Plane:
    phi = photographs("brick", "train").phi
    patches = patch_set({j: phi[j][:n] for j in levels}, p, s)
    bank = memory_bank(patches, s)
    # A few thousand rows are enough for the principal directions of all.
    some = bank.vectors[:: 1 + len(bank) // 4096]
    d = some.shape[1]
    _, directions = eigh(torch.cov(some.T).numpy(), subset_by_index=(d - 2, d - 1))
    directions = torch.from_numpy(directions[:, ::-1].copy())
    # An eigenvector may point either way; this keeps the picture from flipping when a slider moves.
    directions *= directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    at = (bank.vectors @ directions).numpy()
    low, high = at.min(0), at.max(0)
    return Plane(bank, 4 + (at - low) / (high - low) * (PIXELS - 9), tuple(patches.shape[1:3]))


def _dots(plane: Plane, photograph: int) -> bytes:
    x, y = plane.place.astype(int).T
    i = plane.bank.image.numpy()
    n = int(i[-1]) + 1
    # Numbers of colours first, colours last: the bank may have a hundred thousand entries.
    number = np.full((PIXELS, PIXELS), n + 1)
    for down, right in product(range(2), range(2)):
        number[y + down, x + right] = i
    mine = i == photograph
    for down, right in product(range(3), range(3)):
        number[y[mine] + down, x[mine] + right] = n
    palette = colormaps[colours.FEATURE](np.linspace(0, 1, max(n, 2)))[:n, :3]
    black_and_white = np.array([[0.0] * 3, [1.0] * 3])
    return png(np.concatenate([palette, black_and_white])[number].transpose(2, 0, 1))


def _ring(place: np.ndarray) -> dict[str, object]:
    x, y = (int(at) - 5 for at in place)
    return {"x": x, "y": y, "width": 12, "height": 12, "colour": colours.NEAREST, "label": ""}


def _figure(state: State, bank: MemoryBank, row: int) -> Figure:
    figure = Figure(figsize=(6.8, 3.7))
    stride = backbone().strides[state.levels[0]]
    i, h, w = bank.origin(row)
    h, w = h * stride, w * stride
    ax = figures.sheet(figure, (0.01, 0.07, 0.46, 0.92), 224, 243)
    ax.imshow(photographs("brick", "train").images[i, 0].numpy(), "gray", vmin=0, vmax=1, extent=(0, 224, 243, 19))
    ax.text(112, 13, f"entry {row:,}, seen in photograph {i}", fontsize=10, ha="center")
    reach = state.p // 2 * stride
    side = 2 * reach + stride
    figures.frame(ax, 19.5 + h - reach, 0.5 + w - reach, side, side, colours.NEAREST)
    _sizes(figure.add_axes((0.5, 0.07, 0.475, 0.845)), *bank.vectors.shape)
    return figure


def _sizes(ax: Axes, n: int, d: int) -> None:
    """Bars on one logarithmic scale: this bank, its coreset, its table of distances, and a bank of the usual size."""
    usual = 209 * 28**2
    rows = (
        ("10 % of this bank", 0.1 * n * d * 4, colours.CORESET),
        ("this bank", n * d * 4, colours.BANK),
        (f"all {n:,}² distances", n * n * 4, colours.ANOMALY),
        ("209 · 28² entries of 1024 numbers", usual * 1024 * 4, colours.BANK),
        (f"all {usual:,}² distances", usual**2 * 4, colours.ANOMALY),
    )
    for k, (_, bytes_, colour) in enumerate(rows):
        ax.fill_between([10, np.log2(bytes_)], k - 0.22, k + 0.22, color=colour, lw=0)
    for k, (name, bytes_, _) in enumerate(rows):
        ax.text(10.3, k - 0.3, f"{name}: {_bytes(bytes_)}", fontsize=9, va="bottom")
    ax.set(xlim=(10, 40), ylim=(len(rows) - 0.6, -0.75))
    ax.vlines([20, 30], *ax.get_ylim(), color="lightgrey", lw=0.5, zorder=0)
    units = {10: "1 KiB", 20: "1 MiB", 30: "1 GiB", 40: "1 TiB"}
    figures.ticks(ax, units, title="memory: each line is 1,024 times the one before")


class Bank(Explorer):
    """Move n, p, s and the levels: the bank's size; point at an entry: the photograph in which it was seen."""

    State = State
    render = staticmethod(render)
