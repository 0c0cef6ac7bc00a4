"""The index page of a batch with many cases: its making, its size, and how long a browser takes to show it.

    python benchmarks/index_page.py [--cases 10000] [--pictures DIR]

Values are drawn at random about those of a real callosum (38 measurements a case), with a few outliers, refusals and
failures. Times in the browser are headless Chromium's own: from the start of the navigation to the load event, and
then how long sorting, filtering and turning a page take until the next frame is drawn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mediseg.report import index_csv, render_index
from mediseg.report.index import ANGLE, CONFIDENCE, QUALITY, SECONDS, Index, IndexRow, Quantity
from tests.report.browser import browser

AREAS = [("witelson", ("anterior_third", "anterior_midbody", "posterior_midbody", "isthmus", "splenium"))]
AREAS += [(kind, ("I", "II", "III", "IV", "V")) for kind in ("hofer_frahm", "medial", "vertical")]
AREAS += [("angular", ("1", "2", "3", "4", "5"))]
WHOLE = {
    ("brain_volume", "ml"): (1350, 130), ("area", "mm2"): (620, 90), ("perimeter", "mm"): (205, 14),
    ("circularity", "1"): (0.19, 0.02), ("length", "mm"): (72, 4.5), ("cc_index", "1"): (0.38, 0.04),
    ("medial_line_length", "mm"): (95, 6), ("thickness_mean", "mm"): (5.8, 0.8), ("thickness_min", "mm"): (2.9, 0.6),
    ("thickness_max", "mm"): (10.5, 1.4), ("curvature_mean", "/mm"): (0.054, 0.006),
    ("curvature_body", "/mm"): (0.033, 0.005),
}  # fmt: skip
MIDDLES = {Quantity(*key): value for key, value in WHOLE.items()}
MIDDLES |= {Quantity(f"area_{kind}_{part}", "mm2"): (125, 22) for kind, parts in AREAS for part in parts}
WAITED = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begin))))"
)
ACTIONS = {
    "sort by name": "document.querySelector('[data-key=case] button').click()",
    "sort by area": "document.querySelectorAll('.cases thead button')[4].click()",
    "next page": "document.querySelector('[data-go=on]').click()",
    "find a name": "const f = document.getElementById('find'); f.value = '0777';"
    " f.dispatchEvent(new Event('input', {bubbles: true}))",
    "clear the filters": "document.querySelector('form button[type=reset]').click()",
    "keep a range of one measurement": "const q = document.getElementById('quantity'); q.value = '7';"
    " document.getElementById('from').value = '7'; q.dispatchEvent(new Event('input', {bubbles: true}))",
}  # fmt: skip


def made_up(count: int) -> list[IndexRow]:
    """Return a made-up batch: one case in fifty refused, one in two hundred failed, one in a hundred far out."""
    rng = np.random.default_rng(7)
    rows = []
    for n in range(count):
        kind = rng.random()
        status = "failed" if kind < 0.005 else "refused" if kind < 0.025 else "done"
        reason = {
            "failed": "its worker process was killed twice",
            "refused": "no corpus callosum was found in it",
            "done": "",
        }
        values = {}
        if status == "done":
            values = {q: float(rng.normal(*about)) for q, about in MIDDLES.items()}
            if rng.random() < 0.01:
                far = list(MIDDLES)[rng.integers(len(MIDDLES))]
                values[far] = MIDDLES[far][0] + float(rng.choice((-1, 1)) * rng.uniform(5, 12) * MIDDLES[far][1])
            confidence = float(1 - rng.beta(2, 12))
            values |= {ANGLE: float(rng.normal(-2, 7)), CONFIDENCE: confidence, QUALITY: confidence}
        values[SECONDS] = float(rng.gamma(20, 1.4))
        warned = tuple(
            code for code, share in (("LOW_RESOLUTION", 0.08), ("SERIES_SKIPPED", 0.3)) if rng.random() < share
        )
        rows.append(
            IndexRow(
                f"sub-{n:05d}_T1w", status, reason[status], True, warned, warned, "robust", (0.0, 4.0, 8.0),
                "corpus-callosum", "0.1.0", "SIEMENS", "tfl3d1", values,
            )
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    rows = made_up(given.cases)
    begin = time.perf_counter()
    index = Index(rows)
    page, table = render_index(index), index_csv(index)
    sizes = f"index.html {len(page.encode()) / 1e6:.2f} MB, index.csv {len(table.encode()) / 1e6:.2f} MB"
    print(f"{given.cases} cases, {len(MIDDLES) + 4} histograms: made in {time.perf_counter() - begin:.1f} s; {sizes}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.html"
        path.write_text(page, encoding="utf-8")
        loads = []
        for _ in range(5):
            with browser(1280, 1500) as tab:
                tab.open(path)
                timing = tab.ask(
                    "(t => t.loadEventEnd || performance.now())(performance.getEntriesByType('navigation')[0])"
                )
                loads.append(timing)
                requests = tab.ask("performance.getEntriesByType('resource').length")
                assert (tab.log, requests) == ([], 0), (tab.log, requests)
        print(f"load in Chromium: median {statistics.median(loads):.0f} ms, worst {max(loads):.0f} ms (5 browsers)")
        with browser(1280, 1500) as tab:
            tab.open(path)
            if given.pictures:
                given.pictures.mkdir(parents=True, exist_ok=True)
                tab.picture(given.pictures / f"index-{given.cases}.png")
            for name, action in ACTIONS.items():
                timed = f"{{const begin = performance.now(); {action}; {WAITED}}}"
                answer = tab.call("Runtime.evaluate", expression=timed, returnByValue=True, awaitPromise=True)
                spent = answer["result"]["value"]
                print(f"{name}: {spent:.0f} ms; {tab.ask('document.getElementById(`shown`).textContent')}")
            if given.pictures:
                tab.picture(given.pictures / f"index-{given.cases}-filtered.png")


if __name__ == "__main__":
    main()
