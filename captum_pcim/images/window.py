"""The intensities of a stain that become 0 and 1, or what they are measured by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from captum_pcim.images.stack import Pixels


@dataclass(frozen=True)
class Window:
    """The intensities that become 0 and 1.

    Attributes:
        low: Becomes 0: an intensity, or what it is measured by.
        high: Becomes 1, likewise.
        percent: Whether the two are percentiles (0 to 100).
        deviations: Whether the two are standard deviations from the mean.
        clip: Whether intensities outside become 0 and 1 as well.
    """

    low: float
    high: float
    percent: bool = False
    deviations: bool = False
    clip: bool = True

    def __post_init__(self) -> None:
        """Refuse a window that is empty or not a number."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"window: LOW must be below HIGH, got {self.low} and {self.high}")
        if self.percent and not (self.low >= 0 and 1 < self.high <= 100):
            raise ValueError(
                f"window: percentiles lie in 0..100, not in 0..1, got {self.low} and {self.high}"
            )

    @classmethod
    def parse(cls, low: str, high: str) -> Window:
        """Read ``"100", "4095"`` as intensities and ``"1%", "99.8%"`` as percentiles.

        Raises:
            ValueError: They are no numbers, one alone is a percentile, or they are no window.
        """
        percent = low.endswith("%")
        if percent != high.endswith("%"):
            raise ValueError(f"window: both ends or neither in percent, got {low} and {high}")
        try:
            return cls(float(low.rstrip("%")), float(high.rstrip("%")), percent)
        except ValueError as error:
            if str(error).startswith("window"):
                raise
            raise ValueError(f"window: expected two numbers, got {low!r} and {high!r}") from None

    @property
    def measured(self) -> bool:
        """Whether its ends are to be measured."""
        return self.percent or self.deviations

    def ends(self, values: Pixels) -> tuple[float, float]:
        """The intensities of its ends, measured on intensities of any shape."""
        if self.percent:
            low, high = np.percentile(values, (self.low, self.high))
        elif self.deviations:
            mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
            low, high = mean + self.low * deviation, mean + self.high * deviation
        else:
            low, high = self.low, self.high
        return float(low), float(high)


RAW = Window(0, 1, clip=False)
ZSCORE = Window(0, 1, deviations=True, clip=False)
