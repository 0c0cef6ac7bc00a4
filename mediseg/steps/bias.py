"""Bias-field correction: N4 (Tustison et al. 2010, IEEE TMI 29:1310) through SimpleITK, at reduced resolution."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.geometry import Geometry
from mediseg.numerics.compute import COMPUTE
from mediseg.numerics.shapes import largest_component
from mediseg.results import BiasCorrection
from mediseg.steps.setting import Setting
from mediseg.volume import Segmentation, Volume


def correct_bias(
    head: Volume,
    mask: Segmentation | None = None,
    *,
    spline_spacing_mm: Annotated[float, Setting("distance of the coarsest B-spline knots", 20, 1000)] = 200.0,
    levels: Annotated[int, Setting("resolution levels; each halves the knot distance", 1, 6)] = 3,
    iterations: Annotated[int, Setting("iterations at each level", 1, 500)] = 30,
    work_spacing_mm: Annotated[float, Setting("grid on which the field is estimated", 1, 10)] = 5.0,
) -> BiasCorrection:
    """Estimate the smooth multiplicative shading of an MR image and divide by it.

    N4 in the log domain on ``mask``, or on the head's foreground (Otsu); the field is smooth, so it is estimated on a
    coarser grid and interpolated. ``field`` has mean 1 inside the mask, so intensities keep their scale.

    Returns the corrected image and the field, float32 on the head's grid. Raises Refusal when the image is empty or
    constant.
    """
    small = head.resample(_work_grid(head.geometry, work_spacing_mm))
    pixels = np.asarray(small.array, dtype=np.float32)
    inside = _foreground(pixels) if mask is None else mask.resample(small).mask() & (pixels > 0)
    if np.count_nonzero(inside) < 500:
        raise Refusal("the image has no foreground to estimate a bias field on: it is empty, constant or tiny")
    log_field = _n4(pixels, inside, small.geometry, spline_spacing_mm, levels, iterations)
    log_field -= np.log(np.mean(np.exp(log_field[inside])))
    field = Volume(log_field, small.geometry).resample(head.geometry)
    multiplicative = np.exp(field.array, dtype=np.float32)
    corrected = np.asarray(head.array, dtype=np.float32) / multiplicative
    return BiasCorrection(head.with_array(corrected), Volume(multiplicative, head.geometry, head.source))


def _work_grid(geometry: Geometry, spacing_mm: float) -> Geometry:
    """Coarsen the fine axes; one voxel more on each side, so that interpolation at the border has both neighbours."""
    coarse = geometry.with_spacing([max(spacing_mm, s) for s in geometry.spacing_mm])
    grow = [int(n > 1) for n in geometry.shape]
    return coarse.pad(grow, grow)


def _foreground(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    import cv2

    top = float(np.percentile(pixels, 99.5))
    if not top > 0:
        return np.zeros(pixels.shape, bool)
    levels = np.clip(pixels / top * 255, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels.reshape(levels.shape[0], -1), 0, 255, cv2.THRESH_OTSU)
    # half of Otsu's value keeps the dim, far end of a strongly shaded head
    return largest_component(levels > max(threshold / 2, 1))


def _n4(
    pixels: npt.NDArray[np.float32],
    inside: npt.NDArray[np.bool_],
    geometry: Geometry,
    spline_spacing_mm: float,
    levels: int,
    iterations: int,
) -> npt.NDArray[np.float32]:
    """Return the log field on the work grid. SimpleITK's axes run in reverse order of the array's."""
    import SimpleITK as sitk  # noqa: N813 - the library's own short name

    flat = [axis for axis, n in enumerate(pixels.shape) if n == 1]
    squeezed, squeezed_mask = pixels.squeeze(), inside.squeeze()
    spacing = [s for axis, s in enumerate(geometry.spacing_mm) if axis not in flat]
    image = sitk.GetImageFromArray(np.ascontiguousarray(squeezed))
    image.SetSpacing(spacing[::-1])
    where = sitk.GetImageFromArray(np.ascontiguousarray(squeezed_mask).astype(np.uint8))
    where.CopyInformation(image)
    n4: Any = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetNumberOfThreads(COMPUTE.get().threads)
    n4.SetMaximumNumberOfIterations([iterations] * levels)
    n4.SetConvergenceThreshold(1e-3)
    extent = [n * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    n4.SetNumberOfControlPoints([max(1, round(e / spline_spacing_mm)) + 3 for e in extent])
    floor = max(float(squeezed[squeezed_mask].min()), 1e-6)  # N4 takes logarithms
    n4.Execute(sitk.Cast(sitk.Maximum(image, floor), sitk.sitkFloat32), where)
    log_field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)).astype(np.float32)
    # ITK's B-splines are not defined on the last voxel of each axis: take its neighbour's value
    inner = log_field[tuple(slice(1, -1) if n > 4 else slice(None) for n in log_field.shape)]
    extended = np.pad(inner, [(1, 1) if n > 4 else (0, 0) for n in log_field.shape], mode="edge")
    return extended.reshape(pixels.shape)
