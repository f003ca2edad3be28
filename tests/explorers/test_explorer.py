"""Every explorer without a browser: extreme states, bounded memory, static pictures."""

import io
from contextlib import suppress

import numpy as np
import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.image import imread

from patchcore_edu import aggregate, explorers
from patchcore_edu.explorers import Aggregation, Neighbourhood, PatchSet
from patchcore_edu.explorers.machinery import base, kept_text
from patchcore_edu.explorers.machinery.base import KEPT, Explorer, Picture, choice, settings_that_fit, switch, whole

PIPELINE = {"category": "brick", "conventions": "paper", "levels": (2, 3), "p": 3, "s": 1, "ratio": 0.01, "b": 9}


class Toy(Explorer):
    """An explorer of p and s on a map of 4 × 4, which refuses a p larger than s and says why."""

    rendered = 0

    class State(traitlets.HasTraits):
        s = whole("s, stride", 1, 1, 200)
        p = whole("p, cells across", 1, 1, 9)
        border = choice("Border", "clip", ["clip", "zero"])
        shared = switch("Shared scale", True)

    @staticmethod
    def render(state):
        Toy.rendered += 1
        with settings_that_fit():
            aggregate(torch.ones(1, 1, 4, 4), state.p)
        if state.s == 13:
            raise ValueError("a bug")
        return Picture(Figure(figsize=(2, 1)), f"p = {state.p}", {"s": str(state.s)})


def pixels(png: bytes):
    return imread(io.BytesIO(png))


@pytest.mark.parametrize("name", explorers.__all__)
def test_every_explorer_is_complete_at_once_and_accessible(name):
    explorer = getattr(explorers, name)()
    picture = explorer.picture()
    view = explorer._view
    assert view.caption == picture.caption and "\n" not in picture.caption and 20 < len(picture.caption) < 200
    assert dict(view.numbers) == dict(picture.numbers) and picture.numbers
    assert pixels(view.pngs[0]).std() > 0.05
    assert explorer.canvas is None or (explorer.canvas.image[:4] == b"\x89PNG" and explorer.canvas.alt)
    data, metadata = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert metadata["image/png"]["alt"] == picture.caption == data["text/plain"]
    assert metadata["explorer"]["name"] == type(explorer).__name__
    static = pixels(data["image/png"])
    assert static.shape[1] >= 800 and static.std() > 0.05
    assert isinstance(explorer.figure(), Figure)


def test_a_note_beside_an_explorer_says_what_to_do_when_its_kernel_has_ended(monkeypatch):
    shown = []
    monkeypatch.setattr(base, "display", lambda data, **_: shown.append(data))
    Toy(p=3)._ipython_display_()
    explorer, gone = shown
    assert "application/vnd.jupyter.widget-view+json" in explorer
    assert "hidden>This explorer's kernel has ended. Run this cell again.</p>" in gone["text/html"]


def test_a_control_moves_the_state_and_the_state_moves_the_control():
    toy = Toy(p=3)
    assert list(toy.controls) == ["s", "p", "border", "shared"]
    toy.controls["p"].value = 4
    assert toy._view.caption == "p = 4" and toy.state.p == 4
    toy.state.p = 2
    assert toy.controls["p"].value == 2 and toy._view.caption == "p = 2"


def test_settings_have_the_same_names_as_in_the_playground():
    explorer = explorers.PatchSet(p=5, levels=(2, 3))
    assert explorer.settings() == "levels=2,3&p=5&s=3"
    assert explorers.Neighbourhood(border="clip").settings() == "p=3&border=clip"


def test_a_combination_that_makes_no_sense_says_why():
    toy = Toy()
    toy.state.p = 7
    assert toy._view.caption.startswith("Nothing to show: p was 7")
    assert pixels(toy._view.pngs[0])[..., :3].min() < 0.5, "the picture must give the reason too"
    toy.state.p = 1
    assert toy._view.caption == "p = 1"


def test_a_bug_is_not_mistaken_for_settings_that_do_not_fit():
    toy = Toy()
    with pytest.raises(ValueError, match="a bug"):
        toy.state.s = 13


def test_pictures_are_drawn_without_cached_texts_if_matplotlib_has_changed(monkeypatch):
    def figure():
        figure = Figure(figsize=(2, 1))
        figure.text(0.1, 0.5, "a text")
        return figure

    kept = pixels(kept_text.render_png(figure(), 90))
    monkeypatch.setattr(kept_text._Renderer, "draw_text", lambda self, *arguments: self.renamed_in_a_later_version)
    plain = pixels(kept_text.render_png(figure(), 90))
    assert plain.shape == kept.shape and plain.std() > 0.05
    assert abs(plain - kept).mean() < 0.02


def test_settings_out_of_range_are_refused():
    with pytest.raises(traitlets.TraitError, match="'p'"):
        Toy(p=0)
    with pytest.raises(traitlets.TraitError, match="'border'"):
        Toy(border="wrap")
    with pytest.raises(ValueError, match=r"settings were \['q'\]; they may be \['border', 'p', 's', 'shared'\]"):
        Toy(q=1)


ODD = (None, "3", [1], 10**30, float("nan"), np.array([1, 2]), torch.tensor(3))


@pytest.mark.parametrize("name", explorers.__all__)
def test_a_state_refuses_what_cannot_be_drawn(name):
    """True for 1 gave tensors of another shape; 3.0 for 3, and NaN, made the picture fail and the bad state stay."""
    state = getattr(explorers, name).State()
    for trait in state.trait_names():
        value = getattr(state, trait)
        if type(value) not in (int, float, str, tuple):
            continue
        for odd in (*ODD, True, float(value), np.int64(value)) if type(value) is int else ODD:
            with suppress(traitlets.TraitError):
                setattr(state, trait, odd)
            assert getattr(state, trait) == value and type(getattr(state, trait)) is type(value)


@pytest.mark.parametrize("message", [{"h": 99}, {"h": 3, "w": -1}, {"w": True}, {"h": 10**30, "w": 10**30}])
def test_the_canvas_does_not_keep_a_place_off_the_map(message):
    explorer = Neighbourhood(h=5, w=6)
    with pytest.raises(traitlets.TraitError):
        explorer.canvas.set_state(message)
    assert (explorer.canvas.h, explorer.canvas.w) == (explorer.state.h, explorer.state.w) == (5, 6)
    explorer.canvas.set_state({"h": 7})
    assert explorer.state.h == 7


def test_a_list_in_which_nothing_is_chosen_shows_the_state_again():
    toy = Toy()
    with pytest.raises(traitlets.TraitError):
        toy.controls["border"].set_state({"index": None})
    assert toy.controls["border"].value == toy.state.border == "clip"


def test_the_last_settings_are_settings():
    state = explorers.Pipeline.State()
    for wrong in ({}, {"p": 3}, {**PIPELINE, "p": True}, {**PIPELINE, "levels": [2, 3]}):
        with pytest.raises(traitlets.TraitError):
            state.last = wrong
    state.last = PIPELINE


def test_visited_settings_are_kept_and_their_number_is_bounded():
    toy = Toy()
    for s in [*range(1, 13), *range(14, 201)]:
        toy.state.s = s
    assert len(toy._kept) == KEPT
    rendered = Toy.rendered
    for s in range(199, 201 - KEPT, -1):
        toy.state.s = s
        assert dict(toy._view.numbers) == {"s": str(s)}
    assert Toy.rendered == rendered
    toy.state.s = 1
    assert Toy.rendered == rendered + 1 and dict(toy._view.numbers) == {"s": "1"}


def test_pointing_renders_once():
    explorer = Neighbourhood()
    explorer.canvas.set_state({"h": 5, "w": 6})
    assert (explorer.state.h, explorer.state.w) == (5, 6)
    assert len(explorer._kept) == 2, "the first picture, and one more"
    explorer.state.h = 7
    assert explorer.canvas.h == 7


def test_a_picture_that_was_interrupted_is_drawn_the_next_time(monkeypatch):
    explorer = Toy()

    def interrupted(state):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            explorer.state.p = 3
    assert explorer.state.p == 3 and explorer._view.caption == "p = 1"
    explorer._repr_mimebundle_()
    assert explorer._view.caption == "p = 3"


def test_a_reader_s_own_torch_defaults_change_nothing():
    kept = PatchSet(s=2)._view.caption, Aggregation(h=3)._view.caption
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    try:
        tour = PatchSet(s=2, photograph=17).picture(), Aggregation(h=3, p=7).picture()
        assert all("Nothing to show" not in picture.caption for picture in tour)
        assert (PatchSet(s=2)._view.caption, Aggregation(h=3)._view.caption) == kept
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
