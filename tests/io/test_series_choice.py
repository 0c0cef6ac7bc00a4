"""Which series of a study of ten each kind of recipe takes, and what it says of the others: docs/series-choice.md."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mediseg.geometry import Geometry
from mediseg.io.select import Choice, choose, sorted_out
from mediseg.io.study import Series, SeriesInfo, Slice, Stack, Study

PAGE = Path(__file__).parents[2] / "docs" / "series-choice.md"
PLANES = {
    "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "axial": np.eye(3),
}
ORIGINAL = ("ORIGINAL", "PRIMARY", "M", "ND")


def stack(number, words, plane, shape, spacing, *, image_type=ORIGINAL, label="", modality="MR", **facts) -> Stack:
    info = SeriesInfo("1.2", f"1.2.{number}", number, words, modality, "1.2.840.10008.5.1.4.1.1.4")
    grid = Geometry.from_axes(shape, PLANES[plane], spacing, center_lps_mm=(0, 0, 0), frame_of_reference="1.3")
    slices = tuple(Slice(Path(f"{number}-{k}"), f"1.2.{number}.{label}.{k}", 0, k, None) for k in range(shape[2]))
    return Stack(info, slices, grid, image_type, label, facts=facts)


def of(*stacks: Stack) -> Series:
    return Series(stacks[0].info, stacks, 1)


def study_of_ten() -> Study:
    """What a hospital sends: planning scans, thick and thin images, copies, maps, a time series, a screenshot."""
    locs = [stack(1, "localizer", plane, (256, 256, 3), (1, 1, 20), label=plane) for plane in ("axial", "sagittal")]
    fine, size = (1.0, 1.0, 1.0), (240, 256, 176)
    norm = ("ORIGINAL", "PRIMARY", "M", "NORM")
    bold = [stack(8, "ep2d bold", "axial", (64, 64, 36), (3.3, 3.3, 3.6), label=f"part {n}") for n in range(1, 6)]
    adc = ("DERIVED", "PRIMARY", "DIFFUSION", "ADC")
    picture = SeriesInfo("1.2", "1.2.10", 10, "screenshot", "OT", "1.2.840.10008.5.1.4.1.1.7")
    return Study(
        Path("study"),
        (
            of(*locs),
            of(stack(2, "t1 tse sag", "sagittal", (320, 320, 25), (0.7, 0.7, 5.5))),
            of(stack(3, "t2 tse tra", "axial", (448, 448, 28), (0.5, 0.5, 5.0))),
            of(stack(4, "t2 space dark-fluid", "sagittal", size, fine)),
            of(stack(5, "t1 mprage", "sagittal", size, fine)),
            of(stack(6, "t1 mprage", "sagittal", size, fine, image_type=norm)),
            of(stack(7, "t1 mprage tra", "axial", (256, 240, 176), fine, image_type=("DERIVED", "SECONDARY", "MPR"))),
            of(*bold),
            of(stack(9, "ep2d diff ADC", "axial", (192, 192, 28), (1.2, 1.2, 5.0), image_type=adc)),
            Series(picture, (), 1, "it is a secondary capture (a screenshot or a scanned picture)"),
        ),
    )


def without(study: Study, gone: set[int]) -> Study:
    return replace(study, series=tuple(one for one in study.series if one.info.number not in gone))


def order_of(study: Study, wanted: str) -> list[tuple[str, str]]:
    """Return the series in the order in which they are taken when those before are missing; then those never taken."""
    rows: list[tuple[str, str]] = []
    gone: set[int] = set()
    says: dict[str, str] = {}
    while sorted_out(without(study, gone), wanted)[0]:
        choice = choose(without(study, gone), wanted)
        taken = choice.stack
        rows.append((taken.name, says[taken.name].split(": ", 1)[1] if says else "taken"))
        says = {item.name: why for item, why in choice.rejected}
        gone.add(taken.info.number)
    return [*rows, *Choice((), "", tuple(sorted_out(study, wanted)[1])).left_out]


def tables() -> dict[str, list[tuple[str, str]]]:
    """The tables of the page, by the input they are for."""
    found: dict[str, list[tuple[str, str]]] = {}
    for title, body in re.findall(r"^### `input: (\w+)`\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.M | re.S):
        rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("| ")]
        found[title] = [(row[1], row[2]) for row in rows[1:]]
    return found


@pytest.mark.parametrize("wanted", ["head", "slice"])
def test_the_table_of_the_page(wanted):
    assert order_of(study_of_ten(), wanted) == tables()[wanted]


@pytest.mark.parametrize("wanted", ["head", "slice"])
def test_the_order_of_series_and_stacks_changes_nothing(wanted):
    plain = choose(study_of_ten(), wanted)
    for seed in range(20):
        rng = random.Random(seed)
        study = study_of_ten()
        series = [replace(one, stacks=tuple(rng.sample(one.stacks, len(one.stacks)))) for one in study.series]
        rng.shuffle(series)
        other = choose(replace(study, series=tuple(series)), wanted)
        assert other.stack == plain.stack
        assert other.reason == plain.reason
        assert {(item.name, why) for item, why in other.rejected} == {(i.name, w) for i, w in plain.rejected}


def alike(first: Stack, second: Stack) -> str:
    """Take the first of two stacks that are equal in all that counts, whatever their order; say why not the other."""
    for pair in ((first, second), (second, first)):
        series = tuple(of(one) for one in pair) if first.info != second.info else (of(*pair),)
        choice = choose(Study(Path("study"), series))
        assert choice.stack == first
        ((_, why),) = choice.left_out
    return why.split(": ", 1)[1]


FINE = ((240, 256, 176), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (stack(3, "t1", "sagittal", *FINE), stack(9, "t1", "sagittal", *FINE), "it is alike, and a later series"),
        (
            stack(3, "t1", "sagittal", *FINE, label="TE 2 ms", echo_time_ms=2.0),
            stack(3, "t1", "sagittal", *FINE, label="TE 4 ms", echo_time_ms=4.0),
            "it is alike, and a later echo",
        ),
        (
            stack(3, "t1", "sagittal", *FINE, label="part 1"),
            stack(3, "t1", "sagittal", *FINE, label="part 2"),
            "it is a repetition, later in the same series",
        ),
        (
            stack(9, "t1", "coronal", *FINE),
            stack(3, "t1", "axial", *FINE),
            "it is alike, but sagittal comes before coronal before axial",
        ),
    ],
)
def test_ties(first, second, why):
    assert alike(first, second) == why


def test_many_stacks_of_one_series_are_told_once():
    choice = choose(study_of_ten())
    assert len(choice.rejected) == 14
    told = [name for name, _ in choice.left_out if "bold" in name]
    assert told == ["series 8 (ep2d bold, part 1) and 4 more stacks of it"]
    assert len(choice.warnings) == len(choice.left_out) == 9
