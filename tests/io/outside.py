"""What outside judges make of our DICOM files: dciodvfy, DCMTK, highdicom, dcmqi and ITK, each on its own reading."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from scipy.spatial import cKDTree

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
needs_dcmtk = pytest.mark.skipif(shutil.which("dcm2xml") is None, reason="DCMTK is not installed")
needs_dcmqi = pytest.mark.skipif(importlib.util.find_spec("dcmqi") is None, reason="dcmqi is not installed")


def dciodvfy_errors(path: Path) -> list[str]:
    """The lines of ``dciodvfy FILE`` and of ``dciodvfy -new FILE`` that begin with Error."""
    return [line for mode in ([], ["-new"]) for line in _errors(path, mode)]


def _errors(path: Path, mode: list[str]) -> list[str]:
    command = ["dciodvfy", *mode, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def is_about_a_source_uid(error: str) -> bool:
    """True for a complaint about a UID that the source has: ours are 2.25, and the source's are never changed."""
    if "Illegal root for UID" not in error and "StudyInstanceUID has same value as FrameOfReferenceUID" not in error:
        return False
    return all(not uid.startswith("2.25.") for uid in re.findall(r"[<\"](\d[\d.]+)[>\"]", error))


def dcmtk_points(path: Path, folder: Path) -> np.ndarray:
    """Patient points (n, 3) of every set voxel of a SEG, by dcm2xml, dcmdump +W and PS3.3 C.7.6.2.1.1."""
    plain = folder / "plain.dcm"
    subprocess.run(["dcmdrle", str(path), str(plain)], check=True, capture_output=True)
    text = subprocess.run(["dcm2xml", "-q", str(plain)], check=True, capture_output=True).stdout
    dataset = ET.fromstring(text).find("data-set")
    rows, columns, count, bits = (
        int(_text(dataset, tag)) for tag in ("0028,0010", "0028,0011", "0028,0008", "0028,0100")
    )
    subprocess.run(["dcmdump", "-q", "+W", str(folder), str(plain)], check=True, capture_output=True)
    raw = np.fromfile(next(folder.glob("*.raw")), np.uint8)
    voxels = np.unpackbits(raw, bitorder="little") if bits == 1 else raw
    frames = voxels[: count * rows * columns].reshape(count, rows, columns)
    shared = dataset.find("sequence[@tag='5200,9229']/item")
    items = dataset.findall("sequence[@tag='5200,9230']/item")
    assert len(items) == count
    return np.concatenate([_frame_points(frame, item, shared) for frame, item in zip(frames, items, strict=True)])


def _frame_points(frame: np.ndarray, item: ET.Element, shared: ET.Element) -> np.ndarray:
    position = _numbers(item, shared, "0020,0032")
    orientation = _numbers(item, shared, "0020,0037")
    between_rows, between_columns = _numbers(item, shared, "0028,0030")
    row, column = np.nonzero(frame)
    return (
        position + column[:, None] * between_columns * orientation[:3] + row[:, None] * between_rows * orientation[3:]
    )


def _text(place: ET.Element, tag: str) -> str:
    found = place.find(f".//element[@tag='{tag}']")
    assert found is not None, tag
    assert found.text is not None
    return found.text


def _numbers(item: ET.Element, shared: ET.Element, tag: str) -> np.ndarray:
    place = item if item.find(f".//element[@tag='{tag}']") is not None else shared
    return np.array([float(word) for word in _text(place, tag).split("\\")])


def highdicom_points(path: Path) -> np.ndarray:
    """Patient points (n, 3) of every set voxel of a SEG, by highdicom's own volume geometry."""
    seg = hd.seg.segread(path)
    volume = seg.get_volume(combine_segments=True, allow_missing_positions=True)
    return np.asarray(volume.map_indices_to_reference(np.argwhere(volume.array > 0)))


def dcmqi_points(path: Path, folder: Path) -> np.ndarray:
    """Patient points (n, 3) of every set voxel of a SEG, by dcmqi's segimage2itkimage and ITK."""
    import SimpleITK as sitk  # noqa: N813 - its own convention

    program = Path(sys.prefix) / ("Scripts" if sys.platform == "win32" else "bin") / "segimage2itkimage"
    command = [str(program), "--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nrrd"]
    subprocess.run(command, check=True, capture_output=True)
    image = sitk.ReadImage(str(folder / "1.nrrd"))
    kji = np.argwhere(sitk.GetArrayViewFromImage(image) > 0)
    return itk_lps_from_ijk(image, kji[:, ::-1])


def itk_lps_from_ijk(image: Any, ijk: np.ndarray) -> np.ndarray:
    """Patient points (n, 3) of voxels of a SimpleITK image."""
    steps = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    return np.asarray(image.GetOrigin() + ijk @ steps.T)


def itk_series(paths: list[Path]) -> Any:
    """A series as SimpleITK reads it: files sorted by ITK itself; a multi-frame file alone."""
    import SimpleITK as sitk  # noqa: N813 - its own convention

    if len(paths) == 1:
        return sitk.ReadImage(str(paths[0]))
    reader = sitk.ImageSeriesReader()
    folder = str(paths[0].parent)
    uids = {reader.GetGDCMSeriesFileNames(folder, uid): uid for uid in reader.GetGDCMSeriesIDs(folder)}
    (names,) = [names for names in uids if set(names) == {str(path) for path in paths}]
    reader.SetFileNames(names)
    return reader.Execute()


def largest_distance_mm(found: np.ndarray, truth: np.ndarray) -> float:
    """The largest distance from a point to its partner; infinite when there are not as many."""
    if len(found) != len(truth) or len(truth) == 0:
        return float("inf")
    some = max(1, len(truth) // 50_000)  # both sets are full; a sample of each looks for its partner
    there, _ = cKDTree(truth).query(found[::some])
    back, _ = cKDTree(found).query(truth[::some])
    return float(max(there.max(), back.max()))
