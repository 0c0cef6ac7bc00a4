"""The examples in docs/examples do what they say: a model run by Node.js, the service driven by curl and by C#."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.browser import node_modules
from tests.heads import shaded_ball, write_nifti

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.conformance
def test_another_runtime_gives_the_same_probabilities_from_the_bundle_alone(tmp_path):
    from mediseg.inference import load_bundle, predict
    from mediseg.phantom import phantom_head
    from mediseg.steps.midsagittal import find_midsagittal

    folder = node_modules("onnxruntime-node")
    upright = find_midsagittal(phantom_head()).image.reorient("PIR")
    small = upright.resample(upright.geometry.with_spacing((1.0, 1.0, upright.geometry.spacing_mm[2])))
    image = np.ascontiguousarray(small.array[:, :, 0].T, "<f4")
    image.tofile(tmp_path / "slice.f32")
    command = ["node", EXAMPLES / "run_bundle.mjs", MODELS / "callosum-unet", tmp_path / "slice.f32"]
    command += [*map(str, image.shape), tmp_path / "probability.f32"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    theirs = np.fromfile(tmp_path / "probability.f32", "<f4").reshape(image.shape)
    ours = predict(load_bundle("callosum-unet", "callosum"), image)
    assert ours.max() > 0.9  # there is something to agree on
    assert np.abs(theirs - ours).max() <= 1e-4
    (tmp_path / "short.f32").write_bytes(b"1234")
    command[3] = tmp_path / "short.f32"
    assert b"has not ROWS x COLUMNS" in subprocess.run(command, check=False, cwd=folder, capture_output=True).stderr


def test_the_example_is_as_short_as_it_says():
    assert len((EXAMPLES / "run_bundle.mjs").read_text().splitlines()) <= 60


@pytest.fixture
def served(tmp_path):
    """A service on a free port, and an image to send."""
    pytest.importorskip("starlette")
    from mediseg.serve.app import Service
    from mediseg.web import Listener, bound, server, token_in

    service = Service(tmp_path / "s", token_in(tmp_path / "s"), threads=1)
    listener = Listener(bound("127.0.0.1", 0), server(service.app()))
    image = write_nifti(tmp_path / "ball.nii.gz", shaded_ball(24).astype(np.float32), 8.0)
    yield tmp_path, image, str(listener.port)
    listener.stop()
    service.jobs.close()
    assert {"web", "cases"}.isdisjoint(thread.name for thread in threading.enumerate())


@pytest.mark.skipif(os.name != "posix" or shutil.which("curl") is None, reason="needs POSIX and curl")
def test_curl(served):
    folder, image, port = served
    command = ["sh", EXAMPLES / "serve_client.sh", folder / "s", "bias", image, folder / "report.html", port]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(" done")
    assert "<html" in (folder / "report.html").read_text()


@pytest.mark.skipif(os.name != "posix" or shutil.which("curl") is None, reason="needs POSIX and curl")
def test_curl_tells_why_a_case_is_not_taken_or_not_done(served):
    folder, image, port = served

    def client(*arguments):
        command = ["sh", EXAMPLES / "serve_client.sh", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    unknown = client(folder / "s", "bais", image, folder / "report.html", port)
    assert unknown.returncode == 1
    assert "recipe is one of" in unknown.stderr
    assert not (folder / "report.html").exists()
    dark = write_nifti(folder / "dark.nii.gz", np.zeros((12, 12, 12), np.float32))
    refused = client(folder / "s", "bias", dark, folder / "report.html", port)
    assert refused.returncode == 1
    assert " refused the image has no foreground" in refused.stdout
    assert "no foreground" in (folder / "report.html").read_text()
    assert "usage: sh serve_client.sh" in client(folder / "s").stderr


@pytest.mark.conformance
def test_c_sharp(served):
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("Mono is not installed")
    folder, image, port = served
    program = folder / "ServeClient.exe"
    command = ["mcs", f"-out:{program}", "-r:System.Net.Http.dll", "-r:System.Runtime.Serialization.dll"]
    subprocess.run([*command, EXAMPLES / "ServeClient.cs"], check=True, capture_output=True)
    command = ["mono", program, folder / "s", "bias", image, folder / "report.html", port]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " done" in done.stdout
    assert "<html" in (folder / "report.html").read_text()
