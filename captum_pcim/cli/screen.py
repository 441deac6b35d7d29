"""``captum-pcim screen``."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from captum_pcim.classifiers.tables import notes_of_network
from captum_pcim.cli.failures import in_few_lines

if TYPE_CHECKING:
    from captum_pcim.screen.config import ScreenConfig
    from captum_pcim.screen.plate import Remark
    from captum_pcim.screen.run import Summary

FAILED, REFUSED, STOPPED = 1, 2, 130


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds ``screen`` to the commands of ``captum-pcim``."""
    parser = subparsers.add_parser(
        "screen",
        help="explain a plate or a whole screen; run it again to resume",
        description="Explains what is missing of a screen, then writes its tables and overview.",
        epilog="Exit status: 0 all images done, 1 some failed or lack what was asked for, 2 "
        "nothing could be done, "
        "130 stopped; running the same command again resumes.",
    )
    parser.add_argument("--config", required=True, metavar="TOML", help="what the screen is")
    parser.add_argument("--engine", choices=("local", "ray"), help="instead of run.engine")
    parser.add_argument("--workers", type=int, metavar="N", help="instead of run.workers")
    parser.add_argument("--device", help="instead of run.device")
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(0, 1),
        metavar="I/N",
        help="do only the I-th of N parts, I from 0, as one job of a SLURM array",
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="compute nothing, only say what would be done and what is missing",
    )
    parser.add_argument(
        "--collect",
        action="store_true",
        help="compute nothing, only write tables and overview of what is done",
    )
    parser.add_argument(
        "--prune",
        nargs="*",
        metavar="TOML",
        help="compute nothing, remove results that neither --config lists nor any of these, which "
        "have the same results folder",
    )
    parser.set_defaults(run=main)


def main(arguments: argparse.Namespace) -> int:
    """Runs a screen and returns the exit status."""
    try:
        return _run(arguments)
    except ImportError as error:
        _say(str(error))
        return REFUSED


def _run(arguments: argparse.Namespace) -> int:
    from captum_pcim.classifiers.files import ModelError
    from captum_pcim.screen.attempts import WorkerError
    from captum_pcim.screen.config import ConfigError, ScreenConfig
    from captum_pcim.screen.run import run_screen
    from captum_pcim.screen.store import StoreError

    signal.signal(signal.SIGTERM, _stop)  # how SLURM and friends ask a job to end
    try:
        config = ScreenConfig.from_toml(arguments.config)
        changed = {
            name: getattr(arguments, name)
            for name in ("engine", "workers", "device")
            if getattr(arguments, name) is not None
        }
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, **changed))
        if arguments.list:
            return _list(config)
        if arguments.prune is not None:
            return _prune([config, *map(ScreenConfig.from_toml, arguments.prune)])
        if arguments.collect:
            return _collect(config)
        return _report(run_screen(config, arguments.shard), config.output.path)
    except KeyboardInterrupt:
        _say("stopped; what is done is kept. Run the same command again to resume.")
        return STOPPED
    except (StoreError, WorkerError) as error:
        _say(f"{error}\nWhat is done is kept. Run the same command again to resume.")
        return REFUSED
    except (ConfigError, ModelError, OSError) as error:
        _say(str(error))
        return REFUSED


def _report(summary: Summary, folder: str) -> int:
    from captum_pcim.screen.plate import UNREADABLE

    failures = ((str(key.field), reason) for key, reason in summary.failures.items())
    for line in in_few_lines(failures):
        _say(line)
    for remark in summary.remarks:
        if not remark.what.startswith(UNREADABLE):  # these are failures, told above
            _say(str(remark))
    done = summary.total - len(summary.failures)
    print(
        f"{done} of {summary.total} images done, {summary.computed} in this run, "
        f"{len(summary.failures)} failed: {folder}"
    )
    for note in notes_of_network(summary.notes):
        _say(note)
    return FAILED if summary.failures or _missing(summary.remarks) else 0


def _collect(config: ScreenConfig) -> int:
    from captum_pcim.screen.run import collect

    remarks = collect(config)
    for remark in remarks:
        _say(str(remark))
    return FAILED if _missing(remarks) else 0


def _missing(remarks: Sequence[Remark]) -> bool:
    return any(remark.missing for remark in remarks)


def _prune(configs: Sequence[ScreenConfig]) -> int:
    from captum_pcim.screen.prune import prune

    removed = prune(configs)
    status = _collect(configs[0])
    folder, size = configs[0].output.path, removed.size / 1e6
    print(f"{removed.results} results removed, {size:.1f} MB: {folder}")
    return status


def _list(config: ScreenConfig) -> int:
    from captum_pcim.screen.listing import list_screen
    from captum_pcim.screen.sources import survey_screen

    found = survey_screen(config)
    print("\n".join(list_screen(config, found)))
    return FAILED if _missing(found.remarks) else 0


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"expected I/N with 0 <= I < N, got {text!r}")
    return int(index), int(count)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"captum-pcim screen: {text}", file=sys.stderr)
