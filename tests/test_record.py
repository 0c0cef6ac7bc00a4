import json
import math
from collections import OrderedDict
from pathlib import PurePosixPath

import numpy as np
import pytest
from pydantic import ValidationError

from mediseg import record as rec
from mediseg.errors import Code, Warn
from mediseg.results import Estimate, Localization, Measurement
from mediseg.volume import CodedConcept, RotatedROI, Source, Volume

KEYS = [
    "schema_version", "status", "reason", "case", "recipe", "mediseg", "input", "source", "steps", "measurements",
    "roi", "bias", "quality", "warnings", "outputs", "intended_use",
]  # fmt: skip


def case(**more):
    return rec.CaseRecord(**{"status": "done", "case": "a", "recipe": {"name": "x"}, "mediseg": "0.1.0"} | more)


def located(method="robust", angle=-10.0, center=(1.0, 2.0, 3.0)):
    a = np.radians(angle)
    long_axis = np.array([0, np.cos(a), -np.sin(a)])
    axes = np.column_stack([long_axis, np.cross((-1, 0, 0), long_axis), (-1, 0, 0)])
    estimates = {
        "line": Estimate((0.0, 4.0), 2.0, (70.0, 0.0)),
        "box": Estimate((3.0, 0.0), -4.0, (72.0, 25.0)),
        "robust": Estimate((0.0, 0.0), -10.0, (71.0, 24.0)),
    }
    return Localization(RotatedROI(np.array(center), axes, (71.0, 24.0, 20.0)), method, estimates, 0.8)


def test_json_holds_every_key_of_the_contract_in_order():
    assert list(json.loads(case().to_json())) == KEYS


def test_nested_keys_are_those_of_the_contract():
    plain = json.loads(
        case(
            source=rec.source_record(Volume.from_affine(np.zeros((2, 3, 4)), np.diag([1, 2, 3, 1])), 1.5),
            input=[{"path": "a/b.dcm", "sha256": "00", "series_uid": "1.2"}],
            steps=[{"name": "read"}],
            measurements=[rec.measurement_record(Measurement("area", 1.0, "mm2", CodedConcept("1", "SCT", "Area")))],
            roi=rec.roi_record(located()),
            warnings=[rec.warning_record(Warn(Code.GAP, "a gap"))],
            outputs=[{"path": "roi.json", "kind": "json"}],
        ).to_json()
    )
    assert list(plain["source"]) == ["manufacturer", "sequence", "shape", "spacing_mm", "orientation", "tilt_deg"]
    assert list(plain["input"][0]) == ["path", "sha256", "series_uid"]
    assert list(plain["steps"][0]) == ["name", "seconds", "peak_mb", "model", "warnings"]
    assert list(plain["measurements"][0]) == ["name", "value", "unit", "code", "low", "high", "method", "source"]
    assert list(plain["measurements"][0]["code"]) == ["value", "scheme", "meaning"]
    assert {"method", "center_mm", "angle_deg", "size_mm", "estimates", "acpc", "confidence"} <= set(plain["roi"])
    assert list(plain["quality"]) == ["score", "flags"]
    assert list(plain["warnings"][0]) == ["code", "message", "detail"]
    assert list(plain["outputs"][0]) == ["path", "kind", "sha256"]
    assert list(plain["recipe"]) == ["name", "sha256", "parameters"]


def test_equal_content_gives_equal_bytes_whatever_the_order_of_parameters():
    first = case(recipe={"name": "x", "parameters": OrderedDict(b=1, a={"d": 2, "c": 3})})
    second = case(recipe={"name": "x", "parameters": OrderedDict(a={"c": 3, "d": 2}, b=1)})
    assert first.to_json() == second.to_json()


def test_what_is_written_reads_back_to_the_same_bytes():
    data = case(roi=rec.roi_record(located()), reason="naïve – „ok“").to_json()
    assert rec.CaseRecord.from_json(data).to_json() == data


def test_numbers_that_are_not_finite_become_null():
    record = case(
        recipe={"name": "x", "parameters": {"a": math.nan, "b": [np.float32("inf")]}},
        measurements=[rec.measurement_record(Measurement("area", float("nan"), "mm2", low=-math.inf))],
        warnings=[rec.warning_record(Warn(Code.GAP, "a gap", {"mm": np.nan}))],
        quality={"score": math.nan},
    )
    plain = json.loads(record.to_json(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert plain["recipe"]["parameters"] == {"a": None, "b": [None]}
    assert plain["measurements"][0]["value"] is None
    assert plain["measurements"][0]["low"] is None
    assert plain["warnings"][0]["detail"] == {"mm": None}
    assert plain["quality"]["score"] is None


def test_json_value_takes_plain_forms_apart():
    value = {"z": np.arange(2), "a": (np.int64(3), Code.SEAM), "p": PurePosixPath("x/y"), "s": {"b", "a"}, "n": None}
    assert rec.json_value(value) == {"a": [3, "SEAM"], "n": None, "p": "x/y", "s": ["a", "b"], "z": [0, 1]}
    assert list(rec.json_value(value)) == sorted(value)


def test_json_value_refuses_an_object():
    with pytest.raises(TypeError, match="object has no form in JSON"):
        rec.json_value({"a": object()})


def test_a_file_name_that_is_no_utf8_can_be_written():
    assert b"bad\\\\udcff.dcm" in case(input=[{"path": "bad\udcff.dcm"}]).to_json()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"status": "ok"}, "status"), ({"extra": 1}, "extra"), ({"warnings": [{"code": "NO", "message": ""}]}, "code")],
)
def test_wrong_entries_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        case(**wrong)


def test_a_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        case().case = "b"


def test_roi_angle_is_the_chosen_estimates():
    roi = rec.roi_record(located("box"))
    assert (roi.method, roi.angle_deg) == ("box", -4.0)
    assert roi.center_mm == (1.0, 2.0, 3.0)
    assert list(roi.estimates) == ["box", "line", "robust"]


def test_roi_spread_is_the_largest_difference():
    spread = rec.roi_record(located()).spread
    assert spread.angle_deg == 12.0  # 2 - (-10)
    assert spread.center_mm == 5.0  # (0, 4) to (3, 0)


def test_angle_of_a_given_roi_is_read_off_its_axes():
    # the axes were made for -10 degrees: the posterior end lies higher
    assert rec.roi_record(located("given")).angle_deg == pytest.approx(-10.0)


def test_an_roi_without_a_place_is_never_recorded():
    with pytest.raises(ValidationError, match="finite"):
        rec.roi_record(located(center=(np.nan, 0, 0)))


def test_source_record_tells_scanner_and_grid():
    source = Source(manufacturer="ACME", sequence="SE")
    volume = Volume.from_affine(np.zeros((2, 3, 1)), np.diag([-0.5, -0.5, 4.0, 1.0]), source=source)
    record = rec.source_record(volume)
    assert (record.manufacturer, record.sequence, record.shape) == ("ACME", "SE", (2, 3, 1))
    assert record.spacing_mm == (0.5, 0.5, 4.0)
    assert (record.orientation, record.tilt_deg) == ("RAS", None)


def test_quality_is_the_weakest_confidence():
    warnings = [Warn(Code.SEAM, ""), Warn(Code.GAP, ""), Warn(Code.GAP, "")]
    quality = rec.quality_record([0.9, math.nan, 0.4], warnings)
    assert (quality.score, quality.flags) == (0.4, ("GAP", "SEAM"))
    assert rec.quality_record([], []).score is None


def test_shipped_schema_is_the_models():
    assert rec.shipped_schema() == rec.report_schema(), "write record.schema_text() to schemas/report.schema.json"


@pytest.mark.parametrize("status", ["done", "refused", "failed"])
def test_a_record_fits_the_schema(status):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with the extra `test`")
    validator = jsonschema.Draft202012Validator(rec.shipped_schema())
    plain = json.loads(case(status=status, roi=rec.roi_record(located()), steps=[{"name": "a"}]).to_json())
    assert list(validator.iter_errors(plain)) == []
    assert list(validator.iter_errors(plain | {"status": "ok"})) != []
