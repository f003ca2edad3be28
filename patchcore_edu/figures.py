"""Drawing: arrays in, matplotlib Axes out. It knows nothing about PatchCore except its colours."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.markers import TICKDOWN, TICKLEFT
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation, Transform
from numpy.typing import ArrayLike
from skimage.measure import find_contours

from patchcore_edu import colours


def grid(rows: int, columns: int, width: float = 2.3, height: float = 2.5) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns axes, `width` × `height` inches each; axes is (rows, columns).

    >>> figure, axes = grid(1, 3)
    >>> axes.shape
    (1, 3)
    """
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


class described:
    """A figure with a text that says what it shows; the last line of a notebook cell displays both.

    >>> figure, axes = grid(1, 1)
    >>> data, metadata = described(figure, "an empty square")._repr_mimebundle_()
    >>> data["text/plain"], metadata
    ('an empty square', {'image/png': {'alt': 'an empty square'}})
    """

    def __init__(self, figure: Figure, alt: str):
        self.figure, self.alt = figure, alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        png = BytesIO()
        self.figure.savefig(png, dpi=100, bbox_inches="tight")
        return {"image/png": png.getvalue(), "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def photograph(ax: Axes, image: ArrayLike, title: str = "") -> Axes:
    """Show a photograph, (3, H, W) or (H, W), with values in [0, 1]."""
    image = np.asarray(image)
    if image.ndim == 3:
        image = image.transpose(1, 2, 0)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return _bare(ax, title)


def heat(ax: Axes, values: ArrayLike, low: float, high: float, title: str = "", cmap: str = colours.MAP) -> Axes:
    """Show a map (H, W) between `low` and `high`. The scale has no default: maps are compared on one scale."""
    ax.imshow(np.asarray(values), cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    return _bare(ax, title)


def scale(figure: Figure, axes: Iterable[Axes], low: float, high: float, unit: str, cmap: str = colours.MAP) -> None:
    """Draw the one scale that all of `axes` share, with its unit."""
    figure.colorbar(ScalarMappable(Normalize(low, high), cmap), ax=list(axes), label=unit, shrink=0.85, pad=0.01)


def sheet(figure: Figure, rect: tuple[float, float, float, float], width: float, height: float) -> Axes:
    """Bare axes for several pictures, in your own units: x to the right from 0, y downwards from 0.

    Every further set of axes would take as long to create and draw as eight lines of text.

    >>> [float(y) for y in sheet(Figure(), (0, 0, 1, 1), 680, 440).get_ylim()]
    [440.0, 0.0]
    """
    ax = figure.add_axes(rect, xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    return ax


def round_numbers(low: float, high: float, steps: int) -> list[float]:
    """Ticks for a scale: round numbers within it, in at most `steps` steps.

    >>> round_numbers(0, 47.3, 5)
    [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    return [
        float(value) for value in MaxNLocator(steps, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= value <= high
    ]


def ruler(
    ax: Axes,
    low: float,
    high: float,
    extent: tuple[float, float, float, float],
    brightest: float | None = None,
    cmap: str = colours.MAP,
) -> Callable[[float], float]:
    """Draw the scale from `low` to `high` on a sheet, into the box (left, right, bottom, top): `scale`, but faster.

    Args:
        brightest: from here on the colour stays the same; `high` unless given.

    Returns:
        The function that gives the height y of a value.

    >>> y = ruler(sheet(Figure(), (0, 0, 1, 1), 100, 200), 0, 50, (10, 20, 200, 100))
    >>> y(0), y(25)
    (200.0, 150.0)
    """
    left, _, bottom, top = extent
    steps = np.linspace(high, low, 128)[:, None]
    ax.imshow(steps, cmap=cmap, vmin=low, vmax=brightest or high, extent=extent, aspect="auto")

    def y(value: float) -> float:
        return bottom + (top - bottom) * (value - low) / (high - low)

    for value in round_numbers(low, high, 4):
        ax.text(left, y(value), f"{value:g} –".replace("-", "−"), ha="right", va="center", fontsize=9)
    return y


def ticks(
    ax: Axes,
    x: Iterable[float] | Mapping[float, str] = (),
    y: Iterable[float] | Mapping[float, str] = (),
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> Axes:
    """Draw the frame of axes with these ticks, {value: text} or values, in half the time that matplotlib's own take.

    Set the limits first.

    >>> ax = ticks(Figure().add_axes((0, 0, 1, 1), xlim=(0, 8)), x=[0, 4, 8], y={1: "one"})
    >>> [text.get_text() for text in ax.texts]
    ['0', '4', '8', 'one']
    """
    ax.set_axis_off()
    x, y = (at if isinstance(at, Mapping) else {value: f"{value:g}".replace("-", "−") for value in at} for at in (x, y))
    along, up = ax.get_xaxis_transform(), ax.get_yaxis_transform()

    def text(at: tuple[float, float], text: str, transform: Transform, points: tuple[float, float], **style) -> None:
        away = ScaledTranslation(points[0] / 72, points[1] / 72, ax.figure.dpi_scale_trans)
        ax.text(*at, text, transform=transform + away, **{"ha": "center", "va": "center", "fontsize": 9} | style)

    line = {"color": "black", "lw": 0.8, "mew": 0.8, "ms": 3.5, "clip_on": False}
    ax.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], transform=ax.transAxes, **line)
    ax.plot(list(x), np.zeros(len(x)), ls="", marker=TICKDOWN, transform=along, **line)
    ax.plot(np.zeros(len(y)), list(y), ls="", marker=TICKLEFT, transform=up, **line)
    for value, name in x.items():
        text((value, 0), name, along, (0, -5), va="top")
    for value, name in y.items():
        text((0, value), name, up, (-6, 0), ha="right")
    for at, name, points, style in (
        ((0.5, 1), title, (0, 5), {"va": "baseline", "fontsize": 10}),
        ((0.5, 0), xlabel, (0, -17), {"va": "top"}),
        ((0, 0.5), ylabel, (-10 - 5.5 * max(map(len, y.values()), default=0), 0), {"rotation": 90, "ha": "right"}),
    ):
        if name:
            text(at, name, ax.transAxes, points, **style)
    return ax


def outline(
    ax: Axes,
    mask: ArrayLike,
    colour: str = colours.ANOMALY,
    extent: tuple[float, float, float, float] | None = None,
) -> Axes:
    """Draw the edge of a mask (H, W), bool, over a picture of it; `extent` is the picture's, as in `imshow`."""
    mask = np.asarray(mask)
    height, width = mask.shape
    left, right, bottom, top = extent or (-0.5, width - 0.5, height - 0.5, -0.5)
    edges = [
        np.stack([left + (right - left) * (x - 0.5) / width, top + (bottom - top) * (y - 0.5) / height], 1)
        for y, x in (path.T for path in find_contours(np.pad(mask, 1).astype(float)))
    ]
    ax.add_collection(LineCollection(edges, colors=colour, linewidths=1.5), autolim=False)
    return ax


def frame(
    ax: Axes,
    top: float,
    left: float,
    height: float,
    width: float,
    colour: str = colours.QUERY,
    label: str = "",
    fill: bool = False,
    line: str = "-",
) -> Axes:
    """Frame the pixels of rows top … top + height − 1 and columns left … left + width − 1; line "--" dashes it."""
    box = Rectangle(
        (left - 0.5, top - 0.5), width, height, fill=fill, facecolor=colour, edgecolor=colour, lw=2, ls=line
    )
    if fill:
        box.set_alpha(0.55)
    ax.add_patch(box)
    if label:
        background = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
        ax.annotate(
            label,
            (left - 0.5, top - 0.5),
            xytext=(0, 4),
            textcoords="offset points",
            color=colour,
            fontsize=10,
            fontweight="bold",
            bbox=background,
        )
    return ax


def cell_grid(ax: Axes, rows: int, columns: int, stride: int, colour: str = "white") -> Axes:
    """Draw the borders of the rows × columns cells of a feature map over its photograph; stride in pixels."""
    for row in range(1, rows):
        ax.axhline(row * stride - 0.5, color=colour, lw=0.4, alpha=0.7)
    for column in range(1, columns):
        ax.axvline(column * stride - 0.5, color=colour, lw=0.4, alpha=0.7)
    return ax


def numbers(ax: Axes, values: ArrayLike, form: str = "{:.1f}", size: int = 8) -> Axes:
    """Write every value of a small map (h, w) in its cell, dark on light and light on dark."""
    values = np.asarray(values)
    image = ax.images[-1]
    for row, column in np.ndindex(values.shape):
        colour = ink(image, values[row, column])
        ax.text(column, row, form.format(values[row, column]), ha="center", va="center", color=colour, fontsize=size)
    return ax


def ink(image: AxesImage, value: float) -> str:
    """The colour in which `value` can be read on its own colour in `image`: black or white."""
    return "black" if np.dot(image.cmap(image.norm(value))[:3], (0.299, 0.587, 0.114)) > 0.5 else "white"


def seeds(ax: Axes, values: Mapping[str, Sequence[float]], base: str) -> dict[str, bool]:
    """Draw a line for each choice: a dot for each seed, and a whisker from the lowest to the highest.

    The band is the range of the choice `base`. A choice whose range does not touch the band is drawn in orange.

    Returns:
        {choice: whether its range lies apart from that of `base`}.

    >>> seeds(grid(1, 1)[1][0, 0], {"a": [0.8, 0.9], "b": [0.85, 0.95], "c": [0.1, 0.2]}, "a")
    {'a': False, 'b': False, 'c': True}
    """
    low, high = min(values[base]), max(values[base])
    apart = {name: min(dots) > high or max(dots) < low for name, dots in values.items()}
    ax.axvspan(low, high, color="lightgrey", zorder=0)
    for y, (name, dots) in enumerate(values.items()):
        colour = colours.QUERY if apart[name] else colours.CORESET
        ax.plot([min(dots), max(dots)], [y, y], color=colour, lw=1)
        ax.plot(dots, [y] * len(dots), "o", color=colour, ms=4, alpha=0.6, mew=0)
        ax.plot(np.mean(dots), y, "|", color=colour, ms=12, mew=2)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.tick_params(labelsize=9)
    return apart


def _bare(ax: Axes, title: str) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    if title:
        ax.set_title(title, fontsize=10)
    return ax
