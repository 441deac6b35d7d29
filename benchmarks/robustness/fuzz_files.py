"""Hostile files for `captum-pcim explain`: damaged images and models, odd names, links, pickles.

The command has to end with status 0, 1 or 2, with a reason for everything that it did not do. It
may write below its output folder alone, and nothing in a file may be run.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image
from torch import nn

from captum_pcim.cli.main import main

EXPLODED = "exploded"
NAMES = (
    "new\nline.png", "--overwrite.png", "=1+1.png", "$(touch exploded).png", "..png", "%s{0}.png",
    "\u202egnp.png", "\x1b[31mred.png", "C:\\a.png", "~.png", " .png", "x" * 251 + ".png",
    "a_DAPI.png", "a_GFP.png", "b_DAPI.tif", "notes.txt", os.fsdecode(b"\xff.png"), "deep/er/c.png",
)  # fmt: skip
OPTIONS = (
    [], [], ["--target", "1"], ["--target", "7"], ["--target", "-1"], ["--target", "9" * 30],
    ["--stains", "{image}_{stain}.png", "DAPI", "GFP"], ["--stains", "{stain}"],
    ["--window", "0", "100"], ["--window", "1%", "99%"], ["--window", "nan", "1"],
    ["--window", "5", "5"], ["--per-stain"], ["--score", "regression"], ["--batch-size", "0"],
    ["--map-format", "tiff"], ["--seed", "-1"], ["--seed", "9" * 40], ["--device", "nowhere"],
    ["--overwrite"],
)  # fmt: skip


class Bomb:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (EXPLODED,)


def trial(dice: random.Random) -> tuple[str, str]:
    """Make a folder of files, run the command on it and judge how it ended."""
    with tempfile.TemporaryDirectory() as folder, _working_in(Path(folder)):
        images = [_write_image(dice) for _ in range(dice.randint(1, 6))]
        model = _write_model(dice)
        options = dice.choice(OPTIONS)
        argv = ["explain", "--images", "images", "--out", "out", "--steps", "1", *model, *options]
        tried = f"captum-pcim {' '.join(argv)} on {images}"
        before = _files()
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                status: object = main(argv)
            except SystemExit as ended:
                status = ended.code
            except Exception as error:
                return tried, f"{type(error).__name__}: {error}"
        return tried, _wrong(status, errors.getvalue(), _files() - before)


def damage(data: bytes, dice: random.Random) -> bytes:
    """Cut the bytes, change some, or put some in."""
    position, noise = dice.randrange(len(data)), dice.randbytes(dice.randint(1, 8))
    return dice.choice(
        [
            data[:position],
            data[:position] + noise + data[position + len(noise) :],
            data[:position] + noise + data[position:],
        ]
    )


def _wrong(status: object, errors: str, new: set[str]) -> str:
    if status not in (0, 1, 2):
        return f"ended with status {status!r}"
    if re.search("^Traceback", errors, re.MULTILINE) or (status != 0 and not errors.strip()):
        return f"status {status} and on standard error {errors!r}"
    outside = {name for name in new if name != "out" and not name.startswith("out/")}
    return f"wrote {sorted(outside)}" if outside else ""


def _files() -> set[str]:
    return {os.path.join(*path.parts) for path in Path().rglob("*")}


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    (folder / "work").mkdir()
    (folder / "secret.png").write_bytes(_good_images()[".png"])
    before = Path.cwd()
    os.chdir(folder / "work")
    try:
        yield
    finally:
        os.chdir(before)


def _write_image(dice: random.Random) -> str:
    """Write a file below images/, or a link, or something that only looks like a file."""
    name = dice.choice(NAMES) if dice.random() < 0.5 else f"{dice.randrange(9)}.{dice.choice(ENDS)}"
    path = Path("images", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        return name
    kind = dice.random()
    if kind < 0.1:
        path.symlink_to(dice.choice(["../../secret.png", "..", name, "nothing.png", "/dev/zero"]))
    elif kind < 0.15:
        os.mkfifo(path)
    elif kind < 0.2:
        path.mkdir()
    else:
        data = dice.choice([*_good_images().values()])
        path.write_bytes(damage(data, dice) if dice.random() < 0.5 else data)
    return name


ENDS = ("png", "tif", "jpg", "TIFF")


def _write_model(dice: random.Random) -> list[str]:
    """Write a model file, mostly whole; return the options that name it."""
    kind = dice.random()
    path = Path("model.pt")
    if kind < 0.1:
        torch.save(Bomb(), path)
    elif kind < 0.15:
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind < 0.2:
        return ["--model", dice.choice(["nowhere.pt", "os:getcwd", "no:thing", "", "a:b:c", "\0"])]
    else:
        path.write_bytes(_script() if kind < 0.6 else damage(_script(), dice))
        return ["--model", str(path), "--trust"]
    return ["--model", str(path)]


@cache
def _script() -> bytes:
    torch.manual_seed(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(3)).eval()
    network(torch.rand(1, 1, 8, 8))
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(network), stream)
    return stream.getvalue()


@cache
def _good_images() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (18, 20), np.uint8)
    files = {}
    for suffix, form in ((".png", "PNG"), (".jpg", "JPEG")):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form)
        files[suffix] = stream.getvalue()
    for suffix, planes in ((".tif", pixels.astype(np.uint16)), (".tiff", np.stack([pixels] * 2))):
        stream = io.BytesIO()
        tifffile.imwrite(stream, planes, compression="zlib")
        files[suffix] = stream.getvalue()
    return files
