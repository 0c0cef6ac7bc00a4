"""What outside judges make of our DICOM files: dciodvfy, DCMTK and highdicom, each on its own reading."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from scipy.spatial import cKDTree

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
needs_dcmtk = pytest.mark.skipif(shutil.which("dcm2xml") is None, reason="DCMTK is not installed")


def dciodvfy_errors(path: Path) -> list[str]:
    """The lines of ``dciodvfy FILE`` that begin with Error."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith("Error")]


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


def largest_distance_mm(found: np.ndarray, truth: np.ndarray) -> float:
    """The largest distance from a point to its partner; infinite when there are not as many."""
    if len(found) != len(truth) or len(truth) == 0:
        return float("inf")
    some = max(1, len(truth) // 50_000)  # both sets are full; a sample of each looks for its partner
    there, _ = cKDTree(truth).query(found[::some])
    back, _ = cKDTree(found).query(truth[::some])
    return float(max(there.max(), back.max()))
