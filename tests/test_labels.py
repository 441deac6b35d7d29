"""Label images: object numbers are kept exactly or refused, never guessed."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captum_pcim.images.labels import object_numbers, read_labels
from captum_pcim.images.read import ImageError

NUMBERS = np.array([[0, 1, 1], [2, 0, 3]])


GREY, PALETTE = 0, 3  # colour types of PNG


def png(numbers, depth, colour):
    """A PNG of a depth that Pillow does not write."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width = numbers.shape
    bits = np.unpackbits(numbers[..., None], axis=-1)[..., 8 - depth :].reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if colour == PALETTE else b""
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + data + chunk(b"IEND", b"")


def tiff(path, numbers, **options):
    tifffile.imwrite(path, numbers, **{"photometric": "minisblack", "metadata": None} | options)
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", ">u4", "i2", "i4", "i8", "f4", "f8"])
def test_whole_numbers_of_any_type_are_kept(tmp_path, dtype):
    largest = 100 if dtype[-1] == "1" else 30000 if dtype[-1] == "2" else 2**24 - 1
    numbers = NUMBERS.astype(dtype)
    numbers[1, 1] = largest
    read = read_labels(tiff(tmp_path / "a.tif", numbers))
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, numbers.astype(np.int64))


@given(st.integers(0, 2**53))
def test_a_number_up_to_two_to_the_53_is_exact(number):
    assert object_numbers(np.array([[number]], np.uint64)).item() == number


@pytest.mark.parametrize(
    ("number", "dtype"), [(2**53 + 1, "u8"), (2**53, "f8"), (2**24 + 1, "f4"), (2049, "f2")]
)
def test_a_number_that_was_or_would_be_rounded_is_refused(number, dtype):
    with pytest.raises(ImageError, match="too large to be exact"):
        object_numbers(np.array([[number]]).astype(dtype))


def test_a_palettes_indices_are_the_objects_not_its_colours(tmp_path):
    image = Image.fromarray(NUMBERS.astype(np.uint8)).convert("P")
    image.putpalette([9, 9, 9, 255, 0, 0, 255, 0, 0, 0, 0, 255])  # 1 and 2 look alike
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), NUMBERS)
    table = np.random.default_rng(0).integers(0, 65535, (3, 256), np.uint16)
    path = tiff(tmp_path / "a.tif", NUMBERS.astype(np.uint8), photometric="palette", colormap=table)
    np.testing.assert_array_equal(read_labels(path), NUMBERS)


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_grey_pngs_are_read_as_stored(tmp_path, mode):
    numbers = (NUMBERS > 0) if mode == "1" else NUMBERS.astype("u1" if mode == "L" else "u2")
    Image.fromarray(numbers).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), numbers.astype(np.int64))


@pytest.mark.parametrize("colour", [GREY, PALETTE])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_pngs_of_few_bits_hold_object_numbers_and_no_intensities(tmp_path, depth, colour):
    """Pillow stretches grey of 2 and 4 bits to 0..255, but not the indices of a palette."""
    largest = 2**depth - 1
    numbers = np.array([[0, 1, 1], [largest, 0, largest // 2]], np.uint8)
    (tmp_path / "a.png").write_bytes(png(numbers, depth, colour))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), numbers)


def test_colours_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"colours \(RGB\) do not tell object numbers"):
        read_labels(tmp_path / "a.png")
    path = tiff(tmp_path / "a.tif", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    with pytest.raises(ImageError, match="one channel, this one 3"):
        read_labels(path)


def test_a_jpeg_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="a JPEG changes object numbers"):
        read_labels(tmp_path / "a.jpg")
    path = tiff(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), compression="jpeg")
    with pytest.raises(ImageError, match="JPEG changes object numbers"):
        read_labels(path)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (np.array([[0, -1]], np.int16), "not negative, one is -1"),
        (np.array([[0, 1.5]], np.float32), "whole"),
        (np.array([[0, np.nan]], np.float32), "whole"),
    ],
)
def test_numbers_that_are_no_objects_are_refused(tmp_path, numbers, said):
    with pytest.raises(ImageError, match=said):
        read_labels(tiff(tmp_path / "a.tif", numbers))


@pytest.mark.parametrize(
    "options", [{"metadata": None}, {"imagej": True, "metadata": {"axes": "ZYX"}}]
)
def test_no_plane_of_a_stack_is_left_out_in_silence(tmp_path, options):
    planes = np.zeros((3, 2, 3), np.uint16)
    planes[0, 0, 0], planes[2, 1, 2] = 7, 9
    path = tiff(tmp_path / "a.tif", planes, **options)
    with pytest.raises(ImageError, match="planes along z: 1, 2, 3"):
        read_labels(path)
    for projection in ("max", "mean"):
        np.testing.assert_array_equal(read_labels(path, projection), planes.max(0))
    np.testing.assert_array_equal(read_labels(path, 3), planes[2])
