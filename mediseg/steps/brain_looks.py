"""What the networks see of a head: the whole of it, then a level box about the brain.

Both answer with the signed distance to the brain's border in mm, negative inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal, UsageError
from mediseg.geometry import Geometry, axial_grid_around
from mediseg.inference import Bundle, predict, predict_channels
from mediseg.numerics.intensity import stretched
from mediseg.numerics.pose import Pose, fit_pose, unclipped
from mediseg.volume import Volume

Floats = npt.NDArray[np.float32]

# Whole heads at hand lie 1.1 to 2.4 mm (root mean square) off the outline, 0.84 to 1.1 times its size; a ball 3.6 mm.
_SIZES = (0.55, 1.5)
_MAX_RESIDUAL_MM = 5.0


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


def level_box(head: Volume, found: Volume, pose: Pose, bundle: Bundle) -> Volume:
    """Return the distance on the grid of ``found`` (a first look's, mm), from a level box about the brain.

    The box lies as the usual brain's outline does (``brain_pose``), in its size, and is as bright as its brain is. So
    the network sees the same however the head came: turned, cut or in a sea of air. Beyond the box the first look
    stands.
    """
    wanted = bundle.settings["input"]["level"]
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


def brain_pose(found: Volume, bundle: Bundle) -> Pose:
    """Return how the usual brain's outline lies in a distance map, in mm along its axes from its first voxel.

    Raises Refusal where what was found has not the shape of a brain.
    """
    every = 2
    coarse = np.asarray(found.array)[::every, ::every, ::every]
    if not (coarse < 0).any():
        raise Refusal("no whole brain found: nothing looks like brain")
    spacing_mm = found.geometry.spacing_mm[0] * every
    if "level" not in bundle.settings["input"]:
        raise UsageError(f'the model "{bundle.name}" says nothing of a level box: export it again with this mediseg')
    outline = np.array(bundle.settings["input"]["level"]["outline_mm"])
    pose = fit_pose(unclipped(coarse, spacing_mm, _clip(bundle)), spacing_mm, outline)
    if not (_SIZES[0] < pose.size < _SIZES[1] and pose.residual_mm < _MAX_RESIDUAL_MM):
        off = f"{pose.residual_mm:.1f} mm off its outline, {pose.size:.1f} times its size"
        raise Refusal(f"no whole brain found: what looks like brain has not its shape ({off})")
    return pose


def _turned_box(grid: Geometry, pose: Pose, wanted: Mapping[str, Any]) -> Geometry:
    """Return the box that lies in a grid as the outline does."""
    shape = np.array(wanted["shape"])
    mm_from_box = pose.size * wanted["voxel_mm"] * pose.turn
    affine = grid.affine_lps.copy()
    axes = grid.affine_lps[:3, :3] / np.array(grid.spacing_mm)
    affine[:3, :3] = axes @ mm_from_box
    affine[:3, 3] = grid.origin_lps_mm + axes @ (pose.shift - mm_from_box @ ((shape - 1) / 2))
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine, grid.frame_of_reference)


def _clip(bundle: Bundle) -> float:
    return float(bundle.settings["output"]["clip_mm"])
