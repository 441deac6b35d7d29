"""References: what stands where nothing is mixed in."""

import math
from itertools import pairwise

import pytest
import torch
from networks import BrightSquare, bright_images, images, small_cnn
from torch.testing import assert_close

from captum_pcim import PCIM, Background, Blur, Constant, ControlImages
from captum_pcim.core.problem import Settings
from captum_pcim.core.references import reference_images

ALL = [Constant(0.3), Constant([0.1, 0.2, 0.3]), Blur(), Blur(2.0), Background(), Background(0.2)]
SPATIAL = [(24,), (16, 20), (3, 16, 20)]


@pytest.mark.parametrize("reference", ALL, ids=repr)
@pytest.mark.parametrize("spatial", SPATIAL, ids=len)
def test_references_come_in_the_shape_of_the_images(reference, spatial):
    inputs = torch.rand(2, 3, *spatial)
    (image,) = reference(inputs)
    assert image.expand_as(inputs).shape == inputs.shape
    assert image.dtype == inputs.dtype


def test_a_constant_has_one_value_or_one_per_stain():
    inputs = images()
    assert (Constant(0.5)(inputs) == 0.5).all()
    per_stain = Constant([1.0, 2.0, 3.0])(inputs)[0, 0]
    assert torch.equal(per_stain.amax((1, 2)), torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(per_stain.amin((1, 2)), torch.tensor([1.0, 2.0, 3.0]))


def test_a_constant_refuses_another_number_of_stains():
    with pytest.raises(ValueError, match=r"references: Constant.*one per stain \(3\), got \(2,\)"):
        Constant([1.0, 2.0])(images())


def test_the_background_of_fluorescence_is_dark():
    """Dark background with a bright tail: a low quantile, whatever share is covered by cells."""
    inputs = 100 + torch.rand(1, 1, 50, 50)
    inputs[..., 10:35, 10:35] = 5000.0
    assert 100 <= Background()(inputs).max() <= 101


def test_the_background_of_bright_field_is_in_the_middle():
    """Structure darker and brighter than the background: the median."""
    inputs = 2000 + torch.rand(1, 1, 50, 50)
    inputs[..., 5:15, 5:15], inputs[..., 25:35, 25:35] = 500.0, 3500.0
    assert 2000 <= Background()(inputs).max() <= 2001


def test_each_stain_and_image_has_a_background_of_its_own():
    inputs = torch.rand(2, 2, 30, 30) + torch.tensor([[0.0, 10.0], [20.0, 30.0]])[..., None, None]
    background = Background()(inputs)[0]
    assert torch.equal(background, background[..., :1, :1].expand_as(background))
    assert torch.equal(background[..., 0, 0].floor(), torch.tensor([[0.0, 10.0], [20.0, 30.0]]))


def test_the_background_can_be_told():
    inputs = torch.arange(101.0).view(1, 1, 1, 101)
    assert [float(Background(q)(inputs).max()) for q in (0, 0.25, 1)] == [0, 25, 100]


def test_a_background_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"quantile: expected a share in \[0, 1\] or None, got 10"):
        Background(10)


@pytest.mark.parametrize("sigma", [-1.0, float("inf"), float("nan")])
def test_a_blur_of_no_width_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma: expected pixels >= 0 or None, got"):
        Blur(sigma)


def test_the_background_of_a_flat_image_is_its_value():
    inputs = torch.full((1, 2, 8, 8), 7.0)
    assert torch.equal(Background()(inputs)[0], inputs)


def test_a_blur_of_a_flat_image_is_the_image():
    inputs = torch.full((1, 1, 16, 16), 7.0, dtype=torch.float64)
    assert_close(Blur(3.0)(inputs)[0], inputs)


@pytest.mark.parametrize("sigma", [1.0, 2.5, 4.0])
def test_a_blur_has_the_width_that_was_asked_for(sigma):
    inputs = torch.zeros(1, 1, 65, 65, dtype=torch.float64)
    inputs[..., 32, 32] = 1
    profile = Blur(sigma)(inputs)[0, 0, 0].sum(0)
    distance = torch.arange(65) - 32
    assert_close(float((profile * distance**2).sum() ** 0.5), sigma, rtol=0.02, atol=0)


def test_the_blur_scales_with_the_image():
    """1/12 of the shorter side: 8 pixels at 96."""
    inputs = torch.rand(1, 1, 96, 120)
    assert torch.equal(Blur()(inputs), Blur(8.0)(inputs))


def test_a_stack_of_few_planes_is_blurred_as_its_planes_are():
    inputs = torch.rand(1, 1, 3, 48, 48)
    assert Blur()(inputs)[0].std(dim=(3, 4)).max() < inputs.std(dim=(3, 4)).min() / 3


def test_a_blur_may_be_wider_than_the_image():
    inputs = torch.rand(1, 1, 6, 6)
    assert_close(Blur(50.0)(inputs)[0], inputs.mean().expand_as(inputs), rtol=0, atol=0.01)


def test_a_blur_of_one_pixel_or_of_no_width_is_the_image():
    pixel = torch.rand(2, 3, 1, 1)
    assert torch.equal(Blur()(pixel)[0], pixel)
    inputs = images()
    assert torch.equal(Blur(0)(inputs)[0], inputs)


def test_control_images_are_references_for_every_image():
    controls = images(n=4, seed=5)
    assert torch.equal(ControlImages(controls)(images(n=2)), controls[:, None])


def test_control_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"ControlImages expected.*\(3, 16, 16\), got \(3, 8, 8\)"):
        ControlImages(images(size=8))(images())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_references_that_are_not_finite_are_refused(bad):
    controls = images(n=2)
    controls[1, 0, 0, 0] = bad
    for reference in (ControlImages(controls), Constant(bad)):
        with pytest.raises(ValueError, match=r"references: expected finite values.*got NaN or inf"):
            PCIM(small_cnn(), references=[reference]).attribute(images(), target=0, n_steps=2)


def test_features_without_spatial_axes_have_a_reference_of_zero():
    inputs = torch.rand(3, 5)
    (image,) = reference_images([Background(), Blur()], inputs)
    assert torch.equal(image, torch.zeros(1, 5).expand_as(image))


def test_references_that_mean_something_for_features_are_kept():
    inputs, controls = torch.rand(3, 5), torch.rand(2, 5)
    references = [Constant(2.0), Blur(), ControlImages(controls)]
    constant, *own = reference_images(references, inputs)
    assert (constant == 2).all()
    assert torch.equal(torch.cat(own), controls)


def _network_that_records(seen):
    def forward(inputs):
        seen.append(inputs.detach().clone())
        return 3 * inputs.flatten(1)[:, :2]

    return forward


def test_references_are_gone_through_in_turn():
    seen = []
    pcim = PCIM(_network_that_records(seen), references=[Constant(0.0), Constant(1.0)])
    inputs = torch.full((1, 1, 4, 4), 0.5)
    pcim.attribute(inputs, target=0, n_steps=4)
    # Before the steps: the image, it and a half blend of it, and the two references, first as they
    # are and then with the image mixed in.
    steps = [batch[0, 0, 3, 3] for batch in seen[6:]]
    assert [bool(pixel > 0.5) for pixel in steps] == [False, True, False, True]


def test_sampled_references_depend_on_the_seed_alone():
    references = [Constant(0.0), Constant(0.5), Constant(1.0)]

    def explain(seed, inputs):
        pcim = PCIM(BrightSquare(), references=references, order="sample", seed=seed)
        return pcim.attribute(inputs, target=1, n_steps=6)

    inputs = bright_images(n=3)
    assert torch.equal(explain(0, inputs), explain(0, inputs))
    assert not torch.equal(explain(0, inputs), explain(1, inputs))
    assert_close(explain(0, inputs)[1:2], explain(0, inputs[1:2]), rtol=0, atol=1e-5)


def test_sampled_references_are_drawn_anew_at_every_step_and_all_about_as_often():
    seen = []
    references = [Constant(0.0), Constant(1.0)]
    pcim = PCIM(_network_that_records(seen), references=references, order="sample", seed=2)
    pcim.attribute(torch.full((1, 1, 4, 4), 0.5), target=0, n_steps=60)
    drawn = [bool(batch[0, 0, 3, 3] > 0.5) for batch in seen[1:]]
    assert 20 <= sum(drawn) <= 40
    changes = sum(one != other for one, other in pairwise(drawn))
    assert 15 <= changes <= 45


def test_a_reference_that_is_never_drawn_has_no_say():
    """Weights must hold the class with every reference, but of this one nothing is known."""
    n_steps, inputs = 6, bright_images()

    def draws(seed):
        settings = Settings(n_steps, learning_rate=0.5, tolerance=0.0, seed=seed)
        return {settings.reference_at(step, 2) for step in range(n_steps)}

    seed = next(seed for seed in range(10_000) if draws(seed) == {0})

    def explain(*references):
        pcim = PCIM(BrightSquare(), references=references, order="sample", seed=seed)
        return pcim.attribute(inputs, target=1, n_steps=n_steps)

    assert torch.equal(explain(Constant(0.0), Constant(0.4)), explain(Constant(0.0)))


def test_explicit_baselines_replace_the_references():
    seen = []
    pcim = PCIM(_network_that_records(seen), references=[Constant(9.0)])
    inputs = torch.full((1, 1, 4, 4), 0.5)
    pcim.attribute(inputs, baselines=0.25, target=0, n_steps=2)
    assert all(((batch >= 0.25) & (batch <= 0.5)).all() for batch in seen)


def test_every_form_of_baseline_that_says_the_same_gives_the_same_map():
    inputs, network = bright_images(n=3), BrightSquare()
    explain = PCIM(network).attribute
    number = explain(inputs, 0.25, 1, n_steps=5)
    for same in (
        torch.full_like(inputs, 0.25),
        torch.full_like(inputs[:1], 0.25),
        torch.full_like(inputs, 0.25).double(),
    ):
        assert torch.equal(number, explain(inputs, same, 1, n_steps=5))
    (as_tuple,) = explain((inputs,), (0.25,), 1, n_steps=5)
    assert torch.equal(number, as_tuple)


def test_each_image_has_its_own_baseline_whatever_the_chunks():
    inputs = bright_images(n=3)
    baselines = 0.3 * images(n=3, seed=7)
    explain = PCIM(BrightSquare()).attribute
    together = explain(inputs, baselines, 1, n_steps=5)
    chunked = explain(inputs, baselines, 1, n_steps=5, internal_batch_size=4)
    alone = [explain(inputs[i : i + 1], baselines[i : i + 1], 1, n_steps=5) for i in range(3)]
    assert_close(together, chunked, rtol=0, atol=1e-5)
    assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    "reference",
    [
        Constant(0.1),
        Constant((0.1, 0.7)),
        Background(),
        Background(0.3),
        Blur(1.0),
        ControlImages(torch.rand(2, 2, 8, 8)),
    ],
    ids=repr,
)
def test_a_reference_has_the_precision_of_the_images(reference, dtype):
    assert reference(torch.rand(3, 2, 8, 8, dtype=torch.float64).to(dtype)).dtype == dtype


def test_a_constant_keeps_the_digits_of_double_precision():
    value = Constant((0.1, 0.7))(torch.zeros(1, 2, 3, dtype=torch.float64))
    assert value[0, 0, :, 0].tolist() == [0.1, 0.7]


@pytest.mark.parametrize("quantile", [-0.01, 1.01, math.inf])
def test_a_share_of_pixels_lies_between_none_and_all(quantile):
    assert Background(0) and Background(1)
    with pytest.raises(ValueError, match="quantile: expected a share"):
        Background(quantile)
