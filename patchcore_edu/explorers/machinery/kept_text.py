"""Matplotlib's own renderer, except that a text drawn before is not laid out and drawn again letter by letter.

Titles, ticks and labels stay the same from one picture to the next, and take most of a picture's time.
"""

from functools import lru_cache

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from patchcore_edu.explorers.machinery.png import encoded

MARGIN = 8
"""Pixels around a text: its letters may reach a little beyond its measured box."""


def render_png(figure: Figure, dpi: float) -> bytes:
    """The figure as a PNG, with texts kept from earlier figures where this matplotlib allows it."""
    try:
        return _saved(KeptText(figure), dpi)
    except Exception:  # matplotlib does not promise the renderer's inner workings: a later version may have others
        return _saved(FigureCanvasAgg(figure), dpi)


def _saved(canvas: FigureCanvasAgg, dpi: float) -> bytes:
    before, canvas.figure.dpi = canvas.figure.dpi, dpi
    try:
        canvas.draw()
        return encoded(np.asarray(canvas.renderer.buffer_rgba())[..., :3])
    finally:
        canvas.figure.dpi = before


class KeptText(FigureCanvasAgg):
    """A figure's canvas that draws as usual, but puts each horizontal text at whole pixels."""

    def get_renderer(self) -> RendererAgg:
        return _Renderer(*self.figure.bbox.size, self.figure.dpi)


class _Renderer(RendererAgg):
    def get_text_width_height_descent(self, s, prop, ismath):
        return _measured(s, prop.copy(), ismath, self.dpi)

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        if angle:
            return super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
        picture = _written(s, prop.copy(), ismath, self.dpi, gc.get_rgb()[:3])
        self.draw_image(gc, round(x) - MARGIN, self.height - round(y) - MARGIN, picture)


@lru_cache(maxsize=4096)
def _measured(s: str, prop: FontProperties, ismath: bool | str, dpi: float) -> tuple[float, float, float]:
    return RendererAgg(1, 1, dpi).get_text_width_height_descent(s, prop, ismath)


@lru_cache(maxsize=1024)
def _written(s: str, prop: FontProperties, ismath: bool | str, dpi: float, colour: tuple[float, ...]) -> np.ndarray:
    width, height, _ = _measured(s, prop, ismath, dpi)
    renderer = RendererAgg(int(width) + 2 * MARGIN, int(height) + 2 * MARGIN, dpi)
    gc = renderer.new_gc()
    gc.set_foreground(colour)
    renderer.draw_text(gc, MARGIN, renderer.height - MARGIN, s, prop, 0, ismath)
    return np.asarray(renderer.buffer_rgba())[::-1].copy()  # `draw_image` wants the lowest row first
