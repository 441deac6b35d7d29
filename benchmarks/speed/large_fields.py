"""Whole fields in bounded memory: the bound, and the peak that was measured beside it."""

from __future__ import annotations

import argparse

from benchmarks.results import Table
from benchmarks.speed.cases import Case, Work
from benchmarks.speed.timing import MEBIBYTE, peak_bytes, seconds_of

N_STAINS = 5
N_STEPS = 2
FLOAT = 4  # bytes
OWN_PLANES = 29  # as measured, most of them of the five intensity bins and their gradients


def large_fields(arguments: argparse.Namespace) -> Table:
    """Fields of 5 stains through a fully convolutional network, one and two at a time."""
    rows = []
    for side in (512, 1024) if arguments.quick else (1024, 2048):
        for n_fields, at_once in ((1, 1), (2, 1), (2, 2)):
            rows.append(_row(side, n_fields, at_once, arguments.device))
    header = [
        "fields", "bare passes, MiB", "the bound, MiB", "attribute, MiB",
        "beyond the bare, bytes/pixel", "seconds a step and field",
    ]  # fmt: skip
    return Table(
        "Large fields",
        header,
        rows,
        f"The small CNN, which takes any size, on fields of {N_STAINS} stains, "
        f"autograd, {N_STEPS} steps. The bound is the network's bare passes over the two rows of "
        "each field that is explained at once (internal_batch_size / 2), and beyond them, in "
        f"float32 with C stains, {FLOAT} (C + {OWN_PLANES}) bytes per pixel of these: the blurred "
        f"reference, and {OWN_PLANES} planes, as measured, for the intensity bins, the weights, "
        f"their averages and effects, and their gradients; and {FLOAT} C "
        "bytes per pixel of every field that is finished, its map. Steps do not add to it.",
    )


def bound(bare: int, n_pixels: int, n_stains: int, at_once: int, n_finished: int) -> int:
    """Most bytes that `attribute` takes at once with its default references, in float32.

    Args:
        bare: Peak of the bare passes over 2 rows of each field that is explained at once.
        n_pixels: Of a field.
        n_stains: Of a field.
        at_once: Fields explained at once.
        n_finished: Fields that were explained before, in the same call.
    """
    of_a_pixel = at_once * (n_stains + OWN_PLANES) + n_finished * n_stains
    return bare + FLOAT * of_a_pixel * n_pixels


def _row(side: int, n_fields: int, at_once: int, device: str) -> list[str]:
    work = Work(Case("small CNN", n_fields, side, N_STAINS), device)
    passes = Work(Case("small CNN", at_once, side, N_STAINS), device)
    n_pixels = side * side
    bare = peak_bytes(lambda: passes.bare_passes(1), device)
    most = bound(bare, n_pixels, N_STAINS, at_once, n_fields - at_once)
    seconds: list[float] = []

    def attribute() -> None:
        seconds.append(seconds_of(lambda: work.attribute(N_STEPS, 2 * at_once)))

    peak = peak_bytes(attribute, device)
    return [
        f"{n_fields} of {side} x {side}, {at_once} at once",
        *(f"{n_bytes / MEBIBYTE:.0f}" for n_bytes in (bare, most, peak)),
        f"{(peak - bare) / n_pixels:.1f}",
        f"{seconds[0] / N_STEPS / n_fields:.1f}",
    ]
