"""Volumes that no scan of a person can be."""

from __future__ import annotations

import numpy as np
import pytest

from mediseg.errors import Code, Refusal
from mediseg.io.plausible import check_volume, skew_deg
from mediseg.volume import Volume


def volume(affine, array=None):
    return Volume.from_affine(np.arange(1000.0).reshape(10, 10, 10) if array is None else array, affine)


@pytest.mark.parametrize("spacing", [(1e-6, 1e-6, 1e-6), (1, 1, 0.001), (1, 1, 60), (1000, 1000, 1000)])
def test_voxels_that_no_scan_has_are_refused(spacing):
    with pytest.raises(Refusal, match=r"head\.nii: voxels of .* are no scan of a person"):
        check_volume(volume(np.diag([*spacing, 1.0])), "head.nii")


def test_a_head_of_ten_metres_is_refused():
    long = np.arange(300.0).reshape(300, 1, 1)
    with pytest.raises(Refusal, match=r"1.2e\+04 mm"):
        check_volume(volume(np.diag([40.0, 1, 1, 1]), long), "head.nii")


@pytest.mark.parametrize("spacing", [(0.3, 0.3, 0.3), (1, 1, 1), (0.9, 0.9, 15)])
def test_real_spacings_pass_without_a_word(spacing):
    given = volume(np.diag([*spacing, 1.0]))
    assert check_volume(given, "head.nii") is given


def test_a_mask_is_refused_and_an_empty_image_left_to_the_steps():
    mask = np.zeros((10, 10, 10), np.uint8)
    assert check_volume(volume(np.eye(4), mask), "m").warnings == ()
    mask[2:5] = 7
    with pytest.raises(Refusal, match="two different values only: it is a mask"):
        check_volume(volume(np.eye(4), mask), "m")


def test_a_sheared_grid_is_warned_of():
    affine = np.eye(4)
    affine[0, 2] = np.tan(np.radians(10.0))
    (warn,) = check_volume(volume(affine), "head.nii").warnings
    assert warn.code is Code.GANTRY_TILT
    assert warn.detail["degrees"] == pytest.approx(10.0)
    assert skew_deg(volume(np.diag([1.0, 2, 3, 1])).geometry) == pytest.approx(0.0, abs=1e-9)
