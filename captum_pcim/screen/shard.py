"""The core of a screen: do the keys that are not done, one result or one reason for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from captum_pcim._errors import describe
from captum_pcim.cells.cell import CellResult
from captum_pcim.classifiers.files import load_model
from captum_pcim.explainer import Explainer, Explanation
from captum_pcim.screen.cells import explain_fields
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, PlateFields
from captum_pcim.screen.reading import FieldImage, Reader
from captum_pcim.screen.results import write_result
from captum_pcim.screen.store import Store, StoreError


@dataclass(frozen=True)
class Status:
    """What became of one image.

    Args:
        sha: Its key.
        reason: Why it failed; empty if it is done.
    """

    sha: str
    reason: str = ""


class Worker:
    """What a process needs to do keys; it is built once and loads the network once.

    Args:
        config: The screen.
        plates: Each plate's deciding fields.
        store: Where results go.
    """

    def __init__(self, config: ScreenConfig, plates: dict[str, PlateFields], store: Store) -> None:
        self.config = config
        self.read = Reader(config, plates, store)
        self.explainer = load_explainer(config)


def run_shard(keys: Sequence[Key], store: Store, worker: Worker) -> Iterator[Status]:
    """Does the keys that are not done; reads and writes go on while a batch is explained.

    It neither knows nor cares which engine calls it. An image that cannot be done does not stop
    the others; a results folder that cannot be written does, for going on would waste the work.

    Args:
        keys: The images.
        store: Where results go.
        worker: The reader and the network of this process.

    Yields:
        One status per key, when its result is on the disk.

    Raises:
        ImportError: A library that the images or the maps need is not installed.
        ModelError: The network does not fit the names of its classes.
        StoreError: The results folder cannot be written.
    """
    done = {key.sha for key in keys if store.done(key.sha, worker.config.wanted)}
    yield from map(Status, sorted(done))
    todo = [key for key in keys if key.sha not in done]
    size = worker.config.fields_at_once
    batches = [todo[start : start + size] for start in range(0, len(todo), size)]
    with ThreadPoolExecutor(max_workers=2) as aside:
        ahead = aside.submit(_read, batches[0] if batches else [], worker.read)
        behind: list[Future[Status]] = []
        for following in [*batches[1:], []]:
            samples = ahead.result()
            ahead = aside.submit(_read, following, worker.read)
            outcomes = list(_explain(samples, worker))
            yield from (written.result() for written in behind)
            behind = [aside.submit(_settle, *each, store, worker.config) for each in outcomes]
        yield from (written.result() for written in behind)


Loaded = list[tuple[Key, "FieldImage | Exception"]]
FieldFound = tuple[FieldImage, Explanation, "list[CellResult] | None"]
Outcome = tuple[Key, "FieldFound | Exception"]


def _read(keys: Sequence[Key], read: Reader) -> Loaded:
    loaded: Loaded = []
    for key in keys:
        try:
            loaded.append((key, read(key)))
        except (StoreError, ImportError):
            raise
        except Exception as error:
            loaded.append((key, error))
    return loaded


def _explain(loaded: Loaded, worker: Worker) -> Iterator[Outcome]:
    good = [(key, sample) for key, sample in loaded if isinstance(sample, FieldImage)]
    yield from ((key, error) for key, error in loaded if isinstance(error, Exception))
    explained = _explained([sample for _, sample in good], worker)
    for (key, sample), found in zip(good, explained, strict=True):
        yield key, found if isinstance(found, Exception) else (sample, *found)


def _explained(
    samples: Sequence[FieldImage], worker: Worker
) -> Iterator[tuple[Explanation, list[CellResult] | None] | Exception]:
    """Explains whole fields, or where the network takes crops their cells."""
    if worker.config.cells.size:
        yield from explain_fields(samples, worker.explainer, worker.config)
        return
    references = [sample.reference for sample in samples if sample.reference is not None]
    for found in worker.explainer.each([sample.inputs for sample in samples], references):
        yield found if isinstance(found, Exception) else (found, None)


def load_explainer(config: ScreenConfig) -> Explainer:
    """Loads the screen's network and sets up PCIM as the screen says."""
    torch.set_num_threads(config.run.threads)
    path, factory = config.model.path, config.model.factory
    device, settings = config.run.device, config.attribution
    network = (
        load_model(factory, path or None, device)
        if factory
        else load_model(path, device=device, trust=config.model.trust)
    )
    return Explainer(
        network,
        score=config.model.score,
        target=config.model.target_number,
        device=device,
        classes=config.model.classes,
        contrast=settings.contrast,
        options=settings.options(),
        arguments=settings.arguments(),
    )


def _settle(
    key: Key,
    outcome: FieldFound | Exception,
    store: Store,
    config: ScreenConfig,
) -> Status:
    if isinstance(outcome, Exception):
        return Status(key.sha, describe(outcome))
    try:
        write_result(store, key, *outcome, config)
    except (StoreError, ImportError):
        raise
    except Exception as error:
        return Status(key.sha, describe(error))
    return Status(key.sha)
