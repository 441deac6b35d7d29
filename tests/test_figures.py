"""Figures of a comparison, part by part: sizes in inches, units, titles, scales and legends."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from captum_pcim.comparison import Case, Comparison, MethodResult
from captum_pcim.comparison.figures import plot_comparisons, plot_curves
from captum_pcim.comparison.result import write_figure
from captum_pcim.metrics import Curve

SIZE = 20  # of the images; 400 pixels, of which the 99.5th percentile is the third largest


def comparison(maps, masks=False, n_images=3):
    """A comparison of methods with given maps, of shape (n_images, 20, 20)."""
    inputs = torch.rand(n_images, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    truth = (inputs > 0.5) if masks else None
    runs = {
        name: MethodResult(own[:, None], "signed", 0.0, None, None, {}, {})
        for name, own in maps.items()
    }
    return Comparison(Case(lambda x: x, inputs, None, truth), runs, {})


def panels(figure):
    return [axis for part in figure.subfigs for axis in part.axes if axis.axes.images]


def column(figure, number, n_columns):
    return [axis for axis in panels(figure)][number::n_columns]


def colour_bar(figure) -> Any:
    """The axis of the only colour bar, which Matplotlib keeps what it was made with on."""
    (bar,) = [axis for part in figure.subfigs for axis in part.axes if not axis.images]
    return bar


def drawn(axis):
    return torch.as_tensor(np.asarray(axis.images[0].get_array()))


def ramp(n_images=3):
    return torch.arange(n_images * SIZE * SIZE, dtype=torch.float32).view(n_images, SIZE, SIZE)


@pytest.mark.parametrize(
    ("n_images", "most", "n_methods", "inches"),
    [(3, 8, 1, (5.5, 5.2)), (3, 2, 1, (5.5, 3.7)), (9, 8, 2, (7.0, 12.7)), (1, 8, 4, (10.0, 2.2))],
)
def test_a_panel_is_an_inch_and_a_half(n_images, most, n_methods, inches):
    own = comparison({str(i): ramp(n_images) for i in range(n_methods)}, True, n_images)
    figure = plot_comparisons(own, max_images=most)
    assert tuple(figure.get_size_inches()) == pytest.approx(inches)
    assert len(panels(figure)) == min(n_images, most) * (2 + n_methods)


def test_eight_images_are_drawn_unless_told():
    assert len(panels(comparison({"own": ramp(9)}, n_images=9).plot())) == 8 * 2
    assert len(panels(comparison({"own": ramp(9)}, n_images=9).plot(max_images=1))) == 2


def test_comparisons_stand_below_each_other_in_proportion_to_their_rows():
    first, second = comparison({"own": ramp(1)}, n_images=1), comparison({"own": ramp(3)})
    figure = plot_comparisons(first, second)
    assert tuple(figure.get_size_inches()) == pytest.approx((5.5, 1.5 + 4.5 + 1.4))
    heights = [part.bbox.height for part in figure.subfigs]
    assert heights[1] / heights[0] == pytest.approx(3)


def test_a_map_is_drawn_in_units_of_its_995th_of_a_thousand_values():
    maps = ramp()
    figure = plot_comparisons(comparison({"own": maps}))
    unit = maps.flatten()[round(0.995 * 1199)]  # 1193
    assert panels(figure)[1].get_title() == "own\n1 = 1.2e+03"
    for row, axis in enumerate(column(figure, 1, 2)):
        assert_close(drawn(axis), maps[row] / unit)


def test_of_the_images_that_are_not_drawn_nothing_is_read():
    maps = torch.cat([ramp(1), 100 * ramp(2)])
    figure = plot_comparisons(comparison({"own": maps}), max_images=1)
    assert_close(drawn(panels(figure)[1]), maps[0] / maps[0].flatten()[round(0.995 * 399)])


def test_where_hardly_a_pixel_is_relevant_the_largest_is_the_unit():
    maps = torch.zeros(3, SIZE, SIZE)
    maps[1, 2, 3] = 0.25
    figure = plot_comparisons(comparison({"own": maps}))
    assert panels(figure)[1].get_title() == "own\n1 = 0.25"
    assert_close(drawn(column(figure, 1, 2)[1]), maps[1] / 0.25)


def test_a_map_of_nothing_is_drawn_as_it_is():
    figure = plot_comparisons(comparison({"own": torch.zeros(3, SIZE, SIZE)}))
    assert panels(figure)[1].get_title() == "own\n1 = 1"
    assert float(drawn(panels(figure)[1]).abs().max()) == 0


@pytest.mark.parametrize(("shift", "told"), [(0.0, ""), (-1.0, ", positive part")])
def test_negative_relevance_is_not_drawn_and_the_title_says_so(shift, told):
    maps = ramp() + shift
    figure = plot_comparisons(comparison({"own": maps}))
    assert panels(figure)[1].get_title() == f"own\n1 = 1.2e+03{told}"
    assert float(drawn(panels(figure)[1]).min()) == 0


def test_maps_share_one_scale_and_the_colour_bar_tells_it():
    figure = plot_comparisons(comparison({"a": ramp(), "b, smoothed": 9 - ramp()}, masks=True))
    norms = {(axis.images[0].norm.vmin, axis.images[0].norm.vmax) for axis in panels(figure)[2:4]}
    assert norms == {(0, 1)}
    maps = [axis.images[0].get_cmap().name for axis in panels(figure)[:4]]
    assert maps == ["gray", "gray", "magma", "magma"]
    titles = [axis.get_title().partition("\n1 =")[0] for axis in panels(figure)[:4]]
    assert titles == ["image", "truth", "a", "b,\nsmoothed"]
    bar = colour_bar(figure)
    assert bar.get_ylabel() == "relevance"
    assert panels(figure)[3].images[0].colorbar.ax is bar


@pytest.mark.parametrize(("n_images", "rows"), [(1, 1), (2, 2), (3, 2), (4, 2), (6, 2)])
def test_the_colour_bar_is_two_rows_high_at_most(n_images, rows):
    figure = plot_comparisons(comparison({"own": ramp(n_images)}, n_images=n_images))
    figure.canvas.draw()
    bar, *boxes = (axis.get_window_extent() for axis in (colour_bar(figure), *panels(figure)))
    tops = sorted({round(box.y1) for box in boxes})
    row = tops[1] - tops[0] if len(tops) > 1 else boxes[0].height
    assert (rows - 0.2) * row < bar.height <= rows * row + 1


def test_panels_have_no_axes_small_titles_and_whole_pixels():
    figure = plot_comparisons(comparison({"own": ramp()}, masks=True))
    for number, axis in enumerate(panels(figure)):
        assert not axis.axison
        assert axis.images[0].get_interpolation() == "nearest"
        assert bool(axis.get_title()) == (number < 3)
    assert panels(figure)[0].title.get_fontsize() == 6


def test_the_truth_is_drawn_from_masks_of_either_shape():
    own = comparison({"own": ramp()}, masks=True)
    flat = Case(own.case.forward_func, own.case.inputs, None, own.case.masks[:, 0] * 7)
    for case in (own.case, flat):
        figure = plot_comparisons(Comparison(case, own.runs, {}), max_images=2)
        for row, axis in enumerate(column(figure, 1, 3)):
            assert torch.equal(drawn(axis) > 0, own.case.masks[row, 0])


def curves(n_methods=2, n_metrics=1):
    fractions = torch.linspace(0, 1, 3)
    return {
        f"metric {m}": {
            f"method {i}": Curve(fractions, torch.tensor([[0.0, 1.0, i], [2.0, 3.0, i]]))
            for i in range(n_methods)
        }
        for m in range(n_metrics)
    }


@pytest.mark.parametrize(("n_metrics", "inches"), [(1, (6.5, 4)), (3, (15.5, 4))])
def test_each_metric_has_a_panel_of_curves_that_are_means_over_images(n_metrics, inches):
    figure = plot_curves(curves(2, n_metrics))
    assert tuple(figure.get_size_inches()) == inches
    assert len(figure.axes) == n_metrics
    for number, axis in enumerate(figure.axes):
        assert axis.get_title() == f"metric {number}"
        assert axis.get_xlabel() == "share of the pixels"
        assert axis.get_ylabel() == "score of the target"
        assert axis.get_ylim() == figure.axes[0].get_ylim()
        for i, line in enumerate(axis.lines):
            assert line.get_xdata().tolist() == [0, 0.5, 1]
            assert line.get_ydata().tolist() == [1, 2, i]


def test_of_many_methods_every_ten_have_a_style_of_line_of_their_own():
    (axis,) = plot_curves(curves(42)).axes
    styles = [line.get_linestyle() for line in axis.lines]
    assert styles == ["-"] * 10 + ["--"] * 10 + [":"] * 10 + ["-."] * 10 + ["-"] * 2


def test_the_legend_stands_beside_the_last_panel():
    figure = plot_curves(curves(2, 2))
    assert [axis.get_legend() is not None for axis in figure.axes] == [False, True]
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["method 0", "method 1"]
    figure.canvas.draw()
    panel, box = figure.axes[1].get_window_extent(), legend.get_bbox_to_anchor()
    assert (box.x0, box.y0) == pytest.approx((panel.x1, (panel.y0 + panel.y1) / 2), abs=1)
    assert legend.get_texts()[0].get_fontsize() == pytest.approx(10 * 0.833)


def test_a_figure_is_written_with_150_dots_an_inch(tmp_path):
    write_figure(tmp_path, "curves", plot_curves(curves()))
    with Image.open(io.BytesIO((tmp_path / "curves.png").read_bytes())) as written:
        assert (written.format, written.size) == ("PNG", (975, 600))
