"""A Dask cluster of real processes: the same files as without one, and workers that die."""

import hashlib
import json
import shutil
import sys

import pytest

from mediseg.batch import run_batch
from mediseg.casefile import RunOptions
from mediseg.cli import main
from mediseg.cluster import _must_be_same, _on_worker, _Orders, on_scheduler
from mediseg.errors import Exit, UsageError
from mediseg.io.cases import find_cases
from mediseg.recipe import load_recipe
from tests.dask_cluster import cluster
from tests.heads import shaded_ball, write_nifti
from tests.ports import kept_port
from tests.test_workers import Killer

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by SIGKILL here")
CHEAP = {"correct_bias.levels": 1, "correct_bias.iterations": 3}
QUICK = [text for key, value in CHEAP.items() for text in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def folder(tmp_path):
    for name in "abcd":
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(seed=ord(name)))
    (tmp_path / "in" / "broken.nii.gz").write_bytes(b"\x1f\x8b not really")
    return tmp_path / "in"


def digests(out):
    """Every file of a run, apart from what holds times: reports and the index."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("report.json", "report.html", "index.html", "index.csv")
    }


def timeless(out):
    """The reports without what every run has anew: times, memory and the digest of the page that shows them."""
    reports = {}
    for path in sorted(out.glob("*/report.json")):
        report = json.loads(path.read_text())
        for step in report["steps"]:
            step["seconds"] = step["peak_mb"] = None
        report["outputs"] = [one for one in report["outputs"] if one["path"] != "report.html"]
        reports[path.parent.name] = report
    return reports


def run(folder, out, *more):
    return main(["run", "bias", str(folder), "--out", str(out), *QUICK, *more])


def test_the_same_files_the_same_status_and_the_same_resume(folder, tmp_path, address, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    on_dask = ["--executor", "dask", "--scheduler", address]
    assert run("in", "local") == Exit.SOME_FAILED
    alone = capsys.readouterr().err
    assert run("in", "dask", *on_dask) == Exit.SOME_FAILED
    told = capsys.readouterr().err
    assert digests(tmp_path / "dask") == digests(tmp_path / "local")
    assert len(digests(tmp_path / "dask")) > 4
    assert timeless(tmp_path / "dask") == timeless(tmp_path / "local")
    assert list((tmp_path / "dask").glob(".mediseg*")) == []
    assert "(2/3)" in told  # progress comes from the workers
    last = alone.splitlines()[-1].split(";")[0]
    assert (last, told.splitlines()[-1].split(";")[0]) == ("4 done, 1 failed",) * 2
    assert run("in", "dask", *on_dask) == Exit.SOME_FAILED
    assert capsys.readouterr().err.count("done (already)") == 4
    before = digests(tmp_path / "dask")
    assert run("in", "dask") == Exit.SOME_FAILED  # what a cluster has done, a single machine goes on with
    assert capsys.readouterr().err.count("done (already)") == 4
    assert digests(tmp_path / "dask") == before


def test_a_bids_tree_is_the_same(folder, tmp_path, address):
    for name in "ab":
        (folder / f"{name}.nii.gz").rename(folder / f"sub-{name}_T1w.nii.gz")
    bids = ["--layout", "bids", "--quiet"]
    assert run(folder, tmp_path / "local", *bids) == Exit.SOME_FAILED
    assert run(folder, tmp_path / "dask", *bids, "--executor", "dask", "--scheduler", address) == Exit.SOME_FAILED
    assert digests(tmp_path / "dask") == digests(tmp_path / "local")
    made = {path.name for path in (tmp_path / "dask").glob("sub-*/anat/*.nii.gz")}
    assert made == {f"sub-{name}_desc-biascorrected_T1w.nii.gz" for name in "ab"}


def batch(items, out, address):
    return run_batch(load_recipe("bias", CHEAP), items, out, RunOptions(), executor=on_scheduler(address))


def test_a_worker_that_is_killed_in_the_middle_of_a_case(folder, tmp_path, address):
    items = list(find_cases([folder]))
    (tmp_path / "killed").mkdir()
    items[1] = OnWorker(items[1], tmp_path / "killed", 1)
    result = batch(items, tmp_path / "out", address)
    assert {case.name: case.status for case in result.cases if case.name != "broken"} == dict.fromkeys("abcd", "done")
    assert len(list((tmp_path / "killed").iterdir())) == 1


def test_a_case_that_kills_its_workers_is_set_aside(folder, tmp_path, address):
    items = list(find_cases([folder]))
    (tmp_path / "killed").mkdir()
    items[1] = OnWorker(items[1], tmp_path / "killed", 99)
    result = batch(items, tmp_path / "out", address)
    states = {case.name: case.status for case in result.cases if case.name != "broken"}
    reasons = [case.reason for case in result.cases]
    assert states == {"a": "done", "b": "failed", "c": "done", "d": "done"}, reasons
    assert "ended its worker twice" in result.cases[1].reason
    assert len(list((tmp_path / "killed").iterdir())) == 2
    assert result.exit_code == Exit.SOME_FAILED
    assert list((tmp_path / "out").glob(".mediseg*")) == []


def test_a_case_whose_outcome_is_lost_with_its_worker_is_no_killer(folder, tmp_path):
    items = find_cases([folder])
    (tmp_path / "out" / "marks").mkdir(parents=True)
    recipe = load_recipe("bias", CHEAP)
    same = _must_be_same(recipe)
    for resume in (False, True):
        orders = _Orders(recipe, tmp_path / "out", RunOptions(resume=resume), tmp_path / "out" / "marks", same, "")
        asked = [_on_worker(orders, items[0]) for _ in range(4)]  # the next case ended the worker, thrice
        assert [(case.status, case.resumed) for case in asked] == [("done", False)] * 4
        written = (tmp_path / "out" / "a" / "report.json").stat().st_mtime_ns
        assert items[2].name == "broken"
        assert [_on_worker(orders, items[2]).status for _ in range(4)] == ["failed"] * 4
        assert written == (tmp_path / "out" / "a" / "report.json").stat().st_mtime_ns
    shutil.rmtree(orders.marks)
    orders.marks.mkdir()  # another run, that has nothing to do
    assert [_on_worker(orders, items[0]).resumed for _ in range(4)] == [True] * 4


class OnWorker(Killer):
    """Kills its worker's process; has what ``replace`` makes of a case's paths."""

    def read(self, wanted):
        assert "distributed" in sys.modules
        return super().read(wanted)


def test_models_are_loaded_once_a_worker(address, tmp_path):
    from distributed import Client

    ball = write_nifti(tmp_path / "in" / "a.nii.gz", shaded_ball())
    write_nifti(tmp_path / "in" / "b.nii.gz", shaded_ball(seed=3))
    recipe = load_recipe("brain")
    items = find_cases([ball.parent])
    run_batch(recipe, items, tmp_path / "out", RunOptions(threads=1), executor=on_scheduler(address))
    run_batch(recipe, items, tmp_path / "again", RunOptions(threads=1), executor=on_scheduler(address))
    with Client(address, set_as_default=False) as client:
        loads = client.run(sessions_made)
    assert sum(hits for hits, _ in loads.values()) > 0
    assert all(misses <= 2 for _, misses in loads.values())  # the network and its companion at most


def sessions_made():
    from mediseg.inference import _session

    found = _session.cache_info()
    return found.hits, found.misses


def test_an_interrupt_stops_the_cases_that_run(folder, tmp_path, address):
    def interrupt(case):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(
            load_recipe("bias", CHEAP), find_cases([folder]), tmp_path / "out", RunOptions(),
            executor=on_scheduler(address), finished=interrupt,
        )  # fmt: skip
    assert list((tmp_path / "out").glob(".mediseg-run*")) == []
    assert (tmp_path / "out" / "index.csv").is_file()
    assert run(folder, tmp_path / "out", "--executor", "dask", "--scheduler", address) == Exit.SOME_FAILED


def test_workers_with_another_mediseg_are_refused(folder, tmp_path, address, monkeypatch):
    monkeypatch.setattr("mediseg.cluster.version", lambda: "0.0.9")
    with pytest.raises(UsageError, match="has another mediseg or other models"):
        batch(find_cases([folder]), tmp_path / "out", address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "dask"], "needs --scheduler"),
        (["--scheduler", "tcp://127.0.0.1:1"], "is for --executor dask"),
        (["--executor", "dask", "--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "--workers counts processes"),
        (["--executor", "dask", "--scheduler", "nonsense://"], "no Dask scheduler answers at nonsense://"),
    ],
)
def test_options_that_do_not_fit(folder, tmp_path, capsys, options, message):
    assert run(folder, tmp_path / "out", *options) == Exit.USAGE
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_nobody_there(folder, tmp_path):
    with kept_port() as port, pytest.raises(UsageError, match="no Dask scheduler answers"):
        run_batch(
            load_recipe("bias", CHEAP), find_cases([folder]), tmp_path / "out", RunOptions(),
            executor=on_scheduler(f"tcp://127.0.0.1:{port}", patience_s=1),
        )  # fmt: skip
