"""The rulers of a stitched spine: the page allows their script and no other, and they measure what is there."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from mediseg.geometry import Geometry
from mediseg.report import render_case, ruler
from mediseg.report.figures import View
from mediseg.report.stitching import stitching_section
from mediseg.steps.stitch import stitch_stations
from mediseg.volume import RotatedROI
from tests.report.browser import Tab, browser, needs_chromium
from tests.report.factory import case, one_slice
from tests.report.test_html import Page
from tests.spines import stations

TURN = np.radians(20)
AXES = np.array([[0, 0, -1.0], [np.cos(TURN), np.sin(TURN), 0], [np.sin(TURN), -np.cos(TURN), 0]])


@pytest.fixture(scope="module")
def values():
    """A composite along an ROI turned by 20 degrees."""
    given = stations()
    roi = RotatedROI(np.array([0.0, 0.0, 200.0]), AXES, (120.0, 300.0, 4.0))
    return {"stations": tuple(given), "stitched": stitch_stations(given, register=False, intensity="none", roi=roi)}


@pytest.fixture(scope="module")
def html(values):
    return render_case(case({}, warnings=()), values)


def policy(page):
    return next(attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)


def test_the_policy_names_the_script_that_is_there_and_no_other(html):
    (text,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert policy(Page(html)).split("; ") == [
        "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'",
    ]  # fmt: skip
    assert html.count("<script") == 1
    assert not [attrs for _, attrs in Page(html).tags if any(name.startswith("on") for name in attrs)]


def test_a_page_without_a_spine_allows_no_script():
    values = one_slice()
    page = Page(render_case(case(values), values))
    assert page.all("script") == []
    assert policy(page) == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_script_asks_for_nothing_and_keeps_nothing():
    text = ruler.script()
    assert text.isascii()
    for word in (
        "</",
        "<!--",
        "http",
        "fetch",
        "XMLHttp",
        "import",
        "eval",
        "Function(",
        "innerHTML",
        "Storage",
        "cookie",
    ):
        assert word not in text


def test_the_frame_is_the_pictures_upper_left_corner_and_a_millimetre_each_way():
    grid = Geometry.from_axes((4, 6, 1), [[0, 0, -1], [1, 0, 0], [0, -1, 0]], (2, 2, 3), center_lps_mm=(5, 0, 100))
    assert [float(word) for word in ruler.frame_of(View(grid)).split()] == [5, -4, 106, 0, 1, 0, 0, 0, -1]


def test_what_is_measured_on_the_picture_is_measured_in_the_patient(values):
    """Through the rotated ROI: two voxels of the composite lie as far apart on the picture as in the patient."""
    grid = values["stitched"].composite.geometry
    frame = np.array([float(word) for word in stitching_section(values["stitched"], values["stations"]).frame.split()])
    corner, right, down = frame.reshape(3, 3)
    view = View(grid.crop([0, 0, grid.shape[2] // 2], [*grid.shape[:2], grid.shape[2] // 2 + 1]))
    ends = grid.lps_from_ijk([(3, 5, grid.shape[2] // 2), (grid.shape[0] - 7, grid.shape[1] - 2, grid.shape[2] // 2)])
    on_picture = view.xy_mm(ends)
    assert corner + on_picture[:, :1] * right + on_picture[:, 1:] * down == pytest.approx(ends, abs=1e-3)
    length = np.linalg.norm(on_picture[1] - on_picture[0])
    assert length == pytest.approx(np.linalg.norm(ends[1] - ends[0]), abs=1e-6)
    assert length > 250


# ---------------------------------------------------------------- in a real browser


def opened(tab: Tab, html: str, folder: Path, **how: bool) -> Tab:
    (folder / "report.html").write_text(html, encoding="utf-8")
    tab.open(folder / "report.html", **how)
    return tab


def press(tab: Tab, tool: str) -> None:
    tab.ask(f"document.querySelector('button[data-tool={tool}]').click()")


def middle(tab: Tab, n: int) -> tuple[float, float]:
    """Where a point is in the window, scrolled into it."""
    x, y = tab.ask(
        f"(() => {{ const p = document.querySelectorAll('.handle .ring')[{n}]; p.scrollIntoView({{block: 'center'}});"
        " const b = p.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return x, y


def said(tab: Tab, tool: str) -> float:
    text = tab.ask(f"document.querySelector('output[data-tool={tool}]').textContent")
    return float(re.search(r"(-?[\d.]+)( mm|\u00b0)", text).group(1))


@needs_chromium
def test_rulers_work_by_mouse_finger_and_keys(html, values, tmp_path):
    section = stitching_section(values["stitched"], values["stations"])
    width, height = section.overview.width, section.overview.height
    with browser() as tab:
        opened(tab, html, tmp_path)
        assert tab.ask("document.querySelector('.measure').hidden") is False
        pixels_per_mm = tab.ask("document.querySelector('svg.ruled').getScreenCTM().a")
        press(tab, "length")
        assert said(tab, "length") == pytest.approx(0.4 * height, abs=0.051)
        x, y = middle(tab, 0)
        tab.mouse((x, y), (x + 5, y - 5), (x + 30 * pixels_per_mm, y - 20 * pixels_per_mm))
        assert said(tab, "length") == pytest.approx(np.hypot(30, 0.4 * height + 20), abs=0.3)
        tab.ask("document.querySelectorAll('.handle')[1].focus()")
        for name, shift in (("PageDown", False), ("ArrowUp", False), *[("ArrowUp", True)] * 3):
            tab.key(name, shift=shift)
        long = np.hypot(30, 0.4 * height + 20 + 20 - 1.3)
        assert said(tab, "length") == pytest.approx(long, abs=0.3)
        press(tab, "cobb")
        assert said(tab, "cobb") == 0
        x, y = middle(tab, 3)
        tab.finger((x, y), (x, y + 4), (x, y + 15 * pixels_per_mm))
        rise = np.degrees(np.arctan2(15, 0.4 * width))
        assert said(tab, "cobb") == pytest.approx(rise, abs=0.7)
        tab.ask("document.querySelectorAll('.handle')[5].focus()")
        tab.key("PageUp")
        assert said(tab, "cobb") == pytest.approx(rise + np.degrees(np.arctan2(20, 0.4 * width)), abs=0.7)
        names = tab.ask("[...document.querySelectorAll('.handle')].map(h => h.getAttribute('aria-label'))")
        assert len(set(names)) == 6
        press(tab, "cobb")
        assert tab.ask("document.querySelectorAll('.handle').length") == 2
        assert tab.log == []


@needs_chromium
def test_points_say_where_they_lie_in_the_patient(html, values, tmp_path):
    section = stitching_section(values["stitched"], values["stations"])
    corner, right, down = np.array([float(word) for word in section.frame.split()]).reshape(3, 3)
    place = corner + 0.5 * section.overview.width * right + 0.3 * section.overview.height * down
    with browser() as tab:
        opened(tab, html, tmp_path)
        press(tab, "length")
        text = tab.ask("document.querySelector('.handle').getAttribute('aria-valuetext')")
    found = [float(word[2:]) * (1 if word[0] in "LPS" else -1) for word in text.split(", ")]
    assert found == pytest.approx(place, abs=0.06)


@needs_chromium
def test_a_cobb_angle_does_not_depend_on_which_end_came_first(html, tmp_path):
    with browser() as tab:
        opened(tab, html, tmp_path)
        press(tab, "cobb")
        for n, keys in ((0, ["PageDown"]), (1, ["PageUp"])):
            tab.ask(f"document.querySelectorAll('.handle')[{n}].focus()")
            for key in keys:
                tab.key(key)
        first = said(tab, "cobb")
        ends = [middle(tab, 2), middle(tab, 3)]  # the lower line's ends change places; the last one lies on top
        tab.mouse(ends[0], ends[1])
        assert "too short" in tab.ask("document.querySelector('output[data-tool=cobb]').textContent")
        tab.mouse(ends[1], ends[0])
        assert first > 20
        assert said(tab, "cobb") == pytest.approx(first, abs=0.5)


@needs_chromium
def test_without_scripts_the_page_still_reads(html, tmp_path):
    with browser() as tab:
        opened(tab, html, tmp_path, scripts=False)
        assert tab.ask("document.querySelector('.measure').hidden") is True
        assert "Scripts are off" in tab.ask("document.body.innerText")


@needs_chromium
def test_another_script_does_not_run(html, tmp_path):
    spoilt = html.replace(
        "</body>", "<script>document.title = 'taken'</script><img src=x onerror='document.title=1'></body>"
    )
    changed = html.replace('"use strict";', '"use strict"; document.title = "taken";')
    assert len({html, spoilt, changed}) == 3
    for text in (spoilt, changed):
        with browser() as tab:
            opened(tab, text, tmp_path)
            assert tab.ask("document.title") != "taken"
            assert any("Content Security Policy" in entry["entry"]["text"] for entry in tab.log if "entry" in entry)
