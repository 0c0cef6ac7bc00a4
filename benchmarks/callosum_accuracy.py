"""Measure the callosum bundle against masks, per site: python benchmarks/callosum_accuracy.py --data DIR --bundle DIR.

Does by OpenCV what the bundle's metadata say: whole slice to 1 mm, percentiles, zero padding, network, probability back
to the slice's own grid, 0.5, largest part. The network is alone; `mediseg evaluate` judges the step, which resamples by
mediseg's own means and goes on with the companions that the bundle names. Two conditions:

- ``whole``: the frames as they are (512 x 512, 0.5 mm).
- ``turned``: each frame turned up to 25 degrees, shifted up to 25 mm, zoomed 0.85-1.18 and sampled on a random matrix
  of 192 to 384 (256 mm field of view); the truth is the mask brought to the same grid by area. Seeded by slice id.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mediseg.evaluate.manifest import Entry, load_manifest
from mediseg.evaluate.metrics import dice
from mediseg.evaluate.pairs import read_pair
from mediseg.inference import load_bundle, predict

MANIFEST = Path(__file__).parent / "manifests" / "cc_msp.yaml"
SOURCE_MM = 0.5
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Score:
    """One slice's result; the angle is between the long axes of the two masks' smallest boxes."""

    id: str
    site: str
    dice: float
    area_ratio: float
    angle_deg: float


class Network:
    """The bundle's network, on slices resampled by OpenCV as its metadata asks for."""

    def __init__(self, folder: Path) -> None:
        self.bundle = load_bundle(str(folder), "callosum")
        self.own = self.bundle.settings

    def probability(self, image: Floats, pixel_mm: tuple[float, float]) -> Floats:
        """Return the probability on the grid of ``image`` (rows, columns) whose pixels measure ``pixel_mm``."""
        found = [self._shifted(image, pixel_mm, phase) for phase in self.own["output"]["phases"]]
        mean: Floats = np.mean(found, axis=0)
        return mean

    def _shifted(self, image: Floats, pixel_mm: tuple[float, float], phase: tuple[float, float]) -> Floats:
        down, right = (part * self.own["input"]["spacing_mm"] / mm for part, mm in zip(phase, pixel_mm, strict=True))
        there = np.array([[1.0, 0.0, -right], [0.0, 1.0, -down]])
        back = np.array([[1.0, 0.0, right], [0.0, 1.0, down]])
        size = image.shape[::-1]
        return cv2.warpAffine(self._once(cv2.warpAffine(image, there, size), pixel_mm), back, size).astype(np.float32)

    def _once(self, image: Floats, pixel_mm: tuple[float, float]) -> Floats:
        spacing = self.bundle.spacing_mm
        shape = [max(1, round(n * mm / spacing)) for n, mm in zip(image.shape, pixel_mm, strict=True)]
        finer = pixel_mm[0] <= spacing
        kind = cv2.INTER_AREA if finer else cv2.INTER_LINEAR
        seen = cv2.resize(image, (shape[1], shape[0]), interpolation=kind)
        found = predict(self.bundle, seen)
        back: Floats = cv2.resize(found, image.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return back

    def segment(self, image: Floats, pixel_mm: tuple[float, float]) -> Mask:
        """Return the main part of the probability at one half."""
        output = self.own["output"]
        return main_part(self.probability(image, pixel_mm), output["threshold"], output["join"])


def main_part(probability: Floats, threshold: float, join: float) -> Mask:
    """Return what reaches ``threshold`` in the largest part; parts joined by ``join`` or more count as one."""
    mask: Mask = probability >= threshold
    count, labels = cv2.connectedComponents((probability >= join).astype(np.uint8), connectivity=8)
    if count < 3:  # the background and one part
        return mask
    sizes = np.bincount(labels[mask], minlength=count)
    kept: Mask = mask & (labels == int(sizes.argmax()))
    return kept


def axis_deg(mask: Mask) -> float:
    """Return the direction of the smallest box's long side, 0 to 180 degrees; nan for an empty mask."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    if points is None:
        return float("nan")
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    side = max(corners[1] - corners[0], corners[2] - corners[1], key=lambda v: float(np.hypot(*v)))
    return float(np.degrees(np.arctan2(side[1], side[0]))) % 180.0


def turned(image: Floats, mask: Floats, name: str) -> tuple[Floats, Mask, float]:
    """Return the frame as another scan would show it, its mask and its pixel size, drawn from the slice's name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    matrix = int(rng.integers(192, 385))
    angle, zoom = rng.uniform(-25, 25), float(np.exp(rng.uniform(np.log(0.85), np.log(1.18))))
    shift = rng.uniform(-25, 25, 2) / SOURCE_MM
    middle = (image.shape[1] - 1) / 2
    move = cv2.getRotationMatrix2D((middle, middle), angle, zoom)
    move[:, 2] += shift
    side = image.shape[::-1]
    pair = [cv2.warpAffine(a, move, side, flags=cv2.INTER_LINEAR) for a in (image, mask)]
    image, fraction = (cv2.resize(a, (matrix, matrix), interpolation=cv2.INTER_AREA) for a in pair)
    return image, fraction >= 0.5, SOURCE_MM * side[0] / matrix


def measure(network: Network, entries: Sequence[Entry], condition: str) -> list[Score]:
    scores = []
    for entry in entries:
        volume, label = read_pair(entry)
        image = np.ascontiguousarray(volume.array[:, :, 0].T, np.float32)
        truth, pixel = np.ascontiguousarray(label.mask()[:, :, 0].T), SOURCE_MM
        if condition == "turned":
            image, truth, pixel = turned(image, truth.astype(np.float32), entry.id)
        found = network.segment(image, (pixel, pixel))
        turn = abs(axis_deg(found) - axis_deg(truth))
        ratio = float(found.sum() / truth.sum())
        scores.append(Score(entry.id, entry.group, dice(found, truth), ratio, min(turn, 180.0 - turn)))
    return scores


def summary(scores: Sequence[Score]) -> dict[str, float]:
    values = np.array([s.dice for s in scores])
    turns = np.nan_to_num(np.array([s.angle_deg for s in scores]), nan=90.0)
    figures = {
        "slices": len(scores),
        "mean_dice": values.mean(),
        "p5_dice": np.percentile(values, 5),
        "worst_dice": values.min(),
        "area_ratio": np.mean([s.area_ratio for s in scores]),
        "angle_median_deg": np.median(turns),
        "angle_p95_deg": np.percentile(turns, 95),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def table(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Return the summary of all slices, of each site, and the worst site's mean."""
    sites = sorted({s.site for s in scores})
    rows = {site: summary([s for s in scores if s.site == site]) for site in sites}
    return {"all": summary(scores), **rows}


def show(condition: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{condition:10s} {'n':>4s} {'mean':>7s} {'p5':>7s} {'worst':>7s} {'area':>6s} {'axis md/p95 deg':>16s}")
    for name, row in rows.items():
        axis = f"{row['angle_median_deg']:.2f} / {row['angle_p95_deg']:.2f}"
        print(
            f"{name:10s} {row['slices']:4.0f} {row['mean_dice']:7.4f} {row['p5_dice']:7.4f} {row['worst_dice']:7.4f}"
            f" {row['area_ratio']:6.3f} {axis:>16s}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv, images/ and masks/")
    parser.add_argument("--bundle", type=Path, default=Path("models/callosum-unet"))
    parser.add_argument("--sites", nargs="+", help="default: the held-out ones")
    parser.add_argument("--csv", type=Path, help="write one line per slice and condition here")
    parser.add_argument("--json", type=Path, help="write the tables here, with the model's sha256")
    options = parser.parse_args(arguments)
    network = Network(options.bundle)
    manifest = load_manifest(MANIFEST, options.data)
    chosen = manifest.only(groups=options.sites) if options.sites else manifest.only("test")
    results = {c: measure(network, chosen.entries, c) for c in ("whole", "turned")}
    for condition, scores in results.items():
        show(condition, table(scores))
    if options.csv:
        with options.csv.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["condition", *Score.__slots__])
            writer.writeheader()
            for condition, scores in results.items():
                writer.writerows({"condition": condition, **asdict(score)} for score in scores)
    if options.json:
        tables = {condition: table(scores) for condition, scores in results.items()}
        options.json.write_text(json.dumps({"sha256": network.bundle.sha256, **tables}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
