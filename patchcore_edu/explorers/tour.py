"""Explorer of the whole method: paint a defect on a good photograph; the map and the score follow the brush."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from math import inf

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from scipy.ndimage import distance_transform_edt

from patchcore_edu import colours, figures
from patchcore_edu.anomaly_score import max_patch_score
from patchcore_edu.explorers.machinery.base import Explorer, Picture, Whole, real, switch, whole
from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.photographs import model, photographs
from patchcore_edu.patchcore import Prediction
from patchcore_edu.validation import one_of, real_number, whole_number

GOOD = 16
"""The first test crops are the good ones."""
SIZE = 224
POINTS = 100_000
STROKES, LENGTH = 1000, 100_000
"""More than anyone paints: strokes, and their total length in pixels. Beyond that, the picture comes too late."""
SCRATCH = {"path": [[60, 150], [95, 132], [130, 121], [160, 116]], "brush": 5, "grey": 0.95, "smear": False}


class State(traitlets.HasTraits):
    """A good photograph, the brush, and the strokes painted so far."""

    photograph = whole("Photograph, 0–15", 0, 0, GOOD - 1)
    brush = whole("Brush, pixels across", 8, 2, 40)
    grey = real("Grey, 0 black to 1 white", 0.95, 0, 1, 0.05)
    smear = switch("Smear the pixels instead of painting")
    h = Whole(6, min=0, max=27)
    w = Whole(13, min=0, max=27)
    strokes = traitlets.List([SCRATCH])

    @traitlets.validate("strokes")
    def _on_the_photograph(self, proposal: dict) -> list[dict]:
        try:
            if len(proposal["value"]) > STROKES:
                raise ValueError(f"strokes held {len(proposal['value']):,}; it may hold {STROKES:,}")
            strokes = [_stroke(f"strokes[{i}]", stroke) for i, stroke in enumerate(proposal["value"])]
            length = sum(np.abs(np.diff(stroke["path"], axis=0)).max(1, initial=0).sum() for stroke in strokes)
            if length > LENGTH:
                raise ValueError(f"strokes were {length:,.0f} pixels long in total; they may be {LENGTH:,}")
            return strokes
        except ValueError as error:  # traitlets then also undoes the change
            raise traitlets.TraitError(str(error)) from error


def _stroke(name: str, stroke: object) -> dict[str, object]:
    """The stroke, its path kept on the photograph as the browser keeps it; a ValueError if it is not one."""
    if not isinstance(stroke, Mapping) or set(stroke) != set(SCRATCH):
        raise ValueError(f"{name} was {stroke!r:.80}; it must have {', '.join(SCRATCH)}")
    path = stroke["path"]
    pairs = isinstance(path, list | tuple) and all(isinstance(at, list | tuple) and len(at) == 2 for at in path)
    if not pairs or not 1 <= len(path) <= POINTS:
        raise ValueError(f"{name} had the path {path!r:.80}; it must hold 1 to {POINTS:,} points [x, y]")
    return {
        "path": [[min(max(real_number(f"{name}.path", x, -inf), 0), SIZE - 1) for x in at] for at in path],
        "brush": whole_number(f"{name}.brush", stroke["brush"], at_most=SIZE),
        "grey": real_number(f"{name}.grey", stroke["grey"], 0, 1),
        "smear": one_of(f"{name}.smear", stroke["smear"], (False, True)),
    }


def render(state: State) -> Picture:
    """The painted photograph, its anomaly map, and its score beside the highest score of a good photograph."""
    strokes = tuple(json.dumps(stroke) for stroke in state.strokes)
    image, prediction = _painted(state.photograph, strokes), _judged(state.photograph, strokes)
    _, tests = model("brick")
    high, normal = float(tests.anomaly_map.max()), float(tests.score[:GOOD].max())
    anomaly, s = prediction.anomaly_map[0], float(prediction.score[0])
    s_star, _ = max_patch_score(prediction.patch_distance)
    row, column = divmod(int(anomaly.argmax()), anomaly.shape[1])
    verdict = "above" if s > normal else "not above"
    what = "Painted" if strokes else "Nothing painted yet"
    return Picture(
        figure=_figure(anomaly, s, normal, high),
        caption=f"{what}: s = {s:.1f} is {verdict} {normal:.1f}, the highest score of {GOOD} good photographs.",
        formula=f"s = w · s* = {s / s_star.item():.4f} · {s_star.item():.2f} = {s:.2f}",
        numbers={
            "score s": f"{s:.2f}",
            f"highest s of {GOOD} good photographs": f"{normal:.2f}",
            "brightest pixel of the smoothed map": f"{anomaly.max():.1f} at row {row}, column {column}",
            "strokes": str(len(strokes)),
        },
        canvas={
            "image": png(image),
            "alt": f"Good photograph {state.photograph} of a brick wall, to paint on.",
            "paint": True,
            "brush": state.brush,
            "grey": state.grey,
            "smear": state.smear,
        },
    )


def paint(image: np.ndarray, path: list, brush: int, grey: float, smear: bool) -> np.ndarray:
    """A copy of a grey picture (H, W) with one stroke along a path [[x, y], …], `brush` pixels across."""
    points = _every_pixel(np.array(path))
    if smear:
        return _smeared(image, points, brush)
    off_path = np.ones(image.shape, dtype=bool)
    off_path[points[:, 1], points[:, 0]] = False
    return np.where(distance_transform_edt(off_path) <= brush / 2, np.float32(grey), image)


def _every_pixel(path: np.ndarray) -> np.ndarray:
    length = np.abs(np.diff(path, axis=0)).max(1).cumsum() if len(path) > 1 else np.zeros(0)
    at = np.arange(1 + (length[-1] if len(length) else 0))
    return np.stack([np.interp(at, [0, *length], path[:, axis]) for axis in (0, 1)], 1).round().astype(int)


def _smeared(image: np.ndarray, points: np.ndarray, brush: int) -> np.ndarray:
    """Drag what lies under the brush along the path, like a finger over wet paint: 15 % is exchanged per pixel."""
    reach = brush // 2
    image = np.pad(image, reach, mode="edge")
    disc = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1]) <= brush / 2
    carried = None
    for x, y in points:
        under = image[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        carried = under.copy() if carried is None else 0.85 * carried + 0.15 * under
        under[disc] = carried[disc]
    return image[reach : len(image) - reach, reach : image.shape[1] - reach]


_KEPT = OrderedDict()


def _painted(photograph: int, strokes: tuple[str, ...]) -> np.ndarray:
    # While the brush moves, only the last stroke is new: what was painted before is kept.
    begun = next((n for n in range(len(strokes), 0, -1) if (photograph, strokes[:n]) in _KEPT), 0)
    image = _KEPT[photograph, strokes[:begun]] if begun else photographs("brick", "test").images[photograph, 0].numpy()
    for n in range(begun, len(strokes)):
        image = _KEPT[photograph, strokes[: n + 1]] = paint(image, **json.loads(strokes[n]))
        if len(_KEPT) > 64:
            _KEPT.popitem(last=False)
    return image


@lru_cache(maxsize=8)
def _judged(photograph: int, strokes: tuple[str, ...]) -> Prediction:
    fitted, _ = model("brick")
    image = torch.from_numpy(np.ascontiguousarray(_painted(photograph, strokes), dtype=np.float32))
    return fitted.predict(image.expand(1, 3, -1, -1))


def _figure(anomaly: torch.Tensor, s: float, normal: float, high: float) -> Figure:
    figure = Figure(figsize=(6.8, 4.0))
    ax = figures.sheet(figure, (0, 0, 1, 1), 680, 400)
    ax.imshow(anomaly.numpy(), colours.MAP, vmin=0, vmax=high, extent=(5, 365, 395, 35))
    ax.text(185, 26, "Anomaly map", fontsize=10, ha="center")
    ax.text(400, 26, "distance to the bank", fontsize=10)
    top = 1.3 * high
    y = figures.ruler(ax, 0, top, (420, 440, 390, 35), brightest=high)
    for value, text, colour in (
        (s, f"s = {s:.1f}, this photograph", colours.QUERY),
        (normal, f"{normal:.1f}, highest of {GOOD} good", colours.CORESET),
    ):
        # The labels stay apart when the two scores are close.
        apart = 0.035 * top if abs(s - normal) < 0.07 * top else 0
        at = value + (apart if value == max(s, normal) else -apart)
        ax.plot(449, y(min(value, top)), "<", color=colour, markersize=10)
        ax.text(463, y(min(at, top)), text, va="center", fontsize=10)
    return figure


class PaintDefect(Explorer):
    """Paint on a good photograph: the anomaly map and the score follow the brush."""

    State = State
    render = staticmethod(render)
