"""Images into stacks: split by contrast, orientation and repetition, put in order by position, checked for gaps.

Geometry comes from ImageOrientationPatient, ImagePositionPatient and PixelSpacing alone (PS3.3 C.7.6.2.1.1). Those are
patient coordinates already, so PatientPosition turns nothing; SliceThickness and SpacingBetweenSlices say how thick a
slice is, not where the next one lies, and are used only for a stack of one slice.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mediseg.errors import Code, Warn
from mediseg.geometry import Array, Geometry
from mediseg.io.dicom.header import REPETITION_KEYS, Image
from mediseg.io.dicom.thinned import thinned
from mediseg.io.study import Slice, Stack

SAME_DIRECTION = 2e-3  # largest difference of a direction cosine within a stack (0.1 degrees)
SAME_POSITION_MM = 0.01
MAX_SKEW = 0.02  # of direction cosines: products of two columns
SAME_LINE_MM = 0.5  # how far slices may lie beside the straight line through their origins
MAX_TILT_DEG = 45.0  # steeper than any gantry: these are separate stacks beside each other
TILT_DEG = 0.1
UNEVEN, TOO_UNEVEN = 0.02, 0.1  # distance from the regular grid, as a part of the slice spacing
MAX_MISSING = 0.02
MAX_MATRIX = 65_535  # Rows and Columns are 16-bit
MAX_POSITION_MM = 10_000.0
MIN_PIXEL_MM, MAX_PIXEL_MM = 1e-3, 100.0
MAX_THICKNESS_MM = 1000.0
MAX_SPREAD = 4096  # slices of a grid that are listed one by one, missing ones among them
_STRONG_KEYS = 3  # the first of REPETITION_KEYS are reason enough to split even a partial repetition


def stacks_of(images: Sequence[Image]) -> list[Stack]:
    """Return the stacks of one series, in a fixed order that does not depend on the order of the files."""
    images = sorted(
        images,
        key=lambda image: (
            image.slice.instance,
            image.slice.frame,
            image.slice.sop_uid,
            str(image.slice.file),
            image.slice.tile,
        ),
    )
    found: list[Stack] = []
    numbers = {image.slice.instance for image in images}
    for group in _grouped(images, _contrast):
        reason = _no_geometry(group[0])
        if reason:
            found.append(_unplaced(group, reason))
            continue
        for parallel in _by_orientation(group):
            unique, doubles = _without_copies(parallel)
            for line in _by_line(unique):
                found += [_stack(one, doubles, numbers) for one in _repetitions(line)]
    return _labelled(sorted(found, key=_order))


def _grouped(images: Iterable[Image], key: Callable[[Image], Hashable]) -> list[list[Image]]:
    groups: dict[Hashable, list[Image]] = defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return list(groups.values())


def _contrast(image: Image) -> Hashable:
    spacing = None if image.spacing_mm is None else tuple(round(value, 4) for value in image.spacing_mm)
    size = (image.rows, image.columns, image.colors, image.is_inverted, spacing)
    return (*size, image.frame_of_reference, image.image_type, image.component, image.echo, _no_geometry(image))


def _no_geometry(image: Image) -> str | None:
    """Say why an image has no place in the patient, or return None."""
    return _no_picture(image) or _no_place(image)


def _no_picture(image: Image) -> str | None:
    if image.rows < 1 or image.columns < 1:
        return "it holds no image"
    if max(image.rows, image.columns) > MAX_MATRIX:
        return f"its header says {image.columns} x {image.rows} pixels, more than DICOM allows"
    if image.colors != 1:
        return "it is a colour picture, such as a photo or a screenshot"
    if image.problem:
        return image.problem
    if image.frames > 1:
        return f"it holds {image.frames} frames without a position for each"
    return None


def _no_place(image: Image) -> str | None:
    position, orientation, spacing = image.slice.position_lps_mm, image.orientation, image.spacing_mm
    if position is None:
        return "its header gives no position (ImagePositionPatient)"
    if orientation is None:
        return "its header gives no orientation (ImageOrientationPatient)"
    if spacing is None or min(spacing) <= 0:
        return "its header gives no pixel size (PixelSpacing)"
    if max(map(abs, position)) > MAX_POSITION_MM:
        return "its position (ImagePositionPatient) lies far outside of any scanner"
    if not MIN_PIXEL_MM <= min(spacing) <= max(spacing) <= MAX_PIXEL_MM:
        return "its pixel size (PixelSpacing) is absurd"
    row, column = orientation[:3], orientation[3:]
    if max(map(abs, orientation)) > 2 or any(
        abs(sum(map(operator.mul, one, other)) - expected) > MAX_SKEW
        for one, other, expected in ((row, row, 1), (column, column, 1), (row, column, 0))
    ):
        return "its orientation (ImageOrientationPatient) is not two unit vectors at a right angle"
    return None


def _unplaced(images: list[Image], reason: str) -> Stack:
    first = images[0]
    return Stack(
        first.info,
        tuple(image.slice for image in images),
        None,
        first.image_type,
        component=first.component,
        facts=first.facts,
        unfit=reason,
    )


def _axes(images: Sequence[Image]) -> tuple[Array, Array, Array]:
    """Unit directions of i (along a row), j (down a column) and k = i x j, from the first image."""
    directions = np.array(images[0].orientation, dtype=np.float64).reshape(2, 3)
    row, column = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def _positions(images: Sequence[Image]) -> Array:
    return np.array([image.slice.position_lps_mm for image in images], dtype=np.float64)


def _by_orientation(images: list[Image]) -> list[list[Image]]:
    groups: list[tuple[Array, list[Image]]] = []
    for image in images:
        mine = np.array(image.orientation)
        for other, members in groups:
            if np.abs(mine - other).max() <= SAME_DIRECTION:
                members.append(image)
                break
        else:
            groups.append((mine, [image]))
    return [members for _, members in groups]


def _without_copies(images: list[Image]) -> tuple[list[Image], list[Image]]:
    """Set aside files that repeat an image: same SOP Instance UID, frame and position."""
    seen: set[Hashable] = set()
    unique: list[Image] = []
    copies: list[Image] = []
    for image in images:
        key = (*_identity(image.slice), image.slice.position_lps_mm)
        (copies if image.slice.sop_uid and key in seen else unique).append(image)
        seen.add(key)
    return unique, copies


def _identity(one: Slice) -> tuple[str, int, int]:
    return one.sop_uid, one.frame, one.tile


def _by_line(images: list[Image]) -> list[list[Image]]:
    """Split parallel slices that lie beside each other, such as stations, from those behind each other."""
    row, column, normal = _axes(images)
    positions = _positions(images)
    depth, beside = positions @ normal, positions @ np.stack([row, column], axis=1)
    if _is_straight(depth, beside):
        return [images]
    groups: list[tuple[Array, list[Image]]] = []
    for image, here in zip(images, beside, strict=True):
        for other, members in groups:
            if np.abs(here - other).max() <= 2 * SAME_LINE_MM:
                members.append(image)
                break
        else:
            groups.append((here, [image]))
    return [members for _, members in groups]


def _is_straight(depth: Array, beside: Array) -> bool:
    centered = depth - depth.mean()
    spread = float(centered @ centered)
    slope = centered @ beside / spread if spread > SAME_POSITION_MM**2 else np.zeros(2)
    distance = np.abs(beside - beside.mean(axis=0) - np.outer(centered, slope)).max()
    return bool(distance <= SAME_LINE_MM and np.degrees(np.arctan(np.linalg.norm(slope))) <= MAX_TILT_DEG)


def _by_position(images: Sequence[Image]) -> list[list[Image]]:
    """Group images at one position along the normal, in ascending order of it."""
    depth = _positions(images) @ _axes(images)[2]
    order = sorted(range(len(images)), key=lambda n: (float(depth[n]), n))
    groups: list[list[Image]] = []
    last = -np.inf
    for n in order:
        if depth[n] - last > SAME_POSITION_MM:
            groups.append([])
            last = depth[n]
        groups[-1].append(images[n])
    return groups


def _repetitions(images: list[Image]) -> list[list[Image]]:
    """Split a series that visits its positions several times (time points, averages, b-values) into single visits."""
    places = _by_position(images)
    most = max(map(len, places))
    if most == 1:
        return [images]
    is_repeated = sum(len(place) > 1 for place in places) >= 0.5 * len(places)
    keys = range(len(REPETITION_KEYS) if is_repeated else _STRONG_KEYS)
    for key in keys:
        groups = _grouped(images, _repetition_key(key))
        if len(groups) == most and all(len(_by_position(group)) == len(group) for group in groups):
            return sorted(groups, key=lambda group: _as_number(group[0].repetition[key]))
    if not is_repeated:
        return [images]
    return [[place[n] for place in places if n < len(place)] for n in range(most)]


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return -1.0, text  # not stated: first


def _repetition_key(number: int) -> Callable[[Image], Hashable]:
    return lambda image: image.repetition[number]


@dataclass(frozen=True)
class _Grid:
    """A regular grid through slice positions: where slice 0 lies, the step, and the index of each position."""

    origin: Array
    step: Array
    index: tuple[int, ...]
    residual_mm: float
    steps_mm: tuple[float, float]  # least and greatest distance between neighbours

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(self.index[-1] + 1)) - set(self.index)))

    @property
    def spacing_mm(self) -> float:
        return float(np.linalg.norm(self.step))


def _fitted(positions: Array, normal: Array, thickness_mm: float | None) -> _Grid:
    """Lay the regular grid (least squares) through ordered positions of which a few may be missing."""
    if len(positions) == 1:
        thickness = thickness_mm if thickness_mm and MIN_PIXEL_MM <= thickness_mm <= MAX_THICKNESS_MM else 1.0
        return _Grid(positions[0], normal * thickness, (0,), 0.0, (thickness, thickness))
    steps = np.diff(positions @ normal)
    usual = float(np.percentile(steps, 50, method="lower"))
    index = np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(steps / usual)))])
    design = np.stack([np.ones_like(index), index], axis=1)
    (origin, step), *_ = np.linalg.lstsq(design, positions, rcond=None)
    residual = float(np.linalg.norm(design @ np.stack([origin, step]) - positions, axis=1).max())
    jumps = (float(steps.min()), float(steps.max()))
    return _Grid(origin, step, tuple(int(n) for n in index), residual, jumps)


def _stack(images: list[Image], doubles: list[Image], numbers: Set[int]) -> Stack:
    places = _by_position(images)
    firsts = [place[0] for place in places]
    row, column, normal = _axes(firsts)
    first = firsts[0]
    grid = _fitted(_positions(firsts), normal, first.thickness_mm)
    if grid.index[-1] >= MAX_SPREAD and len(firsts) < (1 - MAX_MISSING) * grid.index[-1]:
        return _unplaced(firsts, f"its {len(firsts)} slices lie scattered over {grid.index[-1] + 1} places")
    slices: list[Slice | None] = [None] * (grid.index[-1] + 1)
    for k, image in zip(grid.index, firsts, strict=True):
        slices[k] = image.slice
    copies = _copies(places, grid, doubles)
    unfit, problems = _regularity(grid)
    problems += thinned(firsts, grid.spacing_mm, numbers)
    warnings = [*problems, *_tilt(grid, normal), *_repeated(copies), *_provenance(first)]
    return Stack(
        info=first.info,
        slices=tuple(slices),
        geometry=_geometry(first, grid, row, column, len(slices)),
        image_type=first.image_type,
        component=first.component,
        copies=copies,
        facts=first.facts,
        warnings=tuple(warnings),
        unfit=unfit,
        is_inverted=first.is_inverted,
    )


def _geometry(image: Image, grid: _Grid, row: Array, column: Array, count: int) -> Geometry:
    assert image.spacing_mm is not None  # _no_geometry has seen to it
    between_rows, between_columns = image.spacing_mm
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * between_columns, column * between_rows, grid.step
    affine[:3, 3] = grid.origin
    return Geometry((image.columns, image.rows, count), affine, image.frame_of_reference)


def _copies(places: list[list[Image]], grid: _Grid, doubles: list[Image]) -> tuple[tuple[int, Slice], ...]:
    kept = {_identity(place[0].slice): k for k, place in zip(grid.index, places, strict=True)}
    found = [(k, image.slice) for k, place in zip(grid.index, places, strict=True) for image in place[1:]]
    for image in doubles:
        k = kept.get(_identity(image.slice))
        if k is not None:
            found.append((k, image.slice))
    return tuple(sorted(found, key=lambda pair: (pair[0], pair[1].instance, str(pair[1].file))))


def _regularity(grid: _Grid) -> tuple[str | None, list[Warn]]:
    """Why the positions make no regular stack (or None), and the warnings about gaps and jitter."""
    part = grid.residual_mm / grid.spacing_mm
    low, high = grid.steps_mm
    if part > TOO_UNEVEN:
        text = f"its slices are {low:.3g} to {high:.3g} mm apart, too uneven for a regular stack"
        return text, [_uneven(grid)]
    warnings = [_uneven(grid)] if part > UNEVEN and grid.residual_mm > SAME_POSITION_MM else []
    missing, count = grid.missing, grid.index[-1] + 1
    if not missing:
        return None, warnings
    named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
    share = f"{len(missing)} of {count} slices missing ({100 * len(missing) / count:.1f} %), index {named}"
    warnings.append(Warn(Code.MISSING_SLICE, share, {"index": list(missing), "slices": count}))
    if any(after - before == 1 for before, after in pairwise(missing)):
        return f"{share}: neighbours are missing, and what lay between cannot be filled in", warnings
    if len(missing) > MAX_MISSING * count:
        return f"{share}: more than 2 % cannot be filled in", warnings
    filled = f"{share}: filled in from the slices on both sides"
    return None, [*warnings[:-1], Warn(Code.MISSING_SLICE, filled, warnings[-1].detail)]


def _uneven(grid: _Grid) -> Warn:
    low, high = grid.steps_mm
    text = (
        f"slices are {low:.3g} to {high:.3g} mm apart, up to {grid.residual_mm:.2g} mm off a regular stack of "
        f"{grid.spacing_mm:.4g} mm, which is what is used"
    )
    detail = {"least_mm": low, "greatest_mm": high, "used_mm": grid.spacing_mm, "residual_mm": grid.residual_mm}
    return Warn(Code.UNEQUAL_SPACING, text, detail)


def _tilt(grid: _Grid, normal: Array) -> list[Warn]:
    across = grid.step - normal * (grid.step @ normal)
    degrees = float(np.degrees(np.arctan2(np.linalg.norm(across), grid.step @ normal)))
    if degrees <= TILT_DEG:
        return []
    text = f"slices are stacked {degrees:.2f} degrees off their normal (a tilted gantry, or rounded positions)"
    return [Warn(Code.GANTRY_TILT, text, {"degrees": degrees})]


def _repeated(copies: tuple[tuple[int, Slice], ...]) -> list[Warn]:
    if not copies:
        return []
    index = sorted({k for k, _ in copies})
    text = f"{len(copies)} further images at positions that have one already; the first of each is used"
    return [Warn(Code.DUPLICATE_POSITION, text, {"index": index})]


def _provenance(image: Image) -> list[Warn]:
    warnings = []
    if image.image_type[:1] == ("DERIVED",) or image.image_type[1:2] == ("SECONDARY",):
        kind = "\\".join(image.image_type)
        text = f"the images are not as acquired but computed from others (ImageType {kind})"
        warnings.append(Warn(Code.NOT_PRIMARY, text, {"image_type": kind}))
    if image.burned_in:
        text = "the header says that text is burned into the pixels (BurnedInAnnotation YES): it may name the patient"
        warnings.append(Warn(Code.BURNED_IN_TEXT, text))
    return warnings


def _order(stack: Stack) -> int:
    return min(one.instance for one in stack.slices if one is not None)


_PLANES = ("sagittal", "coronal", "axial")


def plane_of(geometry: Geometry) -> str:
    """Return sagittal, coronal or axial, whichever the slices are nearest to."""
    normal = np.cross(geometry.axes_lps[:, 0], geometry.axes_lps[:, 1])
    return _PLANES[int(np.abs(normal).argmax())]


def _labelled(stacks: list[Stack]) -> list[Stack]:
    """Name the stacks of one series by what tells them apart."""
    if len(stacks) < 2:
        return stacks
    words = [_words(stack) for stack in stacks]
    telling = [n for n in range(len(words[0])) if len({word[n] for word in words}) > 1]
    labels = [", ".join(word[n] for n in telling if word[n]) for word in words]
    unique = [
        f"{label or 'part'} {labels[:n].count(label) + 1}" if labels.count(label) > 1 else label
        for n, label in enumerate(labels)
    ]
    return [replace(stack, label=label) for stack, label in zip(stacks, unique, strict=True)]


def _words(stack: Stack) -> tuple[str, ...]:
    plane = plane_of(stack.geometry) if stack.geometry is not None else ""
    echo = stack.facts.get("echo_time_ms")
    component = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}[stack.component]
    return (
        plane,
        "" if echo is None else f"TE {echo:g} ms",
        component,
        "\\".join(stack.image_type),
        "shown inverted" if stack.is_inverted else "",
    )
