"""Every number that the documentation states is the one that runs."""

import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from literal import Numbers, literal_map
from torch.testing import assert_close

from captum_pcim import PCIM, Background, Blur, Constant, Factorised, Smoothing, metrics

LEVELS = (0.0, 0.35)  # of the two references
PROBLEMS = {  # seed, scale and offset of the log-odds
    "a very sure network, tempered": (4, 6.0, 30.0),
    "a sure network, tempered": (6, 3.0, 2.0),
    "an unsure network": (4, 1.0, 0.0),
    "a network that hardly tells the image from its references": (4, 0.02, 0.5),
    "a network that tells it by next to nothing": (1, 0.002, 0.5),
}


def _problem(name):
    """An image and the log-odds of its class: a straight line and a curved one across it."""
    seed, scale, offset = PROBLEMS[name]
    generator = torch.Generator().manual_seed(seed)
    line = torch.randn(64, generator=generator).double()
    image = torch.rand(1, 1, 8, 8, generator=generator).double() + 0.2
    curve = torch.randn(64, generator=generator).double()

    def log_odds(images):
        pixels = images.flatten(1)
        return scale * (pixels @ line + 3 * (pixels @ curve / 4).tanh()) + offset

    return image, log_odds


@cache
def _by_the_package(name, **arguments):
    image, log_odds = _problem(name)

    def network(images):
        odds = log_odds(images)
        return torch.stack([torch.zeros_like(odds), odds], 1)

    pcim = PCIM(network, references=[Constant(level) for level in LEVELS])
    return pcim.attribute(image, target=1, **arguments)


def _by_hand(name, **other):
    image, log_odds = _problem(name)
    references = [torch.full_like(image, level) for level in LEVELS]
    return literal_map(log_odds, image, references, replace(Numbers(), **other))


def _apart(problem, arguments=None, **other):
    """The largest difference in log-odds, in which small weights tell as much as large ones."""
    maps = _by_the_package(problem, **(arguments or {})), _by_hand(problem, **other)
    package, hand = (m.clamp(1e-7, 1 - 1e-7).logit() for m in maps)
    return (package - hand).abs().max()


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("steps", [{}, {"n_steps": 12}, {"n_steps": 60}], ids=str)
def test_a_map_is_the_one_that_the_documented_method_gives_by_hand(problem, steps):
    assert _apart(problem, steps, **steps) < 1e-4


@pytest.mark.parametrize(
    "other",
    [
        {"n_steps": 45},
        {"learning_rate": 0.51},
        {"initial_logit": 0.02},
        {"preservation": 1.02},
        {"removal": 1.02},
        {"price": 3.1},
        {"steps_of_the_price": 50},
        {"floor": 0.021},
        {"most_log_odds": 8.2},
        {"margin": 0.12},
        {"least_difference": 0.3},
        {"span": 8.2},
        {"most_gain": 8.2},
        {"settling": 0.6},
        {"settling": 0.75},
        {"memory": 0.4},
        {"level": 0.66},
        {"effect": 0.2},
        {"least_effects": 0.3},
        {"top_logit": 3.1},
        {"most_lift": 4.1},
        {"settled": 2.1},
        {"first_beta": 0.82},
        {"second_beta": 0.91},
        {"own_share": 0.52},
    ],
    ids=lambda other: str(other)[1:-1],
)
def test_another_number_gives_another_map(other):
    """That the problems tell: with a number a little off, by hand, a map is not the package's."""
    assert max(_apart(problem, **other) for problem in PROBLEMS) > 1e-3


def test_stain_weights_start_at_the_sigmoid_of_two():
    pcim = PCIM(lambda x: 9 * x.mean((2, 3)), isolation=Factorised())
    still = {"n_steps": 2, "learning_rate": 1e-9, "return_diagnostics": True}
    _, diagnostics = pcim.attribute(torch.rand(2, 3, 8, 8), target=1, **still)
    assert_close(diagnostics.stain_weights[0], torch.tensor(2.0).sigmoid().expand(2, 3))


def _pixels(low, high):
    """A hundred and one pixels about 50 with tails of given lengths to the 5 and 95 % quantiles."""
    ramp = np.arange(101.0)
    pixels = np.where(ramp < 50, 50 - (50 - ramp) * low / 45, 50 + (ramp - 50) * high / 45)
    return torch.from_numpy(pixels).float().view(1, 1, 1, 101)


@pytest.mark.parametrize(("high", "is_dark"), [(19.8, False), (20.2, True), (4.0, False)])
def test_the_background_is_dark_where_the_upper_tail_is_more_than_twice_the_lower(high, is_dark):
    pixels = _pixels(10.0, high)
    expected = pixels.flatten()[10] if is_dark else torch.tensor(50.0)
    assert_close(Background()(pixels).unique(), expected[None])


def test_a_dark_background_is_the_ten_percent_quantile():
    pixels = _pixels(10.0, 45.0)
    assert_close(Background()(pixels).unique(), pixels.flatten()[10][None])


@pytest.mark.parametrize("side", [48, 96])
def test_the_default_blur_is_a_twelfth_of_the_shorter_side(side):
    image = torch.rand(1, 2, side, side + 12)
    assert_close(Blur()(image), Blur(side / 12)(image))


@pytest.mark.parametrize(("side", "sigma"), [(64, 2.0), (96, 3.0), (15, 0.0), (16, 0.5)])
def test_the_default_smoothing_is_a_thirty_second_of_the_shorter_side(side, sigma):
    assert Smoothing().pixels((side, side + 7)) == sigma


def test_every_seed_of_the_metrics_is_zero_unless_told():
    functions = [getattr(metrics, name) for name in metrics.__all__]
    seeds = {
        f.__name__: inspect.signature(f).parameters["seed"].default
        for f in functions
        if inspect.isfunction(f) and "seed" in inspect.signature(f).parameters
    }
    assert len(seeds) > 5 and set(seeds.values()) == {0}


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 1])
def test_seeds_have_63_bits_and_a_sign(seed):
    assert PCIM(torch.nn.Identity(), seed=seed).seed == seed
    with pytest.raises(ValueError, match="seed: expected a whole number of at most 63 bits"):
        PCIM(torch.nn.Identity(), seed=seed + (1 if seed > 0 else -1))
