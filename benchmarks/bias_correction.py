"""Is mediseg's N4 as good as SimpleITK's, and how much faster?  python benchmarks/bias_correction.py --data DIR

One run, one process, both methods in turn on the same arrays. SimpleITK's N4 runs as it is mostly run: shrink 4, 4 x 50
iterations, its default knots. Parts: ``known`` (painted held-out label maps and mediseg's phantom, 256^3 at 1 mm, known
fields, inside the brain and inside the head), ``harm`` (no field: the white matter's variation), ``moved`` (flips and
sub-voxel shifts), ``bright`` (lesions, a tumour with contrast agent and bright fat are put in: what they change),
``shapes`` (single slices, thick slices), ``spine`` and ``heads`` (real images: a known field is put on top, and what of
it is found is the difference between the fields with and without it).

Residual: coefficient of variation (%) of true field / found field inside the brain (or the foreground of a spine).
DIR holds ``labelmaps/``, ``heads/``, ``spine/``. With ``--pictures`` fields and corrected images are drawn; real heads
show faces, keep those to yourself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the library's own short name
from scipy import ndimage

from mediseg import extract_brain, load
from mediseg.meter import measured
from mediseg.numerics.cells import cells
from mediseg.numerics.n4 import correct, foreground
from mediseg.phantom.head import head_labels, head_truth, phantom_head
from mediseg.train.brain_heads import HELD_OUT_MAPS, brain_of_labels
from mediseg.train.painting import Contrast, draw_palette, paint

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
PARTS = ("known", "harm", "moved", "bright", "shapes", "spine", "heads")
CONTRASTS: tuple[Contrast, ...] = ("t1", "t2", "flair", "pd", "gre", "t1")
#: kind of field and the standard deviation of its logarithm inside the brain, for each held-out map
FIELDS = (("smooth", 0.1), ("lopsided", 0.15), ("coil", 0.25), ("smooth", 0.3), ("lopsided", 0.08), ("coil", 0.4))
SPINES = ("pam50_small_t2", "t2s_axial_cervical", "t2_axial_cervicothoracic_ms", "t1_axial_cervical",
          "mt_axial_cervical_sub01", "t2_sag_lumbar_crop_tptbox")  # fmt: skip
HEADS = ("t1_fullhead_nichart_s1", "t1_ms_p20", "flair_tumour_brainix", "t1gd_pyradiomics1", "t2_1x1x2", "pd_chris")


@dataclass(frozen=True)
class Case:
    """An image at 1 mm with the field that is in it, and where it is judged."""

    name: str
    image: npt.NDArray[np.int16]
    field: Floats
    brain: Mask
    labels: npt.NDArray[np.uint8]


def known_field(kind: str, strength: float, shape: tuple[int, ...], inside: Mask, seed: int) -> Floats:
    """Return a field whose logarithm has this standard deviation inside, mean 0."""
    rng = np.random.default_rng((seed, 7))
    x, y, z = np.meshgrid(*[(np.arange(n, dtype=np.float32) - n / 2) / 100 for n in shape], indexing="ij", sparse=True)
    if kind == "smooth":  # a parabola with mixed terms
        a, b, c = rng.normal(size=3) * 0.3
        d, e, f = rng.uniform(0.25, 0.75, 3)
        g, h, i = rng.uniform(-0.35, 0.35, 3)
        log = x * (a + d * x + g * y) + y * (b + e * y + h * z) + z * (c + f * z + i * x)
    elif kind == "lopsided":  # noise on a 4 x 4 x 4 grid over the image, interpolated by cubics
        coarse = rng.normal(size=(4, 4, 4)).astype(np.float32)
        log = ndimage.zoom(coarse, [n / 4 for n in shape], order=3, mode="nearest", grid_mode=True)
    else:  # roll-off of a surface coil 130 mm from the middle
        place = rng.normal(size=3)
        place *= 1.3 / np.linalg.norm(place)
        log = -np.log1p(1.2 * ((x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2))
    log = np.broadcast_to(log, shape).astype(np.float32)
    return np.asarray(np.exp((log - log[inside].mean()) * (strength / log[inside].std())), np.float32)


def painted(data: Path, index: int, field: tuple[str, float] | None) -> Case:
    """Return the index-th held-out map, painted, blurred by half a voxel, shaded, with Rician noise of 2 %."""
    rng = np.random.default_rng((index, 3))
    small = np.asarray(nib.load(data / "labelmaps" / f"{HELD_OUT_MAPS[index]}.nii.gz").dataobj).astype(np.uint8)
    room = [(256 - n) // 2 for n in small.shape]
    labels = np.zeros((256,) * 3, np.uint8)
    labels[tuple(slice(r, r + n) for r, n in zip(room, small.shape, strict=True))] = small
    signal = paint(labels, draw_palette(rng, CONTRASTS[index]), rng).clip(0)
    signal = ndimage.gaussian_filter(signal, 0.5)
    brain = brain_of_labels(labels)
    shading = np.ones_like(signal) if field is None else known_field(*field, signal.shape, brain, index)
    signal *= shading
    noisy = [rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(0.02) for _ in range(2)]
    signal = np.hypot(signal + noisy[0], noisy[1])
    kind = "none" if field is None else f"{field[0]} {field[1]:g}"
    name = f"{HELD_OUT_MAPS[index]} {CONTRASTS[index]} {kind}"
    return Case(name, np.minimum(signal * 800, 32000).astype(np.int16), shading, brain, labels)


def phantom(contrast: str, bias: float) -> Case:
    """Return mediseg's phantom at 1 mm, padded to 256^3."""
    settings = {"contrast": contrast, "bias": bias, "seed": 3}
    head, truth = phantom_head(**settings), head_truth(**settings)
    pad = [((256 - n) // 2, 256 - n - (256 - n) // 2) for n in head.array.shape]
    labels = np.pad(head_labels().labels, pad)
    field = np.pad(truth.bias.array, pad, mode="edge")
    return Case(f"phantom {contrast} {bias:g}", np.pad(head.array, pad).astype(np.int16), field,
                np.pad(truth.brain.mask(), pad), labels)  # fmt: skip


def ours(image: npt.NDArray[np.generic], mask: Mask | None, spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Floats:
    return correct(image, spacing, mask)[1]


def simpleitk(image: npt.NDArray[np.generic], mask: Mask | None, spacing: tuple[float, ...] = (1.0,) * 3) -> Floats:
    """Return the field of SimpleITK's N4: shrink 4 along axes that are fine enough, 4 x 50 iterations."""
    whole = sitk.GetImageFromArray(np.maximum(image, 1).astype(np.float32))
    whole.SetSpacing(spacing[::-1])
    if mask is None:
        where = sitk.OtsuThreshold(whole, 0, 1, 200)
    else:
        where = sitk.GetImageFromArray(mask.astype(np.uint8))
        where.CopyInformation(whole)
    shrink = [4 if s < 3 and n >= 64 else 1 for s, n in zip(spacing[::-1], image.shape[::-1], strict=True)]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([50] * 4)
    n4.Execute(sitk.Shrink(whole, shrink), sitk.Shrink(where, shrink))
    return np.asarray(np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(whole))), np.float32)


Method = Callable[..., Floats]
METHODS: dict[str, Method] = {"mediseg": ours, "SimpleITK": simpleitk}


def timed(method: Method, *given: object, repeats: int = 1) -> tuple[Floats, float, float]:
    """Return the field, the median of wall-clock seconds, and of CPU seconds (all threads)."""
    wall, cpu = [], []
    for _ in range(repeats):
        begin, used = time.perf_counter(), time.process_time()
        field = method(*given)
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - used)
    return field, float(np.median(wall)), float(np.median(cpu))


def residual(true: Floats, found: Floats, inside: Mask) -> float:
    ratio = true[inside] / found[inside]
    return 100 * float(ratio.std() / ratio.mean())


def variation(values: Floats) -> float:
    return 100 * float(values.std() / values.mean())


def known_cases(data: Path) -> Iterator[Case]:
    for contrast, bias in (("t1", 0.3), ("t2", 0.6)):
        yield phantom(contrast, bias)
    for index, field in enumerate(FIELDS):
        yield painted(data, index, field)


def known(data: Path, masks: tuple[str, ...]) -> None:
    """Print the residuals, and the ratios of time."""
    ratios: list[list[float]] = []
    sums: dict[tuple[str, str], list[float]] = {}
    for case in known_cases(data):
        for place in masks:
            mask = case.brain if place == "brain" else None
            cells_of = []
            seconds = {}
            for name, method in METHODS.items():
                field, *seconds[name] = timed(method, case.image, mask, repeats=3 if name == "mediseg" else 1)
                left = residual(case.field, field, case.brain)
                sums.setdefault((place, name), []).append(left)
                cells_of.append(f"{name} {left:5.2f} % {seconds[name][0]:6.2f} s ({seconds[name][1]:5.2f} s CPU)")
            ratios.append([s / m for s, m in zip(seconds["SimpleITK"], seconds["mediseg"], strict=True)])
            before = variation(case.field[case.brain])
            print(f"{case.name:34s} in {place:5s} before {before:4.1f} %  " + "  ".join(cells_of), flush=True)
    for (place, name), left in sums.items():
        print(f"residual in {place:5s} {name:9s} mean {np.mean(left):.2f} %  worst {max(left):.2f} %")
    wall, cpu = np.median(np.array(ratios), axis=0)
    print(f"SimpleITK's time over mediseg's, median of {len(ratios)}: wall {wall:.1f}, CPU {cpu:.1f}")
    with measured() as meter:
        ours(case.image, None)
    print(f"mediseg on 256^3 int16 inside the head: peak {meter.peak_mb:.0f} MB resident (the case itself is in it)")


def harm(data: Path) -> None:
    """Print the variation of white matter (true labels, away from their borders) without any field in the image."""
    for index in range(len(CONTRASTS)):
        case = painted(data, index, None)
        white = ndimage.binary_erosion((case.labels == 2) | (case.labels == 41))
        before = variation(case.image[white].astype(np.float32))
        parts = []
        for name, method in METHODS.items():
            field = method(case.image, case.brain)
            after = variation(case.image[white] / field[white])
            parts.append(f"{name} {after:.2f} % (field {variation(field[case.brain]):.2f} %)")
        print(f"{case.name:34s} white matter's CV before {before:.2f} %  after: " + "  ".join(parts), flush=True)


def moved(data: Path) -> None:
    """Print how much the field changes when the image is turned round or lies elsewhere on the grid."""
    case = painted(data, 0, FIELDS[0])
    first = ours(case.image, case.brain)
    for axes in ((0,), (1,), (2,), (0, 1, 2)):
        back = np.flip(ours(np.flip(case.image, axes), np.flip(case.brain, axes)), axes)
        _print_change(f"flipped {axes}", back, first, case.brain)
    turned = ours(case.image.transpose(2, 0, 1), case.brain.transpose(2, 0, 1)).transpose(1, 2, 0)
    _print_change("axes in another order", turned, first, case.brain)
    for place in ("brain", "head"):
        fields = []
        for shift in (0.0, 0.3, 0.5):
            where = {"offset_mm": (4.0 + shift, shift, -shift), "noise": 0.0}
            head, truth = phantom_head(**where), head_truth(**where)
            fields.append(ours(head.array, truth.brain.mask() if place == "brain" else None))
            if shift:
                _print_change(f"phantom moved by {shift} mm on each axis, {place}", fields[-1], fields[0],
                              truth.brain.mask())  # fmt: skip


def _print_change(name: str, one: Floats, other: Floats, inside: Mask) -> None:
    ratio = one[inside] / other[inside]
    print(f"{name:45s} change: CV {variation(ratio):.3f} %, largest {100 * np.abs(ratio - 1).max():.3f} %", flush=True)


def bright(data: Path) -> None:
    """Print what bright spots that are no shading change: the field inside the brain, away from the spots."""
    for index in (0, 2):
        case = painted(data, index, FIELDS[index])
        white = ndimage.binary_erosion((case.labels == 2) | (case.labels == 41), iterations=3)
        rng = np.random.default_rng((index, 11))
        lesions, tumour = np.zeros((2, *white.shape), bool)
        for place in rng.permutation(np.argwhere(white))[:40]:
            lesions |= _ball(white.shape, place, rng.uniform(2, 6))
        tumour |= _ball(white.shape, rng.permutation(np.argwhere(white))[0], 18)
        fat = ~ndimage.binary_dilation(case.brain, iterations=6) & (case.image > 200)
        spots = (("lesions", lesions, 1.6, "brain"), ("tumour", tumour, 2.5, "brain"), ("fat", fat, 3.0, "head"))
        for name, where, times, place in spots:
            mask = case.brain if place == "brain" else None
            image = np.where(where, np.minimum(case.image * times, 32000), case.image).astype(np.int16)
            seen = case.brain & ~where
            parts = [f"{np.count_nonzero(where) / 1000:.0f} ml x {times:g}"]
            for method, run in METHODS.items():
                fields = [run(one, mask) for one in (case.image, image)]
                left = " -> ".join(f"{residual(case.field, field, seen):.2f}" for field in fields)
                change = variation(fields[1][seen] / fields[0][seen])
                parts.append(f"{method} residual {left} %, change {change:.2f} %")
            print(f"{case.name:34s} {name:8s} in {place:5s} " + "  ".join(parts), flush=True)


def _ball(shape: tuple[int, ...], middle: npt.NDArray[np.int64], radius: float) -> Mask:
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return np.asarray(sum((a - m) ** 2 for a, m in zip(axes, middle, strict=True)) <= radius**2)


def shapes(data: Path) -> None:
    """Print residuals on single slices and thick stacks of the painted heads."""
    for index in (0, 1, 2, 4):
        case = painted(data, index, FIELDS[index])
        middle = int(ndimage.center_of_mass(case.brain)[2])
        cut = slice(middle + 8, middle + 9)
        one = (case.image[:, :, cut], case.brain[:, :, cut], case.field[:, :, cut], (1.0, 1.0, 1.0))
        thick = tuple(a[:, :, :252].reshape(256, 256, 42, 6).mean(-1) for a in (case.image, case.brain, case.field))
        stack = (thick[0].astype(np.float32), thick[1] > 0.5, thick[2].astype(np.float32), (1.0, 1.0, 6.0))
        for name, (image, brain, field, spacing) in (("one slice", one), ("6 mm slices", stack)):
            parts = [f"before {variation(field[brain]):.1f} %"]
            for method, run in METHODS.items():
                if method == "SimpleITK" and name == "one slice":
                    found = run(image[:, :, 0], brain[:, :, 0], spacing[:2])[:, :, None]
                else:
                    found = run(image, brain, spacing)
                parts.append(f"{method} {residual(field, found, brain):.2f} %")
            print(f"{case.name:34s} {name:12s} " + "  ".join(parts), flush=True)


def real(paths: list[Path], place: str) -> None:
    """Print what is found of a coil's roll-off that is put on top of real images, and the ratios of time.

    ``place``: "head" is the foreground as mediseg finds it, "brain" what ``extract_brain`` does.
    """
    left: dict[str, list[float]] = {name: [] for name in METHODS}
    ratios = []
    for path in paths:
        loaded = nib.load(path)
        image = np.asarray(loaded.dataobj).astype(np.float32)
        spacing = tuple(float(s) for s in loaded.header.get_zooms()[:3])
        inside = ndimage.zoom(foreground(cells(image, spacing, 4.0).values),
                              np.array(image.shape) / cells(image, spacing, 4.0).values.shape, order=0)  # fmt: skip
        inside = extract_brain(load(path)).mask.mask() if place == "brain" else np.asarray(inside, bool)
        field = known_field("coil", 0.2, image.shape, inside, 1)
        parts, seconds = [], []
        for name, method in METHODS.items():
            (plain, *_), (found, *used) = (timed(method, i, inside, spacing) for i in (image, image * field))
            left[name].append(residual(field, found / plain, inside))
            seconds.append(used)
            parts.append(f"{name} {left[name][-1]:.2f} % {used[0]:.2f} s ({used[1]:.2f} s CPU)")
        ratios.append([other / own for own, other in zip(*seconds, strict=True)])
        name = path.parent.name if path.name == "image.nii.gz" else path.name
        print(f"{name:36s} in {place:5s} field on top, before 20 %: " + "  ".join(parts), flush=True)
    means = "  ".join(f"{name} mean {np.mean(those):.2f} % worst {max(those):.2f} %" for name, those in left.items())
    wall, cpu = np.median(np.array(ratios), axis=0)
    print(f"{means}; SimpleITK's time over mediseg's, median: wall {wall:.1f}, CPU {cpu:.1f}")


def draw(data: Path, folder: Path) -> None:
    """Draw head, corrected head and field of every real image: middle slices, one PNG each."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for path in [*sorted((data / "heads").glob("*/image.nii.gz")), *(data / "spine" / f"{n}.nii.gz" for n in SPINES)]:
        loaded = nib.as_closest_canonical(nib.load(path))
        image = np.asarray(loaded.dataobj).astype(np.float32)
        spacing = tuple(float(s) for s in loaded.header.get_zooms()[:3])
        corrected, field = correct(image, spacing)
        rows = []
        top = np.percentile(image[image > image.mean()], 98)
        for axis in (0, 2):
            tiles = []
            for array, scale in ((image, top), (corrected, top), (field, 2.0)):
                plane = np.take(array, array.shape[axis] // 2, axis).T[::-1] / scale
                tiles.append(cv2.resize((plane.clip(0, 1) * 255).astype(np.uint8), (360, 360)))
            rows.append(np.hstack(tiles))
        name = path.parent.name if path.name == "image.nii.gz" else path.name[:-7]
        cv2.imwrite(str(folder / f"{name}.png"), np.vstack(rows))
        print(f"{name}: field {field.min():.2f} to {field.max():.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with labelmaps/, heads/, spine/")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--masks", nargs="+", choices=("brain", "head"), default=["brain", "head"])
    parser.add_argument("--threads", type=int, default=2, help="of SimpleITK; set OPENBLAS_NUM_THREADS for numpy's")
    parser.add_argument("--pictures", type=Path, default=None, help="draw real heads and spines into this folder")
    options = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    ours(np.ones((8, 8, 8)) + np.indices((8, 8, 8)).sum(0), np.ones((8, 8, 8), bool))  # imports are not timed
    heads = [options.data / "heads" / name / "image.nii.gz" for name in HEADS]
    spines = [options.data / "spine" / f"{name}.nii.gz" for name in SPINES]
    run = {
        "known": lambda: known(options.data, tuple(options.masks)),
        "harm": lambda: harm(options.data),
        "moved": lambda: moved(options.data),
        "bright": lambda: bright(options.data),
        "shapes": lambda: shapes(options.data),
        "spine": lambda: real(spines, "head"),
        "heads": lambda: [real(heads, place) for place in options.masks],
    }
    for part in options.parts:
        print(f"== {part}", flush=True)
        run[part]()
    if options.pictures is not None:
        draw(options.data, options.pictures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
