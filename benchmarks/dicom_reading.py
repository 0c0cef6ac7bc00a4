"""Planning 5,000 files and decoding 512 x 512 x 300, beside dcm2niix and dicom2nifti, in one run.

    python benchmarks/dicom_reading.py [--runs 3] [--work DIR] [--peers VENV] [--only plan | decode | parts]

Everything is made up: 20 series of 250 slices (256 x 256, with 60 kB of private header each, as Siemens writes), and
one of 300 slices, stored plain, as RLE, JPEG-LS and JPEG 2000. Commands take turns, each in a fresh process; times
are the medians of the runs (CPU time tells more on a busy machine), memory the largest. VENV is where
`pip install dcm2niix dicom2nifti` went. ``parts`` tells where the time of decoding goes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.io.dicom_factory import header, place, sagittal, save, set_pixels

SERIES, SLICES, MATRIX = 20, 250, 256
DEEP, WIDE = 300, 512
PRIVATE_BYTES = 60_000
SYNTAXES = {"plain": None, "RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
PLAN = "import sys; from mediseg.cli import main; sys.exit(main(['plan', 'corpus-callosum', sys.argv[1]]))"
READ = "import sys; from mediseg import load; print(load(sys.argv[1]).array.shape)"


def private(dataset: Dataset) -> None:
    """Add a vendor's private block, which readers have to step over."""
    dataset.private_block(0x0029, "MADE UP", create=True).add_new(0x10, "OB", b"\1" * PRIVATE_BYTES)


def make_study(folder: Path) -> None:
    """Write 20 series of one study, of which the first is fit as a head."""
    grid = sagittal((MATRIX, MATRIX, SLICES), (0.9, 0.9, 0.8))
    pixels = np.random.default_rng(0).integers(0, 900, (MATRIX, MATRIX)).astype(np.int16)
    for number in range(1, SERIES + 1):
        words = "t1 mprage" if number == 1 else f"made-up series {number}"
        dataset = header(number=number, series=f"1.2.826.0.1.3680043.10.543.7.8.{number}", description=words)
        private(dataset)
        set_pixels(dataset, pixels)
        for k in range(SLICES):
            place(dataset, grid, k)
            dataset.InstanceNumber = k + 1
            save(dataset, folder / f"s{number:02d}" / f"{(k * 7) % SLICES:04d}", f"{dataset.SeriesInstanceUID}.{k + 1}")


def make_series(folder: Path, syntax: str | None) -> None:
    """Write 300 slices of a smooth head with noise, compressed or plain."""
    grid = sagittal((WIDE, WIDE, DEEP), (0.5, 0.5, 0.6))
    axis = np.linspace(-1, 1, WIDE)
    disc = np.clip(1.2 - np.hypot(axis[:, None], axis[None, :]), 0, 1) * 900
    rng = np.random.default_rng(1)
    for k in range(DEEP):
        dataset = header(description="t1 mprage")
        private(dataset)
        place(dataset, grid, k)
        set_pixels(dataset, (disc + rng.normal(0, 12, disc.shape)).clip(0, 4095).astype(np.uint16))
        dataset.InstanceNumber = k + 1
        path = save(dataset, folder / f"{k:04d}", f"{dataset.SeriesInstanceUID}.{k + 1}")
        if syntax is not None:
            dataset.compress(syntax, generate_instance_uid=False)
            dataset.save_as(path, enforce_file_format=True)


def measured(command: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory in MB of a command; it must succeed (or refuse: 4)."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 4):
        raise SystemExit(f"failed ({process.returncode}): {' '.join(command)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


Figures = tuple[float, float, float]  # wall s, CPU s, MB


def turns(commands: dict[str, list[str]], runs: int, out: Path) -> dict[str, Figures]:
    """Run commands in turn; return the median times and the greatest memory of each."""
    results: dict[str, list[Figures]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            results[name].append(measured(command))
    return {
        name: (statistics.median(wall for wall, _, _ in all_), statistics.median(cpu for _, cpu, _ in all_),
               max(memory for _, _, memory in all_))
        for name, all_ in results.items()
    }  # fmt: skip


def table(title: str, results: dict[str, Figures]) -> None:
    first_wall, first_cpu, _ = next(iter(results.values()))
    print(f"\n{title} (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)\n")
    print("| | s | ratio | CPU s | ratio | peak MB |\n|---|---|---|---|---|---|")
    for name, (wall, cpu, memory) in results.items():
        ratios = f"{wall:.2f} | {wall / first_wall:.2f} | {cpu:.2f} | {cpu / first_cpu:.2f}"
        print(f"| {name} | {ratios} | {memory:.0f} |", flush=True)


def peers(venv: Path | None, source: Path, out: Path, *, headers_only: bool) -> dict[str, list[str]]:
    """Return what the peers do with a folder: dcm2niix its headers or all, dicom2nifti all (it knows nothing less)."""
    if venv is None:
        return {}
    niix = [str(venv / "bin" / "dcm2niix"), "-z", "n", "-f", "%s", "-o", str(out)]
    convert = "import sys, dicom2nifti; dicom2nifti.convert_directory(*sys.argv[1:], compression=False, reorient=False)"
    found = {"dcm2niix, headers only (-b o)": [*niix, "-b", "o", str(source)]} if headers_only else {}
    found["dcm2niix, all converted" if headers_only else "dcm2niix"] = [*niix, "-b", "n", str(source)]
    found["dicom2nifti"] = [str(venv / "bin" / "python"), "-W", "ignore", "-c", convert, str(source), str(out)]
    return found


def plan_beside_peers(work: Path, venv: Path | None, runs: int) -> None:
    source = work / "study"
    if not source.exists():
        make_study(source)
    commands = {"mediseg plan": [sys.executable, "-c", PLAN, str(source)]}
    commands |= peers(venv, source, work / "out", headers_only=True)
    table(f"a study of {SERIES * SLICES} files in {SERIES} series", turns(commands, runs, work / "out"))


def decode_beside_peers(work: Path, venv: Path | None, runs: int) -> None:
    for name, syntax in SYNTAXES.items():
        source = work / f"series-{name.replace(' ', '')}"
        if not source.exists():
            make_series(source, syntax)
        commands = {"mediseg.load": [sys.executable, "-c", READ, str(source)]}
        commands |= peers(venv, source, work / "out", headers_only=False)
        table(f"{WIDE} x {WIDE} x {DEEP}, {name}", turns(commands, runs, work / "out"))


def parts_of_decoding(work: Path) -> None:
    """Tell how long each part of reading takes, in this process, in s."""
    from mediseg.io import open_study
    from mediseg.io.dicom import read

    print(
        "\n| stored as | headers | files read and parsed | pixels decoded | all of read_stack |\n|---|---|---|---|---|"
    )
    for name, syntax in SYNTAXES.items():
        source = work / f"series-{name.replace(' ', '')}"
        if not source.exists():
            make_series(source, syntax)
        begin = time.perf_counter()
        stack = open_study(source).stacks[0]
        scanned = time.perf_counter()
        datasets = [read.open_dataset(path) for path in stack.files]
        parsed = time.perf_counter()
        for dataset in datasets:
            _ = dataset.pixel_array
        decoded = time.perf_counter()
        del datasets
        again = time.perf_counter()
        read.read_stack(stack)
        done = time.perf_counter()
        figures = (scanned - begin, parsed - scanned, decoded - parsed, done - again)
        print(f"| {name} | " + " | ".join(f"{seconds:.2f}" for seconds in figures) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where the made-up studies lie, or are made (about 2 GB)")
    parser.add_argument("--peers", type=Path, help="a virtual environment with dcm2niix and dicom2nifti")
    parser.add_argument("--only", choices=["plan", "decode", "parts"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = chosen.work or Path(folder)
        if chosen.only in (None, "plan"):
            plan_beside_peers(work, chosen.peers, chosen.runs)
        if chosen.only in (None, "decode"):
            decode_beside_peers(work, chosen.peers, chosen.runs)
        if chosen.only in (None, "parts"):
            parts_of_decoding(work)


if __name__ == "__main__":
    main()
