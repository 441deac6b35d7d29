"""Plates as microscopes and other programs write them: the table of docs/hci.md, line by line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from captum_pcim.images.labels import read_labels
from captum_pcim.images.read import ImageError, read_image
from captum_pcim.images.tiff import open_tiff
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.planes import read_object_numbers, read_pixels
from captum_pcim.screen.sources import survey
from captum_pcim.screen.toml import read_toml

ROOT = Path(__file__).parent.parent
PLATES = ROOT.parent / "shared" / "data" / "plates"
MOST_LINES = 12

pytestmark = pytest.mark.skipif(
    not PLATES.is_dir(), reason="the foreign plates are not in ../shared/data/plates"
)


def documented():
    """The rows of the table: what it is, its lines of configuration, what is found."""
    text = (ROOT / "docs" / "hci.md").read_text(encoding="utf-8")
    table = text.partition("<!-- begin layouts -->")[2].partition("<!-- end layouts -->")[0]
    rows = [line.strip("|").split(" | ") for line in table.strip().splitlines()[2:]]
    return [
        (what.strip(), [line.strip("` ") for line in lines.split("<br>")], found.strip())
        for what, lines, found in rows
    ]


def images(folder, lines):
    """The settings that lines of a configuration make, read as a file of the project's root is."""
    path = folder / "screen.toml"
    rest = ["[model]", 'factory = "builtins:none"', "[output]", 'path = "results"']
    path.write_text("\n".join(["[images]", *lines, *rest]), encoding="utf-8")
    return ScreenConfig.from_dict(read_toml(path), ROOT).images


def told(found):
    """Plates and wells with the number of their fields, then those that cannot be read."""
    plates = {}
    for field in found.fields:
        wells = plates.setdefault(field.plate, {})
        wells[field.well] = wells.get(field.well, 0) + 1
    text = "; ".join(
        f"{plate}: " + ", ".join(f"{well} ({count})" for well, count in wells.items())
        for plate, wells in plates.items()
    )
    failing = [str(field) for field in found.fields if field.problem]
    return text + (f"; {len(failing)} failed" if failing else "")


@pytest.mark.parametrize(("what", "lines", "expected"), documented())
def test_a_documented_layout_is_read_with_its_lines(tmp_path, what, lines, expected):
    assert len(lines) <= MOST_LINES
    settings = images(tmp_path, lines)
    found = survey(settings)
    assert told(found) == expected
    for field in found.fields:
        if not field.problem:
            pixels = read_pixels(field, settings)
            assert len(pixels) == len(settings.stains)
            if settings.labels:
                labels = read_object_numbers(field, pixels.shape[1:])
                assert len(np.unique(labels)) == 1 + 6


def expected_axes():
    path = PLATES / "tiff_axes" / "expected.json"
    return json.loads(path.read_text()).items() if path.is_file() else ()


@pytest.mark.parametrize(("name", "expected"), expected_axes())
def test_every_plane_of_a_tiff_is_where_its_axes_say(name, expected):
    sizes = dict(zip(expected["axes"], expected["shape"], strict=True))
    alpha = name in ("rgba.tif", "grey_alpha.tif")
    n_stains = sizes.get("C", 1) * sizes.get("S", 1) - alpha
    leading = expected["axes"].translate({ord(axis): None for axis in "YXS"})
    with open_tiff(PLATES / "tiff_axes" / name, labels=name == "one_bit.tif") as stack:
        assert (stack.times, stack.stains, stack.depth) == (
            sizes.get("T", 1), n_stains, sizes.get("Z", 1),
        )  # fmt: skip
        if "channels" in expected:
            assert list(stack.names) == expected["channels"]
        means = np.array(expected["plane_means"])
        if "S" not in expected["axes"]:
            means = means.reshape([sizes[axis] for axis in leading])
        for place in np.ndindex(stack.times, stack.stains, stack.depth):
            at = dict(zip("TCZ", place, strict=True))
            index = tuple(at[axis] for axis in leading) if "S" not in expected["axes"] else place[1]
            assert stack.plane(*place).mean() == pytest.approx(means[index], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", [name for name, about in expected_axes() if "Z" in about["axes"]])
def test_a_stack_is_never_taken_for_stains(name):
    with pytest.raises(ImageError, match=r"planes along z: 1, 2, 3\. Say which by z"):
        read_image([PLATES / "tiff_axes" / name])


@pytest.mark.parametrize("kind", ["palette_png", "uint32_tif"])
def test_object_numbers_are_those_that_were_written(kind):
    (path,) = (PLATES / "labels" / "P1" / kind).glob("A01_*")
    numbers = [1, 2, 3, 4, 5, 6] if kind == "palette_png" else [1, 2, 3, 4, 70000, 4000000000]
    assert np.unique(read_labels(path)).tolist() == [0, *numbers]


def test_percent_signs_of_urls_are_decoded_and_rows_keep_their_numbers(tmp_path):
    folder = PLATES / "jump_loaddata"
    text = (folder / "load_data_url.csv").read_text()
    at = re.sub("^/", "", folder.resolve().as_uri().removeprefix("file://"))
    (tmp_path / "load.csv").write_text(text.replace("@ROOT@", at))
    lines = [
        f'path = "{tmp_path / "load.csv"}"',
        'source = "load_file"',
        'stains = ["OrigDNA", "OrigER"]',
    ]
    settings = images(tmp_path, lines)
    fields = survey(settings).fields
    assert [(field.well, field.number) for field in fields] == [("A01", 2), ("B01", 1)]
    assert all(len(read_pixels(field, settings)) == 2 for field in fields)
