"""How even a brain is: white matter's variation, how far it overlaps with grey matter, and the histogram's entropy.

Classes are told by a simple rule that holds for every contrast: the voxels of the brain mask are split into three by
k-means on a histogram of 256 bins. The class that fills most of the outermost 2 mm is CSF; of the other two the one
that lies deeper on average is white matter, the other is grey. Middle
and spread of a class are mean and standard deviation once its values are clipped to the 2nd and 98th percentile, so
that mixed voxels and small lesions count little, and whole numbers (a scan before) fare as fractions do (after).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_RIM_MM = 2.0
_BINS = 256


@dataclass(frozen=True, slots=True)
class Uniformity:
    """Of one image within the brain.

    ``white_cv_percent``: spread over mean of white matter. ``cjv``: coefficient of joint variation, the sum of both
    spreads over the difference of the means (Likar et al. 2001); smaller is better.
    ``entropy_bits``: of the histogram of intensities over their mean, 256 bins from 0 to 3, smoothed by 3 bins (sigma):
    whole numbers leave gaps in a histogram that would look like order.
    """

    white_cv_percent: float
    cjv: float
    entropy_bits: float


def uniformity(values: Floats, white: Mask, grey: Mask) -> Uniformity:
    """Return the measures of ``values`` (n,), the brain's voxels, ``white`` and ``grey`` (n,) being its classes.

    A measure that cannot be told (no such class, no difference) is NaN.
    """
    from scipy.ndimage import gaussian_filter1d

    with np.errstate(divide="ignore", invalid="ignore"):
        (white_at, white_by), (grey_at, grey_by) = _middle(values[white]), _middle(values[grey])
        cv, cjv = np.divide(white_by, white_at), np.divide(white_by + grey_by, abs(white_at - grey_at))
        counts = np.histogram(values / values.mean(), 256, (0, 3))[0].astype(np.float64)
    shares = gaussian_filter1d(counts, 3.0, mode="constant") / values.size
    used = shares[shares > 0]
    entropy = float(-(used * np.log2(used)).sum())
    return Uniformity(
        100 * float(cv) if np.isfinite(cv) else np.nan, float(cjv) if np.isfinite(cjv) else np.nan, entropy
    )


def _middle(values: Floats) -> tuple[float, float]:
    """Return mean and spread; NaN for fewer than 50."""
    if values.size < 50:
        return np.nan, np.nan
    clipped = np.clip(values, *np.percentile(values, (2, 98))).astype(np.float64)
    return float(clipped.mean()), float(clipped.std())


def tissue_classes(values: Floats, depth_mm: Floats) -> tuple[Mask, Mask]:
    """Return which of a brain's voxels are white and which are grey matter; ``depth_mm`` below the brain's surface.

    ``values`` and ``depth_mm`` have shape (n,). Empty for a brain without contrast.
    """
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5))) if values.size else (0.0, 0.0)
    if not high > low:
        nothing = np.zeros(values.shape, bool)
        return nothing, nothing
    bins = np.clip((values - low) * ((_BINS - 1) / (high - low)), 0, _BINS - 1).astype(np.int64)
    classes = _three(np.bincount(bins, minlength=_BINS).astype(np.float64))[bins]
    rim = classes[depth_mm <= _RIM_MM]
    fluid = int(np.bincount(rim, minlength=3).argmax()) if rim.size else 0
    others = [c for c in range(3) if c != fluid]
    depths = [float(depth_mm[classes == c].mean()) if np.any(classes == c) else -np.inf for c in others]
    deep = others[int(np.argmax(depths))]
    return classes == deep, (classes != deep) & (classes != fluid)


def _three(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the class (0 dark to 2 bright) of every bin of a histogram: the best split into three (k-means)."""
    places = np.arange(counts.size, dtype=np.float64)
    below, sums = (np.concatenate([[0.0], np.cumsum(c)]) for c in (counts, counts * places))

    def worth(first: npt.NDArray[np.int64], stop: npt.NDArray[np.int64] | int) -> npt.NDArray[np.float64]:
        # the more the classes' means explain, the less is left inside of them
        return np.asarray((sums[stop] - sums[first]) ** 2 / np.maximum(below[stop] - below[first], 1e-9))

    one, two = np.triu_indices(counts.size, 1)
    best = int((worth(np.zeros_like(one), one) + worth(one, two) + worth(two, counts.size)).argmax())
    return np.searchsorted([one[best], two[best]], np.arange(counts.size), side="right")
