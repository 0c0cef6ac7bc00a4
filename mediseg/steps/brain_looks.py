"""What the networks see of a head: the whole of it, a level box about the brain, and the border at 1 mm.

All answer with the signed distance to the brain's border in mm, negative inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Geometry, axial_grid_around
from mediseg.inference import Bundle, predict, predict_channels
from mediseg.numerics.intensity import stretched
from mediseg.numerics.pose import Pose, fit_pose, unclipped
from mediseg.volume import Volume

Floats = npt.NDArray[np.float32]


def whole_head(head: Volume, bundle: Bundle) -> Volume:
    """Return the distance on the bundle's own grid, along the patient's axes, over the whole image.

    Where the bundle names a coarser companion, that one looks, at twice the spacing: much cheaper, and enough for the
    bundle to look closely at a level box then.
    """
    grid = axial_grid_around(head.geometry, bundle.spacing_mm, bundle.settings["input"]["orientation"])
    small = head.resample(grid)
    coarse = bundle.companion("brain-coarse")
    if coarse is None:
        return small.with_array(np.clip(predict(bundle, small.array), -_clip(bundle), _clip(bundle)))
    half = halved(small)
    found = half.with_array(np.clip(predict(coarse, half.array), -_clip(coarse), _clip(coarse)))
    return found.resample(grid, fill=_clip(coarse))


def halved(volume: Volume) -> Volume:
    """Return the mean of each 2 x 2 x 2 voxels; an axis of odd length gets a layer of 0 at its end."""
    even = np.pad(np.asarray(volume.array, np.float32), [(0, n % 2) for n in volume.geometry.shape])
    i, j, k = (n // 2 for n in even.shape)
    affine = volume.geometry.affine_lps.copy()
    affine[:3, :3] *= 2
    affine[:3, 3] = volume.geometry.lps_from_ijk(np.full(3, 0.5))
    mean = even.reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5))
    return Volume(mean, Geometry((i, j, k), affine, volume.geometry.frame_of_reference))


def level_box(head: Volume, found: Volume, bundle: Bundle) -> Volume:
    """Return the distance on the grid of ``found`` (a first look's, mm), from a level box about the brain.

    The usual brain's outline is laid onto what was found; the box lies as the outline does, in its size, and is as
    bright as its brain is. So the network sees the same however the head came: turned, cut or in a sea of air. Beyond
    the box the first look stands.
    """
    wanted = bundle.settings["input"]["level"]
    pose = brain_pose(found, np.array(wanted["outline_mm"]), _clip(bundle))
    box = _turned_box(found.geometry, pose, wanted)
    image = np.asarray(head.resample(box).array, np.float32)
    guess = np.asarray(found.resample(box, fill=_clip(bundle)).array)
    scale = wanted["normalize"]
    scaled = stretched(image, image[guess < 0], scale["low"], scale["high"], (scale["clip"][0], scale["clip"][1]))
    said = np.clip(predict_channels(bundle, scaled[None]), -_clip(bundle), _clip(bundle))
    # the network takes a voxel for as wide as its own spacing
    distance = said * np.float32(box.spacing_mm[0] / bundle.spacing_mm)
    unknown = np.float32(1e3)
    back = np.asarray(Volume(distance, box).resample(found.geometry, fill=float(unknown)).array)
    return found.with_array(np.where(back < unknown / 2, back, found.array))


def brain_pose(found: Volume, outline_mm: npt.NDArray[np.float64], clip_mm: float) -> Pose:
    """Return how the outline lies in a distance map, in mm along its axes from its first voxel."""
    every = 2
    coarse = np.asarray(found.array)[::every, ::every, ::every]
    spacing_mm = found.geometry.spacing_mm[0] * every
    return fit_pose(unclipped(coarse, spacing_mm, clip_mm), spacing_mm, outline_mm)


def _turned_box(grid: Geometry, pose: Pose, wanted: Mapping[str, Any]) -> Geometry:
    """Return the box that lies in a grid as the outline does."""
    shape = np.array(wanted["shape"])
    mm_from_box = pose.size * wanted["voxel_mm"] * pose.turn
    affine = grid.affine_lps.copy()
    axes = grid.affine_lps[:3, :3] / np.array(grid.spacing_mm)
    affine[:3, :3] = axes @ mm_from_box
    affine[:3, 3] = grid.origin_lps_mm + axes @ (pose.shift - mm_from_box @ ((shape - 1) / 2))
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine, grid.frame_of_reference)


def at_border(head: Volume, found: Volume, bundle: Bundle) -> Volume:
    """Return the distance on a 1 mm grid along the head's own axes, about the brain ``found`` before (distance, mm)."""
    wanted = bundle.settings["input"]
    grid = _box(head.geometry, found, bundle)
    clip_mm = _clip(bundle)
    guess = np.asarray(found.resample(grid, fill=clip_mm).array, np.float32)
    image = np.asarray(head.resample(grid).array, np.float32)
    scale = wanted["normalize"]
    near = image[guess < scale["within_mm"]]
    scaled = stretched(image, near, scale["low"], scale["high"], (scale["clip"][0], scale["clip"][1]))
    answer = predict_channels(bundle, np.stack([scaled, guess / np.float32(clip_mm)]))
    return Volume(np.clip(answer, -clip_mm, clip_mm), grid)


def _clip(bundle: Bundle) -> float:
    return float(bundle.settings["output"]["clip_mm"])


def _box(head: Geometry, found: Volume, bundle: Bundle) -> Geometry:
    """Return the grid: the head's axes in the bundle's order, its spacing, about what was found, sizes as it needs.

    Axes that are as fine as the bundle within a tenth keep their own voxels, so that nothing is interpolated.
    """
    wanted = bundle.settings["input"]
    axes = head.reorient(wanted["orientation"])
    spacing = [
        mm if abs(mm - bundle.spacing_mm) < 0.1 * bundle.spacing_mm else bundle.spacing_mm for mm in axes.spacing_mm
    ]
    whole = axes.with_spacing(spacing)
    inside = np.argwhere(found.array < 0)
    corners = np.array(np.meshgrid(*zip(inside.min(axis=0), inside.max(axis=0), strict=True))).reshape(3, -1).T
    places = whole.ijk_from_lps(found.geometry.lps_from_ijk(corners))
    margin = wanted["margin_mm"] / np.array(spacing)
    first = np.maximum(np.floor(places.min(axis=0) - margin), 0).astype(int)
    last = np.minimum(np.ceil(places.max(axis=0) + margin), np.array(whole.shape) - 1).astype(int)
    size = last - first + 1
    size += -size % int(wanted["pad_multiple"])
    affine = whole.affine_lps.copy()
    affine[:3, 3] = whole.lps_from_ijk(first.astype(np.float64))
    return Geometry((int(size[0]), int(size[1]), int(size[2])), affine, head.frame_of_reference)
