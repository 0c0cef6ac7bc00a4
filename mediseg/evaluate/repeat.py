"""Repeatability: the same slice seen again, turned, coarser, in another contrast or noisier, and segmented again.

Each variant is drawn from (seed, id, kind), whatever else is evaluated. A turned or zoomed slice is shown to the step
as if it had been acquired so; the answer is then laid back where it belongs, and compared on the original grid.

- ``rotation``: turned up to 25 degrees, shifted up to 25 mm each way, zoomed 0.85-1.18; the matrix stays.
- ``matrix``: the same field of view on 384, 256 and 192 pixels (those that are coarser than the slice's own).
- ``turned``: a rotation and a matrix of 192 to 512 at once, as another scan would have it.
- ``contrast``: a random rising curve of grey levels, and a gamma of 0.6-1.6.
- ``noise``: Rician noise of 2-8 % of the 99th percentile.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mediseg.errors import Refusal, UsageError, did_you_mean
from mediseg.evaluate.metrics import dice, frame_error, roi_axis, roi_error, turn_deg
from mediseg.evaluate.scoring import Judged
from mediseg.geometry import Geometry
from mediseg.numerics.shapes import largest_component
from mediseg.results import Callosum, Frame
from mediseg.steps.callosum import segment_callosum
from mediseg.volume import Segmentation, Volume

KINDS = ("rotation", "matrix", "turned", "contrast", "noise")
MATRICES = (384, 256, 192)
_TURN_DEG, _SHIFT_MM, _ZOOM = 25.0, 25.0, (0.85, 1.18)

Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class Variant:
    """A slice seen again: ``seen`` on the grid it claims to have, ``true`` where those pixels really lie."""

    kind: str
    name: str
    seen: Volume
    true: Geometry


@dataclass(frozen=True, slots=True)
class Repeat:
    """How a variant's result differs: Dice to the unperturbed result and to the reference, the robust ROI's moves.

    ``angle_change_deg`` is signed, ``angle_error_deg`` is the one to the reference mask's axis; nan where refused.
    """

    id: str
    group: str
    kind: str
    variant: str
    status: str
    reason: str = ""
    dice_to_first: float = math.nan
    dice: float = math.nan
    angle_change_deg: float = math.nan
    center_change_mm: float = math.nan
    angle_error_deg: float = math.nan
    center_error_mm: float = math.nan
    acpc_angle_error_deg: float = math.nan
    acpc_midpoint_error_mm: float = math.nan


REPEAT_COLUMNS = tuple(field.name for field in fields(Repeat))


def kinds_of(text: str) -> tuple[str, ...]:
    """Return the kinds named in ``rotation,matrix``. Raises UsageError for an unknown one."""
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f'--repeat: there is no perturbation "{kind}"{did_you_mean(kind, KINDS)}')
    return kinds


def repeated(first: Judged, kinds: Sequence[str], model: str, seed: int = 0) -> Iterator[Repeat]:
    """Yield what becomes of every variant of a slice whose callosum was found; nothing for any other entry."""
    if first.image is None or first.callosum is None or first.reference is None or not first.score.present:
        return
    for variant in variants(first.image, kinds, first.score.id, seed):
        yield _again(first, first.image, first.callosum, first.reference, variant, model)


def variants(image: Volume, kinds: Sequence[str], identity: str, seed: int = 0) -> Iterator[Variant]:
    """Yield the variants of a one-slice sagittal image, drawn from the seed and its id."""
    upright = image.reorient("PIR")
    for kind in kinds:
        draw = hashlib.sha256(f"{seed}/{identity}/{kind}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(draw[:8]))
        if kind == "matrix":
            widest = max(upright.geometry.shape[:2])
            yield from (_moved(upright, kind, str(n), matrix=n) for n in MATRICES if n < widest)
        elif kind in ("rotation", "turned"):
            matrix = int(rng.integers(192, 513)) if kind == "turned" else None
            turn, shift = float(rng.uniform(-_TURN_DEG, _TURN_DEG)), rng.uniform(-_SHIFT_MM, _SHIFT_MM, 2)
            zoom = float(np.exp(rng.uniform(*np.log(_ZOOM))))
            yield _moved(upright, kind, "", turn, (float(shift[0]), float(shift[1])), zoom, matrix)
        else:
            change = _recoloured if kind == "contrast" else _noisy
            yield Variant(kind, "", upright.with_array(change(rng, upright.array)), upright.geometry)


def _moved(
    upright: Volume,
    kind: str,
    name: str,
    turn_deg: float = 0.0,
    shift_mm: tuple[float, float] = (0.0, 0.0),
    zoom: float = 1.0,
    matrix: int | None = None,
) -> Variant:
    """Return the slice on a grid turned and shifted in its plane, whose pixels are ``1 / zoom`` of what they claim."""
    old = upright.geometry
    fields_mm = [n * mm for n, mm in zip(old.shape[:2], old.spacing_mm, strict=False)]
    if matrix is None:
        wide, high = old.shape[:2]
        spacing = old.spacing_mm[:2]
    else:
        pixel = max(fields_mm) / matrix
        wide, high = (max(1, round(length / pixel)) for length in fields_mm)
        spacing = (pixel, pixel)
    back, down, through = old.axes_lps.T
    angle = math.radians(turn_deg)
    axes = np.column_stack(
        [math.cos(angle) * back + math.sin(angle) * down, math.cos(angle) * down - math.sin(angle) * back, through]
    )
    depth = old.spacing_mm[2]
    center = old.center_lps_mm + shift_mm[0] * back + shift_mm[1] * down
    true = Geometry.from_axes(
        (wide, high, 1), axes, (spacing[0] / zoom, spacing[1] / zoom, depth), center_lps_mm=center
    )
    claimed = Geometry.from_axes((wide, high, 1), old.axes_lps, (*spacing, depth), center_lps_mm=old.center_lps_mm)
    return Variant(kind, name, Volume(Volume(upright.array, _placed(old)).resample(true).array, claimed), true)


def _placed(geometry: Geometry) -> Geometry:
    """Return a grid without its frame of reference: what is compared here lies in one space by construction."""
    return replace(geometry, frame_of_reference=None)


def _recoloured(rng: Random, array: np.ndarray) -> np.ndarray:
    low, high = (float(v) for v in np.percentile(array, (0.5, 99.5)))
    x = np.clip((array.astype(np.float64) - low) / max(high - low, 1e-9), 0, 1.5)
    knots = np.concatenate([[0.0], np.cumsum(rng.uniform(0.3, 1.7, 6))])
    curved = np.interp(x, np.linspace(0, 1.5, knots.size), 1.5 * knots / knots[-1])
    gamma = float(np.exp(rng.uniform(np.log(0.6), np.log(1.6))))
    return np.asarray(1000 * curved**gamma, dtype=np.float32)


def _noisy(rng: Random, array: np.ndarray) -> np.ndarray:
    sigma = float(rng.uniform(0.02, 0.08)) * float(np.percentile(array, 99))
    real, imaginary = rng.normal(0, sigma, (2, *array.shape))
    return np.asarray(np.hypot(array + real, imaginary), dtype=np.float32)


def _again(
    first: Judged, image: Volume, callosum: Callosum, reference: Segmentation, variant: Variant, model: str
) -> Repeat:
    row = Repeat(first.score.id, first.score.group, variant.kind, variant.name, "done")
    try:
        seen = segment_callosum(variant.seen, model=model)
    except Refusal as error:
        return replace(row, status="refused", reason=" ".join(str(error).split()))
    there = replace(
        seen,
        mask=replace(seen.mask, geometry=variant.true),
        probability=replace(seen.probability, geometry=variant.true),
        acpc=_laid_back(seen.acpc, variant),
    )
    back = there.probability.resample(image).array >= 0.5
    mask = largest_component(np.asarray(back))
    (center, axis, _), (moved_center, moved_axis, _) = roi_axis(callosum), roi_axis(there)
    apart, line = roi_error(there, reference), frame_error(there.acpc, first.acpc)
    return replace(
        row,
        dice_to_first=dice(mask, callosum.mask.mask()),
        dice=dice(mask, reference.mask()),
        angle_change_deg=turn_deg(axis, moved_axis),
        center_change_mm=float(np.linalg.norm(moved_center - center)),
        angle_error_deg=apart.angle_deg,
        center_error_mm=apart.center_mm,
        acpc_angle_error_deg=line.angle_deg,
        acpc_midpoint_error_mm=line.center_mm,
    )


def _laid_back(frame: Frame | None, variant: Variant) -> Frame | None:
    """Take a frame from where the slice claims to lie to where it does."""
    if frame is None:
        return None
    ends = np.array([frame.center_lps_mm, np.asarray(frame.center_lps_mm) + frame.direction_lps])
    center, end = variant.true.lps_from_ijk(variant.seen.geometry.ijk_from_lps(ends))
    return Frame(center, (end - center) / np.linalg.norm(end - center))
