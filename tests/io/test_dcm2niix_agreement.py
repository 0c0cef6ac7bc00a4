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
from mediseg.io.study import Stack
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


ONE_SLICE = "depth of one slice"
# dcm2niix's volumes that differ from mediseg's, and why (docs/agreement.md); all others have equal voxels and places
DIFFERENT = {
    "siemens_t1_gap_plus_asl/5_mocoMEMPRAGE_220FOV_RMS_e1.nii": "gap",
    "siemens_t1_gap_plus_asl/5_mocoMEMPRAGE_220FOV_RMS_e1_Eq_1.nii": "gap",
    "ge_axobl_pd_thick/2_FSE_PD_AXIAL_OBL_e1.nii": "rounded positions",
    "single_heads_odd_syntax/1_3-PLANE_LOC_e1.nii": ONE_SLICE,
    "single_heads_odd_syntax/1_e1_real.nii": ONE_SLICE,
    "single_heads_odd_syntax/1_e1_reala.nii": ONE_SLICE,
    "single_heads_odd_syntax/2_FSE_PD_AXIAL_OBL_e1.nii": ONE_SLICE,
    "single_heads_odd_syntax/4_FLAIR_e1.nii": ONE_SLICE,
}
# Volumes of dcm2niix and of mediseg: the gap's second, resampled one; the file in four fragments that dcm2niix refuses
COUNTS = {
    "axial_t1_novendor": (1, 1),
    "ge_3plane_localizer_phantom": (3, 3),
    "ge_axobl_pd_thick": (1, 1),
    "mosaic_9_transfer_syntaxes": (9, 9),
    "siemens_mosaics_sag_cor_ax": (4, 4),
    "siemens_sag_t1_child10": (1, 1),
    "siemens_sag_thick_HFDR": (1, 1),
    "siemens_sag_thick_HFS": (1, 1),
    "siemens_t1_gap_plus_asl": (4, 3),
    "siemens_xa30_enhanced_t1": (2, 2),
    "single_heads_odd_syntax": (6, 7),
}


@pytest.mark.parametrize(("study", "counts"), COUNTS.items())
def test_as_many_volumes(study, counts):
    stacks = open_study(DATA / f"{study}.zip").stacks
    assert (reference()[f"dicom/{study}"]["dcm2niix_volumes"], len(stacks)) == counts
    assert all(stack.unfit is None for stack in stacks)


@pytest.mark.parametrize("study", COUNTS)
def test_every_volume(study):
    """Series number, axis order and shape find the stack; a second one of the same kind is compared as well."""
    stacks = open_study(DATA / f"{study}.zip").stacks
    compared = 0
    for name, theirs in volumes_of(study).items():
        why = DIFFERENT.get(f"{study}/{name}", "")
        grid = Geometry(theirs["shape"], LPS_FROM_RAS @ np.array(theirs["affine"]))
        alike = [stack for stack in stacks if is_alike(stack, name, grid)]
        assert why == "gap" or alike, name
        if why not in ("gap", "rounded positions"):
            for stack in alike:
                compare(read_stack(stack), theirs, why)
            compared += 1
    assert compared == len(
        [name for name in volumes_of(study) if DIFFERENT.get(f"{study}/{name}") in (None, ONE_SLICE)]
    )


def is_alike(stack: Stack, name: str, grid: Geometry) -> bool:
    return (
        stack.info.number == int(name.split("_", maxsplit=1)[0])
        and stack.geometry.reorient(grid.codes).shape == grid.shape
        and np.abs(stack.geometry.reorient(grid.codes).axes_lps - grid.axes_lps).max() < 0.01
        and (stack.component == "R") == ("real" in name)
    )


def compare(volume: Volume, theirs: dict, why: str) -> None:
    compare_pixels(volume.array, theirs)
    if why != ONE_SLICE:
        compare_places(volume, theirs)
        return
    grid = Geometry(theirs["shape"], LPS_FROM_RAS @ np.array(theirs["affine"]))
    ours = volume.geometry.reorient(grid.codes)
    thin = theirs["shape"].index(1)
    for axis in (*(one for one in range(3) if one != thin), 3):
        assert np.abs(ours.affine_lps[:, axis] - grid.affine_lps[:, axis]).max() < 1e-3
    assert theirs["zooms"][thin] != volume.source.facts["slice_thickness_mm"]


def test_nine_transfer_syntaxes_make_equal_pixels_and_places():
    volumes = [read_stack(stack) for stack in open_study(DATA / "mosaic_9_transfer_syntaxes.zip").stacks]
    for volume in volumes[1:]:
        np.testing.assert_array_equal(volume.array, volumes[0].array)
        assert volume.array.dtype == np.int16
        assert volume.geometry.same_grid(volumes[0].geometry, 1e-9)


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
