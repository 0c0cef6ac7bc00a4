"""N4's model of shading (Tustison et al. 2010, IEEE TMI 29:1310), computed the fast way.

The image is tissue times a smooth field times noise. In logarithms the field only blurs the histogram, so a histogram
sharpened by Wiener deconvolution (Sled et al. 1998, IEEE TMI 17:87) tells what each voxel should have been, and a
B-spline through the differences is the field. Three things differ from ITK's filter: the spline is a penalised least
squares fit, separable on the grid (``bspline``), where ITK scatters voxels one by one; the whole field is fitted in
each iteration, not what it still lacks, so that repeating does not wear the penalty out; and cells of a coarse grid
are spoken for by their purest part (``cells``), where ITK takes every fourth voxel.

``corrected, field = correct(image, spacing_mm)`` is what most callers want; numpy and scipy are all it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.numerics.bspline import Doubles, Floats, Knots, Spline, WeightedFit, along
from mediseg.numerics.cells import Cells, cells
from mediseg.numerics.shapes import Mask, largest_component


@dataclass(frozen=True, slots=True)
class N4:
    """How the field is estimated; lengths in mm, intensities in natural logarithms.

    ``knot_spacing_mm`` of the first of ``levels``, each of which halves it; at most ``iterations`` a level, fewer once
    the field changes by less than ``tolerance`` (coefficient of variation). ``smoothness``: what bending costs, see
    ``WeightedFit``. ``widths``: full width at half maximum of the blur that is taken out of the histogram, by level,
    the last one for all that follow; ``noise``: Wiener's noise term; ``bins`` of the histogram; ``tails``: share of
    voxels at either end of the histogram that are only counted as the end (contrast agent, fat, air in the mask).
    """

    knot_spacing_mm: float = 160.0
    levels: int = 3
    iterations: int = 200
    tolerance: float = 5e-4
    smoothness: float = 3e-5
    widths: tuple[float, ...] = (0.2, 0.12, 0.07)
    noise: float = 0.03
    bins: int = 200
    tails: float = 0.02


@dataclass(frozen=True, slots=True)
class LogField:
    """A field in logarithms, with mean 1 inside (of the field, not of the logarithm), and the iterations it took."""

    spline: Spline
    iterations: int


def correct(
    image: npt.NDArray[Any],
    spacing_mm: Sequence[float],
    mask: Mask | None = None,
    settings: N4 | None = None,
    cell_mm: float = 4.0,
) -> tuple[Floats, Floats]:
    """Return an image of 1 to 3 dimensions divided by its shading, and the shading, float32 of the image's shape.

    The shading is positive with mean 1 over ``mask`` (bool, default ``foreground``), where it is estimated; it is
    held constant beyond the mask's box. ``cell_mm``: see ``cells``. Raises ValueError where there is no foreground.
    """
    coarse = cells(image, spacing_mm, cell_mm, mask)
    inside = foreground(coarse.values) if mask is None else coarse.covered > 0.5
    return divided(image, n4(coarse, inside, settings).spline, coarse.voxel_points_mm)


def foreground(values: Floats) -> Mask:
    """Return the largest connected part brighter than half of Otsu's threshold; none where all is dark or all equal.

    Half, because that keeps the dim, far end of a strongly shaded head.
    """
    top = float(np.percentile(values, 99.5))
    if not top > 0:
        return np.zeros(values.shape, bool)
    levels = np.clip(values * np.float32(255 / top), 0, 255)
    counts = np.bincount(levels.ravel().astype(np.int64), minlength=256).astype(np.float64)
    below, sums = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    apart = np.where((below > 0) & (above > 0), (sums[-1] * below / below[-1] - sums) ** 2, 0.0)
    between = apart / np.maximum(below * above, 1)
    return largest_component(levels > max(float(between.argmax()) / 2, 1)) if between.max() > 0 else levels < 0


def divided(image: npt.NDArray[Any], log_field: Spline, points_mm: Sequence[Doubles]) -> tuple[Floats, Floats]:
    """Return an image divided by a field given in logarithms, and that field; a layer at a time, no other copy."""
    order = sorted(range(image.ndim), key=lambda axis: -abs(image.strides[axis]))
    field = np.empty_like(image, dtype=np.float32)
    corrected = np.empty_like(field)
    first, *others = (log_field.knots[a].basis(points_mm[a]).astype(np.float32) for a in order)
    coefficients = log_field.coefficients.astype(np.float32).transpose(order)
    sheets = along(coefficients, [np.eye(len(coefficients), dtype=np.float32), *others])
    image, out, result = (a.transpose(order) for a in (image, field, corrected))
    for n, row in enumerate(first):
        begin = int(np.flatnonzero(row)[0])  # four functions reach each place, side by side
        np.exp(np.tensordot(row[begin : begin + 4], sheets[begin : begin + 4], axes=1), out=out[n, ...])
        np.divide(image[n], out[n], out=result[n, ...], casting="unsafe")
    return corrected, field


def n4(coarse: Cells, inside: Mask, settings: N4 | None = None) -> LogField:
    """Return the log field of an image, estimated from its cells ``inside`` (bool, of the cells' shape).

    Raises ValueError where no cell inside is positive.
    """
    settings = settings or N4()
    inside = inside & np.isfinite(coarse.values) & (coarse.values > 0)
    if not inside.any():
        raise ValueError("there is no positive value inside the mask: nothing to estimate a field from")
    box = tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(inside))
    points = [p[b] for p, b in zip(coarse.points_mm, box, strict=True)]
    inside = inside[box]
    weights = np.where(inside, coarse.purity[box], np.float32(0))
    values = np.log(coarse.values[box][inside])
    return _Estimate(values, weights, inside, points, settings).run()


class _Estimate:
    """The field at the voxels inside, as it gets better."""

    def __init__(
        self,
        values: Floats,
        weights: Floats,
        inside: npt.NDArray[np.bool_],
        points_mm: Sequence[Doubles],
        settings: N4,
    ) -> None:
        self.values, self.settings = values, settings
        self.grid_weights, self.points_mm = weights, points_mm
        self.at = np.flatnonzero(inside)
        self.weights = weights.ravel()[self.at]
        self.share = (self.weights / self.weights.sum(dtype=np.float64)).astype(np.float32)
        self.field = np.zeros(values.shape, np.float32)
        self.weighted = np.zeros(weights.shape, np.float32)

    def run(self) -> LogField:
        count = 0
        for level in range(self.settings.levels):
            fit = WeightedFit(self._knots(level), self.points_mm, self.grid_weights, self.settings.smoothness)
            width = self.settings.widths[min(level, len(self.settings.widths) - 1)]
            for _ in range(self.settings.iterations):
                count += 1
                spline, change = self._improve(fit, width)
                if change < self.settings.tolerance:
                    break
        mean = np.log(np.mean(np.exp(fit.values(spline).ravel()[self.at]), dtype=np.float64))
        # B-splines sum to 1, so a constant is taken off every coefficient
        return LogField(Spline(spline.knots, spline.coefficients - mean), count)

    def _knots(self, level: int) -> list[Knots]:
        """Place knots symmetrically about the middle of what is inside, so that they move and turn with the head."""
        spacing = self.settings.knot_spacing_mm / 2**level
        knots = []
        for axis, points in enumerate(self.points_mm):
            others = tuple(a for a in range(len(self.points_mm)) if a != axis)
            profile = self.grid_weights.sum(axis=others, dtype=np.float64)
            middle = float(profile @ points / profile.sum())
            knots.append(Knots.about(middle, float(points[0]), float(points[-1]), spacing))
        return knots

    def _improve(self, fit: WeightedFit, width: float) -> tuple[Spline, float]:
        """Sharpen, fit, and return the new field and the coefficient of variation of its change."""
        s = self.settings
        flat = self.values - self.field
        wanted = expected(flat, self.weights, width, s.noise, s.bins, s.tails)
        self.weighted.ravel()[self.at] = self.weights * (self.field + wanted)
        spline = fit(self.weighted)
        field = fit.values(spline).ravel()[self.at]
        field -= np.float32(self.share @ field)
        ratio = np.exp(field - self.field)
        mean = float(self.share @ ratio)
        change = float(np.sqrt(self.share @ np.square(ratio - np.float32(mean)))) / mean
        self.field = field
        return spline, change


def expected(values: Floats, weights: Floats, width: float, noise: float, bins: int, tails: float) -> Floats:
    """Return for each value how far it lies above what it would be in a sharper histogram, float32.

    ``values`` (n,) and ``weights`` (n,) make the histogram, of ``bins`` bins between the quantiles ``tails`` and
    1 - ``tails``. It is deconvolved with a Gaussian of full width at half maximum ``width`` (Wiener, with ``noise``);
    the expectation of the sharp value given the blurred one is read from a table.
    """
    last = values.size - 1
    ends = (int(tails * last), last - int(tails * last))
    sorted_there = np.partition(values, ends)
    low, high = (float(sorted_there[end]) for end in ends)
    step = max(high - low, 1e-6) / (bins - 1)
    place = (values - np.float32(low)) * np.float32(1 / step)
    np.clip(place, 0, np.float32(bins - 1.001), out=place)
    left = place.astype(np.int32)
    share = place - left.astype(np.float32)
    right = weights * share
    counts = np.bincount(left, weights - right, bins) + np.bincount(left + 1, right, bins)
    histogram = counts.astype(np.float64)
    histogram[[0, -1]] = histogram[[1, -2]]  # the ends hold the tails, which are no class of their own
    table = _sharp(histogram, low, step, width, noise)
    difference = (low + step * np.arange(bins) - table).astype(np.float32)
    return difference[left] * (1 - share) + difference[left + 1] * share


def _sharp(histogram: Doubles, low: float, step: float, width: float, noise: float) -> Doubles:
    """Return the expectation of the sharp value for each bin of the blurred histogram."""
    bins = histogram.size
    size = 1 << (2 * bins - 1).bit_length()
    begin = (size - bins) // 2
    centres = low + (np.arange(size) - begin) * step
    padded = np.zeros(size)
    padded[begin : begin + bins] = histogram
    sigma = width / step / np.sqrt(8 * np.log(2))
    distance = np.minimum(np.arange(size), size - np.arange(size))
    gauss = np.exp(-0.5 * (distance / sigma) ** 2)
    blur = np.fft.rfft(gauss / gauss.sum()).real
    sharp = np.maximum(np.fft.irfft(np.fft.rfft(padded) * blur / (blur * blur + noise), size), 0)
    top = np.fft.irfft(np.fft.rfft(sharp * centres) * blur, size)
    bottom = np.fft.irfft(np.fft.rfft(sharp) * blur, size)
    known = bottom > 1e-9 * bottom.max()
    table = np.where(known, top / np.where(known, bottom, 1.0), centres)
    return np.asarray(table[begin : begin + bins])
