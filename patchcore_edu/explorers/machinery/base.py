"""The parts of every explorer: a state, a pure `render(state)`, and the widgets that join the two."""

import gc
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from weakref import WeakKeyDictionary

import anywidget
import ipywidgets
import numpy as np
import traitlets
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.image import imread

from patchcore_edu.explorers.machinery.canvas import Canvas, draw
from patchcore_edu.explorers.machinery.kept_text import render_png
from patchcore_edu.threads import one_thread

HERE = Path(__file__).parent
DPI = 90
KEPT = 64
"""How many pictures an explorer keeps: a setting visited before shows at once."""
ADDRESS = {"source": "category", "levels": "levels"} | {
    name: name for name in ("p", "s", "border", "ratio", "b", "sigma")
}
"""The playground's name for a setting → the state's trait."""


@dataclass(frozen=True)
class Picture:
    """What `render` returns for a state.

    Attributes:
        figure: a `matplotlib.figure.Figure` (never pyplot), about 6.8 inches wide beside a canvas, 11 without one. Or
            several of the same width, shown one below the other: a figure that is returned again is not redrawn.
        caption: one line that says what to look at, with the live numbers in it.
        numbers: a small table, label → text.
        formula: the equation with the live numbers in it; `N_p` and `x^(h,w)` are typeset in the browser.
        canvas: traits of the `Canvas` (image, rows, columns, p, boxes, …); empty if the explorer has none. One that
            is named like a state's trait (p, brush, …) must have its value: sliders set it in the browser, at once.
    """

    figure: Figure | tuple[Figure, ...]
    caption: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    formula: str = ""
    canvas: Mapping[str, object] = field(default_factory=dict)

    @property
    def figures(self) -> tuple[Figure, ...]:
        return self.figure if isinstance(self.figure, tuple) else (self.figure,)


class Whole(traitlets.Int):
    """A whole number. True and False are refused, though Python counts them as 1 and 0."""

    def validate(self, obj: traitlets.HasTraits, value: object) -> int:
        if isinstance(value, bool):
            self.error(obj, value)
        return super().validate(obj, value)


class _Real(traitlets.Float):
    """A number between its limits. NaN is refused: it is neither below nor above a limit."""

    def validate(self, obj: traitlets.HasTraits, value: object) -> float:
        value = super().validate(obj, value)
        if value != value:
            self.error(obj, value)
        return value


class _OneOf(traitlets.Enum):
    """One of its values, with its type: 3.0 is not 3. An array, which compares entry by entry, is refused."""

    def validate(self, obj: traitlets.HasTraits, value: object) -> object:
        if not any(type(value) is type(allowed) and value == allowed for allowed in self.values):
            self.error(obj, value)
        return value


def whole(label: str, default: int, low: int, high: int) -> Whole:
    """A trait of a state that a slider moves through whole numbers."""
    return _controlled(Whole(default, min=low, max=high), ipywidgets.IntSlider, label, min=low, max=high)


def real(label: str, default: float, low: float, high: float, step: float) -> _Real:
    """A trait of a state that a slider moves through numbers."""
    trait = _Real(default, min=low, max=high)
    return _controlled(trait, ipywidgets.FloatSlider, label, min=low, max=high, step=step)


def steps(label: str, default: object, options: Iterable | Mapping[str, object]) -> _OneOf:
    """A trait of a state that a slider moves through these values, e.g. uneven ones; {text: value} gives them names."""
    return _one_of(ipywidgets.SelectionSlider, label, default, options)


def choice(label: str, default: object, options: Iterable | Mapping[str, object]) -> _OneOf:
    """A trait of a state that is picked from a list; {text: value} names the values."""
    return _one_of(ipywidgets.Dropdown, label, default, options)


def switch(label: str, default: bool = False) -> traitlets.Bool:
    """A trait of a state that is on or off."""
    return _controlled(traitlets.Bool(default), ipywidgets.Checkbox, label, indent=False)


def _one_of(control: type, label: str, default: object, options: Iterable | Mapping[str, object]) -> _OneOf:
    options = options if isinstance(options, Mapping) else {str(value): value for value in options}
    return _controlled(_OneOf(list(options.values()), default), control, label, options=list(options.items()))


def _controlled(trait: traitlets.TraitType, control: type, label: str, **settings) -> traitlets.TraitType:
    return trait.tag(
        control=lambda value: control(
            value=value,
            description=label,
            style={"description_width": "initial"},
            layout={"width": "340px"} if control is not ipywidgets.Checkbox else {},
            **settings,
        )
    )


class NothingToShow(Exception):
    """Settings that make sense one by one, but not together; the message says why."""


@contextmanager
def settings_that_fit() -> Iterator[None]:
    """In this block, settings are checked against one another: a ValueError means `NothingToShow`, not a bug."""
    try:
        yield
    except ValueError as why:
        raise NothingToShow(str(why)) from why


class View(anywidget.AnyWidget):
    """The figure with its caption (a live region for screen readers), formula and table, changed all at once."""

    _esm = HERE / "view.js"
    _css = HERE / "explorers.css"
    pngs = traitlets.List(help="one for each figure").tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    formula = traitlets.Unicode().tag(sync=True)
    numbers = traitlets.List().tag(sync=True)


@dataclass(frozen=True)
class Shown:
    """A picture in the form that the widgets show; it cannot be changed."""

    view: Mapping[str, object]
    canvas: Mapping[str, object]


class Explorer:
    """Joins a state to a pure `render`. A subclass has `State` and `render`; the last line of a cell displays it.

    Args:
        settings: traits of the state to start from.

    Attributes:
        state: set its traits, e.g. `explorer.state.p = 5`, and the view follows.
        controls: {trait: the widget that sets it}.
        canvas: the `Canvas`, or None. Its `h`, `w` and `strokes` are tied to those of the state.
        widget: all of it, for your own layout.
    """

    State: type[traitlets.HasTraits]
    render: Callable[[traitlets.HasTraits], Picture]

    def __init__(self, **settings):
        unknown = set(settings) - set(self.State.class_trait_names())
        if unknown:
            raise ValueError(f"settings were {sorted(unknown)}; they may be {sorted(self.State.class_trait_names())}")
        self.state = self.State(**settings)
        self._kept, self._key = OrderedDict(), None
        self.controls = {}
        for name in vars(self.State):  # in the order they are written; `traits()` sorts them
            if self.state.has_trait(name) and (make := self.state.trait_metadata(name, "control")):
                self.controls[name] = control = make(getattr(self.state, name))
                traitlets.dlink((self.state, name), (control, "value"))
                control.observe(partial(self._moved, {name: "value"}), "value")
        self._view, self.canvas = View(), None
        self._show()
        self.state.observe(self._show)
        row = [self.canvas, self._view] if self.canvas else [self._view]
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.Box(list(self.controls.values()), layout={"flex_flow": "row wrap", "grid_gap": "0 24px"}),
                ipywidgets.HBox(row, layout={"grid_gap": "16px", "align_items": "flex-start", "flex_flow": "row wrap"}),
            ]
        )
        self.widget.add_class("patchcore-explorer")

    def picture(self) -> Picture:
        """The picture of the current state. Settings that do not fit together give one that says why."""
        try:
            with one_thread():
                return type(self).render(self.state)
        except NothingToShow as why:
            figure = Figure(figsize=(6.8, 3.6))
            figure.text(0.5, 0.5, "\n".join(wrap(str(why), 60)), ha="center", va="center", fontsize=11)
            return Picture(figure, f"Nothing to show: {why}")

    def figure(self) -> Figure:
        """A static picture of the current state: canvas, figure, caption, formula and numbers."""
        picture = self.picture()
        text = [*wrap(picture.caption, 120), picture.formula]
        for label, number in picture.numbers.items():
            text += wrap(f"{label}: {number}", 120, subsequent_indent="    ")
        sizes = [figure.get_size_inches() for figure in picture.figures]
        width, height = sizes[0][0], sum(height for _, height in sizes)
        left = height if picture.canvas else 0
        below = 0.2 * (len(text) + 1)
        static = Figure(figsize=(left + width, below + height))
        inches = [left + width, below + height] * 2
        if picture.canvas:
            draw(
                static.add_axes(np.divide([0.1, below, height - 0.2, height], inches)),
                {**self._tied(), **picture.canvas},
            )
        ax = static.add_axes(np.divide([left, below, width, height], inches))
        ax.imshow(np.concatenate([imread(BytesIO(render_png(figure, 2 * DPI))) for figure in picture.figures]))
        ax.axis("off")
        top = (below - 0.1) / (below + height)
        static.text(0.01, top, "\n".join(text), va="top", fontsize=9, linespacing=1.4, parse_math=False)
        return static

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        self._show()  # an interrupt may have left it undrawn
        caption = self._view.caption
        data = self.widget._repr_mimebundle_() | {"text/plain": caption, "image/png": render_png(self.figure(), 100)}
        explorer = {"name": type(self).__name__, "settings": self.settings()}
        return data, {"image/png": {"alt": caption}, "explorer": explorer}

    def _ipython_display_(self) -> None:
        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
        # Also what to do if the notebook is opened after its kernel has ended: then no widget is left to say so.
        display({"text/html": (HERE / "gone.html").read_text("utf-8"), "text/plain": ""}, raw=True)

    def settings(self) -> str:
        """The current settings as in the playground's address, e.g. `levels=2,3&p=3`."""
        values = self.state.trait_values()
        texts = {
            key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for key, name in ADDRESS.items()
            if (value := values.get(name)) is not None
        }
        return "&".join(f"{key}={text}" for key, text in texts.items())

    def _tied(self) -> dict[str, object]:
        return {name: getattr(self.state, name) for name in ("h", "w", "strokes") if self.state.has_trait(name)}

    def _shown(self) -> Shown:
        picture = self.picture()
        view = {
            "pngs": [_drawn(figure) for figure in picture.figures],
            "caption": picture.caption,
            "formula": picture.formula,
            "numbers": list(picture.numbers.items()),
        }
        return Shown(view, picture.canvas)

    def _show(self, change: object = None) -> None:
        key = json.dumps(self.state.trait_values(), default=str)
        if key == self._key:  # h and w arrive together, but notify one by one
            return
        if key not in self._kept:
            with no_garbage_collection():
                self._kept[key] = self._shown()
        self._key = key  # not before: a picture that Ctrl-C stopped has yet to be drawn
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        shown = self._kept[key]
        if shown.canvas:
            traits = {**self._tied(), **shown.canvas}
            if self.canvas is None:
                self.canvas = Canvas(**traits)
                self.canvas.observe(partial(self._moved, {name: name for name in self._tied()}), list(self._tied()))
                self._links = {name: self._link(name) for name in self.controls if name in shown.canvas}
            _set(self.canvas, {name: value for name, value in traits.items() if not self._links.get(name)})
        _set(self._view, shown.view)

    def _link(self, name: str) -> ipywidgets.Widget | None:
        """Let a slider set the canvas's trait of the same name in the browser: a slow kernel cannot set it back."""
        control = self.controls[name]
        return ipywidgets.jsdlink((control, "value"), (self.canvas, name)) if "value" in control.keys else None

    def _moved(self, names: Mapping[str, str], change: Mapping) -> None:
        """Set the state to what a widget was moved to: {trait of the state: trait of the widget}."""
        widget = change["owner"]
        try:
            with self.state.hold_trait_notifications():
                for name, shown in names.items():
                    setattr(self.state, name, getattr(widget, shown))
        except traitlets.TraitError:  # the widget must not show what the state refuses
            _set(widget, {shown: getattr(self.state, name) for name, shown in names.items()})
            raise


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Leave a figure's garbage, which is full of cycles, until the figure is done: it is then young and found quickly.

    If the collector runs while a figure is drawn, what is in use moves to the old generation. To free it a few figures
    later, the collector must scan the whole process: up to 0.4 seconds, while a slider moves.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _set(widget: ipywidgets.Widget, traits: Mapping[str, object]) -> None:
    # All at once: an observer of h must not find the old w.
    with widget.hold_sync(), widget.hold_trait_notifications():
        for name, value in traits.items():
            setattr(widget, name, value)


_DRAWN = WeakKeyDictionary()


def _drawn(figure: Figure) -> bytes:
    if figure not in _DRAWN:
        _DRAWN[figure] = render_png(figure, DPI)
    return _DRAWN[figure]
