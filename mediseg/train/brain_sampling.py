"""Draw training pairs for brain extraction: a head in a random pose, with a random contrast and a scanner's faults.

A pair depends on the seed and the step alone. The order of the faults is the one of acquisition: anatomy and contrast,
coil sensitivity, slices and blur, noise, display window, field of view, normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train.brain_heads import DISTANCE_STEP_MM, Head
from mediseg.train.painting import draw_contrast, draw_palette, paint

FloatArray = npt.NDArray[np.float32]
Rng = np.random.Generator

SPACING_MM = 2.0
NORMALIZE = {"low": 1.0, "high": 99.0, "clip": (-0.5, 2.0)}
#: Sizes of a field of view in voxels of 2 mm; none that the coarse part, which looks at all of it, has not seen.
FINE_SIZES = ((80, 96, 112), (96, 112, 128), (80, 96, 112, 128))
#: Sizes of a field of view in voxels of 4 mm: from a tight box round the brain to a head with neck and air.
COARSE_SIZES = ((40, 48, 56, 64), (48, 56, 64), (40, 48, 56, 64, 72))
#: Brain that cannot be seen is none: the target is brain and field of view together. The view counts as this much
#: larger, so that the last slices of a cut head stay clearly inside.
BLIND_MM = 2.0
#: Labels that hold several tissues in one and are broken up: soft tissue, skull, marrow.
MIXED_LABELS = (165, 207, 216, 240)


Sizes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Sampler:
    """Callable ``step -> (image, distance_mm)``, both float32 (N, 1, X, Y, Z), for ``loop.fit``.

    ``painted_share`` of the samples are painted label maps, the rest real scans. X, Y and Z are drawn from ``sizes``,
    in voxels of ``spacing_mm``.
    """

    heads: Sequence[Head]
    seed: int = 0
    spacing_mm: float = SPACING_MM
    sizes: Sizes = FINE_SIZES
    count: int = 1
    painted_share: float = 0.7

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the pairs of this step."""
        rng = np.random.default_rng((self.seed, step))
        x, y, z = (int(rng.choice(choices)) for choices in self.sizes)
        pairs = [draw_sample(self.draw_head(rng), (x, y, z), rng, self.spacing_mm) for _ in range(self.count)]
        image, distance = (np.stack(parts)[:, None] for parts in zip(*pairs, strict=True))
        return torch.from_numpy(image), torch.from_numpy(distance)

    def draw_head(self, rng: Rng) -> Head:
        """Choose a head."""
        wanted = rng.uniform() < self.painted_share
        pool = [head for head in self.heads if head.painted == wanted] or list(self.heads)
        return pool[int(rng.integers(len(pool)))]


def draw_sample(
    head: Head, size: tuple[int, int, int], rng: Rng, spacing_mm: float = SPACING_MM
) -> tuple[FloatArray, FloatArray]:
    """Return one image, normalised as at run time, and the signed distance in mm, both of ``size``."""
    drawn = draw_posed(head, size, rng, spacing_mm)
    image, distance = cut_view(drawn.image, drawn.distance, rng, spacing_mm)
    return normalize_percentiles(image, **NORMALIZE), distance


@dataclass(frozen=True, slots=True)
class Drawn:
    """A head as it was acquired in some pose: grey values of any scale, and the signed distance in mm."""

    image: FloatArray
    distance: FloatArray


def draw_posed(
    head: Head,
    size: tuple[int, int, int],
    rng: Rng,
    spacing_mm: float,
    centre_ijk: tuple[float, float, float] | None = None,
    pose: npt.NDArray[np.float64] | None = None,
) -> Drawn:
    """Turn, scale, warp, paint and degrade a head; the image's middle lies at ``centre_ijk``, or near the brain's.

    ``pose``: from millimetres of the image to those of the head (3, 3); without one, ``draw_pose``.
    """
    pose = draw_pose(rng) if pose is None else pose
    centre = np.asarray(head.centre_ijk) + _shift_mm(rng) / head.voxel_mm if centre_ijk is None else centre_ijk
    points = _points(centre, size, pose * (spacing_mm / head.voxel_mm), _elastic(size, rng), head.voxel_mm)
    zoom = float(np.cbrt(abs(np.linalg.det(pose))))
    beyond = _beyond_mm(head.image.shape, points) * np.float32(head.voxel_mm / zoom) - np.float32(BLIND_MM)
    head = _seen_part(head, points)
    image = _sample(_grey(head, rng), points, outside=0.0)
    distance = _sample(head.distance.astype(np.float32), points, outside=None) * np.float32(DISTANCE_STEP_MM / zoom)
    distance = np.maximum(distance, beyond)
    if head.painted:
        _break_up(image, _nearest(head.image, points), rng)
    else:
        image = _recolour(image, rng)
    image = _remove_tissue(image, distance, rng)
    return Drawn(degrade(image, rng, spacing_mm), distance)


def draw_pose(rng: Rng) -> npt.NDArray[np.float64]:
    """Return the 3 x 3 matrix from millimetres of the crop to those of the head: flip, turn, scale, shear."""
    angles = np.radians(rng.uniform(-25.0, 25.0, 3) * rng.choice((0.4, 1.0)))
    if rng.uniform() < 0.15:
        angles[int(rng.integers(3))] = np.radians(rng.uniform(-45.0, 45.0))
    turn = rotation(angles)
    scale = rng.uniform(0.8, 1.2) * rng.uniform(0.9, 1.1, 3)
    shear = np.eye(3) + np.triu(rng.uniform(-0.08, 0.08, (3, 3)), 1)
    flip = np.diag([rng.choice((-1.0, 1.0)), 1.0, 1.0])
    return flip @ turn @ shear @ np.diag(1.0 / scale)


def rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the product of turns about the first, second and third axis, in radians."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [i for i in range(3) if i != axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    return turn


def degrade(image: FloatArray, rng: Rng, spacing_mm: float = SPACING_MM) -> FloatArray:
    """Add coil sensitivity, blur or thick slices, Rician noise and a monotone display curve."""
    image = np.clip(image, 0.0, None)
    air = image <= 1e-3
    if rng.uniform() < 0.75:
        image = image * _bias(image.shape, rng)
    image = _lower_resolution(image, rng, spacing_mm)
    top = float(np.percentile(image, 99.5)) or 1.0
    image = image * np.float32(1.0 / top)
    if rng.uniform() < 0.7:
        image = _rician(image, rng.uniform(0.0, 0.09) * rng.uniform(), rng)
    if rng.uniform() < 0.3:
        image = np.where(air, np.float32(0.0), image)
    if rng.uniform() < 0.6:
        image = _curve(image, rng)
    return image


def _points(
    centre_ijk: Sequence[float] | npt.NDArray[np.float64],
    size: tuple[int, int, int],
    ijk_from_crop: npt.NDArray[np.float64],
    warp_mm: torch.Tensor | None,
    voxel_mm: float,
) -> torch.Tensor:
    """Return where each voxel of the crop lies in the head's array, in voxels: (1, X, Y, Z, 3), the last axis zyx."""
    steps = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2.0 for n in size]
    result = torch.empty((1, *size, 3))
    for axis in range(3):
        a, b, c = (float(v) for v in ijk_from_crop[axis])
        place = (a * steps[0])[:, None, None] + (b * steps[1])[None, :, None] + (c * steps[2])[None, None, :]
        place = place + float(centre_ijk[axis])
        if warp_mm is not None:
            place += warp_mm[axis] / voxel_mm
        result[0, ..., 2 - axis] = place
    return result


def _beyond_mm(shape: tuple[int, ...], points: torch.Tensor) -> FloatArray:
    """Return how far each point lies beyond the head's array, in voxels of it; negative within."""
    result: torch.Tensor | None = None
    for axis, n in enumerate(shape):
        along = points[0, ..., 2 - axis]
        beyond = torch.maximum(-along, along - float(n - 1))
        result = beyond if result is None else torch.maximum(result, beyond)
    return np.asarray(result)


def _seen_part(head: Head, points: torch.Tensor) -> Head:
    """Cut the head to what the points touch and turn them, in place, into grid_sample's -1..1 of that part."""
    box = []
    for axis, n in enumerate(head.image.shape):
        along = points[..., 2 - axis]
        first = min(max(0, int(along.min()) - 1), n - 2)
        stop = max(min(n, int(along.max()) + 3), first + 2)
        box.append(slice(first, stop))
        along -= float(first)
        along *= 2.0 / (stop - first - 1)
        along -= 1.0
    part = tuple(box)
    return Head(head.name, head.painted, head.image[part], head.distance[part], head.centre_ijk, head.voxel_mm)


def _shift_mm(rng: Rng) -> npt.NDArray[np.float64]:
    """Return how far the crop's middle lies from the brain's: near it, or anywhere down to the neck and the chin."""
    near, far = rng.uniform(-25.0, 25.0, 3), rng.uniform((-40.0, -45.0, -95.0), (40.0, 65.0, 25.0))
    return far if rng.uniform() < 0.3 else near


def _elastic(size: tuple[int, int, int], rng: Rng) -> torch.Tensor | None:
    """Return a smooth displacement in mm, (3, X, Y, Z), or None in a third of the cases."""
    if rng.uniform() < 0.33:
        return None
    knots = int(rng.integers(4, 8))
    size_mm = rng.uniform(0.5, 12.0 / knots)
    coarse = torch.from_numpy(rng.normal(0.0, size_mm, (1, 3, knots, knots, knots)).astype(np.float32))
    return functional.interpolate(coarse, size=size, mode="trilinear", align_corners=True)[0]


def _grey(head: Head, rng: Rng) -> FloatArray:
    """Return the head's image at 1 mm: a painted map or the scan itself, brightest about 1."""
    if not head.painted:
        return head.image.astype(np.float32) * np.float32(1.0 / 255.0)
    return paint(head.image, draw_palette(rng, draw_contrast(rng)), rng)


def _sample(source: FloatArray, points: torch.Tensor, outside: float | None) -> FloatArray:
    """Interpolate linearly; beyond the source comes ``outside`` (0) or, with None, the nearest value."""
    padding = "border" if outside is None else "zeros"
    found = functional.grid_sample(
        torch.from_numpy(source)[None, None], points, mode="bilinear", padding_mode=padding, align_corners=True
    )
    return np.asarray(found[0, 0].numpy())


def _nearest(labels: npt.NDArray[np.uint8], points: torch.Tensor) -> npt.NDArray[np.uint8]:
    found = functional.grid_sample(
        torch.from_numpy(labels.astype(np.float32))[None, None],
        points,
        mode="nearest",
        padding_mode="zeros",
        align_corners=True,
    )
    return np.asarray(found[0, 0].numpy()).astype(np.uint8)


def _break_up(image: FloatArray, labels: npt.NDArray[np.uint8], rng: Rng) -> None:
    """Give labels that hold several tissues a random patchwork of greys, in place (fat beside muscle, say)."""
    draws = rng.uniform(0.3, 1.7, (len(MIXED_LABELS), 3))
    knots = tuple(int(rng.integers(8, 22)) for _ in range(3))
    coarse = rng.uniform(0.0, 3.0, (1, 1, *knots)).astype(np.float32)
    if rng.uniform() < 0.3:
        return
    field = functional.interpolate(torch.from_numpy(coarse), size=image.shape, mode="trilinear", align_corners=True)
    patch = np.clip(field[0, 0].numpy(), 0.0, 2.99).astype(np.uint8)
    factors = np.ones((256, 3), np.float32)
    factors[list(MIXED_LABELS)] = draws
    image *= factors[labels, patch]


def _recolour(image: FloatArray, rng: Rng) -> FloatArray:
    """Change a scan's greys: mostly a monotone curve, sometimes turned round or folded, air left dark."""
    choice, knots = rng.uniform(), rng.uniform(0.0, 1.0, 6)
    if choice < 0.75:
        return image
    head = np.clip(image / 0.08, 0.0, 1.0)
    if choice < 0.87:
        return np.asarray((1.05 - np.clip(image, 0.0, 1.0)) * head, np.float32)
    table = np.interp(np.linspace(0.0, 1.0, 256), np.linspace(0.0, 1.0, 6), knots).astype(np.float32)
    return np.asarray(table[(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)] * head, np.float32)


def _remove_tissue(image: FloatArray, distance: FloatArray, rng: Rng) -> FloatArray:
    """Sometimes take away the face behind a plane, or everything that is not brain."""
    choice, depth = rng.uniform(), rng.uniform(1.0, 8.0)
    normal = np.array([rng.normal(0.0, 0.15), rng.uniform(0.3, 1.0), -rng.uniform(0.0, 1.0)])
    if choice < 0.04:
        return np.where(distance < depth, image, np.float32(0.0))
    if choice < 0.16:
        normal /= np.linalg.norm(normal)
        steps = [np.arange(n, dtype=np.float32) * np.float32(v) for n, v in zip(image.shape, normal, strict=True)]
        along = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
        inside = along[distance < 4.0]
        if inside.size:
            return np.where(along <= inside.max() + depth / 2.0, image, np.float32(0.0))
    return image


def _bias(shape: tuple[int, ...], rng: Rng) -> FloatArray:
    """Return a smooth positive field around 1."""
    knots = tuple(int(rng.integers(2, 6)) for _ in range(3))
    return np.exp(_interpolated(rng.normal(0.0, rng.uniform(0.05, 0.5), knots), shape))


def _interpolated(coarse: npt.NDArray[np.float64], shape: tuple[int, ...]) -> FloatArray:
    values = torch.from_numpy(coarse.astype(np.float32))[None, None]
    field = functional.interpolate(values, size=shape, mode="trilinear", align_corners=True)
    return np.asarray(field[0, 0].numpy())


def _lower_resolution(image: FloatArray, rng: Rng, spacing_mm: float) -> FloatArray:
    """Blur a little, or acquire thick slices along one axis, or coarse voxels along all three."""
    choice, axis = rng.uniform(), int(rng.integers(3))
    thickness_mm, voxel_mm = rng.uniform(3.0, 6.8), rng.uniform(2.4, 4.2)
    sigmas_mm = rng.uniform(0.2, 1.5) * rng.uniform(0.7, 1.3, 3)
    if choice < 0.3:
        return _resample_axis(image, axis, thickness_mm / spacing_mm)
    if choice < 0.38:
        for each in range(3):
            image = _resample_axis(image, each, voxel_mm / spacing_mm)
        return image
    if choice < 0.85:
        return np.asarray(ndimage.gaussian_filter(image, sigmas_mm / spacing_mm, truncate=2.5), np.float32)
    return image


def _resample_axis(image: FloatArray, axis: int, thickness: float) -> FloatArray:
    """Average over slices of ``thickness`` voxels along an axis and interpolate linearly back."""
    if thickness <= 1.0:
        return image
    smooth = ndimage.gaussian_filter1d(image, 0.36 * thickness, axis=axis, mode="nearest", truncate=2.5)
    count = image.shape[axis]
    slices = max(2, round(count / thickness))
    coarse = [slices if each == axis else n for each, n in enumerate(image.shape)]
    thin = functional.interpolate(
        torch.from_numpy(smooth)[None, None], size=coarse, mode="trilinear", align_corners=True
    )
    back = functional.interpolate(thin, size=image.shape, mode="trilinear", align_corners=True)
    return np.asarray(back[0, 0].numpy())


def _rician(image: FloatArray, sigma: float, rng: Rng) -> FloatArray:
    real = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma) + image
    imaginary = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
    return np.hypot(real, imaginary)


def _curve(image: FloatArray, rng: Rng) -> FloatArray:
    """Apply a random monotone curve that keeps 0 and 1."""
    rises = rng.dirichlet(np.full(5, 4.0))
    gamma = float(np.exp(rng.normal(0.0, 0.25)))
    values = np.linspace(0.0, 1.3, 512)
    knots = np.concatenate([[0.0], np.cumsum(rises), [1.0 + 0.3 * float(rises[-1]) * 5.0]])
    table = np.interp(values**gamma, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3], knots).astype(np.float32)
    return table[np.clip(image * np.float32(511 / 1.3), 0, 511).astype(np.int16)]


def cut_view(
    image: FloatArray, distance: FloatArray, rng: Rng, spacing_mm: float = SPACING_MM
) -> tuple[FloatArray, FloatArray]:
    """Blank the image beyond a random box, as where the field of view ended there; the brain ends there, too."""
    cuts, which = rng.uniform(0.0, 0.3, 6), rng.uniform(size=6)
    if rng.uniform() < 0.65:
        return image, distance
    box, beyond = [], np.full(image.shape, -1e3, np.float32)
    for axis, n in enumerate(image.shape):
        low = int(cuts[2 * axis] * n) if which[2 * axis] < 0.35 else 0
        high = n - int(cuts[2 * axis + 1] * n) if which[2 * axis + 1] < 0.35 else n
        box.append(slice(low, high))
        steps = np.arange(n, dtype=np.float32) + 0.5
        below = low - steps if low else np.full(n, -1e3)
        above = steps - high if high < n else np.full(n, -1e3)
        outside_mm = spacing_mm * np.maximum(below, above) - BLIND_MM
        shape = [n if each == axis else 1 for each in range(3)]
        beyond = np.maximum(beyond, outside_mm.astype(np.float32).reshape(shape))
    result = np.zeros_like(image)
    result[tuple(box)] = image[tuple(box)]
    return result, np.maximum(distance, beyond)
