"""Methods side by side: their maps, their scores and what they cost."""

import copy
import math

import numpy as np
import pytest
import torch
from captum.attr import (
    DeepLift,
    IntegratedGradients,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torch import nn

from captum_pcim import PCIM
from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.methods import (
    LogOdds,
    Method,
    captum_methods,
    reduced,
    superpixels,
)
from captum_pcim.comparison.metrics import Case, fidelity_metrics
from captum_pcim.comparison.result import table_text, write_table
from captum_pcim.comparison.trivial import edges
from captum_pcim.core.references import Background, Blur
from captum_pcim.metrics import deletion, insertion, relevance_mass_accuracy


class Bright(nn.Module):
    """Class 1 is the brightness of the upper left quarter; the rest says nothing."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.relu = nn.ReLU()
        self.head = nn.Linear(16, 2)
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.weight.zero_()
            self.head.weight[1, [0, 1, 4, 5]] = 8.0
            self.head.bias[1] = -4.0

    def forward(self, inputs):
        return self.head(self.relu(self.pool(inputs)).sum(1).flatten(1))


@pytest.fixture
def model():
    return Bright().eval()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    inputs = 0.1 * torch.rand(3, 2, 16, 16, generator=generator)
    inputs[:, :, 1:6, 2:7] += 0.8
    masks = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    masks[:, :, 1:6, 2:7] = True
    return inputs, masks


def _alone(methods, images, metrics=None, **arguments):
    inputs, masks = images
    return compare(methods, inputs, 1, masks, metrics, trivial=False, **arguments)


def test_maps_are_those_of_the_method_itself_averaged_over_stains(model, images):
    inputs, _ = images
    expected = IntegratedGradients(model).attribute(inputs, target=1, n_steps=8)
    methods = {
        "signed": (IntegratedGradients(model), {"n_steps": 8}),
        "abs": Method(IntegratedGradients(model), {"n_steps": 8}, reduce="abs"),
        "positive": Method(IntegratedGradients(model), {"n_steps": 8}, reduce="positive"),
    }
    runs = _alone(methods, images).runs
    torch.testing.assert_close(runs["signed"].maps, expected.mean(1, keepdim=True))
    torch.testing.assert_close(runs["abs"].maps, expected.abs().mean(1, keepdim=True))
    torch.testing.assert_close(runs["positive"].maps, expected.mean(1, keepdim=True).clamp(min=0))


def test_plain_functions_and_objects_mix(model, images):
    def mine(inputs, target):
        return inputs * target.view(-1, 1, 1, 1)

    runs = _alone({"PCIM": (PCIM(model), {"n_steps": 3}), "mine": mine}, images).runs
    torch.testing.assert_close(runs["mine"].maps, images[0].mean(1, keepdim=True))
    assert runs["PCIM"].maps.shape == (3, 1, 16, 16)


def test_trivial_baselines_are_in_unless_declined(model, images):
    inputs, _ = images
    names = set(compare({"S": Saliency(model)}, inputs, 1).runs)
    assert names == {"S", "random", "centre Gaussian", "edges", "raw intensity", "foreground"}
    assert set(compare({"S": Saliency(model)}, inputs, 1, trivial=False).runs) == {"S"}


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_passes_are_rows_per_image_however_they_are_batched(model, images, batch_size):
    methods = {
        "PCIM": (PCIM(model, references=[Background(), Blur()]), {"n_steps": 5}),
        "Saliency": Saliency(model),
        "IG": (IntegratedGradients(model), {"n_steps": 8, "internal_batch_size": 12}),
        "Occlusion": (
            Occlusion(model),
            {"sliding_window_shapes": (2, 4, 4), "strides": (2, 4, 4), "perturbations_per_eval": 5},
        ),
        "NoiseTunnel": (
            NoiseTunnel(IntegratedGradients(model)),
            {"nt_samples": 3, "n_steps": 8, "stdevs": 0.1},
        ),
        "DeepLift": DeepLift(model),
    }
    runs = _alone(methods, images, batch_size=batch_size).runs
    passes = {name: (run.forwards, run.backwards) for name, run in runs.items()}
    asked = 2 * math.ceil(len(images[0]) / batch_size) / len(images[0])
    forwards, backwards = passes.pop("PCIM")
    # The images and two references, then blend and complement, even ones with each reference and
    # those of each step; the last step needs no gradient. Two rows of each batch are asked first
    # whether there is one.
    assert forwards - (1 + 2 + 4 + 10) == pytest.approx(asked)
    assert backwards - (4 + 8) == pytest.approx(asked)
    assert passes == {
        "Saliency": (1, 1),
        "IG": (8, 8),
        "Occlusion": (17, 0),  # 16 windows and the image itself
        "NoiseTunnel": (24, 24),
        "DeepLift": (2, 2),  # images and baselines
    }


def test_passes_of_networks_that_return_an_object_are_counted(model, images):
    class Output:
        def __init__(self, logits):
            self.logits = logits

    class Wrapped(torch.nn.Module):
        def forward(self, inputs):
            return Output(model(inputs))

    own, plain = (
        _alone({"PCIM": (PCIM(network), {"n_steps": 2})}, images).runs["PCIM"]
        for network in (Wrapped().eval(), model)
    )
    assert (own.forwards, own.backwards) == (plain.forwards, plain.backwards)
    assert torch.equal(own.maps, plain.maps)


def test_plain_forward_functions_are_counted_and_given_back(model, images):
    def forward(inputs):
        return model(inputs)

    tunnel = NoiseTunnel(IntegratedGradients(forward))
    pcim = PCIM(forward, references=[Background(), Blur()])
    methods = {
        "NoiseTunnel": (tunnel, {"nt_samples": 2, "n_steps": 4, "stdevs": 0.1}),
        "PCIM": (pcim, {"n_steps": 2}),
        "function": lambda inputs, target: inputs,
    }
    runs = _alone(methods, images, forward_func=forward).runs
    assert (runs["NoiseTunnel"].forwards, runs["NoiseTunnel"].backwards) == (8, 8)
    # The full image, two references, even blends and complements with each of them, two steps of
    # two, and two rows that are asked for a gradient.
    asked = 2 / len(images[0])
    assert runs["PCIM"].forwards - 11 == pytest.approx(asked)
    assert runs["PCIM"].backwards - 6 == pytest.approx(asked)
    assert runs["function"].forwards is None
    assert tunnel.attribution_method.forward_func is forward
    assert pcim.forward_func is forward


def test_model_and_random_state_come_back_as_they_were(model, images):
    state = copy.deepcopy(model.state_dict())
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    compare(captum_methods(model, model.pool), *(images[0], 1))
    assert (torch.rand(1), np.random.rand()) == expected
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_the_same_seed_gives_the_same_comparison(model, images):
    methods = captum_methods(model)
    first, second = (_alone(methods, images, seed=7).runs for _ in range(2))
    assert all(torch.equal(first[name].maps, second[name].maps) for name in methods)


def test_scores_are_those_of_the_metrics(model, images):
    inputs, masks = images
    comparison = _alone({"Saliency": Saliency(model)}, images)
    run = comparison.runs["Saliency"]
    target = torch.ones(3, dtype=torch.long)
    up = insertion(model, inputs, run.maps, target, Blur()(inputs)[0])
    down = deletion(model, inputs, run.maps, target, Background()(inputs)[0])
    torch.testing.assert_close(run.scores["insertion, blur"], up.auc)
    torch.testing.assert_close(run.scores["deletion, background"], down.auc)
    mass = relevance_mass_accuracy(run.maps, masks)
    torch.testing.assert_close(run.scores["relevance_mass_accuracy"], mass)
    curve = comparison.curves()["insertion, blur"]["Saliency"]
    torch.testing.assert_close(curve.scores, up.scores)


def test_a_metric_is_any_function_of_case_and_maps(model, images):
    def peak(case: Case, maps):
        assert case.forward_func is model
        return maps.flatten(1).amax(1)

    comparison = _alone({"raw": lambda inputs, target: inputs}, images, {"peak": peak},
                        forward_func=model)  # fmt: skip
    expected = images[0].mean(1).flatten(1).amax(1)
    torch.testing.assert_close(comparison.runs["raw"].scores["peak"], expected)
    assert comparison.curves() == {}


def test_table_has_a_row_per_method_and_the_chance_level_last(model, images):
    comparison = _alone({"Saliency": Saliency(model)}, images)
    rows = comparison.table()
    assert [row["method"] for row in rows] == ["Saliency", "chance level"]
    assert rows[0]["forwards"] == 1
    assert rows[1]["relevance_mass_accuracy"] == pytest.approx(25 / 256)
    assert rows[1]["insertion, blur"] is None
    assert len({tuple(row) for row in rows}) == 1


def test_table_leaves_out_images_that_a_metric_has_no_answer_for(model, images):
    inputs, masks = images
    masks = masks.clone()
    masks[1] = False
    comparison = compare({"raw": Saliency(model)}, inputs, 1, masks, trivial=False)
    scores = comparison.runs["raw"].scores["relevance_mass_accuracy"]
    assert scores[1].isnan()
    mean = comparison.table()[0]["relevance_mass_accuracy"]
    assert mean == pytest.approx(float((scores[0] + scores[2]) / 2))


def test_table_without_masks_has_no_localisation(model, images):
    row = compare({"S": Saliency(model)}, images[0], 1, trivial=False).table()[0]
    assert set(row) == {"method", "reduce", "insertion, blur", "deletion, background",
                        "forwards", "backwards", "seconds"}  # fmt: skip


def test_text_aligns_columns_and_leaves_missing_cells_empty():
    rows = [{"method": "a", "score": 0.12345}, {"method": "long", "score": None}]
    assert table_text(rows) == "method  score\na       0.123\nlong"


def test_a_single_row_is_a_table_too(model, images, tmp_path):
    comparison = compare({"S": Saliency(model)}, images[0], 1, metrics={}, trivial=False)
    assert [row["method"] for row in comparison.table()] == ["S"]
    assert str(comparison).splitlines()[1].startswith("S ")
    write_table(tmp_path, "one", comparison.table())
    assert (tmp_path / "one.csv").read_text().splitlines()[1].startswith("S,")


def test_pandas_gets_the_same_rows(model, images):
    pytest.importorskip("pandas")
    comparison = _alone({"Saliency": Saliency(model)}, images)
    frame = comparison.to_pandas()
    assert list(frame["method"]) == ["Saliency", "chance level"]
    assert frame["forwards"][0] == 1


def test_all_captum_methods_run_and_point_at_the_evidence(model, images):
    methods = captum_methods(model, model.pool)
    assert set(methods) == {
        "Saliency", "InputXGradient", "IntegratedGradients", "IntegratedGradients, log-odds",
        "NoiseTunnel, IntegratedGradients", "GradientShap", "Occlusion", "FeatureAblation", "Lime",
        "KernelShap", "DeepLift", "GuidedBackprop", "GradCam", "GuidedGradCam",
    }  # fmt: skip
    quarter = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    quarter[..., :8, :8] = True
    comparison = compare(methods, images[0], 1, quarter, trivial=False)
    mass = {row["method"]: row["relevance_mass_accuracy"] for row in comparison.table()[:-1]}
    # Grad-CAM averages the layer's gradients, and is enlarged from 4 x 4 pixels; 300 samples are
    # few for KernelShap's 256 superpixels.
    blurred = {"GradCam", "Lime", "KernelShap"}
    assert min(share for name, share in mass.items() if name not in blurred) > 0.9, mass
    assert min(mass["GradCam"], mass["Lime"]) > 0.5, mass


def test_captum_methods_make_the_passes_of_their_documented_settings(model, images):
    methods = captum_methods(model, model.pool)
    runs = compare(methods, images[0], 1, metrics={}, trivial=False).runs
    assert {name: (run.forwards, run.backwards) for name, run in runs.items()} == {
        "Saliency": (1, 1),
        "InputXGradient": (1, 1),
        "IntegratedGradients": (32, 32),
        "IntegratedGradients, log-odds": (32, 32),
        "NoiseTunnel, IntegratedGradients": (8 * 16, 8 * 16),  # half the steps for each sample
        "GradientShap": (16, 16),
        "Occlusion": (226, 0),  # 15 x 15 windows of two pixels, and the image
        "FeatureAblation": (257, 0),  # a superpixel for every pixel, and the image
        "Lime": (301, 0),
        "KernelShap": (301, 0),
        "DeepLift": (2, 2),
        "GuidedBackprop": (1, 1),
        "GradCam": (1, 1),
        "GuidedGradCam": (2, 2),
    }


def test_methods_that_need_modules_are_left_out_for_functions(model):
    assert "DeepLift" not in captum_methods(lambda inputs: model(inputs))
    assert "GradCam" not in captum_methods(model)


def test_low_resolution_attributions_are_enlarged(model, images):
    runs = _alone({"GradCam": LayerGradCam(model, model.pool)}, images).runs
    assert runs["GradCam"].maps.shape == (3, 1, 16, 16)


def test_arguments_may_follow_each_batch(model, images):
    seen = []

    def arguments(inputs):
        seen.append(len(inputs))
        return {"baselines": inputs.flip(3)}

    runs = _alone({"IG": Method(IntegratedGradients(model), arguments)}, images, batch_size=2).runs
    expected = IntegratedGradients(model).attribute(images[0], images[0].flip(3), target=1)
    assert seen == [2, 1]
    torch.testing.assert_close(runs["IG"].maps, expected.mean(1, keepdim=True))


def test_fidelity_metrics_name_each_reference():
    metrics = fidelity_metrics({"zero": torch.zeros_like, "ones": torch.ones_like})
    names = [f"{curve}, {end}" for curve in ("insertion", "deletion") for end in ("zero", "ones")]
    assert list(metrics) == names


def test_superpixels_are_squares_counted_row_by_row():
    mask = superpixels(torch.zeros(2, 3, 24, 25), per_side=12)
    assert mask.shape == (1, 1, 24, 25)
    assert torch.equal(mask.unique(), torch.arange(12 * 13))
    assert (mask == 14).nonzero()[:, 2:].tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_figure_has_a_panel_per_image_and_method_on_one_scale(model, images):
    figure = _alone({"Saliency": Saliency(model), "raw": lambda x, target: x}, images).plot(2)
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 2 * 4  # image, truth and two maps, two rows
    scales = {(a.images[0].norm.vmin, a.images[0].norm.vmax) for a in (*panels[2:4], *panels[6:])}
    assert scales == {(0, 1)}


def test_a_column_is_drawn_in_units_that_its_title_tells(model, images):
    inputs, _ = images
    figure = _alone({"raw": lambda x, target: 50 * x - 3}, images, forward_func=model).plot(3)
    column = [axis for axis in figure.axes if axis.images][2::3]
    assert "positive part" in column[0].get_title()
    unit = float(column[0].get_title().split("1 = ")[1].split(",")[0])
    drawn = np.stack([axis.images[0].get_array() for axis in column])
    expected = (50 * inputs - 3).mean(1).clamp(min=0).numpy()
    np.testing.assert_allclose(drawn * unit, expected, rtol=0.05)


def test_maps_of_a_few_pixels_are_drawn_in_units_of_their_largest_value(model, images):
    def one_pixel(inputs, target):
        return torch.nn.functional.pad(inputs.new_full((len(inputs), 1, 1, 1), 4.0), (0, 15, 0, 15))

    figure = _alone({"pixel": one_pixel}, images, forward_func=model).plot(1)
    panel = [axis for axis in figure.axes if axis.images][2]
    assert panel.get_title().endswith("1 = 4")
    drawn = panel.images[0].get_array()
    assert drawn[0, 0] == 1 and drawn.sum() == 1


def test_a_figure_can_draw_rgb_in_its_own_colours(model, images):
    photographs = torch.rand(2, 3, 16, 16)
    methods = {"raw": lambda x, target: x}
    comparison = _alone(methods, (photographs, images[1][:2]), forward_func=model)
    shown = comparison.plot(1, colours="rgb").axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, photographs[0].permute(1, 2, 0), atol=1e-6)


def test_curves_are_drawn_for_each_metric(model, images):
    figure = _alone({"Saliency": Saliency(model)}, images).plot_curves()
    assert [axis.get_title() for axis in figure.axes] == ["insertion, blur", "deletion, background"]
    assert all(len(axis.lines) == 1 for axis in figure.axes)


def test_curves_cannot_be_drawn_where_there_are_none(model, images):
    comparison = _alone({"S": Saliency(model)}, images, {"m": lambda case, maps: maps[:, 0, 0, 0]})
    with pytest.raises(ValueError, match="none of the metrics is a curve"):
        comparison.plot_curves()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": {}}, ValueError, "methods: expected at least one"),
        ({"methods": {"x": 3}}, TypeError, "methods: expected objects with attribute"),
        ({"inputs": torch.zeros(2, 16, 16)}, ValueError, "inputs: expected a floating point"),
        ({"inputs": torch.zeros(2, 1, 16, 16).int()}, ValueError, "inputs: expected a floating"),
        ({"target": [0, 1]}, ValueError, "target: expected 3 rows, one per image, got 2"),
        ({"target": 0.5}, TypeError, "target: expected None, an int"),
        ({"target": [[0], [1], [0]]}, TypeError, "target: expected whole numbers"),
        ({"target": True}, TypeError, "target: expected None, an int"),
        ({"target": torch.ones(3).bool()}, TypeError, "target: expected integer classes"),
        ({"target": -1}, IndexError, "target: expected classes from 0, got -1"),
        ({"target": [(1, 0)] * 3}, ValueError, "target: expected one class, or one for each"),
        ({"batch_size": 0}, ValueError, "batch_size: expected a whole number >= 1, got 0"),
        ({"batch_size": 2.0}, ValueError, "batch_size: expected a whole number >= 1, got 2.0"),
        ({"methods": {"x": lambda x, target: (x, 1)}, "forward_func": len}, TypeError,
         r"methods: expected attributions \(3, C, H, W\) of function, got tuple"),
        ({"metrics": {"m": lambda case, maps: 0.5}}, TypeError,
         r"metrics: expected 'm' to return scores \(N,\) or a Curve, got float"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(model, images, change, error, message):
    arguments = {"methods": {"S": Saliency(model)}, "inputs": images[0], "target": 1} | change
    with pytest.raises(error, match=message):
        compare(**arguments)


def test_functions_alone_need_the_network_to_be_named(images):
    with pytest.raises(ValueError, match="forward_func: needed"):
        compare({"mine": lambda inputs, target: inputs}, images[0], 1)


def test_an_unknown_reduction_is_refused(model):
    with pytest.raises(ValueError, match=r"reduce: expected one of .* got 'max'"):
        Method(Saliency(model), reduce="max")


def test_a_form_is_the_part_of_the_stain_sum_and_may_be_smoothed():
    attributions = torch.zeros(1, 2, 32, 32)
    attributions[0, :, 16, 16] = torch.tensor([3.0, -5.0])
    attributions[0, :, 4, 4] = torch.tensor([3.0, -1.0])
    positive = reduced(attributions, "positive")
    assert positive[0, 0, 16, 16] == 0  # the stains together speak against the target
    assert positive[0, 0, 4, 4] == 1
    assert reduced(attributions, "abs")[0, 0, 16, 16] == 4
    torch.testing.assert_close(reduced(attributions, "signed"), attributions.mean(1, keepdim=True))
    for form in ("positive", "abs"):
        expected = Blur(1.0)(reduced(attributions, form))[0]  # 1/32 of the side
        torch.testing.assert_close(reduced(attributions, f"{form}, smoothed"), expected)


def test_gradients_take_the_form_that_is_asked_for_and_ablations_keep_their_sign(model):
    methods = captum_methods(model, model.pool, reduce="abs")
    assert methods["DeepLift"].reduce == "abs"
    assert methods["IntegratedGradients, log-odds"].reduce == "abs"
    assert methods["Occlusion"].reduce == methods["GradCam"].reduce == "signed"


def test_log_odds_are_those_of_the_probability():
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    odds = LogOdds(lambda inputs: inputs)(logits)
    torch.testing.assert_close(odds, logits.softmax(1).logit())


def test_the_same_map_scores_the_same_whatever_kind_of_scores_the_network_returns(model, images):
    def probabilities(inputs):
        return model(inputs).softmax(1)

    by_logits = _alone({"raw": lambda x, target: x}, images, forward_func=model)
    told = {"score": "probabilities", "forward_func": probabilities}
    by_shares = _alone({"raw": lambda x, target: x}, images, **told)
    for name, expected in by_logits.runs["raw"].scores.items():
        torch.testing.assert_close(by_shares.runs["raw"].scores[name], expected)


def test_what_scores_mean_is_taken_from_the_methods(model, images):
    def probabilities(inputs):
        return model(inputs).softmax(1)

    pcim = PCIM(probabilities, score="probabilities")
    comparison = _alone({"PCIM": (pcim, {"n_steps": 2})}, images)
    assert comparison.case.score == "probabilities"


def test_the_gradients_of_log_odds_know_the_network_and_what_its_scores_mean(model, images):
    def probabilities(inputs):
        return model(inputs).softmax(1)

    methods = captum_methods(probabilities, score="probabilities")
    name = "IntegratedGradients, log-odds"
    case = _alone({name: methods[name]}, images).case
    assert case.forward_func is probabilities
    assert case.score == "probabilities"


def test_the_gradients_of_log_odds_know_what_the_network_says_of_its_scores(model, images):
    model.score_kind = "regression"
    name = "IntegratedGradients, log-odds"
    methods = {"PCIM": PCIM(model), name: captum_methods(model)[name]}
    assert _alone(methods, images).case.score == "regression"


def test_masks_that_do_not_fit_are_refused_before_any_method_runs(model, images):
    def never(inputs, target):
        raise AssertionError("ran")

    masks = torch.zeros(len(images[0]) + 1, *images[0].shape[2:], dtype=torch.bool)
    with pytest.raises(ValueError, match="masks: expected shape"):
        compare({"mine": never}, images[0], 1, masks, forward_func=model)


def test_methods_that_were_told_different_things_of_scores_are_refused(model, images):
    methods = {"one": PCIM(model), "other": PCIM(model, score="binary_logits")}
    with pytest.raises(ValueError, match="score: the methods were told different things"):
        _alone(methods, images)


def test_probabilities_taken_for_logits_are_warned_of(model, images):
    with pytest.warns(UserWarning, match="look like probabilities"):
        _alone({"raw": edges}, images, forward_func=lambda x: model(x).softmax(1))
