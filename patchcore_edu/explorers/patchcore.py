"""Explorer of all of PatchCore: every setting, its results beside the last setting's, and a table of all tried."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from io import StringIO
from pathlib import Path
from time import perf_counter

import ipywidgets
import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation
from torch.nn.functional import interpolate

from patchcore_edu import colours, figures
from patchcore_edu.anomaly_score import image_score
from patchcore_edu.conventions import CONVENTIONS
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.explorers.machinery.base import (
    Explorer,
    NothingToShow,
    Picture,
    choice,
    settings_that_fit,
    steps,
    whole,
)
from patchcore_edu.explorers.machinery.photographs import backbone, photographs
from patchcore_edu.explorers.machinery.pixels import counted
from patchcore_edu.files import replacing
from patchcore_edu.metrics import PRO_LIMIT, auroc, curve_area
from patchcore_edu.neighbourhood import radius
from patchcore_edu.patchcore import PatchCore, Prediction
from patchcore_edu.validation import shown

PHOTOGRAPHS, SIZE = 8, 224
LEVELS = {"1": (1,), "2": (2,), "3": (3,), "4": (4,), "1 and 2": (1, 2), "2 and 3": (2, 3), "2, 3 and 4": (2, 3, 4)}
RATIOS = {"0.1 %": 0.001, "0.25 %": 0.0025, "0.5 %": 0.005, "1 %": 0.01, "2 %": 0.02, "5 %": 0.05, "10 %": 0.1}
SHOWN = (0, 1, 16, 24, 28, 32)
"""Of the test photographs: two good ones, a scratch, two blobs and a smear."""
FILE = "patchcore_settings.csv"
PIXELS, STEP, TITLE = 145, 150, 20
"""A picture's side, from one to the next, and the height of a title, in pixels of the page."""
SETTINGS = ("category", "conventions", "levels", "p", "s", "ratio", "b")
RESULTS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "pro": "PRO",
    "rows": "rows",
    "mib": "MiB",
    "ms": "ms",
}
LINES = 8
"""How many of the settings tried are shown in the table; the file holds all."""


class State(traitlets.HasTraits):
    """The settings of PatchCore, and what they were before the last change."""

    category = choice("Category", "brick", PhotoTextures.categories)
    conventions = choice("Conventions", "paper", list(CONVENTIONS))
    levels = steps("Levels", (2, 3), LEVELS)
    p = whole("p, cells across", 3, 1, 9)
    s = whole("s, stride", 1, 1, 4)
    ratio = steps("Ratio kept", 0.01, RATIOS)
    b = steps("b, neighbours of m*", 9, (1, 2, 3, 5, 9, 20, 50))
    last = traitlets.Dict(allow_none=True, default_value=None)

    @traitlets.validate("last")
    def _are_settings(self, proposal: dict) -> dict[str, object] | None:
        last = proposal["value"]
        if last is not None and set(last) != set(SETTINGS):
            raise traitlets.TraitError(f"last was {shown(last)}; it must be None or have {', '.join(SETTINGS)}")
        return last and settings(State(**last))


def settings(state: State) -> dict[str, object]:
    """The settings as `PatchCore` takes them, and the category."""
    return {name: getattr(state, name) for name in SETTINGS}


@dataclass(frozen=True)
class Result:
    """The results of one setting, with the maps and scores of the six photographs shown, and the maps' maximum."""

    image_auroc: float
    pixel_auroc: float
    pro: float
    N: int
    rows: int
    mib: float
    ms: float
    maps: np.ndarray
    scores: np.ndarray
    high: float


def render(state: State) -> Picture:
    """Quality, size and time of this setting, and its maps, beside those of the last one."""
    now, last = _result(**settings(state)), _if_valid(state.last)
    shown = [settings(state)] + ([state.last] if last else [])
    changed = [name for name in SETTINGS if state.last and state.last[name] != getattr(state, name)]
    change = ", ".join(f"{name} {_text(state.last[name])} → {_text(getattr(state, name))}" for name in changed)
    if last is None:
        caption = f"Image AUROC {now.image_auroc:.3f} with {now.rows:,} rows. Move a slider: this setting stays below."
    else:
        caption = f"{change}: image AUROC {last.image_auroc:.3f} → {now.image_auroc:.3f}, " + (
            f"PRO {last.pro:.3f} → {now.pro:.3f}, rows {last.rows:,} → {now.rows:,}."
        )

    def against(form: str, name: str) -> str:
        was = f" (before: {form.format(getattr(last, name))})" if last else ""
        return form.format(getattr(now, name)) + was

    return Picture(
        figure=(_photographs(state.category), *(_maps(**setting) for setting in shown)),
        caption=caption,
        numbers={
            "image AUROC": against("{:.3f}", "image_auroc"),
            "pixel AUROC": against("{:.3f}", "pixel_auroc"),
            "PRO": against("{:.3f}", "pro"),
            "rows of M_C": against("{:,}", "rows") + f", of N = {now.N:,}",
            "size of M_C": against("{:.2f} MiB", "mib"),
            "time": against("{:.1f} ms", "ms") + " per photograph when first tried, without the network, on one thread",
            "photographs": f"{PHOTOGRAPHS} good ones in the bank, all 40 test crops scored",
        },
    )


def _text(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else f"{value}"


def _if_valid(setting: Mapping[str, object] | None) -> Result | None:
    try:
        return _result(**setting) if setting else None
    except NothingToShow:
        return None


@lru_cache(maxsize=64)
def _result(category: str, b: int, ratio: float, **of_patches) -> Result:
    model, prediction, (pixel_auroc, pro), seconds = _judged(category, ratio, **of_patches)
    _, patches, _ = _patches(category, **of_patches)
    start = perf_counter()
    neighbours = prediction.patch_distance, prediction.nearest
    score = image_score(patches, model.bank.vectors, b if model.conventions.reweighting else 1, neighbours)
    seconds += perf_counter() - start
    maps, shown = prediction.anomaly_map, list(SHOWN)
    return Result(
        image_auroc=auroc(score, [sample.anomalous for sample in photographs(category, "test").dataset]),
        pixel_auroc=pixel_auroc,
        pro=pro,
        N=model.rows_before,
        rows=len(model.bank),
        mib=model.bank.vectors.numel() * 4 / 2**20,
        ms=1000 * seconds / len(score),
        maps=_small(maps[None, shown])[0].numpy(),
        scores=score[shown].numpy(),
        high=float(maps[shown].max()),
    )


@lru_cache(maxsize=1)
def _judged(category: str, ratio: float, **of_patches) -> tuple[PatchCore, Prediction, tuple[float, float], float]:
    """Everything that b does not change: a fitted model, its prediction, pixel AUROC and PRO, and the seconds taken."""
    good, patches, seconds = _patches(category, **of_patches)
    model = PatchCore(backbone(), coreset_ratio=ratio, **of_patches).fit_patches(good)
    start = perf_counter()
    prediction = model.predict_patches(patches, SIZE)
    seconds += perf_counter() - start
    return model, prediction, on_pixels(prediction.anomaly_map, category), seconds


@lru_cache(maxsize=1)
def _patches(category: str, **of_patches) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The patch sets of the good photographs and of all test crops, and the seconds that the latter took."""
    model = PatchCore(backbone(), **of_patches)
    good, tests = photographs(category, "train").phi, photographs(category, "test").phi
    with settings_that_fit():
        radius(model.p, good[model.levels[-1]].shape[2:])
    start = perf_counter()
    patches = model.patches_of(tests)
    seconds = perf_counter() - start
    return model.patches_of({j: good[j][:PHOTOGRAPHS] for j in model.levels}), patches, seconds


def on_pixels(maps: torch.Tensor, category: str) -> tuple[float, float]:
    """Pixel AUROC and PRO of the test maps."""
    threshold, good, defective, shares = counted(maps, category)
    return curve_area(threshold, good, defective), curve_area(threshold, good, shares, PRO_LIMIT)


@lru_cache(maxsize=3)
def _photographs(category: str) -> Figure:
    """The six photographs, with the edges of their defects drawn in."""
    tests = photographs(category, "test")
    pictures = _small(tests.images[list(SHOWN)]).permute(0, 2, 3, 1).numpy().copy()
    masks = _small(torch.stack([tests.dataset[i].mask for i in SHOWN])[None].float())[0].numpy() > 0.5
    pictures[binary_dilation(masks, np.ones((1, 3, 3))) & ~masks] = to_rgb(colours.ANOMALY)
    return _strip(pictures, "")[0]


@lru_cache(maxsize=64)
def _maps(**setting) -> Figure:
    """The six maps of a setting on one scale. Another setting has another scale: its vectors are others."""
    result = _result(**setting)
    name = ", ".join(f"{name} {_text(value)}" for name, value in setting.items() if name != "category")
    figure, ax = _strip(colormaps[colours.MAP](result.maps / result.high)[..., :3], name)
    dark = {"facecolor": "black", "edgecolor": "none", "alpha": 0.6, "pad": 1.5}
    for i, score in enumerate(result.scores):
        ax.text(i * STEP + 5, TITLE + 5, f"s = {score:.1f}", color="white", fontsize=10, va="top", bbox=dark)
    scale = f"a distance\nblack: 0\nyellow: {result.high:.1f}"
    ax.text(len(SHOWN) * STEP, TITLE + PIXELS / 2, scale, va="center", fontsize=9)
    return figure


def _strip(pictures: np.ndarray, title: str) -> tuple[Figure, Axes]:
    """Six pictures (6, h, w, 3) side by side, in one image on a sheet of one unit per pixel."""
    top = TITLE if title else 0
    figure = Figure(figsize=(11, (PIXELS + top + 5) / 90))
    ax = figures.sheet(figure, (0, 0, 1, 1), 990, PIXELS + top + 5)
    row = np.concatenate(np.pad(pictures, [(0, 0), (0, 0), (0, STEP - PIXELS), (0, 0)], constant_values=1), 1)
    ax.imshow((255 * row).astype(np.uint8), extent=(0, row.shape[1], top + PIXELS, top), interpolation="nearest")
    ax.text(0, 14, title, fontsize=10)
    return figure, ax


def _small(pictures: torch.Tensor) -> torch.Tensor:
    """(n, c, H, W), no larger than the page shows them: smaller ones are drawn faster."""
    return interpolate(pictures, PIXELS, mode="bilinear", antialias=True)


class Pipeline(Explorer):
    """Change any setting of PatchCore: quality, size, time and maps beside the last one's; all tried in a table."""

    State = State
    render = staticmethod(render)

    def __init__(self, **settings):
        self.tried, self._now = {}, None
        self._table, self._saved = ipywidgets.HTML(), ipywidgets.Label()
        super().__init__(**settings)
        button = ipywidgets.Button(description="Save as CSV", tooltip=f"Write all settings tried to {FILE}")
        button.on_click(self._save_or_say_why)
        self.widget.children += (self._table, ipywidgets.HBox([button, self._saved]))

    def save(self, path: str | Path = FILE) -> None:
        """Write every setting tried, and its results, as a CSV file."""
        text = StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([*SETTINGS, *RESULTS])
        writer.writerows(self.tried.values())
        with replacing(path) as file:
            file.write(text.getvalue().encode())
        self._saved.value = f"{len(self.tried)} settings are in {Path(path).resolve()}"

    def _save_or_say_why(self, button: ipywidgets.Button) -> None:
        try:
            self.save()
        except OSError as error:
            self._saved.value = f"Not saved: {error}"

    def _show(self, change: object = None) -> None:
        now = settings(self.state)
        if now != self._now:
            self._now, self.state.last = now, self._now
        super()._show(change)
        if result := _if_valid(now):
            row = [*map(_text, now.values()), *(getattr(result, name) for name in RESULTS)]
            self.tried.setdefault(tuple(now.items()), row)
            self._table.value = _html(list(self.tried.values()))


def _html(rows: list[list]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", *SETTINGS, *RESULTS.values()))
    numbered = list(enumerate(rows, 1))[-LINES:]
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_short(cell))}</td>' for cell in (k, *row))}</tr>" for k, row in numbered
    )
    table = f'<table class="patchcore-numbers"><caption>settings tried</caption><tr>{head}</tr>{body}</table>'
    return f'<div class="patchcore-view">{table}</div>'


def _short(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else f"{cell}"
