"""What the command ``explain`` and screens tell of an image: one explainer for both."""

import csv
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import pytest
from networks import images, small_cnn
from screen_networks import Warns
from screen_plates import config, rows, white_corner
from torch import Tensor, nn

from captum_pcim import PCIM, Diagnostics, PCIMWarning
from captum_pcim._errors import noting_warnings
from captum_pcim.cli.main import main
from captum_pcim.explainer import DIAGNOSTICS, Explainer
from captum_pcim.screen import run_screen

STEPS = 3
pytestmark = pytest.mark.filterwarnings("ignore:odd:UserWarning")


def pixels(count=3):
    return list(images(count).numpy())


class OneByOne(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = small_cnn()

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) > 1:
            raise RuntimeError("one image at a time")
        return self.network(inputs)


def test_tables_tell_all_that_diagnostics_have_one_value_of_per_image():
    found = PCIM(small_cnn()).attribute(images(2), target=0, n_steps=2, return_diagnostics=True)[1]
    one_each = [f.name for f in fields(Diagnostics) if _one_value_each(getattr(found, f.name), 2)]
    assert ["target", *DIAGNOSTICS] == one_each


def _value(value):
    return value.item() if isinstance(value, Tensor) else value


def _one_value_each(value, n_images):
    return value is not None and len(value) == n_images and not getattr(value[0], "shape", ())


def test_an_explanation_is_what_pcim_gives():
    network, inputs = small_cnn(), images(3)
    expected, diagnostics = PCIM(network, seed=5).attribute(
        inputs, target=2, n_steps=STEPS, return_diagnostics=True
    )
    explainer = Explainer(network, target=2, n_steps=STEPS, seed=5)
    for i, found in enumerate(explainer.each(list(inputs.numpy()))):
        np.testing.assert_array_equal(found.attributions, expected[i].numpy())
        assert found.target == 2
        assert found.predicted == network(inputs)[i].argmax()
        assert found.probabilities == pytest.approx(network(inputs)[i].softmax(0).tolist())
        for name in DIAGNOSTICS:
            assert found.diagnostics[name] == _value(getattr(diagnostics, name)[i]), name


def test_without_a_target_each_images_predicted_class_is_explained():
    explainer = Explainer(small_cnn(), n_steps=STEPS)
    assert all(found.target == found.predicted for found in explainer.each(pixels()))


def test_regression_has_no_probabilities():
    explainer = Explainer(
        lambda x: x.mean((1, 2, 3)) + x[:, 0, 0, 0], score="regression", n_steps=STEPS
    )
    assert [found.probabilities for found in explainer.each(pixels(2))] == [[], []]


def test_images_that_break_the_network_fail_alone_and_in_their_place():
    def network(inputs):
        if bool((inputs[:, 0, 0, 0] == 1).any()):
            raise RuntimeError("broken")
        return small(inputs)

    small, batch = small_cnn(), pixels(5)
    batch[1][0, 0, 0] = batch[4][0, 0, 0] = 1
    found = list(Explainer(network, n_steps=2).each(batch))
    assert [isinstance(each, RuntimeError) for each in found] == [False, True, False, False, True]


def test_a_network_of_one_image_at_a_time_gives_the_maps_of_one_that_takes_batches():
    one_by_one = Explainer(OneByOne().eval(), target=1, n_steps=24)
    batched = Explainer(small_cnn(), target=1, n_steps=24)
    for one, other in zip(one_by_one.each(pixels()), batched.each(pixels()), strict=True):
        np.testing.assert_allclose(one.attributions, other.attributions, atol=1e-5)


def test_baselines_stay_with_their_images_when_a_batch_is_halved():
    def network(inputs):
        if len(inputs) > 2:  # an image and its complement
            raise RuntimeError("too many")
        return small(inputs)

    small, batch = small_cnn(), pixels(3)
    baselines = [np.full_like(image, i / 3) for i, image in enumerate(batch)]
    halved = Explainer(network, target=0, n_steps=STEPS).each(batch, baselines)
    whole = Explainer(small, target=0, n_steps=STEPS).each(batch, baselines)
    for one, other in zip(halved, whole, strict=True):
        np.testing.assert_allclose(one.attributions, other.attributions, atol=1e-5)


def test_warnings_of_a_batch_are_noted_for_each_of_its_images_in_one_line():
    batch = pixels(2)
    batch[0][0, 0, 0] = 1
    explainer = Explainer(Warns(), target=0, n_steps=2)
    both = [found.notes.split("; ") for found in explainer.each(batch)]
    assert all("odd image" in notes for notes in both)
    (one,) = explainer.each(batch[1:])
    assert "odd image" not in one.notes


def test_what_is_told_of_some_images_of_a_batch_is_noted_for_those_alone():
    """The first image is blank, so nothing in it can be evidence."""
    batch = [np.zeros_like(image) if i == 0 else image for i, image in enumerate(pixels(2))]
    notes = [found.notes for found in Explainer(small_cnn(), target=0, n_steps=2).each(batch)]
    assert ["nothing can be evidence" in note for note in notes] == [True, False]
    assert not any("[" in note for note in notes)


def test_what_tables_tell_is_not_shown_besides():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        list(Explainer(small_cnn(), target=0, n_steps=2).each([0 * pixels(1)[0]]))
    assert not [warning for warning in shown if issubclass(warning.category, PCIMWarning)]


def test_noted_warnings_still_reach_the_user():
    with pytest.warns(UserWarning, match="told"), noting_warnings(PCIMWarning) as notes:
        warnings.warn("told", UserWarning, stacklevel=1)
    assert [str(note) for note in notes] == ["told"]


def test_a_filter_that_makes_errors_of_warnings_is_obeyed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="told"), noting_warnings(PCIMWarning):
            warnings.warn("told", UserWarning, stacklevel=1)


def test_what_a_filter_hides_is_noted_all_the_same():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("ignore")
        with noting_warnings(PCIMWarning) as notes:
            warnings.warn("told", UserWarning, stacklevel=1)
    assert ([str(note) for note in notes], shown) == (["told"], [])


def test_warnings_of_other_kinds_and_of_other_threads_are_left_alone():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with noting_warnings(PCIMWarning) as notes, ThreadPoolExecutor(1) as other:
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            other.submit(warnings.warn, "elsewhere", UserWarning).result()
    assert notes == []
    assert [str(warning.message) for warning in shown] == ["old", "elsewhere"]


def explain(folder, network, *options):
    """The rows of the command's table, by image, for a plate's images."""
    stains = ("--stains", "{image}_{stain}.png", "DNA", "ER")
    folders = ("--images", str(folder / "images"), "--out", str(folder / "out"))
    main(["explain", "--model", f"screen_networks:{network}", "--steps", "2", *folders, *stains,
          *options])  # fmt: skip
    with open(folder / "out" / "diagnostics.csv", newline="") as stream:
        return {row["image"]: row for row in csv.DictReader(stream) if row["status"] == "ok"}


def test_the_table_of_explain_has_the_warnings_of_each_image(screen):
    white_corner(screen)
    found = explain(screen, "Warns", "--batch-size", "1")
    assert [name for name, row in found.items() if "odd image" in row["notes"]] == ["P1/A02_f1"]


def test_the_tables_and_the_report_of_a_screen_have_the_warnings_of_each_image(screen):
    white_corner(screen)
    run_screen(config(screen, "Warns", run={"batch_size": 1}))
    noted = {f"{row['Metadata_Well']} {row['Metadata_Site']}": row["Notes"] for row in rows(screen)}
    assert [place for place, note in noted.items() if "odd image" in note] == ["A02 1"]
    page = (screen / "results" / "plates" / "P1.html").read_text()
    told = [re.sub("<.*?>", "", line) for line in page.splitlines()]
    assert "odd image1" in told and "A02 field 1" in told


@dataclass(frozen=True)
class More(Diagnostics):
    """Diagnostics with one more number, truth value and text an image."""

    share: Tensor = None
    held: Tensor = None
    remark: tuple = ()


@pytest.fixture
def more_diagnostics(monkeypatch):
    """As if the package's diagnostics had these fields."""

    class Telling(PCIM):
        def attribute(self, *args, **kwargs):
            attributions, found = super().attribute(*args, **kwargs)
            values = {field.name: getattr(found, field.name) for field in fields(Diagnostics)}
            held = values["area"] >= 0
            remark = ("shown",) * len(held)
            return attributions, More(**values, share=values["area"], held=held, remark=remark)

    names = (*DIAGNOSTICS, "share", "held", "remark")
    for module in ("explainer", "screen.tables", "screen.page_data"):
        monkeypatch.setattr(f"captum_pcim.{module}.DIAGNOSTICS", names)
    monkeypatch.setattr("captum_pcim.explainer.PCIM", Telling)


def test_a_number_a_truth_value_and_a_text_more_stand_in_every_table(more_diagnostics, screen):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    run_screen(config(screen))
    (row, *_) = rows(screen)
    assert (row["share"], row["held"], row["remark"]) == (row["area"], "True", "shown")
    run_screen(config(screen, output={"table": "parquet"}))
    (row, *_) = parquet.read_table(screen / "results" / "images.parquet").to_pylist()
    assert (row["share"], row["held"], row["remark"]) == (row["area"], True, "shown")
    assert '["remark", ' in (screen / "results" / "plates" / "P1.html").read_text()

    row = explain(screen, "Linear")["P1/A01_f1"]
    assert (row["share"], row["held"], row["remark"]) == (row["area"], "True", "shown")
