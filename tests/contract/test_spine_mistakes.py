"""What goes wrong with a spine examination: other people's stations, missing ones, one turned end for end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import pydicom
import pytest

from mediseg.cli import main
from mediseg.demo import write_spine_study
from mediseg.phantom.stations import cut_stations, plan_stations
from tests.spines import SHAPE, cuts, stations, whole


def stitched(study: Path, out: Path, *settings: str) -> dict[str, Any]:
    """Run the recipe as a user does; the case's report.json."""
    more = [word for one in settings for word in ("--set", one)]
    assert main(["run", "spine-stitch", str(study), "--out", str(out), "--quiet", "--no-dicom", *more]) == 0
    found: dict[str, Any] = json.loads((out / study.name / "report.json").read_text())
    return found


def codes(record: dict[str, Any]) -> list[str]:
    return [one["code"] for one in record["warnings"] if one["code"] != "SERIES_SKIPPED"]


def given_to_another(folder: Path, *, keep_study: bool) -> None:
    """Make all images of a folder another person's."""
    for path in folder.rglob("*.dcm"):
        image = pydicom.dcmread(path)
        image.PatientName, image.PatientID = "SOMEBODY^ELSE", "ANOTHER-7"
        names = ["SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"]
        for name in names if keep_study else [*names, "StudyInstanceUID"]:
            setattr(image, name, f"{image[name].value[:58]}.7")
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(path)


@pytest.mark.parametrize("keep_study", [False, True], ids=["own study", "one StudyInstanceUID for both"])
def test_two_patients_in_one_input_become_two_cases(tmp_path: Path, keep_study: bool) -> None:
    write_spine_study(stations(), tmp_path / "in" / "first", localizer=False)
    write_spine_study(stations(gain=0.7), tmp_path / "in" / "second", localizer=False)
    given_to_another(tmp_path / "in" / "second", keep_study=keep_study)
    command = ["run", "spine-stitch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*command, "--set", "stitch_stations.register=false"]) == 0
    for case, patient in (("first", "PHANTOM-SPINE"), ("second", "ANOTHER-7")):
        made = [pydicom.dcmread(path) for path in (tmp_path / "out" / case / "dicom").glob("composite_*.dcm")]
        assert {image.PatientID for image in made} == {patient}
        own = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "in" / case).rglob("*.dcm")}
        named = {item.ReferencedSOPInstanceUID for image in made for item in image.SourceImageSequence}
        assert named == own


def test_one_station_each_of_two_patients_is_stitched_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upper, lower = stations()
    write_spine_study([upper], tmp_path / "in" / "first", localizer=False)
    write_spine_study([lower], tmp_path / "in" / "second", localizer=False)
    given_to_another(tmp_path / "in" / "second", keep_study=True)
    assert main(["run", "spine-stitch", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("no two stations") == 2


def test_another_persons_station_under_the_right_header_is_flagged(tmp_path: Path) -> None:
    upper, lower = cuts()
    other = cut_stations(whole(seed=1), [upper.plan, lower.plan])[1].volume.array
    study = write_spine_study([upper.volume, lower.volume.with_array(other)], tmp_path / "study")
    record = stitched(study, tmp_path / "out")
    assert "ALIGNMENT_REJECTED" in codes(record)
    transforms = json.loads((tmp_path / "out" / "study" / "transforms.json").read_text())
    assert [one["method"] for one in transforms["stations"]] == ["reference", "header"]
    html = (tmp_path / "out" / "study" / "report.html").read_text()
    assert "Station 1 and station 2 keep their headers&#39; places: " in html
    assert "rejected: " in html


def test_a_missing_station_leaves_a_gap_that_is_masked_and_told(tmp_path: Path) -> None:
    plans = plan_stations(3, overlap_mm=60, top_mm=350, bottom_mm=-40, noise=0.01, **SHAPE)
    first, _, third = (cut.volume for cut in cut_stations(whole(), plans))
    record = stitched(write_spine_study([third, first], tmp_path / "study"), tmp_path / "out")
    assert codes(record) == ["GAP"]
    gap = next(one for one in record["warnings"] if one["code"] == "GAP")
    assert gap["detail"]["gap_mm"] == pytest.approx(50, abs=2)
    case = tmp_path / "out" / "study"
    composite, gaps = (nib.load(case / f"{name}.nii.gz") for name in ("composite", "gaps"))
    empty = gaps.get_fdata()[:, :, 0].all(axis=0)
    assert empty.sum() * composite.header.get_zooms()[1] == pytest.approx(50, abs=4)
    assert (composite.get_fdata()[gaps.get_fdata() == 1] == 0).all()


def test_a_station_turned_end_for_end_under_a_wrong_header_is_flagged(tmp_path: Path) -> None:
    upper, lower = stations()
    turned = lower.with_array(lower.array[::-1, ::-1])
    record = stitched(write_spine_study([upper, turned], tmp_path / "study"), tmp_path / "out")
    assert "ALIGNMENT_REJECTED" in codes(record)
    told = next(one for one in record["warnings"] if one["code"] == "ALIGNMENT_REJECTED")
    assert "station 1 and station 2 keep their headers' places" in told["message"]


def test_a_station_stored_end_for_end_with_its_own_true_header_is_done(tmp_path: Path) -> None:
    upper, lower = stations()
    flipped = lower.reorient("ASL")
    record = stitched(write_spine_study([upper, flipped], tmp_path / "study"), tmp_path / "out")
    assert codes(record) == []
    transforms = json.loads((tmp_path / "out" / "study" / "transforms.json").read_text())
    assert [one["method"] for one in transforms["stations"]] == ["reference", "registered"]
