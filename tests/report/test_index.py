import csv
import io

import pytest

from mediseg.errors import Code, Warn
from mediseg.report import index_csv, render_index
from mediseg.report.index import COLUMNS
from tests.report import factory as make
from tests.report.test_html import HOSTILE, Page

WARN = (Warn(Code.LOW_CONFIDENCE, "low"),)


def plain(name, **more):
    return make.case({}, name=name, **({"warnings": (), "score": 0.9} | more))


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
    assert page.all("script") == []
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
