"""The mid-sagittal plane: the plane about which the head mirrors itself best, and the image on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Array, Geometry, Plane, axial_grid_around
from mediseg.results import Brain, Midsagittal
from mediseg.steps.setting import Setting
from mediseg.volume import Volume

FACE_LEFT = "PIR"  # columns to posterior, rows to inferior, right-handed
_LEFT = np.array([1.0, 0.0, 0.0])
_SUPERIOR = np.array([0.0, 0.0, 1.0])

# The callosum is some 75 mm long: a slice that leaves the plane by more than this at its ends shows something else.
_HALF_LENGTH_MM = 37.5


def find_midsagittal(
    head: Volume,
    brain: Brain | None = None,
    *,
    thick_slice_mm: Annotated[
        float, Setting("from this slice distance on, use the best slice as acquired", 1, 20)
    ] = 3.0,
    max_off_plane_mm: Annotated[
        float, Setting("refuse a slice that leaves the mid-plane by more, at the callosum's ends", 0.5, 20)
    ] = 4.0,
    coarsest_mm: Annotated[float, Setting("refuse images whose in-plane voxels would be larger", 1, 20)] = 4.5,
) -> Midsagittal:
    """Find the plane of symmetry and give its image, shown face left, one slice thick.

    The plane maximises the correlation between the brain (or the head, without one) and its mirror image. A volume is
    resampled on it (linear), upright in patient coordinates, at the finest in-plane spacing. Of a sagittal stack with
    thick slices the slice as acquired that lies nearest to it is taken. One sagittal slice passes through.

    Raises Refusal when no slice of a thick stack is mid-sagittal (NO_TRUE_MIDSAGITTAL), when a single slice's normal
    is over 45 degrees from left-right, and when the voxels are too coarse to show a callosum.
    """
    if min(head.geometry.shape) == 1:
        return _single_slice(head)
    plane = _symmetry_plane(head, brain)
    through = _left_right_axis(head.geometry)
    tilt_deg = plane.angle_to_deg(head.geometry.axes_lps[:, through])
    if _is_thick(head.geometry, through, thick_slice_mm):
        return _best_slice(head, plane, through, tilt_deg, max_off_plane_mm)
    grid, coarse_mm = _plane_grid(head, plane)
    if coarse_mm > coarsest_mm:
        raise Refusal(
            f"voxels are {coarse_mm:.1f} mm apart in the mid-sagittal plane: too coarse to show the corpus callosum "
            f"(at most {coarsest_mm:g} mm)"
        )
    image = head.resample(grid)
    return Midsagittal(image, plane, round(tilt_deg, 3), False, _resolution_warning(coarse_mm))


def _left_right_axis(geometry: Geometry) -> int:
    return int(np.abs(geometry.axes_lps[0]).argmax())


def _is_thick(geometry: Geometry, through: int, thick_slice_mm: float) -> bool:
    """Thick slices are far apart and clearly coarser than they are fine within: a 3 mm cube is no thick slice."""
    return geometry.spacing_mm[through] >= max(thick_slice_mm, 1.5 * min(geometry.spacing_mm))


def _resolution_warning(coarse_mm: float) -> tuple[Warn, ...]:
    if coarse_mm <= 2.2:
        return ()
    return (
        Warn(
            Code.LOW_RESOLUTION,
            f"the mid-sagittal image is only {coarse_mm:.1f} mm fine in one direction: measurements are rough",
            {"mm": round(coarse_mm, 2)},
        ),
    )


def _single_slice(image: Volume) -> Midsagittal:
    """Turn a one-slice volume face left, without resampling."""
    through = int(np.argmin(image.geometry.shape))
    normal = np.array(image.geometry.axes_lps[:, through])
    off_deg = Plane(np.zeros(3), normal).angle_to_deg(_LEFT)
    if off_deg > 45:
        raise Refusal(
            f"the slice is not sagittal: its normal is {off_deg:.0f} degrees from left-right (at most 45); "
            "give a sagittal slice or a volume"
        )
    upright = image.reorient(FACE_LEFT)
    plane = Plane(upright.geometry.center_lps_mm, normal if normal[0] > 0 else -normal)
    coarse_mm = max(upright.geometry.spacing_mm[:2])
    return Midsagittal(upright, plane, 0.0, True, _resolution_warning(coarse_mm))


def _best_slice(head: Volume, plane: Plane, through: int, tilt_deg: float, max_off_plane_mm: float) -> Midsagittal:
    """Take the acquired slice nearest to the plane; refuse when it cuts through the callosum at an angle."""
    geometry = head.geometry
    center = geometry.ijk_from_lps(plane.point_lps_mm)
    index = int(np.clip(round(float(center[through])), 0, geometry.shape[through] - 1))
    middle_ijk = center.copy()
    middle_ijk[through] = index
    offset_mm = abs(float(plane.distance_mm(geometry.lps_from_ijk(middle_ijk))))
    off_mm = offset_mm + _HALF_LENGTH_MM * float(np.sin(np.radians(tilt_deg)))
    if off_mm > max_off_plane_mm:
        message = (
            f"no slice is truly mid-sagittal: the nearest one (number {index + 1}) is tilted {tilt_deg:.1f} degrees "
            f"and leaves the mid-plane by {off_mm:.1f} mm at the callosum's ends (at most {max_off_plane_mm:g} mm)"
        )
        detail = {"slice": index + 1, "tilt_deg": round(tilt_deg, 2), "off_mm": round(off_mm, 2)}
        raise Refusal(message, [Warn(Code.NO_TRUE_MIDSAGITTAL, message, detail)])
    start, stop = [0, 0, 0], list(geometry.shape)
    start[through], stop[through] = index, index + 1
    image = head.resample(geometry.crop(start, stop)).reorient(FACE_LEFT)
    warnings = _resolution_warning(max(image.geometry.spacing_mm[:2]))
    return Midsagittal(image, plane, round(tilt_deg, 3), True, warnings)


def _plane_grid(head: Volume, plane: Plane) -> tuple[Geometry, float]:
    """Return the face-left grid on the plane that just holds the head, and the coarsest spacing met within it."""
    down = -(_SUPERIOR - (_SUPERIOR @ plane.normal_lps) * plane.normal_lps)
    down /= np.linalg.norm(down)
    back = np.cross(down, -plane.normal_lps)  # i x j = k, with k to the right
    axes = np.stack([back, down, -plane.normal_lps], axis=1)
    spacing = np.array(head.geometry.spacing_mm)
    in_plane = np.abs(head.geometry.axes_lps.T @ plane.normal_lps) < np.sqrt(0.5)
    fine_mm, coarse_mm = float(spacing[in_plane].min()), float(spacing[in_plane].max())
    outline = _intersection(head.geometry, plane) @ axes[:, :2]
    low, high = outline.min(axis=0), outline.max(axis=0)
    size = np.maximum(1, np.floor((high - low) / fine_mm + 1e-6)).astype(int)
    center = axes[:, :2] @ ((low + high) / 2) + (plane.point_lps_mm @ plane.normal_lps) * plane.normal_lps
    grid = Geometry.from_axes(
        (int(size[0]), int(size[1]), 1),
        axes,
        (fine_mm, fine_mm, 1.0),
        center_lps_mm=center,
        frame_of_reference=head.geometry.frame_of_reference,
    )
    return grid, coarse_mm


def _intersection(geometry: Geometry, plane: Plane) -> Array:
    """Return where the plane cuts the edges of the voxel block (n, 3)."""
    corners = geometry.corners_lps_mm()
    distance = plane.distance_mm(corners)
    points = []
    for a in range(8):
        for bit in (1, 2, 4):
            b = a | bit
            if b != a and distance[a] * distance[b] <= 0 and distance[a] != distance[b]:
                share = distance[a] / (distance[a] - distance[b])
                points.append(corners[a] + share * (corners[b] - corners[a]))
    if len(points) < 3:
        raise Refusal("the head's plane of symmetry lies outside the image")
    return np.array(points)


@dataclass(frozen=True)
class _Mirror:
    """A smoothed head at one resolution, and the points at which it is compared with its mirror image."""

    values: npt.NDArray[np.float32]
    geometry: Geometry
    points: Array  # (n, 3) LPS mm
    at_points: npt.NDArray[np.float32]

    def score(self, angles_and_offset: Array, center: Array) -> float:
        """Correlation between the image at the points and at their mirror points; less where those fall outside."""
        from scipy import ndimage

        normal = _normal(angles_and_offset[0], angles_and_offset[1])
        distance = (self.points - center) @ normal - angles_and_offset[2]
        mirrored = self.geometry.ijk_from_lps(self.points - 2 * distance[:, None] * normal)
        there = ndimage.map_coordinates(self.values, mirrored.T, order=1, mode="constant", cval=0.0)
        a, b = self.at_points - self.at_points.mean(), there - there.mean()
        return float((a @ b) / max(float(np.sqrt((a @ a) * (b @ b))), 1e-12))


def _normal(yaw_deg: float, roll_deg: float) -> Array:
    """Unit normal near the patient's left, turned about superior (yaw) and anterior-posterior (roll)."""
    yaw, roll = np.radians(yaw_deg), np.radians(roll_deg)
    normal = np.array([np.cos(yaw) * np.cos(roll), np.sin(yaw) * np.cos(roll), np.sin(roll)])
    return np.asarray(normal / np.linalg.norm(normal))


def _symmetry_plane(head: Volume, brain: Brain | None) -> Plane:
    """Search coarsely over turns and offsets, then refine twice, on finer grids, with the simplex method."""
    from scipy import ndimage, optimize

    grid = axial_grid_around(head.geometry, 2.0)
    values = np.asarray(head.resample(grid).array, dtype=np.float32)
    inside = _region(values, brain, grid)
    center = grid.lps_from_ijk(np.argwhere(inside).mean(axis=0))
    # an unsharp picture: local structure, with the shading of coils and the outer CSF taken out
    weight = ndimage.gaussian_filter(inside.astype(np.float32), 8.0) + 1e-3
    local = values - ndimage.gaussian_filter(values * inside, 8.0) / weight
    local[~inside] = 0
    spread = float(local[inside].std()) or 1.0
    local = np.clip(local / spread, -3, 3) + 1.5 * inside  # the outline counts as well
    coarse = _mirror(ndimage.gaussian_filter(local, 2.0), grid, inside, 1500)
    best = _grid_search(coarse, center)
    for sigma, count, step in ((1.5, 4000, 3.0), (0.6, 12000, 1.0)):
        mirror = _mirror(ndimage.gaussian_filter(local, sigma), grid, inside, count)
        simplex = best + np.array([[0, 0, 0], [step, 0, 0], [0, step, 0], [0, 0, step]])
        found = optimize.minimize(
            lambda x, mirror=mirror: -mirror.score(x, center),
            best,
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "xatol": 0.03, "fatol": 1e-6, "maxiter": 200},
        )
        best = np.asarray(found.x)
    normal = _normal(best[0], best[1])
    return Plane(center + best[2] * normal, normal)


def _region(values: npt.NDArray[np.float32], brain: Brain | None, grid: Geometry) -> npt.NDArray[np.bool_]:
    """Return where to compare: the brain, or without one all that is brighter than a fifth of the bright tissue."""
    if brain is not None:
        inside = np.asarray(brain.distance.resample(grid, fill=8.0).array <= 0)
    else:
        inside = values > 0.2 * float(np.percentile(values, 98))
    if np.count_nonzero(inside) < 1000:
        raise Refusal("there is too little of a head in the image to find its plane of symmetry")
    return inside


def _mirror(values: npt.NDArray[np.float32], grid: Geometry, inside: npt.NDArray[np.bool_], count: int) -> _Mirror:
    """Pick about ``count`` voxels evenly (a fixed stride through a fixed shuffle keeps runs alike)."""
    from scipy import ndimage

    candidates = np.argwhere(inside)
    if len(candidates) > count:
        candidates = candidates[np.random.default_rng(0).permutation(len(candidates))[:count]]
    at_points = ndimage.map_coordinates(values, candidates.T, order=1).astype(np.float32)
    return _Mirror(values, grid, grid.lps_from_ijk(candidates), at_points)


def _grid_search(mirror: _Mirror, center: Array) -> Array:
    """Try turns up to 30 degrees either way, and offsets up to 24 mm."""
    turns, offsets = np.arange(-30, 31, 6.0), np.arange(-24, 25, 6.0)
    tries = np.stack(np.meshgrid(turns, turns, offsets, indexing="ij"), axis=-1).reshape(-1, 3)
    scores = [mirror.score(one, center) for one in tries]
    return np.asarray(tries[int(np.argmax(scores))])
