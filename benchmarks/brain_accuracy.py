"""How well does the bundle models/brain-unet find the brain?  python benchmarks/brain_accuracy.py --data DIR

Three parts, each a table: ``elders`` (held-out T1 and FLAIR against DLMUSE > 0 at 2 mm, volumes of all), ``heads``
(other contrasts and slice thicknesses, against what reference there is), ``painted`` (held-out label maps, five random
contrasts each, painted and judged at 1 mm). Only numpy, scipy, nibabel and ONNX Runtime are needed; what is done around
the network here is written out from the bundle's metadata, on purpose apart from mediseg's own step.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import onnxruntime
from scipy import ndimage

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train.brain_heads import HELD_OUT_ELDERS, HELD_OUT_MAPS, brain_of_labels
from mediseg.train.painting import draw_palette, paint

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
CONTRASTS = 5


@dataclass(frozen=True)
class Extractor:
    """A bundle, run as its metadata says."""

    session: onnxruntime.InferenceSession
    spacing_mm: float
    multiple: int
    normalize: dict[str, object]

    @classmethod
    def load(cls, bundle: Path, threads: int) -> Extractor:
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        settings = metadata["mediseg"]["input"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            str(bundle / "models" / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        rule = {key: settings["normalize"][key] for key in ("low", "high", "clip")}
        return cls(session, settings["spacing_mm"], settings["pad_multiple"], rule)

    def __call__(self, image: Floats, ras_from_ijk: npt.NDArray[np.float64]) -> Mask:
        """Return the brain mask of a head on its own grid; ``image`` in any orientation, affine to RAS mm."""
        grid, shape = self._grid(image.shape, ras_from_ijk)
        coarse = _resample_down(image, np.linalg.solve(ras_from_ijk, grid), shape)
        distance = self.distance(coarse)
        native = np.linalg.solve(grid, ras_from_ijk)
        fine = ndimage.affine_transform(
            distance, native[:3, :3], native[:3, 3], image.shape, order=1, mode="nearest", prefilter=False
        )
        return clean(fine < 0.0)

    def distance(self, coarse: Floats) -> Floats:
        """Run the network once on a whole image at its own spacing."""
        scaled = normalize_percentiles(coarse, **self.normalize)  # type: ignore[arg-type]
        padded = np.pad(scaled, [(0, -n % self.multiple) for n in scaled.shape])
        name = self.session.get_inputs()[0].name
        (found,) = self.session.run(None, {name: np.ascontiguousarray(padded[None, None])})
        i, j, k = coarse.shape
        result: Floats = found[0, 0, :i, :j, :k]
        return result

    def _grid(
        self, shape: tuple[int, ...], affine: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], list[int]]:
        """Return affine and shape of the network's grid: along RAS, around all voxel centres of the image."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
        places = affine[:3, :3] @ corners + affine[:3, 3:]
        low, high = places.min(axis=1), places.max(axis=1)
        size = [int(np.ceil((b - a) / self.spacing_mm - 1e-6)) + 1 for a, b in zip(low, high, strict=True)]
        grid = np.diag([self.spacing_mm] * 3 + [1.0])
        slack = (np.array(size) - 1) * self.spacing_mm - (high - low)
        grid[:3, 3] = low - slack / 2.0
        return grid, size


def _resample_down(image: Floats, source_from_grid: npt.NDArray[np.float64], shape: list[int]) -> Floats:
    """Blur axes that are finer than the target, then interpolate linearly; beyond the image comes 0."""
    ratio = 1.0 / np.linalg.norm(np.linalg.inv(source_from_grid[:3, :3]), axis=0)
    sigma = 0.425 * np.sqrt(np.clip(ratio**2 - 1.0, 0.0, None))
    smooth = ndimage.gaussian_filter(image.astype(np.float32), sigma, truncate=3.0)
    result: Floats = ndimage.affine_transform(
        smooth, source_from_grid[:3, :3], source_from_grid[:3, 3], tuple(shape), order=1, prefilter=False
    )
    return result


def clean(mask: Mask) -> Mask:
    """Keep the largest part and fill its holes."""
    parts, count = ndimage.label(mask)
    if count > 1:
        mask = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled: Mask = ndimage.binary_fill_holes(mask)
    return filled


def dice(a: Mask, b: Mask) -> float:
    """Return the overlap of two masks; 1 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 1.0


def read(path: Path) -> tuple[Floats, npt.NDArray[np.float64]]:
    image = nib.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, np.float64)


def read_mask(path: Path) -> Mask:
    mask: Mask = np.asarray(nib.load(path).dataobj) > 0
    return mask


def elders(run: Extractor, data: Path, show: Callable[..., None]) -> list[dict[str, object]]:
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


def heads(run: Extractor, data: Path, show: Callable[..., None]) -> list[dict[str, object]]:
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


def painted(run: Extractor, data: Path, show: Callable[..., None]) -> list[dict[str, object]]:
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


def _score(found: Mask, truth: Mask, affine: npt.NDArray[np.float64]) -> dict[str, object]:
    return {
        "dice": round(dice(found, truth), 4),
        "ml": round(_ml(found, affine)),
        "ratio": round(_ml(found, affine) / _ml(truth, affine), 3),
    }


def _ml(mask: Mask, affine: npt.NDArray[np.float64]) -> float:
    return float(mask.sum()) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0


def table(rows: list[dict[str, object]]) -> str:
    """Return rows as a text table; columns in order of first use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *[[str(row.get(key, "")) for key in columns] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def summary(rows: list[dict[str, object]]) -> str:
    """Return mean and worst Dice and the range of the volume ratio."""
    overlap = [float(str(row["dice"])) for row in rows]
    ratio = [float(str(row["ratio"])) for row in rows]
    return (
        f"n={len(rows)}  Dice mean {np.mean(overlap):.4f}  worst {min(overlap):.4f}"
        f"  volume ratio {min(ratio):.3f}..{max(ratio):.3f}"
    )


def picture(folder: Path | None) -> Callable[..., None]:
    """Return a function that draws three planes with the mask's outline as a PNG; it does nothing without a folder.

    Heads show faces: keep the pictures to yourself.
    """
    if folder is None:
        return lambda *_: None
    folder.mkdir(parents=True, exist_ok=True)

    def show(name: str, image: Floats, mask: Mask, affine: npt.NDArray[np.float64]) -> None:
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
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parents[1] / "models" / "brain-unet")
    parser.add_argument(
        "--parts", nargs="+", choices=("elders", "heads", "painted"), default=["elders", "heads", "painted"]
    )
    parser.add_argument("--pictures", type=Path, default=None, help="draw outlines into this folder")
    parser.add_argument("--json", type=Path, default=None, help="write the summaries here, for the bundle's metadata")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    run, show = Extractor.load(options.bundle, options.threads), picture(options.pictures)
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
