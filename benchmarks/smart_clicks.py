"""How many clicks bring a callosum to Dice 0.97, on the worst held-out slices.

    python benchmarks/smart_clicks.py --data DIR [--limit 121] [--worst 10] [--most 15] [--ids ID ...]

A simulated user looks for the largest piece that is wrong (missed or too much) and clicks its innermost pixel; the
plugin's `refined` answers. Beside it the same user with a brush: each dab is a disc at that pixel, as large as fits
into what is wrong (a brush whose size is set anew for every dab, and that never paints a pixel too much). Slices are
the split `test` of benchmarks/manifests/cc_msp.yaml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from napari_mediseg.clicks import Click, refined
from napari_mediseg.editing import change
from scipy import ndimage

import mediseg
from mediseg.evaluate.manifest import load_manifest
from mediseg.evaluate.pairs import read_pair

GOAL = 0.97


def next_click(mask: np.ndarray, truth: np.ndarray) -> Click:
    return worst_place(mask, truth)[0]


def worst_place(mask: np.ndarray, truth: np.ndarray) -> tuple[Click, float]:
    """The innermost pixel of the largest wrong piece, and how far it lies from the piece's border, in pixels."""
    best, found, deep = -1, None, 0.0
    for wrong, is_inside in ((truth & ~mask, True), (mask & ~truth, False)):
        labels, count = ndimage.label(wrong)
        if count == 0:
            continue
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        if sizes.max() > best:
            depth = ndimage.distance_transform_edt(np.pad(labels == sizes.argmax(), 1))[1:-1, 1:-1]
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            best, found, deep = int(sizes.max()), Click(int(row), int(column), is_inside), float(depth.max())
    assert found is not None
    return found, deep


def dabs(mask: np.ndarray, truth: np.ndarray, at: int) -> tuple[int, float]:
    """How many dabs of a brush reach the goal, and Dice after ``at`` of them."""
    now, count, dice = mask.copy(), 0, change(mask[None], truth[None]).dice
    rows, columns = np.indices(mask.shape)
    early = dice
    while dice < GOAL:
        place, deep = worst_place(now, truth)
        now[np.hypot(rows - place.row, columns - place.column) < deep] = place.is_inside
        count += 1
        dice = change(now[None], truth[None]).dice
        early = dice if count <= at else early
    return count, early


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--most", type=int, default=15)
    parser.add_argument("--ids", nargs="*", default=[], help="these slices alone, such as the worst of an earlier run")
    args = parser.parse_args()
    manifest = Path(__file__).parent / "manifests" / "cc_msp.yaml"
    entries = load_manifest(manifest, args.data / "cc_msp").only("test").entries
    entries = entries[:: max(1, len(entries) // args.limit)] if args.limit else entries
    cases = []
    for entry in [one for one in entries if not args.ids or one.id in args.ids]:
        image, label = read_pair(entry)
        try:
            found = mediseg.segment_callosum(image)
        except mediseg.Refusal:
            continue
        mask, truth = np.squeeze(found.mask.mask()), np.squeeze(label.mask())
        chance = np.squeeze(found.probability.array)
        spacing = tuple(s for s, n in zip(image.geometry.spacing_mm, image.geometry.shape, strict=True) if n > 1)
        cases.append((change(mask[None], truth[None]).dice, entry.id, chance, mask, truth, spacing))
    cases.sort(key=lambda one: one[0])
    print(f"{len(cases)} slices; the worst {args.worst}:")
    for dice, identity, chance, mask, truth, spacing in cases[: args.worst]:
        clicks: list[Click] = []
        now, way = mask, [dice]
        while way[-1] < GOAL and len(clicks) < args.most:
            clicks.append(next_click(now, truth))
            now = refined(chance, now, clicks, spacing)
            way.append(change(now[None], truth[None]).dice)
        wrong = int(np.count_nonzero(mask ^ truth))
        count, early = dabs(mask, truth, len(clicks))
        print(
            f"{identity}: {' '.join(f'{d:.3f}' for d in way)} ({len(clicks)} clicks; a brush: {wrong} pixels wrong, "
            f"{early:.3f} after as many dabs, {count} dabs to {GOAL})",
            flush=True,
        )


if __name__ == "__main__":
    main()
