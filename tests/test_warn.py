"""Warnings say which images they are about."""

import pickle
import warnings

import pytest
from networks import BrightSquare, bright_images

from captum_pcim import PCIM, Constant, PCIMWarning
from captum_pcim.core.warn import warn


def test_a_warning_holds_its_images_and_its_note():
    with pytest.warns(PCIMWarning, match=r"^inputs: images \[1, 4\] are odd$") as caught:
        warn("inputs: {images} are odd", images=[1, 4], note="odd")
    told = caught[0].message
    assert (told.images, told.note) == ((1, 4), "odd")


def test_a_warning_of_all_images_names_none_and_is_its_own_note():
    told = PCIMWarning("score: logits look like probabilities")
    assert (told.images, told.note) == ((), "score: logits look like probabilities")


def test_long_lists_of_images_are_cut():
    with pytest.warns(PCIMWarning, match=r"images \[0, 1, 2, 3, 4, \.\.\.\]"):
        warn("inputs: {images}", images=range(6))


def test_images_are_told_by_their_place_in_the_call_whatever_the_chunks():
    inputs = bright_images(5)
    pcim = PCIM(BrightSquare(), references=[Constant(0.0), Constant(5.0)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pcim.attribute(inputs, target=1, n_steps=4, internal_batch_size=4)
    shown = [w.message.images for w in caught if str(w.message).startswith("references: Constant")]
    assert [i for images in shown for i in images] == [0, 1, 2, 3, 4]


def test_a_warning_outlives_its_process():
    told = pickle.loads(pickle.dumps(PCIMWarning("inputs: odd", [2], "odd")))
    assert (str(told), told.images, told.note) == ("inputs: odd", (2,), "odd")


@pytest.mark.parametrize(
    ("n", "shown"), [(1, "[0]"), (5, "[0, 1, 2, 3, 4]"), (6, "[0, 1, 2, 3, 4, ...]")]
)
def test_up_to_five_images_are_listed(n, shown):
    with pytest.warns(PCIMWarning) as caught:
        warn("inputs: {images}", images=range(n))
    assert str(caught[0].message) == f"inputs: images {shown}"
    assert caught[0].message.images == tuple(range(n))
