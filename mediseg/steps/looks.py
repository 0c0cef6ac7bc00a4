"""What the networks see of a mid-sagittal slice: the whole of it, then windows level on what was found there.

All take an upright slice: axis 0 to posterior, axis 1 to inferior, one slice (``PIR``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Geometry
from mediseg.inference import Bundle, predict, predict_values
from mediseg.numerics.moments import principal_axis
from mediseg.results import Frame
from mediseg.volume import Volume

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_FAINTEST = 0.05  # the least probability that counts for a pose, as for the robust ROI
_FINE = 2  # windows are sampled at twice their resolution, then averaged, as in training


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a callosum lies on an upright slice: its centroid in patient coordinates, and its axis in the plane.

    ``along`` points to posterior, ``down`` to inferior; unit vectors.
    """

    centre_lps_mm: Array
    along: Array
    down: Array

    def turned(self, degrees: float) -> Pose:
        """Return the pose turned about its centroid; positive turns lower the posterior end."""
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        return Pose(self.centre_lps_mm, cos * self.along + sin * self.down, cos * self.down - sin * self.along)

    def at(self, right_mm: float, below_mm: float) -> Array:
        """Return the patient point ``right_mm`` along the axis and ``below_mm`` below the centroid."""
        return np.asarray(self.centre_lps_mm + right_mm * self.along + below_mm * self.down)


def pose_of(upright: Volume, probability: npt.NDArray[np.floating]) -> Pose:
    """Return the pose of a probability map (i, j) on an upright slice; it must not be empty."""
    geometry = upright.geometry
    pixels = np.argwhere(probability >= _FAINTEST)
    weights = probability[tuple(pixels.T)].astype(np.float64)
    spacing = np.array(geometry.spacing_mm[:2])
    centre, axis = principal_axis(pixels * spacing, weights)
    posterior, inferior = (geometry.affine_lps[:3, axis_] / spacing[axis_] for axis_ in (0, 1))
    return Pose(
        geometry.lps_from_ijk(np.array([*(centre / spacing), 0.0])),
        axis[0] * posterior + axis[1] * inferior,
        axis[0] * inferior - axis[1] * posterior,
    )


def whole_slice(upright: Volume, bundle: Bundle) -> Floats:
    """Return the callosum's probability on the pixels of an upright slice, the mean over the bundle's grid phases.

    A border then hardly depends on where it falls between the network's pixels.
    """
    geometry, mm = upright.geometry, bundle.spacing_mm
    grid = geometry.with_spacing((mm, mm, geometry.spacing_mm[2]))
    total = np.zeros(geometry.shape[:2], np.float32)
    phases = bundle.settings["output"]["phases"]
    for down, right in phases:
        small = upright.resample(_shifted(grid, (right, down, 0.0)))
        answer = predict(bundle, small.array[:, :, 0].T)
        total += small.with_array(answer.T[:, :, None]).resample(upright).array[:, :, 0]
    return np.asarray(np.clip(total / len(phases), 0, 1), np.float32)


def level_window(upright: Volume, pose: Pose, bundle: Bundle) -> Floats:
    """Return the callosum's probability on an upright slice from windows level on a pose; 0 beyond them.

    The mean over the bundle's ``looks``: mm to the right, mm below, degrees.
    """
    total = np.zeros(upright.geometry.shape[:2], np.float32)
    looks = bundle.settings["output"]["looks"]
    for right, below, degrees in looks:
        turned = pose.turned(degrees)
        grid = _window(turned, turned.at(right, below), bundle, upright.geometry)
        answer = predict(bundle, _seen(upright, grid))
        there = Volume(answer.T[:, :, None], grid)
        total += there.resample(upright).array[:, :, 0]
    return np.asarray(np.clip(total / len(looks), 0, 1), np.float32)


def acpc_frame(upright: Volume, pose: Pose, bundle: Bundle) -> Frame:
    """Return the AC-PC frame: the mean of what the network says in the bundle's ``looks``."""
    middles, directions = [], []
    for right, below, degrees in bundle.settings["output"]["looks"]:
        turned = pose.turned(degrees)
        centre = turned.at(right, below + bundle.settings["input"]["below_mm"])
        seen = _seen(upright, _window(turned, centre, bundle, upright.geometry))
        posterior, inferior, lower = (float(value) for value in predict_values(bundle, seen))
        middles.append(centre + posterior * turned.along + inferior * turned.down)
        directions.append(turned.turned(lower).along)
    direction = np.mean(directions, axis=0)
    return Frame(np.mean(middles, axis=0), direction / np.linalg.norm(direction))


def _window(pose: Pose, centre_lps_mm: Array, bundle: Bundle, slice_: Geometry) -> Geometry:
    """Return the grid of a window: columns along the pose's axis, as large as the bundle says."""
    rows, columns = bundle.settings["input"]["shape"]
    mm = bundle.spacing_mm
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = pose.along * mm, pose.down * mm
    affine[:3, 2] = slice_.affine_lps[:3, 2]
    affine[:3, 3] = centre_lps_mm - affine[:3, 0] * (columns - 1) / 2 - affine[:3, 1] * (rows - 1) / 2
    return Geometry((columns, rows, 1), affine, slice_.frame_of_reference)


def _seen(upright: Volume, window: Geometry) -> Floats:
    """Return the slice in a window, (rows, columns): linear at twice the resolution, then the mean of 2 x 2."""
    affine = window.affine_lps.copy()
    affine[:3, 3] -= (affine[:3, 0] + affine[:3, 1]) * (_FINE - 1) / (2 * _FINE)
    affine[:3, :2] /= _FINE
    columns, rows, _ = window.shape
    fine = upright.resample(Geometry((columns * _FINE, rows * _FINE, 1), affine, window.frame_of_reference))
    blocks = fine.array[:, :, 0].astype(np.float32).reshape(columns, _FINE, rows, _FINE)
    return np.asarray(blocks.mean(axis=(1, 3)).T, np.float32)


def _shifted(geometry: Geometry, ijk: tuple[float, float, float]) -> Geometry:
    affine = geometry.affine_lps.copy()
    affine[:3, 3] = geometry.lps_from_ijk(np.array(ijk))
    return Geometry(geometry.shape, affine, geometry.frame_of_reference)
