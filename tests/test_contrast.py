"""`contrast`: what the target is told from."""

import numpy as np
import pytest
import torch
from networks import images, small_cnn
from screen_plates import config, rows
from test_classes import explain
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIM, ControlImages, DistributionPreservation, ForwardOnly
from captum_pcim.classifiers.classes import Classes
from captum_pcim.classifiers.files import ModelError
from captum_pcim.cli.main import main
from captum_pcim.core.scores import read_scores
from captum_pcim.metrics import relevance_mass_accuracy
from captum_pcim.screen import ConfigError, run_screen
from captum_pcim.synthetic import (
    HELD_OUT_SEED,
    PlantedNetwork,
    load_cnn,
    synthetic_fluorescence,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # of random networks there is much to doubt

NETWORK = small_cnn(n_classes=4)
INPUTS = images(3)
STEPS = 12


class Columns(nn.Module):
    """Some of the outputs of another network."""

    def __init__(self, network, columns):
        super().__init__()
        self.network, self.columns = network.eval(), columns
        self.eval()

    def forward(self, inputs):
        return self.network(inputs)[:, self.columns]


def attribute(network=NETWORK, target=1, *, contrast=None, score="logits", **options):
    pcim = PCIM(network, score=score, **options)
    return pcim.attribute(INPUTS, target=target, contrast=contrast, n_steps=STEPS)


# ---- what it means ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_the_log_odds_are_those_among_the_target_and_its_contrast_alone(kind):
    logits = torch.tensor([[2.0, -1.0, 0.5, 9.0], [0.0, 0.0, 3.0, -9.0]])
    scores = logits if kind == "logits" else logits.double().softmax(1)
    among = torch.tensor([[True, True, True, False]]).expand(2, -1)
    found = read_scores(scores, torch.tensor([0, 2]), kind, competing=among)
    expected = torch.stack([
        logits[0, 0] - logits[0, 1:3].logsumexp(0), logits[1, 2] - logits[1, :2].logsumexp(0)
    ])  # fmt: skip
    assert_close(found.log_odds.float(), expected)
    assert_close(found.log_probabilities.exp()[:, 3].float(), torch.zeros(2))
    assert_close(found.log_probabilities.exp().sum(1).float(), torch.ones(2))


def test_the_map_is_that_of_a_network_of_these_classes_alone():
    alone = attribute(Columns(NETWORK, [0, 1]), target=1)
    assert attribute(target=1, contrast=0).equal(alone)


def test_several_classes_are_told_from_together():
    alone = attribute(Columns(NETWORK, [0, 1, 2]), target=1)
    assert attribute(target=1, contrast=[0, 2]).equal(alone)


def test_all_other_classes_as_contrast_change_no_bit():
    assert attribute(target=1, contrast=[0, 2, 3]).equal(attribute(target=1))


def test_forward_passes_alone_know_it_too():
    passes = {"gradients": ForwardOnly(n_forwards=40)}
    alone = attribute(Columns(NETWORK, [0, 1]), target=1, **passes)
    assert attribute(target=1, contrast=0, **passes).equal(alone)


def test_terms_that_compare_distributions_stay_finite():
    objective = [DistributionPreservation()]
    assert attribute(contrast=0, objective=objective).isfinite().all()


def test_diagnostics_tell_the_probability_among_these_classes():
    _, found = PCIM(NETWORK).attribute(
        INPUTS, target=1, contrast=0, n_steps=STEPS, return_diagnostics=True
    )
    assert_close(found.full_probability, NETWORK(INPUTS)[:, :2].softmax(1)[:, 1].detach())
    assert found.target.tolist() == [1, 1, 1]


@pytest.mark.parametrize("score", ["logits", "probabilities"])
def test_classes_that_are_left_out_weigh_nothing(score):
    class Loud(nn.Module):
        """A class that shouts whatever the other classes say."""

        def forward(self, inputs):
            logits = NETWORK(inputs)
            loud = torch.cat([logits[:, :3], logits[:, 3:] + 5], 1)
            return loud if score == "logits" else loud.softmax(1)

    quiet = attribute(target=1, contrast=[0, 2])
    found = attribute(Loud().eval(), target=1, contrast=[0, 2], score=score)
    assert_close(found, quiet, atol=1e-3, rtol=0)


# ---- in every form ----------------------------------------------------------------------------

TARGETS = {
    "int": 1, "list": [1, 1, 1], "tensor": torch.tensor([1, 1, 1]), "NumPy": np.int64(1),
    "tuple": (1,), "tuples": [(1,), (1,), (1,)], "function": lambda scores: 1,
}  # fmt: skip


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_form_of_target_has_a_contrast(target):
    assert attribute(target=target, contrast=2).equal(attribute(target=1, contrast=2))


CONTRASTS = {
    "list": [2], "tuple": (2,), "range": range(2, 3), "twice": [2, 2], "NumPy": np.array([2, 2, 2]),
    "number": torch.tensor(2), "one each": torch.tensor([2, 2, 2]),
    "mask": torch.tensor([[False, False, True, False]]).expand(3, -1),
}  # fmt: skip


@pytest.mark.parametrize("contrast", CONTRASTS.values(), ids=CONTRASTS)
def test_every_form_of_contrast_means_the_same(contrast):
    assert attribute(contrast=contrast).equal(attribute(contrast=2))


def test_every_image_may_have_its_own():
    found = attribute(target=[0, 1, 2], contrast=torch.tensor([3, 2, 1]))
    each = [
        PCIM(NETWORK).attribute(INPUTS[i : i + 1], target=i, contrast=3 - i, n_steps=STEPS)
        for i in range(3)
    ]
    assert_close(found, torch.cat(each))


def test_it_follows_its_images_through_parts_of_a_batch():
    at_once = attribute(target="predicted", contrast=_another(NETWORK(INPUTS)))
    parts = PCIM(NETWORK).attribute(
        INPUTS, target="predicted", contrast=_another(NETWORK(INPUTS)), n_steps=STEPS,
        internal_batch_size=2,
    )  # fmt: skip
    assert_close(parts, at_once)


def _another(scores):
    return (scores.argmax(1) + 1) % scores.shape[1]


def test_classes_at_a_place_of_the_output_have_a_contrast():
    def dense(inputs):
        return NETWORK(inputs)[:, :, None, None].expand(-1, -1, 2, 2)

    assert_close(attribute(dense, target=(1, 0, 1), contrast=2), attribute(contrast=2))


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contrast", "error", "told"),
    [
        (1, ValueError, "contrast: expected classes other than the target's, got class 1 for both"),
        ([0, 1], ValueError, "contrast: expected classes other than the target's"),
        (4, IndexError, "contrast: expected classes from 0 to 3, got 4"),
        (-1, IndexError, "contrast: expected classes from 0, got -1"),
        (torch.tensor([0, -1, 0]), IndexError, "contrast: expected classes from 0, got -1"),
        ([], ValueError, "contrast: expected at least one class"),
        ("control", TypeError, "contrast: expected a class, a list of classes or a tensor, got"),
        (0.0, TypeError, "contrast: expected a class"),
        (True, TypeError, "contrast: expected a class"),
        ([0, "control"], TypeError, "contrast: expected a class"),
        (torch.tensor([0.0, 0.0, 0.0]), TypeError, "contrast: expected integer classes"),
        (torch.tensor([0, 0]), ValueError, "contrast"),
        (torch.zeros(3, 2, dtype=torch.int64), ValueError, r"contrast: expected shape \(N,\)"),
        (torch.ones(3, dtype=torch.bool), ValueError, r"contrast: expected a mask of shape \(N, K"),
        (torch.ones(3, 5, dtype=torch.bool), ValueError, r"contrast: expected a mask .* \(3, 4\)"),
        (torch.zeros(3, 4, dtype=torch.bool), ValueError, "contrast: expected at least one class"),
    ],
)
def test_what_is_no_contrast_is_refused(contrast, error, told):
    with pytest.raises(error, match=told):
        attribute(contrast=contrast)


@pytest.mark.parametrize("score", ["logits", "probabilities", "regression"])
def test_one_output_has_nothing_to_be_told_from(score):
    network = Columns(NETWORK, [1])
    network = network if score != "probabilities" else lambda x: Columns(NETWORK, [1])(x).sigmoid()
    with pytest.raises(ValueError, match="contrast: expected scores of several classes"):
        attribute(network, target=None, contrast=0, score=score)


@pytest.mark.parametrize("score", ["binary_logits", "regression"])
def test_scores_that_do_not_compete_have_no_contrast(score):
    with pytest.raises(ValueError, match=f"exclude each other, got 4 of kind '{score}'"):
        attribute(contrast=0, score=score)


# ---- presence and absence ---------------------------------------------------------------------


def planted(label):
    inputs, labels, masks = PlantedNetwork().sample(18, seed=4)
    return inputs[labels == label], masks[labels == label]


def test_what_a_class_shows_is_told_from_controls():
    treated, masks = planted(1)
    controls, _ = planted(0)
    pcim = PCIM(PlantedNetwork().eval(), references=[ControlImages(controls[:4])])
    attributions = pcim.attribute(treated, target=1, contrast=0)
    assert relevance_mass_accuracy(attributions, masks).min() > 0.8


def test_what_a_class_lacks_is_where_the_other_would_have_to_lose_it():
    """A control shows nothing of its own: its map lies on the patterns of the treated image."""
    treated, masks = planted(1)
    control = planted(0)[0][:1]
    for image, mask in zip(treated, masks, strict=True):
        pcim = PCIM(PlantedNetwork().eval(), references=[ControlImages(image[None])])
        attributions = pcim.attribute(control, target=0, contrast=1)
        assert float(relevance_mass_accuracy(attributions, mask[None])) > 20 * mask.float().mean()


def test_what_a_control_lacks_of_cells_is_found_from_its_treated_twin():
    images = synthetic_fluorescence(12, seed=HELD_OUT_SEED, phenotype="translocation")
    treated = images[images.labels > 0]
    for i in range(len(treated)):
        pcim = PCIM(load_cnn("fluorescence"), references=[ControlImages(treated.inputs[[i]])])
        attributions = pcim.attribute(treated.counterfactual[[i]], target=0, contrast=1)
        assert relevance_mass_accuracy(attributions, treated.masks[[i]]).min() > 0.75


# ---- in screens and commands ------------------------------------------------------------------


def test_names_and_numbers_become_a_mask():
    classes = Classes.of(NETWORK, INPUTS, names=["control", "low", "high", "toxic"])
    found = classes.contrasts(torch.tensor([1, 2, 0]), ["control", "3"])
    assert found.int().tolist() == [[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 1]]
    assert classes.contrasts(torch.tensor([1, 2, 0]), []) is None


@pytest.mark.parametrize(
    ("network", "score", "contrast", "told"),
    [
        (NETWORK, "logits", ["controls"], "contrast: expected some of the classes"),
        (NETWORK, "logits", [4], "contrast: expected classes from 0 to 3, got 4"),
        (NETWORK, "binary_logits", [0], "contrast: expected a network whose classes exclude"),
        (NETWORK, "regression", [0], "contrast: expected a network whose classes exclude"),
    ],
)
def test_a_contrast_that_the_network_has_not_is_refused(network, score, contrast, told):
    with pytest.raises(ModelError, match=told):
        Classes.of(network, INPUTS, score).contrasts(torch.tensor([1, 2, 3]), contrast)


def test_a_screen_explains_against_its_contrast(screen):
    plain = config(screen, model={"target": "right"}, output={"path": str(screen / "plain")})
    told = config(screen, model={"target": "right"}, attribution={"contrast": ["left"]})
    assert run_screen(plain).failures == run_screen(told).failures == {}
    assert {row["Class"] for row in rows(screen)} == {"right"}
    assert not any("contrast" in row["Notes"] for row in rows(screen))


def test_a_predicted_class_of_the_contrast_is_told_from_all_others_and_noted(screen):
    assert run_screen(config(screen, attribution={"contrast": ["left"]})).failures == {}
    noted = {(row["Class"], "contrast: the class is among" in row["Notes"]) for row in rows(screen)}
    assert noted == {("left", True), ("right", False)}


@pytest.mark.parametrize(
    ("contrast", "told"),
    [
        (["up"], r"attribution.contrast: expected some of the classes \['left', 'right'\]"),
        (["right"], "attribution.contrast: expected other classes than the target"),
        ([1], "attribution.contrast: expected other classes than the target"),
        ([-1], "attribution.contrast: expected some of the classes"),
        ("left", "attribution.contrast"),
    ],
)
def test_a_configuration_with_an_impossible_contrast_is_refused(screen, contrast, told):
    with pytest.raises(ConfigError, match=told):
        config(screen, model={"target": "right"}, attribution={"contrast": contrast})


def test_results_depend_on_the_contrast_and_not_on_what_classes_are_called(screen):
    def digest(names, contrast):
        attribution = {"contrast": contrast} if contrast else {}
        return config(screen, model={"classes": names}, attribution=attribution).digest()

    assert (
        digest(["left", "right"], ["left"]) == digest(["L", "R"], ["L"]) == digest(["L", "R"], [0])
    )
    assert digest(["left", "right"], ["left"]) != digest(["left", "right"], [])


def test_the_command_explains_against_its_contrast(screen):
    names = ("--classes", "left", "right")
    found = explain(screen, "screen_networks:Linear", *names, "--contrast", "left")
    noted = {(row["target"], "contrast: the class is among" in row["notes"]) for row in found}
    assert noted == {("left", True), ("right", False)}


def test_the_command_refuses_a_contrast_that_is_the_target(screen, capsys):
    options = "--classes", "left", "right", "--target", "left", "--contrast", "left"
    command = ["explain", "--model", "screen_networks:Linear", "--images", str(screen / "images")]
    stains = ["--stains", "{image}_{stain}.png", "DNA", "ER"]
    assert main([*command, *stains, *options, "--out", str(screen / "out")]) == 2
    assert "contrast: expected other classes than the target" in capsys.readouterr().err
