"""Small plates on disk, the command line on them, and what it made of them."""

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from captum_pcim.cli.screen import add_parser
from captum_pcim.screen import ScreenConfig

STAINS = ["DNA", "ER"]
TESTS = Path(__file__).parent
HARMONY_XML = """<?xml version="1.0"?>
<EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5"><Images><Image>
<ChannelID>1</ChannelID><ChannelName>Alexa 488</ChannelName>
<ImageResolutionX Unit="m">5E-07</ImageResolutionX>
<ImageResolutionY Unit="m">6E-07</ImageResolutionY></Image></Images></EvaluationInputData>"""


def pixels(number, side=24):
    """A 2-stain 8-bit image: noise with a bright square on the left or on the right."""
    rng = np.random.default_rng(number)
    image = rng.integers(1, 60, (2, side, side), dtype=np.uint8)
    column = 3 if number % 2 else side // 2 + 3
    image[:, 8:16, column : column + 6] = 200
    return image


def write_plate(folder, wells=("A01", "A02", "B01"), sites=2, plate="P1", side=24):
    """Writes a plate in the plain pattern, label images beside it."""
    number = 0
    for well in wells:
        for site in range(1, sites + 1):
            number += 1
            write_field(folder / plate, well, site, pixels(number, side))
    return folder


def write_field(folder, well, site, image):
    folder.mkdir(parents=True, exist_ok=True)
    for stain, plane in zip(STAINS, image, strict=True):
        Image.fromarray(plane).save(folder / f"{well}_f{site}_{stain}.png")
    labels = np.zeros(image.shape[1:], np.uint8)
    labels[8:16, 3:9], labels[8:16, 15:21] = 1, 2
    Image.fromarray(labels).save(folder / f"{well}_f{site}_labels.png")


LABELS = r"(?P<plate>[^/]+)/(?P<well>\w\d\d)_f(?P<field>\d+)_labels\.png"


def tables(folder, network="Linear", **changes):
    """The tables for the plate under ``folder/images``, done in ``results`` by this process."""
    found = {
        "images": {"path": str(folder / "images"), "stains": STAINS, "labels": LABELS},
        "model": {"factory": f"screen_networks:{network}", "classes": ["left", "right"]},
        "output": {"path": str(folder / "results")},
        "attribution": {"n_steps": 3},
        "run": {"batch_size": 2, "workers": 0},
    }
    for name, entries in changes.items():
        found[name] = {**found.get(name, {}), **entries}
    return found


def config(folder, network="Linear", **changes):
    return ScreenConfig.from_dict(tables(folder, network, **changes))


def write_toml(folder, network="Linear", **changes):
    """Writes the configuration as a file and returns its path."""
    lines = []
    for name, entries in tables(folder, network, **changes).items():
        lines.append(f"[{name}]")
        lines += [f"{entry} = {_toml(value)}" for entry, value in entries.items()]
    path = folder / "screen.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _toml(value):
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return str(value)


def command_line(toml, *arguments):
    """Runs the command in this process and returns its exit status."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["screen", "--config", str(toml), *arguments])
    return parsed.run(parsed)


def command(toml, *arguments):
    """The same in a process of its own, for :mod:`subprocess`."""
    script = "import sys, screen_plates; sys.exit(screen_plates.command_line(*sys.argv[1:]))"
    return [sys.executable, "-c", script, str(toml), *arguments]


def environment():
    """This process's environment for a child that finds the tests' modules."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def finished(folder):
    """The finished results: a dictionary from key to the inode of the manifest."""
    found = (folder / "results" / "done").glob("*/*/manifest.json")
    return {path.parent.name: path.stat().st_ino for path in found}


def rows(folder, name="images"):
    """The rows of a table."""
    with open(folder / "results" / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def failures(folder):
    """Reason by well and site, from the table of images."""
    return {
        f"{row['Metadata_Well']} {row['Metadata_Site']}": row["Reason"]
        for row in rows(folder)
        if row["Status"] != "done"
    }


def contents(folder):
    """Every result file but the manifest, which says where the image lay, by key and name."""
    return {
        (path.parent.name, path.name): path.read_bytes()
        for path in (folder / "results" / "done").glob("*/*/*")
        if path.name != "manifest.json"
    }


def no_litter(folder):
    return os.listdir(folder / "results" / "tmp") == []


def white_corner(folder, well="A02", site=1):
    """An image that some of the tests' networks stumble over."""
    image = pixels(3)
    image[0, 0, 0] = 255
    write_field(folder / "images" / "P1", well, site, image)
