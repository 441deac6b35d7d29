"""The CPU time of a process and all that it started, also of what has ended since."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

EVERY = 0.2  # seconds between two looks: what ends in between is known up to the last one


class ProcessTimes:
    """Looks at the CPU times of this process and its descendants while it is entered."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.looks = threading.Thread(target=self._look_on, daemon=True)
        self.lock = threading.Lock()
        self.seconds: dict[int, float] = {}

    def __enter__(self) -> ProcessTimes:
        self.looks.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.looks.join()

    def total(self) -> float:
        """Return the seconds of CPU that all of them have taken so far."""
        with self.lock:
            self.seconds.update(_seconds(os.getpid()))
            return sum(self.seconds.values())

    def _look_on(self) -> None:
        while not self.ended.wait(EVERY):
            self.total()


def _seconds(root: int) -> dict[int, float]:
    """Return the CPU seconds of a process and its living descendants, by process."""
    parents, seconds = {}, {}
    for pid, parent, own in _processes():
        parents[pid], seconds[pid] = parent, own
    return {pid: own for pid, own in seconds.items() if root in _line(pid, parents)}


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """Yield a process, its parent, and so on."""
    while pid in parents:
        yield pid
        pid = parents[pid]


def _processes() -> Iterator[tuple[int, int, float]]:
    """Yield number, parent's number and CPU seconds of every process, from Linux's `/proc`."""
    tick = os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it has just ended
            continue
        fields = text.rpartition(")")[2].split()  # after the name, which may hold anything
        yield int(stat.parent.name), int(fields[1]), (int(fields[11]) + int(fields[12])) / tick
