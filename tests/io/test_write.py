"""write(): NIfTI, JSON, CSV, the table of suffixes, and files that are complete or not there."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

import mediseg
from mediseg.errors import OutputError, UsageError
from mediseg.geometry import Geometry
from mediseg.io import fastsurfer, load
from mediseg.io.atomic import make_writable, write_bytes_atomically, written_atomically
from mediseg.io.csvfiles import measurements_csv
from mediseg.io.jsonfiles import read_roi, schemas
from mediseg.io.writing import write
from mediseg.record import shipped_schema
from mediseg.results import Callosum, Measurement
from mediseg.volume import Source, Volume
from tests.io.dicom_factory import FRAME, ramp, sagittal, write_series
from tests.io.results_factory import bias, case, localization, lopsided, measurements, plan, roi
from tests.shapes import callosum_of, covered, ring

OBLIQUE = np.array([[0.1, -0.8, 0.2, 3], [0.9, 0.1, 0.3, -20], [-0.2, 0.3, 1.9, 44], [0, 0, 0, 1.0]])


def _grid(affine: np.ndarray = OBLIQUE, shape: tuple[int, int, int] = (4, 5, 6), frame: str | None = None) -> Geometry:
    return Geometry(shape, affine, frame)


def _volume(dtype: type = np.float32, geometry: Geometry | None = None) -> Volume:
    grid = geometry or _grid()
    return Volume((np.arange(np.prod(grid.shape)) % 100).reshape(grid.shape).astype(dtype), grid)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_nifti_holds_the_voxels_and_the_affine_in_ras(tmp_path: Path, name: str) -> None:
    volume = _volume()
    image = nib.load(write(volume, tmp_path / name))
    assert np.array_equal(np.asarray(image.dataobj), volume.array)
    assert np.allclose(image.affine, np.diag([-1, -1, 1, 1]) @ OBLIQUE, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_an_index_is_the_same_point_for_nibabel_and_for_us(tmp_path: Path) -> None:
    axes = np.linalg.qr(OBLIQUE[:3, :3])[0]
    volume = _volume(geometry=Geometry.from_axes((4, 5, 6), axes, (0.7, 1.1, 3), center_lps_mm=(9, 8, 7)))
    image = nib.load(write(volume, tmp_path / "a.nii"))
    for affine in (image.get_sform(), image.get_qform()):
        x, y, z = nib.affines.apply_affine(affine, (3, 1, 5))
        assert np.allclose((-x, -y, z), volume.geometry.lps_from_ijk((3, 1, 5)), atol=1e-4)


def test_a_sheared_grid_stands_in_the_sform_alone(tmp_path: Path) -> None:
    tilted = np.array([[1, 0, 0, 0], [0, 1, 0.4, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    image = nib.load(write(_volume(geometry=_grid(tilted)), tmp_path / "a.nii"))
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (2, 0)
    assert np.allclose(image.affine, np.diag([-1, -1, 1, 1]) @ tilted, atol=1e-6)


@pytest.mark.parametrize(
    ("geometry", "source", "code"),
    [
        (_grid(), None, 2),
        (_grid(), Source(kind="nifti"), 2),
        (_grid(), Source(kind="dicom"), 1),
        (_grid(frame="1.2.3"), None, 1),
    ],
)
def test_the_code_says_scanner_only_when_it_is(tmp_path: Path, geometry: Geometry, source: Source, code: int) -> None:
    image = nib.load(write(_volume(geometry=geometry), tmp_path / "a.nii", source))
    assert int(image.header["sform_code"]) == code


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.bool_, np.uint8),
        (np.uint8, np.uint8),
        (np.int16, np.int16),
        (np.uint16, np.uint16),
        (np.int32, np.int32),
        (np.int64, np.int32),
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float32),
        (np.dtype(">i2"), np.int16),
    ],
)
def test_types(tmp_path: Path, given: type, kept: type) -> None:
    volume = _volume(given)
    image = nib.load(write(volume, tmp_path / "a.nii"))
    assert image.get_data_dtype() == kept
    assert np.array_equal(np.asarray(image.dataobj), volume.array.astype(kept))


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="complex64 cannot be written as NIfTI"):
        write(_volume(np.complex64), tmp_path / "a.nii")


def test_one_slice_and_one_voxel(tmp_path: Path) -> None:
    for shape in ((7, 5, 1), (1, 5, 7), (1, 1, 1)):
        volume = _volume(geometry=_grid(shape=shape))
        image = nib.load(write(volume, tmp_path / "a.nii.gz"))
        assert image.shape == shape
        assert np.array_equal(np.asarray(image.dataobj), volume.array)


def test_labels_are_bytes_and_a_result_is_its_mask(tmp_path: Path) -> None:
    mask = lopsided(_grid(), "corpus callosum")
    image = nib.load(write(Callosum(mask, _volume()), tmp_path / "cc.nii.gz"))
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj), mask.labels)


def test_the_same_voxels_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(_volume(), tmp_path / "a.nii.gz").read_bytes()
    second = write(_volume(), tmp_path / "b.nii.gz").read_bytes()
    assert first == second
    assert first[4:8] == b"\0\0\0\0"  # no time
    assert first[3] == 0  # no name


def test_many_slices_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediseg.io.nifti_write._CHUNK_BYTES", 100)
    volume = _volume(np.int16, _grid(shape=(5, 4, 9)))
    assert np.array_equal(np.asarray(nib.load(write(volume, tmp_path / "a.nii.gz")).dataobj), volume.array)


def test_nifti_is_read_back_as_it_was(tmp_path: Path) -> None:
    volume = _volume(np.int16)
    found = load(write(volume, tmp_path / "a.nii.gz"))
    assert np.array_equal(found.array, volume.array)
    assert np.abs(found.geometry.corners_lps_mm() - volume.geometry.corners_lps_mm()).max() < 1e-4


@pytest.mark.parametrize(
    ("value", "name", "known"),
    [
        (_volume(), "a.png", r"\.nii, \.nii\.gz, \.dcm, a folder"),
        (_volume(), "a.gz", r"\.nii, \.nii\.gz, \.dcm, a folder"),
        (_volume(), "a.csv", r"\.nii, \.nii\.gz, \.dcm, a folder"),
        (roi(), "a.yaml", r"use one of: \.json"),
        (plan(), "a.nii", r"use one of: \.json"),
    ],
)
def test_an_unknown_suffix_lists_the_known(tmp_path: Path, value: object, name: str, known: str) -> None:
    with pytest.raises(UsageError, match=known):
        write(value, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_unknown_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a dict cannot be written"):
        write({}, tmp_path / "a.json")


def test_dicom_needs_a_dicom_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only be derived from a DICOM source"):
        write(lopsided(_grid()), tmp_path / "a.dcm")


def test_dicom_by_suffix_and_by_folder(tmp_path: Path) -> None:
    geometry = sagittal((8, 9, 10))
    write_series(tmp_path / "in", ramp(geometry.shape), geometry)
    head = load(tmp_path / "in")
    values = case(head)
    modality = {}
    modality["seg"] = pydicom.dcmread(write(values["brain"], tmp_path / "brain.dcm", head)).Modality
    modality["sr"] = pydicom.dcmread(write(values["measurements"], tmp_path / "m.dcm", head.source)).Modality
    modality["mr"] = pydicom.dcmread(write(bias(head), tmp_path / "c.dcm")).Modality
    assert modality == {"seg": "SEG", "sr": "SR", "mr": "MR"}
    folder = write(values["brain"], tmp_path / "out", head).parent
    write(values["measurements"], folder, head)
    write(values["midsagittal"], folder)
    assert sorted(p.name for p in folder.iterdir()) == ["image.dcm", "measurements_sr.dcm", "segmentation.dcm"]


def test_a_folder_in_whose_place_a_file_lies(tmp_path: Path) -> None:
    geometry = sagittal((8, 9, 10))
    write_series(tmp_path / "in", ramp(geometry.shape), geometry)
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        write(load(tmp_path / "in"), tmp_path / "out")


def test_csv_rows(tmp_path: Path) -> None:
    text = write(measurements(lopsided(_grid())), tmp_path / "m.csv").read_text()
    assert text.splitlines() == [
        "name,value,unit,low,high,method,source",
        "area,612.3456789,mm2,500,800,polygon,shoelace formula",
        "area_witelson_genu,101.5,mm2,,,straight cuts,",
        "circularity,nan,1,,,,",
        "angle,-12.25,deg,,,,",
    ]


@pytest.mark.parametrize("evil", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1"])
def test_text_in_a_table_is_no_formula(evil: str) -> None:
    value = Measurement(evil, -1.5, evil, method=evil, source=f'"quoted", {evil}')
    text = measurements_csv([value])
    (_, row) = csv.reader(io.StringIO(text))
    assert row[0].startswith("'")
    assert row[2].startswith("'")
    assert row[5].startswith("'")
    assert row[1] == "-1.5"
    assert row[6].startswith('"quoted", ')


def test_no_measurements_are_a_header_alone() -> None:
    assert measurements_csv([]) == "name,value,unit,low,high,method,source\n"


def test_an_roi_is_read_back_as_it_was(tmp_path: Path) -> None:
    found = read_roi(write(localization(), tmp_path / "roi.json"))
    assert np.array_equal(found.center_lps_mm, roi().center_lps_mm)
    assert np.array_equal(found.axes_lps, roi().axes_lps)
    assert (found.size_mm, found.frame_of_reference) == ((70.0, 25.0, 1.0), "1.2.3")


def test_roi_json_says_what_it_is(tmp_path: Path) -> None:
    content = json.loads(write(localization(), tmp_path / "roi.json").read_text())
    assert content["schema_version"] == "1.0"
    assert content["axes_lps"][0] == [0.0, 0.8, -0.6]  # the long axis: back and down
    assert content["angle_deg"] == 36.87
    assert content["estimates"]["line"]["size_mm"] == [69.0, 0.0]
    assert content["confidence"] == 0.75
    assert "not a medical device" in content["intended_use"].lower()
    user = json.loads(write(roi(), tmp_path / "user.json").read_text())
    assert (user["method"], user["confidence"], user["estimates"]) == ("user", None, {})
    assert user["angle_deg"] == pytest.approx(36.8699, abs=1e-3)  # atan2(0.6, 0.8)


def test_a_hand_written_roi_needs_three_things(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"center_lps_mm": [1, 2, 3], "axes_lps": [[0,1,0],[0,0,-1],[1,0,0]], "size_mm": [70, 20, 1]}')
    assert read_roi(path).size_mm == (70, 20, 1)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Invalid JSON"),
        ("{}", "center_lps_mm: Field required"),
        ('{"center_lps_mm": [1, 2], "axes_lps": [[0,1,0],[0,0,-1],[1,0,0]], "size_mm": [1, 1, 1]}', "center_lps_mm"),
        ('{"center_lps_mm": [1, 2, NaN], "axes_lps": [[0,1,0],[0,0,-1],[1,0,0]], "size_mm": [1,1,1]}', "finite number"),
        ('{"center_lps_mm": [1, 2, 3], "axes_lps": [[0,1,0],[0,1,0],[1,0,0]], "size_mm": [1,1,1]}', "right angles"),
        ('{"center_lps_mm": [1, 2, 3], "axes_lps": [[0,1,0],[0,0,-1],[1,0,0]], "size_mm": [1,-1,1]}', "negative"),
        (
            '{"center_lps_mm": [1, 2, 3], "axes_lps": [[0,1,0],[0,0,-1],[1,0,0]], "size_mm": [1,1,1], "x": 1}',
            "x: Extra",
        ),
    ],
)
def test_a_wrong_roi_is_explained(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "roi.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=fault) as caught:
        read_roi(path)
    assert "\n" not in str(caught.value)


def test_a_missing_roi_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the ROI"):
        read_roi(tmp_path / "none.json")


def test_scan_plan_json_speaks_dicom(tmp_path: Path) -> None:
    content = json.loads(write(plan(), tmp_path / "scan_plan.json").read_text())
    (group,) = content["groups"]
    assert group["image_orientation_patient"] == [0, 1, 0, 0, 0, -1]
    assert group["spacing_between_slices_mm"] == pytest.approx(4.4)
    assert (content["align"], content["frame_of_reference"]) == ("callosum", "1.2.3")


@pytest.mark.parametrize("name", ["roi.schema.json", "scan_plan.schema.json"])
def test_the_shipped_schema_is_the_models(name: str) -> None:
    assert shipped_schema(name) == json.loads(schemas()[name])


def test_written_files_fit_their_schemas(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for value, name in ((localization(), "roi"), (roi(), "roi"), (plan(), "scan_plan")):
        content = json.loads(write(value, tmp_path / f"{name}.json").read_text())
        jsonschema.validate(content, shipped_schema(f"{name}.schema.json"))


def test_the_shipped_fastsurfer_schema_is_the_models() -> None:
    assert shipped_schema(fastsurfer.SCHEMA_FILE) == json.loads(fastsurfer.schema_text())


def test_measurements_that_were_not_made_are_null_in_fastsurfers_names(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    content = json.loads(write(measurements(lopsided(_grid())), tmp_path / "callosum.fastsurfer.json").read_text())
    jsonschema.validate(content, shipped_schema(fastsurfer.SCHEMA_FILE))
    assert content["total_area"] == 612.345678901
    assert content["circularity"] is None
    assert content["areas"] == [None] * 5
    assert content["thickness"] == pytest.approx(4)
    assert (len(content["thickness_profile"]), content["num_thickness_points"]) == (100, 100)


def test_half_a_ring_in_fastsurfers_names(tmp_path: Path) -> None:
    values = mediseg.measure_callosum(callosum_of(covered(ring(26, 34, open_below=True), 0.5), 0.5))
    content = json.loads(write(values, tmp_path / "a.json").read_text())
    assert content["total_area"] == values["area"].value
    assert content["total_perimeter"] == values["perimeter"].value
    assert content["cc_index"] == values["cc_index"].value
    # half a turn in 98 corners, the same everywhere
    assert content["curvature_body"] == pytest.approx(180 / 99, rel=0.02)
    assert content["curvature_subsegments"][1:4] == pytest.approx([180 / 99] * 3, rel=0.03)
    assert sum(content["areas"]) == pytest.approx(content["total_area"])
    assert content["areas"][1] == pytest.approx(content["total_area"] / 3, rel=0.03)
    assert next(iter(content["labels"].items())) == ("251", "CC_Posterior")
    assert content["subdivision_ratios"] == pytest.approx([1 / 6, 1 / 2, 2 / 3, 3 / 4])


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*a\.json: No space left on device"):
        write_bytes_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        write(roi(), tmp_path / "file" / "roi.json")


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with written_atomically(tmp_path / "a") as stream:
            stream.write(b"half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_files_may_be_read_by_others_as_the_system_says(tmp_path: Path) -> None:
    write_bytes_atomically(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_frame_of_reference_is_the_sources(tmp_path: Path) -> None:
    geometry = sagittal((8, 9, 10))
    write_series(tmp_path / "in", ramp(geometry.shape), geometry)
    head = load(tmp_path / "in")
    assert pydicom.dcmread(write(lopsided(head.geometry), tmp_path / "s.dcm", head)).FrameOfReferenceUID == FRAME


def test_a_folder_is_made_and_leaves_no_trace_of_being_tried(tmp_path, monkeypatch):
    make_writable(tmp_path / "new" / "out")
    assert list((tmp_path / "new" / "out").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"the folder file cannot be written: .*; choose another with --out"):
        make_writable(tmp_path / "file")

    def locked(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", locked)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"the folder \. cannot be written: Permission denied"):
        make_writable(Path())
