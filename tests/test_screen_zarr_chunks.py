"""A chunk that was cut off is noticed, whatever compressed it."""

import numpy as np
import pytest

from captum_pcim.images.stack import ImageError
from captum_pcim.screen.zarr_plate import read_field

zarr = pytest.importorskip("zarr", minversion="3")
numcodecs = pytest.importorskip("numcodecs")
codecs = zarr.codecs

DATA = np.random.default_rng(0).integers(0, 60000, (2, 64, 64)).astype("uint16")
COMPRESSORS = [
    (2, numcodecs.Blosc()),
    (2, numcodecs.Blosc("zstd", shuffle=2)),
    (2, numcodecs.Zstd()),
    (2, None),
    (3, codecs.BloscCodec()),
    (3, codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")),
    (3, codecs.ZstdCodec()),
    (3, codecs.GzipCodec()),
]


def written(folder, version, compressor, **options):
    """An image of two stains and the files of its chunks."""
    group = zarr.create_group(folder / "image.zarr", zarr_format=version)
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    multiscales = [{"axes": axes, "datasets": [{"path": "0"}]}]
    attributes = {"multiscales": multiscales}
    group.attrs.update({"ome": attributes} if version == 3 else attributes)
    array = group.create_array(
        "0", shape=DATA.shape, chunks=(1, 64, 48), dtype="uint16", compressors=compressor, **options
    )
    array[...] = DATA
    files = [path for path in (folder / "image.zarr" / "0").rglob("*") if path.is_file()]
    metadata = (".zarray", ".zattrs", "zarr.json")
    return str(folder / "image.zarr"), sorted(f for f in files if f.name not in metadata)


@pytest.mark.parametrize(("version", "compressor"), COMPRESSORS)
@pytest.mark.parametrize("missing", [1, 4, 100, -16, -1, 0])
def test_a_chunk_that_is_cut_off_is_noticed(tmp_path, version, compressor, missing):
    image, chunks = written(tmp_path, version, compressor)
    assert len(chunks) == 4
    np.testing.assert_array_equal(read_field(image, []), DATA)
    whole = chunks[-1].read_bytes()
    chunks[-1].write_bytes(whole[: len(whole) - missing if missing > 0 else -missing])
    with pytest.raises(ImageError):
        read_field(image, [])


def test_a_chunk_of_another_stain_is_not_looked_at(tmp_path):
    image, chunks = written(tmp_path, 2, numcodecs.Blosc())
    chunks[-1].write_bytes(b"")
    attributes = zarr.open_group(image, mode="a").attrs
    attributes["omero"] = {"channels": [{"label": "DNA"}, {"label": "ER"}]}
    np.testing.assert_array_equal(read_field(image, ["DNA"]), DATA[:1])
    with pytest.raises(ImageError):
        read_field(image, ["ER"])


def test_chunks_in_shards_are_read(tmp_path):
    image, _ = written(tmp_path, 3, codecs.BloscCodec(), shards=(1, 64, 96))
    np.testing.assert_array_equal(read_field(image, []), DATA)
