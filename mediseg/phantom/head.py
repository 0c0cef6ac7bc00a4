"""The head phantom: an adult head made of analytic shapes alone, and what is true about it.

No pixel, contour or label of any scan is in it: every shape is a formula with rounded numbers in this package. Those
were chosen by hand with real slices in view, the callosum's extents and height so that its size is an average one; some
grey levels were chosen for what the project's networks made of them. So it is a drawing good enough to run and to test
the whole chain on, not a model of any person; figures measured on it say nothing about real heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mediseg.errors import UsageError, did_you_mean
from mediseg.geometry import Array, Geometry, Plane, Rigid
from mediseg.phantom import _outlines, _render
from mediseg.phantom._paint import CONTRASTS, LabelPainter, SignalPainter, Tissue
from mediseg.phantom._pose import Pose, Shading, scan_grid
from mediseg.results import Estimate
from mediseg.volume import CodedConcept, RotatedROI, Segment, Segmentation, Source, Volume

HEAD_VERSION = 1  # raise it whenever a shape, an intensity or a default changes: the stored truth goes with it

_WHITE_LEVEL = 600.0  # stored value of white matter before shading
_BRAIN = Segment(1, "brain", CodedConcept("12738006", "SCT", "Brain"))
_CALLOSUM = Segment(1, "corpus callosum", CodedConcept("88442005", "SCT", "Corpus callosum"))

Spacing = float | tuple[float, float, float]
Offset = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class HeadTruth:
    """What is true about a phantom head, in the scan's patient coordinates (LPS, mm).

    ``brain``: the whole brain with its CSF on the head's grid. ``plane``: the mid-sagittal plane, normal to the
    patient's left. ``bias``: the multiplicative shading on the head's grid, mean 1 within the brain.
    ``callosum``: on a face-left one-slice grid on the plane, 0.5 mm. ``callosum_contour_lps_mm`` (n, 3): its closed
    outline, exact, first point not repeated; ``callosum_area_mm2`` is that polygon's area.
    ``estimates``: what ``localize_roi`` should read off it (box, line, final, robust), worked out from the exact
    outline, in the face-left frame of the callosum's grid (x to posterior, y to inferior, mm from the grid's middle;
    angle positive when the posterior end lies lower). ``roi``: the robust one as a box in space, 20 mm deep.
    """

    brain: Segmentation
    plane: Plane
    bias: Volume
    callosum: Segmentation
    callosum_contour_lps_mm: Array
    callosum_area_mm2: float
    estimates: Mapping[str, Estimate]
    roi: RotatedROI
    lps_from_head: Rigid

    @property
    def brain_ml(self) -> float:
        """Volume of the brain with its CSF, by counting voxels."""
        return self.brain.volume_ml()


def phantom_head(
    *,
    spacing_mm: Spacing = 1.0,
    seed: int = 0,
    noise: float = 0.02,
    bias: float = 0.3,
    yaw_deg: float = 3.0,
    roll_deg: float = 2.0,
    pitch_deg: float = 4.0,
    offset_mm: Offset = (4.0, 0.0, 0.0),
    contrast: str = "t1",
) -> Volume:
    """Return an adult head as a sagittal 3-D scan of 240 x 256 x 192 mm, uint16, white matter near 600.

    Index order: i to posterior, j to inferior, k to the patient's right (as a Siemens sagittal MPRAGE).

    Args:
        spacing_mm: voxel size, one number or one for each of i, j, k (0.5 to 12); thick voxels are averaged.
        seed: of noise and shading; the anatomy never changes.
        noise: standard deviation of each channel of the Rician noise, as a share of white matter (0 to 1).
        bias: strength of the shading; 0.3 changes the brain's brightness by roughly a third (0 to 2).
        yaw_deg: turn of the face to the patient's left.
        roll_deg: tip of the crown to the patient's left.
        pitch_deg: positive lowers the posterior end.
        offset_mm: shift of the head (LPS), from a place where the mid-plane is the grid's middle.
        contrast: ``t1`` or ``t2``.

    Raises:
        UsageError: a parameter is out of its range.
    """
    _check(noise, bias, contrast)
    grid = scan_grid(_three(spacing_mm))
    pose = Pose(yaw_deg, roll_deg, pitch_deg, offset_mm)
    head_from_lps = pose.lps_from_head.inverse()
    factors = tuple(max(1, ceil(s / 2 - 1e-6)) for s in grid.spacing_mm)
    fine = _subdivided(grid, factors)
    painter = SignalPainter(contrast, float(np.mean(fine.spacing_mm)))
    signal = _averaged(_render.render(fine, head_from_lps, painter), factors)
    if bias > 0:
        signal *= _shading(bias, seed, pose).on(grid)
    array = _measured(signal, noise, seed)
    source = Source(kind="array", modality="MR", sequence=f"phantom head {HEAD_VERSION}, {contrast}")
    return Volume(array, grid, source)


def head_truth(
    *,
    spacing_mm: Spacing = 1.0,
    seed: int = 0,
    noise: float = 0.02,
    bias: float = 0.3,
    yaw_deg: float = 3.0,
    roll_deg: float = 2.0,
    pitch_deg: float = 4.0,
    offset_mm: Offset = (4.0, 0.0, 0.0),
    contrast: str = "t1",
) -> HeadTruth:
    """Return what is true about ``phantom_head`` made with the same parameters. Raises UsageError likewise."""
    _check(noise, bias, contrast)
    grid = scan_grid(_three(spacing_mm))
    pose = Pose(yaw_deg, roll_deg, pitch_deg, offset_mm)
    motion = pose.lps_from_head
    brain = Segmentation(_render.brain_mask(grid, motion.inverse()).astype(np.uint8), grid, (_BRAIN,))
    field = _shading(bias, seed, pose).on(grid)
    plane = Plane(motion.matrix[:3, 3], motion.matrix[:3, 0])
    flat = _outlines.callosum_outline()
    contour = motion.apply(np.concatenate([np.zeros((len(flat), 1)), flat], axis=1))
    slice_grid = _face_left_grid(plane)
    outline_mm = slice_grid.ijk_from_lps(contour)[:, :2] * slice_grid.spacing_mm[0]
    labels = _raster(outline_mm, slice_grid)
    middle = (np.array(slice_grid.shape[:2]) - 1) / 2 * slice_grid.spacing_mm[0]
    contour.setflags(write=False)
    estimates = _estimates(outline_mm - middle)
    return HeadTruth(
        brain=brain,
        plane=plane,
        bias=Volume(field, grid),
        callosum=Segmentation(labels, slice_grid, (_CALLOSUM,)),
        callosum_contour_lps_mm=contour,
        callosum_area_mm2=_outlines.area_mm2(outline_mm),
        estimates=MappingProxyType(estimates),
        roi=_roi(estimates["robust"], slice_grid),
        lps_from_head=motion,
    )


def head_labels(
    *,
    spacing_mm: Spacing = 1.0,
    yaw_deg: float = 3.0,
    roll_deg: float = 2.0,
    pitch_deg: float = 4.0,
    offset_mm: Offset = (4.0, 0.0, 0.0),
) -> Segmentation:
    """Return the tissue at every voxel's centre of ``phantom_head`` made with the same parameters."""
    grid = scan_grid(_three(spacing_mm))
    pose = Pose(yaw_deg, roll_deg, pitch_deg, offset_mm)
    labels = _render.render(grid, pose.lps_from_head.inverse(), LabelPainter())
    segments = tuple(Segment(int(t), t.name.lower().replace("_", " ")) for t in Tissue if t is not Tissue.AIR)
    return Segmentation(labels, grid, segments)


def _check(noise: float, bias: float, contrast: str) -> None:
    if contrast not in CONTRASTS:
        raise UsageError(f'the phantom has no contrast "{contrast}"{did_you_mean(contrast, CONTRASTS)}')
    if not 0 <= noise <= 1 or not 0 <= bias <= 2:
        raise UsageError(f"the phantom's noise must be 0 to 1 and its bias 0 to 2, not {noise} and {bias}")


def _three(spacing_mm: Spacing) -> tuple[float, float, float]:
    if isinstance(spacing_mm, tuple):
        return spacing_mm
    return float(spacing_mm), float(spacing_mm), float(spacing_mm)


def _subdivided(grid: Geometry, factors: tuple[int, ...]) -> Geometry:
    """Return the grid of sub-voxels: each voxel cut into ``factors`` parts along i, j, k."""
    shape = [n * f for n, f in zip(grid.shape, factors, strict=True)]
    spacing = [s / f for s, f in zip(grid.spacing_mm, factors, strict=True)]
    return Geometry.from_axes(shape, grid.axes_lps, spacing, center_lps_mm=grid.center_lps_mm)


def _averaged(fine: npt.NDArray[np.float32], factors: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if max(factors) == 1:
        return fine
    a, b, c = factors
    i, j, k = fine.shape
    return np.asarray(fine.reshape(i // a, a, j // b, b, k // c, c).mean(axis=(1, 3, 5)))


def _shading(bias: float, seed: int, pose: Pose) -> Shading:
    """Return the field, scaled on a coarse brain of fixed spacing, so that its values do not depend on the scan's."""
    coarse = scan_grid((6.0, 6.0, 6.0))
    inside = np.argwhere(_render.brain_mask(coarse, pose.lps_from_head.inverse()))
    if not len(inside):
        raise UsageError("the head's offset moves the brain out of the scan")
    return Shading(bias, seed, coarse.lps_from_ijk(inside))


def _measured(signal: npt.NDArray[np.float32], noise: float, seed: int) -> npt.NDArray[np.uint16]:
    """Return the magnitude image with Rician noise, slice by slice, as stored values; ``signal`` is used up."""
    random = np.random.default_rng([seed, 2])
    out = np.empty(signal.shape[::-1], np.uint16)
    for n, image in enumerate(signal.transpose(2, 1, 0)):
        level = image
        if noise > 0:
            real = random.standard_normal(image.shape, np.float32) * np.float32(noise)
            imaginary = random.standard_normal(image.shape, np.float32) * np.float32(noise)
            real += image
            level = np.sqrt(real * real + imaginary * imaginary)
        out[n] = np.clip(np.rint(level * np.float32(_WHITE_LEVEL)), 0, 65535)
    return out.transpose(2, 1, 0)


def _face_left_grid(plane: Plane, spacing_mm: float = 0.5, size_mm: float = 128.0) -> Geometry:
    """Return one slice on the plane: i to posterior, j to inferior, upright in patient coordinates, k to the right."""
    superior = np.array([0.0, 0.0, 1.0])
    down = -(superior - (superior @ plane.normal_lps) * plane.normal_lps)
    down /= np.linalg.norm(down)
    axes = np.stack([np.cross(down, -plane.normal_lps), down, -plane.normal_lps], axis=1)
    n = round(size_mm / spacing_mm)
    return Geometry.from_axes((n, n, 1), axes, (spacing_mm, spacing_mm, 1.0), center_lps_mm=plane.point_lps_mm)


def _raster(outline_mm: Array, grid: Geometry) -> npt.NDArray[np.uint8]:
    """Mark the pixels whose centre lies in the outline (mm from the first pixel's centre)."""
    x, y = (np.arange(n, dtype=np.float64) * grid.spacing_mm[0] for n in grid.shape[:2])
    return _outlines.inside(outline_mm, x, y).astype(np.uint8)[:, :, None]


def _box(outline_mm: Array) -> Estimate:
    """Return the smallest rectangle about the outline: one of its sides lies flush with the convex hull."""
    from scipy.spatial import ConvexHull

    hull = outline_mm[ConvexHull(outline_mm).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    best: tuple[float, float] | None = None
    for angle in np.arctan2(edges[:, 1], edges[:, 0]):
        size = np.ptp(hull @ _turned(angle), axis=0)
        if best is None or size.prod() < best[0]:
            best = float(size.prod()), float(angle)
    assert best is not None  # a hull has edges
    turned = hull @ _turned(best[1])
    low, high = turned.min(axis=0), turned.max(axis=0)
    center = _turned(best[1]) @ ((low + high) / 2)
    size = high - low
    angle = float(np.degrees(best[1])) + (90.0 if size[1] > size[0] else 0.0)
    return Estimate((float(center[0]), float(center[1])), _half_turn(angle), (float(size.max()), float(size.min())))


def _estimates(outline_mm: Array) -> dict[str, Estimate]:
    box, line = _box(outline_mm), _line(outline_mm)
    middle = np.add(box.center_mm, line.center_mm) / 2
    final = Estimate((float(middle[0]), float(middle[1])), (box.angle_deg + line.angle_deg) / 2, box.size_mm)
    return {"box": box, "line": line, "final": final, "robust": _robust(outline_mm)}


def _line(outline_mm: Array) -> Estimate:
    """Return the line from the most anterior to the most posterior point."""
    front, back = outline_mm[outline_mm[:, 0].argmin()], outline_mm[outline_mm[:, 0].argmax()]
    x, y = (back - front).tolist()
    center = (front + back) / 2
    return Estimate(
        (float(center[0]), float(center[1])), float(np.degrees(np.arctan2(y, x))), (float(np.hypot(x, y)), 0.0)
    )


def _robust(outline_mm: Array) -> Estimate:
    """Return the long axis of the second moments of area, with middle and size of the extents along and across it."""
    angle = _half_turn(_outlines.axis_angle_deg(outline_mm))
    turned = outline_mm @ _turned(np.radians(angle))
    low, high = turned.min(axis=0), turned.max(axis=0)
    center = _turned(np.radians(angle)) @ ((low + high) / 2)
    size = high - low
    return Estimate((float(center[0]), float(center[1])), angle, (float(size[0]), float(size[1])))


def _roi(estimate: Estimate, grid: Geometry, depth_mm: float = 20.0) -> RotatedROI:
    """Return a rectangle of the face-left frame as a box in space."""
    center = grid.center_lps_mm + grid.axes_lps[:, :2] @ np.array(estimate.center_mm)
    axes = grid.axes_lps.copy()
    axes[:, :2] = grid.axes_lps[:, :2] @ _turned(float(np.radians(estimate.angle_deg)))
    return RotatedROI(center, axes, (*estimate.size_mm, depth_mm), grid.frame_of_reference)


def _turned(angle_rad: float) -> Array:
    """Columns: the direction at an angle, and the one a quarter turn further."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s], [s, c]])


def _half_turn(angle_deg: float) -> float:
    """Bring the angle of a line into (-90, 90]."""
    turned = (angle_deg + 90.0) % 180.0 - 90.0
    return 90.0 if turned == -90.0 else float(turned)
