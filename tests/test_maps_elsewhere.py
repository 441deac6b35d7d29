"""Exported maps in the programs that people open them with: ImageJ, and napari with its readers.

napari is a viewer and ImageJ a program of Java; where they are missing the tests are skipped.
`nox --session companions` has napari.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from screen_plates import HARMONY_XML, STAINS, TESTS, config, pixels

from captum_pcim.screen import run_screen
from captum_pcim.screen.maps import stored_map

pytest.importorskip("zarr", minversion="3")
tifffile = pytest.importorskip("tifffile")

SCALE = (0.6, 0.5)  # micrometers, of HARMONY_XML
IMAGEJ = Path("/usr/share/java/ij.jar")  # where Debian's package puts it
LOOK = Path(__file__).parent / "imagej" / "Look.java"


@pytest.fixture
def export(tmp_path, monkeypatch):
    """A function of the form of maps: what it wrote, and the map itself."""
    monkeypatch.chdir(TESTS)
    folder = tmp_path / "images" / "P1" / "Images"
    folder.mkdir(parents=True)
    (folder / "Index.idx.xml").write_text(HARMONY_XML)
    for channel, plane in enumerate(pixels(1), 1):
        tifffile.imwrite(folder / f"r01c01f01p01-ch{channel}sk1fk1fl1.tiff", plane)

    def run(form):
        changes = {"isolation": "per_stain"}
        images = {"pattern": "opera", "channels": ["1", "2"], "labels": ""}
        settings = config(tmp_path, output={"maps": form}, images=images, attribution=changes)
        assert run_screen(settings).failures == {}
        (kept,) = (tmp_path / "results" / "done").glob("*/*/map.zarr")
        return tmp_path / "results" / "maps", stored_map(kept).weights

    return run


def test_imagej_shows_stains_values_and_the_size_of_a_pixel(export):
    if not (IMAGEJ.exists() and shutil.which("javac")):
        pytest.skip("no ImageJ or no Java: apt-get install imagej default-jdk-headless")
    maps, weights = export("tiff")
    command = ["java", "-Djava.awt.headless=true", "-cp", IMAGEJ, LOOK, maps / "P1" / "A01_01.tif"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    shape, size, *planes = run.stdout.splitlines()
    stains, height, width = weights.shape
    assert shape == f"{width} {height} {stains} 1 1"
    assert tuple(map(float, size.split()[:2])) == pytest.approx(SCALE[::-1], rel=1e-6)
    assert size.split()[2] == "microns"
    assert planes[::2] == STAINS
    for plane, told in zip(weights, planes[1::2], strict=True):
        black, white, value = map(float, told.split())
        assert (black, white) == (0, 1)
        assert value == pytest.approx(plane[1, 2], rel=1e-6)


@pytest.fixture
def viewer():
    """napari without a window, with its readers."""
    pytest.importorskip("napari_ome_zarr", reason="no napari: nox --session companions")
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return ViewerModel()


def test_napari_ome_zarr_opens_the_map_of_a_field_at_its_scale(export, viewer):
    maps, weights = export("ome_zarr")
    viewer.open(maps / "P1.zarr" / "A" / "01" / "0map", plugin="napari-ome-zarr")
    assert [layer.name.split()[-1] for layer in viewer.layers] == STAINS
    for layer, plane in zip(viewer.layers, weights, strict=True):
        np.testing.assert_allclose(np.asarray(layer.data[0]).squeeze(), plane, atol=1e-3)
        assert tuple(layer.scale[-2:]) == pytest.approx(SCALE)


def test_napari_ome_zarr_shows_the_images_of_the_plate_that_holds_the_maps(export, viewer):
    maps, _ = export("ome_zarr")
    viewer.open(maps / "P1.zarr", plugin="napari-ome-zarr")
    for layer, plane in zip(viewer.layers, pixels(1), strict=True):
        np.testing.assert_array_equal(np.asarray(layer.data[0]), plane)
        assert tuple(layer.scale) == pytest.approx(SCALE)


def test_napari_opens_the_tiff_file(export, viewer):
    maps, weights = export("tiff")
    (layer,) = viewer.open(maps / "P1" / "A01_01.tif", plugin="napari")
    np.testing.assert_array_equal(np.asarray(layer.data), weights)
