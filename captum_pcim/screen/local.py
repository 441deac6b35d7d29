"""This machine's processes, or this very process."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, PlateFields
from captum_pcim.screen.shard import Status, Worker, run_shard
from captum_pcim.screen.store import Store

Shard = Sequence[Key]


def run_local(
    shards: Sequence[Shard], config: ScreenConfig, plates: dict[str, PlateFields]
) -> Iterator[Status]:
    """Runs shards in ``config.run.workers`` processes; a single worker is this process.

    A process that dies, killed for its memory for example, is replaced. Its images are tried
    again one by one, and an image whose process dies again is given up.

    Yields:
        One status per key.

    Raises:
        StoreError: The results folder cannot be written.
    """
    if config.run.workers == 1:
        store = Store(config.output.path)
        worker = Worker(config, plates, store)
        for shard in shards:
            yield from run_shard(shard, store, worker)
        return
    crew = _Crew(config, plates, shards)
    try:
        yield from crew.statuses()
    finally:
        crew.stop()


class _Process:
    """A worker process and the keys that it still owes."""

    def __init__(self, config: ScreenConfig, plates: dict[str, PlateFields]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, config, plates), daemon=True)
        self.process.start()
        other.close()
        self.owed: dict[str, Key] = {}

    def give(self, shard: Shard) -> None:
        self.owed = {key.sha: key for key in shard}
        with contextlib.suppress(BrokenPipeError):  # it died idle; its silence is heard next
            self.connection.send(shard)


class _Crew:
    """Hands shards to processes and collects their statuses."""

    def __init__(
        self, config: ScreenConfig, plates: dict[str, PlateFields], shards: Sequence[Shard]
    ) -> None:
        self.config, self.plates = config, plates
        self.waiting = deque(shards)
        self.processes = [self._new() for _ in range(min(config.run.workers, len(shards)))]

    def _new(self) -> _Process:
        return _Process(self.config, self.plates)

    def statuses(self) -> Iterator[Status]:
        while self.waiting or any(process.owed for process in self.processes):
            self._hand_out()
            busy = [process for process in self.processes if process.owed]
            ready = wait([process.connection for process in busy])
            for process in busy:
                if process.connection in ready:
                    yield from self._hear(process)

    def _hand_out(self) -> None:
        for process in self.processes:
            if self.waiting and not process.owed:
                process.give(self.waiting.popleft())

    def _hear(self, process: _Process) -> Iterator[Status]:
        try:
            message = process.connection.recv()
        except (EOFError, ConnectionResetError):
            yield from self._bury(process)
            return
        if isinstance(message, BaseException):
            raise message
        del process.owed[message.sha]
        yield message

    def _bury(self, process: _Process) -> Iterator[Status]:
        process.process.join()
        self.processes[self.processes.index(process)] = self._new()
        owed = list(process.owed.values())
        if len(owed) > 1:
            self.waiting.extendleft([key] for key in owed)
            return
        for key in owed:
            yield Status(key.sha, f"its process ended with exit code {process.process.exitcode}")

    def stop(self) -> None:
        """Ends the processes; what they were writing is lost, what they wrote is whole."""
        for process in self.processes:
            process.process.terminate()
        for process in self.processes:
            process.process.join()


def _serve(connection: Connection, config: ScreenConfig, plates: dict[str, PlateFields]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        store = Store(config.output.path)
        worker = Worker(config, plates, store)
        while True:
            for status in run_shard(connection.recv(), store, worker):
                connection.send(status)
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except Exception as error:
        connection.send(error)
