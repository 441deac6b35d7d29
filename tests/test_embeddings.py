"""Networks without classes: distances, cosines and directions among embeddings."""

import numpy as np
import pytest
import torch
from networks import seeded
from screen_plates import config, pixels, rows
from sklearn.covariance import OAS
from test_classes import explain
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIM, ControlImages
from captum_pcim.classifiers import Direction, DistanceToControls, Similarity
from captum_pcim.classifiers.embeddings import whitening
from captum_pcim.metrics import average_precision, insertion, relevance_mass_accuracy
from captum_pcim.screen import run_screen
from captum_pcim.synthetic import PlantedNetwork

SCORERS = [DistanceToControls, Similarity, Direction]


class Means(nn.Module):
    """The mean of each stain as embedding."""

    def forward(self, inputs):
        return inputs.mean((2, 3))


class Patterns(PlantedNetwork):
    """What the planted network knows of plus signs and rings, without its classes."""

    def forward(self, inputs):
        return super().forward(inputs)[:, 1:]


def flat_images(embeddings):
    """Images whose embeddings by :class:`Means` are these."""
    return torch.as_tensor(embeddings, dtype=torch.float32)[:, :, None, None].expand(-1, -1, 4, 4)


def drawn(n, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator)
    return torch.randn(n, d, generator=generator) @ mixing + 1


def planted(label, n=24, seed=0):
    inputs, labels, masks = Patterns().sample(3 * n, seed=seed)
    return inputs[labels == label], masks[labels == label]


@pytest.fixture(scope="module")
def controls():
    return planted(0)[0]


# ---- what the scores are ----------------------------------------------------------------------


def test_without_whitening_the_distance_is_euclidean():
    embeddings = drawn(6)
    scorer = DistanceToControls(Means().eval(), whiten=False).fit(flat_images(embeddings))
    far = embeddings.mean(0, keepdim=True) + torch.tensor([[3.0, 0.0, 4.0]])
    assert_close(scorer(flat_images(far)), torch.tensor([[5.0]]))


def test_whitened_it_is_the_mahalanobis_distance_with_oracle_approximating_shrinkage():
    embeddings, others = drawn(20), drawn(5, seed=1)
    scorer = DistanceToControls(Means().eval()).fit(flat_images(embeddings))
    expected = np.sqrt(OAS().fit(embeddings.numpy()).mahalanobis(others.numpy()))
    assert_close(scorer(flat_images(others))[:, 0], torch.tensor(expected).float())


@pytest.mark.parametrize("n", [2, 5, 200])
def test_fewer_controls_than_features_have_a_whitening(n):
    centred = drawn(n, 8) - drawn(n, 8).mean(0)
    shrunk = OAS(assume_centered=True).fit(centred.numpy()).covariance_
    found = whitening(centred).double()
    assert_close(found @ torch.tensor(shrunk).double() @ found, torch.eye(8).double(),
                 atol=1e-4, rtol=0)  # fmt: skip


def test_a_feature_that_never_varies_stays_finite():
    embeddings = drawn(30)
    embeddings[:, 1] = 2
    scorer = DistanceToControls(Means().eval()).fit(flat_images(embeddings))
    assert scorer(flat_images(embeddings + 1)).isfinite().all()


def test_a_similarity_nears_one_for_the_same_change_and_minus_one_for_the_opposite():
    embeddings = drawn(40)
    centre, change = embeddings.mean(0), torch.tensor([2.0, -1.0, 0.5])
    scorer = Similarity(Means().eval())
    scorer.fit(flat_images(embeddings), flat_images(centre + change[None]))
    asked = torch.stack([centre + 1000 * change, centre - 1000 * change, centre])
    assert_close(scorer(flat_images(asked))[:, 0], torch.tensor([1.0, -1.0, 0.0]),
                 atol=1e-4, rtol=0)  # fmt: skip


def test_a_profile_as_long_as_those_of_controls_has_a_cosine_smaller_by_the_root_of_two():
    embeddings = drawn(40)
    centre = embeddings.mean(0)
    length = (embeddings - centre).square().sum(1).mean().sqrt()
    change = nn.functional.normalize(torch.tensor([2.0, -1.0, 0.5]), dim=0) * length
    scorer = Similarity(Means().eval(), whiten=False)
    scorer.fit(flat_images(embeddings), flat_images(centre + change[None]))
    assert float(scorer(flat_images(centre + change[None]))) == pytest.approx(0.5**0.5, rel=1e-4)


@pytest.mark.parametrize("whiten", [True, False])
def test_a_direction_is_zero_at_its_start_and_one_at_its_end(whiten):
    start, end = drawn(30), drawn(7, seed=3) + 2
    scorer = Direction(Means().eval(), whiten).fit(flat_images(start), flat_images(end))
    asked = torch.stack([start.mean(0), end.mean(0), 2 * end.mean(0) - start.mean(0)])
    assert_close(scorer(flat_images(asked))[:, 0], torch.tensor([0.0, 1.0, 2.0]),
                 atol=1e-5, rtol=0)  # fmt: skip


# ---- how they are explained -------------------------------------------------------------------


def test_a_planted_phenotype_is_found_without_classes(controls):
    inputs, masks = planted(1, 4, seed=1)
    attributions = PCIM(DistanceToControls(Patterns().eval()).fit(controls)).attribute(inputs)
    assert relevance_mass_accuracy(attributions, masks).min() > 0.9


@pytest.mark.parametrize("label", [1, 2])
def test_likeness_to_a_treatment_is_explained_by_what_the_treatment_does(controls, label):
    """Part of each pattern is enough: the cosine hardly grows beyond."""
    scorer = Similarity(Patterns().eval()).fit(controls, planted(label)[0])
    inputs, masks = planted(label, 4, seed=1)
    attributions = PCIM(scorer).attribute(inputs)
    assert average_precision(attributions, masks).min() > 0.8
    assert relevance_mass_accuracy(attributions, masks).min() > 10 * masks.float().mean()


def test_a_direction_is_explained_by_what_the_end_has_and_the_start_has_not():
    scorer = Direction(Patterns().eval(), whiten=False).fit(planted(0)[0], planted(2)[0])
    inputs, masks = planted(2, 4, seed=1)
    assert relevance_mass_accuracy(PCIM(scorer).attribute(inputs), masks).min() > 0.9


def test_the_score_and_typical_controls_as_references_need_not_be_said(controls):
    scorer = DistanceToControls(Patterns().eval()).fit(controls)
    inputs, _ = planted(1, 2, seed=1)
    distances = scorer(controls)[:, 0]
    typical = controls[distances.argsort(stable=True)[:4]]
    said = PCIM(scorer, score="regression", references=[ControlImages(typical)])
    pcim = PCIM(scorer)
    assert pcim.score == "regression"
    assert pcim.attribute(inputs).equal(said.attribute(inputs))


def test_references_that_are_named_are_the_ones_used(controls):
    scorer = DistanceToControls(Patterns().eval()).fit(controls)
    other = ControlImages(controls[-2:])
    assert PCIM(scorer, references=[other]).references == (other,)


def test_metrics_read_the_scores_as_a_quantity(controls):
    scorer = DistanceToControls(Patterns().eval()).fit(controls)
    inputs, _ = planted(1, 2, seed=1)
    curve = insertion(scorer, inputs, torch.rand(2, 1, 32, 32), None, controls[:2])
    assert_close(curve.scores[:, -1], scorer(inputs)[:, 0])


# ---- what is saved ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SCORERS)
def test_a_fitted_scorer_is_saved_and_loaded_as_weights_alone(kind, controls, tmp_path):
    treated, _ = planted(1, 3, seed=1)
    scorer = kind(Patterns().eval())
    scorer.fit(controls) if kind is DistanceToControls else scorer.fit(controls, treated)
    torch.save(scorer.state_dict(), tmp_path / "scorer.pt")
    loaded = kind(Patterns().eval())
    loaded.load_state_dict(torch.load(tmp_path / "scorer.pt", weights_only=True))
    assert loaded(treated).equal(scorer(treated))
    assert (
        PCIM(loaded).attribute(treated, n_steps=4).equal(PCIM(scorer).attribute(treated, n_steps=4))
    )


def test_a_screen_takes_a_scorer_from_a_factory_and_its_weights(screen):
    images = torch.stack([torch.from_numpy(pixels(i)).float() / 255 for i in range(8)])
    from screen_networks import distance

    weights = screen / "distance.pt"
    torch.save(distance().fit(images).state_dict(), weights)
    model = {"path": str(weights), "classes": ["distance"]}
    settings = config(screen, "distance", model=model, attribution={"n_steps": 3})
    assert run_screen(settings).failures == {}
    by_screen = [float(row["Score_distance"]) for row in rows(screen)]
    assert all(score > 0 for score in by_screen)
    options = ("--state-dict", str(weights), "--classes", "distance")
    by_command = [
        float(row["Score_distance"])
        for row in explain(screen, "screen_networks:distance", *options)
    ]
    assert sorted(by_command) == pytest.approx(sorted(by_screen), rel=1e-4)


# ---- what is refused --------------------------------------------------------------------------


def test_a_scorer_that_was_not_fitted_says_so(controls):
    with pytest.raises(ValueError, match="DistanceToControls: expected controls, got none; call"):
        DistanceToControls(Patterns().eval())(controls)


def test_a_network_in_training_mode_is_refused(controls):
    network = nn.Sequential(Patterns(), nn.Dropout()).train()
    with pytest.raises(ValueError, match=r"network: expected evaluation mode; call network.eval"):
        DistanceToControls(network).fit(controls)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (nn.Identity().eval(), r"network: expected embeddings of shape \(24, D\), got \(24, 3"),
        (lambda images: {"embedding": images}, "network: expected embeddings .* got dict"),
        (lambda images: images.flatten(1) / 0, "controls: expected finite embeddings"),
        (lambda images: torch.ones(len(images), 2), "controls: expected embeddings that differ"),
    ],
)
def test_what_a_network_returns_is_checked(network, told, controls):
    with pytest.raises(ValueError, match=told):
        DistanceToControls(network).fit(controls)


@pytest.mark.parametrize(
    ("controls", "told"),
    [
        (torch.rand(1, 3, 8, 8), "controls: expected at least 2 images, got 1"),
        (torch.rand(0, 3, 8, 8), "controls: expected a tensor of images"),
        ([1, 2], "controls: expected a tensor of images .* got list"),
    ],
)
def test_controls_are_checked(controls, told):
    with pytest.raises(ValueError, match=told):
        DistanceToControls(Means().eval()).fit(controls)


def test_a_direction_from_a_treatment_to_itself_is_refused():
    start = flat_images(drawn(8))
    with pytest.raises(ValueError, match="end: expected other embeddings than those of start"):
        Direction(Means().eval(), whiten=False).fit(start, start)


def test_the_network_is_left_as_it_is(controls):
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten()))
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    DistanceToControls(network, whiten=False).fit(controls)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
