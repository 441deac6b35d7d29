"""Image files as folders hold them: found, read exactly, scaled, and never trusted."""

import io
import os
import random
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captum_pcim._errors import noting_warnings
from captum_pcim.images.folders import find_images
from captum_pcim.images.read import ImageError, Window, open_picture, read_image, scale


def pixels(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png(array, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"photometric": "minisblack"} | options)
    return stream.getvalue()


def write(path, data):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


GREY, DEEP, COLOUR = pixels((7, 5)), pixels((7, 5), np.uint16), pixels((7, 5, 3))
STAINS = pixels((3, 20, 24), np.uint16)
FLOATS = STAINS.astype(np.float32) / 7


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("8-bit.png", png(GREY), GREY[None]),
        ("16-bit.png", png(DEEP), DEEP[None]),
        ("colour.PNG", png(COLOUR), COLOUR.transpose(2, 0, 1)),
        ("8-bit.tif", tiff(GREY), GREY[None]),
        ("16-bit.tiff", tiff(DEEP), DEEP[None]),
        ("big-endian.tif", tiff(DEEP, byteorder=">"), DEEP[None]),
        ("compressed.tif", tiff(DEEP, compression="lzw"), DEEP[None]),
        ("tiled.tif", tiff(STAINS, tile=(16, 16), compression="zlib"), STAINS),
        ("big.tif", tiff(STAINS, bigtiff=True), STAINS),
        ("floats.tif", tiff(FLOATS), FLOATS),
        ("ome.tif", tiff(STAINS, ome=True, metadata={"axes": "CYX"}), STAINS),
        ("imagej.tif", tiff(STAINS, imagej=True, metadata={"axes": "CYX"}), STAINS),
        ("planar.tif", tiff(STAINS, planarconfig="separate"), STAINS),
        ("colour.tif", tiff(COLOUR, photometric="rgb"), COLOUR.transpose(2, 0, 1)),
    ],
)
def test_files_are_read_exactly(tmp_path, name, data, expected):
    read = read_image([write(tmp_path / name, data)])
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)


def test_jpegs_are_read_as_three_colours(tmp_path):
    flat = np.full((8, 8, 3), 128, np.uint8)
    read = read_image([write(tmp_path / "a.jpg", png(flat, "JPEG"))])
    np.testing.assert_array_equal(read, np.full((3, 8, 8), 128))


def test_the_alpha_channel_is_dropped(tmp_path):
    read = read_image([write(tmp_path / "a.png", png(pixels((7, 5, 4))))])
    np.testing.assert_array_equal(read, pixels((7, 5, 4))[..., :3].transpose(2, 0, 1))


def test_a_palette_is_resolved_to_its_colours(tmp_path):
    image = Image.fromarray(GREY % 4).convert("P")
    image.putpalette([0, 0, 0, 9, 8, 7, 50, 60, 70, 255, 255, 255])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80\xff\xff")
    colours = np.array([[0, 0, 0], [9, 8, 7], [50, 60, 70], [255, 255, 255]], np.uint8)
    expected = colours[np.asarray(image)].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image([tmp_path / "a.png"]), expected)


def test_a_palette_that_holds_grey_is_one_stain(tmp_path):
    image = Image.fromarray(GREY % 4).convert("P")
    image.putpalette([0, 0, 0, 9, 9, 9, 50, 50, 50, 255, 255, 255])
    image.save(tmp_path / "a.png")
    greys = np.array([0, 9, 50, 255], np.uint8)
    np.testing.assert_array_equal(read_image([tmp_path / "a.png"]), greys[GREY % 4][None])


def palette_tiff(indices, colours):
    """Of 8 bits; tifffile takes the colours as 16-bit numbers, as the file has them."""
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colours)] = np.array(colours, np.uint16).T * 257
    return tiff(indices, photometric="palette", colormap=table, metadata=None)


COLOURS = [[0, 0, 0], [9, 8, 7], [50, 60, 70], [255, 255, 255]]
ONE_BIT = GREY > 127


def paletted(indices, colours):
    image = Image.fromarray(indices).convert("P")
    image.putpalette([number for colour in colours for number in colour])
    return image


def png_of(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def png_of_four_bits(values):
    """Pillow reads such files but does not write them."""
    height, width = values.shape
    pairs = np.pad(values, ((0, 0), (0, width % 2))).reshape(height, -1, 2)
    packed = (pairs[..., 0] << 4 | pairs[..., 1]).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize(
    ("as_png", "as_tiff"),
    [
        (lambda: png(GREY), lambda: tiff(GREY)),
        (lambda: png(DEEP), lambda: tiff(DEEP)),
        (lambda: png(COLOUR), lambda: tiff(COLOUR, photometric="rgb")),
        (
            lambda: png(pixels((7, 5, 4))),
            lambda: tiff(pixels((7, 5, 4)), photometric="rgb", extrasamples=["unassalpha"]),
        ),
        (
            lambda: png(pixels((7, 5, 2))),
            lambda: tiff(pixels((7, 5, 2)), planarconfig="contig", extrasamples=["unassalpha"]),
        ),
        (
            lambda: png_of(paletted(GREY % 4, COLOURS)),
            lambda: palette_tiff(GREY % 4, COLOURS),
        ),
        (lambda: png_of(Image.fromarray(ONE_BIT)), lambda: tiff(ONE_BIT)),
        (
            lambda: png_of(Image.fromarray(ONE_BIT)),
            lambda: tiff(~ONE_BIT, photometric="miniswhite"),
        ),
        (lambda: png(GREY), lambda: tiff(255 - GREY, photometric="miniswhite")),
        (
            lambda: png_of_four_bits(GREY // 16),
            lambda: tiff(GREY // 16, bitspersample=4),
        ),
        (
            lambda: png(DEEP >> 4),
            lambda: tiff(4095 - (DEEP >> 4), bitspersample=12, photometric="miniswhite"),
        ),
    ],
    ids=["grey", "16-bit", "rgb", "rgba", "grey-alpha", "palette", "1-bit", "1-bit-inverse",
         "inverse", "4-bit", "12-bit-inverse"],
)  # fmt: skip
def test_a_picture_is_the_same_as_tiff_and_as_png(tmp_path, as_png, as_tiff):
    one = read_image([write(tmp_path / "a.png", as_png())])
    other = read_image([write(tmp_path / "a.tif", as_tiff())])
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


PLANES = pixels((2, 3, 4, 20, 24), np.uint16)  # T, Z, C, Y, X


def with_axes(kind, axes):
    """A file of the planes that its axes have, in the order in which the program writes them."""
    order = "TZCYX"
    index = tuple(slice(None) if axis in axes else 0 for axis in order)
    kept = [axis for axis in order if axis in axes]
    data = np.transpose(PLANES[index], [kept.index(axis) for axis in axes])
    if kind == "ome":
        return tiff(data, ome=True, metadata={"axes": axes})
    if kind == "imagej":
        return tiff(data, imagej=True, metadata={"axes": axes})
    return tiff(data, metadata={"axes": axes})


AXES = [
    ("ome", "CZYX"), ("ome", "ZCYX"), ("ome", "TCZYX"), ("ome", "ZYX"), ("ome", "TYX"),
    ("imagej", "ZCYX"), ("imagej", "TZCYX"), ("imagej", "ZYX"), ("imagej", "TYX"),
    ("shaped", "ZYX"), ("shaped", "TCYX"), ("shaped", "ZCYX"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "axes"), AXES)
def test_a_stack_is_never_taken_for_stains(tmp_path, kind, axes):
    path = write(tmp_path / "a.tif", with_axes(kind, axes))
    what = "planes along z: 1, 2, 3" if "Z" in axes else "time points: 1, 2"
    with pytest.raises(ImageError, match=what):
        read_image([path])


@pytest.mark.parametrize(("kind", "axes"), AXES)
@pytest.mark.parametrize("z", [2, "max", "mean"])
def test_the_plane_and_the_time_point_that_are_asked_for_are_read(tmp_path, kind, axes, z):
    path = write(tmp_path / "a.tif", with_axes(kind, axes))
    stack = PLANES[1 if "T" in axes else 0][:, : 4 if "C" in axes else 1]
    stack = stack if "Z" in axes else stack[:1]
    expected = {
        2: lambda: stack[1],
        "max": lambda: stack.max(0),
        "mean": lambda: np.rint(stack.mean(0)).astype(np.uint16),
    }[z if "Z" in axes else "max"]()
    read = read_image([path], z=z if "Z" in axes else None, t=2 if "T" in axes else None)
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("number", [4, 99])
def test_a_plane_that_is_not_there_is_named_with_those_that_are(tmp_path, number):
    path = write(tmp_path / "a.tif", with_axes("imagej", "ZYX"))
    with pytest.raises(ImageError, match=f"no plane {number} along z; there are 1, 2, 3"):
        read_image([path], z=number)


def test_a_stack_of_one_directory_is_read_plane_by_plane(tmp_path):
    """As ImageJ writes what is larger than 4 GB."""
    data = tiff(PLANES[0].transpose(1, 0, 2, 3)[0], imagej=True, metadata={"axes": "ZYX"})
    stream = io.BytesIO(data)
    with tifffile.TiffFile(stream) as file:
        first, offset = file.pages[0], file.pages[0].offset
        n_entries = struct.unpack(file.byteorder + "H", data[offset : offset + 2])[0]
        start = first.dataoffsets[0]
    link = offset + 2 + 12 * n_entries
    whole = bytearray(data)
    whole[link : link + 4] = bytes(4)  # no directory follows
    assert start > link
    path = write(tmp_path / "a.tif", bytes(whole))
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    np.testing.assert_array_equal(read_image([path], z=3), PLANES[0, 2, :1])
    write(path, bytes(whole[: start + 20 * 24 * 2 * 2]))
    with pytest.raises(ImageError, match="ends before the last plane"):
        read_image([path], z=1)


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", ">u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_numbers_of_any_type_are_read_as_stored(tmp_path, dtype, bigtiff):
    numbers = (DEEP.astype(int) % 100 - (0 if "u" in dtype else 50)).astype(dtype)
    read = read_image([write(tmp_path / "a.tif", tiff(numbers, bigtiff=bigtiff))])
    assert read.dtype.newbyteorder("=") == numbers.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read[0], numbers)


def test_pages_without_axes_are_stains(tmp_path):
    path = write(tmp_path / "a.tif", tiff(STAINS, metadata=None))
    np.testing.assert_array_equal(read_image([path]), STAINS)


def test_pages_without_axes_are_planes_where_the_file_shows_one_stain(tmp_path):
    path = write(tmp_path / "a.tif", tiff(STAINS, metadata=None))
    with pytest.raises(ImageError, match="planes along z: 1, 2, 3"):
        read_image([path], one_stain=True)
    np.testing.assert_array_equal(read_image([path], z="max")[0], STAINS.max(0))


@pytest.mark.parametrize("axes", ["QZYX", "IZYX"])
def test_pages_without_a_meaning_are_stains_beside_planes_that_have_one(tmp_path, axes):
    stacks = PLANES[0].transpose(1, 0, 2, 3)
    path = write(tmp_path / "a.tif", tiff(stacks, metadata={"axes": axes}))
    np.testing.assert_array_equal(read_image([path], z=2), stacks[:, 1])


def test_pages_in_colour_without_axes_are_planes(tmp_path):
    pages = pixels((2, 7, 5, 3))
    path = write(tmp_path / "a.tif", tiff(pages, photometric="rgb", metadata=None))
    with pytest.raises(ImageError, match="planes along z: 1, 2"):
        read_image([path])
    np.testing.assert_array_equal(read_image([path], z=2), pages[1].transpose(2, 0, 1))


OME_OF_TWO = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="24" SizeY="20" SizeC="2" '
    'SizeZ="1" SizeT="1"><TiffData/></Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    "description",
    ["ImageJ=1.53t\nimages=2\nchannels=2\n", '{"shape": [3, 10, 48], "axes": "CYX"}', OME_OF_TWO],
)
def test_pages_of_which_the_description_says_nothing_are_never_dropped(tmp_path, description):
    data = tiff(STAINS, description=description, metadata=None)
    with pytest.raises(ImageError, match=r"description tells of \d pages, the file has 3"):
        read_image([write(tmp_path / "a.tif", data)])


def test_channels_last_are_stains(tmp_path):
    image = pixels((7, 5, 6), np.uint16)
    path = write(tmp_path / "a.tif", tiff(image, planarconfig="contig"))
    np.testing.assert_array_equal(read_image([path]), image.transpose(2, 0, 1))


def test_channels_are_taken_by_their_names(tmp_path):
    for name, options in (
        ("ome", {"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": list("abc")}}}),
        ("imagej", {"imagej": True, "metadata": {"axes": "CYX", "Labels": list("abc")}}),
    ):
        path = write(tmp_path / f"{name}.tif", tiff(STAINS, **options))
        read = read_image([path], channels=["c", "a"])
        np.testing.assert_array_equal(read, STAINS[[2, 0]])


def imagej(path, labels):
    """An ImageJ stack of the three stains, with labels of its slices."""
    return write(path, tiff(STAINS, imagej=True, metadata={"axes": "CYX", "Labels": labels}))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["ER", "DNA", "actin"], "no channel AGP; the image has"),
        (["ER", "DNA", "DNA"], "no channel AGP; the image has"),
        (["ER", "AGP", "dapi"], "no channel DNA; the image has"),
        (["A01_ER.tif", "A01_DNA.tif", "A01_AGP.tif"], "channel DNA would be number 1 in order"),
        (["c:1/3 - er", "c:2/3 - agp", "c:3/3 - x"], "channel ER would be number 2 in order"),
    ],
)
def test_labels_of_which_some_fit_are_never_taken_in_order(tmp_path, labels, said):
    with pytest.raises(ImageError, match=said):
        read_image([imagej(tmp_path / "a.tif", labels)], channels=["DNA", "ER", "AGP"])


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["ER", "DNA", "agp"], [1, 0, 2]),
        (["agp", "Er", "dna"], [2, 1, 0]),
        (["slice 1", "slice 2", "slice 3"], [0, 1, 2]),
        (["A01_DNA.tif", "A01_ER.tif", "A01_AGP.tif"], [0, 1, 2]),
        (["c:1/3 - x", "c:2/3 - x", "c:3/3 - x"], [0, 1, 2]),
    ],
)
def test_labels_are_names_in_any_case_and_of_no_meaning_where_none_fits(tmp_path, labels, order):
    path = imagej(tmp_path / "a.tif", labels)
    read = read_image([path], channels=["DNA", "ER", "AGP"])
    np.testing.assert_array_equal(read, STAINS[order])


def test_names_that_differ_in_case_alone_are_told_apart(tmp_path):
    data = tiff(STAINS, ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["a", "A", "b"]}})
    path = write(tmp_path / "a.tif", data)
    read = read_image([path], channels=["A", "a"])
    np.testing.assert_array_equal(read, STAINS[[1, 0]])
    np.testing.assert_array_equal(read_image([path], channels=["B"]), STAINS[[2]])
    again = write(tmp_path / "b.tif", data.replace(b'Name="b"', b'Name="a"'))
    with pytest.raises(ImageError, match="more than one channel a"):
        read_image([again], channels=["a"])


def test_smaller_copies_are_no_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(DEEP, photometric="minisblack", metadata=None)
        file.write(DEEP[::2, ::2].copy(), photometric="minisblack", metadata=None, subfiletype=1)
    np.testing.assert_array_equal(read_image([tmp_path / "a.tif"]), DEEP[None])


def test_one_file_of_an_ome_set_with_several_pages_is_refused(tmp_path):
    blocks = "".join(
        f'<TiffData FirstZ="{2 * i}" IFD="0" PlaneCount="2">'
        f'<UUID FileName="{name}">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate(("a.ome.tif", "b.ome.tif"))
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="24" SizeY="20" SizeC="1" SizeZ="4" SizeT="1">{blocks}</Pixels></Image></OME>'
    )
    path = write(tmp_path / "a.ome.tif", tiff(STAINS[:2], description=xml, metadata=None))
    with pytest.raises(ImageError, match="one of several files"):
        read_image([path])


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "jpeg"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_cut_strip_inside_a_file_is_never_filled_up(tmp_path, compression, left):
    image = np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))
    data = bytearray(tiff(image, compression=compression, rowsperstrip=16, metadata=None))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        tag, sizes, order = page.tags["StripByteCounts"], page.databytecounts, file.byteorder
    width = {3: 2, 4: 4}[int(tag.dtype)]
    place = tag.valueoffset + 2 * width
    data[place : place + width] = int(sizes[2] * left).to_bytes(
        width, "little" if order == "<" else "big"
    )
    with pytest.raises(ImageError, match="cannot be read"):
        read_image([write(tmp_path / "a.tif", bytes(data))])


@pytest.mark.parametrize("compression", ["jpegxr", "lzma", "png", "jpeg2000"])
@pytest.mark.parametrize("left", [0.6, 0.98, 0.999])
def test_a_cut_file_is_refused_even_where_a_decoder_makes_noise_of_it(tmp_path, compression, left):
    pytest.importorskip("imagecodecs")
    whole = tiff(DEEP, compression=compression, metadata=None)
    write(tmp_path / "a.tif", whole)
    assert read_image([tmp_path / "a.tif"]).shape == (1, *DEEP.shape)
    write(tmp_path / "a.tif", whole[: int(len(whole) * left)])
    with pytest.raises(ImageError, match="cannot be read"):
        read_image([tmp_path / "a.tif"])


@pytest.mark.parametrize("side, told", [(2**15, "DecompressionBomb"), (10_000, "Pillow's")])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_claims_an_absurd_size_is_refused_unread(side, told, tmp_path):
    header = b"\x89PNG\r\n\x1a\n" + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    )
    with pytest.raises(ImageError, match=told):
        read_image([write(tmp_path / "a.png", header + png_chunk(b"IDAT", b""))])


def test_reading_leaves_the_warnings_of_other_threads_alone():
    """An image may be opened before, and closed after, another thread begins to note warnings."""
    opened = open_picture(png(GREY))
    opened.__enter__()
    with pytest.warns(UserWarning, match="told"), noting_warnings() as notes:
        opened.__exit__(None, None, None)
        warnings.warn("told", UserWarning, stacklevel=1)
    assert [str(note) for note in notes] == ["told"]


def test_files_of_stains_are_stacked_in_order(tmp_path):
    paths = [write(tmp_path / f"{i}.tif", tiff(STAINS[i])) for i in (2, 0)]
    np.testing.assert_array_equal(read_image(paths), STAINS[[2, 0]])


def test_stains_of_different_sizes_are_refused(tmp_path):
    paths = [write(tmp_path / "a.png", png(GREY)), write(tmp_path / "b.png", png(GREY[:3]))]
    with pytest.raises(ImageError, match=r"differ: 7x5 uint8, 3x5 uint8"):
        read_image(paths)


def test_a_stain_in_colour_is_refused(tmp_path):
    paths = [write(tmp_path / "a.png", png(GREY)), write(tmp_path / "b.png", png(COLOUR))]
    with pytest.raises(ImageError, match="must be grey"):
        read_image(paths)


def cut(data, fraction=0.8):
    return data[: int(len(data) * fraction)]


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_16_bit_colour():
    """A valid one: header, compressed rows, end; Pillow does not write them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    rows = png_chunk(b"IDAT", zlib.compress(bytes(2 * (1 + 2 * 6))))
    return b"\x89PNG\r\n\x1a\n" + header + rows + png_chunk(b"IEND", b"")


def animated(frames):
    stream = io.BytesIO()
    first, *further = map(Image.fromarray, frames)
    first.save(stream, "PNG", save_all=True, append_images=further)
    return stream.getvalue()


def page_by_page(planes):
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        for plane in planes:
            file.write(plane, photometric="minisblack", contiguous=False)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.png", b"", "not a PNG or JPEG"),
        ("text.png", b"not an image", "not a PNG or JPEG"),
        ("gif.png", png(GREY, "GIF"), "not a PNG or JPEG"),
        ("cut.png", cut(png(pixels((64, 64)))), "cannot be read"),
        ("cut.jpg", cut(png(pixels((64, 64, 3)), "JPEG")), "cannot be read"),
        ("deep-colour.png", png_16_bit_colour(), "16-bit colour"),
        ("animated.png", animated([GREY, 255 - GREY]), "2 pictures in one PNG"),
        ("empty.tif", b"", "cannot be read"),
        ("text.tif", b"not an image", "cannot be read"),
        ("cut.tif", cut(tiff(pixels((64, 64)))), "cannot be read"),
        (
            "cut-pages.tif",
            page_by_page(STAINS)[: len(page_by_page(STAINS[:1]))],
            "ends before its last page",
        ),
        ("nan.tif", tiff(np.full((4, 4), np.nan, np.float32)), "not finite"),
        ("ycbcr.tif", tiff(COLOUR, photometric="ycbcr"), "neither RGB nor stains"),
        ("white.tif", tiff(np.ones((4, 4), "f4"), photometric="miniswhite"), "has no white"),
        ("signed-white.tif", tiff(np.ones((4, 4), "i2"), photometric="miniswhite"), "has no white"),
        ("complex.tif", tiff(np.ones((4, 4), np.complex64)), "complex64"),
        ("volume.tif", tiff(pixels((16, 16, 16)), volumetric=True, tile=(16, 16, 16)), "flat"),
    ],
)
def test_unusable_files_are_refused_with_the_reason(tmp_path, name, data, message):
    with pytest.raises(ImageError, match=message):
        read_image([write(tmp_path / name, data)])


@pytest.mark.parametrize(
    ("second", "compression", "told"),
    [
        (GREY[:3], None, "3x5 uint8, compression NONE; 7x5 uint8, compression NONE"),
        (DEEP, None, "7x5 uint16, compression NONE; 7x5 uint8, compression NONE"),
        (GREY, "lzw", "7x5 uint8, compression LZW; 7x5 uint8, compression NONE"),
    ],
)
def test_pages_that_differ_are_refused_with_what_differs(tmp_path, second, compression, told):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY, photometric="minisblack")
        file.write(second, photometric="minisblack", compression=compression)
    with pytest.raises(ImageError, match=f"the pages differ: {told}"):
        read_image([tmp_path / "a.tif"])


def test_an_ome_tiff_does_not_open_the_files_it_names(tmp_path):
    planes = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate(("a.ome.tif", "other.ome.tif"))
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="24" SizeY="20" SizeC="2" SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    write(tmp_path / "a.ome.tif", tiff(STAINS[0], description=xml, metadata=None))
    other = xml.replace('UUID="urn:uuid:0"', 'UUID="urn:uuid:1"')
    write(tmp_path / "other.ome.tif", tiff(STAINS[1], description=other, metadata=None))
    assert len(tifffile.imread(tmp_path / "a.ome.tif")) == 2  # a reader that follows names
    np.testing.assert_array_equal(read_image([tmp_path / "a.ome.tif"]), STAINS[:1])


SEEDS = {
    "8.png": png(pixels((24, 20))),
    "16.png": png(pixels((24, 20), np.uint16)),
    "3.jpg": png(pixels((24, 20, 3)), "JPEG"),
    "1.tif": tiff(pixels((24, 20), np.uint16)),
    "3.tif": tiff(STAINS, compression="zlib"),
    "t.tif": tiff(pixels((32, 32), np.uint16), tile=(16, 16), compression="lzw"),
}


def damage(data, dice):
    """Cut the bytes, change some, or put some in."""
    position, noise = dice.randrange(len(data)), dice.randbytes(dice.randint(1, 8))
    return dice.choice(
        [
            data[:position],
            data[:position] + noise + data[position + len(noise) :],
            data[:position] + noise + data[position:],
        ]
    )


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_are_read_or_refused_with_the_reason(tmp_path, capfd, name):
    dice = random.Random(0)
    for _ in range(100):
        path = write(tmp_path / name, damage(SEEDS[name], dice))
        try:
            assert read_image([path]).ndim == 3
        except ImageError as error:
            assert str(error)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", SEEDS)
def test_a_truncated_file_never_gives_other_pixels(tmp_path, name):
    whole = read_image([write(tmp_path / name, SEEDS[name])])
    for length in range(0, len(SEEDS[name]), 1 + len(SEEDS[name]) // 60):
        path = write(tmp_path / name, SEEDS[name][:length])
        try:
            np.testing.assert_array_equal(read_image([path]), whole)
        except ImageError:
            continue


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16])
def test_integers_are_divided_by_the_largest_of_their_type(dtype):
    largest = np.iinfo(dtype).max
    scaled = scale(np.array([[[0, largest // 2, largest]]], dtype))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[[0, (largest // 2) / largest, 1]]], rtol=1e-6)


def test_floats_are_kept():
    np.testing.assert_array_equal(scale(FLOATS), FLOATS)


@given(st.integers(0, 60000), st.integers(1, 5000), st.integers(0, 65535))
def test_a_window_maps_its_ends_to_0_and_1(low, width, value):
    scaled = scale(np.full((1, 1, 1), value, np.uint16), [Window(low, low + width)])
    assert scaled.item() == pytest.approx(min(max((value - low) / width, 0), 1))


def test_each_stain_has_its_window():
    image = np.full((2, 1, 1), 50, np.uint8)
    scaled = scale(image, [Window(0, 100), Window(0, 200)])
    np.testing.assert_allclose(scaled.ravel(), [0.5, 0.25])


def test_percentiles_are_those_of_each_stain():
    image = np.stack([np.arange(101), 2 * np.arange(101)])[:, None].astype(np.uint16)
    scaled = scale(image, [Window.parse("10%", "90%")])
    np.testing.assert_allclose(scaled[0, 0, [10, 50, 90]], [0, 0.5, 1])
    np.testing.assert_allclose(scaled[1], scaled[0])


def test_as_many_windows_as_stains_are_needed():
    with pytest.raises(ImageError, match="2 windows for 3 stains"):
        scale(STAINS, [Window(0, 1), Window(0, 1)])


def test_percentiles_of_a_flat_stain_are_refused():
    with pytest.raises(ImageError, match="both percentiles"):
        scale(np.ones((1, 4, 4), np.uint8), [Window(1, 99, percent=True)])


@pytest.mark.parametrize(
    "ends",
    [
        ("5", "5"),
        ("9", "1"),
        ("nan", "1"),
        ("a", "b"),
        ("1%", "9"),
        ("1%", "101%"),
        ("0.01%", "0.99%"),
    ],
)
def test_impossible_windows_are_refused(ends):
    with pytest.raises(ValueError, match="window"):
        Window.parse(*ends)


def problems(images):
    return {image.name: image.problem for image in images}


def test_images_of_all_subfolders_are_found_in_order(tmp_path):
    for name in ("b.png", "a.tif", "well/c.JPG"):
        write(tmp_path / name, b"")
    assert [image.name for image in find_images(tmp_path)] == ["a.tif", "b.png", "well/c.JPG"]


def test_the_out_folder_is_left_out(tmp_path):
    write(tmp_path / "a.png", b"")
    write(tmp_path / "out" / "b.png", b"")
    assert problems(find_images(tmp_path, exclude=tmp_path / "out")) == {"a.png": None}


def test_other_files_are_told_apart(tmp_path):
    write(tmp_path / "notes.txt", b"")
    (image,) = find_images(tmp_path)
    assert not image.is_image and "not the name of an image" in image.problem


def test_links_are_followed_inside_the_folder_only(tmp_path):
    folder = tmp_path / "images"
    write(folder / "a.png", b"")
    write(tmp_path / "secret.png", b"")
    (folder / "in.png").symlink_to("a.png")
    (folder / "out.png").symlink_to("../secret.png")
    (folder / "nowhere.png").symlink_to("nothing")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "folder").symlink_to(tmp_path)
    found = problems(find_images(folder))
    assert found["a.png"] is None and found["in.png"] is None
    assert "out of the folder" in found["out.png"]
    assert "cannot be read" in found["nowhere.png"]
    assert "cannot be read" in found["loop.png"]
    assert "link to a folder" in found["folder"]
    assert len(found) == 6


def test_a_folder_that_is_linked_inside_is_read_once(tmp_path):
    write(tmp_path / "real" / "a.png", b"")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    assert problems(find_images(tmp_path)) == {"real/a.png": None}


@pytest.mark.parametrize(
    "name",
    ["._a.png", ".git/b.png", ".snapshot/c.tif", "d_thumb4BFD4018-E675-475E.tif", "e_thumb.tif"],
)
def test_hidden_files_and_folders_and_thumbnails_are_passed_over(tmp_path, name):
    write(tmp_path / name, b"")
    (found,) = find_images(tmp_path)
    assert not found.is_image and found.problem in ("hidden", "thumbnail")


@pytest.mark.parametrize(
    "written", [("manifest.json", "maps/a.png.npy", "overlays/a.png.png"),
                ("table.csv", "table.txt", "maps.png"),
                ("done/a/image.png", "failed/a.json", "shared/a.npz", "tmp/a")]
)  # fmt: skip
def test_pictures_that_the_commands_wrote_among_the_images_are_none(tmp_path, written):
    for name in ("a.png", *(f"results/{name}" for name in written)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, b"")
    images = [found.name for found in find_images(tmp_path) if found.is_image]
    assert images == ["a.png"]


def test_what_is_not_a_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert problems(find_images(tmp_path)) == {"a.png": "not a regular file"}


def test_stains_are_grouped_by_the_pattern(tmp_path):
    for name in ("x/A01_w1.tif", "x/A01_w2.tif", "x/A02_w2.tif", "x/thumb.tif"):
        write(tmp_path / name, b"")
    found = find_images(tmp_path, ["{image}_w{stain}.tif", "2", "1"])
    assert problems(found) == {
        "x/A01": None,
        "x/A02": "no file for stain 1",
        "x/thumb.tif": "does not match the stains' pattern",
    }
    assert [path.name for path in found[0].paths] == ["A01_w2.tif", "A01_w1.tif"]


@pytest.mark.parametrize(
    "stains",
    [
        ["{image}.tif", "1"],
        ["{stain}.tif", "1"],
        ["{image}/{stain}.tif", "1"],
        ["{image}_{stain}.tif"],
        ["{image}_{stain}.tif", "1", "1"],
    ],
)
def test_impossible_patterns_are_refused(tmp_path, stains):
    with pytest.raises(ValueError, match="stains"):
        find_images(tmp_path, stains)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"images: expected a folder, got .*missing"):
        find_images(tmp_path / "missing")
