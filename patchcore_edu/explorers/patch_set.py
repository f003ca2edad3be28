"""Explorer of eq. (3): the kept places, how levels become one, and what the final map loses as s grows."""

from functools import lru_cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcore_edu import colours, figures
from patchcore_edu.aggregation import aggregate
from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.anomaly_score import patch_neighbours
from patchcore_edu.explorers.machinery.base import Explorer, Picture, settings_that_fit, steps, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.explorers.machinery.places import Place
from patchcore_edu.metrics import auroc
from patchcore_edu.patch_set import merge_levels, patch_set
from patchcore_edu.validation import whole_number

LEVELS = {"2": (2,), "3": (3,), "4": (4,), "2 and 3": (2, 3), "3 and 4": (3, 4), "2, 3 and 4": (2, 3, 4)}
GOOD = 4
"""Good photographs in the bank behind the maps: few, so that a new bank is ready while a slider moves."""
PIXELS = 224


class State(Place):
    """A test photograph, p, s, the levels that are merged, and a place."""

    photograph = whole("Photograph, 0–39", 16, 0, 39)
    p = whole("p, cells across", 3, 1, 7)
    s = whole("s, stride", 3, 1, 8)
    levels = steps("Levels", (2, 3), LEVELS)

    @property
    def finest(self) -> int:
        return self.levels[0]


def render(state: State) -> Picture:
    """The kept places, the size of P, the levels before and after rescaling, and the map beside that of s = 1."""
    p, s, levels = state.p, state.s, state.levels
    phi = _phi("test", state.photograph, levels)
    across = phi[levels[0]].shape[2]
    with settings_that_fit():
        for name in ("h", "w"):
            whole_number(name, getattr(state, name), at_least=0, at_most=across - 1)
    patches = patch_set(phi, p, s)[0]
    rows, columns, d = patches.shape
    kept = state.h % s == 0 and state.w % s == 0
    number = state.h // s * columns + state.w // s
    maps = _map(state.photograph, p, 1, levels), _map(state.photograph, p, s, levels)
    sample = photographs("brick", "test").dataset[state.photograph]
    lengths = " + ".join(str(phi[j].shape[1]) for j in levels) + (f" = {d}" if len(levels) > 1 else "")
    where = f"(h, w) = ({state.h}, {state.w})"
    return Picture(
        figure=_figure(state, phi, maps, sample.mask.numpy()),
        caption=f"P holds {rows} × {columns} = {rows * columns} of {across**2} places, each a vector of {d} numbers; "
        + (f"{where} is patch {number}." if kept else f"{where} is not kept."),
        formula=f"{state.h} mod {s} = {state.h % s}, {state.w} mod {s} = {state.w % s}: "
        + ("both are 0, so this place is kept" if kept else "they are not both 0, so this place is left out"),
        numbers={
            "|P|, one photograph": f"⌈{across}/{s}⌉ · ⌈{across}/{s}⌉ = {rows * columns}",
            "d, numbers per patch": lengths,
            "memory": f"{rows * columns} · {d} · 4 bytes = {rows * columns * d * 4 / 1024:.1f} KiB",
            "final map": f"{PIXELS} × {PIXELS} pixels, for every p and s",
            "pixel AUROC, this photograph": "no defect in it"
            if not sample.anomalous
            else f"{_auroc(maps[0], sample.mask):.3f} at s = 1, {_auroc(maps[1], sample.mask):.3f} at s = {s}",
        },
        canvas={
            "image": _dotted(state.photograph, s, state.step),
            "alt": f"Test photograph {state.photograph} of a brick wall, with a dot on every kept place.",
            "rows": across,
            "columns": across,
            "p": p,
        },
    )


def _phi(split: str, which: int | slice, levels: tuple[int, ...]) -> dict[int, torch.Tensor]:
    which = slice(which, which + 1) if isinstance(which, int) else which
    return {j: photographs("brick", split).phi[j][which] for j in levels}


def _auroc(heat: torch.Tensor, mask: torch.Tensor) -> float:
    return auroc(heat[None], mask[None])


@lru_cache(maxsize=8)
def _bank(p: int, s: int, levels: tuple[int, ...]) -> torch.Tensor:
    return patch_set(_phi("train", slice(GOOD), levels), p, s).flatten(0, 2)


@lru_cache(maxsize=64)
def _map(photograph: int, p: int, s: int, levels: tuple[int, ...]) -> torch.Tensor:
    patches = patch_set(_phi("test", photograph, levels), p, s)
    return anomaly_map(patch_neighbours(patches, _bank(p, s, levels))[0], PIXELS)[0]


@lru_cache(maxsize=64)
def _dotted(i: int, s: int, step: int) -> bytes:
    image = photographs("brick", "test").images[i].clone()
    red, green, blue = (int(colours.QUERY[k : k + 2], 16) / 255 for k in (1, 3, 5))
    places = torch.arange(0, PIXELS, s * step) + step // 2 - 1
    for down in range(2):
        for right in range(2):
            image[:, places[:, None] + down, places + right] = image.new_tensor([red, green, blue])[:, None, None]
    return png(image)


def _figure(
    state: State, phi: dict[int, torch.Tensor], maps: tuple[torch.Tensor, torch.Tensor], mask: np.ndarray
) -> Figure:
    figure = Figure(figsize=(6.8, 4.6))
    _levels(figure.add_axes((0, 0.52, 1, 0.46)), state, phi)
    high = float(torch.stack(maps).max())
    ax = figures.sheet(figure, (0, 0, 1, 0.48), 680, 221)
    for left, values, s in zip((41, 320), maps, (1, state.s), strict=True):
        extent = (left, left + 190, 212, 22)
        ax.imshow(values.numpy(), colours.MAP, vmin=0, vmax=high, extent=extent)
        figures.outline(ax, mask, extent=extent)
        ax.text(left + 95, 14, f"anomaly map, p = {state.p}, s = {s}", fontsize=10, ha="center")
    figures.ruler(ax, 0, high, (565, 582, 212, 22))
    ax.text(591, 117, "distance to\nthe bank", fontsize=9, va="center")
    return figure


def _levels(ax: Axes, state: State, phi: dict[int, torch.Tensor]) -> None:
    """One channel of the lowest level, one of the highest, and the latter once more on the grid of the lowest."""
    low, high = state.levels[0], state.levels[-1]
    smooth = [aggregate(phi[j], state.p, "zero") for j in state.levels]
    merged = merge_levels(smooth)[0]
    first, last = (_liveliest(smooth[n][0]) for n in (0, -1))
    shown = [(smooth[0][0, first], f"level {low}, channel {first}")]
    if high > low:
        shown += [
            (smooth[-1][0, last], f"level {high}, channel {last}"),
            (merged[last - len(smooth[-1][0])], f"level {high}, rescaled"),
        ]
    else:
        ax.text(1.3, 0.5, "one level: nothing to rescale", fontsize=10, va="center")
    # All in one set of axes: every further one takes longer to create than everything in it.
    for n, (values, name) in enumerate(shown):
        of = values if n == 0 else shown[-1][0]  # the last two share one scale
        left = 1.2 * n
        ax.imshow(values.numpy(), colours.FEATURE, vmin=of.min(), vmax=of.max(), extent=(left, left + 1, 0, 1))
        ax.text(left + 0.5, 1.04, f"{name}: {values.shape[0]} × {values.shape[1]}", fontsize=10, ha="center")
    ax.set(xlim=(-0.05, 3.45), ylim=(0, 1.15))
    ax.set_axis_off()


def _liveliest(maps: torch.Tensor) -> int:
    """The channel that varies most over the photograph."""
    return int(maps.std((1, 2)).argmax())


class PatchSet(Explorer):
    """Move p, s and the levels: the kept places, |P| and d, the merge, and what happens to the map."""

    State = State
    render = staticmethod(render)
