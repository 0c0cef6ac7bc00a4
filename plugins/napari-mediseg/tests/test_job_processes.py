"""A run's process: one that ends at the least convenient moment. No viewer."""

import subprocess
import sys

import pytest
from napari_mediseg.jobs import Job, Request

from mediseg import MedisegError


@pytest.fixture
def job(tmp_path):
    return Job(Request("bias", tmp_path / "none.nii.gz", tmp_path / "out"))


def test_a_process_that_ends_at_once_is_one_line(job, monkeypatch):
    start = subprocess.Popen

    def brief(arguments, **options):
        made = start([sys.executable, "-c", "pass"], **options)
        made.wait()
        return made

    monkeypatch.setattr(subprocess, "Popen", brief)
    with pytest.raises(MedisegError, match="ended without a word"):
        list(job.stages())


def test_a_cancel_that_comes_when_the_run_has_just_ended_is_no_error(job):
    with pytest.raises(MedisegError, match="does not exist"):
        list(job.stages())
    job._process.poll = lambda: None  # as it was a moment ago
    job.cancel()
