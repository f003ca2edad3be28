"""The drawing functions."""

import numpy as np
from matplotlib.colors import to_hex

from patchcore_edu import colours, figures


def test_a_photograph_is_shown_as_it_is():
    _, axes = figures.grid(1, 2)
    colour = np.zeros((3, 4, 6))
    colour[0] = 1
    figures.photograph(axes[0, 0], colour, "red")
    figures.photograph(axes[0, 1], np.full((4, 6), 0.5))
    assert axes[0, 0].images[0].get_array().shape == (4, 6, 3)
    assert axes[0, 0].get_title() == "red"
    # A grey photograph is not stretched to its own darkest and brightest pixel.
    assert axes[0, 1].images[0].get_clim() == (0, 1)


def test_maps_share_the_scale_they_are_given():
    figure, axes = figures.grid(1, 2)
    for ax, top in zip(axes[0], (1.0, 5.0), strict=True):
        figures.heat(ax, np.array([[0.0, top]]), 0, 8)
    figures.scale(figure, axes[0], 0, 8, "distance to the bank")
    assert [ax.images[0].get_clim() for ax in axes[0]] == [(0, 8), (0, 8)]
    assert figure.axes[-1].get_ylabel() == "distance to the bank"


def test_a_frame_encloses_whole_pixels():
    _, axes = figures.grid(1, 1)
    figures.photograph(axes[0, 0], np.zeros((8, 8)))
    figures.frame(axes[0, 0], top=2, left=3, height=1, width=2, colour=colours.NEAREST, label="m*")
    box = axes[0, 0].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (2.5, 1.5, 2, 1)
    assert to_hex(box.get_edgecolor()).upper() == colours.NEAREST
    assert axes[0, 0].texts[0].get_text() == "m*"


def test_numbers_are_readable_on_their_cells():
    _, axes = figures.grid(1, 1)
    figures.heat(axes[0, 0], np.array([[0.0, 9.0]]), 0, 9)
    figures.numbers(axes[0, 0], np.array([[0.0, 9.0]]))
    assert [(text.get_text(), text.get_color()) for text in axes[0, 0].texts] == [("0.0", "white"), ("9.0", "black")]


def test_an_outline_surrounds_the_defect_wherever_the_picture_is():
    mask = np.zeros((4, 4), dtype=bool)
    _, axes = figures.grid(1, 1)
    figures.outline(axes[0, 0], mask)
    mask[1, 2] = True
    figures.outline(axes[0, 0], mask)
    figures.outline(axes[0, 0], mask, extent=(0, 8, 8, 0))
    nothing, around, enlarged = (edges.get_segments() for edges in axes[0, 0].collections)
    assert not nothing
    assert (around[0].min(0).tolist(), around[0].max(0).tolist()) == ([1.5, 0.5], [2.5, 1.5])
    assert (enlarged[0].min(0).tolist(), enlarged[0].max(0).tolist()) == ([4, 2], [6, 4])


def test_a_grid_has_a_line_between_neighbouring_cells():
    _, axes = figures.grid(1, 1)
    figures.cell_grid(axes[0, 0], rows=3, columns=2, stride=8)
    assert [line.get_ydata()[0] for line in axes[0, 0].lines[:2]] == [7.5, 15.5]
    assert [line.get_xdata()[0] for line in axes[0, 0].lines[2:]] == [7.5]


def test_a_described_figure_is_a_png_with_its_text():
    figure, _ = figures.grid(1, 1)
    data, metadata = figures.described(figure, "nothing yet")._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == data["text/plain"] == "nothing yet"


def test_roles_have_colours_of_their_own():
    assert len(set(colours.ROLES.values())) == len(colours.ROLES)


def test_a_choice_is_apart_only_if_no_seed_reaches_the_band():
    _, axes = figures.grid(1, 1)
    values = {"base": [0.5, 0.6], "touches": [0.6, 0.9], "above": [0.61, 0.9], "around": [0.1, 0.9]}
    assert figures.seeds(axes[0, 0], values, "base") == {"base": 0, "touches": 0, "above": 1, "around": 0}
    drawn = [sorted(line.get_xdata()) for line in axes[0, 0].lines[1::3]]
    assert drawn == [sorted(dots) for dots in values.values()]  # a dot for each seed
    assert [text.get_text() for text in axes[0, 0].get_yticklabels()] == list(values)
