"""The demo: PatchCore on a real photograph, from `fit` to one picture of what it found."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from time import perf_counter

import torch
from matplotlib.figure import Figure

from patchcore_edu import colours, figures
from patchcore_edu.backbone import BACKBONES, load_backbone
from patchcore_edu.datasets import PhotoTextures, Sample
from patchcore_edu.files import replacing, writable
from patchcore_edu.metrics import auroc, pro
from patchcore_edu.patchcore import PatchCore, Prediction


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--category", default="brick", choices=PhotoTextures.categories)
    parser.add_argument("--backbone", default="efficientnet_lite0", choices=list(BACKBONES))
    parser.add_argument("--out", default="demo.png", type=_out, help="where to save the picture (default: %(default)s)")


def _out(path: str) -> str:
    try:
        return picture_file(path)
    except (OSError, ValueError) as error:
        raise ArgumentTypeError(str(error)) from error


def run(chosen: Namespace) -> None:
    demo(chosen.category, chosen.backbone, chosen.out)


def demo(category: str = "brick", backbone: str = "efficientnet_lite0", out: str | Path = "demo.png") -> None:
    """Fit on one texture, predict its test crops, print a table and save a figure.

    Args:
        category: "brick", "grass" or "gravel".
        backbone: see `load_backbone`.
        out: path of the figure; its extension decides the format.

    Raises:
        OSError, ValueError: before anything runs, if the figure cannot be written there, or not in this format.
    """
    picture_file(out)
    seconds, last = {}, perf_counter()

    def lap(stage: str) -> None:
        nonlocal last
        seconds[stage], last = perf_counter() - last, perf_counter()

    train, test = PhotoTextures(category, "train"), PhotoTextures(category, "test")
    lap("photographs")
    model = PatchCore(load_backbone(backbone))
    lap("network")
    model.fit(train)
    lap("fit")
    prediction = model.predict(test)
    lap("predict")
    masks = torch.stack([sample.mask for sample in test])
    anomalous = torch.tensor([sample.anomalous for sample in test])
    rows = {
        "image AUROC": f"{auroc(prediction.score, anomalous):.3f}",
        "pixel AUROC": f"{auroc(prediction.anomaly_map, masks):.3f}",
        "PRO": f"{pro(prediction.anomaly_map, masks):.3f}",
        "patches of good images": f"{model.rows_before:,}",
        "memory bank entries": f"{len(model.bank):,}",
    }
    lap("metrics")
    figure = result_figure(model, train, test, prediction)
    lap("figure")
    print(f"PatchCore on {category}, {backbone}: {len(train)} good training images, {len(test)} test images")
    for name, value in [*rows.items(), *((f"seconds, {stage}", f"{t:.2f}") for stage, t in seconds.items())]:
        print(f"  {name:<26}{value:>10}")
    with replacing(out) as file:  # last: whatever happens to it, the numbers above are not lost
        figure.savefig(file, dpi=85, format=Path(out).suffix[1:].lower())
    print(f"  saved {out}")


def picture_file(path: str | Path) -> str | Path:
    """The path, if a figure can be written there.

    >>> picture_file("demo.docx")
    Traceback (most recent call last):
    ValueError: out was 'demo.docx'; its extension must be one of ....jpg, ....png, ...
    """
    writable(path)
    formats = Figure().canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in formats:
        endings = ", ".join(f".{name}" for name in sorted(formats))
        raise ValueError(f"out was {str(path)!r}; its extension must be one of {endings}")
    return path


def result_figure(model: PatchCore, train: PhotoTextures, test: PhotoTextures, prediction: Prediction) -> Figure:
    """One good crop and one of each defect: photograph, mask, map, and the worst patch beside its nearest entry."""
    chosen = [next(i for i, s in enumerate(test) if s.defect == d) for d in ("good", "scratch", "blob", "smear")]
    figure, axes = figures.grid(len(chosen), 5, width=2.2, height=2.35)
    high = float(prediction.anomaly_map.max())
    for row, (ax, i) in enumerate(zip(axes, chosen, strict=True)):
        titles = ["photograph", "mask", "anomaly map", "worst patch", "its nearest entry in the bank"]
        distance = prediction.patch_distance[i]
        query = divmod(int(distance.argmax()), distance.shape[1])
        entry = int(prediction.nearest[i][query])
        step = test[i].image.shape[1] // distance.shape[0]
        titles = titles if row == 0 else [""] * 5
        figures.photograph(ax[0], test[i].image, titles[0])
        ax[0].set_ylabel(f"{test[i].defect}\ns = {prediction.score[i]:.1f}", fontsize=11)
        figures.photograph(ax[1], test[i].mask, titles[1])
        figures.heat(ax[2], prediction.anomaly_map[i], 0, high, titles[2])
        figures.outline(ax[2], test[i].mask)
        seen = train[int(model.bank.image[entry])]
        _close_up(ax[3], test[i], query, step, colours.QUERY, titles[3])
        _close_up(ax[4], seen, model.bank.position[entry].tolist(), step, colours.NEAREST, titles[4])
        ax[4].set_xlabel(f"distance {distance.max():.1f}", fontsize=10)
    figures.scale(figure, axes[:, 2], 0, high, "distance to the bank")
    return figure


def _close_up(ax, sample: Sample, cell: list[int], step: int, colour: str, title: str) -> None:
    """The patch in its surroundings: 12 cells around it, with a frame around the p × p cells that were averaged."""
    figures.photograph(ax, sample.image, title)
    top, left = (int(k) * step for k in cell)
    figures.frame(ax, top - step, left - step, 3 * step, 3 * step, colour)
    size, reach = sample.image.shape[1], 6 * step
    middle = [min(max(k + step / 2, reach), size - reach) for k in (top, left)]
    ax.set_xlim(middle[1] - reach, middle[1] + reach)
    ax.set_ylim(middle[0] + reach, middle[0] - reach)
