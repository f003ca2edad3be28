"""The canvas of all explorers: point at a cell of a photograph, or paint on it."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import anywidget
import numpy as np
import traitlets
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import imread
from numpy.typing import ArrayLike

from patchcore_edu import colours, figures
from patchcore_edu.explorers.machinery.png import encoded
from patchcore_edu.neighbourhood import neighbourhood

HERE = Path(__file__).parent


class Canvas(anywidget.AnyWidget):
    """A photograph with a grid of cells; it reports the cell pointed at, and the strokes painted on it.

    The browser draws the cell, N_p and strokes itself, and tells the kernel at once. Arrow keys move the cell.
    While painting, Space or Enter makes a stroke at the cell.
    """

    _esm = HERE / "canvas.js"
    _css = HERE / "explorers.css"

    image = traitlets.Bytes(help="PNG, see `png`").tag(sync=True)
    alt = traitlets.Unicode(help="what the image shows, in words").tag(sync=True)
    size = traitlets.Int(336, help="width on the page, in CSS pixels").tag(sync=True)
    rows = traitlets.Int(28).tag(sync=True)
    columns = traitlets.Int(28).tag(sync=True)
    h = traitlets.Int(0, help="row of the cell").tag(sync=True)
    w = traitlets.Int(0, help="column of the cell").tag(sync=True)
    place = traitlets.Unicode("row h = {h}, column w = {w}", help="the cell's name below the picture").tag(sync=True)
    p = traitlets.Int(1, help="N_p is drawn around the cell").tag(sync=True)
    border = traitlets.Unicode("zero", help="with 'valid', an N_p that leaves the map is dashed").tag(sync=True)
    boxes = traitlets.List(
        help="[{x, y, width, height, colour, label}] or [{points: [[x, y], …], colour, label}], in pixels of the image"
    ).tag(sync=True)
    colours = traitlets.Dict(colours.ROLES).tag(sync=True)
    paint = traitlets.Bool(False, help="paint instead of pointing").tag(sync=True)
    brush = traitlets.Int(8, help="width of the brush, in pixels of the image").tag(sync=True)
    grey = traitlets.Float(0.0, help="what the brush paints: 0 black, 1 white").tag(sync=True)
    smear = traitlets.Bool(False, help="the brush drags the pixels along instead").tag(sync=True)
    strokes = traitlets.List(
        help="[{path: [[x, y], …], brush, grey, smear}], all strokes so far, including the one being drawn"
    ).tag(sync=True)


def png(image: ArrayLike, low: float = 0, high: float = 1, cmap: str = "gray") -> bytes:
    """PNG of a photograph (3, H, W) with values in [0, 1], or of a map (H, W) coloured between `low` and `high`."""
    image = np.asarray(image)
    if image.ndim == 3:
        return encoded((255 * image).astype(np.uint8).transpose(1, 2, 0))
    return encoded(colormaps[cmap](Normalize(low, high)(image), bytes=True)[..., :3])


def draw(ax: Axes, traits: Mapping[str, object]) -> Axes:
    """Draw what a `Canvas` with these traits shows in the browser, as a static picture."""
    canvas = SimpleNamespace(**({name: trait.default() for name, trait in Canvas.class_traits().items()} | traits))
    image = imread(BytesIO(canvas.image))
    figures.photograph(ax, image[..., :3].transpose(2, 0, 1))
    height, width = image.shape[0] / canvas.rows, image.shape[1] / canvas.columns
    if not canvas.paint:
        figures.cell_grid(ax, canvas.rows, canvas.columns, height)
        cells = neighbourhood(canvas.h, canvas.w, canvas.p, (canvas.rows, canvas.columns))
        if canvas.border == "valid" and len(cells) < len(neighbourhood(canvas.h, canvas.w, canvas.p)):
            (top, left), (bottom, right) = cells[0], cells[-1]
            size = (bottom - top + 1) * height, (right - left + 1) * width
            figures.frame(ax, top * height, left * width, *size, colours.NEIGHBOURHOOD, line="--")
        else:
            for a, b in cells:
                figures.frame(ax, a * height, b * width, height, width, colours.NEIGHBOURHOOD, fill=True)
        figures.frame(ax, canvas.h * height, canvas.w * width, height, width, colours.QUERY)
    for box in canvas.boxes:
        x, y = np.asarray(box["points"]).T if "points" in box else _corners(**box)
        ax.fill(x - 0.5, y - 0.5, fill=False, edgecolor=box["colour"], lw=2)
        if label := box.get("label"):
            white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
            below = min(y.max() + 2, image.shape[0] - 12)
            ax.text(x.min(), below, label, color=box["colour"], va="top", clip_on=True, bbox=white)
    return ax


def _corners(x: float, y: float, width: float, height: float, **_) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x, x + width, x + width, x]), np.array([y, y, y + height, y + height])
