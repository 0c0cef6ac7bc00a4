"""The service through its own door: who may ask, what is taken, what is given out."""

import time

import numpy as np
import pytest

from mediseg.errors import OutputError
from mediseg.web import token_in
from tests.heads import shaded_ball, write_nifti

pytest.importorskip("starlette")
pytest.importorskip("httpx")
from mediseg.serve.app import Service
from mediseg.serve.jobs import Job, Jobs
from tests.asgi import Client

TOKEN = "a-token-that-is-long-enough"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOST = "http://127.0.0.1"


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "s", TOKEN, max_mb=1, threads=1)
    yield made
    made.jobs.close()


@pytest.fixture
def client(service):
    return Client(service.app(), HOST)


def _ended(client, key):
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        case = client.get(f"/v1/cases/{key}", headers=BEARER).json()
        if case["state"] not in ("waiting", "running"):
            return case
        time.sleep(0.05)
    raise AssertionError(case)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Cookie": f"mediseg={TOKEN}"}],
)
@pytest.mark.parametrize("path", ["/v1/cases", "/v1/recipes", "/openapi.json", "/v1/cases/x/files/y"])
def test_nothing_without_the_token_in_the_header(client, path, headers):
    answer = client.get(path, headers=headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error"}


def test_another_host_name_is_refused(service):
    client = Client(service.app(), "http://evil.example")
    assert client.get("/v1/recipes", headers=BEARER).status_code == 400


def test_a_case_is_submitted_run_and_fetched(client, tmp_path):
    path = write_nifti(tmp_path / "ball.nii.gz", shaded_ball(24).astype(np.float32), 8.0)
    answer = client.post("/v1/cases?recipe=bias&suffix=.nii.gz", headers=BEARER, content=path.read_bytes())
    assert answer.status_code == 202
    case = _ended(client, answer.json()["id"])
    assert (case["state"], case["reason"]) == ("done", "")
    assert "report.json" in case["outputs"]
    report = client.get(f"/v1/cases/{case['id']}/files/report.json", headers=BEARER)
    assert report.json()["status"] == "done"
    assert report.headers["X-Content-Type-Options"] == "nosniff"
    for sly in ("../../token", "..%2f..%2ftoken", "/etc/passwd", "report.json/../x", "error.txt"):
        assert client.get(f"/v1/cases/{case['id']}/files/{sly}", headers=BEARER).status_code == 404
    assert [one["id"] for one in client.get("/v1/cases", headers=BEARER).json()] == [case["id"]]


def test_what_is_no_image_fails_with_its_reason(client):
    answer = client.post("/v1/cases?recipe=bias", headers=BEARER, content=b"hello")
    case = _ended(client, answer.json()["id"])
    assert case["state"] == "failed"
    assert "no image that mediseg reads" in case["reason"]


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("recipe=nothing", b"x", 400),
        ("", b"x", 400),
        ("recipe=../../etc/passwd", b"x", 400),
        ("recipe=bias&suffix=.exe", b"x", 400),
        ("recipe=bias", b"", 400),
        ("recipe=bias", b"x" * 1_000_001, 413),
    ],
)
def test_what_is_not_taken_leaves_nothing_behind(client, service, query, body, code):
    answer = client.post(f"/v1/cases?{query}", headers=BEARER, content=body)
    assert answer.status_code == code
    assert answer.json()["error"].count("\n") == 0
    assert not service.folder.exists() or list(service.folder.iterdir()) == []
    assert client.get("/v1/cases", headers=BEARER).json() == []


def test_no_room_for_a_new_case_is_one_line(client, service, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.mkdir", full)
    answer = client.post("/v1/cases?recipe=bias", headers=BEARER, content=b"x")
    assert (answer.status_code, answer.json()["error"][:27]) == (507, "the input cannot be written")


def test_a_waiting_case_is_cancelled_at_once(tmp_path):
    jobs = Jobs(tmp_path, 1)
    job = Job("case-1", "bias", tmp_path / "x", tmp_path / "out")
    jobs.cancel(job)
    jobs.begin(job)
    jobs.close()
    assert job.state == "cancelled"
    assert not (tmp_path / "out").exists()


def test_who_sees_that_a_case_has_failed_sees_why(tmp_path):
    seen = []

    class Watched(Job):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if (name, value) == ("state", "failed"):
                seen.append(self.reason)

    jobs = Jobs(tmp_path, 1)
    jobs.begin(Watched("case-1", "bias", tmp_path / "none.zip", tmp_path / "out"))
    while not seen:
        time.sleep(0.01)
    jobs.close()
    assert len(seen) == 1
    assert "does not exist" in seen[0]


def test_the_list_survives_the_end_of_the_service(tmp_path):
    first = Jobs(tmp_path, 1)
    ended, waiting = first.new("bias", ".zip"), first.new("bias", ".nii.gz")
    ended.source.write_bytes(b"hello")
    write_nifti(waiting.source, shaded_ball(24).astype(np.float32), 8.0)
    first.begin(ended)
    deadline = time.monotonic() + 600
    while ended.state in ("waiting", "running") and time.monotonic() < deadline:
        time.sleep(0.02)
    waiting.keep()  # killed before it was taken up
    first.close()
    cut_off = first.new("bias", ".zip")  # killed while its input came
    damaged = tmp_path / "case-0123456789abcdef"
    damaged.mkdir()
    (damaged / "job.json").write_text("{")
    second = Jobs(tmp_path, 1)
    assert {job.id for job in second.all()} == {ended.id, waiting.id, damaged.name}
    assert second.get(ended.id).to_dict() == ended.to_dict()
    assert second.get(damaged.name).reason == "what was known of it cannot be read"
    assert not cut_off.source.parents[1].exists()
    while second.get(waiting.id).state in ("waiting", "running") and time.monotonic() < deadline:
        time.sleep(0.02)
    second.close()
    assert second.get(waiting.id).state == "done"
    third = Jobs(tmp_path, 1)
    third.close()
    assert "report.json" in third.get(waiting.id).outputs
    assert third.get(waiting.id).file("report.json").is_file()


def test_what_the_services_end_cuts_off_is_begun_again(tmp_path, monkeypatch):
    from mediseg.errors import Cancelled
    from mediseg.serve import jobs as module

    begun = []

    def run(recipe, source, out, *, options, progress, cancel):
        begun.append(source)
        while not cancel():
            time.sleep(0.01)
        raise Cancelled("cut off")

    monkeypatch.setattr(module, "run", run)
    first = Jobs(tmp_path, 1)
    job = first.new("bias", ".zip")
    job.source.write_bytes(b"x")
    first.begin(job)
    while not begun:
        time.sleep(0.01)
    first.close()
    second = Jobs(tmp_path, 1)
    while len(begun) < 2:
        time.sleep(0.01)
    second.cancel(second.get(job.id))  # by its user, this time
    while second.get(job.id).state != "cancelled":
        time.sleep(0.01)
    second.close()
    third = Jobs(tmp_path, 1)
    third.close()
    assert third.get(job.id).state == "cancelled"
    assert len(begun) == 2


def test_a_case_that_is_not_there(client):
    assert client.delete("/v1/cases/none", headers=BEARER).status_code == 404
    assert client.get("/v1/cases/none", headers=BEARER).json() == {"error": "there is no such case"}


def test_who_asks_by_another_method_is_told_which_there_are(client):
    answer = client.request("OPTIONS", "/v1/cases", headers=BEARER)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert set(answer.json()) == {"error"}
    allowed = client.request("PATCH", "/v1/cases/x", headers=BEARER).headers["Allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "DELETE"}
    assert client.request("HEAD", "/v1/cases", headers=BEARER).status_code == 200


@pytest.mark.parametrize("query", ["x=1", "recipe=bias&recipe=brain", "recipe=bias&sufix=.zip"])
def test_unknown_and_doubled_parameters_are_refused(client, query):
    answer = client.post(f"/v1/cases?{query}", headers=BEARER, content=b"x")
    assert (answer.status_code, answer.json()) == (400, {"error": "parameters are recipe, suffix, each once"})
    assert client.get("/v1/cases?x=1", headers=BEARER).status_code == 400


def test_every_call_is_described(client, service):
    described = client.get("/openapi.json", headers=BEARER).json()
    routes = {route.path.replace(":path", "") for route in service.app().routes} - {"/", "/openapi.json"}
    assert set(described["paths"]) == routes
    assert described["security"] == [{"bearer": []}]


def test_the_page_wants_the_token_once_and_runs_no_script(client, service):
    service.jobs._jobs["x"] = Job("x", "bias", service.folder, service.folder, "failed", "<script>alert(1)</script>")
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    answer = client.get(f"/?token={TOKEN}")
    assert answer.status_code == 303
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]
    service.jobs._jobs["y"] = Job("y", "bias", service.folder, service.folder, "running", stage="read", done=0, total=3)
    service.jobs._jobs["z"] = Job("z", "bias", service.folder, service.folder, "done", stage="write", done=2, total=3)
    page = client.get("/")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "0 of 3 read" in page.text
    assert "2 of 3" not in page.text  # what is done is not on its way
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_the_token_is_made_once_and_is_the_owners(tmp_path):
    token = token_in(tmp_path / "s")
    assert len(token) >= 40
    assert token_in(tmp_path / "s") == token
    assert (tmp_path / "s" / "token").stat().st_mode & 0o077 == 0
    (tmp_path / "s" / "token").write_text("short")
    with pytest.raises(OutputError, match="too short to be a secret"):
        token_in(tmp_path / "s")
