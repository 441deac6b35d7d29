r"""Does a profile follow the plate's layout rather than the treatment?

**Question.** Of wells that were treated alike, on one plate, do those further down, further right
or nearer to the edge have other values? What treatments do to the mean of their wells cannot answer
it, so a treatment alone, however strong, is never flagged.

**Statistic.** With the value :math:`v_w` of a well and its place :math:`c_w` (its row, its column,
or its distance to the edge), and :math:`B` the wells of one treatment on one plate,
:math:`n_B` of them, both centred within their block:

.. math:: r_w = v_w - \operatorname{mean}_B v, \quad d_w = c_w - \operatorname{mean}_B c, \quad
          Z = \frac{\sum_w r_w d_w}
                   {\sqrt{\sum_B \sum_{w \in B} r_w^2 \, \sum_{w \in B} d_w^2 / (n_B - 1)}}.

The sums go over the wells of one treatment on all plates, or over all wells. The root is the
standard deviation that the numerator has where places are dealt out at random within blocks, so
:math:`Z` has deviation 1. The correlation that is told beside it is
:math:`\sum r d / \sqrt{\sum r^2 \sum d^2}`.

**Level.** The places of wells are permuted within blocks, for all features and places together.
With :math:`M` permutations :math:`p = (1 + \#\{|Z^*| \ge |Z|\}) / (M + 1)`, corrected for all tests
of the table at once by the largest statistic of each permutation (Westfall and Young, 1993),
:math:`p = (1 + \#\{\max |Z^*| \ge |Z|\}) / (M + 1)`. The chance of any flag on a plate without
layout is then at most the level, whatever the features have in common.

**What it does not see.** A pattern that neither rises nor falls along rows, columns or towards the
edge, such as every other row; and a treatment whose wells all lie in one row, column or distance:
there is nothing to compare, and the row says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from captum_pcim.profiles.intervals import check_columns
from captum_pcim.profiles.positions import positions
from captum_pcim.profiles.tables import PLATE, WELL, features_of, needed

if TYPE_CHECKING:
    import pandas as pd

    Numbers = NDArray[np.float64]

FACTORS = ("Row", "Column", "Edge")
ALL = "(all)"
TINY = 1e-9  # by which statistics that are the same may differ
NOT_TOLD = "its wells do not differ in it: cannot be told from the treatment"
CONSTANT = "its wells have one value"


@dataclass(frozen=True)
class _Group:
    """The wells of one treatment, or all.

    Args:
        name: Of the treatment.
        rows: Their rows in the table.
        correlation: Of each factor and feature, (3, F).
        deviation: Of the numerator under permutation, (3, F); 0 where there is nothing to compare.
    """

    name: str
    rows: NDArray[np.int64]
    correlation: Numbers
    deviation: Numbers


def layout_test(
    wells: pd.DataFrame,
    treatment: str = "Metadata_Treatment",
    *,
    features: Sequence[str] | None = None,
    level: float = 0.05,
    n_permutations: int = 1999,
    seed: int = 0,
) -> pd.DataFrame:
    """Test whether wells that were treated alike differ by their place on the plate.

    Args:
        wells: From :func:`per_well`, a row a well. Wells without a treatment are left out.
        treatment: The column that tells the treatment.
        features: The columns to test. None: all measurements.
        level: Corrected p-values up to this are flagged.
        n_permutations: Permutations of the wells within plate and treatment.
        seed: Of the permutations.

    Returns:
        A row for all wells, ``(all)``, and for each treatment, of each feature and factor: the
        treatment, ``Feature``, ``Factor`` (``Row``, ``Column``, ``Edge``), ``Wells``,
        ``Correlation`` in [-1, 1] with the row, the column or the distance to the edge, ``Z``,
        ``P``, ``P_Corrected``, ``Flagged``, and ``Note`` where nothing could be tested.

    Raises:
        ProfileError: If a column is missing.
        ValueError: If a well is there twice, or an argument is out of its range.

    Examples:
        >>> found = layout_test(wells)
        >>> found[found["Flagged"]]
    """
    pandas = needed("pandas")
    if not 0 < level < 1 or n_permutations < 1:
        raise ValueError(
            "level, n_permutations: expected a number between 0 and 1 and one above 0, got "
            f"{level!r} and {n_permutations!r}"
        )
    check_columns(wells, [PLATE, WELL, treatment])
    names = features_of(wells) if features is None else list(features)
    check_columns(wells, names)
    wells = wells[wells[treatment].notna()].sort_values([treatment, PLATE], kind="stable")
    if wells.duplicated([PLATE, WELL]).any():
        raise ValueError("wells: expected a row a well, got wells twice (by_class?)")
    if wells.empty or not names:
        raise ValueError("wells: expected wells with a treatment and measurements, got none")
    blocks = wells.groupby([treatment, PLATE], sort=False).ngroup().to_numpy()
    values = _centred(wells[names].to_numpy(float), blocks)
    places = _centred(positions(wells[WELL]), blocks)
    groups = list(_groups(wells[treatment].astype(str).to_numpy(), values, places, blocks))
    drawn = _permuted(places, blocks, n_permutations, seed)
    largest, exceeding = _compared(groups, values, places, drawn)
    parts = []
    for group, count in zip(groups, exceeding, strict=True):
        z = _statistic(group, values, places)
        corrected = 1 + (largest[:, None, None] >= np.abs(z) - TINY).sum(axis=0)
        parts.append(
            pandas.DataFrame(
                {
                    treatment: group.name,
                    "Feature": np.tile(names, len(FACTORS)),
                    "Factor": np.repeat(FACTORS, len(names)),
                    "Wells": len(group.rows),
                    "Correlation": group.correlation.ravel(),
                    "Z": z.ravel(),
                    "P": ((1 + count) / (n_permutations + 1)).ravel(),
                    "P_Corrected": (corrected / (n_permutations + 1)).ravel(),
                    "Note": _notes(group, places, len(names)),
                }
            )
        )
    return _flagged(pandas.concat(parts, ignore_index=True), level)


def _flagged(table: pd.DataFrame, level: float) -> pd.DataFrame:
    untested = table["Note"] != ""
    table.loc[untested, ["Correlation", "Z", "P", "P_Corrected"]] = np.nan
    table.insert(table.columns.get_loc("Note"), "Flagged", table["P_Corrected"] <= level)
    return table


def _centred(values: Numbers, blocks: NDArray[np.int64]) -> Numbers:
    """Subtract the mean of each block; what is not known is as the mean."""
    known = np.isfinite(values)
    sums, counts = np.zeros((2, blocks.max() + 1, values.shape[1]))
    np.add.at(sums, blocks, np.where(known, values, 0))
    np.add.at(counts, blocks, known)
    centred = values - (sums / np.maximum(counts, 1))[blocks]
    size = np.abs(np.where(known, values, 0)).max(axis=0)
    return np.where(known & (np.abs(centred) > 1e-12 * size), centred, 0)


def _groups(
    treatments: NDArray[np.object_], values: Numbers, places: Numbers, blocks: NDArray[np.int64]
) -> Iterator[_Group]:
    everything = np.arange(len(treatments))
    named = [(str(t), np.flatnonzero(treatments == t)) for t in dict.fromkeys(treatments)]
    for name, rows in [(ALL, everything), *named]:
        variance = np.zeros((places.shape[1], values.shape[1]))
        for block in np.unique(blocks[rows]):
            own = rows[blocks[rows] == block]
            of_places, of_values = (places[own] ** 2).sum(0), (values[own] ** 2).sum(0)
            variance += np.outer(of_places, of_values) / max(1, len(own) - 1)
        lengths = np.outer((places[rows] ** 2).sum(0), (values[rows] ** 2).sum(0))
        product = places[rows].T @ values[rows]
        correlation = product / np.sqrt(np.where(lengths > 0, lengths, 1))
        yield _Group(name, rows, correlation, np.sqrt(variance))


def _statistic(group: _Group, values: Numbers, places: Numbers) -> Numbers:
    """Z of each factor and feature; places may be many permuted ones, (M, N, 3)."""
    product = np.swapaxes(places[..., group.rows, :], -1, -2) @ values[group.rows]
    deviation = np.where(group.deviation > 0, group.deviation, 1)
    statistic: Numbers = np.where(group.deviation > 0, product / deviation, 0)
    return statistic


def _permuted(places: Numbers, blocks: NDArray[np.int64], n: int, seed: int) -> Numbers:
    """The places dealt out at random within blocks, which are contiguous, (M, N, 3)."""
    keys = np.random.default_rng(seed).random((n, len(blocks))) + blocks
    return places[keys.argsort(axis=1)]


def _compared(
    groups: Sequence[_Group], values: Numbers, places: Numbers, drawn: Numbers
) -> tuple[Numbers, list[NDArray[np.int64]]]:
    """The largest statistic of each permutation, and how often each test was reached."""
    largest, exceeding = np.zeros(len(drawn)), []
    for group in groups:
        found = np.abs(_statistic(group, values, drawn))
        exceeding.append((found >= np.abs(_statistic(group, values, places)) - TINY).sum(axis=0))
        largest = np.maximum(largest, found.max(axis=(1, 2)))
    return largest, exceeding


def _notes(group: _Group, places: Numbers, n_features: int) -> list[str]:
    same = (places[group.rows] == 0).all(axis=0)
    empty = np.broadcast_to(same[:, None], (len(same), n_features))
    notes = np.where(group.deviation > 0, "", np.where(empty, NOT_TOLD, CONSTANT))
    return [str(note) for note in notes.ravel()]
