"""Files are whole or absent."""

import contextlib
import resource

import pytest

from captum_pcim._files import remove_leftovers, write_bytes


@contextlib.contextmanager
def full_disk():
    """No file may grow above 1000 bytes: a write fails half way, as on a full disk.

    Only inside the block, because the limit also holds for what pytest prints into a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_is_replaced(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_half_way_leaves_the_old_file_alone(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    with full_disk(), pytest.raises(OSError, match="File too large") as raised:
        write_bytes(tmp_path / "a", bytes(5000))
    assert raised.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_and_nothing_else_are_removed(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in (".tmp-1-a", "folder/.tmp-2-b", "folder/tmp", "kept"):
        (tmp_path / name).write_bytes(b"")
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "tmp", "kept"}
