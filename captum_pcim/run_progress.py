"""How far a command's run over many images is, how fast, and how long it will take."""

from __future__ import annotations

import sys
import threading
from typing import TextIO

from tqdm import tqdm

EVERY = {True: 0.5, False: 60.0}  # seconds between two lines on a terminal, and elsewhere
FORMAT = (
    "{n_fmt}/{total_fmt} images ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left{postfix}"
)


class Progress(tqdm):
    """Counts finished images: on a terminal in one line, elsewhere in a line a minute.

    Args:
        total: Images to do in this run. Nothing is shown where there are none.
        stream: Where to write. Default: the error output.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        # Else tqdm makes a lock between processes, and Python tells of a leaked semaphore when this
        # one is killed.
        tqdm.set_lock(threading.RLock())
        stream = stream or sys.stderr
        terminal = stream.isatty()
        super().__init__(
            total=total,
            file=stream if terminal else _Lines(stream),
            disable=total == 0,
            unit=" images",
            mininterval=EVERY[terminal],
            miniters=1,  # tell the time at every image: their durations differ
            bar_format=FORMAT,
        )
        self.failed = 0

    def add(self, failed: bool) -> None:
        """Counts one image."""
        self.failed += failed
        if self.failed:
            self.set_postfix_str(f"{self.failed} failed", refresh=False)
        self.update()

    def leave_out(self) -> None:
        """Takes one image off those to do: an earlier run has done it."""
        self.total -= 1

    def close(self) -> None:
        """Says how the run ended, if there was anything to do."""
        self.leave = bool(self.total)
        super().close()


class _Lines:
    """A stream that gets each state of the line as a line of its own, as files of logs want."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self.stream.write(f"{line}\n")

    def flush(self) -> None:
        self.stream.flush()
