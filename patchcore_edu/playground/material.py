"""What the page has before its engine runs: photographs, constants of the package, and its first picture."""

import io
import json
import re
from base64 import b64encode

import matplotlib
import numpy as np
import skimage.data
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
"""The first training crops fill the bank. Of the good test crops, the first are tested, the next set the threshold."""
DEFECTS = (16, 17, 24, 25, 32, 33)  # two scratches, two blobs, two smears of the test split
JUDGED = (*range(GOOD), *DEFECTS)
START = {"source": "brick", "levels": [2, 3], "p": 3, "s": 1, "border": CONVENTIONS["paper"].border, "ratio": 0.01}
START |= {"selection": "greedy", "b": 9, "sigma": 4}
SELECTED = GOOD  # the first scratch


def chosen(category: str) -> tuple[list, list, list]:
    """The samples of one texture: for the bank, for the threshold, and test images."""
    train, test = PhotoTextures(category, "train"), PhotoTextures(category, "test")
    return [train[i] for i in range(BANK)], [test[GOOD + i] for i in range(HELD_OUT)], [test[i] for i in JUDGED]


def photographs() -> dict[str, dict[str, bytes]]:
    """{texture: parts}: the whole grey photograph once, where each crop is in it, and what is drawn on some.

    "photograph": (512, 512), uint8. "crops": JSON, a list of {group, defect, top, left, changed}. "places" (uint32) and
    "values" (float32): the pixels changed by drawing, `changed` of them for each crop, one crop's after another's.
    """
    found = {}
    for category in PhotoTextures.categories:
        photograph = getattr(skimage.data, category)()
        crops, places, values = [], [], []
        for group, samples in zip(("bank", "held", "test"), chosen(category), strict=True):
            for sample in samples:
                top, _, left, _ = map(int, re.findall(r"\d+", sample.source))
                crop = np.float32(photograph[top : top + SIDE, left : left + SIDE] / 255)
                drawn = sample.image[0].numpy()
                places.append(np.flatnonzero(crop != drawn))
                values.append(drawn.flat[places[-1]])
                where = {"top": top, "left": left, "changed": len(places[-1])}
                crops.append({"group": group, "defect": sample.defect, **where})
        found[category] = {
            "photograph": photograph.tobytes(),
            "crops": json.dumps(crops).encode(),
            "places": np.concatenate(places).astype("<u4").tobytes(),
            "values": np.concatenate(values).astype("<f4").tobytes(),
        }
    return found


def constants(backbone: Backbone) -> tuple[dict, bytes]:
    """What the page is told about the package, and ψ's weights for the longest vectors."""
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
        "taken": {"bank": BANK, "judged": JUDGED},
        "seed": defaults.seed,
        "psiDim": conventions.projection_dim,
        "offered": {"p": P, "s": S, "border": BORDERS, "sigma": SIGMAS},
        "colours": colours.ROLES,
        "palettes": {"map": _colour_map(colours.MAP), "feature": _colour_map(colours.FEATURE)},
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
