"""Explorer of §3.1: one channel of one level, the vector at a place, and the pixels that it depends on."""

from functools import lru_cache

import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcore_edu import colours, figures
from patchcore_edu.backbone import receptive_field
from patchcore_edu.explorers.machinery.base import Explorer, NothingToShow, Picture, settings_that_fit, steps, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import LEVELS, backbone, photographs
from patchcore_edu.explorers.machinery.places import Place
from patchcore_edu.feature_map import feature_vector

PIXELS = 224


class State(Place):
    """A test photograph, a level j, a channel c, and a cell of that level's map."""

    photograph = whole("Photograph, 0–39", 16, 0, 39)
    level = steps("Level j", 2, LEVELS)
    c = whole("Channel c", 0, 0, max(backbone().channels.values()) - 1)

    @property
    def finest(self) -> int:
        return self.level

    @traitlets.default("c")
    def _channel(self) -> int:
        # The one that shows the scratch best at level 2.
        return 31 if self.level > 1 else 0

    def _stay(self, change: dict) -> None:
        with self.hold_trait_notifications():
            super()._stay(change)
            self.c = min(self.c, backbone().channels[self.level] - 1)


def render(state: State) -> Picture:
    """The map of channel c, φ_j(h, w) as bars, and on the photograph the cell and all that it sees."""
    j, h, w, c = state.level, state.h, state.w, state.c
    channels, step = backbone().channels[j], backbone().strides[j]
    if c >= channels:
        raise NothingToShow(f"c was {c}; level {j} has the channels 0 to {channels - 1}")
    phi_j = photographs("brick", "test").phi[j][[state.photograph]]
    with settings_that_fit():
        vector = feature_vector(phi_j, h, w)[0]
    top, left, side = receptive_field(backbone(), j, h, w)
    unusual = (vector - phi_j[0].mean((1, 2))) / phi_j[0].std((1, 2))
    most = unusual.abs().topk(4).indices.tolist()
    rows, columns = _inside(top, side), _inside(left, side)
    seen = (rows[1] - rows[0]) * (columns[1] - columns[0]) / PIXELS**2
    return Picture(
        figure=_figure(state, phi_j[0, c], vector),
        caption=f"Cells of level {j} are {step} pixels apart, but each sees {side} × {side}: {seen:.0%} of this "
        "photograph.",
        formula=f"φ_{j}({h}, {w}) = ({', '.join(map(_number, vector[:3].tolist()))}, …, {_number(vector[-1])}), "
        f"{channels} numbers; number {c} is {_number(vector[c])}",
        numbers={
            "map": f"{channels} channels of {phi_j.shape[2]} × {phi_j.shape[3]} cells",
            "the cell, pixels": f"rows {h * step} to {(h + 1) * step - 1}, columns {w * step} to {(w + 1) * step - 1}",
            "what it sees": f"rows {rows[0]} to {rows[1] - 1}, columns {columns[0]} to {columns[1] - 1}"
            + (", and padding past the border" if (rows[1] - rows[0]) * (columns[1] - columns[0]) < side**2 else ""),
            "most unusual here": ", ".join(f"channel {m}: {_number(unusual[m], '+')} sd" for m in most)
            + " from its mean on this photograph",
        },
        canvas={
            "image": _photograph(state.photograph),
            "alt": f"Test photograph {state.photograph} of a brick wall under the cells of level {j}.",
            "rows": phi_j.shape[2],
            "columns": phi_j.shape[3],
            "boxes": [
                {
                    "x": columns[0],
                    "y": rows[0],
                    "width": columns[1] - columns[0],
                    "height": rows[1] - rows[0],
                    "colour": colours.QUERY,
                    "label": f"sees {side} × {side} pixels",
                }
            ],
        },
    )


def _inside(start: int, side: int) -> tuple[int, int]:
    """The first pixel on the photograph, and the one after the last."""
    return max(start, 0), min(start + side, PIXELS)


def _number(value: float, sign: str = "") -> str:
    return f"{float(value):{sign}.1f}".replace("-", "−")


@lru_cache(maxsize=40)
def _photograph(i: int) -> bytes:
    return png(photographs("brick", "test").images[i])


@lru_cache(maxsize=len(LEVELS))
def _limits(j: int) -> torch.Tensor:
    """(c_j,): each channel's largest |φ| over all test photographs, so that they share one scale."""
    return photographs("brick", "test").phi[j].abs().amax((0, 2, 3))


def _figure(state: State, channel: torch.Tensor, vector: torch.Tensor) -> Figure:
    figure = Figure(figsize=(6.8, 4.4))
    limit = float(_limits(state.level)[state.c])
    ax = figures.sheet(figure, (0, 0, 1, 1), 612, 396)
    across = len(channel)
    ax.imshow(channel.numpy(), colours.FEATURE, vmin=-limit, vmax=limit, extent=(6, 336, 370, 40))
    ax.text(171, 32, f"level {state.level}, channel {state.c}", fontsize=10, ha="center")
    cell = 330 / across
    figures.frame(ax, 40.5 + state.h * cell, 6.5 + state.w * cell, cell, cell, colours.QUERY)
    figures.ruler(ax, -limit, limit, (380, 394, 370, 40), cmap=colours.FEATURE)
    ax.text(402, 205, "φ, one scale for all photographs", fontsize=9, rotation=90, va="center")
    _bars(figure.add_axes((0.765, 0.125, 0.225, 0.775)), state, vector)
    return figure


def _bars(ax: Axes, state: State, vector: torch.Tensor) -> None:
    """The vector from top to bottom, with number c marked."""
    edges = np.arange(len(vector) + 1) - 0.5
    ax.stairs(vector.numpy(), edges, orientation="horizontal", fill=True, color=colours.QUERY)
    ax.axhspan(state.c - 0.5, state.c + 0.5, color="black", alpha=0.15, lw=0)
    ax.axvline(0, color="black", lw=0.6)
    low, high = min(float(vector.min()), 0), max(float(vector.max()), 0)
    room = 0.05 * (high - low)
    ax.set(xlim=(low - room, high + room), ylim=(len(vector) - 0.5, -0.5))
    y = [0, state.c, len(vector) - 1] if 0.06 < state.c / len(vector) < 0.94 else [state.c]
    title = f"φ{chr(0x2080 + state.level)}({state.h}, {state.w}): {len(vector)} numbers"
    figures.ticks(ax, figures.round_numbers(low, high, 4), y, title, "value")


class FeatureMap(Explorer):
    """Point at a cell, choose a level and a channel: the map, the vector, and the pixels that the cell sees."""

    State = State
    render = staticmethod(render)

    def __init__(self, **settings):
        super().__init__(**settings)
        self.state.observe(self._offer_channels, "level")
        self._offer_channels()

    def _offer_channels(self, change: object = None) -> None:
        self.controls["c"].max = backbone().channels[self.state.level] - 1
