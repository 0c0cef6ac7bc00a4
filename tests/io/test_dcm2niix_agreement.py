"""The same voxels in the same places as dcm2niix, on real studies (its results are stored beside them).

The stored affines are rounded to 1e-5, which at the far corner of 384 voxels is up to 0.006 mm; docs/agreement.md has
the differences from a live run (benchmarks/dcm2niix_agreement.py).
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mediseg.geometry import Geometry
from mediseg.io import load, open_study
from mediseg.io.dicom.read import read_stack
from mediseg.volume import Volume

DATA = Path(os.environ.get("MEDISEG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "dicom"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real scans at {DATA} (MEDISEG_TEST_DATA)"),
]
LPS_FROM_RAS = np.diag([-1.0, -1, 1, 1])
STORED_ROUNDING = 5e-6


@cache
def reference() -> dict:
    return json.loads((DATA / "dcm2niix_reference.json").read_text())["studies"]


def volumes_of(study: str) -> dict[str, dict]:
    return {volume["file"]: volume for volume in reference()[f"dicom/{study}"]["volumes"]}


def compare_places(volume: Volume, theirs: dict) -> None:
    grid = Geometry(theirs["shape"], LPS_FROM_RAS @ np.array(theirs["affine"]))
    assert grid.codes == theirs["axcodes"]
    ours = volume.geometry.reorient(grid.codes)
    assert ours.shape == grid.shape
    assert np.abs(ours.affine_lps - grid.affine_lps).max() < 1e-3
    rounding = STORED_ROUNDING * (sum(grid.shape) + 1) * np.sqrt(3)
    apart = np.linalg.norm(ours.corners_lps_mm() - grid.corners_lps_mm(), axis=1).max()
    assert apart < 1e-3 + rounding


def compare_pixels(array: np.ndarray, theirs: dict) -> None:
    assert array.min() == pytest.approx(theirs["min"], abs=1e-3)
    assert array.max() == pytest.approx(theirs["max"], abs=1e-3)
    assert array.mean(dtype=float) == pytest.approx(theirs["mean"], abs=6e-5 * max(1, abs(theirs["mean"]) / 100))


@pytest.mark.parametrize(
    ("study", "warnings"),
    [
        ("siemens_sag_t1_child10", []),
        ("axial_t1_novendor", ["NOT_PRIMARY"]),
        ("siemens_sag_thick_HFS", []),
        ("siemens_sag_thick_HFDR", []),
        ("siemens_xa30_enhanced_t1", ["SERIES_SKIPPED"]),
    ],
)
def test_the_main_volume(study, warnings):
    volume = load(DATA / f"{study}.zip")
    theirs = volumes_of(study)[reference()[f"dicom/{study}"]["main_volume"]]
    compare_places(volume, theirs)
    compare_pixels(volume.array, theirs)
    assert [warn.code.value for warn in volume.warnings] == warnings


def test_both_versions_of_the_enhanced_study():
    stacks = open_study(DATA / "siemens_xa30_enhanced_t1.zip").stacks
    for stack, theirs in zip(stacks, volumes_of("siemens_xa30_enhanced_t1").values(), strict=True):
        volume = read_stack(stack)
        compare_places(volume, theirs)
        compare_pixels(volume.array, theirs)
    assert load(DATA / "siemens_xa30_enhanced_t1.zip").source.facts["series_number"] == 6


def test_the_gap_is_filled_where_dcm2niix_closes_or_stretches_it():
    volume = load(DATA / "siemens_t1_gap_plus_asl.zip")
    files = volumes_of("siemens_t1_gap_plus_asl")
    closed, stretched = files["5_mocoMEMPRAGE_220FOV_RMS_e1.nii"], files["5_mocoMEMPRAGE_220FOV_RMS_e1_Eq_1.nii"]
    assert volume.source.sop_uids[114] is None
    assert volume.warnings[0].detail["index"] == [114]
    # Without the filled slice, these are dcm2niix's 175 slices, which it puts 1 mm apart as if none were missing
    compare_pixels(np.delete(volume.array, 114, axis=2), closed)
    compare_places(
        Volume(volume.array[:, :, :175], volume.geometry.crop((0, 0, 0), (192, 192, 175)), volume.source), closed
    )
    # Its other file holds 177 slices 0.9943 mm apart over the same 175 mm, every one of them interpolated
    grid = Geometry(stretched["shape"], LPS_FROM_RAS @ np.array(stretched["affine"]))
    for corner in _corners():
        mine = volume.geometry.lps_from_ijk(np.array(corner) * (191, 191, 175))
        np.testing.assert_allclose(mine, grid.lps_from_ijk(np.array(corner) * (191, 191, 176)), atol=3e-3)


def _corners() -> list[tuple[int, int, int]]:
    return [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]


def test_three_planes_of_one_series():
    stacks = open_study(DATA / "ge_3plane_localizer_phantom.zip").stacks
    theirs = {volume["axcodes"]: volume for volume in volumes_of("ge_3plane_localizer_phantom").values()}
    names = {"axial": "LAS", "sagittal": "PSR", "coronal": "LSP"}
    assert sorted(stack.label for stack in stacks) == sorted(names)
    for stack in stacks:
        volume = read_stack(stack)
        compare_places(volume, theirs[names[stack.label]])
        compare_pixels(volume.array, theirs[names[stack.label]])


def test_the_spacing_of_rounded_positions_is_fitted():
    """GE wrote positions to 0.1 mm: dcm2niix takes the first step (7.071 mm), here all 19 (6.999 mm)."""
    (stack,) = open_study(DATA / "ge_axobl_pd_thick.zip").stacks
    volume = read_stack(stack)
    (theirs,) = volumes_of("ge_axobl_pd_thick").values()
    compare_pixels(volume.array, theirs)
    assert theirs["zooms"][2] == 7.0711
    assert volume.geometry.spacing_mm[2] == pytest.approx(6.9993, abs=1e-4)
    off = [
        np.linalg.norm(volume.geometry.lps_from_ijk((0, 0, k)) - np.array(one.position_lps_mm))
        for k, one in enumerate(stack.slices)
    ]
    assert max(off) < 0.08


@pytest.mark.parametrize("study", ["mosaic_9_transfer_syntaxes", "siemens_mosaics_sag_cor_ax"])
def test_mosaics_are_recognised_and_left_out(study):
    stacks = open_study(DATA / f"{study}.zip").stacks
    assert stacks
    assert all("mosaic" in stack.unfit for stack in stacks)


def test_odd_syntaxes_decode_alike():
    stacks = open_study(DATA / "single_heads_odd_syntax.zip").stacks
    by_text = {}
    for stack in stacks:
        by_text.setdefault((stack.geometry.shape, stack.component), []).append(read_stack(stack).array)
    toshiba, philips = by_text[(512, 512, 1), "M"], by_text[(512, 512, 1), "R"]
    np.testing.assert_array_equal(toshiba[0], toshiba[1])  # JPEG 2000 and JPEG-LS in 4 fragments
    np.testing.assert_array_equal(philips[0], philips[1])  # RLE and JPEG lossless
    assert philips[0].min() == -19595


def test_a_disc_of_two_patients_is_sorted():
    study = open_study(DATA / "dicomdir_tree_tiny.zip")
    assert (len(study.uids), len(study.series)) == (6, 13)
