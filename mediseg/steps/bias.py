"""Bias-field correction: N4 (Tustison et al. 2010, IEEE TMI 29:1310), mediseg's own or SimpleITK's."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.geometry import Geometry
from mediseg.numerics.cells import cells
from mediseg.numerics.compute import COMPUTE
from mediseg.numerics.n4 import N4, divided, foreground, n4
from mediseg.results import BiasCorrection
from mediseg.steps.setting import Setting
from mediseg.volume import Segmentation, Volume

_LEAST = 500  # cells of foreground: fewer make no histogram


def correct_bias(
    head: Volume,
    mask: Segmentation | None = None,
    *,
    method: Annotated[
        str, Setting("mediseg's own N4, or SimpleITK's as the reference", choices=("fast", "simpleitk"))
    ] = "fast",
    spline_spacing_mm: Annotated[float, Setting("distance of the coarsest B-spline knots", 20, 1000)] = 160.0,
    levels: Annotated[int, Setting("resolution levels; each halves the knot distance", 1, 6)] = 3,
    iterations: Annotated[int, Setting("iterations at each level, at most", 1, 500)] = 200,
    work_spacing_mm: Annotated[float, Setting("grid on which the field is estimated", 1, 10)] = 4.0,
) -> BiasCorrection:
    """Estimate the smooth multiplicative shading of an MR image and divide by it.

    N4 in the log domain on ``mask``, or on the head's foreground (Otsu); the field is smooth, so it is estimated on a
    coarser grid, as a spline. ``field`` has mean 1 inside the mask, so intensities keep their scale; beyond the mask's
    box it goes on as it is at the box's border.

    Returns the corrected image and the field, float32 on the head's grid. Raises Refusal when the image is empty or
    constant.
    """
    if method == "simpleitk":
        return _with_simpleitk(head, mask, (spline_spacing_mm, levels, iterations), work_spacing_mm)
    where = None if mask is None else _on_grid(mask, head.geometry)
    coarse = cells(head.array, head.geometry.spacing_mm, work_spacing_mm, where)
    inside = foreground(coarse.values) if where is None else (coarse.covered > 0.5) & (coarse.values > 0)
    _refuse_if_empty(inside)
    settings = N4(knot_spacing_mm=spline_spacing_mm, levels=levels, iterations=iterations)
    spline = n4(coarse, inside, settings).spline
    corrected, field = divided(head.array, spline, coarse.voxel_points_mm)
    return BiasCorrection(head.with_array(corrected), Volume(field, head.geometry, head.source))


def _on_grid(mask: Segmentation, geometry: Geometry) -> npt.NDArray[np.bool_]:
    return mask.mask() if mask.geometry == geometry else mask.resample(geometry).mask()


def _refuse_if_empty(inside: npt.NDArray[np.bool_]) -> None:
    if np.count_nonzero(inside) < _LEAST:
        raise Refusal("the image has no foreground to estimate a bias field on: it is empty, constant or tiny")


def _with_simpleitk(
    head: Volume, mask: Segmentation | None, how: tuple[float, int, int], work_spacing_mm: float
) -> BiasCorrection:
    small = head.resample(_work_grid(head.geometry, work_spacing_mm))
    pixels = np.asarray(small.array, dtype=np.float32)
    inside = _own_foreground(pixels, head.geometry) if mask is None else mask.resample(small).mask() & (pixels > 0)
    _refuse_if_empty(inside)
    log_field = _n4(pixels, inside, small.geometry, *how)
    log_field -= np.log(np.mean(np.exp(log_field[inside])))
    field = Volume(log_field, small.geometry).resample(head.geometry)
    multiplicative = np.exp(field.array, dtype=np.float32)
    corrected = np.asarray(head.array, dtype=np.float32) / multiplicative
    return BiasCorrection(head.with_array(corrected), Volume(multiplicative, head.geometry, head.source))


def _own_foreground(pixels: npt.NDArray[np.float32], geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Find the foreground without the voxels that the work grid adds around the image: they are no background."""
    own = tuple(slice(1, -1) if n > 1 else slice(None) for n in geometry.shape)
    inside = np.zeros(pixels.shape, bool)
    inside[own] = foreground(pixels[own])
    return inside


def _work_grid(geometry: Geometry, spacing_mm: float) -> Geometry:
    """Coarsen the fine axes; one voxel more on each side, so that interpolation at the border has both neighbours."""
    coarse = geometry.with_spacing([max(spacing_mm, s) for s in geometry.spacing_mm])
    grow = [int(n > 1) for n in geometry.shape]
    return coarse.pad(grow, grow)


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
