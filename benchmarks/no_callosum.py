"""Count refusals of slices without a callosum: python benchmarks/no_callosum.py --data DIR --bundle NAME.

Each kind of ``mediseg.train.negatives`` (lateral, axial and coronal head slices, spines, noise, phantoms, photographs)
gives 200 slices or more, from scans and maps held out from training, with seeds of their own. Added to them, and never
trained on: every lateral slice of the heads in ``heads/`` and ``dicom/``, the GE phantom localizer in ``dicom/``
(cut and turned), and, with ``--photos``, photographs from a folder. Good slices are the held-out sites of ``cc_msp``,
as they are and turned (benchmarks/callosum_accuracy.py).

Two ways to refuse are counted: ``segment`` (``segment_callosum`` raises Refusal) and ``recipe`` (that, or
``localize_roi`` refuses by confidence). ``--csv`` writes the features of each answer, to choose limits by.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from callosum_accuracy import MANIFEST, SOURCE_MM, turned
from painted_callosum import volume

from mediseg import Refusal, Volume, load, localize_roi, open_study, segment_callosum
from mediseg.evaluate.manifest import load_manifest
from mediseg.evaluate.pairs import read_pair
from mediseg.inference import load_bundle
from mediseg.numerics.shapes import isolated, outline, polygon_area, polygon_perimeter
from mediseg.results import Callosum
from mediseg.train.negatives import KINDS, MADE, Kind, Plain, load_sources, plain_window, slices_of_head
from mediseg.train.scanner import noisy, shaded

COUNT = 200
SEED = 20_000  # training draws its windows from other seeds
HEAD_SCANS = ("siemens_sag_t1_child10", "siemens_t1_gap_plus_asl", "siemens_sag_thick_HFS", "axial_t1_novendor")
PHANTOM = "ge_3plane_localizer_phantom"
PHOTOS = ("*.png", "*.jpg", "*.jpeg")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one slice; lengths in mm, ``core`` is the share of the mask above 0.9."""

    kind: str
    name: str
    segment_refused: bool
    recipe_refused: bool
    confidence: float = 0.0
    certainty: float = 0.0
    plausibility: float = 0.0
    area_mm2: float = 0.0
    length_mm: float = 0.0
    width_mm: float = 0.0
    circularity: float = 0.0
    core: float = 0.0
    soft_ratio: float = 0.0
    stray: float = 0.0
    touches: bool = False


def drawn(data: Path, kinds: Sequence[Kind], count: int) -> Iterator[tuple[str, str, Floats, float]]:
    """Yield kind, name, image and pixel size of the slices drawn from held-out sources or made by code."""
    sources = load_sources(data, held_out=True) if set(kinds) - set(MADE) else {}
    for kind in kinds:
        for number in range(count):
            rng = np.random.default_rng((SEED, zlib.crc32(kind.encode()), number))
            pixel_mm = float(np.exp(rng.uniform(np.log(0.5), np.log(1.4))))
            side = int(np.clip(round(230 / pixel_mm), 128, 288))
            image = plain_window(rng, sources, (side, side), pixel_mm, kind)
            if kind != "noise":
                image = noisy(rng, shaded(rng, image))
            yield kind, f"{kind}{number:03d}", image, pixel_mm


def lateral_scans(data: Path) -> Iterator[tuple[str, str, Floats, float]]:
    """Yield the lateral slices of real heads that no network was trained on."""
    folders = sorted(path.parent for path in (data / "heads").glob("*/image.nii.gz"))
    readers: list[tuple[str, Callable[[], Volume]]] = [
        (folder.name, lambda folder=folder: load(folder / "image.nii.gz")) for folder in folders
    ]
    readers += [(name, lambda name=name: load(data / "dicom" / f"{name}.zip")) for name in HEAD_SCANS]
    for name, read in readers:
        head = read().reorient("RAS")
        top = float(np.percentile(head.array, 99.8))
        grey = np.rint(np.clip(head.array / top, 0, 1) * 255).astype(np.uint8)
        x, y, z = head.geometry.spacing_mm
        lateral = slices_of_head(grey, (x, y, z), painted=False)["lateral"]
        for number, plain in enumerate(lateral):
            image, pixel_mm = square(plain)
            yield "lateral", f"{name}{number:02d}", image, pixel_mm


def real_phantom(data: Path) -> Iterator[tuple[str, str, Floats, float]]:
    """Yield the GE phantom's slices, each as it is and turned, cut and shaded three times."""
    study = open_study(data / "dicom" / f"{PHANTOM}.zip")
    from mediseg.io.dicom.read import read_stack

    number = 0
    for stack in study.stacks:
        pixels = np.asarray(read_stack(stack, study.identity).array, np.float32)
        through = int(np.argmin(pixels.shape))
        for one in np.moveaxis(pixels, through, 0):
            if float(one.max()) <= 0:
                continue
            for turn in range(4):
                rng = np.random.default_rng((SEED, number, turn))
                image = np.ascontiguousarray(np.rot90(one, turn)) / np.float32(one.max())
                yield "phantom", f"ge{number:02d}_{turn}", noisy(rng, shaded(rng, image)) if turn else image, 0.9375
            number += 1


def photographs(folder: Path | None) -> Iterator[tuple[str, str, Floats, float]]:
    """Yield cuts of the photographs in ``folder``, eight from each."""
    paths = sorted(path for pattern in PHOTOS for path in folder.rglob(pattern)) if folder is not None else []
    for path in paths:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey is None or min(grey.shape) < 100:
            continue
        for cut in range(8):
            rng = np.random.default_rng((SEED, zlib.crc32(path.name.encode()), cut))
            side = int(rng.integers(min(100, min(grey.shape) - 1), min(grey.shape)))
            top, left = (int(rng.integers(0, n - side)) for n in grey.shape)
            part = grey[top : top + side, left : left + side].astype(np.float32) / np.float32(255)
            yield "photo", f"{path.stem}_{cut}", np.ascontiguousarray(part), float(rng.uniform(180, 260) / side)


def good(data: Path) -> Iterator[tuple[str, str, Floats, float]]:
    """Yield the held-out slices with a callosum, as they are and turned."""
    for entry in load_manifest(MANIFEST, data / "cc_msp").only("test").entries:
        scan, label = read_pair(entry)
        image = np.ascontiguousarray(scan.array[:, :, 0].T, np.float32)
        mask = np.ascontiguousarray(label.mask()[:, :, 0].T, np.float32)
        yield "good", entry.id, image, SOURCE_MM
        seen, _truth, pixel_mm = turned(image, mask, entry.id)
        yield "good turned", entry.id, seen, pixel_mm


def everything(options: argparse.Namespace) -> Iterator[tuple[str, str, Floats, float]]:
    """Yield every slice of the kinds that are wanted."""
    wanted = set(options.kinds)
    if "good" in wanted:
        yield from good(options.data)
    yield from drawn(options.data, [kind for kind in KINDS if kind in wanted], options.count)
    if "lateral" in wanted:
        yield from lateral_scans(options.data)
    if "phantom" in wanted:
        yield from real_phantom(options.data)
    if "photo" in wanted:
        yield from photographs(options.photos)


def square(plain: Plain) -> tuple[Floats, float]:
    """Return a slice on square pixels of its finer spacing, and that."""
    fine = min(plain.pixel_mm)
    size = tuple(max(8, round(n * mm / fine)) for n, mm in zip(plain.image.shape, plain.pixel_mm, strict=True))
    image = cv2.resize(plain.image.astype(np.float32) / np.float32(255), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.float32), fine


def judge(kind: str, name: str, image: Floats, pixel_mm: float, model: str) -> Answer:
    """Run segmentation and localisation on one slice."""
    try:
        found = segment_callosum(volume(image, pixel_mm), model=model)
    except Refusal:
        return Answer(kind, name, segment_refused=True, recipe_refused=True)
    try:
        confidence, refused = localize_roi(found, min_confidence=0.3).confidence, False
    except Refusal:
        confidence, refused = 0.0, True
    return Answer(kind, name, False, refused, confidence, found.certainty, found.plausibility, *features(found))


def features(found: Callosum) -> tuple[float, float, float, float, float, float, float, bool]:
    """Return area, length, width, circularity, core, soft ratio, stray, touches.

    ``soft_ratio``: sum of the main part's probability (above 0.05) over the mask's pixels. ``stray``: what reaches one
    half beside the main part, over it.
    """
    probability = np.asarray(found.probability.array[:, :, 0], np.float64)
    mask = found.mask.labels[:, :, 0] > 0
    mm = found.probability.geometry.spacing_mm[:2]
    main = isolated(probability, 0.5)
    points = outline(main, 0.5) * np.array(mm)
    area, perimeter = abs(polygon_area(points)), polygon_perimeter(points)
    sides = cv2.minAreaRect(points.astype(np.float32))[1]
    count = float(mask.sum())
    touches = bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
    return (
        area, max(sides), min(sides), 4 * np.pi * area / max(perimeter, 1e-6) ** 2,
        float((probability[mask] > 0.9).sum()) / count, float(main[main > 0.05].sum()) / count,
        float((probability >= 0.5).sum()) / count - 1, touches,
    )  # fmt: skip


def table(answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """Return, per kind: slices, and the shares refused by ``segment`` and by ``recipe``."""
    rows = {}
    for kind in dict.fromkeys(a.kind for a in answers):
        own = [a for a in answers if a.kind == kind]
        rows[kind] = {
            "slices": len(own),
            "segment": round(float(np.mean([a.segment_refused for a in own])), 4),
            "recipe": round(float(np.mean([a.recipe_refused for a in own])), 4),
        }
    return rows


def limits(answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """Return, per feature, the limit that refuses at most 1 % of the good slices, and what it refuses of each kind.

    A slice that the recipe refuses is refused anyway.
    """
    fine = [a for a in answers if a.kind.startswith("good")]
    rows = {}
    for feature in ("confidence", "certainty", "plausibility", "core"):
        limit = float(np.percentile([getattr(a, feature) for a in fine], 1.0, method="lower"))
        rows[feature] = {"limit": round(limit, 4)}
        for kind in dict.fromkeys(a.kind for a in answers):
            own = [a for a in answers if a.kind == kind]
            rows[feature][kind] = round(
                float(np.mean([a.recipe_refused or getattr(a, feature) < limit for a in own])), 4
            )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with labelmaps/, heads/, spine/, cc_msp/ ...")
    parser.add_argument("--bundle", default="callosum-bisenetv2", help="name of a shipped bundle, or a bundle's folder")
    parser.add_argument("--photos", type=Path, help="folder with photographs (scikit-image's data folder, say)")
    parser.add_argument("--kinds", nargs="*", choices=(*KINDS, "good"), default=(*KINDS, "good"), help="only these")
    parser.add_argument("--count", type=int, default=COUNT, help="slices of each drawn kind")
    parser.add_argument("--csv", type=Path, help="write one line per slice here, as they come, with its features")
    parser.add_argument("--json", type=Path, help="write the table here, with the model's sha256")
    parser.add_argument("--accepted", type=Path, help="write the slices that were not refused here, as pictures (PNG)")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    answers: list[Answer] = []
    seen: list[npt.NDArray[np.uint8]] = []
    with ExitStack() as stack:
        writer = None
        if options.csv:
            writer = csv.DictWriter(
                stack.enter_context(options.csv.open("w", newline="", buffering=1)), Answer.__slots__
            )
            writer.writeheader()
        for kind, name, image, pixel_mm in everything(options):
            answer = judge(kind, name, image, pixel_mm, options.bundle)
            answers.append(answer)
            if writer is not None:
                writer.writerow(asdict(answer))
            if not answer.recipe_refused and not kind.startswith("good"):
                seen.append(thumbnail(f"{name} {answer.confidence:.2f}", image))
    rows = table(answers)
    print(f"{options.bundle:14s} {'n':>5s} {'segment refuses':>16s} {'recipe refuses':>15s}")
    for kind, row in rows.items():
        print(f"{kind:14s} {row['slices']:5.0f} {row['segment']:16.1%} {row['recipe']:15.1%}")
    found = limits(answers) if any(kind.startswith("good") for kind in rows) else {}
    for feature, row in found.items():
        print(
            f"with {feature} >= {row['limit']:.3f}, refused: ", *(f"{k} {v:.1%}" for k, v in row.items() if k in rows)
        )
    if options.json:
        report = {"sha256": load_bundle(options.bundle).sha256, "no_callosum": rows, "limits": found}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.accepted and seen:
        seen += [np.zeros_like(seen[0])] * (-len(seen) % 10)
        lines = [np.hstack(seen[start : start + 10]) for start in range(0, len(seen), 10)]
        cv2.imwrite(str(options.accepted), np.vstack(lines))
    return 0


def thumbnail(text: str, image: Floats, side: int = 150) -> npt.NDArray[np.uint8]:
    grey = np.clip(image / max(1e-3, float(np.percentile(image, 99.5))), 0, 1) * 255
    view = cv2.resize(grey.astype(np.uint8), (side, side))
    return np.asarray(cv2.putText(view, text, (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.33, 255, 1), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
