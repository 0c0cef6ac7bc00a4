"""A run as a job of its own process."""

import subprocess
from dataclasses import replace

import pydicom
import pytest
from napari_mediseg import jobs

import mediseg
from mediseg.io.dicom.original import PhantomStudy, write_mr_study


def test_a_cancel_while_the_process_is_being_made_is_heard(tmp_path, monkeypatch):
    image = mediseg.write(mediseg.phantom_head(spacing_mm=4.0), tmp_path / "head.nii")
    job = jobs.Job(jobs.Request("bias", image, tmp_path / "out", threads=1))
    made = subprocess.Popen

    def pressed(*arguments, **options):
        job.cancel()
        return made(*arguments, **options)

    monkeypatch.setattr(jobs.subprocess, "Popen", pressed)
    with pytest.raises(mediseg.Cancelled, match="stopped"):
        list(job.stages())
    assert job.outcome is None


def test_a_series_whose_number_another_has_too_is_not_guessed(tmp_path):
    head, about = mediseg.phantom_head(spacing_mm=10.0), PhantomStudy()
    write_mr_study(head, tmp_path / "study" / "one", about)
    for path in write_mr_study(head, tmp_path / "study" / "two", replace(about, series_number=2)):
        other = pydicom.dcmread(path)
        other.SeriesNumber = 1
        other.save_as(path)
    prepared = jobs.Prepared()
    with pytest.raises(mediseg.UsageError, match="2 series of number 1"):
        prepared.series(tmp_path / "study", "1")
    with pytest.raises(mediseg.UsageError, match="no series of number 7"):
        prepared.series(tmp_path / "study", "7")
    prepared.discard()
