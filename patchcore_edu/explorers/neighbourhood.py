"""Explorer of eq. (1): a close-up of N_p, its cells, and what happens to it at the border.

On the photograph, N_p is drawn by `machinery/canvas.js`, and by `machinery/canvas.py` where there is no browser.
"""

from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from patchcore_edu import colours, figures
from patchcore_edu.aggregation import BORDERS, aggregate
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, choice, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.neighbourhood import neighbourhood, radius

SHAPE = (28, 28)
RULES = {
    "zero: missing cells count as 0": "zero",
    "clip: only cells that exist count": "clip",
    "valid: an incomplete N_p is left out": "valid",
}
assert set(RULES.values()) == set(BORDERS)


class State(traitlets.HasTraits):
    """A cell of the level-2 map of one photograph, p, and the rule for the border."""

    h = Whole(0, min=0, max=SHAPE[0] - 1)
    w = Whole(9, min=0, max=SHAPE[1] - 1)
    p = whole("p, cells across", 3, 1, 9)
    border = choice("At the border", "zero", RULES)


def render(state: State) -> Picture:
    """N_p at (h, w): its cells, the formula, and f_agg's view of the border."""
    h, w, p = state.h, state.w, state.p
    r = radius(p, SHAPE)
    cells = neighbourhood(h, w, p, SHAPE)
    complete = neighbourhood(h, w, p)
    ones = aggregate(torch.ones(1, 1, *SHAPE), p, state.border)[0, 0]
    lost = (SHAPE[0] - ones.shape[0]) // 2
    kept = lost <= h < SHAPE[0] - lost and lost <= w < SHAPE[1] - lost

    figure = Figure(figsize=(6.8, 3.6))
    _close_up(figure.add_axes((0.075, 0.13, 0.44, 0.8)), state, cells, complete, kept)
    _ones(figure.add_axes((0.57, 0.13, 0.42, 0.8)), ones, state)

    a, b = ({cell[axis] for cell in cells} for axis in (0, 1))
    reach = f"[{{}} − ⌊{p}/2⌋, …, {{}} + ⌊{p}/2⌋]"
    value = f"{ones[h - lost, w - lost]:.3f}" if kept else "none: the location is left out"
    return Picture(
        figure=figure,
        caption=_caption(p, r, len(cells), len(complete), state.border, kept),
        formula=f"N_{p}^({h}, {w}) = {{(a, b) : a ∈ {reach.format(h, h)}, b ∈ {reach.format(w, w)}}}",
        numbers={
            f"|N_{p}|": f"{len(cells)} of {len(complete)} cells lie on the map of 28 × 28",
            "a, rows": ", ".join(map(str, sorted(a))),
            "b, columns": ", ".join(map(str, sorted(b))),
            "a one after f_agg": value,
            "cells (a, b)": " ".join(f"({a}, {b})" for a, b in cells),
        },
        canvas={
            "image": _photograph(),
            "alt": "A brick wall under the 28 × 28 cells of level 2.",
            "rows": SHAPE[0],
            "columns": SHAPE[1],
            "p": p,
            "border": state.border,
        },
    )


def _caption(p: int, r: int, inside: int, complete: int, border: str, kept: bool) -> str:
    if inside < complete:
        fate = {
            "clip": f"f_agg averages the {inside} that exist",
            "zero": f"f_agg divides the sum of {inside} by {complete}, so the border fades",
            "valid": "this location gets no vector, and the map shrinks",
        }[border]
        return f"{complete - inside} of the {complete} cells of N_{p} lie outside the map: {fate}."
    if p % 2 == 0:
        return f"p = {p} is even: ⌊{p}/2⌋ = {r}, as for p = {p + 1}, so N_{p} has {complete} cells, not {p * p}."
    if p == 1:
        return "p = 1: ⌊1/2⌋ = 0, so N_1 is the cell itself and f_agg changes nothing."
    return f"N_{p} reaches ⌊{p}/2⌋ = {r} cells each way: {complete} cells. Go to a corner to see the border's effect."


def _close_up(ax: Axes, state: State, cells: list, complete: list, kept: bool) -> None:
    r = radius(state.p)
    margin = max(r, 1) + 1.5
    rows, columns = SHAPE
    ax.imshow(_grey(), cmap="gray", vmin=0, vmax=1, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), alpha=0.6)
    zero = state.border == "zero"
    outside = [cell for cell in complete if cell not in cells]
    fill = dict(facecolor=colours.NEIGHBOURHOOD if kept else "none", alpha=0.75)
    _squares(ax, cells, edgecolor="black", lw=0.8, ls="-" if kept else "--", **fill)
    _squares(
        ax, outside, edgecolor="grey", lw=0.8, ls="--", facecolor="lightgrey" if state.border == "zero" else "none"
    )
    _squares(ax, [(state.h, state.w)], edgecolor=colours.QUERY, lw=3, facecolor="none")
    if r <= 2:
        for a, b in cells:
            ax.text(b, a, f"{a}, {b}", ha="center", va="center", fontsize=9 if r < 2 else 8)
    if zero:
        for a, b in outside:
            ax.text(b, a, "0", ha="center", va="center", fontsize=9)
    ax.set_xlim(state.w - margin, state.w + margin)
    ax.set_ylim(state.h + margin, state.h - margin)
    x = [b for b in range(state.w - r - 1, state.w + r + 2) if 0 <= b < columns]
    y = [a for a in range(state.h - r - 1, state.h + r + 2) if 0 <= a < rows]
    figures.ticks(ax, x, y, f"N{chr(0x2080 + state.p)} at (h, w) = ({state.h}, {state.w})", "column b", "row a")


def _ones(ax: Axes, ones: torch.Tensor, state: State) -> None:
    lost = (SHAPE[0] - ones.shape[0]) // 2
    padded = np.pad(ones.numpy(), lost, constant_values=np.nan)
    colour = colormaps[colours.FEATURE].with_extremes(bad="lightgrey")
    ax.imshow(padded, colour, vmin=0, vmax=1)
    figures.frame(ax, state.h, state.w, 1, 1, colours.QUERY)
    middle, last = SHAPE[0] // 2, SHAPE[0] - 1 - lost
    ax.text(middle, middle, f"inside {padded[middle, middle]:.2f}", ha="center", fontsize=9)
    near = last - radius(state.p) - 0.5
    border = f"edge {padded[last, middle]:.2f}, corner {padded[last, last]:.2f}"
    ax.text(near, near, border, ha="right", va="bottom", fontsize=9)
    xlabel = f"{ones.shape[0]} × {ones.shape[1]} locations" + ", grey: left out" * (lost > 0)
    figures.ticks(ax, title="A map of ones after f_agg", xlabel=xlabel)


def _squares(ax: Axes, cells: list, **style) -> None:
    ax.add_collection(PatchCollection([Rectangle((b - 0.5, a - 0.5), 1, 1) for a, b in cells], **style))


@lru_cache(maxsize=1)
def _photograph() -> bytes:
    return png(photographs("brick", "test").images[0])


def _grey() -> np.ndarray:
    return photographs("brick", "test").images[0, 0].numpy()


class Neighbourhood(Explorer):
    """Point at a cell, move p: N_p, its cells, the formula with these numbers, and the three rules for the border."""

    State = State
    render = staticmethod(render)
