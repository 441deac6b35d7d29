r"""Means over the wells of a treatment or class, with bootstrap intervals.

Wells are what was treated, so wells are what is drawn, with replacement, and never their images or
cells: :math:`n` wells with many cells are :math:`n` observations. An interval is between two
quantiles of the means of the draws. For few wells the plain quantiles are too narrow; these are the
expanded ones of Hesterberg (The American Statistician 69, 2015), for confidence :math:`1 - \alpha`
at

.. math:: \Phi\left(-\sqrt{n / (n - 1)} \; t_{n - 1, \, 1 - \alpha / 2}\right)

and one minus it, which are as wide as Student's interval where the values are normal. Means of
three to five wells have too few different draws for that: their intervals are ranges, and cover the
true mean less often than they say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from captum_pcim.profiles.tables import CLASS, ProfileError, features_of, needed

if TYPE_CHECKING:
    import pandas as pd

LEAST_WELLS = 3  # two tell no spread


def per_treatment(
    wells: pd.DataFrame,
    treatment: str = "Metadata_Treatment",
    *,
    features: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average the wells of each treatment.

    Args:
        wells: From :func:`per_well`.
        treatment: The column that tells the treatment.
        features: The columns to average. None: all measurements.
        confidence: Of the intervals, between 0 and 1.
        n_resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        A row for each treatment and feature: the treatment, ``Feature``, ``Mean`` over wells,
        ``Low`` and ``High`` of its interval (NaN below 3 wells), and ``Wells``, how many have a
        value.

    Raises:
        ProfileError: If a column is missing.

    Examples:
        >>> per_treatment(wells, "Metadata_Compound")
    """
    return _averaged(wells, [treatment], features, confidence, n_resamples, seed)


def per_class(
    wells: pd.DataFrame,
    treatment: str | None = None,
    *,
    features: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average the wells of each class that was explained, of each treatment if one is named.

    Args:
        wells: From :func:`per_well` with `by_class`.
        treatment: The column that tells the treatment. None: wells of all treatments together.
        features: As in :func:`per_treatment`, like all that follow.
        confidence: Of the intervals, between 0 and 1.
        n_resamples: Bootstrap draws.
        seed: Of the draws.

    Returns:
        As :func:`per_treatment`, with ``Metadata_Class``.

    Raises:
        ProfileError: If a column is missing.
    """
    by = [CLASS] if treatment is None else [treatment, CLASS]
    return _averaged(wells, by, features, confidence, n_resamples, seed)


def _averaged(
    wells: pd.DataFrame,
    by: list[str],
    features: Sequence[str] | None,
    confidence: float,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    pandas = needed("pandas")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence!r}")
    check_columns(wells, by)
    names = features_of(wells) if features is None else list(features)
    check_columns(wells, names)
    parts = []
    for group, own in wells.groupby(by, sort=True):
        values = own[names].to_numpy(float)
        low, high = bootstrap(values, confidence, n_resamples, seed)
        part = pandas.DataFrame(dict(zip(by, group, strict=True)), index=range(len(names)))
        known = np.isfinite(values).sum(axis=0)
        mean = np.where(known, np.nansum(values, axis=0) / np.maximum(known, 1), np.nan)
        parts.append(part.assign(Feature=names, Mean=mean, Low=low, High=high, Wells=known))
    columns = [*by, "Feature", "Mean", "Low", "High", "Wells"]
    return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame(columns=columns)


def check_columns(wells: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a table without these columns.

    Raises:
        ProfileError: If one is missing.
    """
    missing = [name for name in names if name not in wells]
    if missing:
        about = [name for name in wells.columns if name.startswith("Metadata_")]
        raise ProfileError(f"wells: expected the columns {missing}, got {about} and measurements")


def bootstrap(
    values: NDArray[np.float64], confidence: float, n_resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the intervals of means, each of shape (F,).

    Args:
        values: Of wells, (N, F); NaN is left out.
        confidence: Of the intervals.
        n_resamples: Draws.
        seed: Of the draws; the same wells are drawn for all features.
    """
    n, n_features = values.shape
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(float)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = drawn @ np.where(known, values, 0) / (drawn @ known.astype(float))
    low, high = np.full(n_features, np.nan), np.full(n_features, np.nan)
    for count in set(known.sum(axis=0).tolist()):
        if count < LEAST_WELLS:
            continue
        these = known.sum(axis=0) == count
        level = expanded_level(count, confidence)
        low[these], high[these] = np.nanquantile(means[:, these], [level, 1 - level], axis=0)
    return low, high


def expanded_level(n: int, confidence: float) -> float:
    """The lower quantile whose interval serves n wells, see the text of the module."""
    stats = needed("scipy.stats")
    student = stats.t.ppf((1 + confidence) / 2, n - 1)
    return float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * student))
