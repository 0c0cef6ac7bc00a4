"""How well does a brain bundle find the brain?  python benchmarks/brain_accuracy.py --data DIR

Three parts, each a table: ``elders`` (held-out T1 and FLAIR against DLMUSE > 0 at 2 mm, volumes of all), ``heads``
(other contrasts and slice thicknesses, against what reference there is), ``painted`` (held-out label maps, five random
contrasts each, painted and judged at 1 mm). A refused head counts as an empty mask.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mediseg import Refusal, Volume, extract_brain
from mediseg.evaluate.metrics import dice, overlap
from mediseg.train.brain_heads import HELD_OUT_ELDERS, HELD_OUT_MAPS, brain_of_labels
from mediseg.train.painting import draw_palette, paint

Floats = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Extract = Callable[[Floats, Affine], Mask]
CONTRASTS = 5


def extractor(model: str) -> Extract:
    """Return a function from an image and its affine (RAS mm) to the brain's mask."""

    def run(image: Floats, ras_from_ijk: Affine) -> Mask:
        try:
            return extract_brain(
                Volume.from_affine(image, np.diag([-1, -1, 1, 1]) @ ras_from_ijk), model=model
            ).mask.mask()
        except Refusal as refusal:
            print(f"  refused: {refusal}")
            return np.zeros(image.shape, bool)

    return run


def read(path: Path) -> tuple[Floats, Affine]:
    image = nib.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, np.float64)


def read_mask(path: Path) -> Mask:
    mask: Mask = np.asarray(nib.load(path).dataobj) > 0
    return mask


def elders(run: Extract, data: Path, show: Callable[..., None]) -> list[dict[str, object]]:
    """Compare with DLMUSE > 0 (T1) and the same carried over to the FLAIR, on their own 2 mm grids."""
    rows = []
    for scan in sorted((data / "heads_nichart").glob("subj*_[tf]*.nii.gz")):
        person, kind = scan.name.removesuffix(".nii.gz").split("_", 1)
        if kind not in ("t1", "flair"):
            continue
        truth = read_mask(scan.with_name(f"{person}_{'dlmuse' if kind == 't1' else 'flair_brain'}.nii.gz"))
        image, affine = read(scan)
        found = run(image, affine)
        held_out = person in HELD_OUT_ELDERS
        rows.append({"head": f"{person} {kind}", "held_out": held_out, **_score(found, truth, affine)})
        if held_out:
            show(f"elder_{person}_{kind}", image, found, affine)
    return rows


def heads(run: Extract, data: Path, show: Callable[..., None]) -> list[dict[str, object]]:
    """Compare volumes, and masks where there are any, on heads of other kinds."""
    rows = []
    with (data / "heads" / "heads.csv").open(newline="") as stream:
        listed = list(csv.DictReader(stream))
    for entry in listed:
        folder = data / "heads" / entry["name"]
        image, affine = read(folder / "image.nii.gz")
        started = time.perf_counter()
        found = run(image, affine)
        row: dict[str, object] = {"head": entry["name"], "seconds": round(time.perf_counter() - started, 2)}
        row["ml"] = round(_ml(found, affine))
        for column, name in (("mask_ml", "mask.nii.gz"), ("mindgrab_ml", "mask_mindgrab.nii.gz")):
            if entry[column]:
                row[column.removesuffix("_ml") + "_ratio"] = round(_ml(found, affine) / float(entry[column]), 3)
            if (folder / name).is_file():
                row[f"dice_{column.removesuffix('_ml')}"] = round(dice(found, read_mask(folder / name)), 4)
        rows.append(row)
        show(f"head_{entry['name']}", image, found, affine)
    return rows


def painted(run: Extract, data: Path, show: Callable[..., None]) -> list[dict[str, object]]:
    """Paint the held-out maps at 1 mm in random contrasts, with noise and shading, and judge at 1 mm."""
    rows = []
    for number, name in enumerate(HELD_OUT_MAPS):
        loaded = nib.as_closest_canonical(nib.load(data / "labelmaps" / f"{name}.nii.gz"))
        labels = np.asarray(loaded.dataobj).astype(np.uint8)
        truth = brain_of_labels(labels)
        for contrast in range(CONTRASTS):
            rng = np.random.default_rng((987_654, number, contrast))
            image = _acquire(paint(labels, draw_palette(rng, "random"), rng), rng)
            found = run(image, loaded.affine)
            rows.append({"head": f"{name} {contrast}", **_score(found, truth, loaded.affine)})
            if contrast < 2:
                show(f"painted_{name}_{contrast}", image, found, loaded.affine)
    return rows


def _acquire(image: Floats, rng: np.random.Generator) -> Floats:
    """Shade, blur a little and add Rician noise."""
    smooth = ndimage.gaussian_filter(np.clip(image, 0.0, None), rng.uniform(0.3, 0.8))
    coarse = rng.normal(0.0, 0.2, (4, 4, 4))
    zoom = [n / 4 for n in image.shape]
    smooth *= np.exp(ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest"))
    sigma = rng.uniform(0.01, 0.04)
    noise = rng.normal(0.0, sigma, (2, *image.shape)).astype(np.float32)
    result: Floats = np.hypot(smooth + noise[0], noise[1]).astype(np.float32)
    return result


def _score(found: Mask, truth: Mask, affine: Affine) -> dict[str, object]:
    if not found.any():
        return {"dice": 0.0, "hd95_mm": float("nan"), "assd_mm": float("nan"), "ml": 0, "ratio": 0.0}
    apart = overlap(found, truth, [float(mm) for mm in np.linalg.norm(affine[:3, :3], axis=0)])
    return {
        "dice": round(apart.dice, 4),
        "hd95_mm": round(apart.hd95_mm, 2),
        "assd_mm": round(apart.assd_mm, 2),
        "ml": round(_ml(found, affine)),
        "ratio": round(_ml(found, affine) / _ml(truth, affine), 3),
    }


def _ml(mask: Mask, affine: Affine) -> float:
    return float(mask.sum()) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0


def table(rows: list[dict[str, object]]) -> str:
    """Return rows as a text table; columns in order of first use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *[[str(row.get(key, "")) for key in columns] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def summary(rows: list[dict[str, object]]) -> str:
    """Return mean and worst Dice and the range of the volume ratio."""
    shared = [float(str(row["dice"])) for row in rows]
    ratio = [float(str(row["ratio"])) for row in rows]
    far = [float(str(row["hd95_mm"])) for row in rows]
    return (
        f"n={len(rows)}  Dice mean {np.mean(shared):.4f}  worst {min(shared):.4f}"
        f"  HD95 mean {np.mean(far):.2f} worst {np.max(far):.2f} mm"
        f"  volume ratio {min(ratio):.3f}..{max(ratio):.3f}"
    )


def picture(folder: Path | None) -> Callable[..., None]:
    """Return a function that draws three planes with the mask's outline as a PNG; it does nothing without a folder.

    Heads show faces: keep the pictures to yourself.
    """
    if folder is None:
        return lambda *_: None
    folder.mkdir(parents=True, exist_ok=True)

    def show(name: str, image: Floats, mask: Mask, affine: Affine) -> None:
        import cv2

        shown = nib.as_closest_canonical(nib.Nifti1Image(image, affine))
        zooms = shown.header.get_zooms()[:3]
        inside = nib.as_closest_canonical(nib.Nifti1Image(mask.astype(np.uint8), affine)).get_fdata() > 0
        grey = shown.get_fdata()
        top = np.percentile(grey[grey > 0], 99.5) if (grey > 0).any() else 1.0
        middle = [int(c) for c in ndimage.center_of_mass(inside)] if inside.any() else [n // 2 for n in grey.shape]
        panels = []
        for axis, offset_mm in ((0, 3), (0, 35), (1, 0), (1, -40), (2, 0), (2, -30)):
            at = int(np.clip(middle[axis] + offset_mm / zooms[axis], 0, grey.shape[axis] - 1))
            a, b = [i for i in range(3) if i != axis]
            size = (round(grey.shape[a] * zooms[a] * 1.5), round(grey.shape[b] * zooms[b] * 1.5))
            plane = np.clip(np.take(grey, at, axis).T[::-1] / top, 0, 1) * 255
            drawn = cv2.cvtColor(cv2.resize(plane.astype(np.uint8), size), cv2.COLOR_GRAY2BGR)
            cover = cv2.resize(np.ascontiguousarray(np.take(inside, at, axis).T[::-1]).astype(np.uint8) * 255, size)
            outline, _ = cv2.findContours((cover > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, outline, -1, (0, 0, 255), 1)
            panel = np.zeros((400, 380, 3), np.uint8)
            panel[: min(400, size[1]), : min(380, size[0])] = drawn[:400, :380]
            panels.append(panel)
        cv2.imwrite(str(folder / f"{name}.png"), np.concatenate(panels, axis=1))

    return show


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with heads/, heads_nichart/, labelmaps/")
    parser.add_argument("--model", default="brain-unet", help="name or folder of a brain bundle")
    parser.add_argument(
        "--parts", nargs="+", choices=("elders", "heads", "painted"), default=["elders", "heads", "painted"]
    )
    parser.add_argument("--pictures", type=Path, default=None, help="draw outlines into this folder")
    parser.add_argument("--json", type=Path, default=None, help="write the summaries here, for the bundle's metadata")
    options = parser.parse_args()
    run, show = extractor(options.model), picture(options.pictures)
    results: dict[str, str] = {}
    if "elders" in options.parts:
        rows = elders(run, options.data, show)
        print(table(rows))
        for kind in ("t1", "flair"):
            of_kind = [row for row in rows if str(row["head"]).endswith(kind)]
            results[f"held-out elders {kind}"] = summary([row for row in of_kind if row["held_out"]])
            results[f"all elders {kind} (11 of 17 trained on)"] = summary(of_kind)
    if "heads" in options.parts:
        print(table(heads(run, options.data, show)))
    if "painted" in options.parts:
        rows = painted(run, options.data, show)
        print(table(rows))
        results["held-out maps, 5 random contrasts each"] = summary(rows)
    for name, text in results.items():
        print(f"{name}: {text}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
