"""Our PNGs hold exactly the pixels that they were made from."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from patchcore_edu.explorers.machinery.canvas import png
from patchcore_edu.explorers.machinery.kept_text import render_png
from patchcore_edu.explorers.machinery.png import encoded


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 3), (101, 57, 3)])
def test_every_pixel_is_preserved(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(Image.open(BytesIO(encoded(pixels))), pixels)


def test_a_map_and_a_photograph_have_the_colours_that_matplotlib_gives_them():
    grey = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    of_map, of_photograph = (np.asarray(Image.open(BytesIO(png(x)))) for x in (grey, np.stack([grey] * 3)))
    assert of_map.shape == of_photograph.shape == (3, 4, 3)
    assert np.abs(of_map.astype(int) - of_photograph).max() <= 1 and of_map.min() == 0 and of_map.max() == 255


def test_a_figure_is_as_large_as_its_inches_and_keeps_its_resolution():
    figure = Figure(figsize=(2, 1), dpi=70)
    assert Image.open(BytesIO(render_png(figure, 90))).size == (180, 90)
    assert figure.dpi == 70
