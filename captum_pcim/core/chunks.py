"""Going through a batch in chunks that fit into memory."""

from collections.abc import Callable
from typing import TypeVar

from captum_pcim.core.warn import warn

Result = TypeVar("Result")

_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def in_chunks(n_rows: int, chunk_size: int, work: Callable[[int, int], Result]) -> list[Result]:
    """Call `work(start, stop)` over all rows, halving the chunk when memory runs out.

    Args:
        n_rows (int): Number of rows.
        chunk_size (int): Most rows at once.
        work (Callable): Does the rows from start to stop. When it runs out of memory it is
            called again with half as many rows; a single row that does not fit raises.

    Returns:
        list: What `work` returned, in order.
    """
    results: list[Result] = []
    start, warned = 0, False
    while start < n_rows:
        stop = min(start + chunk_size, n_rows)
        try:
            results.append(work(start, stop))
        except (RuntimeError, MemoryError) as error:
            if stop - start == 1 or not is_out_of_memory(error):
                raise
        else:
            start = stop
            continue
        # Outside the except block the failed call's tensors are no longer held by its traceback.
        chunk_size = (stop - start) // 2
        if not warned:
            warn(
                f"internal_batch_size: out of memory with {stop - start} images at once; going on "
                f"with {chunk_size} (set internal_batch_size to choose)"
            )
            warned = True
    return results


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is the CPU's or the GPU's memory running out."""
    if isinstance(error, MemoryError):
        return True
    return any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY)
