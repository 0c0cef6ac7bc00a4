"""A stack of which only every n-th slice came: evenly spaced, so that its positions alone look whole."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import pairwise

from mediseg.errors import Code, Warn
from mediseg.io.dicom.header import Image

_FEWEST = 4  # slices, fewer have no rhythm
_NEAR = 0.05  # of a slice: how near a multiple the spacing must lie
_GAPPY = 1.9  # of a slice's thickness: from here on a 2-D stack with numbers left out is suspicious


def thinned(images: Sequence[Image], spacing_mm: float, numbers: Set[int]) -> list[Warn]:
    """Return MISSING_SLICE where the header says that slices lie between those at hand, else nothing.

    ``images`` are the slices in order, ``numbers`` the instance numbers of the whole series. A 2-D stack may have gaps
    of any width, so its thickness says nothing; what tells is

    - SpacingBetweenSlices half (or a third, ...) of the true spacing, where it can be no gap (it is no less than the
      thickness);
    - a 3-D acquisition, whose slices leave no gap, with a spacing of two or more thicknesses;
    - instance numbers in steps of two or more while no image of the series bears those between, in a 3-D acquisition
      or where gaps of a slice lie between the slices.
    """
    if len(images) < _FEWEST:
        return []
    first = images[0]
    stated, thickness = abs(first.between_slices_mm or 0.0), first.thickness_mm or 0.0
    is_acquired_3d = first.facts.get("acquisition") == "3D" and first.image_type[:1] != ("DERIVED",)
    step = _number_step(images, numbers)
    signs: list[str] = []
    if stated >= 0.9 * thickness and _multiple(spacing_mm, stated):
        signs.append(f"the header says that they are {stated:.4g} mm apart (SpacingBetweenSlices)")
    if is_acquired_3d and _multiple(spacing_mm, thickness):
        signs.append(f"a 3-D acquisition of {thickness:.4g} mm slices leaves no gaps")
    if step > 1 and (is_acquired_3d or (thickness and spacing_mm >= _GAPPY * thickness)):
        signs.append(f"their instance numbers go in steps of {step}")
    if not signs:
        return []
    text = f"slices seem to be missing in a regular pattern: those at hand are {spacing_mm:.4g} mm apart, but "
    text += f"{' and '.join(signs)}; check that the series was copied completely"
    detail = {"spacing_mm": spacing_mm, "stated_mm": stated, "thickness_mm": thickness, "number_step": step}
    return [Warn(Code.MISSING_SLICE, text, detail)]


def _multiple(spacing_mm: float, part_mm: float) -> bool:
    """True where a spacing is 2, 3, ... times a part of it."""
    if part_mm <= 0:
        return False
    times = spacing_mm / part_mm
    return round(times) > 1 and abs(times - round(times)) <= _NEAR


def _number_step(images: Sequence[Image], numbers: Set[int]) -> int:
    """Return the step of the instance numbers along the stack, 1 where it varies or other images fill it."""
    own = [image.slice.instance for image in images]
    steps = {after - before for before, after in pairwise(own)}
    step = abs(steps.pop()) if len(steps) == 1 else 1
    between = set(range(min(own), max(own) + 1)) - set(own)
    return step if step > 1 and not between & numbers else 1
