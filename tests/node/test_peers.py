"""The measured proof in small: DCMTK sends and receives, the node is killed meanwhile; nothing lost or doubled."""

import importlib.util
import sys
from pathlib import Path

import pytest

from tests import dcmtk

pytest.importorskip("pynetdicom")
pytest.importorskip("starlette")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "node_load.py"


@pytest.fixture
def node_load():
    spec = importlib.util.spec_from_file_location("node_load", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["node_load"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["node_load"]


@pytest.mark.conformance
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_senders_at_once_and_a_node_that_is_killed(tmp_path, node_load):
    dcmtk.needed("storescu", "storescp", "echoscu")
    trial = node_load.Trial(
        tmp_path, studies=6, senders=3, kills=3, slices=3, recipe="stub", quiet_s=1.0, most_s=600.0, kill_within_s=1.0
    )
    found = node_load.run(trial)
    assert found["echo"]
    assert (found["studies_answered"], found["works"], found["done"], found["kills"]) == (6, 6, 6, 3)
    assert (found["objects_missing"], found["works_done_twice"]) == (0, 0)
    assert (found["results_in_archive"], found["results_incomplete"]) == (6, 0)
    assert found["files"] == {"sent": 6}
