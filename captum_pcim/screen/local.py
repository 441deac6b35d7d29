"""This machine's processes, or this very process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from tqdm import tqdm

from captum_pcim.screen.attempts import ATTEMPTS, WorkerError, sendable
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, PlateFields
from captum_pcim.screen.shard import Status, Worker, run_shard
from captum_pcim.screen.store import Store

Shard = Sequence[Key]
READY = "ready"
BEFORE_READY = (
    "before they had loaded the network: too little memory, or a script without "
    "\"if __name__ == '__main__'\", which every process runs again"
)


def run_local(
    shards: Sequence[Shard], config: ScreenConfig, plates: dict[str, PlateFields]
) -> Iterator[Status]:
    """Runs shards in ``config.run.workers`` processes; 0 means this very process.

    A process that dies, killed for its memory for example, is replaced. Its images are tried
    again one by one, and an image whose process dies :data:`ATTEMPTS` times is given up.

    Yields:
        One status per key.

    Raises:
        ModelError: The network cannot be loaded.
        StoreError: The results folder cannot be written.
        WorkerError: Processes die before they begin, or break.
    """
    if config.run.workers == 0:
        store = Store(config.output.path)
        worker = Worker(config, plates, store)
        yield from run_shard([key for shard in shards for key in shard], store, worker)
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
        with _interrupts_blocked():
            self.process.start()
        other.close()
        self.ready = False
        self.owed: dict[str, Key] = {}

    def give(self, shard: Shard) -> None:
        self.owed = {key.sha: key for key in shard}
        with contextlib.suppress(ConnectionError):  # it died idle; its silence is heard next
            self.connection.send(shard)


class _Crew:
    """Hands shards to processes and collects their statuses."""

    def __init__(
        self, config: ScreenConfig, plates: dict[str, PlateFields], shards: Sequence[Shard]
    ) -> None:
        self.config, self.plates = config, plates
        self.waiting = deque(shards)
        self.processes: list[_Process] = []
        self.deaths: Counter[str] = Counter()
        self.stillborn = 0

    def statuses(self) -> Iterator[Status]:
        while self.waiting or any(process.owed for process in self.processes):
            self._hand_out()
            busy = [process for process in self.processes if process.owed]
            ready = wait([process.connection for process in busy])
            for process in busy:
                if process.connection in ready:
                    yield from self._hear(process)

    def _hand_out(self) -> None:
        idle = [process for process in self.processes if not process.owed]
        while self.waiting and (idle or len(self.processes) < self.config.run.workers):
            if not idle:
                idle.append(_Process(self.config, self.plates))
                self.processes.append(idle[0])
            idle.pop().give(self.waiting.popleft())

    def _hear(self, process: _Process) -> Iterator[Status]:
        try:
            message = process.connection.recv()
        except (EOFError, OSError):  # it ended between two messages or within one
            yield from self._bury(process)
            return
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Status):
            del process.owed[message.sha]
            yield message
        else:
            process.ready, self.stillborn = True, 0

    def _bury(self, process: _Process) -> Iterator[Status]:
        process.process.join()
        self.processes.remove(process)
        ended = f"ended with exit code {process.process.exitcode}"
        if not process.ready:
            self.stillborn += 1
            self.waiting.appendleft(list(process.owed.values()))
            if self.stillborn == ATTEMPTS:
                raise WorkerError(f"{ATTEMPTS} processes in a row {ended} {BEFORE_READY}")
            return
        self.deaths.update(list(process.owed))
        for sha, key in process.owed.items():
            if len(process.owed) == 1 and self.deaths[sha] >= ATTEMPTS:
                yield Status(sha, f"its process {ended}, {ATTEMPTS} times")
            else:
                self.waiting.appendleft([key])

    def stop(self) -> None:
        """Ends the processes; what they were writing is lost, what they wrote is whole."""
        for process in self.processes:
            process.process.terminate()
        for process in self.processes:
            process.process.join()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Lets a child inherit deafness to Ctrl-C, which is the parent's to handle, from its start."""
    resource_tracker.ensure_running()  # else starting the child does it, and unblocks
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, config: ScreenConfig, plates: dict[str, PlateFields]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Else a bar of Captum's would make a lock between processes, and when this one is ended, with
    # nobody to remove it, Python would tell of a leaked semaphore.
    tqdm.set_lock(threading.RLock())
    try:
        store = Store(config.output.path)
        worker = Worker(config, plates, store)
        connection.send(READY)
        while True:
            for status in run_shard(connection.recv(), store, worker):
                connection.send(status)
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except Exception as error:
        connection.send(sendable(error))


def _end_with_parent() -> None:
    """Without this a killed parent's processes would go on until their shards are done."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
