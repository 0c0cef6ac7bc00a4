"""Every kind of grid, there and back through outside readers and a real archive: within 0.01 mm, nothing mirrored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mediseg.io.dicom.outputs import write_report_pages
from mediseg.io.dicom.uids import DicomOptions
from mediseg.results import Measurements
from tests.io.dicom_factory import STUDY
from tests.io.orthanc import Orthanc, needs_orthanc, running
from tests.io.outside import needs_dcmqi, needs_dcmtk
from tests.io.roundtrip import (
    CASES,
    SEGMENTATIONS,
    image_distance_mm,
    readers,
    segmentation_distance_mm,
    written,
)

pytestmark = pytest.mark.conformance
TOLERANCE_MM = 0.01
FEW = ("column cosine 0 -1 0", "oblique", "one sagittal slice")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc")) as found:
        yield found


@needs_dcmtk
@needs_dcmqi
@pytest.mark.parametrize(("name", "seg_type"), [*((n, "binary") for n in CASES), *((n, "labelmap") for n in FEW)])
def test_every_reader_finds_every_voxel_in_its_place(tmp_path: Path, name: str, seg_type: str) -> None:
    head = CASES[name](tmp_path / "in")
    values, paths = written(head, tmp_path / "out", seg_type)
    for stem, key in SEGMENTATIONS.items():
        for who, read in readers(tmp_path / "scratch", None).items():
            distance = segmentation_distance_mm(tmp_path / "out" / f"{stem}.dcm", values[key].mask, head, read)
            assert distance < TOLERANCE_MM, f"{stem} by {who}"
    corrected = [path for path in paths if path.name.startswith("corrected")]
    assert image_distance_mm(corrected, values["bias"].corrected) < TOLERANCE_MM
    assert image_distance_mm([tmp_path / "out" / "midsagittal.dcm"], values["midsagittal"].image) < TOLERANCE_MM


@needs_orthanc
@pytest.mark.parametrize("name", FEW)
def test_an_archive_gives_back_what_it_was_given(tmp_path: Path, archive: Orthanc, name: str) -> None:
    head = CASES[name](tmp_path / "in")
    values, paths = written(head, tmp_path / "out")
    for path in paths:
        assert archive.file(archive.store(path)) == path.read_bytes(), path.name
    for stem, key in SEGMENTATIONS.items():
        read = readers(tmp_path / "scratch", archive)["Orthanc"]
        distance = segmentation_distance_mm(tmp_path / "out" / f"{stem}.dcm", values[key].mask, head, read)
        assert distance < TOLERANCE_MM, stem


@needs_orthanc
def test_an_archive_files_everything_in_the_sources_study(tmp_path: Path, archive: Orthanc) -> None:
    head = CASES["coronal"](tmp_path / "in")
    _, paths = written(head, tmp_path / "out", "labelmap")
    page = np.full((40, 30, 3), 200, np.uint8)
    paths += write_report_pages([page], head, tmp_path / "out", DicomOptions(), "Research use only.")
    sources = {archive.store(path) for path in (tmp_path / "in").iterdir()}
    made = {archive.store(path): path for path in paths}
    study = archive.get(f"/instances/{next(iter(sources))}/study")
    assert study["MainDicomTags"]["StudyInstanceUID"] == STUDY
    assert sources | made.keys() <= {one["ID"] for one in archive.get(f"/studies/{study['ID']}/instances")}
    assert {archive.get(f"/instances/{one}/study")["ID"] for one in made} == {study["ID"]}
    modality = {
        path.stem: archive.get(f"/instances/{one}/series")["MainDicomTags"]["Modality"] for one, path in made.items()
    }
    assert modality["report_01"] == "OT"
    assert modality["brain_seg"] == modality["callosum_seg"] == "SEG"
    assert (modality["measurements_sr"], modality["midsagittal"], modality["corrected_0001"]) == ("SR", "MR", "MR")
    for one, path in made.items():
        if modality[path.stem] in ("MR", "OT"):
            assert archive.preview(one).startswith(b"\x89PNG")


@needs_dcmqi
def test_dcmqi_reads_the_report(tmp_path: Path) -> None:
    head = CASES["oblique"](tmp_path / "in")
    values, _ = written(head, tmp_path / "out")
    program = Path(sys.prefix) / ("Scripts" if sys.platform == "win32" else "bin") / "tid1500reader"
    report, found = tmp_path / "out" / "measurements_sr.dcm", tmp_path / "found.json"
    subprocess.run(
        [str(program), "--inputDICOM", str(report), "--outputMetadata", str(found)], check=True, capture_output=True
    )
    group, brain = json.loads(found.read_text())["Measurements"]
    assert brain["Finding"]["CodeValue"] == "12738006"
    assert brain["segmentationSOPInstanceUID"] == pydicom.dcmread(tmp_path / "out" / "brain_seg.dcm").SOPInstanceUID
    assert group["Finding"]["CodeValue"] == group["FindingSite"]["CodeValue"] == "88442005"
    segment = pydicom.dcmread(tmp_path / "out" / "callosum_seg.dcm").SegmentSequence[0]
    assert group["TrackingUniqueIdentifier"] == segment.TrackingUID
    measured = values["measurements"]
    assert isinstance(measured, Measurements)
    area = group["measurementItems"][0]
    assert (area["quantity"]["CodeValue"], area["units"]["CodeValue"]) == ("42798000", "mm2")
    assert float(area["value"]) == pytest.approx(measured["area"].value)
