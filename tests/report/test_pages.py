"""The report as pages: what stands on them, what must not, and that they fit."""

import numpy as np
import pytest

from mediseg.record import INTENDED_USE
from mediseg.report import pages, raster, svg
from mediseg.report.pages import HEIGHT, MARGIN, WIDTH, render_pages
from tests.report.factory import case, everything, one_slice


@pytest.fixture(scope="module")
def values():
    return everything()


@pytest.fixture(scope="module")
def drawn(values):
    return render_pages(case(values), values)


def test_pages_are_a4_and_nothing_reaches_into_the_margins(drawn):
    assert len(drawn) >= 3
    for page in drawn:
        assert (page.shape, page.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        assert (page[:, : MARGIN - 2] == 255).all()
        assert (page[:, WIDTH - MARGIN + 2 :] == 255).all()
        assert (page[-40:] == 255).all()


def test_every_page_says_what_it_may_be_used_for(drawn, monkeypatch):
    texts = []
    monkeypatch.setattr(raster, "spelt", lambda text: texts.append(text) or text)
    empty = render_pages(case({}, warnings=()), {})
    assert texts.count(INTENDED_USE) == len(empty) == 1
    band = drawn[0][126:168, MARGIN : WIDTH - MARGIN]
    assert (band != 255).any(axis=2).all()  # the amber ground of the notice
    for page in drawn[1:]:
        assert np.array_equal(page[126:168, MARGIN : WIDTH - MARGIN], band)


def test_neither_the_case_nor_its_files_can_be_seen(values, drawn):
    record = case(values, name="Doe-Jane-1947")
    renamed = record.model_copy(
        update={"input": tuple(one.model_copy(update={"path": f"Doe/{n}"}) for n, one in enumerate(record.input))}
    )
    for page, other in zip(drawn, render_pages(renamed, values), strict=True):
        assert np.array_equal(page, other)


def test_the_same_results_give_the_same_pixels(values, drawn):
    for page, other in zip(drawn, render_pages(case(values), values), strict=True):
        assert np.array_equal(page, other)


def test_a_refused_case_says_why(monkeypatch):
    texts = []
    monkeypatch.setattr(raster, "spelt", lambda text: texts.append(text) or text)
    render_pages(case({}, status="refused", reason="no brain was found", warnings=()), {})
    assert {"This case was refused", "No brain was found."} <= set(texts)


def test_one_slice_makes_a_page():
    values = one_slice()
    assert len(render_pages(case(values), values)) >= 1


def test_a_long_table_goes_on_with_the_next_page(values):
    record = case(values)
    long = record.model_copy(update={"measurements": record.measurements * 12})
    assert len(render_pages(long, {})) > len(render_pages(record, {}))


def test_a_long_line_of_facts_stays_within_the_margins(values):
    record = case(values)
    long = record.model_copy(update={"source": record.source.model_copy(update={"sequence": "tfl3d " * 60})})
    assert (render_pages(long, {})[0][:, WIDTH - MARGIN + 2 :] == 255).all()


def test_lines_are_broken_where_they_must():
    size = 20
    lines = pages._wrapped("one two " + "x" * 500, size, 300)
    assert "".join(lines).replace(" ", "") == "onetwo" + "x" * 500
    assert all(raster.font(size).getlength(line) <= 300 for line in lines)
    assert pages._wrapped("", size, 300) == [""]


@pytest.mark.parametrize(
    ("text", "written"),
    [("2 × 3 – 4 mm²", "2 x 3 - 4 mm2"), ("Müller Å 3°", "Muller A 3°"), ("患者 ≥ 5", "?? >= 5"), ("", "")],
)
def test_text_is_spelt_with_the_signs_of_the_font(text, written):
    assert raster.spelt(text) == written


def test_colours_are_the_style_sheets():
    assert raster.rgb("contour") == (0x5C, 0xC8, 0xFF)
    assert raster.rgb("acpc") == (0xBB, 0x99, 0xFF)
    assert raster.rgb("#102030") == (16, 32, 48)


def test_every_layer_of_the_page_has_a_colour(values):
    from mediseg.report import sections

    known = sections.Values.of(values)
    part = sections.midsagittal_section(known)
    for figure in (part.overview, part.zoom, *sections.plan_figures(known), *sections.brain_mosaic(known)):
        assert raster.drawn(figure, 200).size[0] == 200


def test_parts_and_lines_beyond_the_known_have_a_colour():
    assert raster.part_colour(255) == raster.part_colour(3) == raster.rgb("p3")
    assert raster.stroke("something-new", "") == ((255, 255, 255), 1.5)


def test_paths_are_read_as_they_were_written():
    d = svg.path([(0, 0), (1.5, -2), (3, 0.25)], closed=True) + svg.path([(4, 4), (5, 5)])
    assert raster.outlines(d) == [([(0, 0), (1.5, -2), (3, 0.25)], True), ([(4, 4), (5, 5)], False)]


def test_holes_stay_holes():
    canvas = raster.Canvas(40, 40, 1)
    outer, inner = [(5, 5), (35, 5), (35, 35), (5, 35)], [(15, 15), (25, 15), (25, 25), (15, 25)]
    canvas.fill([outer, inner], (255, 0, 0), 1.0)
    found = raster.pixels(canvas.finish())
    assert tuple(found[10, 10]) == (255, 0, 0)
    assert tuple(found[20, 20]) == (255, 255, 255)
    assert tuple(found[2, 2]) == (255, 255, 255)
