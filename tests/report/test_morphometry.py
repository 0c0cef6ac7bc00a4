import re
from dataclasses import replace

import numpy as np
import pytest

from mediseg.record import measurement_record
from mediseg.report import render_case
from mediseg.report.morphometry import area_rows, thickness_section
from mediseg.report.sections import Values
from mediseg.steps.morphometry import measure_callosum
from tests.report import factory as make


@pytest.fixture(scope="module")
def values():
    plane = make.midsagittal()
    callosum = make.callosum(plane)
    return {"midsagittal": plane, "callosum": callosum, "measurements": measure_callosum(callosum, age_years=30)}


def test_every_field_line_is_drawn_once_in_the_colour_of_its_thickness(values):
    section = thickness_section(Values.of(values))
    (ribs,) = [layer for layer in section.figure.layers if layer.key == "ribs"]
    assert sum(path.d.count("M") for path in ribs.paths) == 100
    thickest = max(int(path.style.removeprefix("rib-")) for path in ribs.paths)
    thickness = values["measurements"].thickness_mm
    assert section.colours_mm[thickest] <= thickness.max()
    assert section.colours_mm[0] == 0
    assert np.ptp(np.diff(section.colours_mm)) == 0


def test_the_index_is_its_longest_line_and_three_widths(values):
    section = thickness_section(Values.of(values))
    (index,) = [layer for layer in section.figure.layers if layer.key == "index"]
    assert [path.d.count("M") for path in index.paths] == [1, 3]
    assert section.has_index


def test_without_lines_or_picture_the_profile_stands_alone(values):
    bare = replace(values["measurements"], lines_lps_mm={})
    assert thickness_section(Values.of(values | {"measurements": bare})).figure is None
    alone = thickness_section(Values.of({"measurements": values["measurements"]}))
    assert alone.figure is None
    assert alone.chart.points == 100


def test_no_thickness_no_section():
    assert thickness_section(Values()) is None


def test_sub_areas_are_gathered_by_scheme(values):
    records = [measurement_record(m) for m in values["measurements"].values]
    rows, left = area_rows(records)
    assert [row.scheme for row in rows] == ["witelson", "hofer_frahm", "medial", "vertical", "angular"]
    assert all(len(row.parts) == 5 for row in rows)
    assert sum(share for _, _, share in rows[0].parts) == pytest.approx(100)
    assert rows[0].parts[3][0] == "isthmus"
    assert len(rows) * 5 + len(left) == len(records)


def test_no_sub_areas_no_rows():
    rows, left = area_rows([measurement_record(make.measurements(make.callosum(make.midsagittal())).values[0])])
    assert rows == []
    assert len(left) == 1


def test_the_page_shows_them(values):
    text = render_case(make.case(values), values)
    for heading in ("Thickness profile", "Sub-areas", "Measurements"):
        assert f">{heading}</h2>" in text
    assert 'class="rib-3"' in text
    assert "Callosum thickness, mean" in text
    assert "Mitchell et al. 2003" in text
    table = text[text.index('id="measurements"') :]
    assert not re.search(r"area (witelson|medial|angular)", table)


def test_the_page_without_sub_areas_has_no_table_of_them():
    text = render_case(make.case(), make.everything())
    assert "Sub-areas" not in text
