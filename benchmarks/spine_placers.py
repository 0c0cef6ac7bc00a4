"""Stitchers that find places by themselves, and mediseg, on the same pairs of stations.

Each gets the middle slices of two stations of the spine phantom (square pixels of 1 mm, 60 mm of overlap) and says
where the lower one lies; those that take a starting place get the headers', off by up to 20 mm and 15 degrees.
``python benchmarks/spine_placers.py [--only mediseg m2stitch ...] [--pairs 4]``. What is not installed is left out, and
said; what refuses or fails is counted with its reason.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from spine_stitching import GROSS_MM, errors_mm, spoilt_pair, wholes

from mediseg.geometry import Array, Rigid
from mediseg.phantom.stations import CutStation, StationPlan, cut_stations, header_error
from mediseg.steps.stitch.align import Limits, Station, align

OVERLAP_MM = 60.0
LOOK = {"deep_mm": 200.0, "matrix": (200, 220), "slices": 7, "reach": (100.0, 330.0)}
KINDS = ("shift", "shift and turn", "all")


@dataclass(frozen=True, eq=False)
class Pair:
    """Two stations of 220 mm as cut, and their middle slices: rows from the top, columns from front to back."""

    cuts: tuple[CutStation, ...]
    images: tuple[np.ndarray, np.ndarray]

    @property
    def plans(self) -> tuple[StationPlan, StationPlan]:
        return self.cuts[0].plan, self.cuts[1].plan

    @property
    def bytes_(self) -> list[np.ndarray]:
        """The slices in 8 bit, each by its own brightest."""
        return [np.clip(image / np.percentile(image, 99.9) * 255, 0, 255).astype(np.uint8) for image in self.images]

    @property
    def header_matrix(self) -> Array:
        """Where the headers put the lower image's (column, row) in the upper one: (3, 3)."""
        fixed, moving = (cut.volume.geometry for cut in self.cuts)
        return flat(fixed.ijk_from_lps_matrix @ moving.affine_lps)

    def error_mm(self, fixed_from_moving: Array) -> float:
        """Mean error at the corners of the overlap, of a matrix (3, 3) that takes (column, row) to (column, row)."""
        fixed, moving = (cut.volume.geometry for cut in self.cuts)
        points = self.corners()
        ij = moving.ijk_from_lps(points)[:, :2]
        found = (np.column_stack([ij, np.ones(len(ij))]) @ fixed_from_moving.T)[:, :2]
        true = fixed.ijk_from_lps(self.cuts[1].true_from_header.apply(points))[:, :2]
        return float(np.linalg.norm((found - true) * fixed.spacing_mm[:2], axis=1).mean())

    def corners(self) -> Array:
        """The overlap's corners where the lower station's header says."""
        plan = self.plans[1]
        half = plan.deep_mm / 2
        there = [[0.0, y, z] for y in (-half, half) for z in (plan.top_mm, plan.top_mm - OVERLAP_MM)]
        return header_error(plan).apply(there)


def flat(matrix: Array) -> Array:
    return np.asarray(matrix[np.ix_([0, 1, 3], [0, 1, 3])])


def shifted(column: float, row: float) -> Array:
    return np.array([[1.0, 0.0, column], [0.0, 1.0, row], [0.0, 0.0, 1.0]])


def pair(kind: str, n: int) -> Pair:
    whole, _ = wholes("phantom", n % 4)
    upper, lower = spoilt_pair(np.random.default_rng([n, 5]), LOOK, OVERLAP_MM, n)
    lower = replace(lower, slice_offset_mm=0.0)
    if kind != "all":
        upper = replace(upper, noise=0.01, roll_off=0.0)
        lower = replace(lower, noise=0.01, roll_off=0.0, gain=1.0, gamma=1.0)
    # the patient turned and the header lies straight: so the pixels are turned too, for those that see nothing else
    turn = 0.0 if kind == "shift" else lower.turn_deg
    lower = replace(lower, turn_deg=turn, tilt_deg=-turn)
    cuts = cut_stations(whole, (upper, lower))
    images = tuple(np.ascontiguousarray(cut.volume.array[:, :, 3].T, np.float32) for cut in cuts)
    return Pair(cuts, (images[0], images[1]))


class Refused(Exception):
    """The tool gives no place."""


def mediseg(given: Pair) -> float:
    """All slices, as it is used."""
    found = align(Station(given.cuts[0].volume), Station(given.cuts[1].volume), Limits())
    if found is None or not found.is_accepted:
        raise Refused("no overlap" if found is None else found.reason)
    return errors_mm(found.fixed_from_moving, given.cuts[1], OVERLAP_MM)[0]


def headers(given: Pair) -> float:
    """No registration: what a stitcher does that trusts the headers (TPTBox, OpenCV's detail with given corners)."""
    return errors_mm(Rigid(np.eye(4)), given.cuts[1], OVERLAP_MM)[0]


def multiview(given: Pair) -> float:
    """multiview-stitcher, starting at the headers' places: shifts by phase correlation (its default)."""
    from multiview_stitcher import msi_utils, registration
    from multiview_stitcher import spatial_image_utils as si

    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])  # its order is y, x
    starts = [np.eye(3), swap @ given.header_matrix @ swap]
    sims = [
        si.get_sim_from_array(image, dims=["y", "x"], affine=start, transform_key="header")
        for image, start in zip(given.images, starts, strict=True)
    ]
    views = [msi_utils.get_msim_from_sim(sim, scale_factors=[]) for sim in sims]
    found = registration.register(
        views, reg_channel_index=0, transform_key="header", new_transform_key="found", overlap_tolerance=20.0
    )
    moves = [np.asarray(one).reshape(-1, 3, 3)[0] for one in found]
    placed = [move @ start for move, start in zip(moves, starts, strict=True)]
    return given.error_mm(swap @ np.linalg.inv(placed[0]) @ placed[1] @ swap)


def m2stitch(given: Pair) -> float:
    """MIST in Python: shifts of a grid of tiles, starting at the headers' places.

    It wants neighbours in both directions, so each slice is given as two tiles, front and back, that share 60 columns.
    """
    from m2stitch import stitch_images

    size = given.images[0].shape[1] // 2 + 30
    starts = (0, given.images[0].shape[1] - size)
    tiles = [image[:, at : at + size] for image in given.images for at in starts]
    column, row = given.header_matrix[:2, 2]
    guess = np.array([[0, starts[0]], [0, starts[1]], [row, column], [row, column + starts[1]]])
    grid, _ = stitch_images(
        np.stack(tiles), rows=[0, 0, 1, 1], cols=[0, 1, 0, 1], row_col_transpose=False,
        position_initial_guess=np.round(guess), overlap_diff_threshold=20,
    )  # fmt: skip
    across, down = (grid[name].to_numpy(float) for name in ("x_pos", "y_pos"))
    return given.error_mm(shifted(across[2] - across[0], down[2] - down[0]))


def stitch2d(given: Pair) -> float:
    """SIFT key points, shifts only; no starting place."""
    from stitch2d import OpenCVTile, StructuredMosaic

    mosaic = StructuredMosaic([OpenCVTile(image) for image in given.bytes_], dim=1, direction="horizontal")
    try:
        mosaic.align()
    except RuntimeError as error:
        raise Refused(str(error)) from error
    upper, lower = (row[0] for row in mosaic.grid)
    return given.error_mm(shifted(float(lower.x - upper.x), float(lower.y - upper.y)))


def openstitching(given: Pair) -> float:
    """``stitching`` (OpenCV's pipeline): AffineStitcher up to its cameras; no starting place."""
    import cv2
    from stitching import AffineStitcher
    from stitching.images import Images
    from stitching.stitching_error import StitchingError

    tool = AffineStitcher(crop=False)
    colours = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in given.bytes_]
    tool.images = Images.of(colours, tool.medium_megapix, tool.low_megapix, tool.final_megapix)
    try:
        images = tool.resize_medium_resolution()
        features = tool.find_features(images)
        matches = tool.match_features(features)
        images, features, matches = tool.subset(images, features, matches)
        cameras = tool.refine_camera_parameters(features, matches, tool.estimate_camera_parameters(features, matches))
    except StitchingError as error:
        raise Refused(str(error)) from error
    if len(cameras) < 2:
        raise Refused("one image only is kept")
    first, second = (np.asarray(camera.R, np.float64) for camera in cameras)
    return given.error_mm(np.linalg.inv(first) @ second)


def ashlar(given: Pair) -> float:
    """Phase correlation of tiles, shifts only, starting at the headers' places; needs Java."""
    import contextlib
    import io

    from ashlar import reg

    start = given.header_matrix[:2, 2][::-1]

    class Told(reg.Metadata):  # type: ignore[misc] # ashlar is not typed
        _num_images, num_channels, pixel_size = 2, 1, 1.0
        pixel_dtype = np.dtype(np.uint16)

        @property
        def num_images(self) -> int:
            return 2

        @property
        def positions(self) -> np.ndarray:
            return np.array([[0.0, 0.0], start]) - np.minimum(start, 0)

        @property
        def size(self) -> np.ndarray:
            return np.array(given.images[0].shape)

    class Read(reg.Reader):  # type: ignore[misc] # ashlar is not typed
        def __init__(self) -> None:
            self.metadata = Told()

        def read(self, series: int, c: int) -> np.ndarray:
            image = given.images[series]
            return np.clip(image / image.max() * 60000, 0, 65535).astype(np.uint16)

    aligner = reg.EdgeAligner(Read(), max_shift=30, filter_sigma=1.0, do_make_thumbnail=False)
    with contextlib.redirect_stdout(io.StringIO()):
        aligner.run()
    if not aligner.spanning_tree.edges:
        raise Refused("the pair is discarded (error above the threshold, or shift above max_shift)")
    return given.error_mm(shifted(*(float(v) for v in (aligner.positions[1] - aligner.positions[0])[::-1])))


PLACERS: dict[str, Callable[[Pair], float]] = {
    one.__name__: one for one in (mediseg, headers, multiview, m2stitch, stitch2d, openstitching, ashlar)
}


def placed(names: list[str], kinds: list[str], pairs: int) -> Iterator[dict[str, Any]]:
    for kind in kinds:
        examples = [pair(kind, n) for n in range(pairs)]
        for name in names:
            yield {"placer": name, "kind": kind, "pairs": pairs} | _tried(PLACERS[name], examples)


def _tried(place: Callable[[Pair], float], examples: list[Pair]) -> dict[str, Any]:
    errors: list[float] = []
    refused: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    cpu = time.process_time()
    for one in examples:
        try:
            errors.append(place(one))
        except Refused as reason:
            refused[str(reason)[:90]] += 1
        except ImportError as error:
            return {"left_out": str(error)}
        except Exception as error:  # noqa: BLE001 - somebody else's code: what stops it is the figure
            failed[f"{type(error).__name__}: {error}"[:160]] += 1
    right = [error for error in errors if error <= GROSS_MM]
    return {
        "right": len(right), "silent_gross": len(errors) - len(right), "refused": dict(refused), "failed": dict(failed),
        "median_mm": round(float(np.median(right)), 3) if right else None,
        "worst_mm": round(max(errors), 1) if errors else None,
        "cpu_s_each": round((time.process_time() - cpu) / len(examples), 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(PLACERS), default=list(PLACERS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--pairs", type=int, default=4)
    args = parser.parse_args()
    for row in placed(args.only, args.kinds, args.pairs):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
