"""A run as a job of its own process."""

import subprocess

import pytest
from napari_mediseg import jobs

import mediseg


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
