"""The brain step with the shipped models: half a head never passes in silence, a turned one gives the same mask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mediseg import Geometry, Refusal, Volume, extract_brain
from mediseg.errors import Code
from mediseg.phantom import phantom_head


@pytest.fixture(scope="module")
def head() -> Volume:
    return phantom_head(spacing_mm=2.0)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))


@pytest.mark.parametrize(("axis", "high"), [(0, True), (1, True), (1, False), (2, True), (2, False)])
def test_half_a_head_is_refused_or_said_to_be_cut_off(head, axis, high):
    start, stop = [0, 0, 0], list(head.geometry.shape)
    if high:
        start[axis] = stop[axis] // 2
    else:
        stop[axis] //= 2
    half = head.resample(head.geometry.crop(start, stop))
    try:
        told = {warning.code for warning in extract_brain(half).warnings}
    except Refusal:
        told = {Code.CUT_OFF_HEAD}
    assert Code.CUT_OFF_HEAD in told


def test_a_head_turned_by_30_degrees_has_the_same_brain(head):
    whole = extract_brain(head)
    assert whole.confidence > 0.7
    geometry = head.geometry
    affine = geometry.affine_lps.copy()
    turn = Rotation.from_euler("x", 30, degrees=True).as_matrix()
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = turn @ (affine[:3, 3] - geometry.center_lps_mm) + geometry.center_lps_mm
    turned = extract_brain(Volume(head.array, Geometry(geometry.shape, affine)))
    assert _dice(turned.mask.mask(), whole.mask.mask()) > 0.98


def test_a_box_is_no_brain(head):
    inside = np.zeros(head.geometry.shape, np.float32)
    inside[tuple(slice(n // 4, 3 * n // 4) for n in inside.shape)] = 100.0
    with pytest.raises(Refusal, match="no whole brain found"):
        extract_brain(Volume(inside, head.geometry))
