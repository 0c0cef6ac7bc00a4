"""Report and index in Chromium: they ask for nothing beside themselves, and axe-core finds no fault."""

import json

import pytest

from mediseg import report
from mediseg.report import Index, render_case
from tests.browser import looked_at
from tests.report import factory as make
from tests.report.test_index import batch

pytestmark = pytest.mark.conformance


def _look(tmp_path, html):
    page = tmp_path / "page.html"
    page.write_text(html, encoding="utf-8")
    seen = looked_at(page.as_uri())
    assert [one for one in seen["requests"] if not one.startswith((page.as_uri(), "data:"))] == []
    assert seen["complaints"] == []
    assert seen["passed"] > 10
    return seen["violations"]


def test_the_report(tmp_path):
    values = make.everything(make.SAGITTAL, yaw=6.0, shape=(54, 45, 42), spacing=(4.4, 4.4, 4.4))
    violations = _look(tmp_path, render_case(make.case(values), values))
    assert violations == [], json.dumps(violations, indent=1)


def test_the_index(tmp_path):
    violations = _look(tmp_path, report.render_index(Index(batch(12))))
    assert violations == [], json.dumps(violations, indent=1)
