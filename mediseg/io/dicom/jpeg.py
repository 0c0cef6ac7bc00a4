"""JPEG pixels (baseline, extended, lossless) decoded by the GDCM that SimpleITK carries.

It spares an installation the 60 MB of python-gdcm, the same library once more. Of extended JPEG of 12 bits it first
says that 8 would be too few, on the process's stderr. pydicom finds the decoders of JPEG-LS, JPEG 2000 and RLE;
of JPEG-LS, GDCM also takes what CharLS refuses: a zero byte between the pixels and the end marker, which some archives
append.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)

from mediseg.io.hushed import hushed_stderr

NAME = "simpleitk"
#: Asked for by pydicom of every decoding plugin: what each transfer syntax needs.
DECODER_DEPENDENCIES = dict.fromkeys(
    (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless),
    ("SimpleITK>=2.4",),
)


def is_available(uid: str) -> bool:
    """Return whether this plugin decodes a transfer syntax (asked for by pydicom)."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(encoded: bytes, runner: DecodeRunner) -> bytes:
    """Return the pixels of one frame, laid out as ``runner`` says. Raises RuntimeError for a damaged one."""
    import SimpleITK as sitk  # noqa: N813 - its own convention

    with tempfile.TemporaryDirectory(prefix="mediseg-jpeg-") as folder:
        file = Path(folder) / "frame.dcm"
        _wrapped(encoded, runner).save_as(file, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(file))
        with hushed_stderr():
            image = reader.Execute()
        pixels = sitk.GetArrayFromImage(image)
        kind = f"{'i' if runner.pixel_representation else 'u'}{runner.bits_allocated // 8}"
        expected = runner.rows * runner.columns * runner.samples_per_pixel
        if pixels.size != expected:
            msg = f"a JPEG frame holds {pixels.size} samples where its header says {expected}"
            raise RuntimeError(msg)
        return pixels.astype(f"<{kind}", copy=False).tobytes()


def register() -> None:
    """Make pydicom try this plugin for JPEG, after those it knows; may be called again."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if NAME not in decoder.available_plugins:
            decoder.add_plugin(NAME, (__name__, decode_frame.__name__))


def _wrapped(encoded: bytes, runner: DecodeRunner) -> Dataset:
    """Return the smallest DICOM file that holds the frame: pixels and their layout, nothing of the patient."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "2.25.1"
    dataset.SamplesPerPixel = runner.samples_per_pixel
    dataset.PhotometricInterpretation = str(runner.photometric_interpretation)
    if runner.samples_per_pixel > 1:
        dataset.PlanarConfiguration = runner.planar_configuration
    dataset.Rows, dataset.Columns = runner.rows, runner.columns
    dataset.BitsAllocated, dataset.BitsStored = runner.bits_allocated, runner.bits_stored
    dataset.HighBit = runner.bits_stored - 1
    dataset.PixelRepresentation = runner.pixel_representation
    dataset.PixelData = encapsulate([encoded])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = runner.transfer_syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset
