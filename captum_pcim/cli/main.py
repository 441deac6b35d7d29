"""The command ``captum-pcim``; every subcommand is a module that adds its own parser."""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Sequence

from captum_pcim._version import __version__

# A command's module offers add_parser(subparsers), which sets `run`, a function from the parsed
# arguments to the exit status; what it raises of bad arguments and files is told in one line. What
# the package does not import anyway, Matplotlib and the optional packages, it imports only when it
# runs.
COMMANDS = (
    "captum_pcim.cli.compare",
    "captum_pcim.cli.demo",
    "captum_pcim.cli.explain",
    "captum_pcim.cli.measure",
    "captum_pcim.cli.profiles",
    "captum_pcim.cli.screen",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments. Default: those of the process.

    Returns:
        The exit status: 0, 1 where some of the work failed, 2 where none could be started, 130
        where it was interrupted.
    """
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        status: int = args.run(args)
    except (ValueError, ImportError, OSError) as error:
        print(f"captum-pcim {args.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("captum-pcim: interrupted", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="captum-pcim",
        description="Pixel-wise channel isolation mixing (PCIM) attributions.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(name).add_parser(subparsers)
    return parser
