"""A node among real peers: DCMTK sends, DCMTK receives, the node is killed (-9) meanwhile; what is lost, doubled, slow?

``python benchmarks/node_load.py --dir DIR --studies 50 --senders 4 --kills 20`` writes small studies, sends each with
``storescu`` until that says every object was answered with success, kills the node at random moments and starts it
again, waits until all is worked on and sent to ``storescp``, and prints figures as JSON. ``--studies 200 --kills 0``
shows the node's memory over time. Cut off, the same command goes on where it was: DIR holds everything.

``--recipe stub`` (default): the node's own receiver, queue, loop and sender around a work that takes 50 ms and gives a
DICOM object that names what it has seen; so the node is measured, not a recipe. ``--recipe bias``: ``mediseg node`` as
it is, every study in a process of its own. Needs DCMTK and the extra ``node``. Loopback only; stops by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

LOCAL = "127.0.0.1"
WORK_S = 0.05


@dataclass
class Trial:
    """A run: its folder, what is asked for, and what is known so far (kept in ``progress.json``)."""

    folder: Path
    studies: int
    senders: int
    kills: int
    slices: int
    recipe: str
    quiet_s: float
    most_s: float
    kill_within_s: float
    known: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None:
        """Take up an earlier run of the same folder."""
        path = self.folder / "progress.json"
        fresh = {"answered": {}, "kills": 0, "memory": [], "seconds": 0.0, "ports": [free_port(), free_port()]}
        self.known = json.loads(path.read_text()) if path.exists() else fresh

    def keep(self) -> None:
        """Write what is known, whole or not at all."""
        part = self.folder / "progress.part"
        part.write_text(json.dumps(self.known))
        part.replace(self.folder / "progress.json")


class Node:
    """The process that is measured and killed."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.process = trial, None
        self.port = trial.known["ports"][0]

    def start(self) -> None:
        if self.trial.recipe == "stub":
            command = [sys.executable, __file__, "--node", str(self.trial.folder), str(self.port)]
            command += [str(self.trial.known["ports"][1]), str(self.trial.quiet_s)]
        else:
            command = [sys.executable, "-m", "mediseg", "node", str(write_config(self.trial))]
        self.process = subprocess.Popen(command, stderr=(self.trial.folder / "node.log").open("a"))

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOCAL, self.port)) == 0

    def await_listening(self) -> None:
        while not self.trial.stop.is_set() and not self.listens():
            time.sleep(0.1)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def main() -> None:
    if sys.argv[1:2] == ["--node"]:
        stub_node(Path(sys.argv[2]), *(float(text) for text in sys.argv[3:6]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, required=True)
    for name, default in (("studies", 50), ("senders", 4), ("kills", 20), ("slices", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--recipe", choices=("stub", "bias"), default="stub")
    parser.add_argument(
        "--kill-within-s", type=float, default=4.0, help="how long a node lives at most, once it listens"
    )
    parser.add_argument("--quiet-s", type=float, default=5.0)
    parser.add_argument("--most-s", type=float, default=3600.0)
    options = parser.parse_args()
    options.dir.mkdir(parents=True, exist_ok=True)
    trial = Trial(options.dir.resolve(), options.studies, options.senders, options.kills, options.slices,
                  options.recipe, options.quiet_s, options.most_s, options.kill_within_s)  # fmt: skip
    print(json.dumps(run(trial), indent=2))


def run(trial: Trial) -> dict[str, Any]:
    """Run (or go on with) a trial and return its figures."""
    trial.load()
    with ExitStack() as kept:
        for port in trial.known["ports"]:
            kept.enter_context(keep(port))
        return among_peers(trial)


def among_peers(trial: Trial) -> dict[str, Any]:
    write_studies(trial)
    archive = start_archive(trial)
    node, began, before = Node(trial), time.monotonic(), trial.known["seconds"]
    node.start()
    node.await_listening()
    echoes = echo(node.port)
    todo = [n for n in range(trial.studies) if str(n) not in trial.known["answered"]]
    threads = [threading.Thread(target=send_studies, args=(trial, node, todo)) for _ in range(trial.senders)]
    threads += [threading.Thread(target=watch_memory, args=(trial, node))]
    for thread in threads:
        thread.start()
    try:
        while not trial.stop.is_set() and not is_done(trial):
            kill_now_and_then(trial, node)
            with trial.lock:
                trial.known["seconds"] = before + time.monotonic() - began
                trial.keep()
            if time.monotonic() - began > trial.most_s:
                break
    finally:
        trial.stop.set()
        for thread in threads:
            thread.join()
        node.kill()
        archive.terminate()
        archive.wait()
    return figures(trial) | {"echo": echoes}


def kill_now_and_then(trial: Trial, node: Node) -> None:
    """Wait; where there are kills left, kill the node at a random moment of its life and start it again."""
    if trial.known["kills"] >= trial.kills:
        time.sleep(4.0)
        return
    node.await_listening()
    time.sleep(random.uniform(0.0, trial.kill_within_s))
    node.kill()
    node.start()
    with trial.lock:
        trial.known["kills"] += 1


def write_studies(trial: Trial) -> None:
    """Write the studies: a ramp each, or for a true recipe a shaded ball."""
    import numpy as np

    from tests.heads import shaded_ball
    from tests.io.dicom_factory import ramp, sagittal, write_series

    for n in range(trial.studies):
        folder = trial.folder / "studies" / f"{n}"
        if folder.with_suffix(".whole").exists():
            continue
        is_stub = trial.recipe == "stub"
        array = ramp((16, 16, trial.slices)) if is_stub else shaded_ball(trial.slices).astype(np.int16)
        write_series(folder, array, sagittal(array.shape, (192 / trial.slices,) * 3), change=uids_of(n))
        folder.with_suffix(".whole").touch()


def uids_of(n: int) -> Any:
    from tests.io.dicom_factory import STUDY

    def change(k: int, dataset: Any) -> None:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{STUDY}.{n}", f"{STUDY}.{n}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{n}.1.{k + 1}"

    return change


def free_port() -> int:
    with socket.socket() as free:
        free.bind((LOCAL, 0))
        return int(free.getsockname()[1])


def keep(port: int) -> socket.socket:
    """Keep a port from whoever asks for any, while the node is killed; who names it may listen on it all the same."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((LOCAL, port))
    return keeper


def start_archive(trial: Trial) -> subprocess.Popen[bytes]:
    """DCMTK's storescp as the archive, a file an object."""
    (trial.folder / "archive").mkdir(exist_ok=True)
    command = [
        dcmtk("storescp"),
        "-aet",
        "PACS",
        "-pm",
        "-od",
        str(trial.folder / "archive"),
        str(trial.known["ports"][1]),
    ]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@lru_cache
def dcmtk(name: str) -> str:
    """The path of a program of DCMTK's: pynetdicom has some of the same name."""
    from tests.dcmtk import find

    path = find(name)
    if path is None:
        raise SystemExit(f"{name} of DCMTK is needed")
    return path


def echo(port: int) -> bool:
    return (
        subprocess.run(
            [dcmtk("echoscu"), "-aet", "SCANNER", "-aec", "MEDISEG", LOCAL, str(port)], check=False
        ).returncode
        == 0
    )


def send_studies(trial: Trial, node: Node, todo: list[int]) -> None:
    """One sender: takes a study, sends it with storescu until every object was answered with success."""
    while not trial.stop.is_set():
        with trial.lock:
            if not todo:
                return
            n = todo.pop(0)
        files = sorted(str(path) for path in (trial.folder / "studies" / f"{n}").iterdir())
        began, tries, answers = time.time(), 0, 0
        while not trial.stop.is_set():
            tries += 1
            command = [dcmtk("storescu"), "-v", "-to", "30", "-ta", "60", "-td", "60", "-aet", "SCANNER", "-aec",
                       "MEDISEG",
                       LOCAL, str(node.port)]  # fmt: skip
            sent = subprocess.run([*command, *files], check=False, capture_output=True, text=True)
            successes = (sent.stdout + sent.stderr).count("Received Store Response (Success)")
            answers += successes
            if sent.returncode == 0 and successes == len(files):
                break
            time.sleep(2.0)
        else:
            return
        with trial.lock:
            trial.known["answered"][str(n)] = {"from": began, "to": time.time(), "tries": tries, "answers": answers}


def watch_memory(trial: Trial, node: Node) -> None:
    """The node's resident memory beside the number of studies it has ended, every 5 s."""
    import psutil

    while not trial.stop.wait(5.0):
        try:
            resident_mb = psutil.Process(node.process.pid).memory_info().rss / 1e6
        except psutil.Error:
            continue
        ended = len(events(trial, "ended"))
        with trial.lock:
            trial.known["memory"].append([round(trial.known["seconds"], 1), ended, round(resident_mb, 1)])


def events(trial: Trial, name: str) -> list[dict[str, Any]]:
    path = trial.folder / "node" / "audit.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if f'"event": "{name}' in line and line.endswith("}")]


def runs_of(trial: Trial) -> dict[str, list[int]]:
    """Return for each work how many of its objects were there in each run that ended well."""
    begun, runs = dict[str, int](), dict[str, list[int]]()
    for one in events(trial, ""):
        if one["event"] == "begun":  # as the queue has them: a kill may come between the queue's note and the log's
            begun[one["work"]] = one["objects"]
        elif one["event"] == "ended" and one["state"] == "done":
            runs.setdefault(one["work"], []).append(begun[one["work"]])
    return runs


def is_done(trial: Trial) -> bool:
    """Everything answered, worked on, sent; and every kill done."""
    if len(trial.known["answered"]) < trial.studies or not (trial.folder / "node" / "queue.sqlite").exists():
        return False
    works, sendings = state_of(trial)
    has_ended = len(works) == trial.studies and all(w["state"] not in ("receiving", "queued", "running") for w in works)
    return has_ended and not sendings.get("waiting")


def state_of(trial: Trial) -> tuple[list[dict[str, Any]], dict[str, int]]:
    from mediseg.node.queue import Queue

    queue = Queue(trial.folder / "node")
    try:
        works = [{"key": w.key, "state": w.state, "objects": queue.objects(w.key)} for w in queue.works()]
        return works, queue.sendings()
    finally:
        queue.close()


def figures(trial: Trial) -> dict[str, Any]:
    """Return what there is to report."""
    from mediseg.node.receive import study_key
    from tests.io.dicom_factory import STUDY

    works, sendings = state_of(trial)
    ended = [one for one in events(trial, "ended") if one["state"] == "done"]
    runs, sent = runs_of(trial), Counter(one["file"] + one["work"] for one in events(trial, "sent"))
    answered = {study_key(f"{STUDY}.{n}"): one for n, one in trial.known["answered"].items()}
    done_at = {one["work"]: datetime.fromisoformat(one["time"]).timestamp() for one in ended}
    sent_at = {one["work"]: datetime.fromisoformat(one["time"]).timestamp() for one in events(trial, "sent")}
    archived = sorted((trial.folder / "archive").glob("*"))
    span = max(sent_at.values(), default=0.0) - min((one["from"] for one in answered.values()), default=0.0)
    return {
        "studies": trial.studies, "senders": trial.senders, "kills": trial.known["kills"], "recipe": trial.recipe,
        "studies_answered": len(answered), "works": len(works),
        "done": sum(w["state"] == "done" for w in works),
        "objects_missing": sum(trial.slices - w["objects"] for w in works),
        "works_done_twice": sum(len(seen) > len(set(seen)) for seen in runs.values()),
        "works_begun_again_as_more_came": sum(len(set(seen)) > 1 for seen in runs.values()),
        "results_in_archive": len(archived), "results_incomplete": incomplete(trial, archived),
        "results_sent_more_than_once": sum(n > 1 for n in sent.values()), "files": sendings,
        "sends_repeated_by_senders": sum(one["tries"] - 1 for one in answered.values()),
        "minutes": round(span / 60, 2), "studies_per_minute": round(60 * trial.studies / span, 1) if span > 0 else None,
        "answered_after_s": spread(one["to"] - one["from"] for one in answered.values()),
        "done_after_last_answer_s": spread(done_at[k] - one["to"] for k, one in answered.items() if k in done_at),
        "in_archive_after_last_answer_s": spread(sent_at[k] - one["to"] for k, one in answered.items() if k in sent_at),
        "quiet_s": trial.quiet_s, "memory_mb": memory(trial),
    }  # fmt: skip


def incomplete(trial: Trial, archived: list[Path]) -> int | None:
    """Return how many results were made from less than a whole study (the stub's objects say how much they saw)."""
    from pydicom import dcmread

    if trial.recipe != "stub":
        return None
    return sum(int(dcmread(path).InstanceNumber) != trial.slices for path in archived)


def spread(values: Any) -> dict[str, float] | None:
    import numpy as np

    found = list(values)
    if not found:
        return None
    low, middle, high, most = np.percentile(found, [5, 50, 95, 100])
    return {"p5": round(low, 2), "median": round(middle, 2), "p95": round(high, 2), "most": round(most, 2)}


def memory(trial: Trial) -> dict[str, Any]:
    """Return the resident memory when so many studies had ended, and the slope after the first tenth."""
    import numpy as np

    samples = np.array(trial.known["memory"] or [[0, 0, 0]], float)
    marks = {}
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        at = samples[samples[:, 1] >= share * trial.studies]
        if len(at):
            marks[int(share * trial.studies)] = float(at[0, 2])
    late = samples[samples[:, 1] >= 0.1 * trial.studies]
    slope = np.polyfit(late[:, 1], late[:, 2], 1)[0] * 100 if len(set(late[:, 1])) > 2 else float("nan")
    return {"at_studies": marks, "most": float(samples[:, 2].max()), "mb_per_100_studies": round(float(slope), 2)}


def write_config(trial: Trial) -> Path:
    port, archive = trial.known["ports"]
    path = trial.folder / "node.yaml"
    path.write_text(
        f"folder: node\nport: {port}\nstatus: {{port: 0}}\nquiet_seconds: {trial.quiet_s}\nfree_mb: 1\nthreads: 1\n"
        f"callers: [{{ae_title: SCANNER}}]\ndestinations: [{{ae_title: PACS, host: {LOCAL}, port: {archive}}}]\n"
        "rules: [{recipe: bias}]\nsettings: {correct_bias.levels: 1, correct_bias.iterations: 2}\n"
    )
    return path


# --- the node with a stub in the place of a recipe


def stub_node(folder: Path, port: float, archive: float, quiet_s: float) -> None:
    """Receiver, queue, loop, sender and status page as ``mediseg node`` has them, around ``stub_work``."""
    from mediseg.io.owner import Owner
    from mediseg.node.audit import Audit
    from mediseg.node.config import Caller, Destination, NodeConfig, Rule, StatusPage
    from mediseg.node.page import show
    from mediseg.node.queue import Queue
    from mediseg.node.receive import Receiver
    from mediseg.node.service import Service

    config = NodeConfig(
        folder / "node", (Rule("stub"),), port=int(port), callers=(Caller("SCANNER"),), free_mb=1,
        destinations=(Destination("PACS", LOCAL, int(archive)),), quiet_seconds=quiet_s, status=StatusPage(port=0),
    )  # fmt: skip
    owner = Owner(config.folder)
    queue, audit = Queue(config.folder), Audit(config.folder)
    receiver, service = Receiver(config, queue, audit), Service(config, queue, audit, stub_work)
    receiver.start()
    show(config, queue, audit, receiver.port)
    service.start()
    threading.Event().wait(7200)
    owner.release()


def stub_work(path: Path, out: Path, config: Any, stopped: Any) -> Any:
    """Give one object of the study whose InstanceNumber is how many images were there; its UID depends on the study."""
    from pydicom import dcmread

    from mediseg.node.job import Outcome

    files = sorted(path.glob("*.dcm"))
    time.sleep(WORK_S)
    if stopped():
        return Outcome("stopped")
    made = dcmread(files[0])
    made.SeriesInstanceUID = f"{made.StudyInstanceUID}.9"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{made.StudyInstanceUID}.9.1"
    made.InstanceNumber = len(files)
    target = out / "case" / "dicom"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    made.save_as(target / "stub.dcm", enforce_file_format=True)
    return Outcome("done", "", "stub", (target / "stub.dcm",))


if __name__ == "__main__":
    main()
