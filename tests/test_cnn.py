"""The shipped classifiers: accurate, and their evidence is the truth of the images."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from captum_pcim.synthetic import (
    HELD_OUT_SEED,
    LargeKernelCNN,
    SmallResNet,
    load_cnn,
    synthetic_brightfield,
    synthetic_fluorescence,
)

GENERATORS = {"fluorescence": synthetic_fluorescence, "brightfield": synthetic_brightfield}
UNSEEN_SEED = HELD_OUT_SEED + 1  # used nowhere else


@pytest.fixture(scope="module", params=GENERATORS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    return load_cnn(kind)


@pytest.fixture(scope="module")
def images(kind):
    return GENERATORS[kind](240, seed=UNSEEN_SEED)


@torch.no_grad()
def predict(model, inputs):
    return torch.cat([model(chunk).argmax(1) for chunk in inputs.split(60)])


@torch.no_grad()
def features(model, inputs):
    """What the classifier's last layer sees, (N, F)."""
    hidden = [model.stages(torch.relu(model.stem(x))).mean((2, 3)) for x in inputs.split(60)]
    return torch.cat(hidden).double().numpy()


def probe_auc(model, inputs, positive):
    """AUC on the second half of a linear probe fitted to the first."""
    seen = features(model, inputs)
    seen = (seen - seen.mean(0)) / (seen.std(0) + 1e-9)
    half = len(seen) // 2
    probe = LogisticRegression(C=0.1, class_weight="balanced").fit(seen[:half], positive[:half])
    return roc_auc_score(positive[half:], probe.decision_function(seen[half:]))


def test_accuracy_on_an_unseen_seed_is_at_least_97_percent(model, images):
    assert (predict(model, images.inputs) == images.labels).double().mean() >= 0.97


def test_the_counterfactual_in_the_truth_turns_positives_into_controls(model, images):
    pasted = torch.where(images.masks, images.counterfactual, images.inputs)
    right = predict(model, images.inputs) == images.labels
    scored = right & (images.labels > 0)
    assert (predict(model, pasted[scored]) == 0).double().mean() >= 0.95


def test_what_lies_outside_the_truth_leaves_a_classifier_at_chance(model, images):
    """The same probe tells the classes apart once it sees the truth."""
    positive = (images.labels > 0).numpy()
    outside = torch.where(images.masks, images.counterfactual, images.inputs)
    assert probe_auc(model, images.inputs, positive) > 0.95
    assert abs(probe_auc(model, outside, positive) - 0.5) < 0.13  # two standard deviations


@pytest.mark.parametrize("size", [64, 160])
def test_other_field_sizes_are_classified_too(kind, model, size):
    images = GENERATORS[kind](48, size=size, seed=UNSEEN_SEED)
    assert (predict(model, images.inputs) == images.labels).double().mean() >= 0.9


def test_it_comes_in_evaluation_mode_and_single_precision(model):
    assert not any(module.training for module in model.modules())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_an_output_depends_on_its_own_image_only(model, images):
    with torch.no_grad():
        together, alone = model(images.inputs[:4]), model(images.inputs[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", [SmallResNet, LargeKernelCNN])
@pytest.mark.parametrize("size", [64, 97])
def test_architectures_take_any_field_size(architecture, size):
    model = architecture(in_channels=2, n_classes=5).eval()
    assert model(torch.rand(3, 2, size, size)).shape == (3, 5)


def test_an_unknown_classifier_is_refused():
    with pytest.raises(ValueError, match=r"name: expected one of .*fluorescence.* got 'phase'"):
        load_cnn("phase")
