"""What the page knows before its engine runs: photographs, constants of the package, and its first picture."""

import io
from base64 import b64encode

import matplotlib
import numpy as np
import torch
from PIL import Image

from patchcore_edu import colours
from patchcore_edu.backbone import Backbone, receptive_field
from patchcore_edu.conventions import CONVENTIONS
from patchcore_edu.coreset import random_projection
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.patchcore import PatchCore
from patchcore_edu.playground.graphs import BORDERS, SIDE, SIGMAS, P, S

BANK, HELD_OUT, GOOD = 8, 6, 4
"""The first training crops fill the bank. Of the good test crops, the first are judged, the next set the threshold."""
DEFECTS = (16, 17, 24, 25, 32, 33)  # two scratches, two blobs, two smears of the test split
START = {"source": "brick", "levels": [2, 3], "p": 3, "s": 1, "border": CONVENTIONS["paper"].border, "ratio": 0.01}
START |= {"selection": "greedy", "b": 9, "sigma": 4}
SELECTED = GOOD  # the first scratch


def chosen(category: str) -> tuple[list, list, list]:
    """The samples of one texture: for the bank, for the threshold, and to judge."""
    train, test = PhotoTextures(category, "train"), PhotoTextures(category, "test")
    judged = [*range(GOOD), *DEFECTS]
    return [train[i] for i in range(BANK)], [test[GOOD + i] for i in range(HELD_OUT)], [test[i] for i in judged]


def photographs() -> dict[str, dict[str, bytes]]:
    """{texture: {"bank/0": …}}: grey crops. Good ones hold bytes; drawn ones 16-bit numbers, high bytes first.

    A good crop is exact. A drawn one is rounded by at most 1/131070.
    """
    found = {}
    for category in PhotoTextures.categories:
        parts = {}
        for group, samples in zip(("bank", "held", "test"), chosen(category), strict=True):
            for i, sample in enumerate(samples):
                grey = sample.image[0].double().numpy()
                if sample.anomalous:
                    words = (grey * 65535).round().astype("<u2")
                    data = (words >> 8).astype(np.uint8).tobytes() + (words & 255).astype(np.uint8).tobytes()
                else:
                    data = (grey * 255).round().astype(np.uint8).tobytes()
                parts[f"{group}/{i}/{sample.defect}"] = data
        found[category] = parts
    return found


def constants(backbone: Backbone) -> tuple[dict, bytes]:
    """What the page is told of the package, and ψ's weights for the longest vectors."""
    channels = sum(backbone.channels.values())
    defaults = PatchCore(backbone)
    conventions = defaults.conventions
    fields = {}
    for j in (1, 2, 3, 4):
        top, left, side = receptive_field(backbone, j, 0, 0)
        cells = SIDE // backbone.strides[j]
        fields[j] = {"first": [top, left], "side": side, "stride": backbone.strides[j], "cells": cells}
        fields[j]["channels"] = backbone.channels[j]
    known = {
        "levels": fields,
        "start": START,
        "selected": SELECTED,
        "seed": defaults.seed,
        "psiDim": conventions.projection_dim,
        "offered": {"p": P, "s": S, "border": BORDERS, "sigma": SIGMAS},
        "colours": colours.ROLES,
        "maps": {name: _colour_map(name) for name in (colours.MAP, colours.FEATURE)},
    }
    # The weights for shorter vectors are the first rows of these.
    weights = random_projection(torch.eye(channels), conventions.projection_dim, defaults.seed)
    return known, weights.numpy().astype("<f4").tobytes()


def _colour_map(name: str) -> list[int]:
    return (matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(int).flatten().tolist()


def first_screen(backbone: Backbone) -> dict:
    """The first picture, computed by the package: photograph, map and scores at the settings of `START`."""
    bank, held, test = chosen(START["source"])
    model = PatchCore(backbone, coreset_ratio=START["ratio"])
    model.fit(torch.stack([sample.image for sample in bank]))
    good = model.predict(torch.stack([sample.image for sample in held]))
    judged = model.predict(torch.stack([sample.image for sample in test]))
    top = float(torch.cat([good.anomaly_map, judged.anomaly_map]).max())
    shown = judged.anomaly_map[SELECTED].numpy() / top
    rgb = matplotlib.colormaps[colours.MAP](shown)[..., :3]
    return {
        "photograph": _png(test[SELECTED].image[0].numpy()),
        "map": _png(rgb),
        "score": float(judged.score[SELECTED]),
        "threshold": float(good.score.max()),
        "scores": judged.score.tolist(),
    }


def _png(values: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray((values * 255).round().astype(np.uint8)).quantize(64).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
