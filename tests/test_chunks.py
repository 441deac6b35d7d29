"""A batch is gone through in chunks, halved where memory runs out."""

import pytest

from captum_pcim import PCIMWarning
from captum_pcim.core.chunks import in_chunks, is_out_of_memory


def test_every_row_is_done_once_and_in_order():
    assert in_chunks(7, 3, lambda start, stop: (start, stop)) == [(0, 3), (3, 6), (6, 7)]


@pytest.mark.parametrize("n_rows", [2, 3, 7])
def test_chunks_are_halved_down_to_single_rows(n_rows):
    def one_at_a_time(start, stop):
        if stop - start > 1:
            raise MemoryError
        return start

    with pytest.warns(PCIMWarning, match=f"out of memory with {n_rows} images at once") as warned:
        assert in_chunks(n_rows, 100, one_at_a_time) == list(range(n_rows))
    assert len(warned) == 1


def test_a_single_row_that_does_not_fit_raises_what_the_work_raised():
    def never(start, stop):
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        in_chunks(1, 4, never)


def test_other_errors_are_not_tried_again():
    tried = []

    def broken(start, stop):
        tried.append((start, stop))
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        in_chunks(4, 4, broken)
    assert tried == [(0, 4)]


def test_of_two_rows_that_do_not_fit_each_is_tried_alone():
    tried = []

    def work(start, stop):
        tried.append((start, stop))
        if stop - start > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return start

    with pytest.warns(PCIMWarning, match="2 images at once; going on with 1 "):
        assert in_chunks(2, 2, work) == [0, 1]
    assert tried == [(0, 2), (0, 1), (1, 2)]


def test_a_smaller_chunk_is_kept_for_the_rows_that_follow():
    tried = []

    def work(start, stop):
        tried.append((start, stop))
        if stop - start > 3:
            raise MemoryError

    with pytest.warns(PCIMWarning, match="7 images at once; going on with 3 "):
        in_chunks(8, 7, work)
    assert tried == [(0, 7), (0, 3), (3, 6), (6, 8)]


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory."), True),
        (RuntimeError("not enough memory: you tried to allocate"), True),
        (RuntimeError("can't allocate memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDNN_STATUS_BAD_PARAM"), False),
        (ValueError("memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, is_memory):
    assert is_out_of_memory(error) == is_memory
