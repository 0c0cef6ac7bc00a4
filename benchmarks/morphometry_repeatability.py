"""Measure how true and how repeatable each callosum measure is: python benchmarks/morphometry_repeatability.py.

Truth: shapes with known area, thickness, length and bend (ellipses, a ring, half rings, a bent band), as the share of
each pixel that they cover, at 0.5 to 1.5 mm, turned and shifted; also with a scanner's blur (Gaussian, half a pixel).
Per measure: the mean and the largest error. ``area_line`` and ``area_spline`` are the areas inside of the 0.5 line,
straight between pixels and on a spline, for comparison with the sum that ``area`` is.

Repeatability (``--data DIR``: index.csv, images/, as in benchmarks/callosum_accuracy.py): mid-sagittal slices of sites
that the shipped callosum model never saw, each segmented and measured as it is (0.5 mm) and again turned, on a coarser
matrix, and with noise (per cent of the 99th percentile). Per measure and condition: the mean change and its standard
deviation between slices, in per cent of the first value; ``spread`` is the standard deviation between people, to hold
it against. The same without the network (``masks``): the hand-checked masks brought to the coarser grids by area.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from mediseg.errors import Refusal
from mediseg.geometry import Geometry
from mediseg.numerics.shapes import fine_outline, outline, polygon_area
from mediseg.results import Callosum
from mediseg.steps.callosum import segment_callosum
from mediseg.steps.morphometry import measure_callosum
from mediseg.volume import Segment, Segmentation, Volume

Array = npt.NDArray[np.float64]
Inside = Callable[[Array, Array], npt.NDArray[np.bool_]]

HELD_OUT_SITES = ("Pitt", "Olin", "CMU_b", "MaxMun_d")
SOURCE_MM = 0.5
FIELD_MM = 220.0
FACE_LEFT = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

#: condition -> (pixel mm, turn degrees, noise in per cent)
CONDITIONS = {
    "turned 8": (0.5, 8.0, 0.0),
    "turned -15": (0.5, -15.0, 0.0),
    "turned 25": (0.5, 25.0, 0.0),
    "0.75 mm": (0.75, 0.0, 0.0),
    "1.0 mm": (1.0, 0.0, 0.0),
    "1.25 mm": (1.25, 0.0, 0.0),
    "1.5 mm": (1.5, 0.0, 0.0),
    "noise 3 %": (0.5, 0.0, 3.0),
    "noise 6 %": (0.5, 0.0, 6.0),
    "1.0 mm, turned 8, noise 3 %": (1.0, 8.0, 3.0),
}


# ---------------------------------------------------------------- truth


def _ellipse(a: float, b: float) -> Inside:
    return lambda x, y: (x / a) ** 2 + (y / b) ** 2 < 1


def _ring(inner: float, outer: float, half: bool) -> Inside:
    return lambda x, y: (np.hypot(x, y) < outer) & (np.hypot(x, y) > inner) & ((y < 0) | (not half))


def _bent_band(radius: float, width: float, half_angle: float) -> Inside:
    """A piece of a ring of ``2 half_angle`` with round ends, open below; its top at the middle."""

    def inside(x: Array, y: Array) -> npt.NDArray[np.bool_]:
        down = y - radius / 2
        angle = np.arctan2(x, -down)
        ends = np.clip(angle, -half_angle, half_angle)
        return np.hypot(x - radius * np.sin(ends), down + radius * np.cos(ends)) < width / 2

    return inside


def truths() -> dict[str, tuple[Inside, dict[str, float]]]:
    """Shapes and what is known of them. A ring's potential goes with log r: its medial line lies at sqrt(r R)."""
    shapes: dict[str, tuple[Inside, dict[str, float]]] = {}
    for a, b in ((34.0, 9.0), (12.0, 6.0)):
        perimeter = 4 * a * float(special.ellipe(1 - (b / a) ** 2))
        known = {"area": np.pi * a * b, "perimeter": perimeter, "length": 2 * a, "medial_line_length": 2 * a}
        known |= {"circularity": 4 * np.pi * known["area"] / perimeter**2, "thickness_max": 2 * b}
        shapes[f"ellipse {a:g} x {b:g}"] = (_ellipse(a, b), known)
    shapes["ring 24-32"] = (_ring(24, 32, half=False), {"area": np.pi * (32**2 - 24**2)})
    for inner, outer in ((26.0, 34.0), (29.0, 33.0)):
        middle = float(np.sqrt(inner * outer))
        known = {"area": np.pi / 2 * (outer**2 - inner**2), "perimeter": np.pi * (inner + outer) + 2 * (outer - inner)}
        known |= {"length": 2 * outer, "medial_line_length": np.pi * middle, "curvature_body": 1 / middle}
        known |= {"thickness_middle": outer - inner, "cc_index": 3 * (outer - inner) / (2 * outer)}
        shapes[f"half ring {inner:g}-{outer:g}"] = (_ring(inner, outer, half=True), known)
    radius, width, half_angle = 30.0, 6.0, np.radians(75)
    middle = float(np.sqrt((radius - width / 2) * (radius + width / 2)))
    arc = 2 * half_angle * radius
    known = {"area": arc * width + np.pi * width**2 / 4, "perimeter": 2 * arc + np.pi * width}
    known |= {"medial_line_length": 2 * half_angle * middle + width, "curvature_body": 1 / middle}
    shapes["bent band 30, 6"] = (_bent_band(radius, width, half_angle), known | {"thickness_middle": width})
    return shapes


def covered(inside: Inside, pixel_mm: float, turn_deg: float, shift_mm: Sequence[float], pieces: int = 10) -> Array:
    """Return how much of each pixel (rows, columns) of a 100 mm field a turned and shifted shape covers."""
    count = round(100 / pixel_mm)
    at = ((np.arange(count * pieces) + 0.5) / pieces - count / 2) * pixel_mm
    y, x = np.meshgrid(at - shift_mm[1], at - shift_mm[0], indexing="ij")
    cosine, sine = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    drawn = inside(cosine * x + sine * y, -sine * x + cosine * y)
    return np.asarray(drawn.reshape(count, pieces, count, pieces).mean(axis=(1, 3)), dtype=np.float64)


def truth_errors(turns: int, blurred: bool) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Return errors in per cent by measure, shape and pixel size."""
    errors: dict[str, dict[str, dict[float, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for name, (inside, known) in truths().items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        for pixel in (0.5, 0.75, 1.0, 1.25, 1.5):
            for _ in range(turns):
                soft = covered(inside, pixel, float(rng.uniform(-40, 40)), rng.uniform(-1, 1, 2).tolist())
                soft = ndimage.gaussian_filter(soft, 0.5) if blurred else soft
                values = measured(as_callosum(soft, pixel)) | polygons(soft, pixel)
                holes = {} if name.startswith("ring") else dict.fromkeys(("area_line", "area_spline"), known["area"])
                for measure, truth in (known | holes).items():
                    errors[measure][name][pixel].append(100 * (values[measure] / truth - 1))
    return errors


def polygons(soft: Array, pixel_mm: float) -> dict[str, float]:
    """Return the area inside of the 0.5 line, straight between pixels and on a spline: what ``area`` could also be."""
    line = outline(soft, 0.5) * pixel_mm
    spline = fine_outline(soft, 0.5, np.array([pixel_mm, pixel_mm]))
    return {"area_line": abs(polygon_area(line)), "area_spline": abs(polygon_area(spline))}


# ---------------------------------------------------------------- repeatability


def as_callosum(probability: Array, pixel_mm: float) -> Callosum:
    """Wrap a face-left map (rows, columns) as the segmentation step would."""
    volume = face_left(probability, pixel_mm)
    labels = (volume.array >= 0.5).astype(np.uint8)
    return Callosum(Segmentation(labels, volume.geometry, (Segment(1, "corpus callosum"),)), volume)


def face_left(picture: Array, pixel_mm: float) -> Volume:
    shape = (picture.shape[1], picture.shape[0], 1)
    grid = Geometry.from_axes(shape, FACE_LEFT, (pixel_mm, pixel_mm, 1.0), center_lps_mm=(0, 0, 0))
    return Volume(picture.T[:, :, None].astype(np.float32), grid)


def measured(callosum: Callosum) -> dict[str, float]:
    """Return every value by name, and the mean thickness of the middle half of the medial line."""
    found = measure_callosum(callosum)
    return {m.name: m.value for m in found.values} | {"thickness_middle": float(found.thickness_mm[25:75].mean())}


def regridded(volume: Volume, pixel_mm: float, turn_deg: float) -> Volume:
    """Return the slice as another matrix, turned in its plane, would show it (as it is for 0.5 mm and no turn)."""
    if pixel_mm == SOURCE_MM and turn_deg == 0:
        return volume
    a = np.radians(turn_deg)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    count = round(FIELD_MM / pixel_mm)
    grid = Geometry.from_axes(
        (count, count, 1),
        volume.geometry.axes_lps @ turn,
        (pixel_mm, pixel_mm, 1.0),
        center_lps_mm=volume.geometry.center_lps_mm,
    )
    return volume.resample(grid)


def slices(data: Path, sites: Sequence[str], most: int) -> Iterator[tuple[str, Array, Array]]:
    """Yield id, image and mask (0 or 1) of up to ``most`` slices, spread evenly over the sites' list."""
    with (data / "index.csv").open(newline="") as stream:
        names = [row["id"] for row in csv.DictReader(stream) if row["site"] in sites]
    for index in np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)):
        image = cv2.imread(str(data / "images" / f"{names[index]}.jpg"), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(data / "masks" / f"{names[index]}.png"), cv2.IMREAD_GRAYSCALE)
        yield names[index], image.astype(np.float64), (mask > 127).astype(np.float64)


def noisy(volume: Volume, per_cent: float, seed: int) -> Volume:
    """Add Rician noise of a share of the 99th percentile."""
    if per_cent == 0:
        return volume
    rng = np.random.default_rng(seed)
    sigma = per_cent / 100 * float(np.percentile(volume.array, 99))
    real = volume.array + rng.normal(0, sigma, volume.array.shape)
    return volume.with_array(np.hypot(real, rng.normal(0, sigma, volume.array.shape)).astype(np.float32))


def repeated(data: Path, sites: Sequence[str], most: int) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return for ``network`` and ``masks`` every value by condition (``first`` among them) and measure."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {
        way: defaultdict(lambda: defaultdict(list)) for way in ("network", "masks")
    }
    for name, image, mask in slices(data, sites, most):
        seed = zlib.crc32(name.encode())
        for condition, (pixel, turn, noise) in {"first": (SOURCE_MM, 0.0, 0.0), **CONDITIONS}.items():
            picture = noisy(regridded(face_left(image, SOURCE_MM), pixel, turn), noise, seed)
            drawn = regridded(face_left(mask, SOURCE_MM), pixel, turn).array[:, :, 0].T.astype(np.float64)
            _add(found["network"][condition], lambda picture=picture: segment_callosum(picture), f"{name} {condition}")
            if noise == 0:
                _add(found["masks"][condition], lambda d=drawn, p=pixel: as_callosum(d, p), f"{name} {condition}")
        print(name, file=sys.stderr, flush=True)
    return found


def _add(rows: dict[str, list[float]], make: Callable[[], Callosum], what: str) -> None:
    """Append the values; a refusal is a row of NaN, so that rows stay in step."""
    try:
        values = measured(make())
    except Refusal as error:
        print(f"{what}: refused: {error}", file=sys.stderr)
        values = {}
    rows["_count"].append(1.0)
    for measure, value in values.items():
        row = rows[measure]
        row.extend([np.nan] * (len(rows["_count"]) - 1 - len(row)))
        row.append(value)


# ---------------------------------------------------------------- tables


def changes(first: Sequence[float], again: Sequence[float]) -> Array:
    """Return the changes in per cent of slices that were measured both times."""
    count = min(len(first), len(again))
    a, b = np.array(first[:count]), np.array(again[:count])
    return np.asarray((100 * (b / a - 1))[np.isfinite(a) & np.isfinite(b)])


def repeat_table(rows: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    """Return (mean, standard deviation, number) of the changes by measure and condition, and the people's spread."""
    table: dict[str, dict[str, list[float]]] = {}
    for measure, first in rows["first"].items():
        if measure == "_count":
            continue
        values = np.array(first)[np.isfinite(first)]
        row = {"mean": [float(values.mean())], "spread": [float(100 * values.std() / values.mean())]}
        for condition, again in rows.items():
            if condition != "first" and measure in again:
                moved = changes(first, again[measure])
                row[condition] = [float(moved.mean()), float(moved.std()), float(len(moved))]
        table[measure] = row
    return table


def show_truth(errors: dict[str, dict[str, dict[float, list[float]]]]) -> None:
    pixels = (0.5, 0.75, 1.0, 1.25, 1.5)
    print("| measure | shape | " + " | ".join(f"{p:g} mm" for p in pixels) + " |")
    print("|---" * (len(pixels) + 2) + "|")
    for measure, shapes in errors.items():
        for shape, by_pixel in shapes.items():
            cells = [f"{np.mean(by_pixel[p]):+.2f} ({np.abs(by_pixel[p]).max():.2f})" for p in pixels]
            print(f"| {measure} | {shape} | " + " | ".join(cells) + " |")


def show_repeats(table: dict[str, dict[str, list[float]]]) -> None:
    conditions = [c for c in CONDITIONS if any(c in row for row in table.values())]
    print("| measure | mean | spread % | " + " | ".join(conditions) + " |")
    print("|---" * (len(conditions) + 3) + "|")
    for measure, row in table.items():
        cells = ["{:+.2f} ± {:.2f}".format(*row[c][:2]) if c in row else "" for c in conditions]
        print(f"| {measure} | {row['mean'][0]:.4g} | {row['spread'][0]:.1f} | " + " | ".join(cells) + " |")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with index.csv, images/ and masks/; without it: truth only")
    parser.add_argument("--sites", nargs="+", default=list(HELD_OUT_SITES), help="default: the held-out ones")
    parser.add_argument("--slices", type=int, default=40, help="at most so many")
    parser.add_argument("--turns", type=int, default=8, help="turns and shifts of each shape and pixel size")
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args(arguments)
    result: dict[str, object] = {}
    for blurred in (False, True):
        errors = truth_errors(options.turns, blurred)
        print(f"\nerror in per cent against truth, {'blurred' if blurred else 'sharp'}: mean (largest)\n")
        show_truth(errors)
        result["truth blurred" if blurred else "truth"] = {
            m: {s: {str(p): e for p, e in by.items()} for s, by in shapes.items()} for m, shapes in errors.items()
        }
    if options.data:
        for way, rows in repeated(options.data, options.sites, options.slices).items():
            table = repeat_table(rows)
            count = len(rows["first"]["_count"])
            print(f"\n{way}: change in per cent of the first value, mean ± sd over {count} slices\n")
            show_repeats(table)
            result[way] = table
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
