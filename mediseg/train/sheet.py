"""Render a contact sheet of training windows, painted and real, so that a person can look at what a network is shown.

Windows stand in pairs of rows: the even columns carry the outline of the callosum's half area fraction.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mediseg.train.callosum_maps import Slab, load_slabs
from mediseg.train.painted_slices import callosum_affine, draw_painted, whole_slice_affine

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

COLUMNS, ROWS = 8, 6
_TILE = 192


def tile(window: Floats, target: Floats, side: int = _TILE, *, outline: bool = True) -> Bytes:
    """Return a window as a picture, ``side`` pixels wide, BGR, yellow where the area fraction is one half."""
    grey = np.clip(window, 0, 1.2) / np.float32(1.2) * 255
    scale = side / window.shape[1]
    size = (side, max(1, round(window.shape[0] * scale)))
    big = cv2.resize(grey.astype(np.uint8), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    picture = cv2.cvtColor(big, cv2.COLOR_GRAY2BGR)
    if outline:
        half = (cv2.resize(target, size, interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.uint8)
        lines, _ = cv2.findContours(half, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, lines, -1, (0, 255, 255), 1)
    return np.asarray(picture, np.uint8)


def contact_sheet(draw: Callable[[int], tuple[Floats, Floats]], columns: int = COLUMNS, rows: int = ROWS) -> Bytes:
    """Return ``rows`` x ``columns`` windows ``draw(number)`` as one BGR picture; every second one has no outline."""
    tiles = [tile(*draw(number), outline=number % 2 == 0) for number in range(rows * columns)]
    lines = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.asarray(np.vstack(lines), np.uint8)


def painted(slabs: list[Slab], seed: int, *, close: bool) -> Callable[[int], tuple[Floats, Floats]]:
    """Return ``draw(number)``: whole slices at 1 mm, or (close) callosum windows at 0.5 mm."""

    def draw(number: int) -> tuple[Floats, Floats]:
        rng = np.random.default_rng((seed, number))
        slab = slabs[number % len(slabs)]
        if close:
            return draw_painted(rng, slab, callosum_affine(rng, slab), (128, 256), edges=0.1)
        return draw_painted(rng, slab, whole_slice_affine(rng, (192, 192)), (192, 192))

    return draw


def real(data: Path, seed: int) -> Callable[[int], tuple[Floats, Floats]]:
    """Return ``draw(number)``: augmented windows of the real slices under ``data`` (with index.csv), as in training."""
    from mediseg.train import callosum

    slices = callosum.training_part(callosum.load(data))

    def draw(number: int) -> tuple[Floats, Floats]:
        rng = np.random.default_rng((seed, number))
        at = int(rng.integers(len(slices.ids)))
        return callosum.draw(rng, slices.images[at], slices.masks[at], 192)

    return draw


def negative(data: Path, seed: int, *, held_out: bool) -> Callable[[int], tuple[Floats, Floats]]:
    """Return ``draw(number)``: windows without a callosum, the seven kinds in turn."""
    from mediseg.train.negatives import KINDS, draw_negative, load_sources

    sources = load_sources(data, held_out=held_out)

    def draw(number: int) -> tuple[Floats, Floats]:
        rng = np.random.default_rng((seed, number))
        window = draw_negative(rng, sources, (192, 192), kind=KINDS[number % len(KINDS)])
        return window, np.zeros(window.shape, np.float32)

    return draw


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the windows and write the picture: ``python -m mediseg.train.sheet``."""
    parser = argparse.ArgumentParser(prog="python -m mediseg.train.sheet", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds labelmaps/ (and cc_msp/)")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--kind", choices=("painted", "close", "real", "negative"), default="painted")
    parser.add_argument("--cache", type=Path, help="folder in which the slabs of the maps are kept (7 s a map)")
    parser.add_argument("--held-out", action="store_true", help="of held-out maps and scans")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    if options.kind == "real":
        draw = real(options.data / "cc_msp", options.seed)
    elif options.kind == "negative":
        draw = negative(options.data, options.seed, held_out=options.held_out)
    else:
        slabs = load_slabs(options.data, options.cache, held_out=options.held_out)
        draw = painted(slabs, options.seed, close=options.kind == "close")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(options.out), contact_sheet(draw)):
        msg = f"cannot write {options.out}: give a PNG file in a folder that can be written"
        raise OSError(msg)


if __name__ == "__main__":
    main()
