"""Slices without a corpus callosum: what a network must not find one in.

Seven kinds: ``lateral`` (sagittal slices of heads 25 mm and more off the midline), ``axial`` and ``coronal`` head
slices (wrongly labelled), ``spine`` (spines and necks), and three made by code alone: ``noise``, ``phantom`` (discs,
bottles, grids) and ``photo`` (leaves over leaves with natural spectra). Heads are painted label maps and real scans of
elders. What is held out here is held out from the other networks, too: the maps of ``callosum_maps.HELD_OUT_MAPS``, six
elders, six spines and the lower half of the spine template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train.callosum_maps import list_maps
from mediseg.train.painting import draw_contrast, draw_palette, paint
from mediseg.train.scanner import cut_view, scan

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Generator = np.random.Generator
Kind = Literal["lateral", "axial", "coronal", "spine", "noise", "phantom", "photo"]

KINDS: tuple[Kind, ...] = ("lateral", "axial", "coronal", "spine", "noise", "phantom", "photo")
LATERAL_MM = 25.0

#: Elders (heads_nichart) and spines never trained on.
HELD_OUT_ELDERS = ("subj04", "subj09", "subj12", "subj14", "subj18", "subj22")
HELD_OUT_SPINES = (
    "mt_axial_cervical_sub03", "t1_axial_cervical", "t2_axial_cervicothoracic_ms", "t2_cervical_crop",
    "t2_sag_lumbar_crop_tptbox", "t2s_axial_cervical",
)  # fmt: skip
SPINES = ("mt_axial_cervical_sub01", "t1_cervical_crop", "t2_crop_fake_lesion")
TEMPLATE = "pam50_small_t2"
_CEREBELLUM = (7, 8, 46, 47)


@dataclass(frozen=True, slots=True)
class Plain:
    """A slice without a callosum: uint8 greys or labels (rows, columns), pixels of ``pixel_mm`` (down, across)."""

    image: Bytes
    painted: bool
    pixel_mm: tuple[float, float]


Sources = Mapping[Kind, Sequence[Plain]]


def draw_negative(
    rng: Generator, sources: Sources, size: tuple[int, int], pixel_mm: float = 1.0, kind: Kind | None = None
) -> Floats:
    """Return one window (rows, columns) without a callosum, normalised; its target is all zero.

    ``sources``: from ``load_sources``; kinds without any are not drawn. ``kind`` is drawn evenly where it is None.
    """
    kinds = [one for one in KINDS if one in MADE or sources.get(one)]
    chosen = kind or kinds[int(rng.integers(len(kinds)))]
    image = plain_window(rng, sources, size, pixel_mm, chosen)
    if chosen != "noise":
        image = scan(rng, image, pixel_mm)
    image, _ = cut_view(rng, image, np.zeros(image.shape, np.float32))
    return normalize_percentiles(image)


def plain_window(rng: Generator, sources: Sources, size: tuple[int, int], pixel_mm: float, kind: Kind) -> Floats:
    """Return one window of a kind as an ideal scanner would see it, 0 to about 1."""
    if kind in MADE:
        return MADE[kind](rng, size)
    pool = sources[kind]
    plain = pool[int(rng.integers(len(pool)))]
    if plain.painted:
        image = paint(plain.image, draw_palette(rng, draw_contrast(rng)), rng)
    else:
        image = plain.image.astype(np.float32) / np.float32(255)
    return _placed(rng, image, plain.pixel_mm, size, pixel_mm)


def _placed(
    rng: Generator, image: Floats, from_mm: tuple[float, float], size: tuple[int, int], pixel_mm: float
) -> Floats:
    """Put an image into a window, turned by up to 30 degrees, zoomed, shifted by up to 40 mm, at times mirrored."""
    angle, zoom = np.deg2rad(rng.uniform(-30, 30)), np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    shift = rng.uniform(-40, 40, 2) * (rng.random() < 0.7)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * pixel_mm / zoom
    turn[:, 0] *= -1 if rng.random() < 0.2 else 1
    linear = turn / np.array([[from_mm[1]], [from_mm[0]]])
    middle = (np.array(size[::-1]) - 1) / 2 + shift / pixel_mm
    matrix = np.column_stack([linear, (np.array(image.shape[::-1]) - 1) / 2 - linear @ middle])
    ratio = pixel_mm / min(from_mm)
    if ratio > 1.3:  # coarser than the source: average first
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 * ratio), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.clip(
        np.asarray(cv2.warpAffine(np.clip(image, 0, None), matrix, size[::-1], flags=flags), np.float32), 0, None
    )


def load_sources(data: Path, *, held_out: bool = False) -> dict[Kind, list[Plain]]:
    """Read the slices without a callosum under ``data``: for training, or those held out from it."""
    answer: dict[Kind, list[Plain]] = {"lateral": [], "axial": [], "coronal": [], "spine": []}
    for path in list_maps(data, held_out=held_out):
        _add(answer, slices_of_head(_canonical(path)[0].astype(np.uint8), (1.0, 1.0, 1.0), painted=True))
    for scan_path in sorted((data / "heads_nichart").glob("subj*_t1.nii.gz")):
        person = scan_path.name.split("_")[0]
        if (person in HELD_OUT_ELDERS) == held_out:
            for contrast in ("t1", "flair"):
                _add(answer, _head_scan(scan_path.with_name(f"{person}_{contrast}.nii.gz")))
    folder = data / "spine"
    for name in HELD_OUT_SPINES if held_out else SPINES:
        answer["spine"] += slices_of_spine(*_grey(folder / f"{name}.nii.gz"))
    template, zooms = _grey(folder / f"{TEMPLATE}.nii.gz")
    half = template.shape[2] // 2
    answer["spine"] += slices_of_spine(template[:, :, :half] if held_out else template[:, :, half:], zooms)
    return answer


def slices_of_head(
    image: Bytes, zooms: tuple[float, float, float], *, painted: bool, step_mm: float = 6.0
) -> dict[Kind, list[Plain]]:
    """Return lateral, axial and coronal slices of a head (RAS), and, of a painted one, its neck.

    Lateral slices lie 25 to 60 mm from the middle of the head, which is the midline of the labels, or the centre of
    brightness.
    """
    middle = _middle(image, painted)
    across, along, up = zooms
    offsets = [o for o in np.arange(LATERAL_MM, 61.0, 0.6 * step_mm) for o in (-o, o)]
    at = [round(middle + o / across) for o in offsets]
    lateral = [Plain(_sagittal(image[i]), painted, (up, along)) for i in at if 0 <= i < image.shape[0]]
    axial = [
        Plain(np.ascontiguousarray(image[:, ::-1, k].T), painted, (along, across))
        for k in range(0, image.shape[2], max(1, round(step_mm / up)))
    ]
    coronal = [
        Plain(np.ascontiguousarray(image[:, j, ::-1].T), painted, (up, across))
        for j in range(0, image.shape[1], max(1, round(step_mm / along)))
    ]
    answer: dict[Kind, list[Plain]] = {
        "lateral": _filled(lateral), "axial": _filled(axial), "coronal": _filled(coronal),
    }  # fmt: skip
    if painted:
        answer["spine"] = _necks(image, middle, zooms)
    return answer


def slices_of_spine(image: Bytes, zooms: tuple[float, float, float]) -> list[Plain]:
    """Return sagittal slices through the middle third of a spine (RAS), and a few axial ones."""
    across, along, up = zooms
    third = range(image.shape[0] // 3, max(image.shape[0] // 3 + 1, 2 * image.shape[0] // 3), 3)
    sagittal = [Plain(_sagittal(image[i]), False, (up, along)) for i in third]
    levels = range(0, image.shape[2], max(1, image.shape[2] // 6))
    axial = [Plain(np.ascontiguousarray(image[:, ::-1, k].T), False, (along, across)) for k in levels]
    return _filled(sagittal + axial)


# ---------------------------------------------------------------- made by code


def noise(rng: Generator, size: tuple[int, int]) -> Floats:
    """Return air: Rician noise, white or smooth, at times with a shade or a few bright lines."""
    parts = rng.standard_normal((2, *size), dtype=np.float32)
    if rng.random() < 0.5:
        sigma = float(rng.uniform(0.5, 12.0))
        parts = np.stack([np.asarray(cv2.GaussianBlur(part, (0, 0), sigma), np.float32) * sigma for part in parts])
    image = np.hypot(parts[0] + np.float32(rng.uniform(0, 2)), parts[1]) * np.float32(0.2)
    if rng.random() < 0.4:
        coarse = np.exp(rng.normal(0, 0.6, (4, 4))).astype(np.float32)
        image = image * np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    if rng.random() < 0.1:
        image[int(rng.integers(size[0]))] += np.float32(rng.uniform(0.3, 2))
    return np.clip(image, 0, None)


def phantom(rng: Generator, size: tuple[int, int]) -> Floats:
    """Return a test object: a disc, a bottle or a box, filled evenly, with holes, rods, a grid, a wedge or layers."""
    image = np.zeros(size, np.float32)
    short = min(size)
    centre = (np.array(size[::-1]) / 2 + rng.uniform(-0.15, 0.15, 2) * short).astype(int)
    radii = (rng.uniform(0.18, 0.5, 2) * short).astype(int)
    if rng.random() < 0.5:
        radii[1] = radii[0]
    angle = float(rng.uniform(0, 180))
    body = np.zeros(size, np.uint8)
    if rng.random() < 0.65:
        cv2.ellipse(body, _int(centre), _int(radii), angle, 0, 360, 1, -1)
    else:
        corners = cv2.boxPoints(((float(centre[0]), float(centre[1])), (2.0 * radii[0], 2.0 * radii[1]), angle))
        cv2.fillPoly(body, [corners.astype(np.int32)], 1)
        if rng.random() < 0.5:  # the neck of a bottle
            cv2.circle(body, _int((corners[0] + corners[1]) / 2), max(2, int(radii.min() * 0.4)), 1, -1)
    image[body > 0] = rng.uniform(0.4, 1.0)
    for _ in range(int(rng.integers(0, 4))):
        _insert(rng, image, body, _int(centre), float(radii.min()))
    if rng.random() < 0.3:  # a shell
        edge = cv2.morphologyEx(body, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        image[edge > 0] = rng.uniform(0, 1.0)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.2))), np.float32)


def _insert(rng: Generator, image: Floats, body: Bytes, centre: tuple[int, int], radius: float) -> None:
    """Draw holes in a ring, a grid of lines, rods, a wedge or arcs into the body of a phantom, in place."""
    layer, level, choice = np.zeros(image.shape, np.uint8), rng.uniform(0, 1.0), int(rng.integers(5))
    if choice == 0:
        count, far, hole = int(rng.integers(3, 12)), radius * rng.uniform(0.3, 0.8), max(1, int(radius * 0.1))
        for turn in np.arange(count) / count * 2 * np.pi:
            cv2.circle(layer, _int(np.array(centre) + far * np.array([np.cos(turn), np.sin(turn)])), hole, 1, -1)
    elif choice == 1:
        gap = max(4, int(radius * rng.uniform(0.1, 0.4)))
        layer[::gap] = 1
        layer[:, ::gap] = 1
    elif choice == 2:
        for _ in range(int(rng.integers(1, 5))):
            ends = [_int(np.array(centre) + rng.uniform(-1, 1, 2) * radius) for _ in range(2)]
            cv2.line(layer, ends[0], ends[1], 1, max(1, int(radius * rng.uniform(0.02, 0.2))))
    elif choice == 3:
        points = np.array(centre) + rng.uniform(-1, 1, (3, 2)) * radius
        cv2.fillPoly(layer, [points.astype(np.int32)], 1)
    else:
        axes = _int(rng.uniform(0.2, 0.9, 2) * radius)
        start, turn = float(rng.uniform(0, 360)), float(rng.uniform(0, 180))
        cv2.ellipse(layer, centre, axes, turn, start, start + rng.uniform(60, 300), 1, max(1, int(radius * 0.15)))
    image[(layer > 0) & (body > 0)] = level


def photo(rng: Generator, size: tuple[int, int]) -> Floats:
    """Return a picture with the statistics of photographs: shapes over shapes, each with its own texture and shade."""
    image = _fractal(rng, size, rng.uniform(0.8, 2.2))
    short = min(size)
    for _ in range(int(rng.integers(5, 60))):
        shape = np.zeros(size, np.uint8)
        middle = _int(rng.uniform(-0.1, 1.1, 2) * np.array(size[::-1]))
        reach = float(np.clip(0.03 * rng.pareto(1.3) + 0.02, 0.02, 0.5)) * short
        if rng.random() < 0.5:
            axes = _int(np.maximum(1, reach * rng.uniform(0.3, 1.0, 2)))
            cv2.ellipse(shape, middle, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        else:
            corners = np.array(middle) + rng.uniform(-1, 1, (int(rng.integers(3, 7)), 2)) * reach
            cv2.fillPoly(shape, [cv2.convexHull(corners.astype(np.int32))], 1)
        inside = shape > 0
        image[inside] = rng.uniform(0, 1) + image[inside] * np.float32(rng.uniform(0, 0.4))
    texture = _fractal(rng, size, rng.uniform(0.6, 1.6)) - np.float32(0.5)
    image = np.clip(image + texture * np.float32(rng.uniform(0, 0.5)), 0, None)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.5))), np.float32)


def _fractal(rng: Generator, size: tuple[int, int], slope: float) -> Floats:
    """Return noise whose amplitude falls with frequency to the power ``slope``, 0..1."""
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    k = np.fft.rfft2(rng.standard_normal(size)) / np.maximum(np.hypot(rows, columns), 1 / max(size)) ** slope
    image = np.fft.irfft2(k, size).astype(np.float32)
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-6), np.float32)


MADE: dict[Kind, Callable[[Generator, tuple[int, int]], Floats]] = {"noise": noise, "phantom": phantom, "photo": photo}


# ---------------------------------------------------------------- reading


def _canonical(path: Path) -> tuple[npt.NDArray[np.floating], tuple[float, float, float]]:
    import nibabel as nib

    image = nib.as_closest_canonical(nib.load(path))
    x, y, z = (float(zoom) for zoom in image.header.get_zooms()[:3])
    return np.asarray(image.dataobj), (x, y, z)


def _grey(path: Path) -> tuple[Bytes, tuple[float, float, float]]:
    """Read a scan, RAS, its 99.8th percentile (of what is not 0) at 255."""
    array, zooms = _canonical(path)
    top = float(np.percentile(array[array > 0], 99.8))
    return np.rint(np.clip(array / top, 0, 1) * 255).astype(np.uint8), zooms


def _head_scan(path: Path) -> dict[Kind, list[Plain]]:
    image, zooms = _grey(path)
    return slices_of_head(image, zooms, painted=False)


def _sagittal(plane: Bytes) -> Bytes:
    """Turn a sagittal plane (to anterior, to superior) face left: rows to inferior, columns to posterior."""
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def _middle(image: Bytes, painted: bool) -> float:
    """Return the column of the midline: between left and right white matter, or the centre of brightness."""
    if painted:
        return (float(np.argwhere(image == 2)[:, 0].mean()) + float(np.argwhere(image == 41)[:, 0].mean())) / 2
    weight = image.sum(axis=(1, 2), dtype=np.float64)
    return float((weight * np.arange(image.shape[0])).sum() / weight.sum())


def _necks(image: Bytes, middle: float, zooms: tuple[float, float, float]) -> list[Plain]:
    """Return sagittal slices below the cerebellum's top half: brain stem, neck and face, if 60 mm of them are there."""
    top = int(np.argwhere(np.isin(image, _CEREBELLUM))[:, 2].mean())
    if top * zooms[2] < 60:
        return []
    at = [round(middle + o / zooms[0]) for o in (-16, -8, -4, 0, 4, 8, 16)]
    return [Plain(_sagittal(image[i][:, :top]), True, (zooms[2], zooms[1])) for i in at]


def _filled(plains: Sequence[Plain]) -> list[Plain]:
    """Leave out the slices that hold next to nothing."""
    return [plain for plain in plains if float((plain.image > 0).mean()) > 0.1]


def _add(answer: dict[Kind, list[Plain]], more: Mapping[Kind, Sequence[Plain]]) -> None:
    for kind, plains in more.items():
        answer[kind] += plains


def _int(values: npt.ArrayLike) -> tuple[int, int]:
    x, y = (int(v) for v in np.asarray(values))
    return x, y
