"""Where real scans are, and what was skipped: a skip needs a reason from the list, or the run fails in CI."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("MEDISEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

with suppress(ImportError):  # only a few files need it
    from hypothesis import HealthCheck, settings

    # a machine that is busy elsewhere for a while makes no example wrong
    settings.register_profile("mediseg", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("mediseg")

_ALLOWED_SKIPS = re.compile(
    r"MEDISEG_TEST_DATA|dciodvfy|DCMTK|dcmtk|dcmqi|Orthanc|npm's |Mono|chromium|needs POSIX|"
    r"could not import '(torch|monai|onnx|packaging.*|"
    r"pynetdicom|starlette|httpx|fpdf|trustme|tree_sitter.*|cyclonedx.*|distributed)'"
)
_unexplained: list[str] = []


@pytest.fixture
def shared_data() -> Path:
    """The folder of real scans; the test skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no real scans at {SHARED} (MEDISEG_TEST_DATA)")
    return SHARED


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _note(str(report.longrepr), report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _note(str(report.longrepr), report.nodeid)


def _note(reason: str, where: str) -> None:
    if not _ALLOWED_SKIPS.search(reason):
        _unexplained.append(f"{where}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _unexplained and os.environ.get("CI") and exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter) -> None:
    for line in _unexplained:
        terminalreporter.write_line(f"skipped without a reason on the list: {line}", red=True)
