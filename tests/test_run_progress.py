"""A run over many images tells how far it is: one line on a terminal, elsewhere line by line."""

import io

import pytest

from captum_pcim.run_progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_elsewhere_every_state_is_a_line_of_its_own():
    stream = io.StringIO()
    bar = Progress(4, stream)
    bar.mininterval = 0
    bar.add(failed=False)
    bar.add(failed=False)
    bar.close()
    lines = stream.getvalue().splitlines()
    assert [line.partition(" images")[0] for line in lines][-2:] == ["2/4", "2/4"]
    assert all("\r" not in line and line == line.strip() and line for line in lines)


def test_a_terminal_has_one_line_that_is_written_anew():
    stream = Terminal()
    with Progress(2, stream) as bar:
        bar.mininterval = 0
        bar.add(failed=False)
    assert "\r1/2 images (50 %), " in stream.getvalue()


@pytest.mark.parametrize(("stream", "seconds"), [(Terminal(), 0.5), (io.StringIO(), 60.0)])
def test_a_log_is_written_to_once_a_minute_and_a_terminal_twice_a_second(stream, seconds):
    with Progress(2, stream) as bar:
        assert (bar.mininterval, bar.miniters, bar.unit) == (seconds, 1, " images")


def test_failures_are_counted():
    stream = io.StringIO()
    with Progress(3, stream) as bar:
        bar.mininterval = 0
        for failed in (False, True, True):
            bar.add(failed)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("3/3 images (100 %), ") and last.endswith(", 2 failed")
    assert bar.failed == 2


def test_without_failures_none_are_told():
    stream = io.StringIO()
    with Progress(1, stream) as bar:
        bar.add(failed=False)
    assert "failed" not in stream.getvalue()


def test_images_that_are_left_out_are_taken_off():
    stream = io.StringIO()
    with Progress(3, stream) as bar:
        bar.leave_out()
        bar.add(failed=False)
    assert stream.getvalue().splitlines()[-1].startswith("1/2 images (50 %), ")


def test_a_run_with_nothing_to_do_says_nothing():
    stream = io.StringIO()
    Progress(0, stream).close()
    assert stream.getvalue() == ""


def test_a_terminal_keeps_the_last_line_of_a_run_unless_all_was_left_out():
    for left_out, kept in ((1, False), (0, True)):
        bar = Progress(1, Terminal())
        for _ in range(left_out):
            bar.leave_out()
        bar.close()
        assert bar.leave is kept


def test_the_error_output_is_where_it_is_told(capsys):
    with Progress(1) as bar:
        bar.add(failed=False)
    assert "1/1 images" in capsys.readouterr().err
