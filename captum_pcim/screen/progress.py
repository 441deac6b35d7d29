"""How far a run is, how fast, and how long it will take: one line on a terminal, else nothing."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Counts finished images on a terminal.

    Args:
        total: Images to do in this run.
        stream: Where to draw; nothing is drawn if it is no terminal.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.count = self.failed = 0
        self.stream = stream or sys.stderr
        self.started = self.drawn = time.monotonic()

    def add(self, failed: bool) -> None:
        """Counts one image and redraws at most every half second."""
        self.count += 1
        self.failed += failed
        now = time.monotonic()
        if self.stream.isatty() and (now - self.drawn > 0.5 or self.count == self.total):
            self.drawn = now
            self.stream.write(f"\r\x1b[K{self.line(now - self.started)}")
            self.stream.flush()

    def close(self) -> None:
        """Ends the line."""
        if self.stream.isatty() and self.count:
            self.stream.write("\n")

    def line(self, seconds: float) -> str:
        """What is drawn after so many seconds."""
        rate = self.count / max(seconds, 1e-9)
        left = (self.total - self.count) / rate if rate else 0.0
        failed = f", {self.failed} failed" if self.failed else ""
        share = 100 * self.count / self.total if self.total else 100.0
        return (
            f"{self.count}/{self.total} images ({share:.0f} %){failed}, "
            f"{rate:.3g} images/s, {duration(left)} left"
        )


def duration(seconds: float) -> str:
    """Writes a time as ``45 s``, ``12 min``, ``3 h 20 min`` or ``2 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
