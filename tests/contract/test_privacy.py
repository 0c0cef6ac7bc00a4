"""No name, ID or birth date of a patient in any file but derived DICOM, in any path, or on the screen."""

import numpy as np
import pytest

from mediseg.cli import main
from tests.heads import shaded_ball
from tests.io.dicom_factory import sagittal, write_series

SECRETS = ("nobody", "nemo", "zx81", "77421", "19470612")  # the factory's patient


@pytest.fixture
def ran(tmp_path, capsys):
    """A study in a folder named after the patient, run and planned."""
    folder = tmp_path / "Nobody_Nemo_2026"
    ball = shaded_ball(32).astype(np.int16)
    write_series(folder, ball, sagittal(ball.shape, (6, 6, 6)), description="T1 for Nobody")
    out = tmp_path / "out"
    quick = ["--set", "correct_bias.levels=1", "--set", "correct_bias.iterations=2"]
    assert main(["plan", "bias", str(folder)]) == 0
    assert main(["run", "bias", str(folder), "--out", str(out), *quick, "--json"]) == 0
    return out, capsys.readouterr()


def test_no_path_names_the_patient(ran):
    out, _ = ran
    paths = [str(p.relative_to(out)).lower() for p in out.rglob("*")]
    assert any(path.startswith("case-") for path in paths)
    assert not [path for path in paths if any(secret in path for secret in SECRETS)]


def test_no_file_names_the_patient(ran):
    out, _ = ran
    checked = 0
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in (".html", ".json", ".csv", ".txt"):
            text = path.read_text().lower()
            assert not [secret for secret in SECRETS if secret in text], path
            checked += 1
    assert checked >= 5


def test_the_screen_does_not_name_the_patient(ran):
    _, captured = ran
    shown = (captured.out + captured.err).lower()
    # pytest's own folder is named after the test, not after the patient
    assert not [secret for secret in SECRETS if secret in shown]
