import shutil
import subprocess

import numpy as np
import pytest
from pydicom import dcmread

from mediseg.io import load
from tests.io.dicom_factory import sagittal, write_series


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="needs dcmtk")
def test_extended_jpeg_of_12_bits_is_what_dcmtk_makes_of_it(tmp_path, capfd):
    def twelve(_, dataset):
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0

    shape = (40, 32, 3)
    array = np.random.default_rng(0).integers(0, 4096, shape).astype(np.int16)
    write_series(tmp_path / "raw", array, sagittal(shape), change=twelve)
    (tmp_path / "packed").mkdir()
    for path in sorted((tmp_path / "raw").iterdir()):
        packed, plain = tmp_path / "packed" / path.name, tmp_path / "plain.dcm"
        subprocess.run(["dcmcjpeg", "+ee", "+un", str(path), str(packed)], check=True)
        subprocess.run(["dcmdjpeg", str(packed), str(plain)], check=True)
        capfd.readouterr()
        expected = dcmread(plain).pixel_array
        assert dcmread(packed).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.51"
        assert np.array_equal(load(packed).array[:, :, 0].T, expected)
        assert capfd.readouterr().err == ""
