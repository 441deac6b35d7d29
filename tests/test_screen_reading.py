"""What the network gets to see of a field: windows, labels and control images."""

import numpy as np
import pytest
from PIL import Image
from screen_plates import config, pixels, write_field

from captum_pcim.images.read import ImageError
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.reading import Reader
from captum_pcim.screen.sources import find_fields
from captum_pcim.screen.store import Store


def samples(folder, **changes):
    """The screen's images as the network gets them, by well and site."""
    found = config(folder, model={"factory": "builtins:none"}, **changes)
    plan = make_plan(found, find_fields(found.images), (0, 1))
    read = Reader(found, plan.plates, Store(found.output.path))
    return {(key.field.well, key.field.site): read(key) for key in plan.keys}


def test_without_windows_whole_numbers_are_divided_by_their_largest(screen):
    first = samples(screen)["A01", "1"]
    np.testing.assert_array_equal(first.inputs, (pixels(1) / 255).astype(np.float32))


def test_fixed_windows_become_0_and_1(screen):
    fixed = {"windows": {"fixed": {"DNA": [10, 50], "ER": [0, 200]}}}
    first = samples(screen, **fixed)["A01", "1"]
    low, high = np.array([[[10]], [[0]]]), np.array([[[50]], [[200]]])
    expected = np.clip((pixels(1).astype(float) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(first.inputs, expected, atol=1e-6)


def test_percentiles_are_measured_per_plate_over_its_fields(screen):
    for number in (1, 2):
        write_field(screen / "images" / "P2", "H01", str(number), pixels(number) // 2)
    found = samples(screen, windows={"percentiles": [5, 95]})
    one = [pixels(number) for number in range(1, 7)]
    other = [pixels(number) // 2 for number in (1, 2)]
    for plate, place, image in ((one, ("B01", "1"), one[4]), (other, ("H01", "2"), other[1])):
        low, high = np.percentile(np.stack(plate, axis=1).reshape(2, -1), [5, 95], axis=1)
        expected = np.clip((image.reshape(2, -1).T - low) / (high - low), 0, 1)
        np.testing.assert_allclose(found[place].inputs.reshape(2, -1).T, expected, atol=1e-6)


def test_a_stain_of_one_intensity_is_all_zero(tmp_path):
    write_field(tmp_path / "images" / "P1", "A01", "1", np.full((2, 24, 24), 7, np.uint8))
    first = samples(tmp_path, windows={"percentiles": [1, 99]})["A01", "1"]
    assert not first.inputs.any()


def test_labels_come_with_the_image(screen):
    labels = samples(screen)["B01", "2"].labels
    assert labels.dtype == np.int64
    assert labels[10, 5] == 1 and labels[10, 18] == 2 and labels[0, 0] == 0


def test_labels_of_another_size_are_refused(screen):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(screen / "images" / "P1" / "A01_f1_labels.png")
    with pytest.raises(ImageError, match="labels"):
        samples(screen)


def test_the_mean_control_is_the_average_of_the_plates_control_wells(screen):
    found = samples(screen, controls={"wells": ["a1"]})
    expected = (pixels(1) / 255.0 + pixels(2) / 255.0) / 2
    for sample in found.values():
        np.testing.assert_allclose(sample.reference, expected, atol=1e-6)


def test_a_sampled_control_is_one_control_image_and_repeatable(screen):
    controls = {"controls": {"wells": ["A01", "A02"], "reference": "sample"}}
    first, second = samples(screen, **controls), samples(screen, **controls)
    images = [(pixels(number) / 255).astype(np.float32) for number in range(1, 5)]
    drawn = set()
    for place, sample in first.items():
        (which,) = [i for i, image in enumerate(images) if np.array_equal(image, sample.reference)]
        drawn.add(which)
        np.testing.assert_array_equal(sample.reference, second[place].reference)
    assert len(drawn) > 1


def test_a_damaged_control_leaves_the_others_to_serve(screen):
    path = screen / "images" / "P1" / "A01_f1_DNA.png"
    path.write_bytes(path.read_bytes()[:60])
    found = config(screen, model={"factory": "builtins:none"}, controls={"wells": ["A01"]})
    plan = make_plan(found, find_fields(found.images), (0, 1))
    read = Reader(found, plan.plates, Store(found.output.path))
    np.testing.assert_allclose(read(plan.keys[-1]).reference, pixels(2) / 255, atol=1e-6)


def test_a_plate_without_controls_says_so(screen):
    with pytest.raises(ImageError, match="P1 has no control image"):
        samples(screen, controls={"wells": ["H12"]})


def test_a_missing_stain_is_named(screen):
    (screen / "images" / "P1" / "A01_f1_ER.png").unlink()
    with pytest.raises(ImageError, match="no file for stain ER"):
        samples(screen)
