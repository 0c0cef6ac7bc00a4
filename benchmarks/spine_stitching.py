"""Stitching of spine stations against simulated truth: placement, wrong pairs, intensities, seams, lengths, speed.

Stations are cut by mediseg.phantom.stations from the built-in spine phantom and, where it is there, from PAM50's
whole-spine template (bent); so every figure is of simulated stations. Run: ``python benchmarks/spine_stitching.py
[--only registration wrong apart composite exact length speed] [--trials 20] [--whole phantom|pam50] [--csv FOLDER]``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import inspect
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

import mediseg
from mediseg.geometry import Geometry, Rigid
from mediseg.phantom.spine import phantom_spine, spine_truth
from mediseg.phantom.stations import (
    CutStation,
    StationPlan,
    cut_stations,
    header_error,
    plan_stations,
    target_error_mm,
    true_grid,
)
from mediseg.steps.stitch import stitch_stations
from mediseg.steps.stitch.align import Limits, Station, align
from mediseg.volume import Volume

DATA = Path(os.environ.get("MEDISEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
PACKAGE = Path(mediseg.__file__).parent
GROSS_MM = 2.0


PERSONS = 4  # of the phantom, whose spines bow sideways by these angles
_COBB_DEG = (12.0, 0.0, 40.0, 25.0)


@lru_cache(maxsize=PERSONS)
def phantom(person: int = 0) -> Volume:
    return phantom_spine(spacing_mm=(0.8, 0.8, 4.0), seed=person, cobb_deg=_COBB_DEG[person])


@lru_cache(maxsize=1)
def pam50() -> Volume:
    """PAM50's T2 template, cut sagittally and bent forwards and sideways (it comes straightened)."""
    from mediseg.io import load

    straight = load(DATA / "spine" / "pam50_small_t2.nii.gz").reorient("PIR")
    grid = straight.geometry.with_spacing((1.0, 1.0, 4.0))
    center = grid.center_lps_mm
    moved = grid.affine_lps.copy()
    moved[:3, 3] -= center
    i, j, k = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    points = grid.lps_from_ijk(np.stack([i, j, k], axis=-1).reshape(-1, 3))
    z = points[:, 2] - center[2]
    points[:, 1] += 7 * np.sin(z / 80)
    points[:, 0] += 5 * np.sin(z / 120 + 1)
    index = straight.geometry.ijk_from_lps(points).T
    pixels = ndimage.map_coordinates(straight.array.astype(np.float32), index, order=1).reshape(grid.shape)
    return Volume(pixels, Geometry(grid.shape, moved))


def wholes(name: str, person: int = 0) -> tuple[Volume, dict[str, Any]]:
    """Return the uncut image and what a station of it looks like; PAM50 is one person only."""
    if name == "pam50":
        return pam50(), {"deep_mm": 68.0, "matrix": (84, 256), "slices": 9, "reach": (60.0, 190.0)}
    return phantom(person), {"deep_mm": 200.0, "matrix": (200, 256), "slices": 7, "reach": (100.0, 330.0)}


def spoilt_pair(
    random: np.random.Generator, look: dict[str, Any], overlap_mm: float, seed: int
) -> tuple[StationPlan, StationPlan]:
    """Two stations: gain 0.5-2, gamma 0.7-1.4, roll-off to 50 %, noise 2 %, header off to 20 mm and 15 degrees."""
    top = float(random.uniform(*look["reach"]))
    tall = 220.0
    shape = {name: look[name] for name in ("deep_mm", "matrix", "slices")}
    radius, direction = 20 * np.sqrt(random.uniform()), random.uniform(0, 2 * np.pi)
    upper = StationPlan(top, tall, noise=0.02, roll_off=float(random.uniform(0, 0.5)), seed=2 * seed, **shape)
    lower = StationPlan(
        top - tall + overlap_mm, tall, noise=0.02, seed=2 * seed + 1,
        shift_mm=(radius * np.cos(direction), radius * np.sin(direction), 0.0),
        turn_deg=float(random.uniform(-15, 15)), gain=float(random.uniform(0.5, 2)),
        gamma=float(random.uniform(0.7, 1.4)), roll_off=float(random.uniform(0, 0.5)),
        slice_offset_mm=float(random.uniform(-2, 2)), **shape,
    )  # fmt: skip
    return upper, lower


def errors_mm(found: Rigid, cut: CutStation, overlap_mm: float) -> tuple[float, float]:
    """Mean error at the corners of the overlap, and over the whole lower station."""
    plan = cut.plan
    half = plan.deep_mm / 2
    corners = [[0.0, y, z] for y in (-half, half) for z in (plan.top_mm, plan.top_mm - overlap_mm)]
    near = target_error_mm(found, cut, header_error(plan).apply(corners))
    return float(near.mean()), float(target_error_mm(found, cut, cut.volume.geometry.corners_lps_mm()).mean())


@dataclass(frozen=True)
class Trial:
    """One pair of stations: what it was, whether the gate let it through, and how far off it lies (mm)."""

    belongs: str  # "yes", or what is wrong with the lower station
    accepted: bool
    overlap_error_mm: float
    station_error_mm: float
    cpu_s: float
    found: str  # the alignment's numbers, or why it was rejected

    @property
    def is_gross(self) -> bool:
        return self.belongs != "yes" or self.overlap_error_mm > GROSS_MM


def aligned_trial(cuts: tuple[CutStation, ...], moving: Volume, overlap_mm: float, belongs: str) -> Trial:
    start = time.process_time()
    found = align(Station(cuts[0].volume), Station(moving), Limits())
    spent = time.process_time() - start
    if found is None:
        return Trial(belongs, False, np.inf, np.inf, spent, "the headers leave them apart")
    errors = errors_mm(found.fixed_from_moving, cuts[1], overlap_mm)
    numbers = ", ".join(f"{name} {value}" for name, value in found.numbers().items())
    return Trial(belongs, found.is_accepted, *errors, spent, found.reason or numbers)


def trials_of(args: argparse.Namespace, name: str, make: Callable[[int], Trial]) -> list[Trial]:
    """Return trials ``first`` to ``first + trials``, each from a seed of its own; those in the CSV are not made again.

    With ``--csv FOLDER`` every trial is appended to a file named after the test and the code that made it: a run can be
    stopped, resumed, and cut into slices (one process a slice: give each a folder of its own, or run them in turn).
    """
    path = Path(args.csv) / f"{name}-{args.whole}-seed{args.seed}-{code_version()}.csv" if args.csv else None
    done = read_trials(path) if path is not None and path.exists() else {}
    for n in range(args.first, args.first + args.trials):
        if n in done:
            continue
        done[n] = make(n)
        if path is not None:
            append_trial(path, n, done[n])
        if not done[n].accepted or done[n].is_gross:
            print(f"  {name} {n}: {done[n]}", flush=True)
    return [done[n] for n in range(args.first, args.first + args.trials)]


def code_version() -> str:
    """Eight digits of all that decides a trial, so that figures of two versions are never mixed."""
    files = [PACKAGE / "steps" / "stitch" / f"{name}.py" for name in ("align", "features", "refine", "search")]
    files += [PACKAGE / "phantom" / f"{name}.py" for name in ("spine", "stations")]
    own = [wholes, spoilt_pair, errors_mm, aligned_trial, _true_pair, _maybe_wrong_pair]
    text = "".join([path.read_text() for path in files] + [inspect.getsource(function) for function in own])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_trials(path: Path) -> dict[int, Trial]:
    with path.open(newline="") as file:
        return {
            int(row["trial"]): Trial(
                row["belongs"], row["accepted"] == "True", *(float(row[name]) for name in _FLOATS), row["found"]
            )
            for row in csv.DictReader(file)
        }


_FLOATS = ("overlap_error_mm", "station_error_mm", "cpu_s")


def append_trial(path: Path, n: int, trial: Trial) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, ["trial", *asdict(trial)])
        if is_new:
            writer.writeheader()
        writer.writerow({"trial": n, **asdict(trial)})


def registration(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for overlap in args.overlaps:
        trials = trials_of(args, f"registration-{overlap:.0f}mm", partial(_true_pair, args.whole, args.seed, overlap))
        accepted = [trial for trial in trials if trial.accepted]
        yield {
            "test": "registration", "whole": args.whole, "overlap_mm": overlap, "trials": len(trials),
            "accepted_and_right": sum(not trial.is_gross for trial in accepted),
            "silent_gross": sum(trial.is_gross for trial in accepted),
            "cpu_s_each": round(float(np.mean([trial.cpu_s for trial in trials])), 2),
            "overlap_error_mm": quantiles([trial.overlap_error_mm for trial in accepted]),
            "station_error_mm": quantiles([trial.station_error_mm for trial in accepted]),
        }  # fmt: skip


def _true_pair(whole_name: str, seed: int, overlap_mm: float, n: int) -> Trial:
    whole, look = wholes(whole_name, n % PERSONS)
    cuts = cut_stations(whole, spoilt_pair(np.random.default_rng([seed, n]), look, overlap_mm, n))
    return aligned_trial(cuts, cuts[1].volume, overlap_mm, "yes")


def quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"median": round(float(np.median(values)), 3), "p95": round(float(np.percentile(values, 95)), 3),
            "max": round(max(values), 3)}  # fmt: skip


def wrong(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Pairs at 25 mm, one in five of which do not belong together: another person, another height, end for end."""
    trials = trials_of(args, "wrong-25mm", partial(_maybe_wrong_pair, args.whole, args.seed))
    true = [trial for trial in trials if trial.belongs == "yes"]
    yield {
        "test": "wrong pairs", "whole": args.whole, "overlap_mm": 25, "trials": len(trials), "true": len(true),
        "true_accepted": sum(trial.accepted and not trial.is_gross for trial in true),
        "false": len(trials) - len(true), "silent_gross": sum(trial.accepted and trial.is_gross for trial in trials),
        "false_kinds": dict(Counter(trial.belongs for trial in trials if trial.belongs != "yes")),
        "overlap_error_mm": quantiles([trial.overlap_error_mm for trial in true if trial.accepted]),
    }  # fmt: skip


def _maybe_wrong_pair(whole_name: str, seed: int, n: int) -> Trial:
    whole, look = wholes(whole_name, n % PERSONS)
    upper, lower = spoilt_pair(np.random.default_rng([seed, 1, n]), look, 25.0, n)
    cuts = cut_stations(whole, [upper, lower])
    if n % 5:
        return aligned_trial(cuts, cuts[1].volume, 25.0, "yes")
    kinds = ("another person", "another height", "end for end")
    kind = kinds[n // 5 % 3] if whole_name == "phantom" else kinds[1 + n // 5 % 2]
    if kind == "another person":
        other = wholes(whole_name, (n + 1 + n // 15 % (PERSONS - 1)) % PERSONS)[0]
        moving = cut_stations(other, [upper, lower])[1].volume
    elif kind == "another height":
        far = replace(lower, top_mm=lower.top_mm - 100 if lower.top_mm > 0 else lower.top_mm + 140)
        moving = cuts[1].volume.with_array(cut_stations(whole, [far])[0].volume.array)
    else:
        moving = cuts[1].volume.with_array(cuts[1].volume.array[::-1, ::-1])
    return aligned_trial(cuts, moving, 25.0, kind)


def apart(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Pairs whose headers share 25 mm and whose bodies share 2: whatever is found is wrong."""
    trials = trials_of(args, "apart", partial(_apart_pair, args.whole))
    yield {"test": "apart", "whole": args.whole, "trials": len(trials),
           "silent_gross": sum(trial.accepted for trial in trials)}  # fmt: skip


def _apart_pair(whole_name: str, n: int) -> Trial:
    whole, look = wholes(whole_name, n % PERSONS)
    upper, lower = spoilt_pair(np.random.default_rng([77, n]), look, 2.0, n)
    lower = replace(lower, shift_mm=(lower.shift_mm[0], 23.0, 0.0))
    cuts = cut_stations(whole, [upper, lower])
    return aligned_trial(cuts, cuts[1].volume, 25.0, "apart")


def composites(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """NRMSE against the uncut image (RMSE over tissue / range of the truth), and the step at each border."""
    whole, look = wholes(args.whole)
    span = (350.0, -350.0) if args.whole == "phantom" else (260.0, -260.0)
    shape = {name: look[name] for name in ("deep_mm", "matrix", "slices")}
    for kind in ("ideal", "gain and gamma", "roll-off", "all"):
        random = np.random.default_rng(args.seed + 2)
        results = []
        for n in range(max(1, args.trials // 10)):
            plans = plan_stations(3, overlap_mm=60, top_mm=span[0], bottom_mm=span[1], noise=0.01, **shape)
            plans = tuple(_spoilt(random, plan, kind, at, n) for at, plan in enumerate(plans))
            cuts = cut_stations(whole, plans)
            for method in args.intensities:
                stitched = stitch_stations([cut.volume for cut in cuts], intensity=method)
                results.append((method, *judged(stitched.composite, stitched.provenance.labels, whole)))
        for method in args.intensities:
            mine = [r for r in results if r[0] == method]
            yield {
                "test": "composite", "whole": args.whole, "kind": kind, "intensity": method, "composites": len(mine),
                "nrmse_percent": round(float(np.mean([r[1] for r in mine])), 2),
                "worst_nrmse_percent": round(max(r[1] for r in mine), 2),
                "worst_seam_percent": round(max(r[2] for r in mine), 2),
            }  # fmt: skip


def _spoilt(random: np.random.Generator, plan: StationPlan, kind: str, at: int, n: int) -> StationPlan:
    moved = replace(plan, seed=100 * n + at)
    if at:
        shift = (float(random.uniform(-10, 10)), float(random.uniform(-10, 10)), 0.0)
        moved = replace(moved, shift_mm=shift, turn_deg=float(random.uniform(-6, 6)))
    if kind in ("gain and gamma", "all") and at:
        moved = replace(moved, gain=float(random.uniform(0.5, 2)), gamma=float(random.uniform(0.7, 1.4)))
    if kind in ("roll-off", "all"):
        moved = replace(moved, roll_off=0.4)
    return moved


def judged(composite: Volume, provenance: np.ndarray, whole: Volume) -> tuple[float, float]:
    """Return NRMSE in % and the largest step at a border in %: how composite / truth jumps across it.

    Roll-off takes the ends of every station alike, so the whole composite's scale is arbitrary: it is fitted first.
    """
    truth = whole.resample(composite.geometry, order=3).array
    valid = (provenance > 0) & (truth > 0.1 * np.percentile(truth, 99)) & np.isfinite(composite.array)
    scale = np.median(composite.array[valid] / truth[valid])
    nrmse = np.sqrt(np.mean((composite.array[valid] / scale - truth[valid]) ** 2)) / np.ptp(truth[valid])
    ratio = np.where(valid, composite.array / np.where(valid, truth, 1), np.nan)
    rows = np.array([np.nanmedian(ratio[:, j]) if valid[:, j].any() else np.nan for j in range(ratio.shape[1])])
    owners = np.median(provenance, axis=(0, 2))
    borders = np.flatnonzero((np.diff(owners) != 0) & (owners[1:] > 0) & (owners[:-1] > 0))
    steps = [abs(np.nanmedian(rows[j + 1 : j + 4]) / np.nanmedian(rows[j - 2 : j + 1]) - 1) for j in borders]
    return 100 * float(nrmse), 100 * float(max(steps, default=0.0))


def exact(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Constant in, constant out where three overlap; the order of input; two to six stations in one call."""
    plan = StationPlan(100, 200, matrix=(60, 100), slices=3)
    plans = [plan, replace(plan, top_mm=40), replace(plan, top_mm=0, tilt_deg=4)]
    flat = [Volume(np.full(true_grid(p).shape, 10.0, np.float32), true_grid(p)) for p in plans]
    worst = {}
    for blend in ("feather", "multiband"):
        out = stitch_stations(flat, blend=blend).composite.array
        worst[blend] = float(np.nanmax(np.abs(out - 10)))
    yield {"test": "constant 10, triple overlap", "largest_difference": worst}
    whole, look = wholes("phantom")
    shape = {name: look[name] for name in ("deep_mm", "matrix", "slices")}
    for count in (2, 3, 4, 5, 6):
        plans = [replace(p, shift_mm=(6.0 * (n % 2), -4.0 * (n % 3), 0), turn_deg=3.0 * (n % 2)) for n, p in
                 enumerate(plan_stations(count, overlap_mm=50, noise=0.01, **shape))]  # fmt: skip
        cuts = cut_stations(whole, plans)
        first = stitch_stations([cut.volume for cut in cuts])
        again = stitch_stations([cut.volume for cut in cuts][::-1])
        errors = [float(target_error_mm(s.placed_from_header, c, c.volume.geometry.corners_lps_mm()).mean())
                  for s, c in zip(first.transforms.stations, cuts, strict=True)]  # fmt: skip
        same = np.array_equal(np.nan_to_num(first.composite.array), np.nan_to_num(again.composite.array))
        yield {"test": "count", "stations": count, "order_bit_for_bit": same,
               "worst_placement_mm": round(max(errors), 3),
               "warnings": [str(w.code) for w in first.warnings]}  # fmt: skip


def lengths(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Length from the first vertebra to the sacrum, and angles across a seam, as read off the composite."""
    whole, look = wholes("phantom")
    shape = {name: look[name] for name in ("deep_mm", "matrix", "slices")}
    truth = spine_truth()
    random = np.random.default_rng(args.seed + 3)
    length, angle = [], []
    for n in range(max(2, args.trials // 10)):
        plans = [_spoilt(random, p, "all", at, n) for at, p in enumerate(plan_stations(3, noise=0.01, **shape))]
        cuts = cut_stations(whole, plans)
        stitched = stitch_stations([cut.volume for cut in cuts])
        seen = [_landmarks(s.placed_from_header, cut, truth.centers_lps_mm, truth.directions_lps)
                for s, cut in zip(stitched.transforms.stations, cuts, strict=True)]  # fmt: skip
        top, bottom = seen[0][0][0], seen[2][0][-1]
        true_length = float(np.linalg.norm(truth.centers_lps_mm[0] - truth.centers_lps_mm[-1]))
        length.append(abs(float(np.linalg.norm(top - bottom)) - true_length))
        for a, b in ((0, 1), (1, 2), (0, 2)):
            for upper, lower in ((5, 12), (10, 20), (3, 24)):
                cosine = seen[a][1][upper] @ seen[b][1][lower]
                measured = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
                true = np.degrees(np.arccos(np.clip(truth.directions_lps[upper] @ truth.directions_lps[lower], -1, 1)))
                angle.append(abs(float(measured - true)))
    yield {"test": "length", "true_mm": round(true_length, 1), "composites": len(length), "error_mm": quantiles(length),
           "cobb_error_deg": quantiles(angle)}  # fmt: skip


def _landmarks(
    found: Rigid, cut: CutStation, centers: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where anatomy comes to lie in the composite by way of one station."""
    motion = found.after(cut.true_from_header.inverse())
    return motion.apply(centers), directions @ motion.matrix[:3, :3].T


def speed(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Three stations of 15 slices of 512 x 512."""
    whole = phantom_spine(spacing_mm=(1.2, 1.2, 4.0))
    plans = plan_stations(3, overlap_mm=60, matrix=(512, 512), deep_mm=260.0, slices=15, noise=0.02)
    plans = tuple(replace(p, shift_mm=(5.0 * n, 3.0, 0), turn_deg=3.0 * n) for n, p in enumerate(plans))
    volumes = [cut.volume for cut in cut_stations(whole, plans)]
    del whole
    for blend in ("feather", "multiband"):
        wall, cpu = time.perf_counter(), time.process_time()
        stitched = stitch_stations(volumes, blend=blend)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield {"test": "speed", "blend": blend, "shape": stitched.composite.geometry.shape, "wall_s": round(wall, 2),
               "cpu_s": round(cpu, 2), "peak_mb": round(peak), "load": [round(v, 1) for v in os.getloadavg()],
               "warnings": [str(w.code) for w in stitched.warnings]}  # fmt: skip


TESTS = {"registration": registration, "wrong": wrong, "apart": apart, "composite": composites, "exact": exact,
         "length": lengths, "speed": speed}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(TESTS), default=tuple(TESTS))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial, to run in slices")
    parser.add_argument("--csv", help="folder to append every trial to; those already there are not made again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", choices=("phantom", "pam50"), default="phantom")
    parser.add_argument("--overlaps", type=float, nargs="+", default=(60.0, 25.0))
    parser.add_argument("--intensities", nargs="+", default=("histogram",))
    args = parser.parse_args()
    for name in args.only:
        for row in TESTS[name](args):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
