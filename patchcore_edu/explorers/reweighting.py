"""Explorer of eq. (7) in a plane: drag a test patch between a crowd of entries and a single one, and watch w."""

from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from patchcore_edu import colours, figures
from patchcore_edu.anomaly_score import reweighting_factor
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, steps
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.nearest_neighbours import nearest_neighbours

SIDE, STEP = 48, 7
"""Places across the plane, and the pixels of each on the canvas."""
LEFT, TOP, EXTENT = -2.0, 4.5, 9.0
CROWD = 30


class State(traitlets.HasTraits):
    """b, and where the test patch is."""

    b = steps("b, neighbours of m*", 9, (1, 2, 3, 5, 9, 20, 31))
    h = Whole(14, min=0, max=SIDE - 1)
    w = Whole(11, min=0, max=SIDE - 1)


def render(state: State) -> Picture:
    """The test patch, its nearest entry m*, lines to all of N_b(m*), w and s."""
    bank, b = _bank(), state.b
    test_patch = _places()[state.h, state.w][None]
    distance, nearest = nearest_neighbours(test_patch, bank)
    _, support = nearest_neighbours(bank[nearest[0]], bank, k=b)
    to_support = (bank[support[0]] - test_patch).norm(dim=1)
    s_star, kept = float(distance), float(_factors(b)[state.h, state.w])
    alone = "the single entry" if int(nearest) == CROWD else "an entry of the crowd"
    others = f"the others of N_b are {to_support[1:].min():.1f} to {to_support[1:].max():.1f} away" if b > 1 else ""
    return Picture(
        figure=_figure(test_patch[0], bank[support[0]], s_star, kept),
        caption=f"m* is {alone}, {s_star:.2f} away; {others or 'b = 1 means no re-weighting'}: w = {kept:.3f}.",
        formula=f"s = w · s* = {kept:.3f} · {s_star:.2f} = {kept * s_star:.2f}",
        numbers={
            "range of w": "1, without re-weighting" if b == 1 else f"from 1 − 1/{b} = {1 - 1 / b:.3f} to below 1",
            "share of m* in the sum": "not used" if b == 1 else f"{1 - kept:.1%}",
            "distances to N_b(m*)": ", ".join(f"{d:.1f}" for d in to_support[:10]) + ", …" * (b > 10),
        },
        canvas={
            "image": _picture(b),
            "alt": "A plane with a crowd of entries on the left and a single entry on the right; bright: w close to 1.",
            "rows": SIDE,
            "columns": SIDE,
            "place": "test patch at row {h}, column {w}",
            "boxes": _entries(),
        },
    )


@lru_cache(maxsize=1)
def _bank() -> torch.Tensor:
    crowd = 0.35 * torch.randn(CROWD, 2, generator=torch.Generator().manual_seed(3))
    return torch.cat([crowd, torch.tensor([[5.0, 0.0]])])


@lru_cache(maxsize=1)
def _places() -> torch.Tensor:
    """The middle of each place, (SIDE, SIDE, 2): feature 0 to the right, feature 1 upwards."""
    along = (torch.arange(SIDE) + 0.5) * EXTENT / SIDE
    y, x = torch.meshgrid(TOP - along, LEFT + along, indexing="ij")
    return torch.stack([x, y], dim=2)


@lru_cache(maxsize=8)
def _factors(b: int) -> torch.Tensor:
    places = _places().flatten(0, 1)
    _, nearest = nearest_neighbours(places, _bank())
    return reweighting_factor(places, nearest[:, 0], _bank(), b).view(SIDE, SIDE)


@lru_cache(maxsize=8)
def _picture(b: int) -> bytes:
    low = 1 - 1 / b if b > 1 else 0
    return png(np.kron(_factors(b).numpy(), np.ones((STEP, STEP))), low, 1, colours.FEATURE)


@lru_cache(maxsize=1)
def _entries() -> list[dict[str, object]]:
    pixels = (_bank() - torch.tensor([LEFT, TOP])) * torch.tensor([1, -1]) * STEP * SIDE / EXTENT
    return [
        {"x": x - 2, "y": y - 2, "width": 4, "height": 4, "colour": colours.BANK, "label": ""}
        for x, y in pixels.tolist()
    ]


def _figure(test_patch: torch.Tensor, support: torch.Tensor, s_star: float, kept: float) -> Figure:
    figure, axes = figures.grid(1, 1, width=6.8, height=4.4)
    ax = axes[0, 0]
    ax.scatter(*_bank().T, color=colours.BANK, s=25)
    for k, entry in enumerate(support):
        colour, width = (colours.NEAREST, 3) if k == 0 else (colours.CORESET, 0.7)
        ax.plot(*zip(test_patch.tolist(), entry.tolist(), strict=True), color=colour, lw=width, zorder=1)
    ax.scatter(*test_patch, color=colours.QUERY, s=70, marker="X", zorder=2)
    ax.annotate(f"s* = {s_star:.2f}\nw = {kept:.3f}", test_patch.tolist(), (9, 6), textcoords="offset points")
    ax.set(
        xlim=(LEFT, LEFT + EXTENT),
        ylim=(TOP - EXTENT, TOP),
        xlabel="feature 0",
        ylabel="feature 1",
        title="green: to m*; blue: to the rest of N_b(m*)",
    )
    ax.set_aspect("equal")
    return figure


class Reweighting(Explorer):
    """Drag a test patch over a plane, move b: lines to N_b(m*), w and s."""

    State = State
    render = staticmethod(render)
