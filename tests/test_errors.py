"""Errors of other libraries in one line, their first cause in full."""

import pytest
import torch
from torch import nn

from captum_pcim._errors import describe


class Deep(nn.Module):
    """Fails far down: TorchScript tells every frame before the cause."""

    def __init__(self, depth: int):
        super().__init__()
        self.inner = Deep(depth - 1) if depth else nn.Linear(3, 2)

    def forward(self, images):
        return self.inner(images)


def raised(function, *arguments):
    with pytest.raises(Exception) as caught:
        function(*arguments)
    return caught.value


def test_the_cause_that_torchscript_tells_last_is_kept():
    plain = raised(Deep(0), torch.rand(4, 5))
    scripted = raised(torch.jit.script(Deep(12)), torch.rand(4, 5))
    assert len(str(scripted)) > 1500
    assert str(plain) in describe(scripted)
    assert "\n" not in describe(scripted)


def test_the_first_of_errors_that_were_raised_from_each_other_is_told():
    def fail():
        try:
            try:
                raise KeyError("stain 3")
            except KeyError as error:
                raise ValueError("in the middle") from error
        except ValueError as error:
            raise RuntimeError("the network failed") from error

    assert describe(raised(fail)) == (
        "RuntimeError: the network failed (first cause: KeyError: 'stain 3')"
    )


def test_an_error_that_says_where_another_of_its_kind_was_is_told_once():
    def fail():
        try:
            raise ValueError("not an\nimage")
        except ValueError as error:
            raise ValueError(f"plate P1: {error}") from error

    assert describe(raised(fail)) == "ValueError: plate P1: not an image"


@pytest.mark.parametrize("length", [600, 1400])
def test_a_text_of_usual_length_is_told_whole(length):
    assert describe(ValueError("x" * length)) == "ValueError: " + "x" * length


def test_of_a_text_without_end_the_beginning_and_the_end_are_told():
    told = describe(ValueError("begin" + "x" * 10**6 + "end"))
    assert told.startswith("ValueError: begin") and told.endswith("end") and len(told) < 2000


def test_the_cause_in_a_text_from_another_process_is_kept_in_full():
    cause = "RuntimeError: sizes differ\n" + "expected " + "3, " * 300 + "got 5"
    frames = "".join(f'  File "net.py", line {i}, in forward\n    call()\n' for i in range(99))
    text = "Caught RuntimeError in a worker.\nTraceback (most recent call last):\n" + frames + cause
    assert describe(RuntimeError(text)).endswith(" ".join(cause.split()))
