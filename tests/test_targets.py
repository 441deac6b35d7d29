"""A class is given, or chosen by what the network scores."""

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel
from networks import images, small_cnn
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIM, ForwardOnly
from captum_pcim.core.targets import check_class_range, check_target, check_trailing_range
from captum_pcim.metrics import image_sensitivity_max

network = small_cnn(n_classes=3)
inputs = images(4)
with torch.no_grad():
    scores = network(inputs)


def explained(forward_func, target, **arguments):
    return PCIM(forward_func).attribute(
        inputs, target=target, n_steps=3, return_diagnostics=True, **arguments
    )


@pytest.mark.parametrize("gradients", ["auto", ForwardOnly(n_forwards=40)], ids=["auto", "forward"])
def test_predicted_explains_each_images_own_class_of_the_highest_score(gradients):
    pcim = PCIM(network, gradients=gradients)
    asked = pcim.attribute(inputs, target="predicted", n_steps=3)
    given = pcim.attribute(inputs, target=scores.argmax(1), n_steps=3)
    assert_close(asked, given, rtol=0, atol=0)


def test_a_function_of_the_scores_chooses_the_class():
    second = scores.topk(2).indices[:, 1]
    maps, diagnostics = explained(network, lambda seen: seen.topk(2).indices[:, 1])
    assert diagnostics.target.tolist() == second.tolist()
    assert_close(maps, explained(network, second)[0], rtol=0, atol=0)


def test_a_function_sees_the_scores_of_all_images_once_however_they_are_explained():
    seen = []
    _, whole = explained(network, lambda all_scores: seen.append(all_scores) or 0)
    _, parts = explained(
        network, lambda all_scores: seen.append(all_scores) or 0, internal_batch_size=4
    )
    assert len(seen) == 2
    for all_scores in seen:
        assert_close(all_scores, scores)
    # In parts the scores are asked for before the first of them.
    assert (parts.n_forwards - whole.n_forwards).tolist() == [1, 1, 1, 1]


def test_the_commonest_class_is_that_of_the_call_in_chunks_too():
    def commonest(all_scores):
        return int(all_scores.argmax(1).mode().values)

    whole = explained(network, commonest)[1].target
    for rows in (2, 4, 6):
        parts = explained(network, commonest, internal_batch_size=rows)[1].target
        assert torch.equal(parts, whole)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_of_a_single_score_there_is_nothing_to_predict(shape):
    single = nn.Sequential(network, nn.Linear(3, 1))
    _, diagnostics = explained(lambda x: single(x).reshape(shape), "predicted")
    assert diagnostics.target.tolist() == [0, 0, 0, 0]


def test_choosing_a_class_takes_no_further_pass():
    asked, given = explained(network, "predicted")[1], explained(network, scores.argmax(1))[1]
    assert asked.n_forwards.tolist() == given.n_forwards.tolist()


@pytest.mark.parametrize("target", ["predicted", lambda scores: scores.argmax(1)])
def test_noisy_copies_of_an_image_are_explained_for_a_class_that_was_said(target):
    # Each would have its own, and maps of several classes be averaged, or compared, as of one.
    call = {"target": target, "n_steps": 3}
    with pytest.raises(ValueError, match="target: expected classes inside NoiseTunnel"):
        NoiseTunnel(PCIM(network)).attribute(inputs, nt_samples=2, stdevs=0.01, **call)
    with pytest.raises(ValueError, match=r"captum.metrics.*pass model\(inputs\).argmax\(1\)"):
        image_sensitivity_max(PCIM(network).attribute, inputs, **call)


@pytest.mark.parametrize(
    "forward_func, target, arguments, message",
    [
        (network, "best", {}, "expected a class or 'predicted', got 'best'"),
        (network, lambda s: s, {}, "target: expected integer classes, got a tensor of"),
        (network, lambda s: s.argmax(1)[:1].repeat(3), {}, "target: expected 4 rows"),
        (lambda x: x, "predicted", {}, r"pass a target, \(class, y, x\) for a map of classes"),
        (network, "predicted", {"score": "regression"}, "one score per class, .* got regression"),
    ],
    ids=["misspelt", "no class", "too few", "a map of classes", "quantities"],
)
def test_what_is_no_class_is_refused_with_what_to_pass(forward_func, target, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        PCIM(forward_func, **arguments).attribute(inputs, target=target, n_steps=2)


@pytest.mark.parametrize(
    ("target", "means"),
    [
        (None, None),
        (0, 0),
        (2**63 - 1, 2**63 - 1),
        ((1, 0), (1, 0)),
        (np.int32(3), 3),
        ([4], 4),
        (torch.tensor(2), 2),
        (torch.tensor([[2]]), 2),
    ],
)
def test_a_target_for_all_images_is_a_number_or_a_tuple(target, means):
    found = check_target(target, 1)
    assert (found.tolist() if isinstance(found, torch.Tensor) else found) in (means, [means])


@pytest.mark.parametrize("target", [-1, 2**63, (0, -1), [0, -1], torch.tensor([0, -1])])
def test_classes_begin_at_zero_and_end(target):
    with pytest.raises(IndexError, match=r"^target: expected classes from 0"):
        check_target(target, 2)


def test_classes_are_below_their_number():
    check_class_range(torch.tensor([0, 2]), 3)
    with pytest.raises(IndexError, match=r"^target: expected classes from 0 to 2, got 3"):
        check_class_range(torch.tensor([0, 3]), 3)


def test_places_are_within_the_output():
    output = torch.zeros(2, 3, 5)
    check_trailing_range(torch.tensor([[2, 4], [0, 0]]), output)
    with pytest.raises(IndexError, match=r"^target: expected numbers below \(3, 5\), got \(2, 5\)"):
        check_trailing_range(torch.tensor([[2, 4], [2, 5]]), output)
    with pytest.raises(IndexError, match=r"^target: expected numbers below \(3, 5\), got \(2, 5\)"):
        check_trailing_range((2, 5), output)
