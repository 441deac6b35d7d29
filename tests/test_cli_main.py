"""The command line as a whole: what its commands share, and where they run."""

import fresh
import numpy as np
import pytest
from PIL import Image
from screen_plates import TESTS, write_toml

from captum_pcim.cli.failures import MOST_REASONS, in_few_lines
from captum_pcim.cli.main import main

WITHOUT_FCNTL = (
    "import sys; sys.modules['fcntl'] = None\n"  # as on Windows: importing it is an ImportError
    "from captum_pcim.cli.main import main; sys.exit(main({}))"
)


def without_fcntl(*arguments):
    return fresh.run(WITHOUT_FCNTL.format([*map(str, arguments)]), TESTS)


@pytest.fixture
def pictures(tmp_path):
    """A folder of two images of 2 stains, in a file each."""
    rng = np.random.default_rng(0)
    for name in ("A01_DNA", "A01_ER", "A02_DNA", "A02_ER"):
        image = rng.integers(0, 255, (16, 16), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("command", ["demo", "explain", "compare", "screen"])
def test_every_command_tells_its_options(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: captum-pcim {command}" in capsys.readouterr().out


def test_the_version_is_told_where_there_is_no_fcntl():
    from captum_pcim import __version__

    assert without_fcntl("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("command", "table"),
    [
        (("explain", "--steps", "2"), "diagnostics.csv"),
        (("compare", "--methods", "PCIM", "Saliency"), "table.csv"),
    ],
)
def test_folders_are_explained_and_compared_where_there_is_no_fcntl(pictures, command, table):
    ended = without_fcntl(
        *command, "--model", "screen_networks:Linear", "--images", pictures,
        "--stains", "{image}_{stain}.png", "DNA", "ER", "--out", pictures / "out",
    )  # fmt: skip
    told = [line for line in ended.stderr.splitlines() if "images/s" not in line]
    assert (ended.status, told) == (0, [])
    assert (pictures / "out" / table).is_file()


def test_a_screen_says_in_one_line_that_it_needs_posix(screen):
    ended = without_fcntl("screen", "--config", write_toml(screen))
    assert ended.status == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("captum-pcim screen: screens need POSIX")


def test_a_reason_is_told_once_with_how_many_images_it_is_of():
    failures = [("a", "cut off"), ("b", "too small"), ("c", "cut off"), ("d", "cut off")]
    assert list(in_few_lines(failures)) == ["a and 2 more: cut off", "b: too small"]


def test_of_many_reasons_the_last_are_counted():
    *told, last = in_few_lines((str(i), f"reason {i}") for i in range(MOST_REASONS + 3))
    assert len(told) == MOST_REASONS and last == "and 3 more reasons"
