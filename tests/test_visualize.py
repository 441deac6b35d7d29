"""Pictures show what they say: colours, contours, bars and scales, read back from the figures."""

import io

import numpy as np
import pytest
import torch
from captum.attr import visualization as captum_visualization
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from captum_pcim import PCIM, ForwardOnly, PCIMWarning, visualize
from captum_pcim.core import effects
from captum_pcim.core.objective import LogArea, Preservation, Removal
from captum_pcim.core.readout import lifted, settled
from captum_pcim.synthetic.planted import PlantedNetwork

WINDOW = (0.0, 1.0)


def _shown(axis):
    return np.asarray(axis.images[0].get_array())


def _render(figure):
    figure.savefig(io.BytesIO(), format="png")


# Colours


def test_a_single_stain_is_grey():
    picture = visualize.composite(torch.tensor([[[0.0, 0.5, 1.0]]]), WINDOW)
    assert picture[0].tolist() == [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]]


@pytest.mark.parametrize("n_stains", [2, 3, 4, 5, 6])
def test_each_stain_of_a_merge_has_its_own_colour(n_stains):
    image = torch.eye(n_stains)[:, None]  # pixel i shows stain i only
    picture = visualize.composite(image, WINDOW)
    expected = list(visualize.STAIN_COLOURS.values())[:n_stains]
    assert [tuple(pixel) for pixel in picture[0]] == expected
    assert len(set(expected)) == n_stains


def test_two_stains_meet_in_white():
    assert visualize.composite(torch.ones(2, 1, 1), WINDOW)[0, 0].tolist() == [1, 1, 1]


def test_colours_can_be_chosen():
    picture = visualize.composite(torch.ones(2, 1, 1), WINDOW, colours=["yellow", "cyan"])
    assert picture[0, 0].tolist() == [1, 1, 1]
    picture = visualize.composite(torch.eye(2)[:, None], WINDOW, colours=["yellow", "cyan"])
    assert picture[0].tolist() == [[1, 1, 0], [0, 1, 1]]


def test_any_colour_of_matplotlib_will_do_and_ours_come_first():
    picture = visualize.composite(torch.eye(3)[:, None], WINDOW, colours=["red", "green", "#00f"])
    assert picture[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("n_stains", [7, 10, 32])
def test_beyond_six_stains_the_first_keep_their_colours_and_all_differ(n_stains):
    picture = visualize.composite(torch.eye(n_stains)[:, None], WINDOW)[0]
    assert [tuple(pixel) for pixel in picture[:6]] == list(visualize.STAIN_COLOURS.values())
    assert len(np.unique(picture.round(2), axis=0)) == n_stains


# RGB


@pytest.mark.parametrize("photograph", [torch.rand(3, 5, 6), 255 * torch.rand(3, 5, 6)])
def test_rgb_is_drawn_as_it_is(photograph):
    expected = photograph / (255 if photograph.max() > 1 else 1)
    picture = visualize.composite(photograph, colours="rgb")
    np.testing.assert_allclose(picture, expected.permute(1, 2, 0), atol=1e-6)


def test_standardised_rgb_keeps_its_hues():
    photograph = torch.rand(3, 40, 40)
    standardised = (photograph - 0.5) / 0.25
    picture = visualize.composite(standardised, colours="rgb")
    inside = (picture > 0) & (picture < 1)
    both = inside[..., 0] & inside[..., 1]
    red, green = photograph[0].numpy()[both], photograph[1].numpy()[both]
    differences = picture[..., 0][both] - picture[..., 1][both]
    slope = np.polyfit(red - green, differences, 1)
    np.testing.assert_allclose(differences, np.polyval(slope, red - green), atol=1e-5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x, w: visualize.plot_stains(x, colours="rgb").axes[3],
        lambda x, w: visualize.plot_explanation(x, w, colours="rgb").axes[0],
        lambda x, w: visualize.plot_explanations(x[None], w[None], colours="rgb").axes[0],
        lambda x, w: visualize.plot_overlay(x, 0 * w, colours="rgb").axes[0],
        lambda x, w: visualize.plot_contours(x, w, colours="rgb").axes[0],
        lambda x, w: visualize.plot_blends(x, w, 0.0, colours="rgb").axes[0],
        lambda x, w: visualize.plot_fidelity(
            _mean_logits, x, w, 1, fractions=(1.0,), colours="rgb"
        ).axes[1],
    ],
    ids=["stains", "explanation", "explanations", "overlay", "contours", "blends", "fidelity"],
)
def test_every_picture_draws_rgb_in_its_own_colours(draw):
    photograph, weights = torch.rand(3, 12, 12), torch.rand(3, 12, 12)
    np.testing.assert_allclose(
        _shown(draw(photograph, weights)), photograph.permute(1, 2, 0), atol=1e-6
    )


def test_viewers_get_rgb_in_its_own_colours():
    photograph, weights = torch.rand(3, 12, 12), torch.rand(3, 12, 12)
    original = visualize.captum_arrays(photograph, weights, colours="rgb")[1]
    np.testing.assert_array_equal(original, (255 * photograph.permute(1, 2, 0)).round().byte())
    layers = visualize.napari_layers(photograph, weights, colours="rgb")[:3]
    assert [arguments["colormap"] for _, arguments, _ in layers] == ["red", "green", "blue"]
    assert [arguments["name"] for _, arguments, _ in layers] == ["red", "green", "blue"]
    assert all(arguments["contrast_limits"] == [0, 1] for _, arguments, _ in layers)


def test_windows_given_stretch_each_stain_and_clip_the_rest():
    image = torch.tensor([[[100.0, 150.0, 250.0]], [[0.0, 1.0, 2.0]]])
    stretched = visualize.stretch(image, [(100, 200), (0, 4)])
    assert stretched.tolist() == [[[0, 0.5, 1]], [[0, 0.25, 0.5]]]


def test_windows_of_a_plate_are_percentiles_over_all_its_images():
    plate = torch.linspace(0, 1, 101)[torch.randperm(101)].reshape(101, 1, 1, 1)
    windows = visualize.percentile_windows(plate, low=10, high=90)
    np.testing.assert_allclose(windows, [[0.1, 0.9]], atol=1e-6)


def test_a_flat_stain_is_black_and_not_nan():
    assert visualize.composite(torch.full((1, 4, 4), 7.0)).max() == 0


def test_stacks_are_projected_to_their_maximum():
    stack = torch.zeros(1, 7, 2, 2)
    stack[0, 1, 0, 0], stack[0, 2, 1, 1] = 1.0, 0.5
    picture = visualize.composite(stack, WINDOW)[..., 0]
    assert picture.tolist() == [[1, 0], [0, 0.5]]
    assert visualize.display_map(stack).tolist() == picture.tolist()


def test_the_overlay_is_grey_without_and_orange_with_attribution():
    image = torch.tensor([[[0.5, 0.5, 0.0]]])
    weights = torch.tensor([[[0.0, 1.0, 0.5]]])
    without, full, half = visualize.overlay(image, weights, WINDOW)[0]
    orange = np.array([1.0, 0.35, 0.0])
    assert without.tolist() == [0.5, 0.5, 0.5]
    np.testing.assert_allclose(full, 0.35 * 0.5 + 0.65 * orange)
    np.testing.assert_allclose(half, 0.325 * orange)


def test_the_overlay_of_nothing_is_the_image():
    image = torch.rand(1, 4, 4)
    picture = visualize.overlay(image, torch.zeros(1, 4, 4), WINDOW)
    np.testing.assert_allclose(picture, image[0, ..., None].expand(4, 4, 3).numpy(), rtol=1e-6)


# Regions


@settings(max_examples=50, deadline=None)
@given(
    arrays(float, (6, 7), elements=st.floats(0, 1)).filter(lambda a: a.sum() > 1e-6),
    st.floats(0.01, 1),
)
def test_the_smallest_region_holds_the_mass_and_no_pixel_less_would_do(relevance, mass):
    region = visualize.smallest_region(relevance, mass)
    held = relevance[region].sum() / relevance.sum()
    assert held >= mass - 1e-9
    assert held - relevance[region].min() / relevance.sum() < mass + 1e-9
    if not region.all():
        assert relevance[region].min() >= relevance[~region].max()


def test_the_region_of_a_map_without_attribution_is_empty():
    assert not visualize.smallest_region(np.zeros((3, 3)), 0.5).any()


def test_negative_attribution_is_in_no_region():
    region = visualize.smallest_region(np.array([[-5.0, 1.0, 3.0]]), 1.0)
    assert region.tolist() == [[False, True, True]]


def test_contours_enclose_the_region_that_holds_the_mass():
    weights = torch.zeros(1, 20, 20)
    weights[0, 5:15, 4:12] = 1.0
    figure = visualize.plot_contours(torch.rand(1, 20, 20), weights, masses=[0.99])
    (contour,) = figure.axes[0].collections
    corners = contour.get_paths()[0].vertices
    # Contours run half a pixel outside the outermost pixel centres.
    assert corners.min(0).tolist() == [3.5, 4.5] and corners.max(0).tolist() == [11.5, 14.5]
    _render(figure)


# Scale bar


@pytest.mark.parametrize("length", [5.0, 10.0])
def test_the_scale_bar_is_as_long_as_it_says(length):
    figure = visualize.plot_overlay(torch.rand(1, 40, 60), torch.rand(1, 40, 60))
    bar = visualize.draw_scale_bar(figure.axes[0], pixel_size=0.5, length=length)
    assert bar.get_width() == length / 0.5
    assert bar in figure.axes[0].patches
    assert figure.axes[0].texts[0].get_text() == f"{length:g} µm"
    assert bar.get_x() + bar.get_width() < 60 and bar.get_y() + bar.get_height() < 40


@pytest.mark.parametrize(
    "pixel_size, width, expected", [(1.0, 30, 10), (0.65, 96, 20), (0.1, 40, 1), (2.0, 512, 200)]
)
def test_the_default_scale_bar_has_a_round_length_of_at_most_a_third(pixel_size, width, expected):
    figure = visualize.plot_map(torch.rand(8, width))
    bar = visualize.draw_scale_bar(figure.axes[0], pixel_size)
    assert bar.get_width() * pixel_size == pytest.approx(expected)


# Figures


def test_stains_are_drawn_one_by_one_and_merged():
    image = torch.rand(3, 5, 6)
    figure = visualize.plot_stains(image, ["DNA", "actin", "mito"], WINDOW)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["DNA", "actin", "mito", "merge"]
    for axis, stain in zip(figure.axes, image, strict=False):
        np.testing.assert_allclose(_shown(axis), stain, rtol=1e-6)
    np.testing.assert_array_equal(_shown(figure.axes[3]), visualize.composite(image, WINDOW))


def test_maps_in_a_row_share_one_scale():
    figure = visualize.plot_maps({"a": torch.full((4, 4), 0.25), "b": torch.full((4, 4), 0.75)})
    limits = {axis.images[0].get_clim() for axis in figure.axes[:2]}
    assert limits == {(0.0, 0.75)}


def test_a_map_with_a_negative_part_has_a_scale_centred_on_zero():
    figure = visualize.plot_map(np.array([[-3.0, 1.0]]))
    assert figure.axes[0].images[0].get_clim() == (-3.0, 3.0)


def test_the_explanation_shows_image_map_overlay_and_contours():
    image, weights = torch.rand(2, 16, 16), torch.rand(1, 16, 16).expand(2, -1, -1)
    figure = visualize.plot_explanation(image, weights, WINDOW, vmax=1)
    pictures = [_shown(axis) for axis in figure.axes[:4]]
    np.testing.assert_array_equal(pictures[0], visualize.composite(image, WINDOW))
    np.testing.assert_allclose(pictures[1], weights[0])
    np.testing.assert_array_equal(pictures[2], visualize.overlay(image, weights, WINDOW, 1))
    assert len(figure.axes[3].collections) == 2
    _render(figure)


def test_a_batch_is_drawn_a_row_per_image_on_one_scale():
    images, weights = torch.rand(3, 2, 16, 16), torch.rand(3, 2, 16, 16)
    verdicts = ["explained", "empty", "no gradient"]
    figure = visualize.plot_explanations(images, weights, WINDOW, verdicts=verdicts)
    drawn = [axis for axis in figure.axes if axis.images and axis.get_title()]
    assert len(drawn) == 12
    for row, (image, own) in enumerate(zip(images, weights, strict=True)):
        picture, drawn_map = drawn[4 * row], drawn[4 * row + 1]
        np.testing.assert_array_equal(_shown(picture), visualize.composite(image, WINDOW))
        np.testing.assert_allclose(_shown(drawn_map), own.mean(0), rtol=1e-6)
        assert drawn_map.get_title() == f"map\n{verdicts[row]}"
        assert drawn_map.images[0].get_clim() == (0, pytest.approx(float(weights.mean(1).max())))
    _render(figure)


def test_a_stack_is_a_batch_of_one():
    stack, weights = torch.rand(2, 7, 16, 16), torch.rand(2, 7, 16, 16)
    figure = visualize.plot_explanations(stack[None], weights[None], WINDOW)
    np.testing.assert_array_equal(_shown(figure.axes[0]), visualize.composite(stack, WINDOW))


def test_blends_show_what_was_kept_and_what_was_lost():
    image = torch.tensor([[[1.0, 1.0]]])
    weights = torch.tensor([[[1.0, 0.25]]])
    figure = visualize.plot_blends(image, weights, 0.0, WINDOW)
    kept, lost = (_shown(axis)[0, :, 0].tolist() for axis in figure.axes[1:])
    assert kept == [1.0, 0.25] and lost == [0.0, 0.75]


def _mean_logits(images):
    mean = images.mean((1, 2, 3))
    return torch.stack([-8 * (mean - 0.5), 8 * (mean - 0.5)], dim=1)


def test_fidelity_shows_the_images_that_the_network_saw():
    image = torch.ones(1, 10, 10)
    weights = torch.arange(100.0).view(1, 10, 10)
    figure = visualize.plot_fidelity(
        _mean_logits, image, weights, target=1, fractions=(0.1, 0.5), windows=WINDOW
    )
    insertion, at_10, at_50, deletion, without_10, without_50 = figure.axes
    assert _shown(at_10)[..., 0].sum() == 10 and _shown(at_50)[..., 0].sum() == 50
    assert _shown(without_10)[..., 0].sum() == 90 and _shown(without_50)[..., 0].sum() == 50
    assert _shown(at_10)[9, :, 0].all()  # the highest weights are in the last row
    rising, falling = (axis.lines[0].get_ydata() for axis in (insertion, deletion))
    np.testing.assert_allclose(rising, falling[::-1], atol=1e-6)
    marked = insertion.lines[1].get_xydata()
    expected = 1 / (1 + np.exp(-16 * (marked[:, 0] - 0.5)))
    np.testing.assert_allclose(marked[:, 1], expected, atol=1e-3)


def test_fidelity_shows_scores_as_they_are_meant():
    image, weights = torch.ones(1, 10, 10), torch.arange(100.0).view(1, 10, 10)

    def brightness(images):
        return 90 + images.mean((1, 2, 3))

    axis = visualize.plot_fidelity(brightness, image, weights, score="regression").axes[0]
    assert list(axis.lines[0].get_ydata()[[0, -1]]) == [90, 91]
    assert axis.get_ylim()[0] <= 90 and axis.get_ylim()[1] >= 91


def test_labels_of_any_whole_numbers_are_objects():
    cells = torch.ones(4, 4).to(torch.uint16)
    figure = visualize.plot_objects(torch.ones(1, 4, 4), cells)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1"]


def test_bars_show_the_share_of_each_object_beside_its_area():
    weights, cells = torch.zeros(1, 4, 4), torch.zeros(4, 4, dtype=torch.int64)
    cells[0], cells[3] = 1, 7
    weights[0, 0], weights[0, 3] = 0.25, 0.75
    figure = visualize.plot_objects(weights, cells, marked=[7])
    axis = figure.axes[0]
    assert [bar.get_height() for bar in axis.patches] == [0.75, 0.25]  # type: ignore[attr-defined]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["7", "1"]
    assert axis.lines[0].get_ydata().tolist() == [0.25, 0.25]
    assert (
        axis.patches[0].get_facecolor() == to_rgba("tab:orange") != axis.patches[1].get_facecolor()
    )


# The path of the optimisation


def _path(n_steps, steps, price=None, **arguments):
    """Return pcim, an image, and the pictures of the upper and of the lower row."""
    network = PlantedNetwork()
    inputs, targets, _ = network.sample(1)
    pcim = PCIM(network, objective=(Preservation(), Removal(), price or LogArea()))
    figure = visualize.plot_path(
        pcim, inputs[0], int(targets[0]), steps, n_steps, windows=WINDOW, **arguments
    )
    pictures = [_shown(axis) for axis in figure.axes]
    return pcim, inputs, targets, pictures[: len(steps) + 1], pictures[len(steps) + 1 :]


def test_the_path_ends_with_the_map_that_attribute_returns():
    pcim, inputs, targets, weights, _ = _path(6, (0, 5))
    attributions = pcim.attribute(inputs, target=targets, n_steps=6)
    np.testing.assert_array_equal(weights[-1], visualize.display_map(attributions[0]))


def test_the_path_starts_where_no_pixel_is_preferred():
    _, _, _, (start, _), _ = _path(3, (0,))
    assert np.ptp(start) == 0


def test_the_map_of_two_steps_has_the_values_after_the_first_lifted_and_settled(monkeypatch):
    monkeypatch.setattr(effects, "LEAST", torch.inf)  # no effect of even blends is enough to count
    _, _, _, (_, after_one, attributions), _ = _path(2, (0, 1))
    expected = settled(lifted(torch.from_numpy(after_one)[None]))[0].numpy()
    np.testing.assert_allclose(np.sort(attributions, None), np.sort(expected, None), atol=1e-6)


def test_below_each_map_stands_what_it_keeps():
    _, inputs, _, weights, blends = _path(4, (0, 3), baselines=0.25)
    for alpha, blend in zip(weights, blends, strict=True):
        expected = visualize.composite(0.25 + alpha * (inputs[0].numpy() - 0.25), WINDOW)
        np.testing.assert_allclose(blend, expected, atol=1e-6)


def test_watching_the_path_leaves_pcim_as_it_was():
    pcim, *_ = _path(2, (0,))
    assert len(pcim.objective) == 3 and pcim.gradients == "auto"


@pytest.mark.parametrize(
    "draw, n_axes",
    [
        (lambda x, w, axes: visualize.plot_stains(x, axes=axes), 3),
        (lambda x, w, axes: visualize.plot_map(w, colour_bar=False, axes=axes), 1),
        (lambda x, w, axes: visualize.plot_maps({"a": w, "b": w}, axes=axes), 2),
        (lambda x, w, axes: visualize.plot_overlay(x, w, axes=axes), 1),
        (lambda x, w, axes: visualize.plot_contours(x, w, axes=axes), 1),
        (lambda x, w, axes: visualize.plot_explanation(x, w, axes=axes), 4),
        (lambda x, w, axes: visualize.plot_explanations(x[None], w[None], axes=axes), 4),
        (lambda x, w, axes: visualize.plot_blends(x, w, 0.0, axes=axes), 3),
        (lambda x, w, axes: visualize.plot_objects(w, (w[0] > 0.5).int(), axes=axes), 1),
        (
            lambda x, w, axes: visualize.plot_fidelity(
                _mean_logits, x, w, 1, fractions=(0.5,), axes=axes
            ),
            4,
        ),
        (
            lambda x, w, axes: visualize.plot_path(
                PCIM(_mean_logits), x, 1, steps=(0, 2), n_steps=3, axes=axes
            ),
            6,
        ),
    ],
    ids=[
        "stains",
        "map",
        "maps",
        "overlay",
        "contours",
        "explanation",
        "explanations",
        "blends",
        "objects",
        "fidelity",
        "path",
    ],
)
def test_every_plot_draws_into_given_axes_and_returns_their_figure(draw, n_axes):
    image, weights = torch.rand(2, 12, 12), torch.rand(2, 12, 12)
    given_figure = Figure()
    axes = given_figure.subfigures(1, 2)[0].subplots(n_axes, 1, squeeze=False)
    assert draw(image, weights, axes) is given_figure
    assert all(axis.has_data() for axis in axes.ravel())
    own = draw(image, weights, None)
    assert isinstance(own, Figure) and own is not given_figure
    with pytest.raises(ValueError, match=f"axes: expected {n_axes}, got {n_axes + 1}"):
        draw(image, weights, Figure().subplots(n_axes + 1, 1))


def test_figures_are_not_pyplots():
    visualize.plot_explanation(torch.rand(2, 8, 8), torch.rand(2, 8, 8))
    assert pyplot.get_fignums() == []


# Bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: visualize.composite(torch.rand(4, 4, 4), colours="rgb"), "for three stains"),
        (lambda: visualize.composite(torch.rand(3, 4, 4), colours="bgr"), "expected 'rgb' or one"),
        (lambda: visualize.composite(torch.rand(0, 4, 4)), "at least one stain"),
        (
            lambda: visualize.plot_explanation(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)),
            r"expected one image .* for a batch use plot_explanations",
        ),
        (
            lambda: visualize.plot_explanations(torch.rand(3, 4, 4), torch.rand(3, 4, 4)),
            r"images: expected a batch",
        ),
        (
            lambda: visualize.plot_explanations(torch.rand(3, 1, 4, 4), torch.rand(2, 1, 4, 4)),
            "attributions: expected 3, one per image, got 2",
        ),
        (
            lambda: visualize.plot_explanations(
                torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), verdicts=["explained"]
            ),
            "verdicts: expected 2, one per image, got 1",
        ),
        (lambda: visualize.composite(torch.rand(4, 4)), r"image: expected \(C, H, W\)"),
        (lambda: visualize.composite(torch.rand(2, 4, 4), colours=["red", "gren"]), "colours"),
        (lambda: visualize.stretch(torch.rand(2, 4, 4), [(0, 1)] * 3), "windows: expected one"),
        (lambda: visualize.stretch(torch.rand(2, 4, 4), (1, 0)), "windows: expected low <= high"),
        (lambda: visualize.stretch(torch.rand(2, 4, 4), (0, np.nan)), "windows: expected low"),
        (lambda: visualize.composite(torch.tensor([[[1.0, np.nan]]])), "image: expected finite"),
        (lambda: visualize.display_map(torch.rand(1, 2, 3, 4, 4)), "attributions: expected one"),
        (lambda: visualize.display_map(torch.tensor([[float("nan")]])), "finite"),
        (lambda: visualize.overlay(torch.rand(1, 4, 4), torch.rand(5, 5)), r"map of \(4, 4\)"),
        (lambda: visualize.smallest_region(np.ones((2, 2)), 0), "mass: expected"),
        (lambda: visualize.percentile_windows(torch.rand(1, 2, 2), 50, 50), "low, high"),
        (lambda: visualize.draw_scale_bar(Figure().subplots(), 1.0), "axis: expected"),
        (lambda: visualize.draw_scale_bar(Figure().subplots(), 0.0), "axis: expected"),
        (lambda: visualize.plot_maps({}), "maps: expected"),
        (lambda: visualize.plot_blends(torch.ones(1, 2, 2), 2 * torch.ones(1, 2, 2), 0), "weights"),
        (lambda: visualize.plot_objects(torch.ones(1, 2, 2), torch.zeros(2, 2).int()), "objects"),
        (lambda: visualize.plot_stains(torch.rand(2, 4, 4), ["one"]), "stain_names: expected 2"),
        (
            lambda: visualize.plot_path(PCIM(_mean_logits), torch.rand(1, 8, 8), 1, [5], 5),
            r"steps: expected numbers from 0 to 4, got \[5\]",
        ),
        (
            lambda: visualize.plot_path(
                PCIM(_mean_logits, gradients=ForwardOnly()), torch.rand(1, 8, 8), 1
            ),
            "pcim: expected gradients, got ForwardOnly",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Captum and napari


@pytest.mark.parametrize("n_stains", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "method", ["original_image", "heat_map", "blended_heat_map", "masked_image", "alpha_scaling"]
)
def test_captum_draws_images_of_any_number_of_stains(n_stains, method):
    image = 4000 * torch.rand(n_stains, 16, 16)  # as a 12-bit camera
    attr, original = visualize.captum_arrays(image, torch.rand(n_stains, 16, 16))
    assert attr.shape == (16, 16, 1) and original.shape == (16, 16, 3)
    assert original.dtype == np.uint8 and original.max() > 200
    figure, axis = captum_visualization.visualize_image_attr(
        attr, original, method=method, sign="positive", use_pyplot=False
    )
    assert axis.images
    _render(figure)


def test_napari_gets_each_stain_the_map_and_the_objects():
    image, weights = torch.rand(2, 6, 7), torch.rand(1, 6, 7).expand(2, -1, -1)
    cells = torch.arange(42).view(6, 7)
    layers = visualize.napari_layers(image, weights, cells, ["DNA", "actin"], pixel_size=0.5)
    assert [kind for _, _, kind in layers] == ["image", "image", "image", "labels"]
    names = [arguments["name"] for _, arguments, _ in layers]
    assert names == ["DNA", "actin", "attribution", "objects"]
    for (data, arguments, _), expected in zip(layers, [*image, weights[0], cells], strict=True):
        np.testing.assert_allclose(data, expected, rtol=1e-6)
        assert arguments["scale"] == [0.5, 0.5]
    assert layers[3][0].dtype == np.int64


def test_napari_keeps_stacks_and_takes_one_pixel_size_per_axis():
    stack = torch.rand(1, 7, 6, 7)
    layers = visualize.napari_layers(stack, stack, pixel_size=(2.0, 0.5, 0.5))
    assert [data.shape for data, _, _ in layers] == [(7, 6, 7), (7, 6, 7)]
    assert layers[0][1]["scale"] == [2.0, 0.5, 0.5]


def test_napari_tells_stains_and_map_apart_that_differ_in_size():
    with pytest.raises(ValueError, match="image, attributions"):
        visualize.napari_layers(torch.rand(1, 6, 7), torch.rand(1, 5, 7))


def test_a_map_that_is_zero_says_so_and_a_verdict_stands_over_its_map():
    image, nothing = np.ones((1, 8, 8)), np.zeros((1, 8, 8))
    assert visualize.plot_map(nothing).axes[0].get_title().endswith("zero everywhere")
    titles = [
        a.get_title()
        for a in visualize.plot_explanation(image, nothing + 0.5, verdict="empty").axes
    ]
    assert "map\nempty" in titles


@pytest.mark.parametrize("draw", [visualize.overlay, visualize.captum_arrays])
def test_a_batch_that_would_be_drawn_as_a_stack_is_told(draw):
    batch = torch.rand(3, 3, 16, 16)
    with pytest.warns(PCIMWarning, match=r"image: \(3, 3, 16, 16\) is drawn as a stack of 3"):
        draw(batch, batch)
    with pytest.warns(
        PCIMWarning, match=r"of a batch \(N, C, H, W\) pass one .* attributions\[0\]"
    ):
        draw(batch, batch)


def test_an_image_with_its_channels_last_is_told():
    with pytest.warns(PCIMWarning, match=r"drawn as 16 stains, \(C, H, W\); if its channels stand"):
        visualize.composite(torch.rand(16, 16, 3), WINDOW)
