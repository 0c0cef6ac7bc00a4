from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

import mediseg
from mediseg.errors import UsageError
from tests.io.dicom_factory import CT, ramp, sagittal, write_series

SHAPE = (8, 8, 60)


def test_a_plan_tells_what_was_found_what_runs_and_why_not_the_rest(tmp_path):
    folder = tmp_path / "head"
    write_series(folder / "1", ramp(SHAPE), sagittal(SHAPE, (25, 25, 3)), skip=(9,), number=1, series="1.2.1")
    write_series(folder / "2", ramp(SHAPE), sagittal(SHAPE), number=2, series="1.2.2", description="localizer")
    (folder / "notes.txt").write_text("words")
    before = sorted(tmp_path.rglob("*"))
    plan = mediseg.plan("corpus-callosum", folder)
    (case,) = plan.cases
    assert (case.name, case.error, case.exit_code, case.other_files) == ("head", "", 0, 1)
    assert "find_midsagittal" in plan.steps
    first, second = case.rows
    assert (first.used, first.orientation, first.shape, first.spacing_mm) == (True, "PIR", SHAPE, (25, 25, 3))
    assert first.warnings[0].startswith("MISSING_SLICE: 1 of 60 slices missing")
    assert not second.used
    assert "it is a localizer" in second.note
    assert case.chosen.startswith("series 1 (T1 sag): MR, 60 slices")
    assert json.loads(json.dumps(plan.to_dict()))["cases"][0]["name"] == "head"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_shows_no_name(tmp_path):
    write_series(tmp_path / "Mustermann", ramp(SHAPE), sagittal(SHAPE), name="Mustermann^Erika", description="Erika T1")
    text = json.dumps(mediseg.plan("corpus-callosum", tmp_path / "Mustermann").to_dict()).casefold()
    assert "erika" not in text
    assert "mustermann" not in text


def test_the_exit_code_is_what_a_run_would_end_with(tmp_path):
    write_series(tmp_path / "ct", ramp(SHAPE), sagittal(SHAPE), sop_class=CT, modality="CT")
    write_series(tmp_path / "mr", ramp(SHAPE), sagittal(SHAPE))
    (tmp_path / "words.txt").write_text("words")
    assert mediseg.plan("corpus-callosum", tmp_path / "mr").exit_code == 0
    assert mediseg.plan("corpus-callosum", tmp_path / "ct").exit_code == 4
    assert mediseg.plan("corpus-callosum", tmp_path / "words.txt").exit_code == 3
    assert mediseg.plan("corpus-callosum", [tmp_path / "mr", tmp_path / "ct"]).exit_code == 1
    assert mediseg.plan("corpus-callosum", [tmp_path / "words.txt"] * 2).exit_code == 3
    assert mediseg.plan("corpus-callosum", [tmp_path / "words.txt", tmp_path / "mr"]).exit_code == 1


def test_a_volume_file_is_planned_too(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([-1.0, -1, 2, 1])), tmp_path / "a.nii")
    (case,) = mediseg.plan("corpus-callosum", tmp_path / "a.nii").cases
    assert case.rows[0].shape == (4, 5, 6)
    assert case.rows[0].orientation == "LPS"
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), np.nan), np.eye(4)), tmp_path / "b.nii")
    assert mediseg.plan("corpus-callosum", tmp_path / "b.nii").exit_code == 4


def test_unknown_recipes_and_paths_are_the_users_error(tmp_path):
    with pytest.raises(UsageError, match="did you mean"):
        mediseg.plan("corpus-calosum", tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        mediseg.plan("corpus-callosum", tmp_path / "gone")
