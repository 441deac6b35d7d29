"""An explainer printed is the call that makes it."""

import inspect

import pytest
import torch
from networks import small_cnn
from torch import nn

import captum_pcim
from captum_pcim import PCIM, Area, Background, ControlImages, ForwardOnly, PerStain, Preservation


def test_it_names_every_argument_with_its_default():
    lines = repr(PCIM(nn.Identity())).splitlines()
    assert lines[:2] == ["PCIM(", "    Identity,"] and lines[-1] == ")"
    for name in list(inspect.signature(PCIM).parameters)[1:]:
        assert any(line.startswith(f"    {name}=") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"score": "probabilities", "seed": 3, "gradients": ForwardOnly(n_forwards=100)},
        {"objective": (Preservation(), Area(2, 20)), "references": [Background()]},
        {"isolation": PerStain(), "order": "sample", "eval_mode": True},
    ],
    ids=["defaults", "scores", "objective", "channels"],
)
def test_run_again_it_makes_the_same(arguments):
    names = {**vars(captum_pcim), "Identity": nn.Identity()}
    pcim = PCIM(nn.Identity(), **arguments)
    assert repr(eval(repr(pcim), names)) == repr(pcim)


def test_a_network_is_named_and_not_listed():
    assert "Conv2d" not in repr(PCIM(small_cnn()))
    assert "    softmax," in repr(PCIM(torch.softmax))


def test_of_control_images_it_tells_the_shape_alone():
    text = repr(PCIM(nn.Identity(), references=[ControlImages(torch.ones(4, 1, 8, 8))]))
    assert "ControlImages(images=tensor of shape (4, 1, 8, 8))" in text
