"""Fuzz the readers and the services: no crash, no hang, every refusal one line with a documented exit status.

    nice -n 15 python benchmarks/fuzz.py --minutes 60 --seed 1 --out findings [--real FOLDER] [--only NAME]

One child process does the work, input after input; each is made from (seed, number) alone, so that a finding is made
again with ``--first NUMBER --count 1``. The parent looks on: a child that dies is a crash, one that works on an input
for longer than a minute of processor time (or five of the clock) is a hang. What is found lies in OUT with a line in
OUT/findings.jsonl.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fuzzing import seeds as seed_files
from fuzzing import targets
from fuzzing.mutation import mutated

HANG_CPU_S, HANG_WALL_S = 60, 300


def child(given: argparse.Namespace) -> int:
    """Work through inputs until the time is up; say on ``now.json`` what is being worked on."""
    faulthandler.enable()
    work = given.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    stock = seed_files.make(given.out / "seeds", given.real)
    chosen = targets.all_targets(work, stock, set(given.only or ()))
    names = [name for name, target in chosen.items() for _ in range(target.share)]
    done, outcomes, number = Counter(), Counter(), given.first
    end = given.until
    while time.time() < end and (given.count == 0 or number < given.first + given.count):
        rng = random.Random(f"{given.seed}/{number}")
        name = rng.choice(names)
        target = chosen[name]
        seed = rng.choice(target.seeds)
        data = mutated(seed.data, rng, target.words, [other.data for other in target.seeds])
        (given.out / "input").write_bytes(data)
        (given.out / "now.json").write_text(json.dumps({"number": number, "target": name, "seed": seed.name}))
        try:
            outcomes[f"{name}: {target.run(seed, data)}"] += 1
        except BaseException as error:  # noqa: BLE001 - this is what is looked for
            found(given.out, number, name, seed.name, f"{type(error).__name__}: {error}")
            if isinstance(error, KeyboardInterrupt):
                return 1
        done[name] += 1
        number += 1
        if number % 50 == 0:
            state = {"next": number, "done": done, "outcomes": outcomes}
            (given.out / f"state-{given.first}.json").write_text(json.dumps(state))
    (given.out / f"state-{given.first}.json").write_text(
        json.dumps({"next": number, "done": done, "outcomes": outcomes})
    )
    for target in chosen.values():
        target.close()
    return 0


def found(out: Path, number: int, target: str, seed: str, what: str) -> None:
    """Keep an input that was answered as none may be."""
    shutil.copyfile(out / "input", out / f"{target}-{number}.bin")
    line = {"number": number, "target": target, "seed": seed, "what": what[:2000]}
    with (out / "findings.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    print(f"FOUND {target} {number} ({seed}): {what[:300]}", flush=True)


def watch(given: argparse.Namespace) -> int:
    """Start children until the time is up; a dead or stuck one is a finding, the next goes on behind it."""
    import psutil

    given.out.mkdir(parents=True, exist_ok=True)
    begin, first = time.time(), given.first
    until = begin + given.minutes * 60
    while time.time() < until - 1:
        again = [sys.executable, __file__, *sys.argv[1:], "--child", "--first", str(first), "--until", str(until)]
        process = subprocess.Popen(again)
        looked = psutil.Process(process.pid)
        last, since_wall, since_cpu, stuck = -1, time.time(), 0.0, False
        while process.poll() is None:
            time.sleep(1)
            number, spent = now(given.out), spent_s(looked)
            if number != last:
                last, since_wall, since_cpu = number, time.time(), spent
            if number >= 0 and (spent - since_cpu > HANG_CPU_S or time.time() - since_wall > HANG_WALL_S):
                stuck = True
                process.kill()
                process.wait()
        if process.returncode == 0:
            break
        state = json.loads((given.out / "now.json").read_text())
        found(
            given.out,
            state["number"],
            state["target"],
            state["seed"],
            "hang" if stuck else f"died {process.returncode}",
        )
        first = state["number"] + 1
        if given.count:
            break
    return report(given.out, time.time() - begin)


def now(out: Path) -> int:
    try:
        return int(json.loads((out / "now.json").read_text())["number"])
    except (OSError, ValueError):
        return -1


def spent_s(process: object) -> float:
    import psutil

    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def report(out: Path, seconds: float) -> int:
    done, outcomes = Counter(), Counter()
    for path in out.glob("state-*.json"):
        state = json.loads(path.read_text())
        done.update(state["done"])
        outcomes.update(state["outcomes"])
    log = out / "findings.jsonl"
    findings = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    print(f"{sum(done.values())} inputs in {seconds / 60:.1f} min: {dict(done)}")
    for name, count in sorted(outcomes.items()):
        print(f"  {count:7d} {name}")
    died = sum(one["what"].startswith("died") for one in findings)
    hung = sum(one["what"] == "hang" for one in findings)
    print(f"crashes {died}, hangs {hung}, wrong answers {len(findings) - died - hung}")
    return 1 if findings else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--out", type=Path, default=Path("findings"))
    parser.add_argument("--real", type=Path, help="Folder of real files to be spoilt, too (zips of DICOM).")
    parser.add_argument("--only", action="append", help="Only this target; may be given again.")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--child", action="store_true")
    parser.add_argument("--until", type=float)
    given = parser.parse_args()
    return child(given) if given.child else watch(given)


if __name__ == "__main__":
    sys.exit(main())
