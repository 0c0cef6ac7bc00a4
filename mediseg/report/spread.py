"""How the values of many cases lie: their middle and width, which are far out, and the bars of their histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
#: From this modified z-score on a value is an outlier (Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers)
OUTLIER_Z = 3.5
#: With fewer values than these no middle is worth a comparison.
FEWEST = 10
BARS = 40
_SHOWN_WIDTHS = 8.0
_SIGMA_OF_MAD, _SIGMA_OF_MEAN = 1.4826, 1.2533


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle (median) and width (as a normal distribution's sigma) of values; width 0 where all are alike."""

    count: int
    median: float
    width: float
    low: float
    high: float

    def z(self, values: Values) -> Values:
        """Return how many widths each value lies from the middle; 0 where there is nothing to compare with."""
        return (values - self.median) / self.width if self.count >= FEWEST and self.width > 0 else np.zeros_like(values)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in ``BARS`` bars of equal width from ``low`` to ``high``; the ends hold what lies beyond, too."""

    low: float
    high: float
    counts: tuple[int, ...]


def spread_of(values: Sequence[float]) -> Spread:
    """Return middle and width of finite values (at least one).

    The width is 1.4826 MAD; where more than half of the values are alike, 1.2533 times the mean deviation.
    """
    array = np.asarray(values, dtype=np.float64)
    median = float(np.median(array))
    apart = np.abs(array - median)
    width = _SIGMA_OF_MAD * float(np.median(apart)) or _SIGMA_OF_MEAN * float(apart.mean())
    return Spread(array.size, median, width, float(array.min()), float(array.max()))


def histogram(values: Sequence[float], spread: Spread) -> Histogram:
    """Return the bars of finite values. A value far beyond the others is counted in the last bar, so that they show."""
    reach = _SHOWN_WIDTHS * spread.width
    low, high = max(spread.low, spread.median - reach), min(spread.high, spread.median + reach)
    if not low < high:
        low, high = spread.median - 0.5, spread.median + 0.5
    return Histogram(low, high, tuple(int(n) for n in np.bincount(_bars(values, low, high), minlength=BARS)))


def _bars(values: Sequence[float], low: float, high: float) -> npt.NDArray[np.int64]:
    place = (np.asarray(values, dtype=np.float64) - low) / (high - low) * BARS
    return np.clip(np.floor(place), 0, BARS - 1).astype(np.int64)


def finite(value: float | None) -> float | None:
    """Return a value, None for one that is none."""
    return value if value is not None and math.isfinite(value) else None
