import base64
import csv
import hashlib
import io
import json
import re

import numpy as np
import pytest

from mediseg import report
from mediseg.errors import Code, Warn
from mediseg.report import Index, index_row
from mediseg.report.index import COLUMNS, QUALITY, SECONDS, IndexRow, Quantity
from mediseg.report.index_page import STATIC_ROWS
from mediseg.report.scripts import script
from mediseg.report.spread import BARS, histogram, spread_of
from tests.report import factory as make
from tests.report.browser import browser, needs_chromium
from tests.report.test_html import HOSTILE, Page

WARN = (Warn(Code.LOW_CONFIDENCE, "low"),)


def plain(name, **more):
    return make.case({}, name=name, **({"warnings": (), "score": 0.9} | more))


def render_index(records):
    return report.render_index(Index([index_row(record) for record in records]))


def index_csv(records):
    return report.index_csv(Index([index_row(record) for record in records]))


def rows(records):
    return list(csv.DictReader(io.StringIO(index_csv(records))))


def test_suspicious_cases_come_first():
    records = [
        plain("good"),
        plain("also good"),
        plain("warned", warnings=WARN),
        plain("low", score=0.2),
        plain("unknown", score=None),
        plain("refused", status="refused", reason="no brain"),
        plain("failed", status="failed", reason="a bug"),
    ]
    expected = ["failed", "refused", "unknown", "low", "warned", "also good", "good"]
    assert [row["case"] for row in rows(records)] == expected
    page = render_index(records)
    table = page[page.index("<tbody>") :]
    assert [table.index(f">{name}</a>") for name in expected] == sorted(
        table.index(f">{name}</a>") for name in expected
    )


def test_each_case_is_linked_to_its_page():
    page = Page(render_index([plain("a b"), plain("ä/?#")]))
    assert [attrs["href"] for attrs in page.all("a")] == ["a%20b/report.html", "%C3%A4%2F%3F%23/report.html"]


def test_a_case_without_a_page_is_no_link():
    unreadable = plain("broken", status="failed").model_copy(update={"outputs": ()})
    text = render_index([unreadable])
    assert Page(text).all("a") == []
    assert ">broken</th>" in text


def test_index_fetches_nothing_and_escapes():
    text = render_index([plain(HOSTILE, reason=HOSTILE, warnings=(Warn(Code.GAP, HOSTILE),))])
    page = Page(text)
    assert page.all("img") == []
    assert [attrs.get("id") for attrs in page.all("script")] == ["data", "values", None]
    assert text.count("</script>") == 3
    assert page.all("a")[0]["href"].startswith("%3Cscript")
    assert all(attrs.get("scope") for attrs in page.all("th"))


def test_index_of_nothing():
    assert "No case was found" in render_index([])
    assert index_csv([]) == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1"])
def test_text_is_never_a_formula(text):
    (row,) = rows([plain("x", reason=text, status="refused")])
    assert row["reason"][0] == "'"


def test_negative_numbers_stay_numbers():
    values = {"localization": make.localization()}
    (row,) = rows([make.case(values)])
    assert row["roi_angle_deg"] == "-1.3"
    assert row["seconds"] != ""
    assert row["area_mm2"] == ""


def test_a_row_stays_on_one_line():
    text = index_csv([plain("x", reason="one\ntwo", status="refused")])
    assert len(text.splitlines()) == 2
    assert "one two" in text


# ---------------------------------------------------------------- many cases

AREA = Quantity("area", "mm2")


def row(name, status="done", quality=0.9, warnings=(), **values):
    numbers = {Quantity(key, "mm2" if key == "area" else "1"): value for key, value in values.items()}
    return IndexRow(name, status, "no brain" if status == "refused" else "", True, (), warnings, "", None, "r", "0", "",
                    "", {**numbers, QUALITY: quality, SECONDS: 3.0})  # fmt: skip


def batch(count=60):
    """Areas 100..109 in turn, one case far out, one refused."""
    return [
        *(row(f"c{n:03d}", area=100.0 + n % 10, ratio=0.25) for n in range(count)),
        row("far", area=160.0, ratio=0.25),
        row("none", status="refused", quality=0.1, warnings=("GAP",)),
    ]


def test_middle_and_width_by_hand():
    spread = spread_of([1, 2, 3, 4, 100])
    assert (spread.median, spread.low, spread.high) == (3, 1, 100)
    assert spread.width == pytest.approx(1.4826)
    assert spread_of([5.0, 5, 5, 5, 9]).width == pytest.approx(1.2533 * 0.8)  # more than half are alike
    assert spread_of([5.0]).width == 0


def test_few_or_equal_values_have_no_outlier():
    assert spread_of([1, 2, 3, 100]).z(np.array([100.0])) == 0
    assert spread_of([1.0] * 20).z(np.array([7.0])) == 0
    assert spread_of([*range(1, 20), 100]).z(np.array([100.0])) == pytest.approx((100 - 10.5) / (1.4826 * 5))


def test_a_histogram_counts_everything_and_shows_what_is_far_out():
    values = [*(float(n % 10) for n in range(1000)), 1e6]
    drawn = histogram(values, spread_of(values))
    assert sum(drawn.counts) == 1001
    assert drawn.counts[-1] == 1
    assert drawn.low == 0
    assert drawn.high < 100
    same = histogram([3.0, 3.0], spread_of([3.0, 3.0]))
    assert (same.low, same.high, sum(same.counts), len(same.counts)) == (2.5, 3.5, 2, BARS)


def test_outliers_come_after_refusals_and_before_the_rest():
    index = Index(batch())
    assert [one.case for one in index.rows[:3]] == ["none", "far", "c000"]
    assert index.outliers[0] is None  # a refused case is no outlier
    assert index.outliers[1].quantity == AREA
    assert index.outliers[1].z == pytest.approx((160 - index.spreads[AREA].median) / index.spreads[AREA].width)
    assert index.outliers[2:] == (None,) * 60
    table = list(csv.DictReader(io.StringIO(report.index_csv(index))))
    assert (table[1]["outlier"], table[1]["area_mm2"], table[1]["ratio"]) == ("area_mm2", "160", "0.25")
    assert float(table[1]["outlier_z"]) > 10


def test_time_and_confidence_make_no_outlier():
    rows = [row(f"c{n}", quality=0.9 + n / 1000, area=100.0 + n) for n in range(20)]
    slow = row("slow", quality=0.01, area=105.0)
    slow.values[SECONDS] = 1e5
    assert Index([*rows, slow]).outliers == (None,) * 21


def test_names_of_measurements_are_no_formula_either():
    table = report.index_csv(Index([row("x", **{"=1+1": 1.0, "@SUM(A1)": 2.0})]))
    assert next(csv.reader(io.StringIO(table)))[-2:] == ["'=1+1", "'@SUM(A1)"]


def test_the_page_carries_all_cases_and_shows_the_first_without_scripts():
    text = report.render_index(Index(batch(200)))
    page = Page(text)
    assert len(page.all("a")) == STATIC_ROWS
    assert "these are the first 100 of 202 cases" in text
    data, values = (
        json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.S).group(1)) for name in ("data", "values")
    )
    assert len(data["cases"]) == len(values[0]) == 202
    assert values[0][:3] == [None, 160, 100]
    assert [one["label"] for one in data["quantities"]] == ["area", "ratio", "quality", "time"]
    assert len([attrs for attrs in page.all("figure") if attrs.get("class") == "bars"]) == 4


def test_a_few_cases_have_no_histograms():
    assert '<figure class="bars">' not in report.render_index(Index(batch(2)))
    assert '<figure class="bars">' in report.render_index(Index(batch(3)))


def test_the_policy_allows_the_script_that_is_there_and_no_other():
    text = report.render_index(Index(batch()))
    found = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert found == [script("index.js")]
    digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
    policy = next(attrs["content"] for attrs in Page(text).all("meta") if "http-equiv" in attrs)
    expected = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert policy == expected
    for word in ("http", "fetch", "XMLHttp", "import", "eval", "Function(", "innerHTML", "Storage", "cookie", "</"):
        assert word not in found[0]
    assert found[0].isascii()


def cases_shown(tab):
    return tab.ask("[...document.querySelectorAll('.cases tbody th')].map(cell => cell.textContent)")


def typed(tab, name, value):
    tab.ask(f"(() => {{ const field = document.getElementById('{name}'); field.value = '{value}';"
            " field.dispatchEvent(new Event('input', {bubbles: true})); })()")  # fmt: skip


@needs_chromium
def test_a_reader_sorts_filters_and_turns_pages(tmp_path):
    (tmp_path / "index.html").write_text(report.render_index(Index([*batch(200), row(HOSTILE, area=104.0)])), "utf-8")
    with browser() as tab:
        tab.open(tmp_path / "index.html")
        assert cases_shown(tab)[:3] == ["none", "far", HOSTILE]
        assert len(cases_shown(tab)) == 50
        assert tab.ask("document.getElementById('shown').textContent") == "1\u201350 of 203"
        tab.ask("document.querySelector('[data-go=last]').click()")
        assert cases_shown(tab) == ["c197", "c198", "c199"]
        tab.ask("document.querySelector('[data-key=case] button').click()")
        assert cases_shown(tab)[0] == HOSTILE
        assert tab.ask("document.querySelector('[data-key=case]').ariaSort") == "ascending"
        tab.ask("document.querySelectorAll('.cases thead button')[4].click()")  # area, largest first, unknown last
        assert cases_shown(tab)[:2] == ["far", "c009"]
        typed(tab, "find", "NO BRAIN")
        assert cases_shown(tab) == ["none"]
        typed(tab, "find", "")
        typed(tab, "warning", "GAP")
        assert cases_shown(tab) == ["none"]
        tab.ask("document.querySelector('form').reset()")
        tab.ask("new Promise(done => setTimeout(done, 50))")
        tab.ask("document.getElementById('outliers').click()")
        assert cases_shown(tab) == ["far"]
        tab.ask("document.getElementById('outliers').click()")
        typed(tab, "quantity", "0")
        typed(tab, "from", "108.5")
        assert tab.ask("document.getElementById('shown').textContent") == "1\u201321 of 21 kept of 203"
        box = tab.ask(
            "(b => [b.x, b.y, b.width, b.height])(document.querySelector('.bars svg').getBoundingClientRect())"
        )
        y, right = box[1] + box[3] / 2, box[0] + box[2]
        tab.mouse((right - box[2] / 4, y), (right - 20, y), (right - 1, y))
        assert cases_shown(tab) == ["far"]
        assert tab.ask("document.querySelector('.bars .range').getAttribute('d')").startswith("M")
        assert tab.log == []
        assert tab.ask("performance.getEntriesByType('resource').length") == 0


@needs_chromium
def test_without_scripts_the_index_still_reads(tmp_path):
    (tmp_path / "index.html").write_text(report.render_index(Index(batch(200))), "utf-8")
    with browser() as tab:
        tab.open(tmp_path / "index.html", scripts=False)
        assert tab.ask("document.querySelector('form').hidden") is True
        text = tab.ask("document.body.innerText")
        assert "Scripts are off" in text
        assert "far" in text
