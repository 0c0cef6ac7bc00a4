"""The stitched spine on the report's pages of pixels."""

from dataclasses import replace

import numpy as np
import pytest

from mediseg.report import raster
from mediseg.report.pages import HEIGHT, MARGIN, WIDTH, render_pages
from mediseg.report.stitching import _ruler, stitching_section
from mediseg.steps.stitch import stitch_stations
from tests.report.factory import case
from tests.spines import stations


@pytest.fixture(scope="module")
def values():
    given = stations(gain=0.6, shift_mm=(4.0, -3.0, 0.0))
    return {"stations": tuple(given), "stitched": stitch_stations(given)}


def test_pages_show_the_composite_its_stations_and_every_overlap(values, monkeypatch):
    texts, shown = [], []
    draw = raster.drawn
    monkeypatch.setattr(raster, "spelt", lambda text: texts.append(text) or text)
    monkeypatch.setattr(raster, "drawn", lambda figure, width: shown.append(figure.alt) or draw(figure, width))
    pages = render_pages(case({}, warnings=()), values)
    assert len(pages) >= 2
    part = stitching_section(values["stitched"], values["stations"])
    assert shown == [part.overview.alt, part.profile.alt, part.overlaps[0].before.alt, part.overlaps[0].after.alt]
    assert {"station 1", "station 2", "reference", "registered", "Overlaps"} <= set(texts)
    for page in pages:
        assert page.shape == (HEIGHT, WIDTH, 3)
        assert (page[:, WIDTH - MARGIN + 2 :] == 255).all()


def test_a_rejected_overlap_says_so_on_paper(values, monkeypatch):
    stitched = values["stitched"]
    pair = replace(stitched.transforms.pairs[0], is_accepted=False, reason="the overlap agrees too little")
    transforms = replace(stitched.transforms, pairs=(pair,))
    texts = []
    monkeypatch.setattr(raster, "spelt", lambda text: texts.append(text) or text)
    render_pages(case({}), values | {"stitched": replace(stitched, transforms=transforms)})
    assert any("rejected: the overlap agrees too little" in text for text in texts)


def test_stations_keep_their_colour_and_colours_come_round_again():
    assert raster.stroke("station-2", "") == (raster.rgb("#f0a13a"), 1.6)
    assert raster.stroke("station-9", "")[0] == raster.stroke("station-2", "")[0]


def test_no_number_of_the_ruler_covers_the_letter_of_the_patients_side():
    assert [label.text for label in _ruler(701.0, 10.0).labels] == [
        "50", "100", "150", "200", "250", "300", "400", "450", "500", "550", "600", "650",
    ]  # fmt: skip
    assert "350" in [label.text for label in _ruler(800.0, 10.0).labels]


def test_the_grid_is_not_drawn_on_paper(values):
    overview = stitching_section(values["stitched"], values["stations"]).overview
    without = replace(overview, layers=tuple(layer for layer in overview.layers if layer.key != "grid"))
    assert any(layer.key == "grid" for layer in overview.layers)
    assert np.array_equal(raster.pixels(raster.drawn(overview, 200)), raster.pixels(raster.drawn(without, 200)))
