"""Draw mid-sagittal slices painted from label maps, with the callosum's area fractions: any contrast, thick or thin.

A slab of labels (``callosum_maps``) is painted with a random palette, averaged over a random slice thickness, placed
in a window by an affine and a soft bend, and put through a random scanner (``scanner``). Windows follow the conventions
of ``callosum.draw``: face left, rows to inferior, normalised, targets are area fractions. A pair depends on the
generator's state alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train.callosum_maps import HALF_SLICES, PIXEL_MM, SLICE_MM, Slab
from mediseg.train.painting import Contrast, Palette, draw_contrast, draw_palette
from mediseg.train.scanner import cut_view, scan

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Generator = np.random.Generator

THINNEST_MM, THICKEST_MM = 1.0, 6.0
#: Grey by which white matter differs at least from cortex, CSF and ventricles, of a scale 0..1.
_LEAST_CONTRAST = 0.08
_WHITE, _CORTEX, _VENTRICLE, _LESION, _CSF, _CAVUM, _ARTERY = 2, 3, 4, 25, 24, 72, 202
#: Labels that hold several tissues in one and are broken up: skull, soft tissue, marrow, soft tissue.
_MIXED = (165, 207, 216, 240)


@dataclass(frozen=True, slots=True)
class Cut:
    """How a slice is cut out of a slab: thickness, distance off the plane, slope along rows and columns (mm a mm)."""

    thickness_mm: float
    offset_mm: float
    slope: tuple[float, float]


def draw_painted(
    rng: Generator,
    slab: Slab,
    affine: Doubles,
    size: tuple[int, int],
    *,
    contrast: Contrast | None = None,
    cut: Cut | None = None,
    edges: float = 0.35,
) -> tuple[Floats, Floats]:
    """Return one painted window (rows, columns), normalised, and the callosum's area fractions in it.

    ``affine``: 2 x 3, from window (column, row) to mm (posterior, inferior) of the callosum's centroid, see
    ``whole_slice_affine`` and ``callosum_affine``; its scale gives the pixel. ``size``: rows, columns. ``contrast`` and
    ``cut`` are drawn where they are None. ``edges`` is the share of windows with a cut field of view.
    """
    palette = visible_palette(rng, contrast or draw_contrast(rng))
    cut = cut or draw_cut(rng)
    image, target = render(rng, slab, affine, size, palette, cut, bend=0.75)
    pixel_mm = _pixel_mm(affine)
    image, target = cut_view(rng, scan(rng, image, pixel_mm), target, edges)
    return normalize_percentiles(image), target


def render(
    rng: Generator,
    slab: Slab,
    affine: Doubles,
    size: tuple[int, int],
    palette: Palette,
    cut: Cut,
    *,
    bend: float = 0.0,
) -> tuple[Floats, Floats]:
    """Return the painted slice in the window, as an ideal scanner would see it, and the callosum's area fractions.

    Grey values are the palette's (air 0, brightest about 1). ``bend`` is the share of windows that are bent.
    """
    where = place(rng, slab, affine, size, bend)
    columns, rows = (_span(where[..., axis], slab.mask.shape[1 - axis]) for axis in (0, 1))
    where -= np.array([columns.start, rows.start], np.float32)
    flat = paint_slice(rng, slab, palette, cut, (rows, columns))
    fine, mask = _sampled(flat, where), _sampled(slab.mask[rows, columns], where) / np.float32(255)
    return _shrunk(fine, size), _shrunk(mask, size)


def whole_slice_affine(rng: Generator, size: tuple[int, int], pixel_mm: float = 1.0) -> Doubles:
    """Return an affine that turns a whole slice by up to 30 degrees (one in six: 45), zooms it and shifts it by 45 mm.

    As ``callosum.window_affine``: zoom 0.8-1.25, up to 6 % more along one axis, larger windows shift farther, one in
    25 hardly shows the callosum.
    """
    angle = np.deg2rad(rng.uniform(-1, 1) * (45 if rng.random() < 1 / 6 else 30))
    zoom, stretch = np.exp(rng.uniform(np.log(0.8), np.log(1.25))), np.exp(rng.uniform(-0.06, 0.06))
    reach = 45.0 + (min(size) * pixel_mm - 192) / 2
    shift = rng.uniform(-1, 1, 2) * max(reach, 5.0)
    if rng.random() < 0.04:
        away = rng.uniform(0, 2 * np.pi)
        shift = rng.uniform(100, 140) * np.array([np.cos(away), np.sin(away)])
    return _affine(size, pixel_mm, float(angle), (stretch / zoom, 1 / (stretch * zoom)), shift)


def callosum_affine(
    rng: Generator, slab: Slab, size: tuple[int, int] = (128, 256), pixel_mm: float = 0.5, *, jitter: float = 1.0
) -> Doubles:
    """Return an affine to a window centred on the callosum's smallest box, its long side level, give or take.

    ``jitter`` 1 turns by up to 8 degrees, shifts by up to 6 mm and zooms 0.9-1.1.
    """
    (column, row), _, angle = callosum_box(slab)
    middle = np.array([column, row]) - np.array(slab.centre)
    turn = np.deg2rad(angle + jitter * rng.uniform(-8, 8))
    zoom = np.exp(jitter * rng.uniform(np.log(0.9), np.log(1.1), 2) * np.array([1.0, 1.0]))
    affine = _affine(size, pixel_mm, float(turn), (float(zoom[0]), float(zoom[1])), np.zeros(2))
    affine[:, 2] += middle * PIXEL_MM + jitter * rng.uniform(-6, 6, 2)
    return affine


def callosum_box(slab: Slab) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return centre (column, row), sides (long, short) in slab pixels, and the long side's angle in degrees."""
    points = cv2.findNonZero((slab.mask > 127).astype(np.uint8))
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    sides = sorted((corners[1] - corners[0], corners[2] - corners[1]), key=lambda side: float(np.hypot(*side)))
    short, long = sides
    angle = (float(np.degrees(np.arctan2(long[1], long[0]))) + 90.0) % 180.0 - 90.0
    column, row = corners.mean(axis=0)
    return (float(column), float(row)), (float(np.hypot(*long)), float(np.hypot(*short))), angle


def visible_palette(rng: Generator, contrast: Contrast) -> Palette:
    """Draw a palette in which white matter can be told from what lies round the callosum (at the fifth try, any)."""
    for _ in range(4):
        palette = draw_palette(rng, contrast)
        around = palette.means[[_CORTEX, _CSF, _VENTRICLE]]
        if float(np.abs(around - palette.means[_WHITE]).min()) >= _LEAST_CONTRAST:
            return palette
    return draw_palette(rng, contrast)


def draw_cut(rng: Generator) -> Cut:
    """Draw a slice: thin in four of ten, else up to 6 mm; within 1 mm of the plane, sloped by up to 2 degrees."""
    thickness = THINNEST_MM if rng.random() < 0.4 else rng.uniform(THINNEST_MM, THICKEST_MM)
    offset = float(np.clip(rng.normal(0, 0.5), -1, 1))
    slope = np.tan(np.deg2rad(rng.uniform(-2, 2, 2))) * (rng.random() < 0.3)
    return Cut(float(thickness), offset, (float(slope[0]), float(slope[1])))


def place(rng: Generator, slab: Slab, affine: Doubles, size: tuple[int, int], bend: float) -> Floats:
    """Return the slab position (column, row) of every fine window pixel.

    Fine pixels measure about 0.5 mm. A share ``bend`` of the windows is bent: smoothly, by up to about 3 mm, and the
    callosum's border moves by up to 1.5 mm on each side, for thinner and thicker ones.
    """
    fine = max(1, round(_pixel_mm(affine) / PIXEL_MM))
    rows, columns = (np.arange(n * fine, dtype=np.float32) for n in size)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    scale = np.array([[1 / fine, 0, (1 - fine) / (2 * fine)], [0, 1 / fine, (1 - fine) / (2 * fine)], [0, 0, 1]])
    matrix = slab.pixels_of_mm(affine @ scale)
    where = cv2.transform(grid, matrix).astype(np.float32)
    if rng.random() >= bend:
        return where
    knots, strength = int(rng.integers(5, 14)), rng.uniform(0, 1.3) / PIXEL_MM
    moves = rng.normal(0, strength, (knots, knots, 2)).astype(np.float32)
    coarse = np.asarray(cv2.resize(moves, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    coarse += _thinner(rng, slab, affine, size)
    return where + np.asarray(cv2.resize(coarse, grid.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _thinner(rng: Generator, slab: Slab, affine: Doubles, size: tuple[int, int]) -> Floats:
    """Return moves (rows, columns, 2) in slab pixels across the callosum's border, inward or outward."""
    matrix = slab.pixels_of_mm(affine)
    seen = cv2.warpAffine(slab.mask, matrix, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    pixel = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    soft = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), float(rng.uniform(2.0, 3.0)) / (pixel * PIXEL_MM))
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    inward = np.stack(across, axis=-1) @ matrix[:, :2].T.astype(np.float32)
    steepest = float(np.abs(inward).max())
    strength = np.float32(rng.uniform(-0.8, 1.5) / PIXEL_MM / max(steepest, 1e-3))
    return -strength * inward if steepest > 1e-3 else np.zeros_like(inward)


def paint_slice(rng: Generator, slab: Slab, palette: Palette, cut: Cut, part: tuple[slice, slice]) -> Floats:
    """Paint a part (rows, columns) of the slab as one slice: float32, labels' greys averaged over the thickness."""
    layers, weights = _layers(slab, cut, part)
    middle = layers[len(layers) // 2]
    extra = _extras(rng, slab.mask[part], middle)
    flat: Floats = np.zeros(middle.shape, np.float32)
    for layer, weight in zip(layers, weights, strict=True):
        labels = layer if extra is None else np.where(extra > 0, extra, layer)
        flat += np.asarray(cv2.LUT(labels, palette.means * np.float32(weight)), np.float32)
    _septum(rng, flat, middle, palette)
    _patchwork(rng, flat, middle)
    coarse = (max(8, flat.shape[0] // 2), max(8, flat.shape[1] // 2))
    texture = cv2.resize(rng.standard_normal(coarse, dtype=np.float32), flat.shape[::-1])
    if rng.random() < 0.4:
        texture = cv2.GaussianBlur(texture, (0, 0), float(rng.uniform(0.8, 2.0))) * np.float32(1.6)
    flat += cv2.multiply(texture, cv2.LUT(middle, palette.spreads))
    return np.maximum(flat, 0, out=flat)


def _layers(slab: Slab, cut: Cut, part: tuple[slice, slice]) -> tuple[list[Bytes], list[float]]:
    """Return the label slices (rows, columns) that a cut runs through and their shares of its thickness."""
    at = np.arange(-HALF_SLICES, HALF_SLICES + 1) * SLICE_MM
    low, high = cut.offset_mm - cut.thickness_mm / 2, cut.offset_mm + cut.thickness_mm / 2
    share = np.clip(np.minimum(at + SLICE_MM / 2, high) - np.maximum(at - SLICE_MM / 2, low), 0, None)
    used = np.flatnonzero(share > 0.02 * cut.thickness_mm)
    labels = slab.labels[part]
    if cut.slope == (0.0, 0.0):
        layers = [np.ascontiguousarray(labels[..., i]) for i in used]
    else:
        columns = (np.arange(part[1].start, part[1].stop) - slab.centre[0]) * PIXEL_MM * cut.slope[1] / SLICE_MM
        rows = (np.arange(part[0].start, part[0].stop) - slab.centre[1]) * PIXEL_MM * cut.slope[0] / SLICE_MM
        off = np.rint(rows[:, None] + columns[None]).astype(np.int32)
        start = np.arange(off.size, dtype=np.int32).reshape(off.shape) * labels.shape[2]
        flat = np.ascontiguousarray(labels).reshape(-1)
        layers = [flat[start + np.clip(off + i, 0, labels.shape[2] - 1)] for i in used]
    return layers, [float(v) for v in share[used] / share[used].sum()]


def _extras(rng: Generator, mask: Bytes, middle: Bytes) -> Bytes | None:
    """Return labels to lay over every layer (0: none): lesions in the white matter, a vessel along the callosum."""
    lesions, vessel = rng.random() < 0.15, rng.random() < 0.3
    if not (lesions or vessel):
        return None
    extra = np.zeros(middle.shape, np.uint8)
    if lesions:
        low = rng.random((max(2, middle.shape[0] // 8), max(2, middle.shape[1] // 8)), dtype=np.float32)
        blobs = cv2.resize(low, middle.shape[::-1], interpolation=cv2.INTER_CUBIC)
        extra[(blobs > rng.uniform(0.85, 1.0)) & (middle == _WHITE)] = _LESION
    if vessel:
        near = cv2.dilate((mask > 127).astype(np.uint8), _disc(int(rng.integers(1, 5))))
        gap = cv2.dilate((mask > 127).astype(np.uint8), _disc(int(rng.integers(0, 3))))
        low = rng.random((6, 6), dtype=np.float32)
        some = cv2.resize(low, middle.shape[::-1], interpolation=cv2.INTER_CUBIC) > rng.uniform(0.3, 0.8)
        extra[(near > gap) & some & ((middle == _CSF) | (middle == _CORTEX))] = _ARTERY
    return extra


def _septum(rng: Generator, flat: Floats, middle: Bytes, palette: Palette) -> None:
    """Sometimes draw a septum pellucidum, in place: the ventricles' grey moves towards the white matter's."""
    share, chance = rng.uniform(0.1, 0.8), rng.random()
    coarse = rng.uniform(0.3, 1.0, (5, 5)).astype(np.float32)
    if chance > 0.4:
        return
    inside = ((middle == _VENTRICLE) | (middle == _CAVUM)).astype(np.float32)
    weight = inside * cv2.resize(coarse, flat.shape[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(share)
    flat += weight * (palette.means[_WHITE] - flat)


def _patchwork(rng: Generator, flat: Floats, middle: Bytes) -> None:
    """Give labels that hold several tissues a random patchwork of greys, in place (fat beside muscle, say)."""
    factors = rng.uniform(0.3, 1.7, (len(_MIXED), 3))
    knots = rng.integers(8, 22, 2)
    low = rng.uniform(0.0, 3.0, (int(knots[0]), int(knots[1]))).astype(np.float32)
    if rng.random() < 0.3:
        return
    patch = np.clip(cv2.resize(low, flat.shape[::-1], interpolation=cv2.INTER_LINEAR), 0, 2.99).astype(np.uint8)
    for number, label in enumerate(_MIXED):
        inside = middle == label
        if inside.any():
            flat[inside] *= factors[number].astype(np.float32)[patch[inside]]


def _affine(size: tuple[int, int], pixel_mm: float, angle: float, zoom: tuple[float, float], shift: Doubles) -> Doubles:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag(zoom) * pixel_mm
    middle = (np.array([size[1], size[0]]) - 1) / 2 + shift / pixel_mm
    return np.column_stack([linear, -linear @ middle])


def _pixel_mm(affine: Doubles) -> float:
    return float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))


def _span(positions: Floats, count: int) -> slice:
    """Return the part of an axis that positions touch, at least one pixel, with one to spare for interpolation."""
    low = min(max(0, int(np.floor(positions.min())) - 1), count - 1)
    high = max(min(count, int(np.ceil(positions.max())) + 2), low + 1)
    return slice(low, high)


def _shrunk(fine: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _sampled(source: Floats | Bytes, where: Floats) -> Floats:
    """Return ``source`` at positions (column, row), linearly; 0 beyond it."""
    found = cv2.remap(source, where, None, cv2.INTER_LINEAR)  # type: ignore[call-overload] # the map is one array
    return np.asarray(found, np.float32)


def _disc(radius: int) -> Bytes:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.uint8)
