"""Makes the README's pictures."""

from argparse import ArgumentParser, Namespace
from io import BytesIO
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image
from tqdm.auto import tqdm

from patchcore_edu import colours, figures
from patchcore_edu.commands.demo import demo
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.files import folder_to_write, replacing
from patchcore_edu.patchcore import PatchCore

FRAMES = 12


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("out", nargs="?", default="notebooks/pictures", help="the folder (default: %(default)s)")


def run(chosen: Namespace) -> None:
    pictures(chosen.out)


def pictures(folder: str | Path) -> None:
    """Write demo.png, what `demo` shows, and scratch.gif, a scratch that grows while the map follows.

    Args:
        folder: where to write; created if missing.
    """
    folder = folder_to_write(folder)
    demo(out=folder / "demo.png")
    scratch(folder / "scratch.gif")


def scratch(out: str | Path) -> None:
    """A good crop on which a light scratch grows, its anomaly map on one scale, and its score, frame by frame."""
    train, test = PhotoTextures("brick", "train"), PhotoTextures("brick", "test")
    good = next(sample for sample in test if sample.defect == "good").image
    model = PatchCore().fit(train)
    normal = float(model.predict(torch.stack([s.image for s in test if s.defect == "good"])).score.max())
    stages = torch.stack([_scratched(good, frame / FRAMES) for frame in range(FRAMES + 1)])
    prediction = model.predict(stages)
    high = float(prediction.anomaly_map.max())
    frames = [
        _frame(*stage, prediction.score, i, high, normal)
        for i, stage in enumerate(tqdm(zip(stages, prediction.anomaly_map, strict=True), total=len(stages), delay=1))
    ]
    durations = [900, *[160] * (FRAMES - 1), 2500]
    with replacing(out) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)


def _scratched(image: torch.Tensor, part: float) -> torch.Tensor:
    drawn = image.clone()
    for t in torch.linspace(0, part, round(160 * part)):
        row, column = int(60 + 110 * t), int(70 + 90 * t + 18 * torch.sin(5 * t))
        drawn[:, row : row + 3, column : column + 3] = 0.92
    return drawn


def _frame(
    image: torch.Tensor, heat: torch.Tensor, score: torch.Tensor, i: int, high: float, normal: float
) -> Image.Image:
    figure = Figure(figsize=(8.6, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
    figures.photograph(left, image, "a scratch grows on a good crop")
    figures.heat(middle, heat, 0, high, "anomaly map")
    figures.scale(figure, [middle], 0, high, "distance to the bank")
    right.plot(score[: i + 1], color=colours.ANOMALY, lw=2.5, marker="o", ms=4)
    right.axhline(normal, color=colours.BANK, lw=1.5)
    right.text(len(score) - 1, normal - 1, "highest score of a good crop", color="#1f6f9f", ha="right", va="top")
    right.set(xlim=(-0.5, len(score) - 0.5), ylim=(0, float(score.max()) * 1.1), xlabel="length of the scratch")
    right.set_title(f"image score s = {score[i]:.1f}", fontsize=10)
    right.set_xticks([])
    png = BytesIO()
    figure.savefig(png, dpi=80)
    return Image.open(png).convert("RGB").quantize(96, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
