"""Single cells as docs/hci.md writes them: the configuration, and the commands that measure."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from screen_plates import config, rows, write_plate, write_toml

from captum_pcim.cli.main import main
from captum_pcim.screen import run_screen

tomllib = pytest.importorskip("tomllib")  # of Python 3.11
pytest.importorskip("zarr")
TEXT = (Path(__file__).parents[1] / "docs" / "hci.md").read_text(encoding="utf-8")
(CONFIGURATION,) = re.findall(r"^```toml\n(\[cells\]\n.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ captum-pcim (measure .*)$", TEXT, re.MULTILINE)


@pytest.fixture
def plate(screen):
    """A plate of fields that are large enough, with label images of nuclei."""
    write_plate(screen / "images", wells=("A01", "A02"), sites=1, side=96)
    for other in (screen / "images" / "P1").glob("*_f2_*"):
        other.unlink()
    for other in (screen / "images" / "P1").glob("B01*"):
        other.unlink()
    for labels in (screen / "images" / "P1").glob("*_labels.png"):
        nuclei = np.zeros((96, 96), np.uint8)
        nuclei[10:13, 4:7] = 1
        Image.fromarray(nuclei).save(labels.with_name(labels.name.replace("labels", "nuclei")))
    return screen


def test_the_documented_cells_are_explained(plate):
    assert run_screen(config(plate, **tomllib.loads(CONFIGURATION))).failures == {}
    found = rows(plate, "cells")
    assert [row["Status"] for row in found] == ["done"] * 4
    columns = re.search(r"`Cells_Attribution_\{([\w,]+)\}` of the cell's own", TEXT)[1].split(",")
    assert {f"Cells_Attribution_{column}" for column in columns} <= set(found[0])
    assert {"Cells_Location_Center_X", "Cells_AreaShape_Area", "verdict"} <= set(found[0])
    assert {row["Count_Cells"] for row in rows(plate)} == {"2"}


def test_a_documented_command_measures_a_screen(plate, monkeypatch):
    run_screen(config(plate, output={"maps": True}))
    write_toml(plate, output={"maps": True})
    command = shlex.split(COMMANDS[0])
    command[command.index("screen.toml")] = str(plate / "screen.toml")
    assert main(command) == 0
    found = rows(plate, "measured")
    assert {row["Nuclei_AreaShape_Area"] for row in found} == {"9.0", "0.0"}
    named = set(re.findall(r"`((?:ShareOf|EnrichmentOver)\w+)`", TEXT))
    assert {f"Ring_Attribution_{name}" for name in named} <= set(found[0])


def test_a_documented_command_measures_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("explained/maps", "cells", "nuclei"):
        Path(name).mkdir(parents=True)
    np.save("explained/maps/a.npy", np.ones((4, 4), np.float32))
    for name in ("cells", "nuclei"):
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(f"{name}/a.png")
    assert main(shlex.split(COMMANDS[1])) == 0
    assert "Nuclei_Attribution_ShareOfCells" in Path("measured.csv").read_text()
