import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mediseg.errors import Code, Warn
from mediseg.geometry import Geometry
from mediseg.record import INTENDED_USE, BiasRecord, UniformityRecord
from mediseg.report import render_case
from mediseg.report.html import number, pretty_unit, range_note
from mediseg.results import BiasCorrection, Measurement
from mediseg.volume import Volume
from tests.report import factory as make

HOSTILE = "<script>alert('x')</script>\"><img src=http://evil/x onerror=1>"
VOID = {"meta", "br", "input", "wbr", "img"}


class Page(HTMLParser):
    """Collects tags and headings, and fails on a tag that closes another one."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.headings, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def values():
    return make.everything(make.SAGITTAL, yaw=6.0, shape=(54, 45, 42), spacing=(4.4, 4.4, 4.4))


@pytest.fixture(scope="module")
def html(values):
    return render_case(make.case(values), values)


def assert_self_contained(page):
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
            assert (attrs.get(name) or "data:").startswith("data:"), (tag, attrs)
        assert not [name for name in attrs if name.startswith("on")]
        assert "url(http" not in (attrs.get("style") or "")


def test_page_is_self_contained(html):
    page = Page(html)
    assert_self_contained(page)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    assert "http://" not in html
    assert "https://" not in html


def test_sections_stand_in_the_order_of_reading(html):
    assert Page(html).headings == [
        "child10", "Warnings", "Summary", "Mid-sagittal view", "Slice plan", "Brain mask", "Bias correction",
        "Thickness profile", "Measurements", "Quality and provenance",
    ]  # fmt: skip


def test_page_can_be_read_aloud(html):
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    pictures = [attrs for attrs in page.all("svg") if attrs.get("aria-hidden") != "true"]
    assert len(pictures) > 20
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.all("th"))
    shown = {attrs["id"] for attrs in page.all("input")}
    assert shown == {attrs["for"] for attrs in page.all("label")}
    assert len(page.all("h1")) == 1


def test_every_id_is_given_once(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for name in re.findall(r'aria-labelledby="([^"]+)"', html):
        assert name in ids


def test_every_toggle_hides_its_layer(html):
    for attrs in Page(html).all("input"):
        key = attrs["id"].removeprefix("show-")
        assert f'class="layer l-{key}"' in html
        assert f".show-{key}:not(:checked) ~ .pair .l-{key}" in html


def test_use_is_stated_at_top_and_bottom(html):
    text = Page(html).text
    assert text.count(INTENDED_USE) == 2
    assert text.index(INTENDED_USE) < text.index("Warnings")


def test_the_same_case_gives_the_same_page(values, html):
    assert render_case(make.case(values), values) == html


def test_numbers_of_the_roi_and_the_plan_are_on_the_page(html):
    text = Page(html).text
    assert "robust (chosen)" in text
    assert "-1.30" in text
    assert "T > C -9.3" in text
    assert "1\\0\\0\\0\\0.986856\\0.161604" in text  # cos and sin of 9.3 degrees


def test_a_full_head_stays_below_two_megabytes():
    head = make.head(make.grid(shape=(64, 64, 64), spacing=(4, 4, 4)))
    fine = Geometry.from_axes(
        (256, 256, 256), np.eye(3), (1, 1, 1), center_lps_mm=make.CENTER, frame_of_reference="1.2.3"
    )
    noise = np.random.default_rng(0).normal(0, 60, fine.shape).astype(np.float32)  # the worst that JPEG can meet
    volume = Volume(head.resample(fine).array + noise, fine, head.source)
    bias = BiasCorrection(volume, volume.with_array(np.ones(fine.shape, np.float32)))
    values = make.everything(shape=(54, 45, 42), spacing=(4.4, 4.4, 4.4)) | {"head": volume, "bias": bias}
    values["brain"] = make.brain(head)
    assert len(render_case(make.case(values), values).encode()) <= 2_000_000


def test_hostile_text_stays_text(values):
    warnings = (Warn(Code.SERIES_SKIPPED, HOSTILE, {HOSTILE: HOSTILE}),)
    record = make.case(values, name=HOSTILE, reason=HOSTILE, status="refused", warnings=warnings)
    head = values["head"]
    source = replace(head.source, sequence=HOSTILE, facts={HOSTILE: HOSTILE})
    measured = replace(
        values["measurements"], values=(Measurement(HOSTILE, 1.0, HOSTILE, None, 0, 2, HOSTILE, HOSTILE),)
    )
    text = render_case(record, values | {"head": replace(head, source=source), "measurements": measured})
    page = Page(text)
    assert_self_contained(page)
    assert page.all("img") == []
    assert page.headings[0] == HOSTILE
    assert text.count("&lt;script&gt;") >= 5


def test_a_case_refused_on_reading_says_why():
    record = make.case({}, status="refused", reason="the volume is CT, the recipe is for MR", warnings=(), score=None)
    page = Page(render_case(record, {}))
    assert "Why this case was refused" in page.headings
    assert "The volume is CT, the recipe is for MR." in page.text
    assert "Warnings" not in page.headings
    every = "Mid-sagittal view, Slice plan, Brain mask, Bias correction, Thickness profile"
    assert f"{every}: not computed, because the case was refused before" in page.text
    assert page.all("image") == []


def test_the_bias_section_says_what_the_correction_did(values):
    before, after = UniformityRecord(white_cv_percent=9.04, cjv=0.7, entropy_bits=6.5), UniformityRecord(cjv=0.4321)
    record = make.case(values).model_copy(update={"bias": BiasRecord(before=before, after=after)})
    page = Page(render_case(record, values))
    assert "White matter, coefficient of variation (%)9.0–" in page.text
    assert "Coefficient of joint variation, white and grey matter0.7000.432" in page.text
    without = Page(render_case(make.case(values), values))
    assert "joint variation" not in without.text


def test_a_case_refused_half_way_shows_what_there_is(values):
    kept = {name: values[name] for name in ("head", "bias", "brain")}
    record = make.case(kept, status="refused", reason="no slice lies within 4 mm of the mid-sagittal plane")
    page = Page(render_case(record, kept))
    assert {"Brain mask", "Bias correction", "Not shown"} <= set(page.headings)
    assert not {"Mid-sagittal view", "Slice plan", "Measurements"} & set(page.headings)
    assert "No slice lies within 4 mm of the mid-sagittal plane." in page.text
    assert "Mid-sagittal view, Slice plan, Thickness profile: not computed" in page.text


def test_a_recipe_without_a_step_does_not_miss_it(values):
    record = make.case({"head": values["head"]})
    record = record.model_copy(update={"recipe": record.recipe.model_copy(update={"parameters": {}})})
    assert "Not shown" not in Page(render_case(record, {"head": values["head"]})).headings


def test_one_slice_is_enough():
    values = make.one_slice()
    values["scan_plan"] = make.scan_plan()
    page = Page(render_case(make.case(values), values))
    captions = [attrs["aria-label"] for attrs in page.all("svg") if "aria-label" in attrs]
    assert [c for c in captions if c.startswith("Sagittal picture")]
    assert not [c for c in captions if c.startswith(("Coronal", "Transversal"))]
    assert "A slice as acquired" in page.text


def test_the_input_of_a_slice_recipe_is_drawn_on():
    values = make.one_slice() | {"scan_plan": make.scan_plan()}
    values["image"] = values.pop("head")
    page = Page(render_case(make.case(values), values))
    assert [a for a in page.all("svg") if a.get("aria-label", "").startswith("Sagittal picture")]


def test_a_plan_without_a_head_keeps_its_table():
    values = {"scan_plan": make.scan_plan()}
    page = Page(render_case(make.case(values), values))
    assert "T > C -9.3" in page.text
    assert "Slice plan" not in page.text[page.text.index("Not shown") :]


def test_a_warning_says_nothing_twice():
    warn = Warn(Code.GAP, "a gap of 3.5 mm", {"gap_mm": 3.5, "after_slice": 7})
    text = Page(render_case(make.case({}, warnings=(warn,)), {})).text
    assert "A gap of 3.5 mm." in text
    assert "after slice: 7" in text
    assert "gap mm" not in text


def test_a_given_roi_is_drawn_and_named(values):
    given = values | {"localization": make.localization("given")}
    text = render_case(make.case(given), given)
    assert text.count('class="layer l-roi-given"') >= 3
    assert "The ROI was given by the user" in Page(text).text


def test_an_empty_brain_and_nan_voxels_are_survived(values):
    brain = values["brain"]
    empty = replace(brain, mask=replace(brain.mask, labels=np.zeros_like(brain.mask.labels)))
    head = values["head"].with_array(np.full(values["head"].array.shape, np.nan, np.float32))
    page = Page(render_case(make.case({}), {"head": head, "brain": empty}))
    assert "Brain mask" in page.text[page.text.index("Not shown") :]
    assert "there is nothing to draw" in page.text


def test_a_value_of_a_wrong_type_is_told():
    with pytest.raises(TypeError, match='the report wants "brain" as Brain, not str'):
        render_case(make.case({}), {"brain": "x"})


def test_an_inverted_source_and_the_brains_confidence_are_told_in_words(values):
    head = values["head"]
    source = replace(head.source, facts={"shown_inverted": "yes"})
    text = Page(render_case(make.case({}), {**values, "head": replace(head, source=source)})).text
    assert "MONOCHROME1: small values are bright); the values were turned round before use" in text
    assert "(0 to 1: a plausible volume, times a border that the network sees sharply" in text


def test_facts_have_their_units(values):
    facts = {"echo_time_ms": 2.46, "field_strength_t": 3.0, "flip_angle_deg": 80.0, "series_number": 2, "ms": 1}
    head = values["head"]
    text = Page(render_case(make.case({}), {"head": replace(head, source=replace(head.source, facts=facts))})).text
    for name, value in (
        ("echo time", "2.46 ms"),
        ("field strength", "3 T"),
        ("flip angle", "80°"),
        ("series number", "2"),
    ):
        assert name + value in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0.0, "0"), (-0.0001, "0.000"), (0.2314, "0.231"), (-5.194, "-5.19"),
     (642.31, "642.3"), (1500.0, "1500")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_units_are_printed_as_people_write_them():
    assert [pretty_unit(u) for u in ("mm2", "mm", "1", "kg")] == ["mm²", "mm", "", "kg"]


@pytest.mark.parametrize(
    ("value", "low", "high", "note"),
    [
        (5.0, None, None, ""), (None, 1.0, 2.0, ""), (0.5, 1.0, 2.0, "below normal (from 1.00)"),
        (3.0, 1.0, 2.0, "above normal (to 2.00)"), (2.0, 1.0, 2.0, "within normal range"),
        (9.0, 1.0, None, "within normal range"),
    ],
)  # fmt: skip
def test_range_is_told_only_where_one_is_known(value, low, high, note):
    from mediseg.record import MeasurementRecord

    assert range_note(MeasurementRecord(name="a", value=value, unit="mm", low=low, high=high)) == note
