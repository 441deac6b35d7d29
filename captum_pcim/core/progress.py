"""One progress bar for all images of a call."""

from collections.abc import Callable
from typing import TypeVar

from captum_pcim._compat import progress
from captum_pcim.core.chunks import in_chunks

Result = TypeVar("Result")
Work = Callable[[int, int, Callable[..., object]], Result]


def chunks_with_progress(
    n_images: int, images_at_once: int, n_updates: int, work: Work[Result], shown: bool
) -> list[Result]:
    """Go through all images in chunks under one bar, which ends full.

    Args:
        n_images (int): Images in the call.
        images_at_once (int): Most images in a chunk.
        n_updates (int): Updates of each image, when none is saved.
        work (Callable): Explains the images from start to stop; calls its third argument with the
            updates made, 1 if none are given.
        shown (bool): Whether the bar is shown.
    """
    total = n_images * n_updates
    with progress(total=total, desc="PCIM attribution", disable=not shown) as bar:

        def work_and_tell(start: int, stop: int) -> Result:
            result = work(start, stop, lambda n=1: bar.update(n * (stop - start)))
            bar.update(stop * n_updates - bar.n)  # what was saved, or tried in vain
            return result

        try:
            return in_chunks(n_images, images_at_once, work_and_tell)
        except BaseException:
            bar.leave = False  # another bar may follow, without gradients
            raise
