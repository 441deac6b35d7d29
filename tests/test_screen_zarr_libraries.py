"""OME-Zarr plates that other libraries write, read as they meant them.

iohub and Fractal's tasks need releases of their own: `nox --session companions`.
"""

import numpy as np
import pytest

from captum_pcim.screen.config import ImageSettings
from captum_pcim.screen.planes import read_object_numbers, read_pixels
from captum_pcim.screen.sources import survey
from captum_pcim.screen.zarr_plate import scale_of

pytest.importorskip("zarr", minversion="3")

PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 3, 64, 64), np.uint16)  # c, z, y, x
LABELS = np.zeros((64, 64), np.uint32)
LABELS[8:16, 8:16], LABELS[30:40, 30:40] = 1, 4000000000


def images(path, **settings):
    return ImageSettings(
        str(path), ["ER", "DNA"], source="ome_zarr", labels="nuclei", **{"z": "max"} | settings
    )


def check(path, sites, **settings):
    """Reads every field and compares it with what was written."""
    settings = images(path, **settings)
    found = survey(settings)
    assert [(f.plate, f.well, f.site) for f in found.fields] == sites
    assert found.remarks == []
    for field in found.fields:
        pixels = read_pixels(field, settings)
        np.testing.assert_array_equal(pixels, PIXELS[[1, 0]].max(axis=1))
        labels = read_object_numbers(field, pixels.shape[1:])
        np.testing.assert_array_equal(labels, LABELS.astype(np.int64))
        assert scale_of(field.files[0][0]) == [0.6, 0.5]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_of_ome_zarr_py(tmp_path, version):
    pytest.importorskip("ome_zarr")
    import zarr
    from ome_zarr import format as formats
    from ome_zarr.writer import (
        write_image,
        write_labels,
        write_plate_metadata,
        write_well_metadata,
    )

    fmt = formats.FormatV04() if version == "0.4" else formats.FormatV05()
    path = tmp_path / "plate.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    write_plate_metadata(root, ["A", "H"], ["1", "12"], ["A/1", "H/12"], fmt=fmt, name="P1")
    for well in ("A/1", "H/12"):
        group = root.require_group(well)
        write_well_metadata(group, ["0"], fmt=fmt)
        image = group.require_group("0")
        scale = {"z": 2.0, "y": 0.6, "x": 0.5}
        channels = [{"label": "DNA", "color": "0000FF"}, {"label": "ER", "color": "00FF00"}]
        write_image(PIXELS, image, axes="czyx", fmt=fmt, scale=scale, scale_factors=(2,),
                    metadata={"omero": {"channels": channels}})  # fmt: skip
        attributes = image.attrs.asdict()
        omero = {"omero": {"channels": channels}}
        if version == "0.5":
            omero = {"ome": {**attributes["ome"], **omero}}
        image.attrs.update(omero)
        write_labels(LABELS, image, name="nuclei", axes="yx", fmt=fmt, scale_factors=(2,))
    check(path, [("P1", "A01", "0"), ("P1", "H12", "0")])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_of_ngio(tmp_path, version):
    ngio = pytest.importorskip("ngio")
    path = tmp_path / "plate.zarr"
    listed = [
        ngio.ImageInWellPath(row="B", column="03", path=f"0_{name}", acquisition_id=number,
                             acquisition_name=name)
        for number, name in enumerate(("first", "second"))
    ]  # fmt: skip
    ngio.create_empty_plate(path, "P1", listed, ngff_version=version)
    for image in listed:
        container = ngio.create_ome_zarr_from_array(
            path / "B" / "03" / image.path, PIXELS, pixelsize=(0.6, 0.5), z_spacing=2.0,
            axes_names="czyx", channels_meta=["DNA", "ER"], levels=2, ngff_version=version,
        )  # fmt: skip
        labels = container.derive_label("nuclei", dtype="uint32")
        labels.set_array(np.broadcast_to(LABELS, labels.shape).copy())
    for number, name in enumerate(("first", "second")):
        check(path, [("P1", "B03", f"0_{name}")], acquisition=number)
        check(path, [("P1", "B03", f"0_{name}")], acquisition=name)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_of_iohub(tmp_path, version):
    ngff = pytest.importorskip("iohub.ngff", reason="no iohub: nox --session companions")
    from iohub.ngff.models import TransformationMeta

    path = tmp_path / "P1.zarr"
    options = {"layout": "hcs", "mode": "w", "channel_names": ["DNA", "ER"], "version": version}
    with ngff.open_ome_zarr(path, **options) as plate:
        for row, column in (("A", "1"), ("H", "12")):
            position = plate.create_position(row, column, "0")
            scale = TransformationMeta(type="scale", scale=[1, 1, 2.0, 0.6, 0.5])
            position.create_image("0", PIXELS[None], transform=[scale])  # t, c, z, y, x
            position.create_label("nuclei", np.broadcast_to(LABELS, (1, 3, 64, 64)).copy())
    check(path, [("P1", "A01", "0"), ("P1", "H12", "0")])


def test_a_plate_that_fractal_projected_and_segmented(tmp_path):
    reason = "no fractal-tasks-core: nox --session companions"
    pytest.importorskip("fractal_tasks_core", minversion="2", reason=reason)
    import ngio
    from fractal_tasks_core.compute_projection_hcs import compute_projection_hcs
    from fractal_tasks_core.init_projection_hcs import init_projection_hcs
    from fractal_tasks_core.threshold_segmentation import InputChannel, threshold_segmentation

    wells, pixels = (("B", "03"), ("C", "11")), PIXELS // 8
    pixels[0, 1, LABELS > 0] = 4000  # nuclei in the plane in the middle
    listed = [ngio.ImageInWellPath(row=row, column=column, path="0") for row, column in wells]
    ngio.create_empty_plate(tmp_path / "P1.zarr", "P1", listed)
    urls = [str(tmp_path / "P1.zarr" / row / column / "0") for row, column in wells]
    for url in urls:
        ngio.create_ome_zarr_from_array(
            url, pixels, pixelsize=(0.6, 0.5), z_spacing=2.0, axes_names="czyx",
            channels_meta=["DNA", "ER"], levels=2,
        )  # fmt: skip

    tasks = init_projection_hcs(zarr_urls=urls, zarr_dir=str(tmp_path))["parallelization_list"]
    for task in tasks:
        compute_projection_hcs(**task)
        threshold_segmentation(
            zarr_url=task["zarr_url"], channel=InputChannel(identifier="DNA"),
            output_label_name="nuclei",
        )  # fmt: skip

    settings = images(tmp_path / "P1_mip.zarr", z=None)
    fields = survey(settings).fields
    assert [(field.well, field.site) for field in fields] == [("B03", "0"), ("C11", "0")]
    for field in fields:
        found = read_pixels(field, settings)
        np.testing.assert_array_equal(found, pixels[[1, 0]].max(axis=1))
        numbers = read_object_numbers(field, found.shape[1:])
        np.testing.assert_array_equal(numbers > 0, LABELS > 0)
        assert len(np.unique(numbers)) == 3
        assert scale_of(field.files[0][0]) == [0.6, 0.5]
