"""A place on a map whose number of cells changes with the level."""

import traitlets

from patchcore_edu.explorers.machinery.base import Whole
from patchcore_edu.explorers.machinery.photographs import backbone

ROW, COLUMN = 100, 76
"""A pixel on the scratch of test photograph 16."""
FINEST = 56
"""Cells across the map of level 1."""


class Place(traitlets.HasTraits):
    """A cell of the map of level `finest`, which a subclass defines. When it changes, the place stays where it was."""

    h = Whole(min=0, max=FINEST - 1)
    w = Whole(min=0, max=FINEST - 1)
    finest: int

    def __init__(self, **settings):
        super().__init__(**settings)
        self._step = self.step
        self.observe(self._stay)

    @property
    def step(self) -> int:
        """Pixels from one cell to the next."""
        return backbone().strides[self.finest]

    @traitlets.default("h")
    def _row(self) -> int:
        return ROW // self.step

    @traitlets.default("w")
    def _column(self) -> int:
        return COLUMN // self.step

    def _stay(self, change: dict) -> None:
        if self.step != self._step:
            ratio, self._step = self._step / self.step, self.step
            last = FINEST * backbone().strides[1] // self.step - 1
            with self.hold_trait_notifications():  # a place that was off the map comes back to its edge
                self.h, self.w = (min(int((at + 0.5) * ratio), last) for at in (self.h, self.w))
