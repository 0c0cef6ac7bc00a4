"""How well does a brain bundle find the brain?  python benchmarks/brain_accuracy.py --data DIR --out OUT

``mediseg evaluate`` twice: on the real heads of ``manifests/brain_heads.yaml``, and on held-out label maps that are
painted here in five random contrasts each, shaded and noisy, at 1 mm (they and their manifest stay in OUT/painted).
Tables, every case, and pages of the worst with pictures lie in OUT/heads and OUT/painted afterwards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mediseg.cli import main as mediseg
from mediseg.evaluate.manifest_file import Defaults, EntryFile, ManifestFile, as_yaml
from mediseg.train.brain_heads import HELD_OUT_MAPS, brain_of_labels
from mediseg.train.painting import draw_palette, paint

Floats = npt.NDArray[np.float32]
REAL = Path(__file__).parent / "manifests" / "brain_heads.yaml"
CONTRASTS = 5
GREYS = 1000  # of the brightest tissue


def painted(maps: Path, folder: Path) -> Path:
    """Paint the held-out maps (RAS, 1 mm) as int16 images into a folder; return the manifest written beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, name in enumerate(HELD_OUT_MAPS):
        loaded = nib.as_closest_canonical(nib.load(maps / f"{name}.nii.gz"))
        labels = np.asarray(loaded.dataobj).astype(np.uint8)
        truth = brain_of_labels(labels).astype(np.uint8)
        nib.save(nib.Nifti1Image(truth, loaded.affine), folder / f"{name}_brain.nii.gz")
        for contrast in range(CONTRASTS):
            rng = np.random.default_rng((987_654, number, contrast))
            image = acquired(paint(labels, draw_palette(rng, "random"), rng), rng)
            greys = np.rint(np.minimum(image * GREYS, 32_767)).astype(np.int16)
            identity = f"{name}_{contrast}"
            nib.save(nib.Nifti1Image(greys, loaded.affine), folder / f"{identity}.nii")
            entries.append(
                EntryFile(id=identity, image=f"{identity}.nii", label=f"{name}_brain.nii.gz", group=f"map {name}")
            )
    defaults = Defaults(
        structure="brain",
        split="test",
        licence="Apache 2.0 (the repository's; the maps have none of their own)",
        origin="BBillot/SynthSeg, label maps, painted by mediseg",
    )
    manifest = folder / "manifest.yaml"
    file = ManifestFile(schema_version="1.0", name="painted_heads", defaults=defaults, entries=tuple(entries))
    manifest.write_text(as_yaml(file), encoding="utf-8")
    return manifest


def acquired(image: Floats, rng: np.random.Generator) -> Floats:
    """Shade, blur a little and add Rician noise."""
    smooth = ndimage.gaussian_filter(np.clip(image, 0.0, None), rng.uniform(0.3, 0.8))
    coarse = rng.normal(0.0, 0.2, (4, 4, 4))
    zoom = [n / 4 for n in image.shape]
    smooth *= np.exp(ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest"))
    sigma = rng.uniform(0.01, 0.04)
    noise = rng.normal(0.0, sigma, (2, *image.shape)).astype(np.float32)
    result: Floats = np.hypot(smooth + noise[0], noise[1]).astype(np.float32)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with heads/, heads_nichart/, labelmaps/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="brain-unet", help="name or folder of a brain bundle")
    parser.add_argument("--parts", nargs="+", choices=("heads", "painted"), default=["heads", "painted"])
    parser.add_argument("--threads", default="2")
    options = parser.parse_args()
    worst = 0
    for part in options.parts:
        out = options.out / part
        manifest = REAL if part == "heads" else painted(options.data / "labelmaps", out / "images")
        root = ["--root", str(options.data)] if part == "heads" else []
        given = ["--model", options.model, "--threads", options.threads, "--out", str(out)]
        worst = max(worst, mediseg(["evaluate", str(manifest), *root, *given]))
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
