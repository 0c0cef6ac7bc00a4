"""Measure callosum bundles on painted label maps: python benchmarks/painted_callosum.py --data DIR --bundle NAME.

The six held-out maps (mediseg/train/callosum_maps.py: reference where left white matter touches right on the
mid-sagittal plane, fornix cut off) are painted as T1, T2, FLAIR and PD, as T1 with dark for bright, and with random
greys, in slices of 1, 3 and 5 mm. Each of the 108 slices is turned by up to 25 degrees, shifted by up to 20 mm, on
pixels of 0.5 to 1.5 mm, with a bias field and Rician noise of 2 % of the brightest tissue; all drawn from its name.
``inverted`` keeps air dark. The truth is the reference's area fraction on the same pixels, one half or more.
``--sheet`` draws every slice with the truth (green) and what was found (red).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mediseg import Refusal, Volume, segment_callosum
from mediseg.inference import load_bundle
from mediseg.train.callosum_maps import Slab, load_slabs
from mediseg.train.painted_slices import Cut, render, visible_palette
from mediseg.train.painting import Contrast, Palette
from mediseg.train.scanner import shaded

CONTRASTS = ("t1", "t2", "flair", "pd", "inverted", "random")
THICKNESS_MM = (1.0, 3.0, 5.0)
FIELD_MM = 230.0
NOISE = 0.02

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Slice:
    """One painted slice: rows to inferior, columns to posterior."""

    name: str
    contrast: str
    thickness_mm: float
    image: Floats
    truth: Mask
    pixel_mm: float


@dataclass(frozen=True, slots=True)
class Score:
    """What was found on one slice; a refusal counts as Dice 0."""

    name: str
    contrast: str
    thickness_mm: float
    pixel_mm: float
    dice: float
    area_ratio: float
    certainty: float
    plausibility: float
    refused: bool


def slices(slabs: Sequence[Slab]) -> Iterator[Slice]:
    """Yield the test set, always the same."""
    for slab in slabs:
        for contrast in CONTRASTS:
            for thickness in THICKNESS_MM:
                yield paint(slab, contrast, thickness)


def paint(slab: Slab, contrast: str, thickness_mm: float) -> Slice:
    """Paint one slice; everything random comes from its name."""
    name = f"{slab.name}_{contrast}_{thickness_mm:g}mm"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    pixel_mm = float(np.exp(rng.uniform(np.log(0.5), np.log(1.5))))
    side = round(FIELD_MM / pixel_mm)
    angle, shift = np.deg2rad(rng.uniform(-25, 25)), rng.uniform(-20, 20, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * pixel_mm
    affine = np.column_stack([turn, shift - turn @ np.full(2, (side - 1) / 2)])
    palette = _palette(rng, contrast)
    cut = Cut(thickness_mm, 0.0, (0.0, 0.0))
    image, fraction = render(rng, slab, affine, (side, side), palette, cut)
    parts = rng.standard_normal((2, side, side), dtype=np.float32) * np.float32(NOISE)
    noisy = np.hypot(shaded(rng, image) + parts[0], parts[1])
    return Slice(name, contrast, thickness_mm, noisy, fraction >= 0.5, pixel_mm)


def _palette(rng: np.random.Generator, contrast: str) -> Palette:
    named: dict[str, Contrast] = {"t2": "t2", "flair": "flair", "pd": "pd", "random": "random"}
    palette = visible_palette(rng, named.get(contrast, "t1"))
    if contrast != "inverted":
        return palette
    return Palette(np.where(palette.means > 0, np.clip(1.1 - palette.means, 0.05, None), 0), palette.spreads)


def volume(image: Floats, pixel_mm: float) -> Volume:
    """Return a slice (rows to inferior, columns to posterior) as a sagittal volume of one slice."""
    affine = np.array([[0, 0, 1, 0], [pixel_mm, 0, 0, 0], [0, -pixel_mm, 0, 0], [0, 0, 0, 1]], float)
    return Volume.from_affine(np.ascontiguousarray(image.T)[:, :, None], affine)


def score(item: Slice, model: str) -> tuple[Score, Mask]:
    """Segment one slice and compare."""
    about = (item.name, item.contrast, item.thickness_mm, round(item.pixel_mm, 3))
    try:
        answer = segment_callosum(volume(item.image, item.pixel_mm), model=model)
    except Refusal:
        return Score(*about, 0.0, 0.0, 0.0, 0.0, refused=True), np.zeros_like(item.truth)
    found = answer.mask.labels[:, :, 0].T > 0
    both = int(found.sum()) + int(item.truth.sum())
    dice = 2.0 * int((found & item.truth).sum()) / both
    ratio = float(found.sum() / item.truth.sum())
    return Score(*about, dice, ratio, answer.certainty, answer.plausibility, refused=False), found


def summary(scores: Sequence[Score]) -> dict[str, float]:
    values = np.array([one.dice for one in scores])
    figures = {
        "slices": len(values),
        "mean_dice": values.mean(),
        "median_dice": np.median(values),
        "p5_dice": np.percentile(values, 5),
        "worst_dice": values.min(),
        "area_ratio": np.mean([one.area_ratio for one in scores]),
        "refused": sum(one.refused for one in scores),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def table(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Return the summary of all contrasts but T1 (the target's), of all, of each contrast, thickness and map."""
    rows = {"all but t1": summary([s for s in scores if s.contrast != "t1"]), "all": summary(scores)}
    rows |= {c: summary([s for s in scores if s.contrast == c]) for c in CONTRASTS}
    rows |= {f"{mm:g} mm": summary([s for s in scores if s.thickness_mm == mm]) for mm in THICKNESS_MM}
    maps = sorted({s.name.split(f"_{s.contrast}_")[0] for s in scores})
    return rows | {name: summary([s for s in scores if s.name.startswith(name)]) for name in maps}


def picture(item: Slice, found: Mask, dice: float, side: int = 230) -> npt.NDArray[np.uint8]:
    grey = np.clip(item.image / max(1e-3, float(np.percentile(item.image, 99.5))), 0, 1) * 255
    view = cv2.cvtColor(cv2.resize(grey.astype(np.uint8), (side, side)), cv2.COLOR_GRAY2BGR)
    for mask, colour in ((item.truth, (0, 255, 0)), (found, (0, 0, 255))):
        big = cv2.resize(mask.astype(np.float32), (side, side)) > 0.5
        lines, _ = cv2.findContours(big.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(view, lines, -1, colour, 1)
    text = f"{item.name.removeprefix('training_seg_')} {dice:.2f}"
    cv2.putText(view, text, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 255, 255), 1)
    return np.asarray(view, np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds labelmaps/")
    parser.add_argument("--bundle", default="callosum-bisenetv2", help="name of a shipped bundle, or a bundle's folder")
    parser.add_argument("--cache", type=Path, help="folder in which the maps' slabs are kept (7 s a map)")
    parser.add_argument("--csv", type=Path, help="write one line per slice here")
    parser.add_argument("--json", type=Path, help="write the tables here, with the model's sha256")
    parser.add_argument("--sheet", type=Path, help="write a picture of all slices here (PNG)")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    scores, pictures = [], []
    for item in slices(load_slabs(options.data, options.cache, held_out=True)):
        one, found = score(item, options.bundle)
        scores.append(one)
        pictures.append(picture(item, found, one.dice))
    rows = table(scores)
    print(f"{options.bundle:16s} {'n':>4s} {'mean':>7s} {'median':>7s} {'p5':>7s} {'worst':>7s} {'area':>6s} refused")
    for name, row in rows.items():
        print(
            f"{name:16s} {row['slices']:4.0f} {row['mean_dice']:7.4f} {row['median_dice']:7.4f} {row['p5_dice']:7.4f} "
            f"{row['worst_dice']:7.4f} {row['area_ratio']:6.3f} {row['refused']:7.0f}"
        )
    if options.csv:
        with options.csv.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(Score.__slots__))
            writer.writeheader()
            writer.writerows(asdict(one) for one in scores)
    if options.json:
        answer = {"sha256": load_bundle(options.bundle).sha256, "painted": rows}
        options.json.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
    if options.sheet:
        wide = len(THICKNESS_MM) * len(CONTRASTS)
        lines = [np.hstack(pictures[start : start + wide]) for start in range(0, len(pictures), wide)]
        cv2.imwrite(str(options.sheet), np.vstack(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
