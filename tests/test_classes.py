"""Networks of one output, of labels, of quantities and without gradients, in all commands."""

import csv

import pytest
import torch
from screen_plates import command_line, rows, tables, write_toml
from torch import nn

from captum_pcim import PCIM
from captum_pcim.classifiers.classes import Classes, target_number
from captum_pcim.classifiers.files import ModelError
from captum_pcim.cli.main import main

STAINS = ["--stains", "{image}_{stain}.png", "DNA", "ER"]
NAMES = ["control", "hit"]


def inputs(count=3):
    return torch.rand(count, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class OneLogit(nn.Module):
    def forward(self, images):
        return 9 * (images[:, :1].mean((2, 3)) - 0.5)


class Flat(OneLogit):
    def forward(self, images):
        return super().forward(images)[:, 0]


class OneProbability(OneLogit):
    def forward(self, images):
        return super().forward(images).sigmoid()


@pytest.mark.parametrize(
    ("network", "score"),
    [(OneLogit(), "logits"), (Flat(), "logits"), (OneLogit(), "binary_logits"),
     (OneProbability(), "probabilities"), (OneProbability(), "binary_probabilities"),
     (lambda images: Flat()(images), "logits")],
)  # fmt: skip
def test_one_output_is_the_second_of_two_classes(network, score):
    classes = Classes.of(network, inputs(), score, NAMES)
    found = classes.probabilities(classes.scores(inputs()))
    hit = OneLogit()(inputs()).sigmoid()
    torch.testing.assert_close(found, torch.cat([1 - hit, hit], dim=1))


def test_one_output_read_as_two_classes_gives_the_map_of_the_output_itself():
    network = OneLogit()
    classes = Classes.of(network, inputs())
    both = PCIM(classes.network).attribute(inputs(), target=1, n_steps=3)
    assert torch.equal(both, PCIM(network).attribute(inputs(), n_steps=3))


def test_a_single_label_stays_a_label():
    classes = Classes.of(OneLogit(), inputs(), "binary_logits", ["mitotic"])
    assert classes.probabilities(classes.scores(inputs())).shape == (3, 1)


@pytest.mark.parametrize(
    ("network", "score", "names", "came"),
    [
        (OneLogit(), "logits", ["hit"], r"expected 2 names, .*\(3, 1\), got \['hit'\]"),
        (Flat(), "logits", ["a", "b", "c"], r"expected 2 names, .*\(3,\), got \['a', 'b', 'c'\]"),
        (OneLogit(), "logits", ["hit", "hit"], r"expected no name twice, got \['hit', 'hit'\]"),
        (OneLogit(), "regression", NAMES, r"expected 1 names, .*\(3, 1\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(128, 3)), "logits", NAMES, r"expected 3 names"),
    ],
)
def test_names_that_are_not_as_many_as_the_classes_are_refused(network, score, names, came):
    with pytest.raises(ModelError, match=came):
        Classes.of(network, inputs(), score, names)


@pytest.mark.parametrize(
    ("target", "number"), [("hit", 1), ("control", 0), ("1", 1), (1, 1), ("predicted", None)]
)
def test_a_target_is_a_name_a_number_or_predicted(target, number):
    assert target_number(target, NAMES) == number


def test_a_target_without_such_a_class_names_those_there_are():
    with pytest.raises(ModelError, match=r"\['control', 'hit'\].*got 'hits'"):
        target_number("hits", NAMES)


@pytest.mark.parametrize("network", ["Linear", "OneLogit"])
def test_a_number_beyond_the_named_classes_is_refused_before_anything_is_explained(
    small_screen, capsys, network
):
    """A network of one output has two classes."""
    named = ["--classes", *NAMES]
    for options in (["--target", "2"], ["--target", "0", "--contrast", "2"]):
        assert explain(small_screen, f"screen_networks:{network}", *named, *options) == 2
        said = "expected a number below 2, as the classes are ['control', 'hit'], got 2"
        assert said in capsys.readouterr().err
        assert not (small_screen / "out").exists()
    assert explain(small_screen, f"screen_networks:{network}", *named, "--target", "1") != 2


def explain(folder, network, *options):
    images = ["--images", str(folder / "images"), "--out", str(folder / "out"), *STAINS]
    status = main(["explain", "--model", network, "--steps", "2", *images, *options])
    if status != 0:
        return status
    with open(folder / "out" / "diagnostics.csv", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["status"] == "ok"]


def compare(folder, network, *options):
    images = ["--images", str(folder / "images"), "--out", str(folder / "compared"), *STAINS]
    status = main(["compare", "--model", network, *images, *options])
    if status != 0:
        return status
    with open(folder / "compared" / "images.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def screened(folder, network, **model):
    status = command_line(write_toml(folder, network, model=model))
    return rows(folder) if status == 0 else status


ONE_OUTPUT = [("OneLogit", "logits"), ("Flat", "logits"), ("OneLogit", "binary_logits"),
              ("OneProbability", "probabilities"),
              ("OneProbability", "binary_probabilities")]  # fmt: skip


@pytest.mark.parametrize(("network", "score"), ONE_OUTPUT)
def test_a_screen_tells_both_classes_of_a_network_of_one_output(small_screen, network, score):
    for row in screened(small_screen, network, classes=NAMES, score=score):
        shown = "hit" if float(row["Probability_hit"]) > 0.5 else "control"
        assert row["Predicted"] == row["Class"] == shown
        whole = float(row["Probability_hit"]) + float(row["Probability_control"])
        assert whole == pytest.approx(1)
    assert {row["Class"] for row in rows(small_screen)} == set(NAMES)


@pytest.mark.parametrize(("network", "score"), ONE_OUTPUT)
def test_explain_and_compare_tell_what_a_screen_tells(small_screen, network, score):
    found = screened(small_screen, network, classes=NAMES, score=score)
    told = ["--classes", *NAMES, "--score", score]
    for command in (explain, lambda *a: compare(*a, "--methods", "PCIM")):
        for one, other in zip(command(small_screen, f"screen_networks:{network}", *told), found,
                              strict=True):  # fmt: skip
            assert (one["target"], one["predicted"]) == (other["Class"], other["Predicted"])
            assert float(one["Probability_hit"]) == pytest.approx(
                float(other["Probability_hit"]), rel=1e-4
            )


def test_a_class_is_explained_by_name_in_every_command(small_screen):
    network, told = "screen_networks:OneLogit", ["--classes", *NAMES, "--target", "hit"]
    targets = {row["target"] for row in explain(small_screen, network, *told)}
    targets |= {row["target"] for row in compare(small_screen, network, *told, "--methods", "PCIM")}
    found = screened(small_screen, "OneLogit", classes=NAMES, target="hit")
    targets |= {row["Class"] for row in found}
    assert targets == {"hit"}


@pytest.mark.parametrize("network", ["OneLogit", "Flat", "Linear"])
def test_classes_that_do_not_fit_are_refused_before_any_image_is_explained(
    small_screen, capsys, network
):
    three, model = ["a", "b", "c"], f"screen_networks:{network}"
    assert explain(small_screen, model, "--classes", *three) == 2
    assert compare(small_screen, model, "--classes", *three) == 2
    assert screened(small_screen, network, classes=three) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "classes: expected 2" in line]
    assert len(said) == 3
    assert not list((small_screen / "results" / "done").glob("*/*"))


def test_several_labels_have_probabilities_of_their_own(small_screen):
    network, told = "screen_networks:Labels", ["--classes", "cell", "spot", "--score"]
    told = [*told, "binary_logits"]
    found = [
        *explain(small_screen, network, *told),
        *compare(small_screen, network, *told, "--methods", "PCIM"),
    ]
    found += screened(small_screen, "Labels", classes=["cell", "spot"], score="binary_logits")
    wholes = [float(row["Probability_cell"]) + float(row["Probability_spot"]) for row in found]
    assert all(whole > 1.5 for whole in wholes)


def test_a_quantity_has_a_score_and_no_probability(small_screen):
    network, told = "screen_networks:Flat", ["--classes", "count", "--score", "regression"]
    found = [
        *explain(small_screen, network, *told),
        *compare(small_screen, network, *told, "--methods", "PCIM"),
    ]
    found += screened(small_screen, "Flat", classes=["count"], score="regression")
    assert all(-5 < float(row["Score_count"]) < 5 for row in found)
    assert not any("Probability" in name for row in found for name in row)


@pytest.mark.parametrize("kind", ["script.pt", "export.pt2", "pickled.pt"])
def test_a_file_of_one_output_gives_the_maps_of_the_module(small_screen, kind):
    import screen_networks

    network, path = screen_networks.OneLogit().eval(), small_screen / kind
    if kind == "script.pt":
        torch.jit.trace(network, torch.rand(2, 2, 24, 24)).save(str(path))
    elif kind == "export.pt2":
        dynamic = ({0: torch.export.Dim("batch")},)
        exported = torch.export.export(network, (torch.rand(2, 2, 24, 24),), dynamic_shapes=dynamic)
        torch.export.save(exported, str(path))
    else:
        torch.save(network, path)
    told = ["--classes", *NAMES, "--target", "control"]
    expected = explain(small_screen, "screen_networks:OneLogit", *told)
    found = explain(small_screen, str(path), "--trust", "--overwrite", *told)
    for one, other in zip(found, expected, strict=True):
        assert one["target"] == "control"
        assert float(one["area"]) == pytest.approx(float(other["area"]), abs=1e-5)


@pytest.fixture
def onnx_file(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    import screen_networks

    path = tmp_path / "net.onnx"
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        screen_networks.OneLogit().eval(), (torch.rand(2, 2, 24, 24),), str(path), dynamo=True,
        dynamic_shapes=({0: batch},), verbose=False,
    )  # fmt: skip
    return str(path)


def test_an_onnx_file_is_explained_in_every_command_and_it_is_said(
    small_screen, onnx_file, few_forwards, capsys
):
    told = ["--classes", *NAMES]
    found = explain(small_screen, onnx_file, *told)
    assert {row["n_forwards"] for row in found} == {"200"}
    compared = compare(small_screen, onnx_file, *told, "--methods", "PCIM")
    listed = tables(small_screen, model={"path": onnx_file, "factory": "", "classes": NAMES})
    done = screened(small_screen, "Linear", **listed["model"])
    assert [row["target"] for row in found] == [row["Class"] for row in done]
    assert [row["target"] for row in compared] == [row["Class"] for row in done]
    said = capsys.readouterr().err
    for command in ("explain", "compare", "screen"):
        assert f"captum-pcim {command}" in said
    assert said.count("forward passes") == 3
