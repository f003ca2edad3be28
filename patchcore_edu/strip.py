"""The strip at the top of each notebook: two patches, followed through all stages of the pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.linalg import eigh

from patchcore_edu import colours, figures
from patchcore_edu.aggregation import aggregate
from patchcore_edu.backbone import receptive_field
from patchcore_edu.explorers.machinery.photographs import backbone, model, photographs
from patchcore_edu.neighbourhood import neighbourhood
from patchcore_edu.validation import one_of

STEP, SIDE, TOP, ROW = 122, 104, 34, 138
"""Of the sheet, in hundredths of an inch: from one panel to the next, a panel, where the rows begin, and their step."""
LIT = "#FFF2CC"


@dataclass(frozen=True)
class Followed:
    """What happens to one photograph's worst patch, with the default settings of `PatchCore`.

    Attributes:
        name: what the photograph is.
        image: (H, W), grey.
        mask: (H, W), the defect.
        place: (h, w) of the patch.
        sees: (S, S), the pixels on which its level-2 vector depends; NaN past the photograph.
        cells: (p, p), one channel of level 2 on N_p.
        mean: f_agg of these.
        vector: (d,), the patch.
        at: its two coordinates on the bank's plane.
        nearest: (S, S), what m* saw.
        origin: photograph and place of m*.
        distance: to m*.
        score: s of the photograph.
        anomaly_map: (H, W).
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    place: tuple[int, int]
    sees: np.ndarray
    cells: np.ndarray
    mean: float
    vector: np.ndarray
    at: np.ndarray
    nearest: np.ndarray
    origin: tuple[int, int, int]
    distance: float
    score: float
    anomaly_map: np.ndarray


def strip(stage: str | None = None) -> figures.described:
    """Two patches from pixels to map: one on a scratch, and the oddest one in all good test images.

    Every number comes from `PatchCore()` on brick, and is the same in each notebook.

    Args:
        stage: a key of `STAGES`, to be lit while the others are pale; None lights all.

    Raises:
        ValueError: for an unknown stage.
    """
    one_of("stage", stage, (None, *STAGES))
    patches = followed()
    figure = Figure(figsize=(11, 3.12))
    ax = figures.sheet(figure, (0, 0, 1, 1), 100 * figure.get_figwidth(), 100 * figure.get_figheight())
    for column, (key, (title, panel)) in enumerate(STAGES.items()):
        left, lit = 9 + column * STEP, key == stage
        if lit:
            ax.add_patch(Rectangle((left - 9, 2), STEP, 306, color=LIT, zorder=-1))
        ax.text(left + SIDE / 2, 20, title, ha="center", fontsize=11, weight="bold" if lit else "normal")
        for row, patch in enumerate(patches):
            top = TOP + row * ROW
            caption = panel(ax, patch, (left, left + SIDE, top + SIDE, top))
            ax.text(left + SIDE / 2, top + SIDE + 16, caption, ha="center", fontsize=9)
            if column:
                ax.text(left - 9, top + SIDE / 2, "›", ha="center", va="center", fontsize=12, color="grey")
        if stage is not None and not lit:
            ax.add_patch(Rectangle((left - 8, 2), STEP - 2, 306, color="white", alpha=0.5, zorder=9, lw=0))
    return figures.described(figure, _alt(patches, stage))


def _alt(patches: tuple[Followed, ...], stage: str | None) -> str:
    told = [
        f"{patch.name}: the patch at {patch.place} averages nine cells, in one channel to {patch.mean:.1f}; its "
        f"{len(patch.vector)} numbers lie {patch.distance:.1f} from the nearest entry, seen in photograph "
        f"{patch.origin[0]} at {patch.origin[1:]}; the image score is {patch.score:.1f}."
        for patch in patches
    ]
    return f"The pipeline in eight stages{f', {stage} lit' if stage else ''}. " + " ".join(told)


@lru_cache(maxsize=1)
def followed() -> tuple[Followed, Followed]:
    """The first scratched test image's worst patch, and that of the good test image with the highest score."""
    odd = max(_good(), key=lambda i: float(model("brick")[1].score[i]))
    return _follow(_first("scratch"), "scratch"), _follow(odd, "good, odd")


def _good() -> list[int]:
    return [i for i, sample in enumerate(photographs("brick", "test").dataset) if not sample.anomalous]


@lru_cache(maxsize=1)
def plane() -> tuple[np.ndarray, np.ndarray]:
    """The entries of M on the plane along which they vary most, (N, 2), and its directions, (d, 2)."""
    fitted, _ = model("brick")
    vectors = fitted.patches_of(photographs("brick", "train").phi).flatten(0, 2).numpy()
    d = vectors.shape[1]
    _, directions = eigh(np.cov(vectors.T), subset_by_index=(d - 2, d - 1))
    return vectors @ directions[:, ::-1], directions[:, ::-1]


def _follow(i: int, name: str) -> Followed:
    (fitted, prediction), tests = model("brick"), photographs("brick", "test")
    train = photographs("brick", "train")
    place = _worst(i)
    row = int(prediction.nearest[i][place])
    origin = int(fitted.bank.image[row]), *fitted.bank.position[row].tolist()
    vector = fitted.patches_of({j: phi_j[i : i + 1] for j, phi_j in tests.phi.items()})[0][place].numpy()
    channel = tests.phi[2][i, _channel()]
    cells = neighbourhood(*place, fitted.p, channel.shape)
    return Followed(
        name=name,
        image=tests.images[i, 0].numpy(),
        mask=tests.dataset[i].mask.numpy(),
        place=place,
        sees=_seen(tests.images[i, 0].numpy(), *place),
        cells=np.array([float(channel[cell]) for cell in cells]).reshape(fitted.p, fitted.p),
        mean=float(aggregate(channel[None, None], fitted.p)[0, 0][place]),
        vector=vector,
        at=vector @ plane()[1],
        nearest=_seen(train.images[origin[0], 0].numpy(), *origin[1:]),
        origin=origin,
        distance=float(prediction.patch_distance[i][place]),
        score=float(prediction.score[i]),
        anomaly_map=prediction.anomaly_map[i].numpy(),
    )


@lru_cache(maxsize=1)
def _channel() -> int:
    """The level-2 channel that responds most to the scratch."""
    i = _first("scratch")
    h, w = _worst(i)
    return int(photographs("brick", "test").phi[2][i, :, h, w].abs().argmax())


def _first(defect: str) -> int:
    return [sample.defect for sample in photographs("brick", "test").dataset].index(defect)


def _worst(i: int) -> tuple[int, int]:
    distance = model("brick")[1].patch_distance[i]
    return divmod(int(distance.argmax()), distance.shape[1])


def _seen(image: np.ndarray, h: int, w: int) -> np.ndarray:
    """The receptive field of the level-2 cell (h, w), as a picture."""
    top, left, side = receptive_field(backbone(), 2, h, w)
    padded = np.pad(image, side, constant_values=np.nan)
    return padded[top + side : top + 2 * side, left + side : left + 2 * side]


Extent = tuple[float, float, float, float]
"""(left, right, bottom, top) of a panel on the sheet."""


def _picture(ax: Axes, image: np.ndarray, extent: Extent, side: float, top: float, left: float, colour: str) -> None:
    """A grey picture with a frame of `side` of its pixels."""
    ax.imshow(image, "gray", vmin=0, vmax=1, extent=extent)
    unit = (extent[1] - extent[0]) / len(image)
    corner = extent[0] + left * unit, extent[3] + top * unit
    ax.add_patch(Rectangle(corner, side * unit, side * unit, fill=False, color=colour, lw=1.5))


def _x(ax: Axes, patch: Followed, extent: Extent) -> str:
    step = backbone().strides[2]
    _picture(ax, patch.image, extent, step, patch.place[0] * step, patch.place[1] * step, colours.QUERY)
    return f"{patch.name} {patch.place}"


def _phi(ax: Axes, patch: Followed, extent: Extent) -> str:
    step, side = backbone().strides[2], len(patch.sees)
    _picture(ax, patch.sees, extent, step, (side - step) / 2, (side - step) / 2, colours.QUERY)
    return f"sees {side} × {side} px"


def _cells(ax: Axes, values: np.ndarray, extent: Extent, size: int) -> None:
    """A small map with its numbers, on the one scale of both patches."""
    limit = max(np.abs(patch.cells).max() for patch in followed())
    image = ax.imshow(values, colours.FEATURE, vmin=-limit, vmax=limit, extent=extent)
    unit = (extent[1] - extent[0]) / len(values)
    for (a, b), value in np.ndenumerate(values):
        x, y = extent[0] + (b + 0.5) * unit, extent[3] + (a + 0.5) * unit
        ax.text(
            x,
            y,
            f"{value:.1f}".replace("-", "−"),
            ha="center",
            va="center",
            fontsize=size,
            color=figures.ink(image, value),
        )


def _neighbourhood(ax: Axes, patch: Followed, extent: Extent) -> str:
    _cells(ax, patch.cells, extent, 9)
    unit = SIDE / len(patch.cells)
    ax.add_patch(Rectangle((extent[0], extent[3]), SIDE, SIDE, fill=False, color=colours.NEIGHBOURHOOD, lw=2))
    ax.add_patch(Rectangle((extent[0] + unit, extent[3] + unit), unit, unit, fill=False, color=colours.QUERY, lw=1.5))
    return f"channel {_channel()}"


def _aggregation(ax: Axes, patch: Followed, extent: Extent) -> str:
    third = SIDE / 3
    _cells(
        ax, np.array([[patch.mean]]), (extent[0] + third, extent[1] - third, extent[2] - third, extent[3] + third), 10
    )
    return "their mean"


def _patch_set(ax: Axes, patch: Followed, extent: Extent) -> str:
    limit = max(np.abs(each.vector).max() for each in followed())
    middle, high = (extent[2] + extent[3]) / 2, SIDE / 2 / limit
    edges = np.linspace(extent[0], extent[1], len(patch.vector) + 1)
    first = backbone().channels[2]
    for part, colour in ((slice(0, first), colours.QUERY), (slice(first, None), colours.NEIGHBOURHOOD)):
        values = patch.vector[part]
        at = edges[part.start : part.start + len(values) + 1]
        ax.stairs(middle - high * values, at, baseline=middle, fill=True, color=colour)
    ax.plot(extent[:2], [middle] * 2, color="grey", lw=0.5)
    return f"{len(patch.vector)} numbers"


def _memory_bank(ax: Axes, patch: Followed, extent: Extent) -> str:
    points, _ = plane()
    low, high = points.min(0), points.max(0)
    histogram, *_ = np.histogram2d(*points.T[::-1], bins=53, range=[(low[1], high[1]), (low[0], high[0])])
    ax.imshow(np.sqrt(histogram)[::-1], "Blues", extent=extent, vmin=0, vmax=np.sqrt(histogram.max()))
    x, y = (patch.at - low) / (high - low)
    ax.plot(extent[0] + x * SIDE, extent[2] - y * SIDE, "o", ms=7, color=colours.QUERY, mec="white")
    return f"{len(points):,} entries"


def _coreset(ax: Axes, patch: Followed, extent: Extent) -> str:
    step, side = backbone().strides[2], len(patch.nearest)
    _picture(ax, patch.nearest, extent, step, (side - step) / 2, (side - step) / 2, colours.NEAREST)
    return f"distance {patch.distance:.1f}"


def _score(ax: Axes, patch: Followed, extent: Extent) -> str:
    good = model("brick")[1].score[_good()]
    top = 1.1 * max(each.score for each in followed())

    def x(value: float) -> float:
        return extent[0] + SIDE * value / top

    middle = (extent[2] + extent[3]) / 2
    ax.plot(extent[:2], [middle] * 2, color="grey", lw=0.8)
    ax.vlines([x(float(s)) for s in good], middle - 12, middle + 12, color=colours.CORESET, lw=0.8)
    ax.plot(x(patch.score), middle - 20, "v", ms=9, color=colours.QUERY)
    ax.text(extent[0], middle + 30, "0", fontsize=8.5, ha="center")
    ax.text(
        x(float(good.max())),
        middle + 30,
        f"{len(good)} good ≤ {float(good.max()):.1f}",
        fontsize=8.5,
        ha="center",
        color=colours.CORESET,
    )
    return f"s = {patch.score:.1f}"


def _map(ax: Axes, patch: Followed, extent: Extent) -> str:
    high = max(each.anomaly_map.max() for each in followed())
    ax.imshow(patch.anomaly_map, colours.MAP, vmin=0, vmax=high, extent=extent)
    figures.outline(ax, patch.mask, extent=extent)
    return f"brightest {patch.anomaly_map.max():.1f}"


STAGES: dict[str, tuple[str, Callable[[Axes, Followed, Extent], str]]] = {
    "x": ("photograph", _x),
    "phi": ("1  $\\varphi$", _phi),
    "neighbourhood": ("2  $\\mathcal{N}_p$", _neighbourhood),
    "aggregation": ("3  $f_{agg}$", _aggregation),
    "patch_set": ("4  $\\mathcal{P}$", _patch_set),
    "memory_bank": ("5  $\\mathcal{M}$", _memory_bank),
    "coreset": ("6  $\\mathcal{M}_C$, $m^*$", _coreset),
    "score": ("7  $s$", _score),
    "map": ("8  map", _map),
}
"""Each stage's title, and what draws its panel into an extent and returns the caption."""
