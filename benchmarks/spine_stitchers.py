"""Other people's stitchers and mediseg on the same stations, in one run.

Each gets three stations of the spine phantom where they truly lie (spine_placers.py: those that find places):
``python benchmarks/spine_stitchers.py [--only opencv tptbox] [--composites 2]``. What is not installed is left out, and
said. Every composite is judged on its own grid against the uncut image, two pixels inside the stations, so that nobody
pays for how borders are cut.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from spine_stitching import _spoilt, judged, wholes

from mediseg.geometry import Geometry
from mediseg.phantom.stations import StationPlan, cut_stations, plan_stations
from mediseg.steps.stitch import stitch_stations
from mediseg.volume import Volume

KINDS = ("ideal", "gain and gamma", "roll-off")


@dataclass(frozen=True, eq=False)
class Example:
    """Three stations at their true places, how they were cut, and their uncut image."""

    whole: Volume
    plans: tuple[StationPlan, ...]
    volumes: list[Volume]

    def owner(self, grid: Geometry) -> np.ndarray:
        """Number of the station whose middle is nearest (borders lie amid the overlaps), 0 at and beyond edges."""
        ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
        points = grid.lps_from_ijk(ijk)
        inside = np.zeros(grid.shape, bool)
        for volume in self.volumes:
            index, last = volume.geometry.ijk_from_lps(points), np.array(volume.geometry.shape) - 1
            margin = np.array([2, 2, -0.01])
            inside |= ((index >= margin) & (index <= last - margin)).all(axis=-1)
        middles = [float(volume.geometry.center_lps_mm[2]) for volume in self.volumes]
        nearest = np.abs(points[..., 2, None] - middles).argmin(axis=-1) + 1
        return np.where(inside, nearest, 0).astype(np.uint8)

    def judge(self, composite: Volume) -> tuple[float, float]:
        """Return NRMSE and the largest step at a border, both in %."""
        return judged(composite, self.owner(composite.geometry), self.whole)


def example(kind: str, seed: int) -> Example:
    whole, look = wholes("phantom", seed % 4)
    shape = {name: look[name] for name in ("deep_mm", "matrix", "slices")}
    random = np.random.default_rng([seed, 2])
    plans = [_spoilt(random, p, kind, n, seed) for n, p in enumerate(plan_stations(3, noise=0.01, **shape))]
    plans = [replace(p, shift_mm=(0, 0, 0), turn_deg=0.0) for p in plans]
    return Example(whole, tuple(plans), [cut.volume for cut in cut_stations(whole, plans)])


def mediseg(given: Example) -> Volume:
    return stitch_stations(given.volumes, register=False).composite


def mediseg_multiband(given: Example) -> Volume:
    return stitch_stations(given.volumes, register=False, blend="multiband").composite


def opencv(given: Example) -> Volume:
    """cv2.detail: BlocksGainCompensator and FeatherBlender, which work in 8 and 16 bit, on the middle slice."""
    import cv2

    top = max(float(volume.array.max()) for volume in given.volumes)
    middle = given.volumes[0].geometry.shape[2] // 2
    images = [np.ascontiguousarray(v.array[:, :, middle].T / top * 255).astype(np.uint8) for v in given.volumes]
    colours = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in images]
    first = given.volumes[0].geometry
    corners = [(0, round((given.plans[0].top_mm - p.top_mm) / first.spacing_mm[1])) for p in given.plans]
    masks = [np.full(image.shape, 255, np.uint8) for image in images]
    compensator = cv2.detail.ExposureCompensator_createDefault(cv2.detail.ExposureCompensator_GAIN_BLOCKS)
    compensator.feed(corners, colours, masks)
    blender = cv2.detail_FeatherBlender(0.02)
    blender.prepare(cv2.detail.resultRoi(corners, [image.shape[::-1] for image in images]))
    for n, image in enumerate(colours):
        done = compensator.apply(n, corners[n], image, masks[n])
        blender.feed((image if done is None else done).astype(np.int16), masks[n], corners[n])
    out, _ = blender.blend(None, None)
    flat = np.asarray(out[:, :, 0], np.float32).T[:, :, None] * top / 255
    affine = first.affine_lps.copy()
    affine[:3, 3] = first.lps_from_ijk((0, 0, middle))
    return Volume(flat, Geometry(flat.shape, affine))


def tptbox(given: Example, *, match: bool = False, n4: bool = False) -> Volume:
    """TPTBox.stitching: the stations as NIfTI files, as its command line takes them."""
    from TPTBox.stitching.stitching import main

    from mediseg.io import load, write

    with TemporaryDirectory() as folder:
        paths = [write(volume, Path(folder) / f"{n}.nii.gz") for n, volume in enumerate(given.volumes)]
        main(list(paths), f"{folder}/out.nii.gz", match_histogram=match, bias_field=n4, min_value=0)
        return load(Path(folder) / "out.nii.gz").reorient("PIR")


def tptbox_matched(given: Example) -> Volume:
    return tptbox(given, match=True)


def tptbox_n4(given: Example) -> Volume:
    return tptbox(given, n4=True)


def tptbox_matched_n4(given: Example) -> Volume:
    return tptbox(given, match=True, n4=True)


def multiview(given: Example) -> Volume:
    """multiview-stitcher's fusion (weighted average, blending at the borders); it matches no intensities."""
    from multiview_stitcher import fusion
    from multiview_stitcher import spatial_image_utils as si

    first = given.volumes[0].geometry
    axes = first.axes_lps  # the same for all: the stations lie at their true places
    sims = []
    for volume in given.volumes:
        own = volume.geometry
        begin = axes.T @ own.lps_from_ijk((0, 0, 0))
        sims.append(
            si.get_sim_from_array(
                np.ascontiguousarray(volume.array.T),
                dims=["z", "y", "x"],
                scale=dict(zip("xyz", own.spacing_mm, strict=True)),
                translation=dict(zip("xyz", begin, strict=True)),
                transform_key="true",
            )
        )
    spacing = dict(zip("xyz", first.spacing_mm, strict=True))
    fused = fusion.fuse(sims, transform_key="true", output_spacing=spacing)
    array = np.asarray(fused.data.compute() if hasattr(fused.data, "compute") else fused.data, np.float32)
    array = np.ascontiguousarray(array.reshape(array.shape[-3:]).T)
    affine = first.affine_lps.copy()
    affine[:3, 3] = axes @ [float(fused.coords[name].values[0]) for name in "xyz"]
    return Volume(array, Geometry(array.shape, affine))


STITCHERS = {
    one.__name__: one
    for one in (mediseg, mediseg_multiband, opencv, multiview, tptbox, tptbox_matched, tptbox_n4, tptbox_matched_n4)
}


def compared(kinds: tuple[str, ...], composites: int, names: list[str]) -> Iterator[dict[str, Any]]:
    for kind in kinds:
        examples = [example(kind, seed) for seed in range(composites)]
        for stitch in (STITCHERS[name] for name in names):
            row: dict[str, Any] = {"stitcher": stitch.__name__, "kind": kind, "composites": composites}
            cpu = time.process_time()
            try:
                found = [one.judge(stitch(one)) for one in examples]
            except ImportError as error:
                yield row | {"left_out": str(error)}
                continue
            except Exception as error:  # noqa: BLE001 - somebody else's code: what stops it is the figure
                yield row | {"failed": f"{type(error).__name__}: {error}"[:200]}
                continue
            yield row | {
                "nrmse_percent": round(float(np.mean([nrmse for nrmse, _ in found])), 2),
                "worst_nrmse_percent": round(max(nrmse for nrmse, _ in found), 2),
                "worst_seam_percent": round(max(seam for _, seam in found), 2),
                "cpu_s_with_judging": round((time.process_time() - cpu) / composites, 1),
                "load": [round(v, 1) for v in os.getloadavg()],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(STITCHERS), default=list(STITCHERS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--composites", type=int, default=2)
    args = parser.parse_args()
    for row in compared(tuple(args.kinds), args.composites, args.only):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
